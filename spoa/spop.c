/* SPDX-License-Identifier: MIT */
/*
 * spop: the encoding of SPOP 2.0. Bytes in, values out and back; no state.
 * It never trusts a length: each is compared with what is left first.
 */
#include "spop.h"

const uint8_t *spop_read_long_varint(const uint8_t *p, const uint8_t *end,
				     uint64_t *n)
{
	unsigned int shift = 4;

	for (; p < end; shift += 7) {
		uint64_t byte = *p++;

		/* The tenth byte is shifted by 60: only four bits fit. */
		if (shift > 60 || (shift == 60 && byte > 15) ||
		    __builtin_add_overflow(*n, byte << shift, n))
			return NULL;
		if (byte < 128)
			return p;
	}
	return NULL;
}

void spop_get_other_value(struct spop_reader *r, struct spop_value *value)
{
	uint8_t first = spop_get_byte(r);

	*value = (struct spop_value){.type = first & 0x0f};
	switch (value->type) {
	case SPOP_NULL:
		break;
	case SPOP_BOOL:
		value->integer = (first & 0x10) != 0;
		break;
	case SPOP_INT32:
	case SPOP_UINT32:
	case SPOP_INT64:
	case SPOP_UINT64:
		value->integer = spop_get_varint(r);
		break;
	case SPOP_IPV4:
		value->bytes = spop_get_bytes(r, 4);
		break;
	case SPOP_IPV6:
		value->bytes = spop_get_bytes(r, 16);
		break;
	case SPOP_BINARY:
		value->bytes = spop_get_string(r);
		break;
	case SPOP_STRING:
	default:
		spop_fail_get(r);
		break;
	}
	if (r->failed)
		*value = (struct spop_value){.type = SPOP_NULL};
}
