/* SPDX-License-Identifier: MIT */
/*
 * conn: the connections of HAProxy.
 *
 * It accepts, reads, hands questions to the resolver and answers to the
 * session, and writes. Each readiness costs one read and one write, however
 * many frames they carry. A peer that does not read is not read from.
 */
#ifndef SPOA_CONN_H
#define SPOA_CONN_H

#include "listener.h"
#include "loop.h"
#include "resolver.h"

struct conns;

struct conns_options {
	struct loop *loop;
	size_t connections_max;
};

/* Counts since the start, but for the number of open connections. */
struct conns_counters {
	size_t open;
	uint64_t accepted;
	uint64_t refused; /* beyond connections_max */
	uint64_t answers[ANSWER_STATUSES][ANSWER_SOURCES];
};

/* NULL when there is no memory. */
struct conns *conns_new(const struct conns_options *options);

/* Closes all at once. */
void conns_free(struct conns *conns);

/* Whom to ask; before the first listener is added. */
void conns_set_resolver(struct conns *conns, struct resolver *resolver);

/* Accepts on `fd`, which becomes theirs. False when there is no memory. */
bool conns_listen(struct conns *conns, int fd,
		  const struct listener_address *address) MUST_CHECK;

/* Writes what the answers of this turn have left to write. */
void conns_end_turn(struct conns *conns);

/* Begins to stop: connections are closed one after the other, each after its
 * last answer, then the listeners, after what waits in their backlog was
 * accepted and answered. */
void conns_stop(struct conns *conns);

bool conns_are_stopping(const struct conns *conns);

/* Is all closed? */
bool conns_are_stopped(const struct conns *conns);

const struct conns_counters *conns_count(const struct conns *conns);

#endif
