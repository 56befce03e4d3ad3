/* SPDX-License-Identifier: MIT */
/*
 * conns: the connections of HAProxy, from accepting them to a stop that loses
 * no answer.
 *
 * It accepts what its bounds allow, and to stop it closes one connection after
 * the other, the quietest first, and the listeners last.
 */
#ifndef SPOA_CONNS_H
#define SPOA_CONNS_H

#include "conn.h"
#include "listener.h"

struct conns;

struct conns_options {
	struct loop *loop;
	size_t connections_max;
};

/* NULL when there is no memory. */
struct conns *conns_new(const struct conns_options *options);

/* Closes all at once. */
void conns_free(struct conns *conns);

/* From now on this bound counts; what is open stays. */
void conns_set_max(struct conns *conns, size_t connections_max);

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

const struct conn_counters *conns_count(const struct conns *conns);

#endif
