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
		r->failed = true;
		break;
	}
	if (r->failed)
		*value = (struct spop_value){.type = SPOP_NULL};
}

static uint32_t get_uint32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	       (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

enum spop_parse spop_get_frame(const uint8_t *bytes, size_t len, size_t limit,
			       struct spop_frame *frame, size_t *used)
{
	struct spop_reader *r = &frame->payload;
	uint32_t length;

	if (len < SPOP_LENGTH_BYTES)
		return SPOP_PARTIAL;
	length = get_uint32(bytes);
	if (length > limit)
		return SPOP_OVERSIZE;
	if (length < SPOP_FRAME_MIN)
		return SPOP_BROKEN;
	if (length > len - SPOP_LENGTH_BYTES)
		return SPOP_PARTIAL;

	frame->type = bytes[4];
	frame->flags = get_uint32(bytes + 5);
	r->p = bytes + 9;
	r->end = bytes + SPOP_LENGTH_BYTES + length;
	r->failed = false;
	frame->stream_id = spop_get_varint(r);
	frame->frame_id = spop_get_varint(r);
	if (r->failed)
		return SPOP_BROKEN;
	*used = SPOP_LENGTH_BYTES + length;
	return SPOP_PARSED;
}

uint8_t *spop_write_long_varint(uint8_t *p, const uint8_t *end, uint64_t n)
{
	if (p == end)
		return NULL;
	*p++ = (uint8_t)(n | 0xf0);
	for (n = (n - 240) >> 4; n >= 128; n = (n - 128) >> 7) {
		if (p == end)
			return NULL;
		*p++ = (uint8_t)(n | 0x80);
	}
	if (p == end)
		return NULL;
	*p++ = (uint8_t)n;
	return p;
}

void spop_end_frame(struct spop_writer *w, uint8_t *begin)
{
	uint32_t length;

	if (w->failed)
		return;
	length = (uint32_t)(w->p - begin - SPOP_LENGTH_BYTES);
	begin[0] = (uint8_t)(length >> 24);
	begin[1] = (uint8_t)(length >> 16);
	begin[2] = (uint8_t)(length >> 8);
	begin[3] = (uint8_t)length;
}
