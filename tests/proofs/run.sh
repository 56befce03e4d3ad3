#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh: proves what the files beside it say, with CBMC and Spin; then breaks
# the code in each place of broken.txt and sees the proof fail. PROOFS=NAME,...
# runs some of them, JOBS at a time. The last line is the total; the status is 0
# if all is well.
set -u
cd "$(dirname "$0")/../.." || exit 1
tools=build/peers/cbmc
out=build/proofs
verdicts=$out/verdicts
rm -rf "$out" && mkdir -p "$out"
: >"$verdicts"

# Is it one of those to be run?
wanted() { [[ -z ${PROOFS-} || ,$PROOFS, == *,$1,* ]]; }

# Begins with CMD when there is room for it.
begin() {
	while [ "$(jobs -rp | wc -l)" -ge "${JOBS:-$(nproc)}" ]; do wait -n; done
	"$@" &
}

report() { # VERDICT WANTED WHAT SECONDS
	local line="ok      $3 ($4 s)"
	[ "$1" = "$2" ] || line="NOT OK  $3: ${1:-no verdict} ($4 s)"
	echo "$line" | tee -a "$verdicts"
}

# Compiles prove_NAME with the code in TOP; each A:B of CALLS lets B be called in
# place of A.
compile() { # TOP NAME TO FILE ROOMS CALLS
	local room pair sources=("$1/tests/proofs/$4.c" tests/proofs/libc.c)
	for room in ${5//[-,]/ }; do sources+=("$1/spoa/$room.c"); done
	"$tools/goto-cc" -D_GNU_SOURCE --function "prove_$2" -o "$3" \
		"${sources[@]}" || return
	for pair in ${6//[-,]/ }; do
		"$tools/goto-instrument" --replace-calls "$pair" "$3" "$3.new" &&
			mv "$3.new" "$3" || return
	done
}

# prove WANTED WHAT TOP NAME LOG: what CBMC says of prove_NAME with the code in
# TOP.
prove() {
	local name=$4 log=$out/$5.log program=$out/$5.gb start=$SECONDS
	local file rooms calls unwind options verdict
	read -r _ file rooms calls unwind options < <(grep "^$name " tests/proofs/proofs.txt)
	[ "$1" = SUCCESSFUL ] || options+=" --stop-on-fail"
	[[ $unwind != *,* ]] || options+=" --unwindset ${unwind#*,}"
	ulimit -v 8388608
	# shellcheck disable=SC2086 # options are words
	compile "$3" "$name" "$program" "$file" "$rooms" "$calls" >"$log" 2>&1 &&
		timeout 500 "$tools/cbmc" "$program" --unwind "${unwind%%,*}" \
			--unwinding-assertions --drop-unused-functions $options \
			>>"$log" 2>&1
	verdict=$(grep -o 'VERIFICATION [A-Z]*' "$log")
	report "${verdict#VERIFICATION }" "$1" "$2" $((SECONDS - start))
}

# Proves that it fails with the code broken.
break_it() { # NUMBER NAME ROOM CHANGE
	local broken=$out/broken-$1
	mkdir -p "$broken/tests"
	cp -r spoa "$broken" && cp -r tests/proofs "$broken/tests"
	sed -i -E "$4" "$broken/spoa/$3"
	if cmp -s "spoa/$3" "$broken/spoa/$3"; then
		report UNCHANGED FAILED "$2, $3 broken: $4" 0
	else
		prove FAILED "$2 fails when $3 is broken: $4" "$broken" "$2" "broken-$1"
	fi
	rm -rf "$broken"
}

# model WANTED WHAT LOG OPTION...: what Spin says of the model.
model() {
	local dir=$out/$3 log=$out/$3.log start=$SECONDS verdict=UNKNOWN want=$1 what=$2
	shift 3
	mkdir -p "$dir"
	(cd "$dir" && spin "$@" -a ../../../tests/proofs/resolver.pml &&
		gcc -w -O2 -DSAFETY -DMEMLIM=6000 -o pan pan.c &&
		timeout 600 ./pan -m100000) >"$log" 2>&1
	grep -q 'errors: 0' "$log" && verdict=SUCCESSFUL
	grep -q 'errors: [1-9]' "$log" && verdict=FAILED
	grep -q 'Search not completed' "$log" && [ $verdict = SUCCESSFUL ] &&
		verdict=UNKNOWN
	report $verdict "$want" "$what" $((SECONDS - start))
}

# Together they would be too many states: first who goes away while waiting,
# then what happens without anybody waiting.
alone=(-DREFRESHES=0 -DEVICTIONS=0)
if wanted resolver; then
	begin model SUCCESSFUL "resolver, with cancels and deadlines" resolver-1 \
		"${alone[@]}"
	begin model SUCCESSFUL "resolver, with refreshes and evictions" resolver-2 \
		-DCANCELS=0 -DDEADLINES=0
	while read -r rule; do
		begin model FAILED "resolver fails with $rule" "$rule" "-D$rule" \
			"${alone[@]}"
	done < <(grep -o 'BROKEN_[A-Z_]*[A-Z]' tests/proofs/resolver.pml | sort -u)
fi

while read -r name _; do
	[[ -z $name || $name == \#* ]] || ! wanted "$name" ||
		begin prove SUCCESSFUL "$name" . "$name" "$name"
done <tests/proofs/proofs.txt

number=0
while read -r name room change; do
	[[ -z $name || $name == \#* ]] || ! wanted "$name" && continue
	number=$((number + 1))
	begin break_it $number "$name" "$room" "$change"
done <tests/proofs/broken.txt

# Nothing is proved that is not seen to fail.
sed -n 's/^\([a-z][^ ]*\) .*/\1/p' tests/proofs/proofs.txt >"$out/names"
while read -r name; do
	! wanted "$name" || grep -q "^$name " tests/proofs/broken.txt ||
		report "never broken" FAILED "$name" 0
done <"$out/names"
wait
failed=$(grep -c '^NOT OK' "$verdicts")
echo "$(grep -c '^ok' "$verdicts") proved, $failed not"
[ "$failed" -eq 0 ]
