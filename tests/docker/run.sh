#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh: builds the image and uses docker/docker-compose.yml as a user would. With
# the engine that answers, if one does and its images can be pulled; else, as root,
# with one of its own and stand-ins for the images that are not ours (engine.sh).
# The last line is "N passed, N failed".
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/tap.sh
. tests/tap.sh
log=$(mktemp)
trap 'rm -f "$log"' EXIT

if docker info >/dev/null 2>&1; then
	echo "# with the engine that is here"
	{ docker build -q -f docker/Dockerfile -t spoa-router . && tests/docker/use.sh; } 2>&1 | tee "$log"
else
	tests/deps.sh docker || exit 1
	echo "# with an engine of its own; images of Debian's packages carry the"
	echo "# names of the official ones of haproxy, redis, the workers and varnish"
	{ tests/docker/engine.sh build docker build -q --network host \
		-f docker/Dockerfile -t spoa-router . &&
		tests/docker/engine.sh run tests/docker/use.sh; } 2>&1 | tee "$log"
fi
sum "$log"
