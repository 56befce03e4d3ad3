/* SPDX-License-Identifier: MIT */
/*
 * fuzz_session: the input is what HAProxy sends, behind one byte that says how
 * it arrives and how we behave: the low five bits are the size of each read
 * (0: all at once), 0x20 answers late, 0x40 reads the output late.
 */
#include "fuzz.h"

#include "../../spoa/session.h"

enum { LATE_ANSWERS = 0x20, LATE_READER = 0x40, WAITING_MAX = 1024 };

/* What was asked and not answered yet. */
struct waiting {
	struct question questions[WAITING_MAX];
	size_t count;
};

static const struct answer answers[] = {
	{.status = ANSWER_OK,
	 .source = ANSWER_FROM_REDIS,
	 .address = (const uint8_t *)"\x7f\0\0\1",
	 .address_len = 4,
	 .port = 8080,
	 .route = {"*.example.org", 13}},
	{.status = ANSWER_NOT_FOUND, .source = ANSWER_FROM_CACHE},
};

/* The output must be whole frames, none longer than was agreed. */
static void check_output(const struct session *s)
{
	struct span out = session_output(s);

	MUST(out.len <= SESSION_OUTPUT_MAX);
	MUST(s->out_size <= SESSION_OUTPUT_MAX);
	while (out.len > 0) {
		struct spop_frame frame;
		size_t used;

		MUST(spop_get_frame((const uint8_t *)out.p, out.len,
				    s->frame_max, &frame,
				    &used) == SPOP_PARSED);
		MUST(frame.type >= SPOP_AGENT_HELLO &&
		     frame.type <= SPOP_AGENT_ACK && frame.flags == SPOP_FIN);
		out.p += used;
		out.len -= used;
	}
}

static void answer_all(struct session *s, struct waiting *waiting)
{
	while (waiting->count > 0) {
		struct question *q = &waiting->questions[--waiting->count];

		session_answer(s, q->stream_id, q->frame_id,
			       &answers[q->frame_id % ARRAY_LEN(answers)]);
	}
}

static void read_output(struct session *s)
{
	check_output(s);
	session_sent(s, session_output(s).len);
}

/* Runs the session on what has arrived; false when it is over. */
static bool turn(struct session *s, const uint8_t *bytes, size_t len,
		 uint8_t how, struct waiting *waiting)
{
	struct question q;
	enum session_event event;

	session_feed(s, bytes, len);
	while ((event = session_next(s, &q)) != SESSION_HUNGRY &&
	       event != SESSION_ENDED) {
		if (event == SESSION_QUESTION) {
			const uint8_t *host = (const uint8_t *)q.host.p;

			MUST(q.host.len == 0 ||
			     (host >= bytes && host < bytes + len));
			MUST(q.host.len <= len);
			MUST(waiting->count < WAITING_MAX);
			waiting->questions[waiting->count++] = q;
		}
		if (event == SESSION_FULL || !(how & LATE_ANSWERS))
			answer_all(s, waiting);
		if (event == SESSION_FULL || !(how & LATE_READER))
			read_output(s);
	}
	MUST(session_used(s) <= len);
	check_output(s);
	return event != SESSION_ENDED;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct waiting waiting;
	size_t from = 0, to = 0, step;
	struct session s;
	bool goes_on = true;

	if (len < 2)
		return 0;
	step = bytes[0] & 0x1f ? (size_t)(bytes[0] & 0x1f) : len;
	waiting.count = 0;
	session_init(&s);
	while (goes_on && to < len - 1) {
		uint8_t *arrived;

		to = len - 1 - to < step ? len - 1 : to + step;
		arrived = malloc(to - from);
		MUST(arrived != NULL);
		memcpy(arrived, bytes + 1 + from, to - from);
		goes_on = turn(&s, arrived, to - from, bytes[0], &waiting);
		from += session_used(&s);
		free(arrived);
	}
	answer_all(&s, &waiting);
	session_end(&s, SPOP_NORMAL, "bye");
	read_output(&s);
	session_fini(&s);
	return 0;
}
