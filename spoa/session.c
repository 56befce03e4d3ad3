/* SPDX-License-Identifier: MIT */
/*
 * session: one SPOP conversation. Bytes to questions, answers to bytes; what
 * the peer may do wrong ends in a DISCONNECT with a code, never in a crash or
 * in memory beyond its bound. No socket, no clock, no log.
 */
#include "session.h"

#include <stdlib.h>

enum {
	OUTPUT_FIRST = 4096,	 /* the first size of an output buffer */
	OUTPUT_KEPT = 64 * 1024, /* larger ones are freed when empty */
	MESSAGE_MAX = 128,	 /* of a DISCONNECT; HAProxy takes 255 */
	GOODBYE_MAX = SPOP_HEADER_MAX + MESSAGE_MAX,
};

/* The action `set-var` in scope txn, up to and with the type of the value, as
 * a literal: SPOE.txt 3.4. `len` is the name's length as a string. */
#define SET_VAR(len, name, type) "\x01\x03\x02" len name type

/* The actions that set `status` and `source`, padded, so that they are copied
 * with a length that the compiler knows; what follows overwrites the padding.
 */
struct text_action {
	char bytes[32];
	uint8_t len;
	uint8_t text_len; /* of the text at the end */
};

/* Both names have six bytes. */
#define TEXT_BYTES(name, len, text) SET_VAR("\x06", name, "\x08") len text
#define TEXT_ACTION(name, value_len, text)                                     \
	.bytes = TEXT_BYTES(name, value_len, text),                            \
	.len = sizeof(TEXT_BYTES(name, value_len, text)) - 1,                  \
	.text_len = sizeof(text) - 1

static const struct text_action statuses[] = {
	[ANSWER_OK] = {TEXT_ACTION("status", "\x02", "ok")},
	[ANSWER_NOT_FOUND] = {TEXT_ACTION("status", "\x09", "not_found")},
	[ANSWER_BAD_HOST] = {TEXT_ACTION("status", "\x08", "bad_host")},
	[ANSWER_BAD_ROUTE] = {TEXT_ACTION("status", "\x09", "bad_route")},
	[ANSWER_DOWN] = {TEXT_ACTION("status", "\x04", "down")},
	[ANSWER_UNAVAILABLE] = {TEXT_ACTION("status", "\x0b", "unavailable")},
};

static const struct text_action sources[] = {
	[ANSWER_FROM_CACHE] = {TEXT_ACTION("source", "\x05", "cache")},
	[ANSWER_FROM_REDIS] = {TEXT_ACTION("source", "\x05", "redis")},
	[ANSWER_FROM_STALE] = {TEXT_ACTION("source", "\x05", "stale")},
	[ANSWER_FROM_NONE] = {TEXT_ACTION("source", "\x04", "none")},
};

static const char *action_text(const struct text_action *action)
{
	return action->bytes + action->len - action->text_len;
}

const char *answer_status_name(enum answer_status status)
{
	return action_text(&statuses[status]);
}

const char *answer_source_name(enum answer_source source)
{
	return action_text(&sources[source]);
}

void session_init(struct session *s)
{
	*s = (struct session){.in = (const uint8_t *)"",
			      .frame_max = SESSION_HELLO_MAX,
			      .output_max = SESSION_OUTPUT_MAX};
}

void session_bound_output(struct session *s, uint32_t max_bytes)
{
	s->output_max = max_bytes;
}

void session_fini(struct session *s)
{
	free(s->out);
	s->out = NULL;
}

void session_feed(struct session *s, const uint8_t *bytes, size_t len)
{
	s->in = bytes;
	s->in_len = len;
	s->in_used = 0;
}

size_t session_used(const struct session *s)
{
	return s->in_used;
}

struct span session_output(const struct session *s)
{
	if (s->out_len == s->out_sent)
		return (struct span){0};
	return (struct span){.p = (const char *)s->out + s->out_sent,
			     .len = s->out_len - s->out_sent};
}

void session_sent(struct session *s, size_t len)
{
	s->out_sent += len;
	if (s->out_sent < s->out_len)
		return;
	s->out_sent = s->out_len = 0;
	if (s->out_size > OUTPUT_KEPT || s->out_size > s->output_max) {
		free(s->out);
		s->out = NULL;
		s->out_size = 0;
	}
}

static bool grow_output(struct session *s, size_t len)
{
	size_t size = s->out_size ? s->out_size : OUTPUT_FIRST;
	uint8_t *out;

	if (s->out_sent > 0) {
		memmove(s->out, s->out + s->out_sent, s->out_len - s->out_sent);
		s->out_len -= s->out_sent;
		s->out_sent = 0;
	}
	while (len > size - s->out_len)
		size *= 2;
	if (size == s->out_size)
		return true;
	out = realloc(s->out, size);
	if (!out)
		return false;
	s->out = out;
	s->out_size = size;
	return true;
}

/* Without memory there is no way to say goodbye either. */
static void give_up(struct session *s)
{
	s->state = SESSION_OVER;
	s->code = SPOP_RESOURCES;
	s->complaint = "out of memory";
}

/* Makes room for `len` more bytes of output. Returns where they go, or NULL
 * when there is no memory, and then the session is over. */
static inline uint8_t *reserve_output(struct session *s, size_t len)
{
	if (len > s->out_size - s->out_len && !grow_output(s, len)) {
		give_up(s);
		return NULL;
	}
	return s->out + s->out_len;
}

/* A writer over `len` bytes of free output; failed when there is no memory. */
static struct spop_writer open_output(struct session *s, size_t len)
{
	uint8_t *p = reserve_output(s, len);

	return (struct spop_writer){
		.p = p, .end = p ? p + len : NULL, .failed = !p};
}

static void close_output(struct session *s, const struct spop_writer *w)
{
	if (!w->failed)
		s->out_len = (size_t)(w->p - s->out);
}

static void put_text_key(struct spop_writer *w, const char *key,
			 const char *text)
{
	spop_put_string(w, span_of(key));
	spop_put_byte(w, SPOP_STRING);
	spop_put_string(w, span_of(text));
}

static void put_number_key(struct spop_writer *w, const char *key, uint32_t n)
{
	spop_put_string(w, span_of(key));
	spop_put_byte(w, SPOP_UINT32);
	spop_put_varint(w, n);
}

void session_end(struct session *s, enum spop_code code, const char *message)
{
	struct spop_writer w;
	uint8_t *begin;

	if (s->state == SESSION_OVER)
		return;
	w = open_output(s, GOODBYE_MAX);
	if (w.failed)
		return;
	begin = spop_begin_frame(&w, SPOP_AGENT_DISCONNECT, 0, 0);
	put_number_key(&w, "status-code", code);
	put_text_key(&w, "message", message);
	spop_end_frame(&w, begin);
	close_output(s, &w);
	s->state = SESSION_OVER;
	s->code = code;
	s->complaint = message;
}

/* The keys of a HELLO that mean something to us. */
enum hello_key { VERSIONS, FRAME_SIZE, CAPABILITIES, ENGINE_ID, HEALTH_CHECK };

static const struct {
	const char *name;
	enum spop_type first, last; /* the types that it may have */
} hello_keys[] = {
	[VERSIONS] = {"supported-versions", SPOP_STRING, SPOP_STRING},
	[FRAME_SIZE] = {"max-frame-size", SPOP_INT32, SPOP_UINT64},
	[CAPABILITIES] = {"capabilities", SPOP_STRING, SPOP_STRING},
	[ENGINE_ID] = {"engine-id", SPOP_STRING, SPOP_STRING},
	[HEALTH_CHECK] = {"healthcheck", SPOP_BOOL, SPOP_BOOL},
};

struct hello {
	struct spop_value values[ARRAY_LEN(hello_keys)];
	bool has[ARRAY_LEN(hello_keys)];
};

/* Keeps the value of a key we know; false when it has the wrong type. Of a
 * repeated key the first counts. */
static bool keep_key(struct hello *hello, struct span name,
		     const struct spop_value *value)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(hello_keys); i++) {
		if (!span_is(name, hello_keys[i].name))
			continue;
		if (value->type < hello_keys[i].first ||
		    value->type > hello_keys[i].last)
			return false;
		if (!hello->has[i])
			hello->values[i] = *value;
		hello->has[i] = true;
	}
	return true;
}

/* Reads all keys; false when they cannot be read or one is of a wrong type. */
static bool get_hello(struct spop_reader *r, struct hello *hello)
{
	bool fits = true;

	*hello = (struct hello){0};
	while (r->p < r->end) {
		struct span name = spop_get_string(r);
		struct spop_value value;

		spop_get_value(r, &value);
		if (!r->failed)
			fits = keep_key(hello, name, &value) && fits;
	}
	return fits && !r->failed;
}

/* Is 2.0 in a list like "1.0, 2.0"? */
static bool offers_version(struct span list)
{
	while (list.len > 0) {
		const char *comma = memchr(list.p, ',', list.len);
		size_t len = comma ? (size_t)(comma - list.p) : list.len;

		if (span_is(span_trim((struct span){list.p, len}), "2.0"))
			return true;
		len += comma != NULL;
		list.p += len;
		list.len -= len;
	}
	return false;
}

/* Why a HELLO cannot be accepted; SPOP_NORMAL when it can. */
static enum spop_code judge_hello(const struct hello *hello,
				  const char **complaint)
{
	*complaint = "supported-versions not found";
	if (!hello->has[VERSIONS])
		return SPOP_NO_VERSION;
	*complaint = "max-frame-size not found";
	if (!hello->has[FRAME_SIZE])
		return SPOP_NO_FRAME_SIZE;
	*complaint = "capabilities not found";
	if (!hello->has[CAPABILITIES])
		return SPOP_NO_CAPABILITIES;
	*complaint = "version 2.0 is not offered";
	if (!offers_version(hello->values[VERSIONS].bytes))
		return SPOP_BAD_VERSION;
	*complaint = "max-frame-size is below 256";
	if (hello->values[FRAME_SIZE].integer < SESSION_FRAME_MIN)
		return SPOP_BAD_FRAME_SIZE;
	*complaint = NULL;
	return SPOP_NORMAL;
}

/* Keeps the engine-id for logs, without what a terminal might obey. */
static void keep_engine_id(struct session *s, struct span id)
{
	size_t i;

	for (i = 0; i < id.len && i < SESSION_ENGINE_MAX; i++) {
		char c = id.p[i];

		if (c <= ' ' || c > '~')
			c = '?';
		s->engine_id[i] = c;
	}
	s->engine_id[i] = '\0';
}

/* The keys are these three: HAProxy compares others by prefix (SPOP.md 2). */
static void put_hello(struct session *s, uint32_t frame_size)
{
	struct spop_writer w = open_output(s, SPOP_HEADER_MAX + MESSAGE_MAX);
	uint8_t *begin;

	if (w.failed)
		return;
	begin = spop_begin_frame(&w, SPOP_AGENT_HELLO, 0, 0);
	put_text_key(&w, "version", "2.0");
	put_number_key(&w, "max-frame-size", frame_size);
	put_text_key(&w, "capabilities", "pipelining");
	spop_end_frame(&w, begin);
	close_output(s, &w);
}

static void take_hello(struct session *s, struct spop_frame *frame)
{
	struct hello hello;
	const char *complaint;
	enum spop_code code;
	uint64_t size;

	if (!get_hello(&frame->payload, &hello) || s->state != SESSION_NEW ||
	    frame->stream_id != 0 || frame->frame_id != 0) {
		session_end(s, SPOP_INVALID, "invalid frame received");
		return;
	}
	code = judge_hello(&hello, &complaint);
	if (code != SPOP_NORMAL) {
		session_end(s, code, complaint);
		return;
	}
	s->health_check = hello.values[HEALTH_CHECK].integer;
	keep_engine_id(s, hello.values[ENGINE_ID].bytes);
	size = s->health_check ? SESSION_CHECK_MAX : SESSION_FRAME_MAX;
	if (size > hello.values[FRAME_SIZE].integer)
		size = hello.values[FRAME_SIZE].integer;
	s->frame_max = (uint32_t)size;
	s->state = s->health_check ? SESSION_OVER : SESSION_OPEN;
	put_hello(s, s->frame_max);
}

static void take_disconnect(struct session *s, struct spop_frame *frame)
{
	struct spop_reader *r = &frame->payload;

	while (r->p < r->end) {
		struct spop_value value;

		spop_get_string(r);
		spop_get_value(r, &value);
	}
	if (r->failed || frame->stream_id != 0 || frame->frame_id != 0)
		session_end(s, SPOP_INVALID, "invalid frame received");
	else
		session_end(s, SPOP_NORMAL, "bye");
}

static bool names_client(const struct spop_value *value)
{
	return value->type == SPOP_STRING || value->type == SPOP_IPV4 ||
	       value->type == SPOP_IPV6;
}

/* Reads so many arguments of a message and, unless `q` is NULL, keeps those
 * that mean something. Of a repeated one the first counts. */
static inline void get_arguments(struct spop_reader *r, unsigned int args,
				 bool seen_host, struct question *q)
{
	bool seen_client = !q;

	for (; args > 0 && !r->failed; args--) {
		struct span name = spop_get_string(r);
		struct spop_value value;

		spop_get_value(r, &value);
		if (!seen_host && span_is(name, "host")) {
			seen_host = true;
			if (value.type == SPOP_STRING)
				q->host = value.bytes;
		} else if (!seen_client && span_is(name, "client")) {
			seen_client = true;
			if (names_client(&value))
				q->client = value.bytes;
		} else if (q && span_is(name, "brief")) {
			q->is_brief = true;
		}
	}
}

/* What nearly all questions begin with, around the number of arguments, and
 * what they end with, but for the address. */
static const char usual_message[] = "\x05route";
static const char usual_argument[] = "\x04host\x08";
static const char usual_client[] = "\x06"
				   "client\x06";

enum {
	USUAL_ARGS = sizeof(usual_message) - 1,		  /* their number */
	USUAL_HOST = USUAL_ARGS + sizeof(usual_argument), /* its length */
	USUAL_CLIENT = sizeof(usual_client) - 1,
	IPV4_BYTES = 4,
};

static inline bool begins_as_usual(const struct spop_reader *r)
{
	return r->end - r->p > USUAL_HOST && r->p[USUAL_ARGS] > 0 &&
	       !memcmp(r->p, usual_message, USUAL_ARGS) &&
	       !memcmp(r->p + USUAL_ARGS + 1, usual_argument,
		       sizeof(usual_argument) - 1);
}

/* Reads the arguments after the host. */
static inline void get_others(struct spop_reader *r, unsigned int args,
			      struct question *q)
{
	if (args == 1 && r->end - r->p == USUAL_CLIENT + IPV4_BYTES &&
	    !memcmp(r->p, usual_client, USUAL_CLIENT)) {
		r->p += USUAL_CLIENT;
		q->client = spop_get_bytes(r, IPV4_BYTES);
	} else if (args > 0) {
		get_arguments(r, args, true, q);
	}
}

/* Reads every message to the end, so that a broken frame is seen as such, and
 * keeps the arguments of the first message `route`. False when it is broken. */
static inline bool get_question(struct spop_reader r, struct question *q)
{
	struct question *wanted = q;

	q->hash = 0;
	q->host = q->client = (struct span){0};
	q->is_brief = false;
	if (begins_as_usual(&r)) {
		unsigned int args = r.p[USUAL_ARGS];

		r.p += USUAL_HOST;
		q->host = spop_get_string(&r);
		get_others(&r, args - 1, q);
		wanted = NULL;
	}
	while (r.p < r.end) {
		struct span message = spop_get_string(&r);
		bool is_route = wanted && span_is(message, "route");
		unsigned int args = spop_get_byte(&r);

		get_arguments(&r, args, !is_route, is_route ? wanted : NULL);
		if (is_route)
			wanted = NULL;
	}
	return !r.failed;
}

/* Settles one frame that session_more left. */
static void take_frame(struct session *s, struct spop_frame *frame)
{
	bool is_notify = frame->type == SPOP_HAPROXY_NOTIFY;

	if (!is_notify && frame->type != SPOP_HAPROXY_HELLO &&
	    frame->type != SPOP_HAPROXY_DISCONNECT)
		return;
	if (!(frame->flags & SPOP_FIN))
		session_end(s, SPOP_FRAGMENTED,
			    "fragmentation is not supported");
	else if (is_notify && s->state != SESSION_OPEN)
		session_end(s, SPOP_INVALID, "NOTIFY before HELLO");
	else if (is_notify)
		session_end(s, SPOP_INVALID, "invalid frame received");
	else if (frame->type == SPOP_HAPROXY_HELLO)
		take_hello(s, frame);
	else
		take_disconnect(s, frame);
}

/* How many more questions may be taken, when all that are open can be answered
 * within the bound. A goodbye must always find room. */
static size_t count_room(const struct session *s)
{
	size_t taken = s->out_len - s->out_sent +
		       s->unanswered * (size_t)SESSION_ACK_MAX + GOODBYE_MAX;

	if (taken >= s->output_max)
		return 0;
	return (s->output_max - taken) / SESSION_ACK_MAX;
}

/* Takes the next frame if it is a question. */
static inline bool take_question(struct session *s, struct question *q)
{
	struct spop_frame frame;
	size_t used = 0;

	if (spop_get_frame(s->in + s->in_used, s->in_len - s->in_used,
			   s->frame_max, &frame, &used) != SPOP_PARSED ||
	    frame.type != SPOP_HAPROXY_NOTIFY || !(frame.flags & SPOP_FIN))
		return false;
	q->stream_id = frame.stream_id;
	q->frame_id = frame.frame_id;
	if (!get_question(frame.payload, q))
		return false;
	s->in_used += used;
	return true;
}

size_t session_more(struct session *s, struct question *questions, size_t max)
{
	size_t room = count_room(s);
	size_t count = 0;

	if (s->state != SESSION_OPEN)
		return 0;
	if (max > room)
		max = room;
	while (count < max && take_question(s, &questions[count]))
		count++;
	s->unanswered += (uint32_t)count;
	return count;
}

enum session_event session_next(struct session *s, struct question *q)
{
	while (s->state != SESSION_OVER) {
		struct spop_frame frame;
		size_t used = 0;

		if (session_more(s, q, 1) == 1)
			return SESSION_QUESTION;
		if (count_room(s) == 0)
			return SESSION_FULL;
		switch (spop_get_frame(s->in + s->in_used,
				       s->in_len - s->in_used, s->frame_max,
				       &frame, &used)) {
		case SPOP_PARSED:
			s->in_used += used;
			take_frame(s, &frame);
			break;
		case SPOP_PARTIAL:
			return SESSION_HUNGRY;
		case SPOP_OVERSIZE:
			session_end(s, SPOP_TOO_BIG, "frame is too big");
			break;
		case SPOP_BROKEN:
			session_end(s, SPOP_INVALID, "invalid frame received");
			break;
		}
	}
	return SESSION_ENDED;
}

enum {
	TARGET_MAX = sizeof(SET_VAR("\x02", "ip", "\x07")
				    SET_VAR("\x04", "port", "\x03")) +
		     16 + 3,
	SECOND_MAX = TARGET_MAX + 2, /* the names are a byte longer */
	BACKEND_MAX = 64,
	FIELD_MAX = 254,
	ROUTE_MAX = sizeof(SET_VAR("\x05", "route", "\x08")) + 2 + FIELD_MAX,
	SMALL_ACK_MAX = SPOP_HEADER_MAX + 2 * sizeof(statuses[0].bytes) +
			TARGET_MAX + SECOND_MAX +
			sizeof(SET_VAR("\x07", "backend", "\x08")) + 1 +
			BACKEND_MAX,
};

/* All that an ACK can hold has room, and without the route it fits the least
 * frame: so nothing is compared while it is put. */
_Static_assert(SMALL_ACK_MAX + ROUTE_MAX <= SESSION_ACK_MAX, "room of an ACK");
_Static_assert(SMALL_ACK_MAX <= SESSION_FRAME_MIN + SPOP_LENGTH_BYTES,
	       "room of the least frame");

/* Puts a literal without its NUL. */
#define PUT_LITERAL(p, text) put_bytes(p, text, sizeof(text) - 1)

static inline uint8_t *put_bytes(uint8_t *p, const void *bytes, size_t len)
{
	memcpy(p, bytes, len);
	return p + len;
}

static inline uint8_t *put_action(uint8_t *p, const struct text_action *action)
{
	memcpy(p, action->bytes, sizeof(action->bytes));
	return p + action->len;
}

/* One of the two choices; where this is inlined it is known which. */
static inline uint8_t *put_target(uint8_t *p, bool is_second,
				  const uint8_t *address, size_t len,
				  uint16_t port)
{
	if (len == 4) {
		p = is_second ? PUT_LITERAL(p, SET_VAR("\x03", "ip2", "\x06"))
			      : PUT_LITERAL(p, SET_VAR("\x02", "ip", "\x06"));
		p = put_bytes(p, address, 4);
	} else {
		p = is_second ? PUT_LITERAL(p, SET_VAR("\x03", "ip2", "\x07"))
			      : PUT_LITERAL(p, SET_VAR("\x02", "ip", "\x07"));
		p = put_bytes(p, address, 16);
	}
	p = is_second ? PUT_LITERAL(p, SET_VAR("\x05", "port2", "\x03"))
		      : PUT_LITERAL(p, SET_VAR("\x04", "port", "\x03"));
	return spop_write_varint(p, port);
}

APART static uint8_t *put_second(uint8_t *p, const struct answer *a)
{
	return put_target(p, true, a->address2, a->address2_len, a->port2);
}

static uint8_t *put_backend(uint8_t *p, struct span backend)
{
	p = PUT_LITERAL(p, SET_VAR("\x07", "backend", "\x08"));
	p = spop_write_varint(p, backend.len);
	return put_bytes(p, backend.p, backend.len);
}

/* Only logs need the route: what would make the frame longer than `end` goes
 * without it. */
static inline uint8_t *put_route(uint8_t *p, const uint8_t *end,
				 struct span route)
{
	size_t size = sizeof(SET_VAR("\x05", "route", "\x08")) - 1 +
		      (route.len < 240 ? 1 : 2) + route.len;

	if (route.len == 0 || size > (size_t)(end - p))
		return p;
	p = PUT_LITERAL(p, SET_VAR("\x05", "route", "\x08"));
	p = spop_write_varint(p, route.len);
	return put_bytes(p, route.p, route.len);
}

void session_answer(struct session *s, uint64_t stream_id, uint64_t frame_id,
		    const struct answer *a)
{
	size_t limit = s->frame_max + (size_t)SPOP_LENGTH_BYTES;
	uint8_t *begin, *p;

	s->unanswered--;
	if (s->state == SESSION_OVER)
		return;
	begin = reserve_output(s, SESSION_ACK_MAX);
	if (!begin)
		return;
	if (limit > SESSION_ACK_MAX)
		limit = SESSION_ACK_MAX;
	p = spop_write_head(begin, SPOP_AGENT_ACK, stream_id, frame_id);
	p = put_action(p, &statuses[a->status]);
	if (a->status == ANSWER_OK)
		p = put_target(p, false, a->address, a->address_len, a->port);
	if (a->status == ANSWER_OK && a->address2_len > 0)
		p = put_second(p, a);
	if (!a->is_brief)
		p = put_action(p, &sources[a->source]);
	if (a->backend.len > 0 && a->backend.len <= BACKEND_MAX)
		p = put_backend(p, a->backend);
	if (!a->is_brief)
		p = put_route(p, begin + limit, a->route);
	spop_write_length(begin, p);
	s->out_len = (size_t)(p - s->out);
}
