# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# tap.sh, for scripts that test: a line "ok - WHAT" or "not ok - WHAT" for each
# thing that must hold. show_logs is called when one does not.

# check WHAT CMD...: must succeed within a minute, however often tried.
check() {
	local what=$1 until=$((SECONDS + 60)) said=
	shift
	until said=$("$@" 2>&1); do
		[ "$SECONDS" -lt "$until" ] || {
			echo "not ok - $what"
			{ echo "$said" | tail -n 5; show_logs; } | sed 's/^/# /'
			return 1
		}
		sleep 0.2
	done
	echo "ok - $what"
}

not() { ! "$@"; }
same() { [ "$1" = "$2" ] || { echo "$1 is not $2" && false; }; }

# sum FILE...: the last line of a test, from such lines and a "done" in each.
sum() {
	local file passed=0 failed=0
	for file; do
		passed=$((passed + $(grep -c '^ok ' "$file" || true)))
		failed=$((failed + $(grep -c '^not ok ' "$file" || true)))
		grep -q '^done' "$file" || failed=$((failed + 1))
	done
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ]
}
