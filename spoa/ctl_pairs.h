/* SPDX-License-Identifier: MIT */
/*
 * ctl_pairs: fields with their routes, as a hash or a file holds them.
 *
 * Pairs go in in any order; sorted, they can be compared with others. Both
 * texts are copied.
 */
#ifndef SPOA_CTL_PAIRS_H
#define SPOA_CTL_PAIRS_H

#include "base.h"

struct ctl_pair {
	struct span field; /* both live in the pair */
	struct span value;
	unsigned int line; /* of the file it stands in, or 0 */
	char text[];
};

/* Zeroes begin it, ctl_pairs_fini ends it. */
struct ctl_pairs {
	struct ctl_pair **list;
	size_t count;
	size_t room;
};

void ctl_pairs_fini(struct ctl_pairs *pairs);

/* False without memory. */
bool ctl_pairs_add(struct ctl_pairs *pairs, struct span field,
		   struct span value, unsigned int line) MUST_CHECK;

/* By field, then by line. */
void ctl_pairs_sort(struct ctl_pairs *pairs);

/* Of sorted pairs with one field the last stays. Returns how many went. */
size_t ctl_pairs_unite(struct ctl_pairs *pairs);

/* Where a comparison of two sorted ones stands; zeroes begin it. */
struct ctl_pairs_walk {
	size_t before;
	size_t after;
};

/* What differs between them. One of `was` and `is` is NULL when the field is
 * in one of both alone. */
struct ctl_pairs_change {
	struct span field; /* lives in one of them */
	const struct ctl_pair *was;
	const struct ctl_pair *is;
};

/* The next field whose value differs; false at the end. */
bool ctl_pairs_next_change(const struct ctl_pairs *before,
			   const struct ctl_pairs *after,
			   struct ctl_pairs_walk *walk,
			   struct ctl_pairs_change *change);

#endif
