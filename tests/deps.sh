#!/bin/bash
# SPDX-License-Identifier: MIT
# deps.sh PURPOSE...: installs the Debian packages that "build", "demo", "test",
# "deb", "boot", "docker", "bench", "lint", "prove", "soak", "matrix", "cross",
# "coverage", "memcheck" or "fuzz" need and that are missing. Silent when none is.
# What runs already is left alone, and no service is started. Without root or sudo
# it prints the line for whoever has it, and exits 1.
set -eu

# purpose, package, and what shows that it is there, wherever that came from: a
# command, a /file (or pattern), lib:NAME of pkg-config, or py:MODULE
table='
build gcc             gcc
build libc6-dev       /usr/include/stdio.h
build make            make
build pkgconf         pkg-config
build libevent-dev    lib:libevent
build libhiredis-dev  lib:hiredis
build libinih-dev     lib:inih
build libjansson-dev  lib:jansson
build libssl-dev      lib:openssl
build libsystemd-dev  lib:libsystemd
build libseccomp-dev  lib:libseccomp
deb   debhelper       dh
deb   dpkg-dev        dpkg-buildpackage
deb   fakeroot        fakeroot
deb   lintian         lintian
deb   python3         python3
deb   libcmocka-dev   lib:cmocka
deb   build-essential /usr/share/build-essential/essential-packages-list
demo  haproxy         haproxy
demo  redis-server    redis-server
demo  redis-tools     redis-cli
demo  curl            curl
demo  openssl         openssl
demo  python3         python3
test  haproxy         haproxy
test  redis-server    redis-server
test  redis-tools     redis-cli
test  curl            curl
test  openssl         openssl
test  python3         /usr/bin/python3
test  python3-pytest  py:pytest
test  python3-pytest-xdist py:xdist
test  libcmocka-dev   lib:cmocka
test  binutils        readelf
test  mandoc          mandoc
test  strace          strace
test  dnsmasq-base    dnsmasq
test  nghttp2-client  h2load
test  systemd         systemd-analyze
test  prometheus      promtool
test  chromium        chromium
memcheck valgrind    valgrind
bench haproxy         haproxy
bench redis-server    redis-server
bench redis-tools     redis-benchmark
bench python3         python3
bench wrk             wrk
bench nginx           nginx
bench libnginx-mod-http-lua /usr/lib/nginx/modules/ngx_http_lua_module.so
bench lua-resty-core  /usr/share/lua/5.1/ngx/balancer.lua
bench lua-nginx-redis /usr/share/lua/5.1/nginx/redis.lua
lint  git             git
lint  clang-format    clang-format
lint  clang-tidy      clang-tidy
lint  cppcheck        cppcheck
lint  shellcheck      shellcheck
lint  python3         python3
boot  mmdebstrap     mmdebstrap
boot  systemd-container systemd-nspawn
docker runc           runc
docker iptables       iptables
docker iproute2       ip
docker mmdebstrap     mmdebstrap
docker curl           curl
coverage gcovr        gcovr
soak  gnuplot-nox     gnuplot
soak  python3         /usr/bin/python3
matrix clang          clang
cross gcc-aarch64-linux-gnu aarch64-linux-gnu-gcc
cross gcc-arm-linux-gnueabihf arm-linux-gnueabihf-gcc
cross gcc-s390x-linux-gnu s390x-linux-gnu-gcc
cross python3         /usr/bin/python3
cross qemu-user-static qemu-s390x-static
prove spin            spin
prove gcc             gcc
fuzz  clang           clang
fuzz  llvm            /usr/bin/llvm-cov*
fuzz  libclang-rt-dev /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*
'

is_there() {
	case $1 in
	lib:*) pkg-config --exists "${1#lib:}" 2>/dev/null ;;
	py:*) /usr/bin/python3 -c "import ${1#py:}" 2>/dev/null ;;
	/*) compgen -G "$1" >/dev/null ;;
	haproxy) [ -n "${HAPROXY-}" ] || command -v haproxy >/dev/null ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

# Installs as root. An existing policy-rc.d is its owner's; ours goes away again.
policy=/usr/sbin/policy-rc.d
install_packages() {
	log=$(mktemp) ours=
	trap 'rm -f "$log" ${ours:+"$policy"}' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	exec 9</var/lib/dpkg && flock 9 # two of us would take each other's policy
	grep -qs "spoa-router's tests/deps.sh" $policy || [ ! -e $policy ] && ours=yes
	[ -z "$ours" ] || install -m 755 /dev/stdin $policy <<-'END'
		#!/bin/sh
		# put here by spoa-router's tests/deps.sh while it installs packages
		exit 101
	END
	export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1
	apt-get -qq update >"$log" 2>&1 || {
		echo "deps.sh: apt-get update failed, trying with the lists at hand"
		tail -n 5 "$log"
	} >&2
	apt-get -qq -y -o DPkg::Lock::Timeout=300 install --no-remove \
		--no-install-recommends "$@" >"$log" 2>&1 9>&- || {
		tail -n 30 "$log"
		echo "deps.sh: apt-get install failed"
		exit 1
	} >&2
}

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
if [ "${1-}" = --install ]; then # what the sudo below calls
	shift
	install_packages "$@"
	exit
fi
missing=()
[ $# -gt 0 ] || set -- none
for purpose; do
	grep -q "^$purpose " <<<"$table" || {
		echo "usage: deps.sh PURPOSE..., of those at its head" >&2
		exit 2
	}
	while read -r for_what package sign; do
		[ "$for_what" = "$purpose" ] || continue
		case " ${missing[*]-} " in *" $package "*) continue ;; esac
		is_there "$sign" || missing+=("$package")
	done <<<"$table"
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "missing Debian packages: ${missing[*]}"
by_hand="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
if ! command -v apt-get >/dev/null; then
	echo "deps.sh: no apt-get here; please install what these packages hold" >&2
	exit 1
fi
if [ "$(id -u)" = 0 ]; then
	as_root=(bash)
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
	as_root=(sudo -n bash)
else
	echo "deps.sh: not root, and no sudo without a password; please run as root:" >&2
	echo "    $by_hand" >&2
	exit 1
fi
echo "installing them with apt-get, without starting any service ..."
SECONDS=0
"${as_root[@]}" "$0" --install "${missing[@]}"
echo "installed in $SECONDS s"
