/* SPDX-License-Identifier: MIT */
/*
 * What the proofs have in common: any bytes of any length up to a bound, in an
 * object of just that size, so that a read past the end is one of the
 * properties that CBMC checks.
 */
#ifndef TESTS_PROOFS_PROOF_H
#define TESTS_PROOFS_PROOF_H

#include "../../spoa/base.h"

#include <stdlib.h>

/* CBMC: what begins with nondet_ and has no body returns anything. */
size_t nondet_size(void);
uint64_t nondet_uint64(void);
uint8_t nondet_byte(void);
bool nondet_bool(void);

#define assume(fact) __CPROVER_assume(fact)
#define prove(fact, why) __CPROVER_assert(fact, why)

/* Any length up to `max`. */
static inline size_t any_length(size_t max)
{
	size_t len = nondet_size();

	assume(len <= max);
	return len;
}

/* Any `len` bytes: what malloc gives holds anything. */
static inline uint8_t *any_bytes(size_t len)
{
	uint8_t *bytes = malloc(len);

	assume(bytes != NULL);
	return bytes;
}

#endif
