#!/bin/sh
# SPDX-License-Identifier: MIT
# mirror.sh LABEL: the mirror that apt is told to use for Debian's archive of this
# label, "Debian" or "Debian-Security".
# shellcheck disable=SC2016 # apt's own words, not the shell's
apt-get indextargets --format '$(REPO_URI)' \
	'Created-By: Packages' "Label: $1" | head -n 1
