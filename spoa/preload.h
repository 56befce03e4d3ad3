/* SPDX-License-Identifier: MIT */
/*
 * preload: lets the cache know the whole hash, so that hosts that were never
 * asked for survive an outage.
 *
 * It lists the hash in the background, one step at a time, and again, at most
 * once a minute, when there are more fields than the cache knows. It only fills
 * room that is free: when the cache is full it ends, and says so. The time is
 * passed in.
 */
#ifndef SPOA_PRELOAD_H
#define SPOA_PRELOAD_H

#include "cache.h"
#include "resolver.h"
#include "store.h"

struct preload;

struct preload_options {
	struct cache *cache; /* the caller's, as are these: */
	struct resolver *resolver;
	struct store *store;
	size_t values_max; /* of the cache */
	size_t text_max;   /* bytes of a value that can be kept */
};

/* Counts since the start, but for the first two. */
struct preload_counters {
	size_t total;	   /* fields there were when it last began */
	bool is_running;   /* a listing is under way */
	uint64_t listings; /* those that came to their end */
	uint64_t added;	   /* routes that were not known before */
	uint64_t skipped;  /* fields or values too long to be kept */
	uint64_t failures; /* listings that were broken off */
	uint64_t full;	   /* those that ended because the cache was full */
};

/* NULL when there is no memory. */
struct preload *preload_new(const struct preload_options *options);

/* From now on the cache takes so many values. */
void preload_set_max(struct preload *preload, size_t values_max);

/* The store must have let go of its scan. */
void preload_free(struct preload *preload);

/* Goes on. Returns when it wants to do so again, or -1 when it waits for the
 * store. */
int64_t preload_step(struct preload *preload, int64_t now_ms);

const struct preload_counters *preload_count(const struct preload *preload);

#endif
