#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh [SUITE...]: makes the Debian package on fresh Debian 12 and 13
# (bookworm, trixie), then installs and uses it on other fresh ones, under a
# systemd that has really booted, by inside.sh. As root; the roots stay in
# build/roots for the next time. The last line is "N passed, N failed".
set -eu
cd "$(dirname "$0")/../.."
top=$PWD
. tests/tap.sh
roots=${ROOTS:-$top/build/roots}
[ $# -gt 0 ] || set -- bookworm trixie

# What a fresh system of this test has besides Debian's smallest. The machines
# that boot have no way out, so what they install is fetched beforehand.
wanted=systemd,systemd-sysv,dbus,haproxy,redis-server,curl,ca-certificates

# make_root SUITE: the fresh system, if it is not there yet.
make_root() {
	local root=$roots/$1
	[ ! -e "$root" ] || return 0
	mkdir -p "$roots"
	rm -rf "$root.part"
	mmdebstrap --quiet --variant=minbase --include="$wanted" \
		--skip=cleanup/apt/lists "$1" "$root.part" \
		"deb $(tests/mirror.sh Debian) $1 main" \
		"deb $(tests/mirror.sh Debian-Security) $1-security main"
	printf '#!/bin/sh\nexit 101\n' >"$root.part/usr/sbin/policy-rc.d"
	chmod +x "$root.part/usr/sbin/policy-rc.d"
	mv "$root.part" "$root"
}

# in_root ROOT CMD...: with the network of this machine, nothing booted. (What it
# says of its folder below /run is of no concern.)
in_root() {
	local root=$1
	shift
	systemd-nspawn --quiet --register=no --keep-unit --pipe -D "$root" \
		--bind-ro="$top:/src" --setenv=DEBIAN_FRONTEND=noninteractive \
		--setenv=DEB_BUILD_OPTIONS="${DEB_BUILD_OPTIONS-}" "$@" \
		2> >(grep -v '/run/systemd/nspawn/propagate' >&2)
}

# make_deb SUITE: `make deb`, on this machine if it is of that suite, else on a
# fresh one; the package comes to $roots. The unit tests run elsewhere.
make_deb() {
	local root=$roots/$1-build debs=$roots/$1-debs made=$top/build/deb
	export DEB_BUILD_OPTIONS="nocheck parallel=2"
	if grep -qx "VERSION_CODENAME=$1" /etc/os-release; then
		make --no-print-directory deb
	else
		make_build_root "$1" "$root"
		rm -rf "$root/root/tree"
		in_root "$root" sh -ec 'mkdir /root/tree && cd /src
			tar -c --exclude=./build --exclude=./.git . | tar -x -C /root/tree
			cd /root/tree && exec make deb'
		made=$root/root/tree/build/deb
	fi
	rm -rf "$debs"
	mkdir -p "$debs"
	cp "$made"/spoa-router_*.deb "$debs/"
	make_next "$debs"
}

# make_build_root SUITE ROOT: the fresh system with what `make deb` needs.
make_build_root() {
	[ ! -e "$2" ] || return 0
	rm -rf "$2.part"
	cp -a --reflink=auto "$roots/$1" "$2.part"
	echo force-unsafe-io >"$2.part/etc/dpkg/dpkg.cfg.d/fast"
	in_root "$2.part" sh -ec 'apt-get -qq install -y make
		/src/tests/deps.sh build deb'
	mv "$2.part" "$2"
}

# The same package again as a later version, to upgrade to.
make_next() {
	local work=$1/next
	dpkg-deb -R "$1"/spoa-router_*.deb "$work"
	sed -i '/^Version:/s/$/+next/' "$work/DEBIAN/control"
	dpkg-deb -b "$work" "$1/next.deb" >/dev/null
	rm -rf "$work"
}

# Boots a throw-away copy of the root and runs inside.sh there.
use_deb() {
	local root=$roots/$1 log=$roots/$1-boot.log pid='' state='' init
	cp "$roots/$1-debs"/*.deb "$root/root/"
	in_root "$root" sh -c 'apt-get -qq install -y --no-install-recommends --download-only /root/spoa-router_*.deb'
	SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --quiet --boot \
		--register=no --keep-unit --private-network --console=pipe \
		-M "spoa-$1-$$" -D "$root" --volatile=overlay \
		--bind-ro="$top/tests:/mnt" --bind-ro="$top/docs:/docs" >"$log" 2>&1 </dev/null &
	pid=$!
	# shellcheck disable=SC2064 # the process of now
	trap "kill $pid 2>/dev/null || true" EXIT
	for _ in $(seq 300); do
		init=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null) || break
		init=${init%% *}
		[ -z "$init" ] || state=$(within "$init" systemctl is-system-running 2>&1) || true
		case $state in running | degraded) break ;; esac
		sleep 0.1
	done
	case $state in
	running | degraded) ;;
	*) tail "$log"; echo "run.sh: $1 did not boot: $state"; return 1 ;;
	esac
	local status=0
	within "$init" /mnt/deb/inside.sh "$1" || status=1
	kill -s RTMIN+4 "$init" # power off
	wait "$pid" || true
	return $status
}

# within INIT CMD...: in the machine whose init that is.
within() {
	local init=$1
	shift
	nsenter -t "$init" -m -u -i -n -p -r -w -C "$@"
}

test_suite() {
	if ! { make_root "$1" && make_deb "$1"; } >"$roots/$1-build.log" 2>&1; then
		tail -n 30 "$roots/$1-build.log"
		echo "not ok - $1: the package cannot be made"
		return 1
	fi
	echo "ok - $1: the package is made, and lintian has nothing against it"
	use_deb "$1"
}

mkdir -p "$roots"
pids=()
for suite; do
	test_suite "$suite" >"$roots/$suite.tap" 2>&1 &
	pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid" || true; done
results=("${@/#/$roots/}")
cat "${results[@]/%/.tap}"
sum "${results[@]/%/.tap}"
