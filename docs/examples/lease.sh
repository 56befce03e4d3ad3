#!/bin/sh
# SPDX-License-Identifier: MIT
# lease.sh FIELD ROUTE [REDIS-CLI OPTION...]: runs beside a worker and keeps its
# route alive. When the worker, its machine or its network dies, the route is
# gone LEASE (10) seconds later, and every agent is told; when this is ended
# (SIGTERM, SIGINT), at once. Needs HEXPIRE: Redis 7.4, Valkey 9 or later. For
# others see sweep.sh.
#
#     LEASE=10 ./lease.sh app1.cloud.com 10.0.0.5:9000 -h redis.internal
set -u
field=$1 route=$2
shift 2
lease=${LEASE:-10}

say() {
	redis-cli -e "$@" >/dev/null
}

# One command each: a script is atomic, and leaves no route without an end.
renew() {
	say "$@" EVAL "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
		return redis.call('HEXPIRE', KEYS[1], ARGV[3], 'FIELDS', 1, ARGV[1])" \
		1 "${ROUTES:-routes}" "$field" "$route" "$lease"
}

leave() {
	say "$@" HDEL "${ROUTES:-routes}" "$field"
	exit
}

trap 'leave "$@"' TERM INT
while :; do
	renew "$@" || echo "lease.sh: not renewed" >&2
	sleep "$((lease / 3 > 0 ? lease / 3 : 1))" &
	wait $!
done
