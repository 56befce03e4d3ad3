/* SPDX-License-Identifier: MIT */
/*
 * ctl_hipache: routes as Hipache keeps them.
 *
 * A list `frontend:HOST` holds a name and then URLs. Here they become targets:
 * http://10.0.0.1:80 is 10.0.0.1:80. What has another scheme or a path cannot
 * be said in a route.
 */
#ifndef SPOA_CTL_HIPACHE_H
#define SPOA_CTL_HIPACHE_H

#include "base.h"

#define CTL_HIPACHE_PREFIX "frontend:"

/* The target of one URL, which lives in `url` but for the port, when the URL
 * has none: `*port` is then ":80", else "". On failure `*problem` is why. */
bool ctl_hipache_read(struct span url, struct span *target, const char **port,
		      const char **problem) MUST_CHECK;

#endif
