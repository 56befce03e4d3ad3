/* SPDX-License-Identifier: MIT */
/*
 * walk: what the cache knows of a host's candidates.
 *
 * It looks at them in order of match, until a fresh one is present: no later
 * one matters then. What that means for an answer is the resolver's to say.
 */
#ifndef SPOA_WALK_H
#define SPOA_WALK_H

#include "cache.h"
#include "host.h"

struct walk {
	struct host_candidates candidates;
	struct host_field room;
	uint16_t unknown; /* bit i: candidate i is not fresh */
	uint16_t absent;  /* bit i: candidate i is fresh and absent */
	bool is_whole;	  /* what the cache has nothing of is absent */
	bool is_due;	  /* something fresh that was used nears its end */
	bool is_broken;	  /* a candidate before the end is not even stale */
	bool is_present;  /* `hit` is the first present candidate */
	size_t winner;	  /* its number */
	struct cache_hit hit;
};

/* Walks the candidates of a normalised host as they are at `now_ms`. With
 * `is_whole` the cache holds all there is: what it has nothing of is absent,
 * though not fresh. What was found counts as used, and is valid until the next
 * put. */
void walk_cache(struct cache *cache, const struct host *host, int64_t now_ms,
		bool is_whole, struct walk *walk);

#endif
