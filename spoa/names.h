/* SPDX-License-Identifier: MIT */
/*
 * names: a small bag of fields, each counted.
 *
 * It remembers which fields name a target, so that whoever hears that the
 * target went down can be told whom that concerns. Bounded: beyond NAMES_MAX
 * different ones it forgets to remember, which its owner's own count shows.
 */
#ifndef SPOA_NAMES_H
#define SPOA_NAMES_H

#include "base.h"

enum { NAMES_MAX = 16 };

struct names {
	uint8_t *bytes; /* owned: for each its count, its length, its text */
	uint16_t size;	/* of them */
};

/* `name` has at most 255 bytes. Without memory it is not remembered. */
void names_add(struct names *names, struct span name);

/* Takes back one add of `name`. */
void names_drop(struct names *names, struct span name);

/* The `i`-th name, or an empty span beyond the last; lives until the next add
 * or drop. */
struct span names_at(const struct names *names, size_t i);

void names_clear(struct names *names);

#endif
