/* SPDX-License-Identifier: MIT */
/*
 * spop: integers, strings, typed values and frames, byte by byte as SPOE.txt
 * section 3 writes them, and cursors that stay where they failed.
 */
#include "kit.h"

#include "../../spoa/spop.h"

#include <stdlib.h>

#define BYTES(text) ((struct span){text, sizeof(text) - 1})

/* A reader over a copy that ends at the guard page. */
static struct spop_reader read_guarded(struct span bytes)
{
	const uint8_t *p = (const uint8_t *)kit_guarded(bytes.p, bytes.len);

	return (struct spop_reader){.p = p, .end = p + bytes.len};
}

/* Once failed every get returns zero and the cursor does not move. */
static void assert_reader_stuck(struct spop_reader *r)
{
	const uint8_t *p = r->p;
	struct spop_value value = {.type = SPOP_STRING, .integer = 1};
	struct span text;

	assert_true(r->failed);
	assert_int_equal(spop_get_byte(r), 0);
	assert_int_equal(spop_get_varint(r), 0);
	text = spop_get_string(r);
	assert_int_equal(text.len, 0);
	spop_get_value(r, &value);
	assert_int_equal(value.type, SPOP_NULL);
	assert_int_equal(value.integer, 0);
	assert_int_equal(value.bytes.len, 0);
	assert_true(r->failed);
	assert_ptr_equal(r->p, p);
	assert_true(r->p <= r->end);
}

/* Encodings worked out by hand from SPOE.txt 3.1; those of 16380 and 2^64-1
 * are HAProxy's own. */
static const struct {
	uint64_t n;
	struct span bytes;
} varints[] = {
	{0, BYTES("\x00")},
	{1, BYTES("\x01")},
	{239, BYTES("\xef")},
	{240, BYTES("\xf0\x00")},
	{241, BYTES("\xf1\x00")},
	{255, BYTES("\xff\x00")},
	{256, BYTES("\xf0\x01")},
	{2287, BYTES("\xff\x7f")},
	{2288, BYTES("\xf0\x80\x00")},
	{2289, BYTES("\xf1\x80\x00")},
	{16380, BYTES("\xfc\xf0\x06")},
	{264431, BYTES("\xff\xff\x7f")},
	{264432, BYTES("\xf0\x80\x80\x00")},
	{33818863, BYTES("\xff\xff\xff\x7f")},
	{33818864, BYTES("\xf0\x80\x80\x80\x00")},
	{UINT32_MAX, BYTES("\xff\xf0\xfe\xfe\x7e")},
	{UINT32_MAX + 1ULL, BYTES("\xf0\xf1\xfe\xfe\x7e")},
	{4328786159, BYTES("\xff\xff\xff\xff\x7f")},
	{4328786160, BYTES("\xf0\x80\x80\x80\x80\x00")},
	{INT64_MAX, BYTES("\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x06")},
	{UINT64_MAX, BYTES("\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e")},
};

static void test_varint_reads(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(varints); i++) {
		struct spop_reader r = read_guarded(varints[i].bytes);

		assert_int_equal(spop_get_varint(&r), varints[i].n);
		assert_false(r.failed);
		assert_ptr_equal(r.p, r.end);
	}
}

static void test_varint_writes(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(varints); i++) {
		struct span bytes = varints[i].bytes;
		uint8_t room[10];
		struct spop_writer w = {.p = room, .end = room + 10};

		spop_put_varint(&w, varints[i].n);
		assert_false(w.failed);
		assert_int_equal(w.p - room, bytes.len);
		assert_memory_equal(room, bytes.p, bytes.len);
	}
}

static void test_varint_cut_fails(void **state)
{
	size_t i, len;

	(void)state;
	for (i = 0; i < ARRAY_LEN(varints); i++) {
		for (len = 0; len < varints[i].bytes.len; len++) {
			struct spop_reader r = read_guarded(
				(struct span){varints[i].bytes.p, len});

			assert_int_equal(spop_get_varint(&r), 0);
			assert_reader_stuck(&r);
		}
	}
}

/* 2^64 and more, and bytes that go on after what 64 bits hold. */
static void test_varint_too_large_fails(void **state)
{
	static const struct span rows[] = {
		BYTES("\xf0\xf1\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e"),
		BYTES("\xff\xff\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e"),
		BYTES("\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0f"),
		BYTES("\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x10"),
		BYTES("\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x7f"),
		BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
		BYTES("\xf0\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"),
		BYTES("\xf0\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"),
		BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct spop_reader r = read_guarded(rows[i]);

		assert_int_equal(spop_get_varint(&r), 0);
		assert_reader_stuck(&r);
	}
}

static void test_varint_round_trip(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 100000; i++) {
		uint64_t n = (kit_random() ^ kit_random() << 32) >>
			     (kit_random() % 64);
		uint8_t room[10];
		struct spop_writer w = {.p = room, .end = room + 10};
		struct spop_reader r = {.p = room};

		spop_put_varint(&w, n);
		assert_false(w.failed);
		r.end = w.p;
		assert_int_equal(spop_get_varint(&r), n);
		assert_false(r.failed);
		assert_ptr_equal(r.p, w.p);
	}
}

static void test_string(void **state)
{
	struct spop_reader r = read_guarded(BYTES("\x03"
						  "abc\x00"));
	struct span text = spop_get_string(&r);

	(void)state;
	assert_true(span_is(text, "abc"));
	assert_ptr_equal(text.p + 3, r.p);
	text = spop_get_string(&r);
	assert_int_equal(text.len, 0);
	assert_false(r.failed);
	assert_ptr_equal(r.p, r.end);
}

/* A length beyond what is left, up to those that would wrap a pointer. */
static void test_string_too_long_fails(void **state)
{
	static const struct span rows[] = {
		BYTES("\x01"),
		BYTES("\x04"
		      "abc"),
		BYTES("\xf0\x00"
		      "abc"),
		BYTES("\xff\xf0\xfe\xfe\x7e"
		      "abc"),
		BYTES("\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x06"
		      "abc"),
		BYTES("\xf0\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e"
		      "abc"),
		BYTES("\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e"
		      "abc"),
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct spop_reader r = read_guarded(rows[i]);
		struct span text = spop_get_string(&r);

		assert_int_equal(text.len, 0);
		assert_reader_stuck(&r);
	}
}

static const struct {
	struct span bytes;
	enum spop_type type;
	uint64_t integer;
	const char *text; /* or NULL when there is none */
} values[] = {
	{BYTES("\x00"), SPOP_NULL, 0, NULL},
	{BYTES("\xf0"), SPOP_NULL, 0, NULL},
	{BYTES("\x01"), SPOP_BOOL, 0, NULL},
	{BYTES("\x11"), SPOP_BOOL, 1, NULL},
	{BYTES("\x21"), SPOP_BOOL, 0, NULL},
	{BYTES("\x02\x05"), SPOP_INT32, 5, NULL},
	{BYTES("\x03\xfc\xf0\x06"), SPOP_UINT32, 16380, NULL},
	{BYTES("\x04\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e"), SPOP_INT64,
	 UINT64_MAX, NULL},
	{BYTES("\x05\x00"), SPOP_UINT64, 0, NULL},
	{BYTES("\x06"
	       "abcd"),
	 SPOP_IPV4, 0, "abcd"},
	{BYTES("\x07"
	       "0123456789abcdef"),
	 SPOP_IPV6, 0, "0123456789abcdef"},
	{BYTES("\x08\x02hi"), SPOP_STRING, 0, "hi"},
	{BYTES("\x08\x00"), SPOP_STRING, 0, NULL},
	{BYTES("\x09\x03"
	       "bin"),
	 SPOP_BINARY, 0, "bin"},
};

static void test_value_reads(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(values); i++) {
		struct spop_reader r = read_guarded(values[i].bytes);
		struct spop_value value = {.type = SPOP_BINARY,
					   .integer = 77,
					   .bytes = span_of("left over")};

		spop_get_value(&r, &value);
		assert_false(r.failed);
		assert_ptr_equal(r.p, r.end);
		assert_int_equal(value.type, values[i].type);
		assert_int_equal(value.integer, values[i].integer);
		assert_true(span_is(value.bytes,
				    values[i].text ? values[i].text : ""));
	}
}

static void test_value_cut_fails(void **state)
{
	size_t i, len;

	(void)state;
	for (i = 0; i < ARRAY_LEN(values); i++) {
		for (len = 0; len < values[i].bytes.len; len++) {
			struct spop_reader r = read_guarded(
				(struct span){values[i].bytes.p, len});
			struct spop_value value;

			spop_get_value(&r, &value);
			assert_int_equal(value.type, SPOP_NULL);
			assert_int_equal(value.integer, 0);
			assert_int_equal(value.bytes.len, 0);
			assert_reader_stuck(&r);
		}
	}
}

static void test_reserved_types_fail(void **state)
{
	unsigned int first;

	(void)state;
	for (first = 0; first < 256; first++) {
		char bytes[32] = {(char)first};
		struct spop_reader r = read_guarded((struct span){bytes, 32});
		struct spop_value value;

		spop_get_value(&r, &value);
		assert_int_equal(r.failed, (first & 0x0f) >= 10);
		if (r.failed)
			assert_reader_stuck(&r);
	}
}

/* A frame with three bytes of payload and ids of one and two bytes. */
#define FRAME                                                                  \
	"\x00\x00\x00\x0b\x03\x00\x00\x00\x01\x05\xf0\x00"                     \
	"abc"

static enum spop_parse get_frame(struct span bytes, size_t limit,
				 struct spop_frame *frame, size_t *used)
{
	const uint8_t *p = (const uint8_t *)kit_guarded(bytes.p, bytes.len);

	return spop_get_frame(p, bytes.len, limit, frame, used);
}

static void test_frame_reads(void **state)
{
	struct spop_frame frame;
	size_t used = 0;

	(void)state;
	assert_int_equal(get_frame(BYTES(FRAME), 11, &frame, &used),
			 SPOP_PARSED);
	assert_int_equal(used, sizeof(FRAME) - 1);
	assert_int_equal(frame.type, SPOP_HAPROXY_NOTIFY);
	assert_int_equal(frame.flags, SPOP_FIN);
	assert_int_equal(frame.stream_id, 5);
	assert_int_equal(frame.frame_id, 240);
	assert_int_equal(frame.payload.end - frame.payload.p, 3);
	assert_memory_equal(frame.payload.p, "abc", 3);
	assert_false(frame.payload.failed);
}

/* What follows a frame is not the frame's. */
static void test_frame_ends(void **state)
{
	struct spop_frame frame;
	size_t used = 0;

	(void)state;
	assert_int_equal(get_frame(BYTES(FRAME FRAME), 11, &frame, &used),
			 SPOP_PARSED);
	assert_int_equal(used, sizeof(FRAME) - 1);
	assert_int_equal(frame.payload.end - frame.payload.p, 3);
}

static void test_frame_partial_at_every_length(void **state)
{
	struct spop_frame frame;
	size_t used = 77, len;

	(void)state;
	for (len = 0; len < sizeof(FRAME) - 1; len++)
		assert_int_equal(
			get_frame((struct span){FRAME, len}, 11, &frame, &used),
			SPOP_PARTIAL);
}

static void test_frame_bounds(void **state)
{
	static const struct {
		struct span bytes;
		size_t limit;
		enum spop_parse result;
	} rows[] = {
		{BYTES(FRAME), 11, SPOP_PARSED},
		{BYTES(FRAME), 10, SPOP_OVERSIZE},
		{BYTES("\x00\x00\x00\x0b"), 10, SPOP_OVERSIZE},
		{BYTES("\x00\x00\x00\x0b"), 11, SPOP_PARTIAL},
		{BYTES("\xff\xff\xff\xff"), 16380, SPOP_OVERSIZE},
		{BYTES("\x00\x00\x3f\xfc"), 16380, SPOP_PARTIAL},
		{BYTES("\x00\x00\x3f\xfd"), 16380, SPOP_OVERSIZE},
		{BYTES("\x01\x00\x00\x08"), 16380, SPOP_OVERSIZE},
		{BYTES("\x00\x00\x00\x00"), 256, SPOP_BROKEN},
		{BYTES("\x00\x00\x00\x06"), 256, SPOP_BROKEN},
		{BYTES("\x00\x00\x00\x06\x03\x00\x00\x00\x01\x00"), 256,
		 SPOP_BROKEN},
		{BYTES("\x00\x00\x00\x07\x03\x00\x00\x00\x01\x00\x00"), 256,
		 SPOP_PARSED},
		/* ids that end after the frame does */
		{BYTES("\x00\x00\x00\x07\x03\x00\x00\x00\x01\x00\xf0\x00\x00"),
		 256, SPOP_BROKEN},
		{BYTES("\x00\x00\x00\x07\x03\x00\x00\x00\x01\xf0\x00\x00\x00"),
		 256, SPOP_BROKEN},
		{BYTES("\x00\x00\x00\x07\x03\x00\x00\x00\x01\xff\xff\x01\x01"),
		 256, SPOP_BROKEN},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct spop_frame frame;
		size_t used;
		int result = (int)get_frame(rows[i].bytes, rows[i].limit,
					    &frame, &used);

		if (result != (int)rows[i].result)
			fail_msg("row %zu: %d", i, result);
	}
}

/* Flags are the four bytes in network order; ids have all of 64 bits. */
static void test_frame_header_is_whole(void **state)
{
	struct spop_frame frame;
	size_t used;

	(void)state;
	assert_int_equal(
		get_frame(BYTES("\x00\x00\x00\x19\xfe\x12\x34\x56\x78"
				"\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e"
				"\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x06"),
			  256, &frame, &used),
		SPOP_PARSED);
	assert_int_equal(frame.type, 0xfe);
	assert_int_equal(frame.flags, 0x12345678);
	assert_int_equal(frame.stream_id, UINT64_MAX);
	assert_int_equal(frame.frame_id, INT64_MAX);
	assert_ptr_equal(frame.payload.p, frame.payload.end);
}

static void put_frame(struct spop_writer *w)
{
	uint8_t *begin = spop_begin_frame(w, SPOP_HAPROXY_NOTIFY, 5, 240);

	spop_put_bytes(w, "abc", 3);
	spop_end_frame(w, begin);
}

static void test_frame_writes(void **state)
{
	uint8_t *room = (uint8_t *)kit_guarded(NULL, 0) - sizeof(FRAME) + 1;
	struct spop_writer w = {.p = room, .end = room + sizeof(FRAME) - 1};

	(void)state;
	put_frame(&w);
	assert_false(w.failed);
	assert_ptr_equal(w.p, w.end);
	assert_memory_equal(room, FRAME, sizeof(FRAME) - 1);
}

/* All four bytes of the length count. */
static void test_long_frame_writes(void **state)
{
	enum { LENGTH = 0x01020304 };
	uint8_t *room = malloc(4 + LENGTH);
	struct spop_writer w = {.p = room, .end = room + 4 + LENGTH};
	uint8_t *begin = spop_begin_frame(&w, SPOP_AGENT_ACK, 0, 0);

	(void)state;
	assert_non_null(room);
	w.p = w.end;
	spop_end_frame(&w, begin);
	assert_false(w.failed);
	assert_memory_equal(room, "\x01\x02\x03\x04\x67\x00\x00\x00\x01", 9);
	free(room);
}

/* With too little room the writer fails, stays failed and stays inside. */
static void test_writer_without_room_fails(void **state)
{
	size_t len;

	(void)state;
	for (len = 0; len < sizeof(FRAME) - 1; len++) {
		uint8_t *room = (uint8_t *)kit_guarded(NULL, 0) - len;
		struct spop_writer w = {.p = room, .end = room + len};
		uint8_t *p;

		put_frame(&w);
		assert_true(w.failed);
		assert_true(w.p >= room && w.p <= w.end);
		p = w.p;
		spop_put_byte(&w, 1);
		spop_put_varint(&w, 1);
		spop_put_string(&w, span_of(""));
		spop_put_bytes(&w, "", 0);
		assert_true(w.failed);
		assert_ptr_equal(w.p, p);
	}
}

static void test_put_string(void **state)
{
	uint8_t room[8];
	struct spop_writer w = {.p = room, .end = room + sizeof(room)};

	(void)state;
	spop_put_string(&w, span_of("hi"));
	spop_put_string(&w, (struct span){0});
	spop_put_byte(&w, 0xfe);
	assert_false(w.failed);
	assert_int_equal(w.p - room, 5);
	assert_memory_equal(room, "\x02hi\x00\xfe", 5);
}

/* Whatever the bytes are, a reader ends within them. */
static void test_garbage_stays_inside(void **state)
{
	int i, k;

	(void)state;
	for (i = 0; i < 20000; i++) {
		char bytes[48];
		size_t len = (size_t)kit_random() % sizeof(bytes);
		struct spop_reader r;

		for (k = 0; k < (int)sizeof(bytes); k++)
			bytes[k] = (char)(kit_random() % 2 ? kit_random()
							   : kit_random() % 12);
		r = read_guarded((struct span){bytes, len});
		for (k = 0; k < 64 && !r.failed; k++) {
			struct spop_value value;

			spop_get_string(&r);
			spop_get_value(&r, &value);
			assert_true(r.p <= r.end);
		}
		assert_reader_stuck(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_varint_reads),
		cmocka_unit_test(test_varint_writes),
		cmocka_unit_test(test_varint_cut_fails),
		cmocka_unit_test(test_varint_too_large_fails),
		cmocka_unit_test(test_varint_round_trip),
		cmocka_unit_test(test_string),
		cmocka_unit_test(test_string_too_long_fails),
		cmocka_unit_test(test_value_reads),
		cmocka_unit_test(test_value_cut_fails),
		cmocka_unit_test(test_reserved_types_fail),
		cmocka_unit_test(test_frame_reads),
		cmocka_unit_test(test_frame_ends),
		cmocka_unit_test(test_frame_partial_at_every_length),
		cmocka_unit_test(test_frame_bounds),
		cmocka_unit_test(test_frame_header_is_whole),
		cmocka_unit_test(test_frame_writes),
		cmocka_unit_test(test_long_frame_writes),
		cmocka_unit_test(test_writer_without_room_fails),
		cmocka_unit_test(test_put_string),
		cmocka_unit_test(test_garbage_stays_inside),
	};

	return cmocka_run_group_tests_name("spop", tests, NULL, NULL);
}
