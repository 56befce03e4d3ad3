/* SPDX-License-Identifier: MIT */
/*
 * walk: one look into the cache for each candidate that may matter.
 */
#include "walk.h"

/* Looks at one candidate. Returns true when the walk is over: a fresh one is
 * present, and no later one matters. */
static bool look_at(struct cache *cache, const struct host *host, size_t i,
		    int64_t now_ms, struct walk *walk)
{
	struct span field =
		host_candidate(host, &walk->candidates, i, &walk->room);
	struct cache_hit hit;
	enum cache_state state = cache_get(cache, field, now_ms, &hit);
	bool wins = state != CACHE_UNKNOWN && hit.value && !walk->is_present &&
		    !walk->is_broken;

	/* What is past its last use says nothing, but it is no absence. */
	if (state == CACHE_UNKNOWN && !walk->is_present)
		walk->is_broken |= !walk->is_whole || cache_find(cache, field);
	if (state != CACHE_FRESH)
		walk->unknown |= (uint16_t)(1U << i);
	else if (!hit.value)
		walk->absent |= (uint16_t)(1U << i);
	if (state == CACHE_FRESH)
		walk->is_due |= hit.is_due;
	if (wins) {
		walk->is_present = true;
		walk->winner = i;
		walk->hit = hit;
	}
	return state == CACHE_FRESH && hit.value;
}

void walk_cache(struct cache *cache, const struct host *host, int64_t now_ms,
		bool is_whole, struct walk *walk)
{
	size_t i;

	walk->is_whole = is_whole;
	walk->unknown = walk->absent = 0;
	walk->is_due = walk->is_broken = walk->is_present = false;
	/* Most hosts have a route of their own: list the others if not. */
	walk->candidates.count = 1;
	walk->candidates.start[0] = 0;
	if (look_at(cache, host, 0, now_ms, walk))
		return;
	host_list_candidates(host, &walk->candidates);
	for (i = 1; i < walk->candidates.count; i++)
		if (look_at(cache, host, i, now_ms, walk))
			return;
}
