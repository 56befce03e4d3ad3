/* SPDX-License-Identifier: MIT */
/*
 * busiest: a listing by use, and those who wait for it.
 */
#include "busiest.h"

#include <stdlib.h>

enum { FRESH_MS = 1000 };

struct busiest {
	struct loop *loop;
	struct cache *cache;
	struct listing *listing; /* under way; or NULL */
	LIST_HEAD(busiest_list, busiest_waiter) waiters;
	int64_t listed_ms; /* when the rows were found; 0: never */
	size_t count;
	struct listing_row rows[BUSIEST_MAX];
};

static void on_listed(void *context, const struct listing_row *rows,
		      size_t count)
{
	struct busiest *busiest = context;
	struct busiest_waiter *waiter, *next;

	busiest->listing = NULL;
	busiest->listed_ms = loop_now(busiest->loop);
	busiest->count = count;
	if (count > 0)
		memcpy(busiest->rows, rows, count * sizeof(*rows));
	for (waiter = LIST_FIRST(&busiest->waiters); waiter; waiter = next) {
		next = LIST_NEXT(waiter, link);
		LIST_REMOVE(waiter, link);
		waiter->ready(waiter->context);
	}
}

void busiest_await(struct busiest *busiest, struct busiest_waiter *waiter)
{
	const struct listing_options options = {.loop = busiest->loop,
						.cache = busiest->cache,
						.order = LISTING_BY_USES,
						.limit = BUSIEST_MAX,
						.done = on_listed,
						.context = busiest};
	bool is_fresh = busiest->listed_ms &&
			loop_now(busiest->loop) - busiest->listed_ms < FRESH_MS;

	if (!is_fresh && !busiest->listing)
		busiest->listing = listing_start(&options);
	if (is_fresh || !busiest->listing)
		waiter->ready(waiter->context);
	else
		LIST_INSERT_HEAD(&busiest->waiters, waiter, link);
}

const struct listing_row *busiest_rows(const struct busiest *busiest,
				       size_t *count)
{
	*count = busiest->count;
	return busiest->rows;
}

struct busiest *busiest_new(struct loop *loop, struct cache *cache)
{
	struct busiest *busiest = calloc(1, sizeof(*busiest));

	if (!busiest)
		return NULL;
	busiest->loop = loop;
	busiest->cache = cache;
	return busiest;
}

void busiest_free(struct busiest *busiest)
{
	if (!busiest)
		return;
	listing_cancel(busiest->listing);
	free(busiest);
}
