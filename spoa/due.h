/* SPDX-License-Identifier: MIT */
/*
 * due: who is next, by time.
 *
 * A heap of numbers with the time at which each is due. Setting, dropping and
 * taking one costs the logarithm of how many there are.
 */
#ifndef SPOA_DUE_H
#define SPOA_DUE_H

#include "base.h"

struct due_entry {
	int64_t at_ms;
	uint32_t place; /* in the heap, from 1; 0: it is not due */
};

struct due {
	struct due_entry *entries; /* by number; owned, as is the heap */
	uint32_t *heap;		   /* from 1 */
	uint32_t count;		   /* of those in the heap */
};

/* Room for the numbers 0 to `max`; false when there is no memory. */
bool due_init(struct due *due, uint32_t max) MUST_CHECK;
void due_fini(struct due *due);

/* The number is due at `at_ms`, whether it was due before or not. */
void due_set(struct due *due, uint32_t number, int64_t at_ms);

/* It is not due any more. */
void due_drop(struct due *due, uint32_t number);

bool due_has(const struct due *due, uint32_t number);

/* When it is due; it must be. */
int64_t due_at(const struct due *due, uint32_t number);

/* The one that is due first; false when none is. */
bool due_first(const struct due *due, uint32_t *number) MUST_CHECK;

#endif
