/* SPDX-License-Identifier: MIT */
/*
 * busiest: the most used routes, for all who want to show them.
 *
 * To find them the whole cache is gone through, in slices. So whoever asks
 * shares one listing, and what it found serves for a second.
 */
#ifndef SPOA_BUSIEST_H
#define SPOA_BUSIEST_H

#include <sys/queue.h>

#include "listing.h"

enum { BUSIEST_MAX = 50 };

struct busiest;

/* One who wants to know. Its memory is the caller's, and must stay until
 * `ready` was called, from the loop or from within busiest_await. */
struct busiest_waiter {
	void (*ready)(void *context);
	void *context;
	LIST_ENTRY(busiest_waiter) link;
};

/* NULL when there is no memory. Who waits when it is freed hears nothing. */
struct busiest *busiest_new(struct loop *loop, struct cache *cache);
void busiest_free(struct busiest *busiest);

void busiest_await(struct busiest *busiest, struct busiest_waiter *waiter);

/* What was found last, the most used first; lives until the loop turns. */
const struct listing_row *busiest_rows(const struct busiest *busiest,
				       size_t *count);

#endif
