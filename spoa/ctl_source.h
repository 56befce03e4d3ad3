/* SPDX-License-Identifier: MIT */
/*
 * ctl_source: what import and diff take: a file of lines, or what Hipache
 * keeps in a Redis.
 *
 * Every pair that comes out is one that the agent uses, with its field in
 * form.
 */
#ifndef SPOA_CTL_SOURCE_H
#define SPOA_CTL_SOURCE_H

#include "ctl.h"

/* Reads all pairs, sorted, no field twice. Says each line that is wrong: then
 * CTL_REFUSED, and nothing may be written. What Hipache has and a route cannot
 * say is said and left out: `*left_out` counts it. */
enum ctl_status ctl_source_read(struct ctl *ctl, struct ctl_pairs *pairs,
				size_t *left_out) MUST_CHECK;

#endif
