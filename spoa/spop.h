/* SPDX-License-Identifier: MIT */
/*
 * spop: the encoding of the Stream Processing Offload Protocol 2.0.
 *
 * In come bytes, out come integers, strings, typed values and frame headers,
 * and the other way round. It keeps no state and knows nothing of what a frame
 * means: that is `session`. Source: HAProxy's doc/SPOE.txt, section 3.
 *
 * Readers and writers are sticky cursors: once one has failed, every further
 * get returns zero and every further put does nothing, so one look at `failed`
 * at the end is enough. A cursor never passes its end, and where it failed is
 * its end: so nothing but the room that is left needs to be looked at.
 */
#ifndef SPOA_SPOP_H
#define SPOA_SPOP_H

#include "base.h"

#include <endian.h>

/* SPOE.txt 3.2: frame types. */
enum spop_frame_type {
	SPOP_HAPROXY_HELLO = 1,
	SPOP_HAPROXY_DISCONNECT = 2,
	SPOP_HAPROXY_NOTIFY = 3,
	SPOP_AGENT_HELLO = 101,
	SPOP_AGENT_DISCONNECT = 102,
	SPOP_AGENT_ACK = 103,
};

/* SPOE.txt 3.5: the status codes of DISCONNECT frames. */
enum spop_code {
	SPOP_NORMAL = 0,
	SPOP_IO = 1,
	SPOP_TIMEOUT = 2,
	SPOP_TOO_BIG = 3,
	SPOP_INVALID = 4,
	SPOP_NO_VERSION = 5,
	SPOP_NO_FRAME_SIZE = 6,
	SPOP_NO_CAPABILITIES = 7,
	SPOP_BAD_VERSION = 8,
	SPOP_BAD_FRAME_SIZE = 9,
	SPOP_FRAGMENTED = 10,
	SPOP_RESOURCES = 13,
};

/* SPOE.txt 3.1: the low four bits of a typed value's first byte. */
enum spop_type {
	SPOP_NULL = 0,
	SPOP_BOOL = 1,
	SPOP_INT32 = 2,
	SPOP_UINT32 = 3,
	SPOP_INT64 = 4,
	SPOP_UINT64 = 5,
	SPOP_IPV4 = 6,
	SPOP_IPV6 = 7,
	SPOP_STRING = 8,
	SPOP_BINARY = 9,
};

enum {
	SPOP_FIN = 1,		  /* flag: the last piece of a message */
	SPOP_LENGTH_BYTES = 4,	  /* the length that precedes each frame */
	SPOP_FRAME_MIN = 7,	  /* type, flags and two one-byte ids */
	SPOP_VARINT_MAX = 10,	  /* bytes of 2^64 - 1 */
	SPOP_HEADER_MAX = 4 + 25, /* length, type, flags, two ids */
};

struct spop_reader {
	const uint8_t *p;
	const uint8_t *end;
	bool failed;
};

struct spop_writer {
	uint8_t *p;
	uint8_t *end;
	bool failed;
};

struct spop_value {
	enum spop_type type;
	uint64_t integer;  /* of the four integer types; of BOOL 0 or 1 */
	struct span bytes; /* of STRING, BINARY, IPV4 and IPV6; borrowed */
};

struct spop_frame {
	uint8_t type;
	uint32_t flags;
	uint64_t stream_id;
	uint64_t frame_id;
	struct spop_reader payload; /* borrows the bytes it was read from */
};

enum spop_parse {
	SPOP_PARSED,   /* a whole frame; `*used` bytes belong to it */
	SPOP_PARTIAL,  /* the bytes so far are fine, more are needed */
	SPOP_OVERSIZE, /* the announced length is above the limit */
	SPOP_BROKEN,   /* no frame can start like this */
};

/* The getters and putters are inline: an answer takes some twenty of them, and
 * with constant lengths they melt into a few moves. No call that is made often
 * is given the cursor's address, so that it can stay in registers. */

static inline void spop_fail_get(struct spop_reader *r)
{
	r->failed = true;
	r->end = r->p;
}

static inline void spop_fail_put(struct spop_writer *w)
{
	w->failed = true;
	w->end = w->p;
}

static inline struct span spop_get_bytes(struct spop_reader *r, uint64_t len)
{
	struct span bytes = {0};

	if (len > (size_t)(r->end - r->p)) {
		spop_fail_get(r);
		return bytes;
	}
	bytes.p = (const char *)r->p;
	bytes.len = (size_t)len;
	r->p += len;
	return bytes;
}

static inline uint8_t spop_get_byte(struct spop_reader *r)
{
	if (r->p == r->end) {
		spop_fail_get(r);
		return 0;
	}
	return *r->p++;
}

/* Reads the rest of a variable-length integer whose first byte, 240 or more, is
 * in `*n`. Returns where it ends, or NULL when it does not. */
const uint8_t *spop_read_long_varint(const uint8_t *p, const uint8_t *end,
				     uint64_t *n);

/* SPOE.txt 3.1, a variable-length integer. Fails when it does not fit 64 bits
 * or the bytes end inside it. */
static inline uint64_t spop_get_varint(struct spop_reader *r)
{
	uint64_t n = spop_get_byte(r);

	if (n >= 240) {
		const uint8_t *next = spop_read_long_varint(r->p, r->end, &n);

		if (!next) {
			spop_fail_get(r);
			return 0;
		}
		r->p = next;
	}
	return n;
}

/* A length and as many bytes. The span borrows the reader's bytes. */
static inline struct span spop_get_string(struct spop_reader *r)
{
	return spop_get_bytes(r, spop_get_varint(r));
}

/* A typed value that is no string. */
void spop_get_other_value(struct spop_reader *r, struct spop_value *value);

/* A typed value. Fails on the reserved types 10 to 15, whose length nobody
 * knows. On failure `*value` is NULL-typed. */
static inline void spop_get_value(struct spop_reader *r,
				  struct spop_value *value)
{
	if (r->p == r->end || (*r->p & 0x0f) != SPOP_STRING) {
		struct spop_reader copy = *r;

		spop_get_other_value(&copy, value);
		*r = copy;
		return;
	}
	r->p++;
	value->bytes = spop_get_string(r);
	value->integer = 0;
	value->type = r->failed ? SPOP_NULL : SPOP_STRING;
}

static inline uint32_t spop_read_uint32(const uint8_t *p)
{
	uint32_t n;

	memcpy(&n, p, sizeof(n));
	return be32toh(n);
}

/* Reads the frame at `bytes`, whose length, not counting its own four bytes,
 * may be at most `limit`. On SPOP_PARSED fills `*frame` and `*used`. */
static inline enum spop_parse MUST_CHECK
spop_get_frame(const uint8_t *bytes, size_t len, size_t limit,
	       struct spop_frame *frame, size_t *used)
{
	struct spop_reader *r = &frame->payload;
	uint32_t length;

	if (len < SPOP_LENGTH_BYTES)
		return SPOP_PARTIAL;
	length = spop_read_uint32(bytes);
	if (length > limit)
		return SPOP_OVERSIZE;
	if (length < SPOP_FRAME_MIN)
		return SPOP_BROKEN;
	if (length > len - SPOP_LENGTH_BYTES)
		return SPOP_PARTIAL;

	frame->type = bytes[4];
	frame->flags = spop_read_uint32(bytes + 5);
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

static inline void spop_put_bytes(struct spop_writer *w, const void *bytes,
				  size_t len)
{
	if (len > (size_t)(w->end - w->p)) {
		spop_fail_put(w);
		return;
	}
	if (len == 0)
		return;
	memcpy(w->p, bytes, len);
	w->p += len;
}

static inline void spop_put_byte(struct spop_writer *w, uint8_t byte)
{
	spop_put_bytes(w, &byte, 1);
}

/* Writes a variable-length integer, at most SPOP_VARINT_MAX bytes. Returns
 * where it ends. */
static inline uint8_t *spop_write_varint(uint8_t *p, uint64_t n)
{
	if (n < 240) {
		*p++ = (uint8_t)n;
		return p;
	}
	*p++ = (uint8_t)(n | 0xf0);
	for (n = (n - 240) >> 4; n >= 128; n = (n - 128) >> 7)
		*p++ = (uint8_t)(n | 0x80);
	*p++ = (uint8_t)n;
	return p;
}

static inline void spop_put_varint(struct spop_writer *w, uint64_t n)
{
	uint8_t bytes[SPOP_VARINT_MAX];

	spop_put_bytes(w, bytes, (size_t)(spop_write_varint(bytes, n) - bytes));
}

/* A length and the bytes, without a type. */
static inline void spop_put_string(struct spop_writer *w, struct span text)
{
	spop_put_varint(w, text.len);
	spop_put_bytes(w, text.p, text.len);
}

/* Writes the head of a frame with the flag FIN alone, at most SPOP_HEADER_MAX
 * bytes. Returns where it ends. */
static inline uint8_t *spop_write_head(uint8_t *p, enum spop_frame_type type,
				       uint64_t stream_id, uint64_t frame_id)
{
	const uint8_t head[] = {0, 0, 0, 0, (uint8_t)type, 0, 0, 0, SPOP_FIN};

	memcpy(p, head, sizeof(head));
	p = spop_write_varint(p + sizeof(head), stream_id);
	return spop_write_varint(p, frame_id);
}

/* Writes the length of the frame from `begin` to `end`. */
static inline void spop_write_length(uint8_t *begin, const uint8_t *end)
{
	uint32_t length = htobe32((uint32_t)(end - begin - SPOP_LENGTH_BYTES));

	memcpy(begin, &length, sizeof(length));
}

/* Opens a frame. Returns where its length goes, for spop_end_frame. */
static inline uint8_t *spop_begin_frame(struct spop_writer *w,
					enum spop_frame_type type,
					uint64_t stream_id, uint64_t frame_id)
{
	uint8_t *begin = w->p;
	uint8_t head[SPOP_HEADER_MAX];
	uint8_t *end = spop_write_head(head, type, stream_id, frame_id);

	spop_put_bytes(w, head, (size_t)(end - head));
	return begin;
}

/* Writes the length of the frame that began at `begin`. Does nothing when the
 * writer has failed. */
static inline void spop_end_frame(struct spop_writer *w, uint8_t *begin)
{
	if (!w->failed)
		spop_write_length(begin, w->p);
}

#endif
