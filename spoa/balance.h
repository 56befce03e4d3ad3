/* SPDX-License-Identifier: MIT */
/*
 * balance: which targets of a route serve the next request.
 *
 * A route goes in, a first and a second choice come out. Who serves, and whose
 * turn it is, stands in the route itself, as a plan that holds until a state
 * changes. States of targets are read from an array that others write: no
 * call, no hashing. Nothing is allocated.
 *
 * Targets of weight 0 never serve. Of the others those serve that are up: the
 * first backup only when no other target is. When none is up, those of the
 * lowest rank serve as if they were, for a check alone takes nothing away. But
 * a route that has `check tcp` or `check http` is down when all targets are.
 */
#ifndef SPOA_BALANCE_H
#define SPOA_BALANCE_H

#include "route.h"

/* A state, by the slot of a target. */
enum {
	BALANCE_UP,	     /* or not watched */
	BALANCE_DOUBTED,     /* somebody said it is down */
	BALANCE_DOWN,	     /* from here on; the higher, the surer */
	BALANCE_RANK = 0x7f, /* the bits of these */
	BALANCE_USED = 0x80, /* set when the state was looked at */
};

struct choice {
	const struct target *first;
	const struct target *second; /* NULL when there is no other */
};

/* Chooses for a request of `client`, as balance_client made it; without one
 * `balance source` goes in turn. `states` may be NULL: all are up. `version`
 * is another one after each change of a rank and after each BALANCE_USED that
 * was taken away, and never 0. False when no target may serve. The second
 * choice has another address or port than the first. */
bool balance_choose(struct route *route, uint8_t *states, uint32_t version,
		    uint64_t client, struct choice *choice) MUST_CHECK;

/* What a client is to the targets: the same number in every agent and after
 * each restart; 0 is none. */
uint64_t balance_client(struct span client);

#endif
