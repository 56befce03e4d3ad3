/* SPDX-License-Identifier: MIT */
/*
 * fuzz_session: the input is what HAProxy sends, behind one byte that says how
 * it arrives and how we behave: the low five bits are the size of each read
 * (0: all at once), 0x20 answers late, 0x40 reads the output late, 0x80 reads
 * half of it at a time. What comes out must be whole frames: a HELLO, an ACK
 * for each answer in the order of the answers, a DISCONNECT as the last.
 */
#include "fuzz.h"

#include "../../spoa/session.h"

enum {
	LATE_ANSWERS = 0x20,
	LATE_READER = 0x40,
	HALF_READER = 0x80,
	WAITING_MAX = 1024
};

/* What was asked and not answered yet. */
struct waiting {
	struct question questions[WAITING_MAX];
	size_t count;
};

/* What HAProxy has read, and what it must still read. */
static struct {
	uint8_t bytes[2 * SESSION_OUTPUT_MAX];
	size_t len; /* of the frame that is not whole yet */
	struct question answered[WAITING_MAX];
	size_t first, count; /* of those whose ACK it did not see */
	bool was_greeted;
	bool is_over;
} peer;

#define TEN "0123456789"
#define SIXTY TEN TEN TEN TEN TEN TEN

static const struct answer answers[] = {
	{.status = ANSWER_OK,
	 .source = ANSWER_FROM_REDIS,
	 .address = (const uint8_t *)"\x7f\0\0\1",
	 .address_len = 4,
	 .port = 8080,
	 .route = {"*.example.org", 13}},
	{.status = ANSWER_NOT_FOUND, .source = ANSWER_FROM_CACHE},
	{.status = ANSWER_OK,
	 .source = ANSWER_FROM_STALE,
	 .address = (const uint8_t *)TEN TEN,
	 .address_len = 16,
	 .port = 80,
	 .address2 = (const uint8_t *)"\x7f\0\0\1",
	 .address2_len = 4,
	 .port2 = 65535,
	 .backend = {SIXTY, 60},
	 .route = {SIXTY SIXTY SIXTY SIXTY, 240}},
	{.status = ANSWER_OK,
	 .source = ANSWER_FROM_CACHE,
	 .address = (const uint8_t *)"\x7f\0\0\1",
	 .address_len = 4,
	 .port = 1,
	 .address2 = (const uint8_t *)TEN TEN,
	 .address2_len = 16,
	 .port2 = 1,
	 .route = {SIXTY SIXTY SIXTY SIXTY, 240}},
	{.status = ANSWER_UNAVAILABLE, .source = ANSWER_FROM_NONE},
};

static void take_frame(const struct spop_frame *frame)
{
	const struct question *q = &peer.answered[peer.first % WAITING_MAX];

	MUST(frame->flags == SPOP_FIN && !peer.is_over);
	if (frame->type == SPOP_AGENT_ACK) {
		MUST(peer.count > 0 && frame->stream_id == q->stream_id &&
		     frame->frame_id == q->frame_id);
		MUST(frame->payload.p < frame->payload.end);
		peer.first++;
		peer.count--;
		return;
	}
	MUST(frame->stream_id == 0 && frame->frame_id == 0);
	if (frame->type == SPOP_AGENT_HELLO)
		MUST(!peer.was_greeted);
	else
		MUST(frame->type == SPOP_AGENT_DISCONNECT);
	peer.was_greeted = true;
	peer.is_over = frame->type == SPOP_AGENT_DISCONNECT;
}

/* HAProxy reads so many bytes of the output. */
static void read_bytes(struct session *s, size_t len)
{
	struct spop_frame frame;
	size_t used, at = 0;

	MUST(session_output(s).len <= SESSION_OUTPUT_MAX);
	MUST(s->out_size <= SESSION_OUTPUT_MAX);
	if (len == 0)
		return;
	MUST(peer.len + len <= sizeof(peer.bytes));
	memcpy(peer.bytes + peer.len, session_output(s).p, len);
	peer.len += len;
	session_sent(s, len);
	while (spop_get_frame(peer.bytes + at, peer.len - at, s->frame_max,
			      &frame, &used) == SPOP_PARSED) {
		take_frame(&frame);
		at += used;
	}
	memmove(peer.bytes, peer.bytes + at, peer.len - at);
	peer.len -= at;
}

static void read_output(struct session *s, uint8_t how)
{
	size_t len = session_output(s).len;

	read_bytes(s, how & HALF_READER ? len / 2 : len);
}

static void answer_all(struct session *s, struct waiting *waiting)
{
	while (waiting->count > 0) {
		struct question *q = &waiting->questions[--waiting->count];
		size_t end = (peer.first + peer.count) % WAITING_MAX;

		if (s->state == SESSION_OPEN) {
			MUST(peer.count < WAITING_MAX);
			peer.answered[end] = *q;
			peer.count++;
		}
		session_answer(s, q->stream_id, q->frame_id,
			       &answers[q->frame_id % ARRAY_LEN(answers)]);
	}
}

static void take_question(const struct question *q, const uint8_t *bytes,
			  size_t len, struct waiting *waiting)
{
	const struct span *spans[] = {&q->host, &q->client};
	size_t i;

	for (i = 0; i < ARRAY_LEN(spans); i++) {
		const uint8_t *p = (const uint8_t *)spans[i]->p;

		MUST(spans[i]->len == 0 ||
		     (p >= bytes && p + spans[i]->len <= bytes + len));
	}
	MUST(waiting->count < WAITING_MAX);
	waiting->questions[waiting->count++] = *q;
}

/* Runs the session on what has arrived; false when it is over. */
static bool turn(struct session *s, const uint8_t *bytes, size_t len,
		 uint8_t how, struct waiting *waiting)
{
	struct question q;
	enum session_event event;

	session_bound_output(s,
			     len % 2 ? SESSION_OUTPUT_MIN : SESSION_OUTPUT_MAX);
	session_feed(s, bytes, len);
	while ((event = session_next(s, &q)) != SESSION_HUNGRY &&
	       event != SESSION_ENDED) {
		if (event == SESSION_QUESTION)
			take_question(&q, bytes, len, waiting);
		while (event == SESSION_QUESTION && session_more(s, &q, 1) == 1)
			take_question(&q, bytes, len, waiting);
		if (event == SESSION_FULL || !(how & LATE_ANSWERS))
			answer_all(s, waiting);
		if (event == SESSION_FULL || !(how & LATE_READER))
			read_output(s, event == SESSION_FULL ? 0 : how);
	}
	MUST(session_used(s) <= len);
	return event != SESSION_ENDED;
}

/* Feeds the input in pieces, each in memory of its own size. */
static void talk(struct session *s, uint8_t how, const uint8_t *bytes,
		 size_t len, struct waiting *waiting)
{
	size_t step = how & 0x1f ? (size_t)(how & 0x1f) : len;
	size_t from = 0, to = 0;
	bool goes_on = true;

	while (goes_on && to < len) {
		uint8_t *arrived;

		to = len - to < step ? len : to + step;
		arrived = malloc(to - from);
		MUST(arrived != NULL);
		memcpy(arrived, bytes + from, to - from);
		goes_on = turn(s, arrived, to - from, how, waiting);
		from += session_used(s);
		free(arrived);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct waiting waiting;
	struct session s;

	if (len < 2)
		return 0;
	waiting.count = 0;
	peer.len = peer.first = peer.count = 0;
	peer.was_greeted = peer.is_over = false;
	session_init(&s);
	talk(&s, bytes[0], bytes + 1, len - 1, &waiting);
	answer_all(&s, &waiting);
	session_end(&s, SPOP_NORMAL, "bye");
	read_bytes(&s, session_output(&s).len);
	/* All that was answered while it was open has come, then the end. */
	MUST(peer.len == 0 && peer.count == 0);
	MUST(s.unanswered == 0);
	MUST(peer.is_over || s.health_check);
	session_fini(&s);
	return 0;
}
