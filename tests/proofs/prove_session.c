/* SPDX-License-Identifier: MIT */
/*
 * session: whatever bytes come, no cursor passes its end, a question lies
 * within its frame, and every frame that is taken is used up whole. Whatever
 * the answer, its ACK is one frame, no longer than was agreed, in the room that
 * was kept for it.
 *
 * It is shown function by function: where a proof calls what another one is
 * about, it gets whatever that one allows (any_..., named in proofs.txt). Bytes
 * are compared with any result: what holds does not depend on it.
 */
#include "../../spoa/session.c"

#include "spop_contract.h"

enum {
	PAYLOAD_MAX = 12,
	FRAME_MAX = 28, /* more than the usual beginning */
	LIST_MAX = 6,
	TEXT_MAX = 300,
	WORDS_MAX = 70, /* more than any that we have */
	OUT_MAX = SESSION_OUTPUT_MAX,
	FED_MAX = 34, /* three frames */
	QUESTIONS_MAX = 4,
};

const uint8_t *spop_read_long_varint(const uint8_t *p, const uint8_t *end,
				     uint64_t *n)
{
	size_t len = nondet_size();

	*n = nondet_uint64();
	if (len == 0 || len >= SPOP_VARINT_MAX || len > (size_t)(end - p))
		return NULL;
	return p + len;
}

/* A part of what lies between, or nothing. */
static struct span any_part(const void *from, const void *to)
{
	size_t max = (size_t)((const char *)to - (const char *)from);
	size_t skip = any_length(max);
	size_t len = any_length(max - skip);

	if (len == 0)
		return (struct span){0};
	return (struct span){(const char *)from + skip, len};
}

/* The cursor takes some bytes, or has failed. */
static void go_on(struct spop_reader *r)
{
	size_t len = any_length((size_t)(r->end - r->p));

	r->p += len;
	if (len == 0 || nondet_bool())
		spop_fail_get(r);
}

void spop_get_other_value(struct spop_reader *r, struct spop_value *value)
{
	const uint8_t *from = r->p;

	go_on(r);
	*value = (struct spop_value){0};
	if (r->failed)
		return;
	value->type = nondet_byte() % (SPOP_BINARY + 1);
	assume(value->type != SPOP_STRING);
	value->integer = nondet_uint64();
	value->bytes = any_part(from, r->p);
}

int memcmp(const void *a, const void *b, size_t len)
{
	prove(__CPROVER_r_ok(a, len) && __CPROVER_r_ok(b, len),
	      "both can be read");
	return nondet_bool();
}

/* What is known of a cursor that was `before`. */
static void prove_cursor(const struct spop_reader *before,
			 const struct spop_reader *r)
{
	prove(r->p >= before->p && r->p <= before->end, "it is inside");
	prove(r->end == (r->failed ? r->p : before->end), "so is its end");
	prove(r->failed || r->p > before->p, "it has moved");
}

/* Some arguments of a message, of any bytes. */
void prove_arguments(void)
{
	uint8_t bytes[PAYLOAD_MAX];
	struct spop_reader r = {.p = bytes + any_length(PAYLOAD_MAX),
				.end = bytes + PAYLOAD_MAX};
	struct spop_reader before = r;
	struct question q = {0};
	unsigned int args = nondet_byte();
	bool is_wanted = nondet_bool();
	bool seen_host = !is_wanted || nondet_bool();

	assume(args > 0);
	get_arguments(&r, args, seen_host, is_wanted ? &q : NULL);
	prove_cursor(&before, &r);
	prove(is_between(q.host, before.p, r.p), "the host is inside");
	prove(is_between(q.client, before.p, r.p), "so is the client");
	prove(!seen_host || q.host.len == 0, "there is one host");
}

void any_arguments(struct spop_reader *r, unsigned int args, bool seen_host,
		   struct question *q)
{
	const uint8_t *from = r->p;

	prove(q || seen_host, "no host of what is not wanted");
	if (args == 0 || r->failed)
		return;
	go_on(r);
	if (!q)
		return;
	if (!seen_host)
		q->host = any_part(from, r->p);
	q->client = any_part(from, r->p);
	q->is_brief = nondet_bool();
}

/* Of the output: what fits no answer fits a goodbye. */
static size_t any_bound(void)
{
	return GOODBYE_MAX + any_length(OUT_MAX - GOODBYE_MAX);
}

/* An open session that was fed any bytes; they end with their object. */
static struct session any_session(uint8_t *room, size_t size)
{
	size_t len = any_length(size);
	struct session s = {.state = SESSION_OPEN,
			    .frame_max = SESSION_FRAME_MIN,
			    .output_max = any_bound()};

	session_feed(&s, room + size - len, len);
	return s;
}

/* A NOTIFY of any content. */
void prove_question(void)
{
	uint8_t bytes[FRAME_MAX];
	struct session s = any_session(bytes, sizeof(bytes));
	struct question q;
	size_t used;

	if (!take_question(&s, &q)) {
		prove(session_used(&s) == 0, "what is none stays");
		return;
	}
	used = session_used(&s);
	prove(used <= s.in_len, "the frame is inside");
	prove(used == SPOP_LENGTH_BYTES + spop_read_uint32(s.in),
	      "it is used up whole");
	prove(is_between(q.host, s.in, s.in + used), "the host is inside");
	prove(is_between(q.client, s.in, s.in + used), "so is the client");
}

/* Where the frames that were used end. */
static void prove_frames(const struct session *s)
{
	size_t at = 0;

	prove(s->in_used <= s->in_len, "the cursor is inside");
	while (at < s->in_used)
		at += SPOP_LENGTH_BYTES + spop_read_uint32(s->in + at);
	prove(at == s->in_used, "it stands where a frame ends");
}

bool any_question(struct session *s, struct question *q)
{
	const uint8_t *p = s->in + s->in_used;
	size_t left = s->in_len - s->in_used;
	uint32_t length;

	prove(s->state == SESSION_OPEN, "nothing is asked without a HELLO");
	prove(__CPROVER_w_ok(q, sizeof(*q)), "a question has room");
	if (left < SPOP_LENGTH_BYTES || nondet_bool())
		return false;
	length = spop_read_uint32(p);
	if (length < SPOP_FRAME_MIN || length > left - SPOP_LENGTH_BYTES)
		return false;
	s->in_used += SPOP_LENGTH_BYTES + length;
	return true;
}

/* Any bytes, for as many questions as may be. */
void prove_more(void)
{
	uint8_t bytes[FED_MAX], out[1];
	struct session s = any_session(bytes, sizeof(bytes));
	struct question questions[QUESTIONS_MAX];
	size_t max = any_length(QUESTIONS_MAX);
	size_t before, count;

	if (nondet_bool())
		s.state = SESSION_NEW;
	s.out = out;
	s.out_len = any_length(OUT_MAX);
	s.out_sent = any_length(s.out_len);
	s.unanswered = (uint32_t)any_length(OUT_MAX / SESSION_ACK_MAX);
	before = s.unanswered;
	count = session_more(&s, questions, max);
	prove(count <= max, "no more than may be");
	prove(s.unanswered == before + count, "each is to be answered");
	prove_frames(&s);
	if (count > 0)
		prove(s.out_len - s.out_sent + s.unanswered * SESSION_ACK_MAX +
				      GOODBYE_MAX <=
			      s.output_max,
		      "all answers and a goodbye have room");
}

/* The keys of a HELLO, of any bytes. */
void prove_keys(void)
{
	uint8_t bytes[PAYLOAD_MAX];
	struct spop_reader r = {.p = bytes + any_length(PAYLOAD_MAX),
				.end = bytes + PAYLOAD_MAX};
	struct spop_reader before = r;
	struct hello hello;
	bool fits = get_hello(&r, &hello);
	size_t i = any_length(ARRAY_LEN(hello_keys) - 1);

	prove(r.p >= before.p && r.p <= before.end, "the cursor is inside");
	prove(!fits || (!r.failed && r.p == before.end), "it was read whole");
	prove(is_between(hello.values[i].bytes, bytes, bytes + PAYLOAD_MAX),
	      "what is kept is inside");
	prove(!fits || !hello.has[i] ||
		      (hello.values[i].type >= hello_keys[i].first &&
		       hello.values[i].type <= hello_keys[i].last),
	      "and of a type that it may have");
}

bool any_keys(struct spop_reader *r, struct hello *hello)
{
	const uint8_t *from = r->p;
	size_t i;

	*hello = (struct hello){0};
	for (i = 0; i < ARRAY_LEN(hello_keys); i++) {
		struct spop_value *value = &hello->values[i];

		hello->has[i] = nondet_bool();
		if (!hello->has[i])
			continue;
		value->type = nondet_byte();
		assume(value->type >= hello_keys[i].first &&
		       value->type <= hello_keys[i].last);
		value->integer = nondet_uint64();
		value->bytes = any_part(from, r->end);
	}
	r->p = r->end;
	return nondet_bool();
}

void any_end(struct session *s, enum spop_code code, const char *message)
{
	prove(s->state != SESSION_OVER, "there is one goodbye");
	prove(strlen(message) < WORDS_MAX, "in words that have room");
	s->state = SESSION_OVER;
	s->code = code;
}

void any_hello(struct session *s, uint32_t frame_size)
{
	prove(frame_size == s->frame_max, "what is said is what is kept");
}

/* A list of versions, of any bytes. */
void prove_versions(void)
{
	char bytes[LIST_MAX];
	size_t len = any_length(sizeof(bytes));

	if (offers_version((struct span){bytes + sizeof(bytes) - len, len}))
		prove(len > 0, "a version takes bytes");
}

bool any_version(struct span list)
{
	prove(list.len == 0 || __CPROVER_r_ok(list.p, list.len), "it is there");
	return nondet_bool();
}

/* A name of an engine, of any bytes. */
void prove_engine(void)
{
	char bytes[SESSION_ENGINE_MAX + 2];
	size_t len = any_length(sizeof(bytes));
	struct session s;
	size_t i = any_length(SESSION_ENGINE_MAX);

	keep_engine_id(&s, (struct span){bytes + sizeof(bytes) - len, len});
	if (i < len && i < SESSION_ENGINE_MAX)
		prove(s.engine_id[i] > ' ' && s.engine_id[i] <= '~',
		      "it can be shown");
	if (i == len || (i == SESSION_ENGINE_MAX && i < len))
		prove(s.engine_id[i] == '\0', "and ends");
}

void any_engine(struct session *s, struct span id)
{
	prove(id.len == 0 || __CPROVER_r_ok(id.p, id.len), "it is there");
}

/* A HELLO of any content, at any time. */
void prove_hello(void)
{
	uint8_t bytes[PAYLOAD_MAX];
	struct session s = {.state = nondet_bool() ? SESSION_NEW : SESSION_OPEN,
			    .frame_max = SESSION_HELLO_MAX};
	bool is_new = s.state == SESSION_NEW;
	struct spop_frame frame = {.payload = {bytes, bytes + PAYLOAD_MAX}};

	frame.stream_id = nondet_uint64();
	frame.frame_id = nondet_uint64();
	take_hello(&s, &frame);
	prove(s.state != SESSION_NEW, "it was taken or refused");
	if (s.code != SPOP_NORMAL)
		return;
	prove(is_new && frame.stream_id == 0 && frame.frame_id == 0,
	      "there is one HELLO");
	prove(s.frame_max >= SESSION_FRAME_MIN &&
		      s.frame_max <= SESSION_FRAME_MAX,
	      "the frame size is within its bounds");
}

size_t any_more(struct session *s, struct question *questions, size_t max)
{
	prove(max == 1, "one question at a time");
	if (s->state != SESSION_OPEN || !any_question(s, questions))
		return 0;
	s->unanswered++;
	return 1;
}

void any_frame(struct session *s, struct spop_frame *frame)
{
	const uint8_t *end = s->in + s->in_used;

	prove(frame->payload.end == end && frame->payload.p <= end,
	      "its payload ends with it");
	if (nondet_bool())
		s->state = SESSION_OVER;
}

/* Any bytes, until there is a question or nothing more to do. */
void prove_next(void)
{
	uint8_t bytes[FED_MAX];
	struct session s = any_session(bytes, sizeof(bytes));
	struct question q;
	enum session_event event;

	if (nondet_bool())
		s.state = SESSION_NEW;
	event = session_next(&s, &q);
	prove_frames(&s);
	prove((event == SESSION_QUESTION) == (s.unanswered == 1),
	      "one question at a time");
	prove((event == SESSION_ENDED) == (s.state == SESSION_OVER),
	      "it ends when it is over");
}

/* Where bytes are put, and their number counts, there may be any. */
static uint8_t *go_behind(uint8_t *p, const void *bytes, size_t len)
{
	prove(__CPROVER_r_ok(bytes, len), "the bytes are there");
	prove(__CPROVER_w_ok(p, len), "and have room");
	return p + len;
}

uint8_t *any_bytes_put(uint8_t *p, const void *bytes, size_t len)
{
	return go_behind(p, bytes, len);
}

uint8_t *any_action_put(uint8_t *p, const struct text_action *action)
{
	prove(action->len <= sizeof(action->bytes), "the rest is padding");
	go_behind(p, action->bytes, sizeof(action->bytes));
	return p + action->len;
}

uint8_t *any_varint(uint8_t *p, uint64_t n)
{
	size_t len = nondet_size();

	assume(is_varint_length(n, len));
	prove(__CPROVER_w_ok(p, len), "an integer has room");
	return p + len;
}

uint8_t *any_head(uint8_t *p, enum spop_frame_type type, uint64_t stream_id,
		  uint64_t frame_id)
{
	size_t len = nondet_size();

	assume(len <= SPOP_HEADER_MAX &&
	       len >= SPOP_LENGTH_BYTES + SPOP_FRAME_MIN);
	prove(type == SPOP_AGENT_ACK, "it is an ACK");
	prove(__CPROVER_w_ok(p, len), "a head has room");
	return p + len;
}

/* Room for one more ACK behind any other bytes; it ends with its object. */
static struct session any_output(uint8_t *room, size_t size)
{
	struct session s = {.state = SESSION_OPEN,
			    .out = room,
			    .out_size = size,
			    .out_len = size - SESSION_ACK_MAX};

	s.out_sent = any_length(s.out_len);
	s.frame_max = (uint32_t)nondet_uint64();
	s.unanswered = 1;
	assume(s.frame_max >= SESSION_FRAME_MIN &&
	       s.frame_max <= SESSION_FRAME_MAX);
	return s;
}

static uint8_t any_address_length(void)
{
	return nondet_bool() ? 4 : 16;
}

void prove_answer(void)
{
	uint8_t out[SESSION_ACK_MAX + 1], address[16], address2[16];
	char route[TEXT_MAX], backend[TEXT_MAX];
	struct session s = any_output(out, sizeof(out));
	struct answer a = {
		.status = nondet_byte() % ANSWER_STATUSES,
		.source = nondet_byte() % ANSWER_SOURCES,
		.address = address,
		.address_len = any_address_length(),
		.port = (uint16_t)nondet_uint64(),
		.route = {route, any_length(TEXT_MAX)},
		.backend = {backend, any_length(TEXT_MAX)},
		.address2 = address2,
		.address2_len = nondet_bool() ? any_address_length() : 0,
		.port2 = (uint16_t)nondet_uint64(),
		.is_brief = nondet_bool(),
	};
	const uint8_t *begin = s.out + s.out_len, *end;

	session_answer(&s, nondet_uint64(), nondet_uint64(), &a);
	end = s.out + s.out_len;
	prove(s.unanswered == 0, "none is to be answered");
	prove(s.out == out && end > begin && s.out_len <= sizeof(out),
	      "it stands behind what was there, in the room");
	prove(begin + SPOP_LENGTH_BYTES + spop_read_uint32(begin) == end,
	      "it is one frame and nothing besides");
	prove(spop_read_uint32(begin) <= s.frame_max, "of the agreed size");
}

void any_put(struct spop_writer *w, const void *bytes, size_t len)
{
	prove(__CPROVER_r_ok(bytes, len), "the bytes are there");
	if (len > (size_t)(w->end - w->p))
		spop_fail_put(w);
	else
		w->p += len;
}

static void prove_one_frame(const struct session *s)
{
	prove(s->out_len <= s->out_size, "it has room");
	prove(s->out_len >= SPOP_LENGTH_BYTES + SPOP_FRAME_MIN &&
		      SPOP_LENGTH_BYTES + spop_read_uint32(s->out) ==
			      s->out_len,
	      "it is one frame and nothing besides");
	prove(s->out_len <= SESSION_FRAME_MIN, "of any agreed size");
}

/* A goodbye in any words that have room. */
void prove_goodbye(void)
{
	uint8_t out[GOODBYE_MAX];
	struct session s = {.out = out, .out_size = sizeof(out)};
	char words[WORDS_MAX] = "";
	size_t i;

	for (i = 0; i + 1 < WORDS_MAX; i++)
		words[i] = (char)nondet_byte();
	session_end(&s, SPOP_INVALID, words);
	prove(s.state == SESSION_OVER && s.code == SPOP_INVALID, "it is over");
	prove_one_frame(&s);
}

/* The agent's own HELLO. */
void prove_greeting(void)
{
	uint8_t out[SPOP_HEADER_MAX + MESSAGE_MAX];
	struct session s = {.out = out, .out_size = sizeof(out)};

	put_hello(&s, (uint32_t)nondet_uint64());
	prove_one_frame(&s);
}

void *any_realloc(void *old, size_t size)
{
	uint8_t *room;

	prove(size <= 2 * OUT_MAX, "no more than twice what is needed");
	if (nondet_bool())
		return NULL;
	room = malloc(size);
	assume(room != NULL);
	return room;
}

void *any_move(void *to, const void *from, size_t len)
{
	prove(__CPROVER_r_ok(from, len) && __CPROVER_w_ok(to, len),
	      "what is moved has room");
	return to;
}

/* The output makes room, whatever is in it. */
void prove_room(void)
{
	size_t size = OUTPUT_FIRST << any_length(6);
	struct session s = {.state = SESSION_OPEN};
	size_t waiting, len = 1 + any_length(SESSION_ACK_MAX - 1);
	const uint8_t *p;

	if (nondet_bool()) {
		s.out = any_bytes(size);
		s.out_size = size;
		s.out_len = any_length(size);
		s.out_sent = any_length(s.out_len);
		assume(s.out_len - s.out_sent <= OUT_MAX - SESSION_ACK_MAX);
	}
	waiting = s.out_len - s.out_sent;
	p = reserve_output(&s, len);
	if (!p) {
		prove(s.state == SESSION_OVER, "without memory it is over");
		return;
	}
	prove(s.out_len - s.out_sent == waiting, "what waits still does");
	prove(s.out_sent <= s.out_len && s.out_len <= s.out_size, "in order");
	prove(s.out_size <= 2 * OUT_MAX, "within its bound");
	prove(p == s.out + s.out_len && __CPROVER_w_ok(p, len), "it has room");
}

void any_take(struct session *s, struct spop_frame *frame)
{
	prove(frame->flags & SPOP_FIN, "a HELLO is whole");
	s->state = nondet_bool() ? SESSION_OPEN : SESSION_OVER;
}

/* A frame that is no question. */
void prove_take_frame(void)
{
	uint8_t bytes[PAYLOAD_MAX];
	struct session s = {.state =
				    nondet_bool() ? SESSION_NEW : SESSION_OPEN};
	struct spop_frame frame = {.type = nondet_byte()};
	bool is_new = s.state == SESSION_NEW;

	frame.payload.p = bytes + any_length(PAYLOAD_MAX);
	frame.payload.end = bytes + PAYLOAD_MAX;
	frame.flags = (uint32_t)nondet_uint64();
	frame.stream_id = nondet_uint64();
	frame.frame_id = nondet_uint64();
	take_frame(&s, &frame);
	if (frame.type == SPOP_HAPROXY_NOTIFY)
		prove(s.state == SESSION_OVER, "no NOTIFY is left out");
	else if (frame.type == SPOP_HAPROXY_DISCONNECT)
		prove(s.state == SESSION_OVER, "who says goodbye gets one");
	else if (frame.type != SPOP_HAPROXY_HELLO)
		prove((s.state == SESSION_NEW) == is_new, "others are ignored");
}
