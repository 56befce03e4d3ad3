#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh: proves what the files beside it say, with CBMC and Spin; then breaks
# the code in each place of broken.txt and sees the proof fail. PROOFS=NAME,...
# runs some of them. The last line is the total; the status is 0 if all is well.
set -u
cd "$(dirname "$0")/../.." || exit 1
cbmc=build/peers/cbmc/cbmc
out=build/proofs
mkdir -p "$out"
passed=0 failed=0

# Is it one of those to be run?
wanted() { [[ -z ${PROOFS-} || ,$PROOFS, == *,$1,* ]]; }

report() { # VERDICT WANTED WHAT SECONDS
	if [ "$1" = "$2" ]; then
		passed=$((passed + 1)) && echo "ok      $3 ($4 s)"
	else
		failed=$((failed + 1)) && echo "NOT OK  $3: $1 ($4 s)"
	fi
}

# prove WANTED WHAT TOP NAME: what CBMC says of prove_NAME with the code in TOP.
prove() {
	local name=$4 file rooms unwind options start=$SECONDS verdict
	read -r _ file rooms unwind options < <(grep "^$name " tests/proofs/proofs.txt)
	# shellcheck disable=SC2046,SC2086 # rooms and options are words
	timeout 600 "$cbmc" "$3/tests/proofs/$file.c" tests/proofs/libc.c \
		$(printf "$3/spoa/%s.c " ${rooms//,/ }) -D_GNU_SOURCE \
		--function "prove_$name" --unwind "$unwind" \
		--unwinding-assertions --drop-unused-functions $options \
		>"$out/$name.log" 2>&1
	verdict=$(grep -o 'VERIFICATION [A-Z]*' "$out/$name.log")
	report "${verdict#VERIFICATION }" "$1" "$2" $((SECONDS - start))
}

# spin WANTED WHAT OPTION...: what Spin says of the model.
model() {
	local dir=$out/model start=$SECONDS verdict=UNKNOWN want=$1 what=$2
	shift 2
	rm -rf "$dir" && mkdir -p "$dir"
	(cd "$dir" && spin "$@" -a ../../../tests/proofs/resolver.pml &&
		gcc -w -O2 -DSAFETY -DMEMLIM=6000 -o pan pan.c &&
		timeout 600 ./pan -m100000) >"$out/model.log" 2>&1
	grep -q 'errors: 0' "$out/model.log" && verdict=SUCCESSFUL
	grep -q 'errors: [1-9]' "$out/model.log" && verdict=FAILED
	grep -q 'Search not completed' "$out/model.log" &&
		[ $verdict = SUCCESSFUL ] && verdict=UNKNOWN
	report $verdict "$want" "$what" $((SECONDS - start))
}

while read -r name _; do
	[[ -z $name || $name == \#* ]] || ! wanted "$name" ||
		prove SUCCESSFUL "$name" . "$name"
done <tests/proofs/proofs.txt

while read -r name room change; do
	[[ -z $name || $name == \#* ]] || ! wanted "$name" && continue
	broken=$out/broken
	rm -rf "$broken" && mkdir -p "$broken/tests"
	cp -r spoa "$broken" && cp -r tests/proofs "$broken/tests"
	sed -i -E "$change" "$broken/spoa/$room"
	cmp -s "spoa/$room" "$broken/spoa/$room" && {
		report UNCHANGED FAILED "$name, $room broken: $change" 0
		continue
	}
	prove FAILED "$name fails when $room is broken: $change" "$broken" "$name"
done <tests/proofs/broken.txt

if wanted resolver; then
	# Together they would be too many states: first who goes away while
	# waiting, then what happens without anybody waiting.
	alone=(-DREFRESHES=0 -DEVICTIONS=0)
	model SUCCESSFUL "resolver, with cancels and deadlines" "${alone[@]}"
	model SUCCESSFUL "resolver, with refreshes and evictions" \
		-DCANCELS=0 -DDEADLINES=0
	while read -r rule; do
		model FAILED "resolver fails with $rule" "-D$rule" "${alone[@]}"
	done < <(grep -o 'BROKEN_[A-Z_]*[A-Z]' tests/proofs/resolver.pml | sort -u)
fi
echo "$passed proved, $failed not"
[ $failed -eq 0 ]
