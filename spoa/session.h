/* SPDX-License-Identifier: MIT */
/*
 * session: one SPOP conversation with HAProxy, without a socket.
 *
 * Bytes from HAProxy go in (session_feed), questions come out (session_next),
 * answers go in (session_answer), bytes for HAProxy come out (session_output).
 * Hellos, refusals and goodbyes it settles by itself. Any byte sequence leads
 * to questions or to a DISCONNECT with a code; memory stays within
 * SESSION_OUTPUT_MAX whatever the peer does.
 */
#ifndef SPOA_SESSION_H
#define SPOA_SESSION_H

#include "base.h"
#include "spop.h"

enum {
	SESSION_FRAME_MIN = 256,	 /* the protocol's least frame size */
	SESSION_FRAME_MAX = 1024 * 1024, /* the largest we agree to, bytes */
	SESSION_HELLO_MAX = 16380,	 /* frame limit before the HELLO */
	SESSION_CHECK_MAX = 4092,	 /* frame size told health checks */
	SESSION_OUTPUT_MAX = 256 * 1024, /* bytes kept for a slow reader */
	SESSION_OUTPUT_MIN = 16 * 1024,	 /* the least that it may be told */
	SESSION_ACK_MAX = 512,		 /* no ACK is longer than this */
	SESSION_ENGINE_MAX = 64,	 /* bytes kept of an engine-id */
};

enum session_event {
	SESSION_QUESTION, /* one was filled in */
	SESSION_HUNGRY,	  /* all frames are used up: feed more bytes */
	SESSION_FULL,	  /* too much is unanswered or unread: wait */
	SESSION_ENDED,	  /* send what is in the output, then close */
};

/* What HAProxy asks. An answer must carry the same ids. */
struct question {
	uint64_t stream_id;
	uint64_t frame_id;
	uint32_t hash;	    /* 0; whoever is asked may keep it here */
	struct span host;   /* as sent; empty when there is none; borrows the
			       fed bytes, as does */
	struct span client; /* the bytes of an address or a string; may be
			       empty */
	bool is_brief;	    /* its answer is to do without source and route */
};

/* DESIGN: `status`, what is to be done with the request. */
enum answer_status {
	ANSWER_OK,
	ANSWER_NOT_FOUND,
	ANSWER_BAD_HOST,
	ANSWER_BAD_ROUTE,
	ANSWER_DOWN,
	ANSWER_UNAVAILABLE,
};

/* DESIGN: `source`, where the answer comes from. */
enum answer_source {
	ANSWER_FROM_CACHE,
	ANSWER_FROM_REDIS,
	ANSWER_FROM_STALE,
	ANSWER_FROM_NONE,
};

enum {
	ANSWER_STATUSES = ANSWER_UNAVAILABLE + 1,
	ANSWER_SOURCES = ANSWER_FROM_NONE + 1,
};

/* What HAProxy is told. All memory is borrowed for the call. */
struct answer {
	enum answer_status status;
	enum answer_source source;
	const uint8_t *address; /* network order; with ANSWER_OK only */
	uint8_t address_len;	/* 4 or 16 */
	uint16_t port;
	struct span route;	 /* the field that matched, or empty */
	struct span backend;	 /* at most 64 bytes, or empty */
	const uint8_t *address2; /* the second choice, as above */
	uint8_t address2_len;	 /* 0 when there is none */
	uint16_t port2;
	bool is_brief; /* neither source nor route are told */
};

struct session {
	enum { SESSION_NEW, SESSION_OPEN, SESSION_OVER } state;
	enum spop_code code;   /* why it is over; SPOP_NORMAL before that */
	const char *complaint; /* the same in words; a literal, or NULL */
	bool health_check;     /* HAProxy only wanted to see a HELLO */
	uint32_t frame_max;    /* agreed length of a frame, bytes */
	uint32_t unanswered;   /* questions handed out and not answered */
	uint32_t output_max;   /* bytes kept for a slow reader */
	const uint8_t *in;     /* the fed bytes; borrowed */
	size_t in_len;
	size_t in_used;
	uint8_t *out; /* owned; bytes [out_sent, out_len) wait */
	size_t out_size;
	size_t out_len;
	size_t out_sent;
	char engine_id[SESSION_ENGINE_MAX + 1]; /* printable, or empty */
};

/* The words that the contract uses for a status and a source. */
const char *answer_status_name(enum answer_status status);
const char *answer_source_name(enum answer_source source);

void session_init(struct session *s);
void session_fini(struct session *s);

/* From now on no question is taken whose answer could make the output larger:
 * SESSION_OUTPUT_MIN to SESSION_OUTPUT_MAX, which it is before that. */
void session_bound_output(struct session *s, uint32_t max_bytes);

/* Lends the session `len` bytes that start where the last frame ended: what
 * session_used left over, then what has come since. They must stay until the
 * next feed. */
void session_feed(struct session *s, const uint8_t *bytes, size_t len);

/* Goes on with the fed bytes until there is a question or nothing to do. */
enum session_event session_next(struct session *s,
				struct question *q) MUST_CHECK;

/* Takes up to `max` questions more, as long as the next frame is one, whole and
 * sound, and there is room for its answer; all else is left for session_next.
 * Returns how many: so questions can be collected and answered together. */
size_t session_more(struct session *s, struct question *questions,
		    size_t max) MUST_CHECK;

/* How many of the fed bytes are done with. */
size_t session_used(const struct session *s);

/* Answers one question: exactly one ACK. Each question that session_next gave
 * must be answered once, in any order, unless the session is over. */
void session_answer(struct session *s, uint64_t stream_id, uint64_t frame_id,
		    const struct answer *a);

/* Says goodbye: an AGENT-DISCONNECT with `code` and the literal `message`, and
 * the session is over. Nothing when it is over already. */
void session_end(struct session *s, enum spop_code code, const char *message);

/* The bytes that wait to be sent; valid until the next call. */
struct span session_output(const struct session *s);

/* `len` bytes of the output were sent. */
void session_sent(struct session *s, size_t len);

#endif
