#!/bin/bash
# SPDX-License-Identifier: MIT
# engine.sh build|run CMD...: runs CMD with a Docker engine of its own, where none
# runs, as root. It is Debian 13's, unpacked below build/docker, and leaves nothing
# on this machine's network:
#   build  no bridge: `docker build --network host`
#   run    in a network namespace of its own, $ENGINE_NETNS: compose networks,
#          names, health checks. Published ports are reached with nsenter.
# Nothing can be pulled everywhere, so images made of Debian's packages carry the
# names of the official ones. They show that our files work together, not that
# the official images' own entry points do.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
dir=${ENGINE_DIR:-$top/build/docker}
phase=$1
shift
mkdir -p "$dir/cli-plugins" "$dir/bin"
run=$(mktemp -d) # for sockets, whose paths must be short

unpack() {
	[ -e "$dir/unpacked" ] || "$top/tests/get-peers.sh" trixie "$dir/unpacked" \
		docker.io docker-cli docker-buildx docker-compose
	ln -sf "$dir"/unpacked/usr/bin/{docker,docker-init,containerd,containerd-shim-runc-v2} \
		"$dir"/unpacked/usr/sbin/{dockerd,docker-proxy} "$dir/bin/"
	ln -sf "$(command -v runc)" "$dir/bin/runc"
	ln -sf "$dir"/unpacked/usr/libexec/docker/cli-plugins/* "$dir/cli-plugins/"
}

# start WRAPPER...: the engine, below a command that puts it where it belongs.
start() {
	rm -rf "$dir/data/network"
	"$@" -H "$DOCKER_HOST" --data-root "$dir/data" --exec-root "$run/exec" \
		-p "$run/pid" >>"$dir/log" 2>&1 &
	for _ in $(seq 300); do
		docker info >/dev/null 2>&1 && return
		sleep 0.1
	done
	tail "$dir/log" >&2
	return 1
}

stop() {
	local pid
	pid=$(cat "$run/pid" 2>/dev/null) || pid=
	[ -z "$pid" ] || kill "$pid" 2>/dev/null || pid=
	while [ -n "$pid" ] && [ -d "/proc/$pid" ]; do sleep 0.1; done
	[ "$phase" != run ] || ip netns del "$ENGINE_NETNS" 2>/dev/null || true
	rm -rf "$run" 2>/dev/null || true
}

# import NAME PACKAGES CHANGE...: an image of Debian 13 with these packages, unless
# it is there.
import() {
	local name=$1 packages=$2 changes=() change
	shift 2
	! docker image inspect "$name" >/dev/null 2>&1 || return 0
	for change; do changes+=(--change "$change"); done
	# shellcheck disable=SC2016 # $1 is mmdebstrap's
	mmdebstrap --quiet --variant=minbase ${packages:+--include="$packages"} \
		--customize-hook='mkdir -m 777 "$1/data"' trixie - \
		"deb $("$top/tests/mirror.sh" Debian) trixie main" |
		docker import "${changes[@]}" - "$name" >/dev/null
}

# One image stands for all that are not built; compose.yml says for most of them
# who runs and what.
import_all() {
	import debian:trixie-slim '' &
	import stand-in haproxy,redis-server,ruby,php-cli,python3,varnish \
		'USER haproxy' 'CMD ["haproxy", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]'
	wait $!
	for name in haproxy:3.2 redis:7 ruby:3.4-alpine php:8.4-cli-alpine \
		python:3.13-alpine varnish:stable; do
		docker tag stand-in "$name"
	done
}

unpack
export PATH=$dir/bin:$PATH DOCKER_HOST=unix://$run/socket DOCKER_CONFIG=$dir
export ENGINE_NETNS=spoa-docker-$$
trap stop EXIT
case $phase in
build)
	start dockerd --iptables=false --bridge=none --ip-forward=false
	import_all
	;;
run)
	ip netns add "$ENGINE_NETNS"
	ip -n "$ENGINE_NETNS" link set lo up
	start nsenter --net="/run/netns/$ENGINE_NETNS" dockerd
	;;
*) echo "usage: engine.sh build|run CMD..." >&2; exit 2 ;;
esac
"$@"
