#!/bin/bash
# SPDX-License-Identifier: MIT
# controller.sh KEY COMMAND...: an example of a controller. It listens to what
# the agents say of targets (channel KEY:events); for one that is down it runs
# COMMAND, which must start a new process that prints "listening ADDRESS:PORT",
# and puts that place into the routes of the hosts that lost theirs.
# REDIS_CLI is how redis-cli reaches Redis, "redis-cli -p 6379" say.
set -eu
key=$1
shift
read -r -a redis <<<"${REDIS_CLI-redis-cli}"
folder=$(mktemp -d)
trap 'rm -rf "$folder"; kill $(jobs -p) 2>/dev/null || :' EXIT

# One value of the flat JSON object; hosts one a line.
value() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" <<<"$2"; }
hosts() { sed 's/.*"hosts":\[\([^]]*\)\].*/\1/; s/"//g' <<<"$1" | tr , '\n'; }

# Starts a process and says where it listens.
start() {
	"$@" >"$folder/new" &
	for _ in {1..100}; do
		place=$(sed -n 's/^listening //p' "$folder/new")
		[ -z "$place" ] || return 0
		sleep 0.05
	done
	return 1
}

# In the route of host $1, puts a new process in place of target $2.
replace() {
	local old=${2//./\\.} route
	old=${old/[/\\[}
	route=$("${redis[@]}" --raw HGET "$key" "$1")
	# Each agent tells of it: it may be done already.
	grep -qE "(^|[ ,])$old([ ,;]|$)" <<<"$route" || return 0
	[ -n "$place" ] || start "${command[@]}" || return 0
	"${redis[@]}" HSET "$key" "$1" "$(sed -E \
		"s/(^|[ ,])$old([ ,;]|$)/\1$place\2/g" <<<"$route")" >/dev/null
	echo "controller: $2 is down, $1 goes to $place"
}

handle() {
	local target
	[ "$(value event "$1")" = down ] || return 0
	target=$(value target "$1")
	place=
	while read -r host; do replace "$host" "$target"; done < <(hosts "$1")
}

command=("$@")
while read -r line; do
	case $line in
	\{*) handle "$line" ;;
	subscribe) echo "controller: listens" ;;
	esac
done < <("${redis[@]}" SUBSCRIBE "$key:events" </dev/null)
