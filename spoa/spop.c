/* SPDX-License-Identifier: MIT */
/*
 * spop: the encoding of SPOP 2.0. Bytes in, values out and back; no state.
 * It never trusts a length: each is compared with what is left first.
 */
#include "spop.h"

uint64_t spop_get_long_varint(struct spop_reader *r, uint8_t first)
{
	uint64_t n = first;
	unsigned int shift = 4;

	for (;;) {
		uint64_t byte = spop_get_byte(r);
		uint64_t part;

		if (r->failed)
			return 0;
		/* The tenth byte is shifted by 60: only four bits fit. */
		if (shift > 60 || (shift == 60 && byte > 15)) {
			r->failed = true;
			return 0;
		}
		part = byte << shift;
		if (__builtin_add_overflow(n, part, &n)) {
			r->failed = true;
			return 0;
		}
		if (byte < 128)
			return n;
		shift += 7;
	}
}

void spop_get_value(struct spop_reader *r, struct spop_value *value)
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
	case SPOP_STRING:
	case SPOP_BINARY:
		value->bytes = spop_get_string(r);
		break;
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

void spop_put_long_varint(struct spop_writer *w, uint64_t n)
{
	spop_put_byte(w, (uint8_t)(n | 0xf0));
	n = (n - 240) >> 4;
	while (n >= 128) {
		spop_put_byte(w, (uint8_t)(n | 0x80));
		n = (n - 128) >> 7;
	}
	spop_put_byte(w, (uint8_t)n);
}

static void put_uint32(uint8_t *p, uint32_t n)
{
	p[0] = (uint8_t)(n >> 24);
	p[1] = (uint8_t)(n >> 16);
	p[2] = (uint8_t)(n >> 8);
	p[3] = (uint8_t)n;
}

uint8_t *spop_begin_frame(struct spop_writer *w, enum spop_frame_type type,
			  uint64_t stream_id, uint64_t frame_id)
{
	uint8_t *begin = w->p;
	uint8_t head[9];

	put_uint32(head, 0);
	head[4] = (uint8_t)type;
	put_uint32(head + 5, SPOP_FIN);
	spop_put_bytes(w, head, sizeof(head));
	spop_put_varint(w, stream_id);
	spop_put_varint(w, frame_id);
	return begin;
}

void spop_end_frame(struct spop_writer *w, uint8_t *begin)
{
	if (w->failed)
		return;
	put_uint32(begin, (uint32_t)(w->p - begin - SPOP_LENGTH_BYTES));
}
