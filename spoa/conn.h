/* SPDX-License-Identifier: MIT */
/*
 * conn: one connection of HAProxy.
 *
 * It reads, hands questions to the resolver and answers to the session, and
 * writes. Each readiness costs one read and one write, however many frames they
 * carry. A peer that does not read is not read from. What is closed is freed at
 * the end of the turn, never below its own callback.
 */
#ifndef SPOA_CONN_H
#define SPOA_CONN_H

#include "log.h"
#include "loop.h"
#include "metrics.h"
#include "resolver.h"

struct pending;
struct sockaddr;

enum {
	CONN_PEER_MAX = 64,
	CONN_TIMED = 16, /* one turn in so many is timed */
};

/* Its fields are conn's own, but for reading. */
struct conn {
	struct conn_shared *shared;
	int fd;
	enum {
		CONN_OPEN,   /* frames go both ways */
		CONN_ENDING, /* the output is sent, nothing is read */
		CONN_LINGER, /* the goodbye is sent, what comes is waste */
		CONN_CLOSED  /* freed at the end of the turn */
	} state;
	bool is_guest;	 /* its opener's word: it came while stopping */
	bool is_dirty;	 /* on the list of those to flush */
	bool is_full;	 /* the session takes no more for now */
	bool is_eof;	 /* the peer sends no more */
	bool is_reading; /* `readable` is added */
	struct session session;
	uint8_t *in; /* owned */
	size_t in_size;
	size_t in_len;
	size_t unread_bytes; /* its part of that of all */
	int64_t opened_ms;
	int64_t heard_ms; /* when bytes last came */
	struct event *readable;
	struct event *writable;
	struct event *timer; /* of the HELLO, then of lingering */
	LIST_HEAD(pending_list, pending) pendings;
	TAILQ_ENTRY(conn) link;
	TAILQ_ENTRY(conn) dirty_link;
	char peer[CONN_PEER_MAX]; /* for logs */
};

TAILQ_HEAD(conn_list, conn);

/* Counts since the start, but for the number of open connections. */
struct conn_counters {
	size_t open;
	uint64_t accepted;
	uint64_t refused;    /* beyond connections_max; counted by conns */
	uint64_t broken;     /* ended for bad SPOP */
	uint64_t crowded;    /* of these: for too many large frames at once */
	size_t large_bytes;  /* that unfinished large frames take */
	size_t unread_bytes; /* that outputs beyond the usual size take */
	uint64_t throttled;  /* times that one had to wait for these */
	uint64_t hellos;     /* frames, by type */
	uint64_t questions;  /* the same */
	/* How long answers took: those that were known at once, from the first
	 * read of a turn to its end, in the turns that are timed; and those
	 * that had to wait. */
	struct metrics_histogram known;
	struct metrics_histogram waited;
	uint64_t answers[ANSWER_STATUSES][ANSWER_SOURCES];
};

/* What all connections share. */
struct conn_shared {
	struct loop *loop; /* the caller's, as is the resolver; set before */
	struct resolver *resolver; /* the first connection opens */
	struct conn_list open;	   /* oldest first */
	struct conn_list dirty;	   /* to flush at the end of the turn */
	struct conn_list closed;   /* to free then */
	struct log_limit broken;
	struct log_limit unread;
	struct pending *spare; /* for the next question, or NULL */
	uint64_t known;	       /* answers of this turn that did not wait */
	unsigned int turns;    /* with such answers */
	struct conn_counters counters;
};

void conn_init_shared(struct conn_shared *shared, struct loop *loop);

/* Closes and frees all connections. */
void conn_fini_shared(struct conn_shared *shared);

/* Talks SPOP on `fd`, which becomes its own; without memory it is closed. */
void conn_open(struct conn_shared *shared, int fd,
	       const struct sockaddr *address, bool is_guest);

/* Ends the session when all that was asked is answered. */
void conn_say_goodbye(struct conn *conn);

/* Writes what the answers of this turn have left to write, and frees what was
 * closed. */
void conn_end_turn(struct conn_shared *shared);

#endif
