#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh SECONDS TARGET...: fuzzes each target for so long, JOBS=1 at a time,
# and prints a line on each. What is found stays in build/fuzz/TARGET-*; new
# inputs go to build/fuzz/corpus/TARGET. Status 1 when anything was found.
set -u
seconds=$1
shift
if [ $# -gt 1 ]; then
	printf '%s\n' "$@" | xargs -P "${JOBS:-1}" -n 1 "$0" "$seconds" || exit 1
	exit
fi
name=$1 result=clean status=0
mkdir -p "build/fuzz/corpus/$name"
options=(-max_total_time="$seconds" -artifact_prefix="build/fuzz/$name-"
	-print_final_stats=1 -timeout=10)
dictionary=tests/fuzz/dictionaries/$name
[ ! -e "$dictionary" ] || options+=(-dict="$dictionary")
log=build/fuzz/$name.log
"build/fuzz/fuzz_$name" "${options[@]}" "build/fuzz/corpus/$name" \
	"tests/fuzz/corpus/$name" >"$log" 2>&1 ||
	result="FOUND WRONG, see $log" status=1
runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
printf '%-12s %12s runs, %s\n' "$name" "${runs:-?}" "$result"
exit $status
