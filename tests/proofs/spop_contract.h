/* SPDX-License-Identifier: MIT */
/*
 * What prove_spop shows of two functions of spop, for those who call them: the
 * proofs of session take this in place of the functions.
 */
#ifndef TESTS_PROOFS_SPOP_CONTRACT_H
#define TESTS_PROOFS_SPOP_CONTRACT_H

#include "../../spoa/spop.h"

#include "proof.h"

/* Nothing of it is outside of [from, to]. */
static inline bool is_between(struct span part, const void *from,
			      const void *to)
{
	const char *first = from, *last = to;

	return part.len == 0 || (part.p >= first && part.p <= last &&
				 part.len <= (size_t)(last - part.p));
}

/* spop_read_long_varint(p, end, n) returned `next`. */
static inline bool is_long_varint(const uint8_t *p, const uint8_t *end,
				  const uint8_t *next)
{
	return !next ||
	       (next > p && next <= end && next - p <= SPOP_VARINT_MAX - 1);
}

/* spop_write_varint(p, n) returned p + len. */
static inline bool is_varint_length(uint64_t n, size_t len)
{
	if (n < 240)
		return len == 1;
	if (n < 240 + (1 << 11))
		return len == 2;
	if (n < 240 + (1 << 11) + (1 << 18))
		return len == 3;
	return len > 3 && len <= SPOP_VARINT_MAX;
}

/* spop_get_other_value(r, value) was called with `before`. */
static inline bool is_other_value(const struct spop_reader *before,
				  const struct spop_reader *r,
				  const struct spop_value *value)
{
	if (r->p < before->p || r->p > before->end)
		return false;
	if (r->failed)
		return r->end == r->p && value->type == SPOP_NULL &&
		       value->integer == 0 && value->bytes.len == 0;
	return r->end == before->end && r->p > before->p &&
	       value->type <= SPOP_BINARY && value->type != SPOP_STRING &&
	       is_between(value->bytes, before->p, r->p);
}

#endif
