/* SPDX-License-Identifier: MIT */
/*
 * sweep: reads again, in the background, what may have changed.
 *
 * After a change the values of older epochs are read again in batches: the
 * fields that were named first, then those that somebody relies on without
 * asking, then the others, the most used ones first. It paces itself, for Redis
 * has requests to answer too. What was read goes to the resolver; the time is
 * passed in.
 */
#ifndef SPOA_SWEEP_H
#define SPOA_SWEEP_H

#include "cache.h"
#include "store.h"

enum {
	SWEEP_UNREAD_RATE = 100,  /* fields a millisecond, see below */
	SWEEP_UNREAD_MAX = 4096,  /* of them at once */
	SWEEP_UNREAD_BATCHES = 4, /* lookups under way */
};

struct sweep;

/* Gives a field that somebody relies on without asking, and that is to be read
 * again before all others; it lives until the next call. `is_idle` says that
 * none of those given before is still being read. False when there is none at
 * present; `*again` then says whether to ask again soon. */
typedef bool sweep_unread(void *context, bool is_idle, int64_t now_ms,
			  struct span *field, bool *again);

struct sweep_options {
	struct cache *cache; /* the caller's, as is the store; both outlive */
	struct store *store;
	/* Takes what a field holds, as asked at `asked_ms` in `epoch`; both
	 * spans live during the call. */
	void (*keep)(void *context, struct span field,
		     const struct store_value *value, int64_t asked_ms,
		     uint32_t epoch, int64_t now_ms);
	void *context;
};

/* Counts since the start. */
struct sweep_counters {
	uint64_t rereads; /* fields read again */
};

/* NULL when there is no memory. */
struct sweep *sweep_new(const struct sweep_options *options);

/* The store must have let go of all lookups. */
void sweep_free(struct sweep *sweep);

/* The epoch was raised: there is something to read. */
void sweep_begin(struct sweep *sweep);

/* The field was named as changed, and is to be read first. Beyond a bound it
 * comes with all the others. */
void sweep_add(struct sweep *sweep, struct span field);

/* Asks `unread` for fields from now on, or nobody with NULL. They are read as
 * fast as the store replies, but for a bound: what SWEEP_UNREAD_RATE costs is
 * about a tenth of a core. */
void sweep_set_unread(struct sweep *sweep, sweep_unread *unread, void *context);

/* Goes on. Returns when it wants to do so again, or -1 when it waits for the
 * store or has nothing to do. */
int64_t sweep_step(struct sweep *sweep, int64_t now_ms);

const struct sweep_counters *sweep_count(const struct sweep *sweep);

#endif
