/* SPDX-License-Identifier: MIT */
/*
 * listing: keeps the best rows so far in order, while it scans the buckets of
 * the cache.
 */
#include "listing.h"

#include <stdlib.h>

enum {
	STEP_BUCKETS = 32, /* between two looks at the clock */
	SLICE_US = 500,	   /* of a turn, for all listings */
	SLICE_PAUSE_MS = 1,
};

struct listing {
	struct listing_options options;
	struct event *timer;
	size_t bucket; /* the next */
	size_t count;
	struct listing_row *rows[LISTING_MAX + 1]; /* the best first; owned */
	uint8_t after_len;
	char after[CACHE_FIELD_MAX];
};

/* Below 0 when `look` comes before `row`, 0 when it is the same field. */
static int compare(const struct listing *listing, const struct cache_look *look,
		   const struct listing_row *row)
{
	int by_name = span_compare(look->field, listing_field(row));

	if (by_name == 0 || listing->options.order == LISTING_BY_NAME ||
	    look->uses == row->uses)
		return by_name;
	return look->uses > row->uses ? -1 : 1;
}

/* Where the row belongs; false when it is there or has no place. */
static bool find_place(const struct listing *listing,
		       const struct cache_look *look, size_t *place)
{
	size_t low = 0, high = listing->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = compare(listing, look, listing->rows[middle]);

		if (order == 0)
			return false;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	*place = low;
	return low < listing->options.limit;
}

/* A field that was moved while the table grew, and used meanwhile, would stand
 * twice among the most used. */
static bool is_listed(const struct listing *listing, struct span field)
{
	size_t i;

	if (listing->options.order == LISTING_BY_NAME)
		return false;
	for (i = 0; i < listing->count; i++)
		if (span_equal(listing_field(listing->rows[i]), field))
			return true;
	return false;
}

static void take(void *context, const struct cache_look *look)
{
	struct listing *listing = context;
	struct span after = {listing->after, listing->after_len};
	struct listing_row *row;
	size_t place, i;

	if (!look->value ||
	    (after.len && span_compare(look->field, after) <= 0) ||
	    !find_place(listing, look, &place) ||
	    is_listed(listing, look->field))
		return;
	if (listing->count == listing->options.limit)
		row = listing->rows[--listing->count];
	else
		row = malloc(sizeof(*row));
	if (!row)
		return;
	row->uses = look->uses;
	row->len = (uint8_t)look->field.len;
	memcpy(row->field, look->field.p, look->field.len);
	for (i = listing->count++; i > place; i--)
		listing->rows[i] = listing->rows[i - 1];
	listing->rows[place] = row;
}

static void finish(struct listing *listing)
{
	const struct listing_options *options = &listing->options;
	struct listing_row *rows = calloc(listing->count + 1, sizeof(*rows));
	size_t i;

	for (i = 0; rows && i < listing->count; i++)
		rows[i] = *listing->rows[i];
	options->done(options->context, rows, rows ? listing->count : 0);
	free(rows);
	listing_cancel(listing);
}

/* False when there is no bucket left. */
static bool scan_step(struct listing *listing)
{
	int64_t now_ms = loop_now(listing->options.loop);
	size_t end = listing->bucket + STEP_BUCKETS;

	while (listing->bucket < end)
		if (!cache_scan(listing->options.cache, listing->bucket++,
				now_ms, take, listing))
			return false;
	return true;
}

static void scan(evutil_socket_t fd, short what, void *context)
{
	struct listing *listing = context;
	struct loop *loop = listing->options.loop;

	(void)fd;
	(void)what;
	do {
		if (!scan_step(listing)) {
			finish(listing);
			return;
		}
	} while (loop_spent_us(loop) < SLICE_US);
	loop_arm(listing->timer, SLICE_PAUSE_MS);
}

struct listing *listing_start(const struct listing_options *options)
{
	struct listing *listing = calloc(1, sizeof(*listing));

	if (!listing)
		return NULL;
	listing->options = *options;
	if (options->after.len > sizeof(listing->after))
		listing->options.after.len = sizeof(listing->after);
	listing->after_len = (uint8_t)listing->options.after.len;
	if (listing->after_len > 0)
		memcpy(listing->after, options->after.p, listing->after_len);
	listing->timer = evtimer_new(options->loop->base, scan, listing);
	if (!listing->timer) {
		free(listing);
		return NULL;
	}
	loop_arm(listing->timer, 0);
	return listing;
}

void listing_cancel(struct listing *listing)
{
	if (!listing)
		return;
	while (listing->count > 0)
		free(listing->rows[--listing->count]);
	event_free(listing->timer);
	free(listing);
}
