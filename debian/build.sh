#!/bin/bash
# SPDX-License-Identifier: MIT
# build.sh VERSION: the Debian package of this tree, in build/deb. It is made from
# a copy, so that nothing of it stays among the sources.
set -eu
cd "$(dirname "$0")/.."
out=$PWD/build/deb
tree=$out/spoa-router-$1
rm -rf "$out"
mkdir -p "$tree"
tar -c --exclude=./build --exclude=./.git . | tar -x -C "$tree"
cd "$tree"
dpkg-buildpackage -us -uc
lintian --fail-on error,warning "$out"/*.changes
rm -rf "$tree"
ls "$out"/*.deb
