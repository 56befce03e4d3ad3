/* SPDX-License-Identifier: MIT */
/*
 * cache: the lives of entries, which of them make room, and the walks over
 * them, on two rings of age: values and absences. No I/O, no clock.
 */
#include "cache.h"

#include <stdlib.h>

#include "entries.h"

enum {
	SIEVE_STEPS = 64,  /* entries that one eviction may pass over */
	TRIM_STEPS = 256,  /* evictions in one step of making room */
	SWEEP_STEPS = 512, /* entries that one step of a sweep looks at */
	DUE_SHARE = 5,	   /* the last fifth of a life */
	YOUNG_PARTS = 7,   /* of ten: what no cut and no last fifth takes */
	CUT_PARTS = 2550,  /* a life is cut by up to 255 of these: a tenth */
	HITS_MAX = UINT8_MAX,
};

struct cache {
	struct cache_options options;
	struct hash_secret secret;
	uint64_t random; /* see draw_random */
	struct entries entries;
	struct ring values;
	struct ring absents;
	uint32_t epoch;
	int64_t young_ms[2]; /* of a value and an absence: what is younger than
				this is fresh and not due, whatever its cut */
	bool is_pushed;	     /* changes are pushed to us */
	int64_t pushed_until_ms; /* when they last were; 0 is never */
	struct entry *swept;	 /* where the sweep goes on, or NULL */
	struct entry *walked;	 /* where the walk goes on, or NULL */
	size_t sweep_class;	 /* of sweep_classes; beyond them it is over */
	struct cache_counters counters;
	void (*forget)(void *context, struct span field, void *value);
	void *forget_context;
	void (*evicted)(void *context, struct span field); /* or NULL */
	void *evicted_context;
};

/* A sweep walks the values once for each class: those with at least so many
 * hits. Sorting a million entries would stall the loop. */
static const uint8_t sweep_classes[] = {64, 8, 1, 0};

static void set_young(struct cache *cache)
{
	int factor = cache->is_pushed ? CACHE_PUSH_FACTOR : 1;

	cache->young_ms[false] =
		cache->options.ttl_ms / 10 * YOUNG_PARTS * factor;
	cache->young_ms[true] =
		cache->options.negative_ms / 10 * YOUNG_PARTS * factor;
}

static void set_bounds(struct cache *cache, size_t values_max)
{
	cache->values.max = values_max;
	cache->absents.max = values_max / CACHE_ABSENT_SHARE;
	/* A host under a wildcard needs its own absences side by side. */
	if (cache->absents.max < CACHE_ABSENT_SHARE)
		cache->absents.max = CACHE_ABSENT_SHARE;
}

struct cache *cache_new(const struct cache_options *options,
			const struct hash_secret *secret)
{
	struct cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return NULL;
	cache->options = *options;
	cache->secret = *secret;
	cache->random = secret->k0 | 1;
	set_bounds(cache, options->values_max);
	set_young(cache);
	if (!entries_init(&cache->entries, options->values_max)) {
		free(cache);
		return NULL;
	}
	return cache;
}

const struct cache_counters *cache_count(const struct cache *cache)
{
	return &cache->counters;
}

static void free_ring(struct cache *cache, struct ring *ring)
{
	struct entry *entry = ring->oldest;

	while (entry) {
		struct entry *newer = entry->newer;

		entries_free(&cache->entries, entry);
		entry = newer;
	}
}

void cache_free(struct cache *cache)
{
	if (!cache)
		return;
	free_ring(cache, &cache->values);
	free_ring(cache, &cache->absents);
	entries_fini(&cache->entries);
	free(cache);
}

uint32_t cache_hash(const struct cache *cache, struct span field)
{
	return (uint32_t)hash_span(&cache->secret, field);
}

static struct ring *ring_of(struct cache *cache, bool is_absent)
{
	return is_absent ? &cache->absents : &cache->values;
}

/* The walk goes over the values, then over the absences. */
static struct entry *next_walked(const struct cache *cache,
				 const struct entry *entry)
{
	if (entry->newer || entry->is_absent)
		return entry->newer;
	return cache->absents.oldest;
}

static void forget_value(struct cache *cache, struct entry *entry)
{
	if (cache->forget && !entry->is_absent)
		cache->forget(cache->forget_context, entry_field(entry),
			      entry_value(entry));
}

/* Takes the entry that `*slot` points to out of the cache. */
static void remove_entry(struct cache *cache, struct entry **slot)
{
	struct entry *entry = *slot;

	if (!entry)
		return;
	forget_value(cache, entry);
	*slot = entry->chain;
	if (cache->swept == entry)
		cache->swept = entry->older;
	if (cache->walked == entry)
		cache->walked = next_walked(cache, entry);
	entries_unlink(ring_of(cache, entry->is_absent), entry);
	entries_free(&cache->entries, entry);
}

/* Removes one entry of a ring: the first from the hand on that was not used
 * since the hand last passed, or the last that a bounded walk comes to. */
static void evict_one(struct cache *cache, struct ring *ring)
{
	struct entry *entry = ring->hand ? ring->hand : ring->oldest;
	int steps;

	for (steps = 0; entry->is_used && steps < SIEVE_STEPS; steps++) {
		entry->is_used = false;
		entry = entry->newer ? entry->newer : ring->oldest;
	}
	ring->hand = entry;
	if (cache->evicted && !entry->is_absent)
		cache->evicted(cache->evicted_context, entry_field(entry));
	remove_entry(cache, entries_find(&cache->entries, entry->hash,
					 entry_field(entry)));
	cache->counters.evictions++;
}

/* Removes entries until there are no more than `max`, up to TRIM_STEPS. */
static void trim_ring(struct cache *cache, struct ring *ring, size_t max)
{
	int steps;

	for (steps = 0; ring->count > max && steps < TRIM_STEPS; steps++)
		evict_one(cache, ring);
}

static void note_sizes(struct cache *cache)
{
	cache->counters.values = cache->values.count;
	cache->counters.absents = cache->absents.count;
	cache->counters.value_bytes = cache->values.bytes;
	cache->counters.absent_bytes = cache->absents.bytes;
}

bool cache_trim(struct cache *cache)
{
	trim_ring(cache, &cache->values, cache->values.max);
	trim_ring(cache, &cache->absents, cache->absents.max);
	note_sizes(cache);
	return cache->values.count > cache->values.max ||
	       cache->absents.count > cache->absents.max;
}

bool cache_set_options(struct cache *cache, const struct cache_options *options)
{
	size_t values_max = cache->options.values_max;
	bool is_grown = entries_grow(&cache->entries, options->values_max);

	cache->options = *options;
	if (is_grown)
		set_bounds(cache, options->values_max);
	else
		cache->options.values_max = values_max;
	set_young(cache);
	return is_grown;
}

static uint8_t draw_cut(struct cache *cache)
{
	return (uint8_t)(draw_random(&cache->random) >> 32);
}

/* How long the entry is fresh while nothing tells of changes. */
static int64_t life_of(const struct cache *cache, const struct entry *entry)
{
	int64_t life_ms = entry->is_absent ? cache->options.negative_ms
					   : cache->options.ttl_ms;

	return life_ms - life_ms / CUT_PARTS * entry->cut -
	       life_ms % CUT_PARTS * entry->cut / CUT_PARTS;
}

/* When the entry's freshness ends, or ended. While changes are pushed it goes
 * on, or an entry could be too old to serve in an outage that begins with a
 * change; but what is of an older epoch is at its end now. */
static int64_t end_of(const struct cache *cache, const struct entry *entry,
		      int64_t now_ms, int64_t life_ms)
{
	int64_t end_ms = entry->asked_ms + life_ms;
	int64_t long_ms = entry->asked_ms + life_ms * CACHE_PUSH_FACTOR;
	int64_t pushed_ms =
		cache->is_pushed ? now_ms + 1 : cache->pushed_until_ms;

	if (pushed_ms > long_ms)
		pushed_ms = long_ms;
	if (pushed_ms > end_ms)
		end_ms = pushed_ms;
	if (entry->epoch != cache->epoch && end_ms > now_ms)
		end_ms = now_ms;
	return end_ms;
}

/* What is not young is looked at closely. */
APART static enum cache_state judge(const struct cache *cache,
				    const struct entry *entry, int64_t now_ms,
				    bool *is_due)
{
	int64_t life_ms = life_of(cache, entry);
	int64_t end_ms = end_of(cache, entry, now_ms, life_ms);

	*is_due = false;
	if (now_ms >= end_ms && now_ms - end_ms >= cache->options.stale_ms)
		return CACHE_UNKNOWN;
	if (now_ms >= end_ms)
		return CACHE_STALE;
	if (cache->is_pushed)
		life_ms *= CACHE_PUSH_FACTOR;
	*is_due = entry->asked_ms + life_ms - now_ms <= life_ms / DUE_SHARE;
	return CACHE_FRESH;
}

enum cache_state cache_get_hashed(struct cache *cache, uint32_t hash,
				  struct span field, int64_t now_ms,
				  struct cache_hit *hit)
{
	struct entry *entry = *entries_find(&cache->entries, hash, field);
	enum cache_state state = CACHE_FRESH;

	if (!entry)
		return CACHE_UNKNOWN;
	/* A clock that jumps back must not make an entry live for ever. */
	if (entry->asked_ms > now_ms)
		entry->asked_ms = now_ms;
	hit->is_due = false;
	if (entry->epoch != cache->epoch ||
	    now_ms - entry->asked_ms >= cache->young_ms[entry->is_absent])
		state = judge(cache, entry, now_ms, &hit->is_due);
	if (state == CACHE_UNKNOWN)
		return state;
	entry->is_used = true;
	entry->uses++;
	if (entry->hits < HITS_MAX)
		entry->hits++;
	hit->value = entry->is_absent ? NULL : entry_value(entry);
	hit->len = entry->value_len;
	return state;
}

enum cache_state cache_get(struct cache *cache, struct span field,
			   int64_t now_ms, struct cache_hit *hit)
{
	return cache_get_hashed(cache, cache_hash(cache, field), field, now_ms,
				hit);
}

static int64_t full_end_of(const struct cache *cache, const struct entry *entry)
{
	return entry->asked_ms +
	       life_of(cache, entry) *
		       (cache->is_pushed ? CACHE_PUSH_FACTOR : 1);
}

static void describe(const struct cache *cache, struct entry *entry,
		     int64_t now_ms, struct cache_look *look)
{
	bool is_due;

	*look = (struct cache_look){
		.field = entry_field(entry),
		.value = entry->is_absent ? NULL : entry_value(entry),
		.state = judge(cache, entry, now_ms, &is_due),
		.age_ms = now_ms - entry->asked_ms,
		.uses = entry->uses};
	look->left_ms =
		look->state == CACHE_FRESH
			? full_end_of(cache, entry) - now_ms
			: end_of(cache, entry, now_ms, life_of(cache, entry)) -
				  now_ms;
}

bool cache_look_at(struct cache *cache, struct span field, int64_t now_ms,
		   struct cache_look *look)
{
	struct entry *entry =
		*entries_find(&cache->entries, cache_hash(cache, field), field);

	if (!entry)
		return false;
	describe(cache, entry, now_ms, look);
	return look->state != CACHE_UNKNOWN;
}

bool cache_scan(struct cache *cache, size_t bucket, int64_t now_ms,
		void (*visit)(void *context, const struct cache_look *look),
		void *context)
{
	struct cache_look look;
	struct entry *entry;

	if (bucket >= entries_buckets(&cache->entries))
		return false;
	for (entry = cache->entries.buckets[bucket]; entry;
	     entry = entry->chain) {
		describe(cache, entry, now_ms, &look);
		if (look.state != CACHE_UNKNOWN)
			visit(context, &look);
	}
	return true;
}

bool cache_shorten(struct cache *cache, struct span field, int64_t left_ms,
		   int64_t now_ms)
{
	struct entry *entry =
		*entries_find(&cache->entries, cache_hash(cache, field), field);
	int64_t surplus_ms;

	if (!entry)
		return false;
	surplus_ms = full_end_of(cache, entry) - (now_ms + left_ms);
	if (surplus_ms > 0)
		entry->asked_ms -= surplus_ms;
	return true;
}

_Static_assert((int)CACHE_FORESEEN <= (int)ENTRIES_FORESEEN,
	       "what is foreseen");

void cache_foresee(struct cache *cache, const uint32_t *hashes, size_t count)
{
	entries_foresee(&cache->entries, hashes, count);
}

uint32_t cache_epoch(const struct cache *cache)
{
	return cache->epoch;
}

void cache_raise_epoch(struct cache *cache)
{
	cache->epoch++;
}

void cache_set_push(struct cache *cache, bool is_up, int64_t now_ms)
{
	if (cache->is_pushed && !is_up)
		cache->pushed_until_ms = now_ms;
	cache->is_pushed = is_up;
	set_young(cache);
}

bool cache_is_pushed(const struct cache *cache)
{
	return cache->is_pushed;
}

bool cache_is_outdated(struct cache *cache, struct span field)
{
	const struct entry *entry =
		*entries_find(&cache->entries, cache_hash(cache, field), field);

	return entry && !entry->is_absent && entry->epoch != cache->epoch;
}

void cache_watch(struct cache *cache,
		 void (*evicted)(void *context, struct span field),
		 void *context)
{
	cache->evicted = evicted;
	cache->evicted_context = context;
}

void cache_begin_walk(struct cache *cache)
{
	cache->walked = cache->values.oldest ? cache->values.oldest
					     : cache->absents.oldest;
}

bool cache_walk(struct cache *cache, int64_t now_ms, struct span *field,
		const void **value, int64_t *age_ms)
{
	struct entry *entry = cache->walked;
	int64_t end_ms;

	if (!entry)
		return false;
	end_ms = end_of(cache, entry, now_ms, life_of(cache, entry));
	*age_ms = end_ms < now_ms ? now_ms - end_ms : 0;
	cache->walked = next_walked(cache, entry);
	*field = entry_field(entry);
	*value = entry->is_absent ? NULL : entry_value(entry);
	return true;
}

void cache_begin_sweep(struct cache *cache)
{
	cache->sweep_class = 0;
	cache->swept = cache->values.newest;
}

bool cache_sweep(struct cache *cache, struct span *fields, size_t max,
		 size_t *count)
{
	int steps;

	*count = 0;
	for (steps = 0; *count < max && steps < SWEEP_STEPS; steps++) {
		struct entry *entry = cache->swept;

		if (!entry) {
			if (cache->sweep_class + 1 == ARRAY_LEN(sweep_classes))
				return *count > 0;
			/* What this class gave is to be read before the next
			 * one is walked, or it would come again. */
			if (*count > 0)
				return true;
			cache->sweep_class++;
			cache->swept = cache->values.newest;
			continue;
		}
		cache->swept = entry->older;
		if (entry->epoch == cache->epoch ||
		    entry->hits < sweep_classes[cache->sweep_class])
			continue;
		entry->hits /= 2;
		fields[(*count)++] = entry_field(entry);
	}
	return true;
}

static struct entry *add_entry(struct cache *cache, uint32_t hash,
			       struct span field, size_t len, bool is_absent)
{
	struct ring *ring = ring_of(cache, is_absent);
	struct entry *entry;

	trim_ring(cache, ring, ring->max - 1);
	entry = entries_add(&cache->entries, hash, field, len, is_absent);
	if (entry)
		entries_link(ring, entry);
	else
		cache->counters.failures++;
	return entry;
}

static void date_entry(struct cache *cache, struct entry *entry,
		       int64_t asked_ms, uint32_t epoch)
{
	entry->asked_ms = asked_ms;
	entry->epoch = epoch;
	entry->cut = draw_cut(cache);
}

void cache_put(struct cache *cache, struct span field, const void *value,
	       size_t len, int64_t asked_ms, uint32_t epoch)
{
	uint32_t hash = cache_hash(cache, field);
	struct entry **slot = entries_find(&cache->entries, hash, field);
	struct entry *entry = *slot;

	if (!value)
		len = 0;
	if (!entry || entry->is_absent != !value || entry->value_len != len ||
	    (len > 0 && memcmp(entry_value(entry), value, len) != 0))
		cache->counters.changes++;
	if (entry && (entry->is_absent != !value || entry->value_len != len)) {
		remove_entry(cache, slot);
		entry = NULL;
	} else if (entry) {
		forget_value(cache, entry);
	}
	if (!entry && field.len <= CACHE_FIELD_MAX && len <= UINT16_MAX)
		entry = add_entry(cache, hash, field, len, !value);
	if (entry) {
		date_entry(cache, entry, asked_ms, epoch);
		if (len > 0)
			memcpy(entry_value(entry), value, len);
	}
	note_sizes(cache);
}

void cache_set_forget(struct cache *cache,
		      void (*forget)(void *context, struct span field,
				     void *value),
		      void *context)
{
	cache->forget = forget;
	cache->forget_context = context;
}

void *cache_find(struct cache *cache, struct span field)
{
	struct entry *entry =
		*entries_find(&cache->entries, cache_hash(cache, field), field);

	return entry && !entry->is_absent ? entry_value(entry) : NULL;
}

void cache_replace(struct cache *cache, struct span field, const void *value,
		   size_t len)
{
	struct entry **slot =
		entries_find(&cache->entries, cache_hash(cache, field), field);
	struct entry *entry = *slot;
	struct entry old;

	if (!entry || entry->is_absent)
		return;
	old = *entry;
	cache_put(cache, field, value, len, old.asked_ms, old.epoch);
	entry = *entries_find(&cache->entries, cache_hash(cache, field), field);
	if (!entry)
		return;
	entry->hits = old.hits;
	entry->uses = old.uses;
	entry->cut = old.cut;
	entry->is_used = old.is_used;
}

void cache_renew(struct cache *cache, struct span field, int64_t asked_ms,
		 uint32_t epoch)
{
	struct entry *entry =
		*entries_find(&cache->entries, cache_hash(cache, field), field);

	if (entry)
		date_entry(cache, entry, asked_ms, epoch);
}

void cache_restore(struct cache *cache, struct span field, const void *value,
		   size_t len, int64_t now_ms, int64_t age_ms)
{
	int64_t life_ms =
		value ? cache->options.ttl_ms : cache->options.negative_ms;

	cache_put(cache, field, value, len, now_ms - age_ms - life_ms,
		  cache->epoch - 1);
}
