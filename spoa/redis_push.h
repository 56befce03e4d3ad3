/* SPDX-License-Identifier: MIT */
/*
 * redis_push: what one Redis server tells of changes.
 *
 * A connection of its own subscribes to two channels: the one where Redis
 * names keys that were written (for which another connection must ask: see
 * redis_track), and the one where people and scripts name fields. It is asked
 * again and again whether it still lives, for a connection can die without a
 * word.
 */
#ifndef SPOA_REDIS_PUSH_H
#define SPOA_REDIS_PUSH_H

#include "redis_wire.h"

struct redis_push;

struct redis_push_options {
	struct redis_place place; /* a message above value_max tells nothing */
	int64_t interval_ms; /* of the probes, and the patience with them */
	/* It listens; `client` is its number at the server. */
	void (*subscribed)(void *context, int64_t client);
	/* The key was written: any field may have changed. */
	void (*changed)(void *context);
	/* A field was named as changed; `*` is all. It lives during the call.
	 */
	void (*named)(void *context, struct span field);
	/* The end, as with redis_wire. `refused`: trying again soon is of no
	 * use, the server does not allow or know it. */
	void (*lost)(void *context, const char *why, bool refused);
	void *context;
};

/* NULL when there is no memory. */
struct redis_push *redis_push_new(const struct redis_push_options *options);

/* From now on probes are so far apart. */
void redis_push_set_interval(struct redis_push *push, int64_t interval_ms);

void redis_push_free(struct redis_push *push);

#endif
