#!/bin/bash
# SPDX-License-Identifier: MIT
# reproducible.sh: builds the sources twice, in folders, time zones, languages and
# under umasks that differ; says the sums, and fails if a byte differs.
set -eu
cd "$(dirname "$0")/.."
out=build/reproducible
rm -rf $out

# build FOLDER UMASK [NAME=VALUE]...
build() {
	local folder=$out/$1
	mkdir -p "$folder"
	cp -R Makefile spoa "$folder"
	(umask "$2" && shift 2 && env "$@" "${MAKE:-make}" -s -C "$folder" all >&2)
	(cd "$folder/build" && sha256sum spoa-router routectl)
}

one=$(build one 022 TZ=UTC LC_ALL=C)
other=$(build another/folder 077 TZ=Asia/Tokyo LC_ALL=C.UTF-8)
echo "$one"
[ "$one" = "$other" ] || { echo "differs: $other" && exit 1; }
echo "the same in $out/one and $out/another/folder"
