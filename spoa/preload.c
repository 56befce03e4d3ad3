/* SPDX-License-Identifier: MIT */
/*
 * preload: HSCAN from end to end, each step when the one before was answered.
 */
#include "preload.h"

#include <stdlib.h>

#include "log.h"

enum {
	STEP_MAX = 500,	       /* fields asked for in a step: half a ms */
	STEP_MIN = 10,	       /* where values are large */
	AWAY_MS = 200,	       /* while the store cannot be asked */
	RETRY_MS = 1000,       /* after a listing was broken off, */
	FAILED_MAX = 3,	       /* if not so many were, one after the other */
	PERIOD_MS = 60 * 1000, /* between two listings, or looks at the size */
	SHARES = 10,	       /* lines of progress */
	SHARES_FROM = 100000,  /* fields that are worth them */
};

struct preload {
	struct preload_options options;
	struct scan scan;
	bool is_open;	  /* the store has the scan */
	int64_t next_ms;  /* not before this */
	int64_t began_ms; /* the listing under way, */
	size_t seen;	  /* fields in it, */
	size_t skipped;	  /* those of them that cannot be kept, */
	size_t added;	  /* those that were not known */
	size_t share;	  /* of progress, that was said */
	struct {
		int64_t asked_ms;
		uint32_t epoch;
		uint64_t from; /* the cursor */
		size_t seen;
		size_t skipped;
		bool is_cut; /* something was left out for want of room */
	} step;		     /* the one under way */
	bool is_known;	     /* a listing came to its end */
	size_t missing;	     /* fields that it had to leave out */
	unsigned int failed; /* listings in a row that were broken off */
	struct preload_counters counters;
};

static bool is_full(const struct preload *preload)
{
	return cache_count(preload->options.cache)->values >=
	       preload->options.values_max;
}

/* Ends the listing; the next one, or a look whether it takes one, is due in a
 * while. */
static void end_listing(struct preload *preload, int64_t now_ms)
{
	preload->counters.is_running = false;
	preload->scan.cursor = 0;
	preload->next_ms = now_ms + PERIOD_MS;
}

/* The cache knows the whole hash, but for what it cannot keep. */
static void end_whole(struct preload *preload, int64_t now_ms)
{
	end_listing(preload, now_ms);
	resolver_set_whole(preload->options.resolver,
			   preload->missing == 0 && !is_full(preload));
}

static void finish_listing(struct preload *preload, int64_t now_ms)
{
	size_t values = cache_count(preload->options.cache)->values;

	preload->missing = preload->skipped;
	end_whole(preload, now_ms);
	preload->counters.listings++;
	preload->counters.skipped += preload->skipped;
	preload->failed = 0;
	preload->is_known = true;
	log_info("preloaded", log_number("fields", (int64_t)preload->seen),
		 log_number("added", (int64_t)preload->added),
		 log_number("skipped", (int64_t)preload->skipped),
		 log_number("known", (int64_t)values),
		 log_number("ms", now_ms - preload->began_ms));
}

static void give_up_full(struct preload *preload, int64_t now_ms)
{
	end_listing(preload, now_ms);
	preload->counters.full++;
	resolver_set_whole(preload->options.resolver, false);
	preload->is_known = true;
	log_warn("preload stops: there are more routes than --cache-size",
		 log_number("routes", (int64_t)preload->counters.total),
		 log_number("cache_size", (int64_t)preload->options.values_max),
		 log_number("added", (int64_t)preload->added));
}

/* The connection may be back in a moment; but what breaks it each time shall
 * not do so for ever. */
static void give_up_failed(struct preload *preload, int64_t now_ms)
{
	bool was_running = preload->counters.is_running;

	end_listing(preload, now_ms);
	if (++preload->failed < FAILED_MAX)
		preload->next_ms = now_ms + RETRY_MS;
	if (!was_running)
		return;
	preload->counters.failures++;
	log_warn("preload was broken off",
		 log_number("fields", (int64_t)preload->seen),
		 log_number("of", (int64_t)preload->counters.total));
}

static void say_progress(struct preload *preload)
{
	size_t share =
		preload->counters.total < SHARES_FROM
			? 0
			: preload->seen * SHARES / preload->counters.total;

	if (share <= preload->share || share >= SHARES)
		return;
	preload->share = share;
	log_info("preloading",
		 log_number("percent", (int64_t)(share * 100 / SHARES)),
		 log_number("fields", (int64_t)preload->seen),
		 log_number("of", (int64_t)preload->counters.total));
}

/* What the cache knows as of this epoch is as new as this, or newer. */
static void take_field(struct scan *scan, struct span field,
		       const struct store_value *value)
{
	struct preload *preload = scan->context;
	struct cache *cache = preload->options.cache;
	bool is_held;

	preload->step.seen++;
	if (field.len == 0 || field.len > CACHE_FIELD_MAX ||
	    value->kind != STORE_VALUE) {
		preload->step.skipped++;
		/* Large ones that came together: alone they may pass. */
		preload->step.is_cut |=
			value->kind == STORE_TOO_LARGE &&
			value->size <= preload->options.text_max;
		return;
	}
	is_held = cache_find(cache, field) != NULL;
	if (is_held ? !cache_is_outdated(cache, field) : is_full(preload))
		return;
	preload->added += !is_held;
	preload->counters.added += !is_held;
	resolver_learn(preload->options.resolver, field, value,
		       preload->step.asked_ms, preload->step.epoch,
		       preload->step.asked_ms);
}

/* Replies are bounded: the next step asks for as many fields as may fit. */
static void choose_size(struct preload *preload)
{
	struct scan *scan = &preload->scan;

	scan->count = preload->step.is_cut ? scan->count / 4 : scan->count * 2;
	if (scan->count < STEP_MIN)
		scan->count = STEP_MIN;
	if (scan->count > STEP_MAX)
		scan->count = STEP_MAX;
}

static void take_step(struct preload *preload, int64_t now_ms)
{
	bool is_smallest = preload->scan.count == STEP_MIN;

	choose_size(preload);
	if (preload->step.is_cut && !is_smallest) {
		/* The same fields again, fewer at a time. */
		preload->scan.cursor = preload->step.from;
		return;
	}
	preload->seen += preload->step.seen;
	preload->skipped += preload->step.skipped;
	say_progress(preload);
	if (preload->scan.cursor == 0)
		finish_listing(preload, now_ms);
	else if (is_full(preload))
		give_up_full(preload, now_ms);
}

/* How many there are says whether to list them. */
static void take_total(struct preload *preload, int64_t now_ms)
{
	size_t values = cache_count(preload->options.cache)->values;

	preload->counters.total = (size_t)preload->scan.total;
	if (preload->is_known &&
	    (is_full(preload) ||
	     preload->counters.total <= values + preload->missing)) {
		end_whole(preload, now_ms);
		return;
	}
	preload->counters.is_running = true;
	preload->began_ms = now_ms;
	preload->seen = preload->skipped = 0;
	preload->added = preload->share = 0;
	preload->scan.count = STEP_MAX;
	log_info("preloading",
		 log_number("fields", (int64_t)preload->counters.total));
}

static void finish_scan(struct scan *scan, enum store_status status,
			int64_t now_ms)
{
	struct preload *preload = scan->context;

	preload->is_open = false;
	preload->next_ms = now_ms;
	if (status != STORE_ANSWERED)
		give_up_failed(preload, now_ms);
	else if (preload->counters.is_running)
		take_step(preload, now_ms);
	else
		take_total(preload, now_ms);
}

int64_t preload_step(struct preload *preload, int64_t now_ms)
{
	struct store *store = preload->options.store;

	if (preload->is_open)
		return -1;
	if (now_ms < preload->next_ms)
		return preload->next_ms;
	preload->step.asked_ms = now_ms;
	preload->step.epoch = cache_epoch(preload->options.cache);
	preload->step.from = preload->scan.cursor;
	preload->step.seen = preload->step.skipped = 0;
	preload->step.is_cut = false;
	if (!preload->counters.is_running)
		preload->scan.count = 0;
	preload->is_open = store->scan(store, &preload->scan, now_ms);
	if (preload->is_open)
		return -1;
	preload->next_ms = now_ms + AWAY_MS;
	return preload->next_ms;
}

struct preload *preload_new(const struct preload_options *options)
{
	struct preload *preload = calloc(1, sizeof(*preload));

	if (!preload)
		return NULL;
	preload->options = *options;
	preload->scan = (struct scan){
		.take = take_field, .done = finish_scan, .context = preload};
	return preload;
}

void preload_set_max(struct preload *preload, size_t values_max)
{
	preload->options.values_max = values_max;
}

void preload_free(struct preload *preload)
{
	free(preload);
}

const struct preload_counters *preload_count(const struct preload *preload)
{
	return &preload->counters;
}
