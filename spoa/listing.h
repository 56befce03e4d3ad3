/* SPDX-License-Identifier: MIT */
/*
 * listing: chooses some of the routes that the cache holds: the next by name,
 * or the most used.
 *
 * A million entries cannot be looked at without a pause that requests would
 * notice, so it goes through them in slices, between the turns of the loop.
 */
#ifndef SPOA_LISTING_H
#define SPOA_LISTING_H

#include "cache.h"
#include "loop.h"

enum { LISTING_MAX = 1000 }; /* routes of one listing */

enum listing_order { LISTING_BY_NAME, LISTING_BY_USES };

struct listing_row {
	uint32_t uses;
	uint8_t len;
	char field[CACHE_FIELD_MAX];
};

struct listing_options {
	struct loop *loop;
	struct cache *cache;
	enum listing_order order;
	struct span after; /* only fields beyond this one; copied */
	size_t limit;	   /* at most LISTING_MAX */
	/* Called once, from the loop, unless it is cancelled; the listing is
	 * gone after it. The rows live during the call. */
	void (*done)(void *context, const struct listing_row *rows,
		     size_t count);
	void *context;
};

struct listing;

/* Begins; NULL when there is no memory. */
struct listing *listing_start(const struct listing_options *options);

/* Ends it without a word. */
void listing_cancel(struct listing *listing);

static inline struct span listing_field(const struct listing_row *row)
{
	return (struct span){row->field, row->len};
}

#endif
