/* SPDX-License-Identifier: MIT */
/*
 * spop: whatever the bytes, no cursor passes its end; what was read can be
 * written again and is read as the same; no other encoding of an integer is
 * longer than ten bytes.
 */
#include "../../spoa/spop.h"

#include "spop_contract.h"

enum { VARINT_MAX = 10, VALUE_MAX = 20, FRAME_MAX = 32 };

/* Any bytes as a varint: the cursor stays inside, and what was accepted is
 * what the writer makes of the integer. */
void prove_read_varint(void)
{
	size_t len = any_length(VARINT_MAX + 2);
	uint8_t *bytes = any_bytes(len);
	struct spop_reader r = {.p = bytes, .end = bytes + len};
	uint64_t n = spop_get_varint(&r);

	prove(r.p >= bytes && r.p <= r.end, "the cursor is inside");
	if (r.failed) {
		prove(n == 0, "a failed reader gives zero");
		return;
	}
	prove(r.p - bytes <= VARINT_MAX, "ten bytes at most");
	{
		uint8_t again[VARINT_MAX];
		struct spop_writer w = {again, again + sizeof(again), false};
		size_t i = nondet_size();

		spop_put_varint(&w, n);
		prove(!w.failed, "every integer fits ten bytes");
		prove(w.p - again == r.p - bytes, "there is one encoding");
		if (i < (size_t)(w.p - again))
			prove(again[i] == bytes[i], "byte for byte");
	}
}

/* Any integer in any room: written whole or not past the end, and read as the
 * same. */
void prove_write_varint(void)
{
	size_t len = any_length(VARINT_MAX + 1);
	uint8_t *bytes = any_bytes(len);
	struct spop_writer w = {bytes, bytes + len, false};
	struct spop_reader r = {.p = bytes};
	uint64_t n = nondet_uint64();

	spop_put_varint(&w, n);
	prove(w.p >= bytes && w.p <= w.end, "the cursor is inside");
	if (w.failed) {
		prove(w.p == bytes, "a failed writer has written nothing");
		return;
	}
	prove(is_varint_length(n, (size_t)(w.p - bytes)), "as long as it must");
	r.end = w.p;
	prove(spop_get_varint(&r) == n, "read as the same");
	prove(!r.failed && r.p == r.end, "and whole");
}

/* Any bytes as the rest of a varint: what session relies on. */
void prove_long_varint(void)
{
	size_t len = any_length(VARINT_MAX + 2);
	uint8_t *bytes = any_bytes(len);
	uint64_t n = nondet_uint64();

	assume(n >= 240 && n < 256);
	prove(is_long_varint(bytes, bytes + len,
			     spop_read_long_varint(bytes, bytes + len, &n)),
	      "it ends inside, or nowhere");
}

/* Any bytes as a value that is no string: what session relies on. */
void prove_other_value(void)
{
	size_t len = any_length(VALUE_MAX);
	uint8_t *bytes = any_bytes(len);
	struct spop_reader r = {.p = bytes, .end = bytes + len};
	struct spop_reader before = r;
	struct spop_value value;

	spop_get_other_value(&r, &value);
	prove(is_other_value(&before, &r, &value), "all is as it says");
}

/* Any bytes as a typed value. */
void prove_read_value(void)
{
	size_t len = any_length(VALUE_MAX);
	uint8_t *bytes = any_bytes(len);
	struct spop_reader r = {.p = bytes, .end = bytes + len};
	struct spop_value value;

	spop_get_value(&r, &value);
	prove(r.p >= bytes && r.p <= r.end, "the cursor is inside");
	if (r.failed) {
		prove(value.type == SPOP_NULL, "nothing after a failure");
		return;
	}
	prove(value.type <= SPOP_BINARY, "no reserved type");
	if (value.type >= SPOP_IPV4 && value.bytes.len > 0)
		prove(value.bytes.p + value.bytes.len == (const char *)r.p,
		      "the value's bytes end where the cursor is");
}

/* Any bytes as a frame: what is accepted lies inside, header and all. */
void prove_read_frame(void)
{
	size_t len = any_length(FRAME_MAX);
	uint8_t *bytes = any_bytes(len);
	size_t limit = nondet_size();
	struct spop_frame frame;
	size_t used = 0;

	if (spop_get_frame(bytes, len, limit, &frame, &used) != SPOP_PARSED)
		return;
	prove(used <= len && used >= SPOP_LENGTH_BYTES + SPOP_FRAME_MIN,
	      "the frame is inside");
	prove(used - SPOP_LENGTH_BYTES <= limit, "no longer than the limit");
	prove(frame.payload.end == bytes + used, "its payload ends with it");
	prove(frame.payload.p >= bytes + SPOP_LENGTH_BYTES + SPOP_FRAME_MIN &&
		      frame.payload.p <= frame.payload.end,
	      "the cursor is inside");
}

/* Any frame that is written is read again as the same. */
void prove_write_frame(void)
{
	uint8_t bytes[SPOP_HEADER_MAX];
	struct spop_writer w = {bytes, bytes + sizeof(bytes), false};
	uint64_t stream_id = nondet_uint64(), frame_id = nondet_uint64();
	uint8_t *begin =
		spop_begin_frame(&w, SPOP_AGENT_ACK, stream_id, frame_id);
	struct spop_frame frame;
	size_t used = 0;

	spop_end_frame(&w, begin);
	prove(!w.failed && begin == bytes, "there is room for every header");
	prove(spop_get_frame(bytes, (size_t)(w.p - bytes), sizeof(bytes),
			     &frame, &used) == SPOP_PARSED,
	      "it is a frame");
	prove(used == (size_t)(w.p - bytes), "whole");
	prove(frame.type == SPOP_AGENT_ACK && frame.flags == SPOP_FIN &&
		      frame.stream_id == stream_id &&
		      frame.frame_id == frame_id,
	      "with the same header");
}
