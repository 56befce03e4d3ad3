#!/bin/sh
# SPDX-License-Identifier: MIT
# sweep.sh [REDIS-CLI OPTION...]: leases for a Redis without HEXPIRE. Each worker
# says every few seconds that it is there, in the hash `seen` beside the routes:
#
#     redis-cli HSET seen app1.cloud.com "$(date +%s)"
#
# and whoever deploys runs this from time to time (cron, a timer). It removes the
# routes of those that were not seen for LEASE (10) seconds, tells the agents
# which, and prints them. Routes that were never seen, or at no time that is a
# number, are left alone.
set -u
redis-cli -e "$@" EVAL "
	local gone = {}
	local seen = redis.call('HGETALL', KEYS[2])
	for i = 1, #seen, 2 do
		local at = tonumber(seen[i + 1])
		if at and at < tonumber(ARGV[1]) then
			gone[#gone + 1] = seen[i]
			redis.call('HDEL', KEYS[1], seen[i])
			redis.call('HDEL', KEYS[2], seen[i])
			redis.call('PUBLISH', KEYS[1] .. ':changed', seen[i])
		end
	end
	return gone" 2 "${ROUTES:-routes}" "${SEEN:-seen}" \
	"$(($(date +%s) - ${LEASE:-10}))"
