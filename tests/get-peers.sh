#!/bin/bash
# SPDX-License-Identifier: MIT
# get-peers.sh "SUITE..." [DIR [PACKAGE...]]: HAProxy, Redis or Valkey of other
# Debian suites for the tests, unpacked with all they need in DIR
# (build/peers/SUITE), never installed. PACKAGE is as for apt-get install;
# haproxy by default. Each program gets a wrapper DIR/NAME that runs it with its
# own libraries. Examples:
#
#     get-peers.sh trixie                                     HAProxy 3.0
#     get-peers.sh forky                                      3.2 or later
#     get-peers.sh "forky experimental" build/peers/3.4 'haproxy=3.4*'
#
# With ARCH=arm64 those of another machine, to build with; not the security
# updates, whose mirrors are often out of step for the rarer ones.
set -eu

usage='usage: get-peers.sh "SUITE..." [DIR [PACKAGE...]]'
[ -n "${1-}" ] || { echo "$usage" >&2; exit 2; }
read -ra suites <<<"$1"
top=$(cd "$(dirname "$0")/.." && pwd)
dir=$(realpath -m "${2:-$top/build/peers/${suites[0]}}")
shift $(($# < 2 ? $# : 2))
packages=("$@")
[ $# -gt 0 ] || packages=(haproxy)
arch=${ARCH:-$(dpkg --print-architecture)}
[ ! -e "$dir" ] || { echo "get-peers.sh: $dir is there already" >&2; exit 1; }

archive=$("$top/tests/mirror.sh" Debian)
security=$("$top/tests/mirror.sh" Debian-Security)
[ -n "$archive" ] || {
	echo "get-peers.sh: apt knows no Debian mirror (apt-get update?)" >&2
	exit 1
}

# An apt of its own: other sources, nothing installed, nothing of the system's.
part=$dir.part # becomes DIR when it is whole
state=$part/.apt
rm -rf "$part"
mkdir -p "$state"/{lists/partial,cache/archives/partial,preferences.d}
: >"$state/status"
trusted='[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
for suite in "${suites[@]}"; do
	echo "deb $trusted $archive $suite main"
	case $suite in
	*-* | unstable | sid | experimental) ;; # have none
	*) [ -z "$security" ] || [ -n "${ARCH-}" ] || echo "deb $trusted $security $suite-security main" ;;
	esac
done >"$state/sources.list"

own_apt() {
	apt-get -q=2 -o "APT::Architecture=$arch" -o "APT::Architectures=$arch" \
		-o "Dir::Etc::sourcelist=$state/sources.list" \
		-o Dir::Etc::sourceparts=- -o Dir::Etc::preferences=- \
		-o "Dir::Etc::preferencesparts=$state/preferences.d" \
		-o "Dir::State::lists=$state/lists" \
		-o "Dir::State::status=$state/status" -o "Dir::Cache=$state/cache" \
		-o Acquire::Check-Valid-Until=false -o Acquire::Languages=none \
		-o Acquire::Retries=2 -o APT::Sandbox::User="$(id -un)" "$@"
}
own_apt update
own_apt install -y --no-install-recommends --download-only "${packages[@]}" \
	>/dev/null
for deb in "$state"/cache/archives/*.deb; do
	dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$part" \
		--keep-directory-symlink --exclude='./usr/share/*'
done
rm -rf "$state"

# Where the unpacked C library is, its loader and the other libraries are too.
# What programs of other machines run under is for others to say.
[ "$arch" = "$(dpkg --print-architecture)" ] || { mv "$part" "$dir" && exit; }
libc=$(cd "$part" && find . -name libc.so.6 -print -quit)
libs=$(dirname "${libc#./}")
loader=$(cd "$part" && find "$libs" -name 'ld-linux*.so.*' -print -quit)
[ -n "$loader" ] || { echo "get-peers.sh: found no loader" >&2; exit 1; }
path=$dir/usr/lib/${libs##*/}:$dir/lib/${libs##*/}:$dir/usr/lib
for program in usr/sbin/haproxy usr/bin/{redis,valkey}-{server,cli} \
	usr/bin/{cbmc,goto-cc,goto-instrument}; do
	[ -x "$part/$program" ] || continue
	cat >"$part/${program##*/}" <<-END
		#!/bin/sh
		exec $dir/$loader --argv0 "\$0" --library-path $path $dir/$program "\$@"
	END
	chmod +x "$part/${program##*/}"
done
mv "$part" "$dir"
