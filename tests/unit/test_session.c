/* SPDX-License-Identifier: MIT */
/*
 * session: what HAProxy may say and what it hears, as SPOE.txt section 3 and
 * the contract have it, in any split and with anything broken.
 */
#include "kit.h"

#include "../../spoa/session.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#define BYTES(text) ((struct span){text, sizeof(text) - 1})

/* The keys of a HELLO with their length. */
#define VERSIONS                                                               \
	"\x12"                                                                 \
	"supported-versions"
#define SIZE                                                                   \
	"\x0e"                                                                 \
	"max-frame-size"
#define CAPABILITIES                                                           \
	"\x0c"                                                                 \
	"capabilities"
#define ENGINE                                                                 \
	"\x09"                                                                 \
	"engine-id"
#define CHECK                                                                  \
	"\x0b"                                                                 \
	"healthcheck"
/* What HAProxy says in them. */
#define V2                                                                     \
	VERSIONS "\x08\x03"                                                    \
		 "2.0"
#define S16380 SIZE "\x03\xfc\xf0\x06"
#define CAPS                                                                   \
	CAPABILITIES "\x08\x10"                                                \
		     "pipelining,async"
#define HELLO V2 S16380 CAPS

/* A message and an argument with their length. */
#define ROUTE                                                                  \
	"\x05"                                                                 \
	"route"
#define HOST                                                                   \
	"\x04"                                                                 \
	"host"
#define CLIENT                                                                 \
	"\x06"                                                                 \
	"client"

/* What HAProxy sends, built frame by frame. */
struct wire {
	uint8_t *bytes;
	size_t len;
};

static struct wire wire;

enum { WIRE_MAX = 2 * 1024 * 1024 };

static int setup(void **state)
{
	(void)state;
	wire.bytes = malloc(WIRE_MAX);
	return wire.bytes ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	free(wire.bytes);
	return 0;
}

static void add_bytes(struct span bytes)
{
	assert_true(wire.len + bytes.len <= WIRE_MAX);
	memcpy(wire.bytes + wire.len, bytes.p, bytes.len);
	wire.len += bytes.len;
}

static void add_frame(uint8_t type, uint32_t flags, uint64_t stream_id,
		      uint64_t frame_id, struct span payload)
{
	uint8_t *begin = wire.bytes + wire.len;
	struct spop_writer w = {.p = begin, .end = wire.bytes + WIRE_MAX};

	spop_begin_frame(&w, type, stream_id, frame_id);
	spop_put_bytes(&w, payload.p, payload.len);
	spop_end_frame(&w, begin);
	assert_false(w.failed);
	begin[5] = (uint8_t)(flags >> 24);
	begin[6] = (uint8_t)(flags >> 16);
	begin[7] = (uint8_t)(flags >> 8);
	begin[8] = (uint8_t)flags;
	wire.len = (size_t)(w.p - wire.bytes);
}

static void add_hello(struct span payload)
{
	add_frame(SPOP_HAPROXY_HELLO, SPOP_FIN, 0, 0, payload);
}

static void add_notify(uint64_t stream_id, uint64_t frame_id,
		       struct span payload)
{
	add_frame(SPOP_HAPROXY_NOTIFY, SPOP_FIN, stream_id, frame_id, payload);
}

static void add_question(uint64_t stream_id, const char *host)
{
	uint8_t payload[512];
	struct spop_writer w = {.p = payload, .end = payload + sizeof(payload)};

	spop_put_string(&w, span_of("route"));
	spop_put_byte(&w, 1);
	spop_put_string(&w, span_of("host"));
	spop_put_byte(&w, SPOP_STRING);
	spop_put_string(&w, span_of(host));
	assert_false(w.failed);
	add_notify(stream_id, 1,
		   (struct span){(char *)payload, (size_t)(w.p - payload)});
}

/* Feeds all that is on the wire, at the guard page. */
static void feed_wire(struct session *s)
{
	session_feed(s, (uint8_t *)kit_guarded(wire.bytes, wire.len), wire.len);
}

/* A session that has fed on what follows. */
static void begin(struct session *s)
{
	session_init(s);
	wire.len = 0;
}

/* A session past a HELLO with a frame size of `size`, its output sent. */
static void begin_open(struct session *s, uint32_t size)
{
	uint8_t offer[10];
	struct spop_writer w = {.p = offer, .end = offer + sizeof(offer)};
	char hello[128];
	struct question q;
	size_t len = sizeof(V2 CAPS SIZE "\x03") - 1;

	spop_put_varint(&w, size);
	memcpy(hello, V2 CAPS SIZE "\x03", len);
	memcpy(hello + len, offer, (size_t)(w.p - offer));
	begin(s);
	add_hello((struct span){hello, len + (size_t)(w.p - offer)});
	feed_wire(s);
	assert_int_equal(session_next(s, &q), SESSION_HUNGRY);
	assert_int_equal(session_used(s), wire.len);
	session_sent(s, session_output(s).len);
	wire.len = 0;
}

/* The next frame of the output, which it takes. False when there is none. */
static bool take_output(struct session *s, struct spop_frame *frame)
{
	struct span out = session_output(s);
	size_t used = 0;

	if (out.len == 0)
		return false;
	assert_int_equal(spop_get_frame((const uint8_t *)out.p, out.len,
					SESSION_FRAME_MAX, frame, &used),
			 SPOP_PARSED);
	assert_int_equal(frame->flags, SPOP_FIN);
	session_sent(s, used);
	return true;
}

/* Reads a DISCONNECT to its end and returns its code. */
static int read_goodbye(struct spop_frame *frame)
{
	struct spop_reader *r = &frame->payload;
	struct spop_value code, message;

	assert_int_equal(frame->type, SPOP_AGENT_DISCONNECT);
	assert_int_equal(frame->stream_id, 0);
	assert_int_equal(frame->frame_id, 0);
	assert_true(span_is(spop_get_string(r), "status-code"));
	spop_get_value(r, &code);
	assert_int_equal(code.type, SPOP_UINT32);
	assert_true(span_is(spop_get_string(r), "message"));
	spop_get_value(r, &message);
	assert_int_equal(message.type, SPOP_STRING);
	assert_in_range(message.bytes.len, 1, 255);
	assert_false(r->failed);
	assert_ptr_equal(r->p, r->end);
	return (int)code.integer;
}

/* The next of the output is a DISCONNECT with `code`, and no more follows,
 * whatever is fed or answered. */
static void assert_ends(struct session *s, int code)
{
	struct spop_frame frame;
	struct question q;

	assert_int_equal(session_next(s, &q), SESSION_ENDED);
	assert_int_equal(s->state, SESSION_OVER);
	assert_int_equal(s->code, code);
	assert_true(take_output(s, &frame));
	assert_int_equal(read_goodbye(&frame), code);
	session_end(s, SPOP_TIMEOUT, "again");
	assert_int_equal(session_output(s).len, 0);
	wire.len = 0;
	add_hello(BYTES(HELLO));
	feed_wire(s);
	assert_int_equal(session_next(s, &q), SESSION_ENDED);
	assert_int_equal(session_output(s).len, 0);
}

/* HELLO */

static void test_hello_is_answered_in_these_bytes(void **state)
{
	static const char expected[] =
		"\x00\x00\x00\x40\x65\x00\x00\x00\x01\x00\x00"
		"\x07"
		"version\x08\x03"
		"2.0"
		"\x0e"
		"max-frame-size\x03\xfc\xf0\x06"
		"\x0c"
		"capabilities\x08\x0a"
		"pipelining";
	struct session s;
	struct question q;
	struct span out;

	(void)state;
	begin(&s);
	add_hello(BYTES(HELLO));
	feed_wire(&s);
	assert_int_equal(session_next(&s, &q), SESSION_HUNGRY);
	out = session_output(&s);
	assert_int_equal(out.len, sizeof(expected) - 1);
	assert_memory_equal(out.p, expected, out.len);
	assert_int_equal(s.state, SESSION_OPEN);
	assert_false(s.health_check);
	assert_null(s.complaint);
	session_fini(&s);
}

enum { ACCEPTED = -1 };

static const struct {
	const char *name;
	struct span payload;
	int code; /* of the DISCONNECT, or ACCEPTED */
} hellos[] = {
	{"as HAProxy says it", BYTES(HELLO), ACCEPTED},
	{"another order", BYTES(CAPS S16380 V2), ACCEPTED},
	{"no capability", BYTES(V2 S16380 CAPABILITIES "\x08\x00"), ACCEPTED},
	{"two versions",
	 BYTES(VERSIONS "\x08\x08"
			"1.0, 2.0" S16380 CAPS),
	 ACCEPTED},
	{"no blank",
	 BYTES(VERSIONS "\x08\x07"
			"2.0,3.0" S16380 CAPS),
	 ACCEPTED},
	{"blanks",
	 BYTES(VERSIONS "\x08\x0a"
			" 1.0 , 2.0" S16380 CAPS),
	 ACCEPTED},
	{"a blank behind",
	 BYTES(VERSIONS "\x08\x04"
			"2.0 " S16380 CAPS),
	 ACCEPTED},
	{"an unknown key",
	 BYTES(HELLO "\x01"
		     "x\x04\x07"),
	 ACCEPTED},
	{"an empty key", BYTES("\x00\x00" HELLO), ACCEPTED},
	{"key like another",
	 BYTES(HELLO "\x0b"
		     "healthchec2\x11"),
	 ACCEPTED},
	{"int32", BYTES(V2 CAPS SIZE "\x02\xfc\xf0\x06"), ACCEPTED},
	{"int64", BYTES(V2 CAPS SIZE "\x04\xfc\xf0\x06"), ACCEPTED},
	{"uint64", BYTES(V2 CAPS SIZE "\x05\xfc\xf0\x06"), ACCEPTED},
	{"the least size", BYTES(V2 CAPS SIZE "\x03\xf0\x01"), ACCEPTED},
	{"of a repeated key the first counts",
	 BYTES(HELLO VERSIONS "\x08\x03"
			      "1.0"),
	 ACCEPTED},
	{"healthcheck false", BYTES(HELLO CHECK "\x01"), ACCEPTED},

	{"nothing", BYTES(""), SPOP_NO_VERSION},
	{"no version", BYTES(S16380 CAPS), SPOP_NO_VERSION},
	{"a longer key",
	 BYTES("\x13"
	       "supported-versions2\x08\x03"
	       "2.0" S16380 CAPS),
	 SPOP_NO_VERSION},
	{"a shorter key",
	 BYTES("\x11"
	       "supported-version\x08\x03"
	       "2.0" S16380 CAPS),
	 SPOP_NO_VERSION},
	{"no size", BYTES(V2 CAPS), SPOP_NO_FRAME_SIZE},
	{"no capabilities", BYTES(V2 S16380), SPOP_NO_CAPABILITIES},
	{"version 1.0",
	 BYTES(VERSIONS "\x08\x03"
			"1.0" S16380 CAPS),
	 SPOP_BAD_VERSION},
	{"empty list", BYTES(VERSIONS "\x08\x00" S16380 CAPS),
	 SPOP_BAD_VERSION},
	{"commas", BYTES(VERSIONS "\x08\x02,," S16380 CAPS), SPOP_BAD_VERSION},
	{"version 12.0",
	 BYTES(VERSIONS "\x08\x04"
			"12.0" S16380 CAPS),
	 SPOP_BAD_VERSION},
	{"version 2.01",
	 BYTES(VERSIONS "\x08\x04"
			"2.01" S16380 CAPS),
	 SPOP_BAD_VERSION},
	{"version 2",
	 BYTES(VERSIONS "\x08\x01"
			"2" S16380 CAPS),
	 SPOP_BAD_VERSION},
	{"version 2.0 in pieces",
	 BYTES(VERSIONS "\x08\x04"
			"2. 0" S16380 CAPS),
	 SPOP_BAD_VERSION},
	{"size 0", BYTES(V2 CAPS SIZE "\x03\x00"), SPOP_BAD_FRAME_SIZE},
	{"size 255", BYTES(V2 CAPS SIZE "\x03\xff\x00"), SPOP_BAD_FRAME_SIZE},

	{"binary version",
	 BYTES(VERSIONS "\x09\x03"
			"2.0" S16380 CAPS),
	 SPOP_INVALID},
	{"number as version", BYTES(VERSIONS "\x03\x02" S16380 CAPS),
	 SPOP_INVALID},
	{"text as size",
	 BYTES(V2 CAPS SIZE "\x08\x05"
			    "16380"),
	 SPOP_INVALID},
	{"bool as size", BYTES(V2 CAPS SIZE "\x11"), SPOP_INVALID},
	{"address as size",
	 BYTES(V2 CAPS SIZE "\x06"
			    "abcd"),
	 SPOP_INVALID},
	{"number as capabilities", BYTES(V2 S16380 CAPABILITIES "\x03\x01"),
	 SPOP_INVALID},
	{"a reserved type",
	 BYTES(HELLO "\x01"
		     "x\x0a"),
	 SPOP_INVALID},
	{"a key without value",
	 BYTES(HELLO "\x01"
		     "x"),
	 SPOP_INVALID},
	{"half a key",
	 BYTES(HELLO "\x02"
		     "x"),
	 SPOP_INVALID},
	{"a length near 2^64",
	 BYTES(HELLO "\x01"
		     "x\x08\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e"),
	 SPOP_INVALID},
};

static void test_hello_is_judged(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(hellos); i++) {
		struct session s;
		struct question q;
		int code = ACCEPTED;

		begin(&s);
		add_hello(hellos[i].payload);
		feed_wire(&s);
		if (session_next(&s, &q) == SESSION_ENDED)
			code = (int)s.code;
		if (code != hellos[i].code)
			fail_msg("%s: %d", hellos[i].name, code);
		if (code == ACCEPTED)
			assert_int_equal(s.state, SESSION_OPEN);
		else
			assert_ends(&s, code);
		session_fini(&s);
	}
}

/* What cuts a HELLO short anywhere is seen; the length says it is whole. */
static void test_hello_cut_is_invalid(void **state)
{
	static const struct span last[] = {BYTES(V2), BYTES(V2 S16380)};
	size_t len;

	(void)state;
	for (len = 1; len < sizeof(HELLO) - 1; len++) {
		struct session s;
		struct question q;

		begin(&s);
		add_hello((struct span){HELLO, len});
		feed_wire(&s);
		assert_int_equal(session_next(&s, &q), SESSION_ENDED);
		if (len == last[0].len)
			assert_ends(&s, SPOP_NO_FRAME_SIZE);
		else if (len == last[1].len)
			assert_ends(&s, SPOP_NO_CAPABILITIES);
		else
			assert_ends(&s, SPOP_INVALID);
		session_fini(&s);
	}
}

/* The size that the AGENT-HELLO tells. */
static uint64_t read_hello_size(struct session *s)
{
	struct spop_frame frame;
	struct spop_value value;

	assert_true(take_output(s, &frame));
	assert_int_equal(frame.type, SPOP_AGENT_HELLO);
	spop_get_string(&frame.payload);
	spop_get_value(&frame.payload, &value);
	spop_get_string(&frame.payload);
	spop_get_value(&frame.payload, &value);
	assert_false(frame.payload.failed);
	return value.integer;
}

static void test_frame_size_is_agreed(void **state)
{
	static const struct {
		struct span offer;
		uint64_t told;
		bool is_check;
	} rows[] = {
		{BYTES("\xf0\x01"), 256, false},
		{BYTES("\xf1\x01"), 257, false},
		{BYTES("\xfc\xf0\x06"), 16380, false},
		{BYTES("\xf0\xf1\xfe\x02"), 1024 * 1024, false},
		{BYTES("\xf1\xf1\xfe\x02"), 1024 * 1024, false},
		{BYTES("\xf0\x81\xff\xfe\x7e"), 1024 * 1024, false},
		{BYTES("\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e"), 1024 * 1024,
		 false},
		{BYTES("\xf0\x01"), 256, true},
		{BYTES("\xfb\xf0\x00"), 4091, true},
		{BYTES("\xfc\xf0\x00"), 4092, true},
		{BYTES("\xfd\xf0\x00"), 4092, true},
		{BYTES("\xfc\xf0\x06"), 4092, true},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct session s;
		struct question q;
		char hello[128] = V2 CAPS CHECK "\x01" SIZE "\x05";
		size_t len = sizeof(V2 CAPS CHECK "\x01" SIZE "\x05") - 1;
		uint64_t told;

		if (rows[i].is_check)
			hello[sizeof(V2 CAPS CHECK) - 1] = 0x11;
		memcpy(hello + len, rows[i].offer.p, rows[i].offer.len);
		begin(&s);
		add_hello((struct span){hello, len + rows[i].offer.len});
		feed_wire(&s);
		assert_int_equal(session_next(&s, &q),
				 rows[i].is_check ? SESSION_ENDED
						  : SESSION_HUNGRY);
		told = read_hello_size(&s);
		if (told != rows[i].told)
			fail_msg("row %zu: %d", i, (int)told);
		session_fini(&s);
	}
}

/* AGENT-HELLO, then the end, and not one byte more. */
static void test_health_check_gets_a_hello_alone(void **state)
{
	struct session s;
	struct question q;
	struct spop_frame frame;

	(void)state;
	begin(&s);
	add_hello(BYTES(HELLO CHECK "\x11"));
	add_question(1, "a.b");
	feed_wire(&s);
	assert_int_equal(session_next(&s, &q), SESSION_ENDED);
	assert_true(s.health_check);
	assert_int_equal(s.code, SPOP_NORMAL);
	assert_true(take_output(&s, &frame));
	assert_int_equal(frame.type, SPOP_AGENT_HELLO);
	session_end(&s, SPOP_NORMAL, "bye");
	assert_int_equal(session_output(&s).len, 0);
	assert_int_equal(session_next(&s, &q), SESSION_ENDED);
	session_fini(&s);
}

static void test_engine_id_is_kept_printable(void **state)
{
	static const struct {
		struct span payload;
		const char *kept;
	} rows[] = {
		{BYTES(HELLO), ""},
		{BYTES(HELLO ENGINE "\x08\x05"
				    "e-1.~"),
		 "e-1.~"},
		{BYTES(HELLO ENGINE "\x08\x06"
				    "a\x1b\xff \x7f\x00"),
		 "a?????"},
		{BYTES(HELLO ENGINE "\x08\x00"), ""},
		{BYTES(HELLO ENGINE "\x08\x41"
				    "0123456789abcdef0123456789abcdef"
				    "0123456789abcdef0123456789abcdefX"),
		 "0123456789abcdef0123456789abcdef"
		 "0123456789abcdef0123456789abcdef"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct session s;
		struct question q;

		begin(&s);
		add_hello(rows[i].payload);
		feed_wire(&s);
		assert_int_equal(session_next(&s, &q), SESSION_HUNGRY);
		assert_string_equal(s.engine_id, rows[i].kept);
		session_fini(&s);
	}
}

/* Frames that end the session, or do not, in each state. */

static const struct {
	const char *name;
	uint8_t type;
	uint32_t flags;
	uint64_t stream_id;
	uint64_t frame_id;
	struct span payload;
	int before; /* the code when it comes before the HELLO, ACCEPTED: none
		     */
	int after;
} frames[] = {
	{"UNSET", 0, 1, 0, 0, BYTES(""), ACCEPTED, ACCEPTED},
	{"UNSET, FIN off", 0, 0, 9, 9, BYTES("\xff"), ACCEPTED, ACCEPTED},
	{"type 4", 4, 1, 1, 1, BYTES("x"), ACCEPTED, ACCEPTED},
	{"type 100", 100, 1, 1, 1, BYTES(""), ACCEPTED, ACCEPTED},
	{"AGENT-HELLO", 101, 1, 0, 0, BYTES(""), ACCEPTED, ACCEPTED},
	{"AGENT-DISCONNECT", 102, 1, 0, 0, BYTES(""), ACCEPTED, ACCEPTED},
	{"AGENT-ACK", 103, 1, 1, 1, BYTES(""), ACCEPTED, ACCEPTED},
	{"type 255", 255, 0xffffffff, 1, 1, BYTES("x"), ACCEPTED, ACCEPTED},
	{"HELLO", 1, 1, 0, 0, BYTES(HELLO), ACCEPTED, SPOP_INVALID},
	{"HELLO of a stream", 1, 1, 1, 0, BYTES(HELLO), SPOP_INVALID,
	 SPOP_INVALID},
	{"HELLO of a frame", 1, 1, 0, 1, BYTES(HELLO), SPOP_INVALID,
	 SPOP_INVALID},
	{"HELLO, FIN off", 1, 0, 0, 0, BYTES(HELLO), SPOP_FRAGMENTED,
	 SPOP_FRAGMENTED},
	{"NOTIFY", 3, 1, 1, 1, BYTES(""), SPOP_INVALID, ACCEPTED},
	{"NOTIFY of stream 0", 3, 1, 0, 1, BYTES(""), SPOP_INVALID, ACCEPTED},
	{"NOTIFY, FIN off", 3, 0, 1, 1, BYTES(""), SPOP_FRAGMENTED,
	 SPOP_FRAGMENTED},
	{"NOTIFY, ABORT alone", 3, 2, 1, 1, BYTES(""), SPOP_FRAGMENTED,
	 SPOP_FRAGMENTED},
	{"NOTIFY, other flags", 3, 0x80000001, 1, 1, BYTES(""), SPOP_INVALID,
	 ACCEPTED},
	{"DISCONNECT", 2, 1, 0, 0,
	 BYTES("\x0b"
	       "status-code\x03\x00\x07"
	       "message\x08\x02"
	       "ok"),
	 SPOP_NORMAL, SPOP_NORMAL},
	{"DISCONNECT with a reason", 2, 1, 0, 0,
	 BYTES("\x0b"
	       "status-code\x03\x63\x07"
	       "message\x08\x02"
	       "no"),
	 SPOP_NORMAL, SPOP_NORMAL},
	{"DISCONNECT of a stream", 2, 1, 1, 0, BYTES(""), SPOP_INVALID,
	 SPOP_INVALID},
	{"DISCONNECT of a frame", 2, 1, 0, 1, BYTES(""), SPOP_INVALID,
	 SPOP_INVALID},
	{"DISCONNECT, FIN off", 2, 0, 0, 0, BYTES(""), SPOP_FRAGMENTED,
	 SPOP_FRAGMENTED},
	{"DISCONNECT, cut", 2, 1, 0, 0,
	 BYTES("\x0b"
	       "status-code\x03"),
	 SPOP_INVALID, SPOP_INVALID},
	{"DISCONNECT, cut later", 2, 1, 0, 0,
	 BYTES("\x0b"
	       "status-code\x03\x00\x07"
	       "messag"),
	 SPOP_INVALID, SPOP_INVALID},
};

static void judge_frame(size_t row, struct session *s, int code)
{
	enum session_event event;
	struct question q;

	add_frame(frames[row].type, frames[row].flags, frames[row].stream_id,
		  frames[row].frame_id, frames[row].payload);
	feed_wire(s);
	event = session_next(s, &q);
	if (event == SESSION_QUESTION)
		event = session_next(s, &q);
	if (code == ACCEPTED && event != SESSION_HUNGRY)
		fail_msg("%s: %d", frames[row].name, (int)s->code);
	if (code == ACCEPTED)
		assert_int_equal(session_used(s), wire.len);
	else if ((int)s->code != code || event != SESSION_ENDED)
		fail_msg("%s: %d", frames[row].name, (int)s->code);
	else
		assert_ends(s, code);
}

static void test_frames_are_judged(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(frames); i++) {
		struct session s;

		begin(&s);
		judge_frame(i, &s, frames[i].before);
		session_fini(&s);
		begin_open(&s, 16380);
		judge_frame(i, &s, frames[i].after);
		session_fini(&s);
	}
}

static void test_broken_lengths_end(void **state)
{
	static const struct {
		struct span bytes;
		int code;
	} rows[] = {
		{BYTES("\x00\x00\x00\x00"), SPOP_INVALID},
		{BYTES("\x00\x00\x00\x06"), SPOP_INVALID},
		{BYTES("\x00\x00\x01\x2d"), SPOP_TOO_BIG},
		{BYTES("\xff\xff\xff\xff"), SPOP_TOO_BIG},
		{BYTES("GET / HTTP/1.1\r\n\r\n"), SPOP_TOO_BIG},
		{BYTES("\x00\x00\x00\x07\x03\x00\x00\x00\x01\xff\xff"),
		 SPOP_INVALID},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct session s;

		begin_open(&s, 300);
		add_bytes(rows[i].bytes);
		feed_wire(&s);
		assert_ends(&s, rows[i].code);
		session_fini(&s);
	}
}

/* Before the HELLO a frame may be as long as HAProxy's default. */
static void test_first_frame_has_a_bound(void **state)
{
	struct session s;
	struct question q;

	(void)state;
	begin(&s);
	add_bytes(BYTES("\x00\x00\x3f\xfc"));
	feed_wire(&s);
	assert_int_equal(session_next(&s, &q), SESSION_HUNGRY);
	session_fini(&s);
	begin(&s);
	add_bytes(BYTES("\x00\x00\x3f\xfd"));
	feed_wire(&s);
	assert_ends(&s, SPOP_TOO_BIG);
	session_fini(&s);
}

/* NOTIFY */

#define HOST_AB                                                                \
	HOST "\x08\x03"                                                        \
	     "a.b"

static const struct {
	const char *name;
	struct span payload;
	const char *host; /* "" when there is none, NULL: DISCONNECT 4 */
} notifies[] = {
	{"as HAProxy says it", BYTES(ROUTE "\x01" HOST_AB), "a.b"},
	{"no message", BYTES(""), ""},
	{"no argument", BYTES(ROUTE "\x00"), ""},
	{"another message",
	 BYTES("\x05"
	       "other\x01" HOST_AB),
	 ""},
	{"a longer name",
	 BYTES("\x06"
	       "route2\x01" HOST_AB),
	 ""},
	{"a shorter name",
	 BYTES("\x04"
	       "rout\x01" HOST_AB),
	 ""},
	{"another case",
	 BYTES("\x05"
	       "Route\x01" HOST_AB),
	 ""},
	{"a nameless message", BYTES("\x00\x01" HOST_AB), ""},
	{"a longer argument",
	 BYTES(ROUTE "\x01\x05"
		     "host2\x08\x01"
		     "x"),
	 ""},
	{"a nameless argument",
	 BYTES(ROUTE "\x01\x00\x08\x01"
		     "x"),
	 ""},
	{"NULL", BYTES(ROUTE "\x01" HOST "\x00"), ""},
	{"empty", BYTES(ROUTE "\x01" HOST "\x08\x00"), ""},
	{"binary",
	 BYTES(ROUTE "\x01" HOST "\x09\x03"
		     "a.b"),
	 ""},
	{"number", BYTES(ROUTE "\x01" HOST "\x04\x05"), ""},
	{"bool", BYTES(ROUTE "\x01" HOST "\x11"), ""},
	{"address",
	 BYTES(ROUTE "\x01" HOST "\x06"
		     "abcd"),
	 ""},
	{"any bytes",
	 BYTES(ROUTE "\x01" HOST "\x08\x03\x01\xff"
		     "b"),
	 "\x01\xff"
	 "b"},
	{"behind another message",
	 BYTES("\x01"
	       "m\x02\x01"
	       "x\x00" HOST "\x08\x01"
	       "z" ROUTE "\x01" HOST_AB),
	 "a.b"},
	{"behind other arguments",
	 BYTES(ROUTE "\x08\x01"
		     "a\x00\x01"
		     "b\x11\x01"
		     "c\x04\xf0\x01\x01"
		     "d\x06"
		     "abcd\x01"
		     "e\x07"
		     "0123456789abcdef\x01"
		     "f\x08\x01"
		     "x\x01"
		     "g\x09\x02"
		     "yz" HOST_AB),
	 "a.b"},
	{"before other arguments",
	 BYTES(ROUTE "\x02" HOST_AB "\x06"
		     "client\x06"
		     "abcd"),
	 "a.b"},
	{"two hosts",
	 BYTES(ROUTE "\x02" HOST_AB HOST "\x08\x03"
		     "c.d"),
	 "a.b"},
	{"two hosts, NULL first", BYTES(ROUTE "\x02" HOST "\x00" HOST_AB), ""},
	{"two routes",
	 BYTES(ROUTE "\x01" HOST_AB ROUTE "\x01" HOST "\x08\x03"
		     "c.d"),
	 "a.b"},
	{"no argument, then a message host",
	 BYTES(ROUTE "\x00" HOST "\x08\x01"
		     "a\x00\x01"
		     "b\x00\x01"
		     "c\x00\x01"
		     "d\x00\x01"
		     "e\x00\x01"
		     "f\x00\x01"
		     "g\x00\x01"
		     "h\x00"),
	 ""},
	{"two routes, none in the first",
	 BYTES(ROUTE "\x00" ROUTE "\x01" HOST_AB), ""},

	{"no arguments' number", BYTES(ROUTE), NULL},
	{"too few arguments", BYTES(ROUTE "\x02" HOST_AB), NULL},
	{"too many arguments", BYTES(ROUTE "\x01" HOST_AB HOST_AB), NULL},
	{"a cut address",
	 BYTES(ROUTE "\x02" HOST_AB CLIENT "\x06"
		     "abc"),
	 NULL},
	{"a byte behind the address",
	 BYTES(ROUTE "\x02" HOST_AB CLIENT "\x06"
		     "abcde"),
	 NULL},
	{"a third argument is missing",
	 BYTES(ROUTE "\x03" HOST_AB CLIENT "\x06"
		     "abcd"),
	 NULL},
	{"an address beyond the arguments",
	 BYTES(ROUTE "\x01" HOST_AB CLIENT "\x06"
		     "abcd"),
	 NULL},
	{"half a name",
	 BYTES("\x06"
	       "route"),
	 NULL},
	{"a reserved type", BYTES(ROUTE "\x01" HOST "\x0f"), NULL},
	{"a cut host",
	 BYTES(ROUTE "\x01" HOST "\x08\x04"
		     "a.b"),
	 NULL},
	{"a length near 2^64",
	 BYTES(ROUTE "\x01" HOST "\x08\xff\xf0\xfe\xfe\xfe\xfe\xfe\xfe\xfe\x0e"
		     "a.b"),
	 NULL},
	{"a broken message behind",
	 BYTES(ROUTE "\x01" HOST_AB "\x05"
		     "oth"),
	 NULL},
	{"a broken message before",
	 BYTES("\x01"
	       "m\x01\x01"
	       "x\x0a" ROUTE "\x01" HOST_AB),
	 NULL},
};

static void test_notify_asks(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(notifies); i++) {
		struct session s;
		struct question q = {.host = span_of("left over")};
		enum session_event event;

		begin_open(&s, 16380);
		add_notify(UINT64_MAX, 1ULL << 40, notifies[i].payload);
		feed_wire(&s);
		event = session_next(&s, &q);
		if (!notifies[i].host) {
			if (event != SESSION_ENDED)
				fail_msg("%s: %d", notifies[i].name, event);
			assert_ends(&s, SPOP_INVALID);
		} else {
			if (event != SESSION_QUESTION ||
			    !span_is(q.host, notifies[i].host))
				fail_msg("%s: '%.*s'", notifies[i].name,
					 (int)q.host.len, q.host.p);
			assert_int_equal(q.stream_id, UINT64_MAX);
			assert_int_equal(q.frame_id, 1ULL << 40);
			assert_int_equal(session_output(&s).len, 0);
		}
		session_fini(&s);
	}
}

static const struct {
	struct span payload;
	struct span client;
} clients[] = {
	{BYTES(ROUTE "\x02" HOST_AB CLIENT "\x06"
		     "abcd"),
	 BYTES("abcd")},
	{BYTES(ROUTE "\x02" CLIENT "\x07"
		     "0123456789abcdef" HOST_AB),
	 BYTES("0123456789abcdef")},
	{BYTES(ROUTE "\x02" HOST_AB CLIENT "\x08\x01"
		     "x"),
	 BYTES("x")},
	{BYTES(ROUTE "\x02" HOST_AB CLIENT "\x09\x01"
		     "x"),
	 BYTES("")},
	{BYTES(ROUTE "\x02" HOST_AB CLIENT "\x00"), BYTES("")},
	{BYTES(ROUTE "\x02" HOST_AB CLIENT "\x04\x05"), BYTES("")},
	{BYTES(ROUTE "\x01" HOST_AB), BYTES("")},
	/* the first of several counts */
	{BYTES(ROUTE "\x03" CLIENT "\x00" HOST_AB CLIENT "\x08\x01"
		     "x"),
	 BYTES("")},
	{BYTES(ROUTE "\x01" HOST_AB ROUTE "\x01" CLIENT "\x08\x01"
		     "x"),
	 BYTES("")},
	{BYTES("\x01"
	       "m\x01" CLIENT "\x08\x01"
	       "x" ROUTE "\x01" HOST_AB),
	 BYTES("")},
};

static void test_client_is_kept(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(clients); i++) {
		struct session s;
		struct question q = {.client = span_of("left over")};

		begin_open(&s, 16380);
		add_notify(1, 1, clients[i].payload);
		feed_wire(&s);
		assert_int_equal(session_next(&s, &q), SESSION_QUESTION);
		assert_true(span_is(q.host, "a.b"));
		if (!span_equal(q.client, clients[i].client))
			fail_msg("row %zu: '%.*s'", i, (int)q.client.len,
				 q.client.p);
		session_fini(&s);
	}
}

/* nargs is a whole byte. */
static void test_notify_of_255_arguments(void **state)
{
	char payload[7 + 255 * 2 + 16] = ROUTE "\xff";
	struct session s;
	struct question q;
	size_t len = 7 + 254 * 2;

	(void)state;
	memcpy(payload + len, HOST_AB, sizeof(HOST_AB) - 1);
	begin_open(&s, 16380);
	add_notify(1, 1, (struct span){payload, len + sizeof(HOST_AB) - 1});
	feed_wire(&s);
	assert_int_equal(session_next(&s, &q), SESSION_QUESTION);
	assert_true(span_is(q.host, "a.b"));
	session_fini(&s);
}

/* A frame of exactly the agreed size asks, one byte more ends. */
static void test_agreed_size_is_held(void **state)
{
	char payload[512] = "\x01"
			    "x\x01\x00\x08\xfb\x0e";
	uint32_t length;

	(void)state;
	for (length = 256 + 240; length <= 257 + 240; length++) {
		struct session s;
		struct question q;
		enum session_event event;

		begin_open(&s, 256 + 240);
		payload[5] = (char)(0xf0 | ((length - 7 - 7) & 0x0f));
		payload[6] = (char)((length - 7 - 7 - 240) >> 4);
		add_notify(1, 1, (struct span){payload, length - 7});
		feed_wire(&s);
		event = session_next(&s, &q);
		if (length == 256 + 240)
			assert_int_equal(event, SESSION_QUESTION);
		else
			assert_ends(&s, SPOP_TOO_BIG);
		session_fini(&s);
	}
}

/* ACK */

/* Appends a variable as a line `name=value`. */
static void print_var(struct spop_reader *r, char *text, size_t size)
{
	size_t at = strlen(text);
	char address[INET6_ADDRSTRLEN];
	struct spop_value value;
	struct span name;

	assert_int_equal(spop_get_byte(r), 1); /* set-var */
	assert_int_equal(spop_get_byte(r), 3); /* its arguments */
	assert_int_equal(spop_get_byte(r), 2); /* txn */
	name = spop_get_string(r);
	assert_true(r->p < r->end && *r->p < 0x10); /* a type without flags */
	spop_get_value(r, &value);
	assert_false(r->failed);
	switch ((int)value.type) {
	case SPOP_STRING:
		snprintf(text + at, size - at, "%.*s=%.*s\n", (int)name.len,
			 name.p, (int)value.bytes.len, value.bytes.p);
		break;
	case SPOP_UINT32:
		snprintf(text + at, size - at, "%.*s=%u\n", (int)name.len,
			 name.p, (unsigned int)value.integer);
		break;
	case SPOP_IPV4:
	case SPOP_IPV6:
		inet_ntop(value.type == SPOP_IPV4 ? AF_INET : AF_INET6,
			  value.bytes.p, address, sizeof(address));
		snprintf(text + at, size - at, "%.*s=%s\n", (int)name.len,
			 name.p, address);
		break;
	default:
		fail_msg("type %d", (int)value.type);
	}
}

/* The variables of an ACK, a line each. */
static void read_ack(struct spop_frame *frame, char *text, size_t size)
{
	struct spop_reader *r = &frame->payload;

	assert_int_equal(frame->type, SPOP_AGENT_ACK);
	text[0] = '\0';
	while (r->p < r->end)
		print_var(r, text, size);
	assert_true(text[0] != '\0');
}

/* `text` has the lines of `expected`, in any order, and no others. */
static void assert_lines(const char *text, const char *expected)
{
	char line[512];

	if (strlen(text) != strlen(expected))
		fail_msg("not\n%sbut\n%s", expected, text);
	while (*expected != '\0') {
		size_t len = strcspn(expected, "\n") + 1;
		const char *found;

		snprintf(line, sizeof(line), "%.*s", (int)len, expected);
		found = strstr(text, line);
		if (!found || (found != text && found[-1] != '\n'))
			fail_msg("no %sin\n%s", line, text);
		expected += len;
	}
}

static const uint8_t ipv4[] = {192, 168, 1, 1};
static const uint8_t ipv6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};

static const struct {
	struct answer answer;
	const char *variables;
} answers[] = {
	{{ANSWER_OK, ANSWER_FROM_CACHE, ipv4, 4, 9000, BYTES("app1.cloud.com"),
	  BYTES(""), NULL, 0, 0, false},
	 "status=ok\nip=192.168.1.1\nport=9000\nsource=cache\n"
	 "route=app1.cloud.com\n"},
	{{ANSWER_OK, ANSWER_FROM_REDIS, ipv6, 16, 65535, BYTES("*"),
	  BYTES("be.k"), NULL, 0, 0, false},
	 "status=ok\nip=2001:db8::1\nport=65535\nsource=redis\nroute=*\n"
	 "backend=be.k\n"},
	{{ANSWER_OK, ANSWER_FROM_STALE, ipv4, 4, 1, BYTES("*.a"), BYTES(""),
	  NULL, 0, 0, false},
	 "status=ok\nip=192.168.1.1\nport=1\nsource=stale\nroute=*.a\n"},
	{{ANSWER_OK, ANSWER_FROM_CACHE, ipv4, 4, 1, BYTES("a"), BYTES("b"),
	  NULL, 0, 0, false},
	 "status=ok\nip=192.168.1.1\nport=1\nsource=cache\nroute=a\n"
	 "backend=b\n"},
	{{ANSWER_OK, ANSWER_FROM_CACHE, ipv4, 4, 1, BYTES("a"), BYTES("b"),
	  ipv6, 16, 443, false},
	 "status=ok\nip=192.168.1.1\nport=1\nip2=2001:db8::1\nport2=443\n"
	 "source=cache\nbackend=b\nroute=a\n"},
	{{ANSWER_OK, ANSWER_FROM_CACHE, ipv6, 16, 1, BYTES("a"), BYTES(""),
	  ipv4, 4, 65535, false},
	 "status=ok\nip=2001:db8::1\nport=1\nip2=192.168.1.1\n"
	 "port2=65535\nsource=cache\nroute=a\n"},
	{{.status = ANSWER_NOT_FOUND, .source = ANSWER_FROM_CACHE},
	 "status=not_found\nsource=cache\n"},
	{{.status = ANSWER_BAD_HOST, .source = ANSWER_FROM_NONE},
	 "status=bad_host\nsource=none\n"},
	{{.status = ANSWER_BAD_ROUTE,
	  .source = ANSWER_FROM_REDIS,
	  .route = BYTES("x.y")},
	 "status=bad_route\nsource=redis\nroute=x.y\n"},
	{{.status = ANSWER_DOWN,
	  .source = ANSWER_FROM_CACHE,
	  .route = BYTES("x.y")},
	 "status=down\nsource=cache\nroute=x.y\n"},
	{{.status = ANSWER_UNAVAILABLE, .source = ANSWER_FROM_NONE},
	 "status=unavailable\nsource=none\n"},
	{{ANSWER_OK, ANSWER_FROM_CACHE, ipv4, 4, 1, BYTES("a"), BYTES("b"),
	  NULL, 0, 0, true},
	 "status=ok\nip=192.168.1.1\nport=1\nbackend=b\n"},
	{{.status = ANSWER_BAD_ROUTE, .route = BYTES("a"), .is_brief = true},
	 "status=bad_route\n"},
	/* an address without `ok` must not leave */
	{{ANSWER_NOT_FOUND, ANSWER_FROM_CACHE, ipv4, 4, 80, BYTES(""),
	  BYTES(""), ipv4, 4, 81, false},
	 "status=not_found\nsource=cache\n"},
};

static void test_answers_decode(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(answers); i++) {
		struct session s;
		struct question q;
		struct spop_frame frame;
		char text[1024];

		begin_open(&s, 16380);
		add_notify(1ULL << 33, UINT64_MAX, BYTES(""));
		feed_wire(&s);
		assert_int_equal(session_next(&s, &q), SESSION_QUESTION);
		session_answer(&s, q.stream_id, q.frame_id, &answers[i].answer);
		assert_true(take_output(&s, &frame));
		assert_int_equal(frame.stream_id, 1ULL << 33);
		assert_int_equal(frame.frame_id, UINT64_MAX);
		read_ack(&frame, text, sizeof(text));
		assert_lines(text, answers[i].variables);
		assert_false(take_output(&s, &frame));
		session_fini(&s);
	}
}

static void test_names_are_the_contract(void **state)
{
	(void)state;
	assert_string_equal(answer_status_name(ANSWER_OK), "ok");
	assert_string_equal(answer_status_name(ANSWER_NOT_FOUND), "not_found");
	assert_string_equal(answer_status_name(ANSWER_BAD_HOST), "bad_host");
	assert_string_equal(answer_status_name(ANSWER_BAD_ROUTE), "bad_route");
	assert_string_equal(answer_status_name(ANSWER_DOWN), "down");
	assert_string_equal(answer_status_name(ANSWER_UNAVAILABLE),
			    "unavailable");
	assert_string_equal(answer_source_name(ANSWER_FROM_CACHE), "cache");
	assert_string_equal(answer_source_name(ANSWER_FROM_REDIS), "redis");
	assert_string_equal(answer_source_name(ANSWER_FROM_STALE), "stale");
	assert_string_equal(answer_source_name(ANSWER_FROM_NONE), "none");
}

/* An ACK of exactly these bytes: STRING is 0x08, ids are echoed. */
static void test_ack_is_these_bytes(void **state)
{
	static const char expected[] =
		"\x00\x00\x00\x2d\x67\x00\x00\x00\x01\x07\x02"
		"\x01\x03\x02\x06"
		"status\x08\x09"
		"not_found"
		"\x01\x03\x02\x06"
		"source\x08\x05"
		"cache";
	static const struct answer not_found = {.status = ANSWER_NOT_FOUND};
	struct session s;
	struct question q;
	struct span out;

	(void)state;
	begin_open(&s, 16380);
	add_notify(7, 2, BYTES(""));
	feed_wire(&s);
	assert_int_equal(session_next(&s, &q), SESSION_QUESTION);
	session_answer(&s, 7, 2, &not_found);
	out = session_output(&s);
	assert_int_equal(out.len, sizeof(expected) - 1);
	assert_memory_equal(out.p, expected, out.len);
	session_fini(&s);
}

static void add_unasked(size_t i)
{
	switch (i) {
	case 0:
		add_hello(BYTES(HELLO));
		break;
	case 1:
		add_frame(SPOP_HAPROXY_DISCONNECT, SPOP_FIN, 0, 0, BYTES(""));
		break;
	case 2: /* broken */
		add_notify(9, 1, BYTES("\x05route\x01\x04host\x08\x09"));
		break;
	case 3: /* a piece of one */
		add_frame(SPOP_HAPROXY_NOTIFY, 0, 9, 1, BYTES(""));
		break;
	case 4: /* an unknown type, which is passed over */
		add_frame(77, SPOP_FIN, 9, 1, BYTES(""));
		break;
	default: /* cut */
		add_question(9, "c.test");
		wire.len--;
		break;
	}
}

/* session_more takes questions, and leaves all else as it is: what was asked
 * before it is answered before it. */
static void test_more_takes_only_questions(void **state)
{
	static const struct answer not_found = {.status = ANSWER_NOT_FOUND};
	size_t i;

	(void)state;
	for (i = 0; i < 6; i++) {
		struct spop_frame frame;
		struct question q[3];
		struct session s;

		begin_open(&s, 16380);
		add_question(7, "a.test");
		add_question(8, "b.test");
		add_unasked(i);
		feed_wire(&s);
		assert_int_equal(session_next(&s, &q[0]), SESSION_QUESTION);
		assert_int_equal(session_more(&s, &q[1], 2), 1);
		assert_int_equal(q[1].stream_id, 8);
		assert_true(span_is(q[1].host, "b.test"));
		assert_int_equal(session_more(&s, &q[2], 1), 0);
		assert_int_equal(s.state, SESSION_OPEN);
		assert_int_equal(s.unanswered, 2);
		session_answer(&s, 7, 1, &not_found);
		session_answer(&s, 8, 1, &not_found);
		assert_int_equal(session_next(&s, &q[2]),
				 i < 4 ? SESSION_ENDED : SESSION_HUNGRY);
		assert_true(take_output(&s, &frame));
		assert_int_equal(frame.type, SPOP_AGENT_ACK);
		assert_int_equal(frame.stream_id, 7);
		assert_true(take_output(&s, &frame));
		assert_int_equal(frame.stream_id, 8);
		assert_int_equal(take_output(&s, &frame), i < 4);
		session_fini(&s);
	}
}

/* Before the HELLO and after the end there are no questions. */
static void test_more_needs_an_open_session(void **state)
{
	struct question q;
	struct session s;

	(void)state;
	begin(&s);
	add_question(7, "a.test");
	feed_wire(&s);
	assert_int_equal(session_more(&s, &q, 1), 0);
	assert_int_equal(session_used(&s), 0);
	session_end(&s, SPOP_TIMEOUT, "late");
	assert_int_equal(session_more(&s, &q, 1), 0);
	session_fini(&s);
}

/* The longest answer there is: 254 bytes of field, 64 of backend. */
static struct answer longest_answer(char *room)
{
	memset(room, 'x', 254);
	return (struct answer){.status = ANSWER_OK,
			       .source = ANSWER_FROM_STALE,
			       .address = ipv6,
			       .address_len = 16,
			       .port = 65535,
			       .route = {room, 254},
			       .backend = {room, 64},
			       .address2 = ipv6,
			       .address2_len = 16,
			       .port2 = 65534};
}

/* The bytes of the longest answer's ACK in frames of `size`, and whether it
 * names the route. */
static size_t answer_longest(uint32_t size, bool *has_route)
{
	char room[254], text[1024];
	struct answer answer = longest_answer(room);
	struct spop_frame frame;
	struct session s;
	struct question q;
	size_t len;

	begin_open(&s, size);
	add_notify(UINT64_MAX, UINT64_MAX, BYTES(""));
	feed_wire(&s);
	assert_int_equal(session_next(&s, &q), SESSION_QUESTION);
	session_answer(&s, UINT64_MAX, UINT64_MAX, &answer);
	len = session_output(&s).len;
	assert_true(take_output(&s, &frame));
	read_ack(&frame, text, sizeof(text));
	*has_route = strstr(text, "route=") != NULL;
	assert_non_null(strstr(text, "status=ok\n"));
	assert_non_null(strstr(text, "ip=2001:db8::1\nport=65535\n"
				     "ip2=2001:db8::1\nport2=65534\n"));
	assert_non_null(strstr(text, "source=stale\n"));
	assert_non_null(strstr(text, "backend=xxx"));
	assert_int_equal(s.state, SESSION_OPEN);
	session_fini(&s);
	return len;
}

/* Only the route is left out, and only when it does not fit. */
static void test_small_frames_go_without_route(void **state)
{
	bool has_route;
	size_t whole = answer_longest(16380, &has_route);
	uint32_t size;

	(void)state;
	assert_true(has_route);
	assert_true(whole <= SESSION_ACK_MAX);
	for (size = 256; size < 600; size++) {
		size_t len = answer_longest(size, &has_route);

		assert_true(len <= size + SPOP_LENGTH_BYTES);
		assert_int_equal(has_route, size + SPOP_LENGTH_BYTES >= whole);
	}
}

/* Goodbyes */

static void test_we_may_end(void **state)
{
	struct session s;
	struct question q;
	struct spop_frame frame;

	(void)state;
	begin_open(&s, 16380);
	add_question(1, "a.b");
	feed_wire(&s);
	assert_int_equal(session_next(&s, &q), SESSION_QUESTION);
	session_answer(&s, 1, 1, &answers[0].answer);
	session_end(&s, SPOP_NORMAL, "stopping");
	assert_true(take_output(&s, &frame));
	assert_int_equal(frame.type, SPOP_AGENT_ACK);
	assert_string_equal(s.complaint, "stopping");
	assert_ends(&s, SPOP_NORMAL);
	session_fini(&s);
}

/* An answer that comes too late is not sent behind a DISCONNECT. */
static void test_no_answer_behind_the_end(void **state)
{
	struct session s;
	struct question q;
	struct spop_frame frame;

	(void)state;
	begin_open(&s, 16380);
	add_question(1, "a.b");
	add_frame(SPOP_HAPROXY_DISCONNECT, SPOP_FIN, 0, 0, BYTES(""));
	feed_wire(&s);
	assert_int_equal(session_next(&s, &q), SESSION_QUESTION);
	assert_int_equal(session_next(&s, &q), SESSION_ENDED);
	session_answer(&s, 1, 1, &answers[0].answer);
	assert_true(take_output(&s, &frame));
	assert_int_equal(read_goodbye(&frame), SPOP_NORMAL);
	assert_int_equal(session_output(&s).len, 0);
	assert_int_equal(s.unanswered, 0);
	session_fini(&s);
}

/* A session that was fed nothing yet is hungry. */
static void test_nothing_fed(void **state)
{
	struct session s;
	struct question q;

	(void)state;
	session_init(&s);
	assert_int_equal(session_next(&s, &q), SESSION_HUNGRY);
	assert_int_equal(session_used(&s), 0);
	assert_int_equal(session_output(&s).len, 0);
	session_fini(&s);
}

/* Properties */

/* What a conversation came to. */
struct transcript {
	char questions[64 * 1024];
	size_t questions_len;
	uint8_t output[SESSION_OUTPUT_MAX];
	size_t output_len;
	int code; /* when it is over, else ACCEPTED */
};

static struct transcript whole, split;

static void note_question(struct transcript *t, const struct question *q)
{
	size_t size = sizeof(t->questions) - t->questions_len;
	int len = snprintf(t->questions + t->questions_len, size,
			   "%llu %llu %.*s\n", (unsigned long long)q->stream_id,
			   (unsigned long long)q->frame_id, (int)q->host.len,
			   q->host.p);

	assert_true(len > 0 && (size_t)len < size);
	t->questions_len += (size_t)len;
}

/* The peer reads up to `max` bytes. */
static void note_output(struct transcript *t, struct session *s, size_t max)
{
	struct span out = session_output(s);
	size_t len = out.len < max ? out.len : max;

	if (len == 0)
		return;
	assert_true(len <= sizeof(t->output) - t->output_len);
	memcpy(t->output + t->output_len, out.p, len);
	t->output_len += len;
	session_sent(s, len);
}

static size_t random_below(size_t n)
{
	return (size_t)(kit_random() % n);
}

/* Goes on with what has arrived, answering each question at once; the answer
 * follows from the ids. Checks what must hold for any bytes. */
static bool turn(struct session *s, const uint8_t *bytes, size_t len,
		 size_t read_max, struct transcript *t)
{
	const char *arrived = kit_guarded(bytes, len);
	enum session_event event;
	struct question q;

	session_feed(s, (const uint8_t *)arrived, len);
	while ((event = session_next(s, &q)) == SESSION_QUESTION) {
		assert_true(q.host.len == 0 ||
			    (q.host.p >= arrived &&
			     q.host.p + q.host.len <= arrived + len));
		note_question(t, &q);
		session_answer(
			s, q.stream_id, q.frame_id,
			&answers[q.stream_id % ARRAY_LEN(answers)].answer);
		note_output(t, s, random_below(read_max));
	}
	note_output(t, s, read_max);
	assert_true(event == SESSION_HUNGRY || event == SESSION_ENDED);
	assert_true(session_used(s) <= len);
	assert_true(s->out_size <= SESSION_OUTPUT_MAX);
	/* No more than one frame is ever waited for. */
	if (event == SESSION_HUNGRY)
		assert_true(len - session_used(s) <
			    SPOP_LENGTH_BYTES + (size_t)s->frame_max);
	return event == SESSION_HUNGRY;
}

/* Runs the wire through a session in reads of 1 to `step_max` bytes. */
static void converse(struct transcript *t, size_t step_max, size_t read_max)
{
	size_t from = 0, to = 0;
	bool goes_on = true;
	struct session s;

	t->questions_len = t->output_len = 0;
	session_init(&s);
	while (goes_on && to < wire.len) {
		size_t step = 1 + random_below(step_max);

		to = wire.len - to < step ? wire.len : to + step;
		goes_on = turn(&s, wire.bytes + from, to - from, read_max, t);
		from += session_used(&s);
	}
	note_output(t, &s, SIZE_MAX);
	t->code = goes_on ? ACCEPTED : (int)s.code;
	session_fini(&s);
}

/* A conversation with a bit of everything that is allowed. */
static void make_conversation(void)
{
	size_t i, count = 1 + random_below(30);

	wire.len = 0;
	add_hello(hellos[random_below(16)].payload);
	for (i = 0; i < count; i++) {
		uint64_t id = kit_random() >> random_below(56);

		switch (random_below(4)) {
		case 0:
			add_frame((uint8_t)(100 + random_below(100)),
				  (uint32_t)kit_random(), id, id,
				  BYTES("unknown"));
			break;
		case 1:
			add_question(id, "app1.cloud.com");
			break;
		default:
			/* the malformed ones of the table are in, too */
			add_notify(id, i,
				   notifies[random_below(ARRAY_LEN(notifies) +
							 30) %
					    25]
					   .payload);
			break;
		}
	}
	if (random_below(2))
		add_frame(SPOP_HAPROXY_DISCONNECT, SPOP_FIN, 0, 0, BYTES(""));
}

static void assert_same_transcripts(void)
{
	assert_int_equal(whole.code, split.code);
	assert_int_equal(whole.questions_len, split.questions_len);
	assert_memory_equal(whole.questions, split.questions,
			    whole.questions_len);
	assert_int_equal(whole.output_len, split.output_len);
	assert_memory_equal(whole.output, split.output, whole.output_len);
}

static void test_any_split_is_the_same(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		make_conversation();
		converse(&whole, 1, SIZE_MAX);
		converse(&split, 1 + random_below(200), 1 + random_below(300));
		assert_same_transcripts();
		converse(&split, WIRE_MAX, SIZE_MAX);
		assert_same_transcripts();
	}
}

/* Breaks some bytes of the wire, or cuts it, or makes it all random. */
static void mutate_wire(void)
{
	size_t i, count = 1 + random_below(8);

	for (i = 0; i < count; i++) {
		size_t at = random_below(wire.len);

		switch (random_below(4)) {
		case 0:
			wire.bytes[at] = (uint8_t)kit_random();
			break;
		case 1:
			wire.bytes[at] ^= (uint8_t)(1 << random_below(8));
			break;
		case 2:
			wire.bytes[at] = 0xff;
			break;
		default:
			memmove(wire.bytes + at, wire.bytes + at + 1,
				wire.len - at - 1);
			break;
		}
	}
	if (random_below(4) == 0)
		wire.len = 1 + random_below(wire.len);
}

static void test_mutated_streams_do_no_harm(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 4000; i++) {
		make_conversation();
		mutate_wire();
		converse(&whole, WIRE_MAX, SIZE_MAX);
		converse(&split, 1 + random_below(100), 1 + random_below(300));
		assert_same_transcripts();
	}
}

static void test_garbage_does_no_harm(void **state)
{
	int i;
	size_t k;

	(void)state;
	for (i = 0; i < 2000; i++) {
		wire.len = 0;
		if (random_below(2))
			add_hello(BYTES(HELLO));
		k = wire.len;
		wire.len += random_below(300);
		for (; k < wire.len; k++)
			wire.bytes[k] = random_below(3)
						? (uint8_t)random_below(12)
						: (uint8_t)kit_random();
		converse(&whole, 40, SIZE_MAX);
	}
}

/* Opens a session and feeds it so many questions at once. */
static void begin_asked(struct session *s, size_t count)
{
	size_t i;

	begin_open(s, 16380);
	for (i = 0; i < count; i++)
		add_question(i, "a.b");
	feed_wire(s);
}

/* Answers may come in any order; each is sent once. */
static void test_answers_in_any_order(void **state)
{
	enum { COUNT = 200 };
	unsigned int waiting[COUNT], seen[COUNT] = {0};
	struct spop_frame frame;
	struct session s;
	struct question q;
	size_t i, count = 0;

	(void)state;
	begin_asked(&s, COUNT);
	while (session_next(&s, &q) == SESSION_QUESTION)
		waiting[count++] = (unsigned int)q.stream_id;
	assert_int_equal(count, COUNT);
	while (count > 0) {
		i = random_below(count);
		session_answer(&s, waiting[i], 1, &answers[0].answer);
		waiting[i] = waiting[--count];
	}
	while (take_output(&s, &frame)) {
		assert_int_equal(frame.type, SPOP_AGENT_ACK);
		assert_int_equal(frame.frame_id, 1);
		seen[frame.stream_id]++;
	}
	for (i = 0; i < COUNT; i++)
		assert_int_equal(seen[i], 1);
	session_fini(&s);
}

/* Bounds */

/* Fills the session with questions that nobody answers. */
static size_t ask_until_full(struct session *s)
{
	enum session_event event;
	struct question q;
	size_t count = 0;

	while ((event = session_next(s, &q)) == SESSION_QUESTION)
		count++;
	assert_int_equal(event, SESSION_FULL);
	assert_int_equal(session_next(s, &q), SESSION_FULL);
	return count;
}

/* Longest answers to the oldest questions that were asked. */
static void answer_some(struct session *s, size_t from, size_t count)
{
	char room[254];
	struct answer answer = longest_answer(room);

	for (; count > 0; count--)
		session_answer(s, from++, 1, &answer);
	assert_true(session_output(s).len <= SESSION_OUTPUT_MAX);
	assert_true(s->out_size <= SESSION_OUTPUT_MAX);
}

/* Takes the ACKs that wait; `from` is the first one's stream. */
static size_t take_answers(struct session *s, size_t from)
{
	struct spop_frame frame;

	while (take_output(s, &frame)) {
		assert_int_equal(frame.type, SPOP_AGENT_ACK);
		assert_int_equal(frame.stream_id, from++);
	}
	return from;
}

/* A peer that asks without end and does not read: memory is bounded, it is
 * made to wait, and it gets each of its answers once it reads. */
static void test_full_and_back(void **state)
{
	enum { COUNT = 3000 };
	size_t asked = 0, answered = 0, seen = 0;
	enum session_event event;
	struct session s;
	struct question q;

	(void)state;
	begin_asked(&s, COUNT);
	while ((event = session_next(&s, &q)) != SESSION_HUNGRY) {
		if (event == SESSION_QUESTION) {
			assert_int_equal(q.stream_id, asked++);
			continue;
		}
		assert_int_equal(event, SESSION_FULL);
		if (answered < asked) {
			answer_some(&s, answered, asked - answered);
			answered = asked;
		} else { /* unread: the peer reads at last */
			assert_true(session_output(&s).len > 0);
			seen = take_answers(&s, seen);
			assert_int_equal(seen, answered);
		}
	}
	assert_true(seen > 0);
	answer_some(&s, answered, asked - answered);
	assert_int_equal(take_answers(&s, seen), COUNT);
	assert_true(s.out_size <=
		    64 * 1024); /* what a backlog took goes back */
	session_fini(&s);
}

/* A smaller bound holds from the next question on, also below what is open
 * already, and what the output took beyond it goes back. */
static void test_bounded_output(void **state)
{
	enum { COUNT = 3000 };
	size_t asked, seen;
	struct session s;
	struct question q;

	(void)state;
	begin_asked(&s, COUNT);
	session_bound_output(&s, SESSION_OUTPUT_MIN);
	asked = ask_until_full(&s);
	assert_in_range(asked, 16, SESSION_OUTPUT_MIN / SESSION_ACK_MAX);
	session_bound_output(&s, SESSION_OUTPUT_MAX);
	asked += ask_until_full(&s);
	assert_in_range(asked, 256, SESSION_OUTPUT_MAX / SESSION_ACK_MAX);
	session_bound_output(&s, SESSION_OUTPUT_MIN);
	assert_int_equal(session_next(&s, &q), SESSION_FULL);
	answer_some(&s, 0, asked);
	assert_true(s.out_size > SESSION_OUTPUT_MIN);
	assert_int_equal(session_next(&s, &q), SESSION_FULL);
	seen = take_answers(&s, 0);
	assert_int_equal(seen, asked);
	assert_true(s.out_size <= SESSION_OUTPUT_MIN);
	answer_some(&s, asked, ask_until_full(&s));
	assert_true(s.out_size <= SESSION_OUTPUT_MIN);
	session_fini(&s);
}

/* Reads up to `max` bytes of the output to the end of the wire. */
static void read_some(struct session *s, size_t max)
{
	struct span out = session_output(s);

	if (out.len > max)
		out.len = max;
	if (out.len == 0)
		return;
	add_bytes(out);
	session_sent(s, out.len);
	assert_true(s->out_size <= SESSION_OUTPUT_MAX);
}

/* A peer that reads slowly and in pieces gets whole frames in order. */
static void test_slow_reader(void **state)
{
	enum { COUNT = 3000 };
	enum session_event event;
	struct spop_frame frame;
	struct session s;
	struct question q;
	size_t i, from, used = 0;

	(void)state;
	begin_asked(&s, COUNT);
	from = wire.len;
	while ((event = session_next(&s, &q)) != SESSION_HUNGRY) {
		if (event == SESSION_QUESTION)
			answer_some(&s, (size_t)q.stream_id, 1);
		read_some(&s, random_below(event == SESSION_FULL ? 9999 : 200));
	}
	read_some(&s, SIZE_MAX);
	for (i = 0; i < COUNT; i++, from += used) {
		assert_int_equal(spop_get_frame(wire.bytes + from,
						wire.len - from, 16380, &frame,
						&used),
				 SPOP_PARSED);
		assert_int_equal(frame.type, SPOP_AGENT_ACK);
		assert_int_equal(frame.stream_id, i);
	}
	assert_int_equal(from, wire.len);
	session_fini(&s);
}

/* Even a full session says goodbye within its bound. */
static void test_full_may_end(void **state)
{
	struct session s;
	struct question q;
	size_t i, asked;

	(void)state;
	begin_open(&s, 16380);
	for (i = 0; i < 2000; i++)
		add_question(i, "a.b");
	feed_wire(&s);
	for (asked = 0; (i = ask_until_full(&s)) > 0; asked += i)
		answer_some(&s, asked, i);
	session_end(&s, SPOP_NORMAL, "bye");
	assert_int_equal(session_next(&s, &q), SESSION_ENDED);
	assert_true(s.out_size <= SESSION_OUTPUT_MAX);
	session_fini(&s);
}

/* Memory */

/* A conversation in which one allocation fails. */
static bool converse_without_memory(unsigned int n)
{
	struct session s;
	struct question q;
	size_t i;
	bool failed;

	begin(&s);
	add_hello(BYTES(HELLO));
	for (i = 0; i < 300; i++)
		add_question(i, "a.b");
	add_frame(SPOP_HAPROXY_DISCONNECT, SPOP_FIN, 0, 0, BYTES(""));
	feed_wire(&s);
	kit_fail_allocation(n);
	while (session_next(&s, &q) == SESSION_QUESTION)
		session_answer(&s, q.stream_id, q.frame_id, &answers[0].answer);
	failed = kit_did_fail();
	kit_fail_allocation(0);
	assert_int_equal(session_next(&s, &q), SESSION_ENDED);
	assert_int_equal(s.state, SESSION_OVER);
	assert_int_equal(s.code, failed ? SPOP_RESOURCES : SPOP_NORMAL);
	assert_non_null(s.complaint);
	session_end(&s, SPOP_NORMAL, "bye");
	session_answer(&s, 1, 1, &answers[0].answer);
	session_fini(&s);
	return failed;
}

static void test_without_memory_it_is_over(void **state)
{
	unsigned int n;

	(void)state;
	for (n = 1; converse_without_memory(n); n++)
		;
	assert_true(n > 3);
}

/* 16 questions and answers, and all of it sent. */
static void round_trip(struct session *s)
{
	struct question q;

	session_feed(s, wire.bytes, wire.len);
	while (session_next(s, &q) == SESSION_QUESTION)
		session_answer(s, q.stream_id, q.frame_id, &answers[0].answer);
	assert_int_equal(session_used(s), wire.len);
	session_sent(s, session_output(s).len);
}

static void test_steady_path_allocates_nothing(void **state)
{
	struct session s;
	uint64_t before;
	int i;

	(void)state;
	begin_open(&s, 16380);
	for (i = 0; i < 16; i++)
		add_question((uint64_t)i, "app1.cloud.com");
	for (i = 0; i < 10; i++)
		round_trip(&s);
	before = kit_allocations();
	for (i = 0; i < 1000; i++)
		round_trip(&s);
	assert_int_equal(kit_allocations(), before);
	session_fini(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello_is_answered_in_these_bytes),
		cmocka_unit_test(test_hello_is_judged),
		cmocka_unit_test(test_hello_cut_is_invalid),
		cmocka_unit_test(test_frame_size_is_agreed),
		cmocka_unit_test(test_health_check_gets_a_hello_alone),
		cmocka_unit_test(test_engine_id_is_kept_printable),
		cmocka_unit_test(test_frames_are_judged),
		cmocka_unit_test(test_broken_lengths_end),
		cmocka_unit_test(test_first_frame_has_a_bound),
		cmocka_unit_test(test_notify_asks),
		cmocka_unit_test(test_client_is_kept),
		cmocka_unit_test(test_notify_of_255_arguments),
		cmocka_unit_test(test_agreed_size_is_held),
		cmocka_unit_test(test_answers_decode),
		cmocka_unit_test(test_names_are_the_contract),
		cmocka_unit_test(test_ack_is_these_bytes),
		cmocka_unit_test(test_small_frames_go_without_route),
		cmocka_unit_test(test_more_takes_only_questions),
		cmocka_unit_test(test_more_needs_an_open_session),
		cmocka_unit_test(test_we_may_end),
		cmocka_unit_test(test_no_answer_behind_the_end),
		cmocka_unit_test(test_nothing_fed),
		cmocka_unit_test(test_any_split_is_the_same),
		cmocka_unit_test(test_mutated_streams_do_no_harm),
		cmocka_unit_test(test_garbage_does_no_harm),
		cmocka_unit_test(test_answers_in_any_order),
		cmocka_unit_test(test_full_and_back),
		cmocka_unit_test(test_bounded_output),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_full_may_end),
		cmocka_unit_test(test_without_memory_it_is_over),
		cmocka_unit_test(test_steady_path_allocates_nothing),
	};

	return cmocka_run_group_tests_name("session", tests, setup, teardown);
}
