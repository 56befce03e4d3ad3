/* SPDX-License-Identifier: MIT */
/*
 * cache: entries by field in one hash table that never grows, on two rings of
 * age: values and absences. No I/O, no clock.
 */
#include "cache.h"

#include <stdlib.h>

enum {
	BUCKETS_MIN = 64, /* before the first split */
	SIEVE_STEPS = 64, /* entries that one eviction may pass over */
	DUE_SHARE = 5,	  /* the last fifth of a life */
	JITTER_SHARE = 10 /* a life is cut by up to a tenth */
};

struct entry {
	struct entry *chain; /* next in the bucket */
	struct entry *newer; /* on the ring of its kind */
	struct entry *older;
	int64_t fresh_until_ms;
	uint32_t life_ms; /* the jittered life that ends there */
	uint16_t value_len;
	uint8_t field_len;
	bool is_absent : 1;
	bool is_used : 1;
	char bytes[]; /* the value, then the field */
};

/* The entries of one kind, from the oldest to the newest. */
struct ring {
	struct entry *newest;
	struct entry *oldest;
	struct entry *hand; /* where the sieve goes on; NULL is the oldest */
	size_t count;
	size_t max;
};

struct cache {
	struct cache_options options;
	struct hash_secret secret;
	uint64_t random; /* xorshift state; never 0 */
	/* Linear hashing: buckets 0 to `mask` and, of those below `split`,
	 * their twins above the mask. The array is as long as it will ever be,
	 * but only what is used of it is touched. */
	struct entry **buckets;
	size_t mask;  /* a power of two less one */
	size_t split; /* at most the mask */
	struct ring values;
	struct ring absents;
	struct cache_counters counters;
};

struct cache *cache_new(const struct cache_options *options,
			const struct hash_secret *secret)
{
	struct cache *cache = calloc(1, sizeof(*cache));
	size_t buckets = BUCKETS_MIN;

	if (!cache)
		return NULL;
	/* Room for the values, the absences and the doubling under way. */
	while (buckets / 4 < options->values_max)
		buckets *= 2;
	cache->options = *options;
	cache->secret = *secret;
	cache->random = secret->k0 | 1;
	cache->mask = BUCKETS_MIN - 1;
	cache->values.max = options->values_max;
	cache->absents.max = options->values_max / CACHE_ABSENT_SHARE;
	/* A host under a wildcard needs its own absences side by side. */
	if (cache->absents.max < CACHE_ABSENT_SHARE)
		cache->absents.max = CACHE_ABSENT_SHARE;
	cache->buckets = calloc(buckets, sizeof(struct entry *));
	if (!cache->buckets) {
		free(cache);
		return NULL;
	}
	return cache;
}

static void free_ring(struct ring *ring)
{
	struct entry *entry = ring->oldest;

	while (entry) {
		struct entry *newer = entry->newer;

		free(entry);
		entry = newer;
	}
}

void cache_free(struct cache *cache)
{
	if (!cache)
		return;
	free_ring(&cache->values);
	free_ring(&cache->absents);
	free(cache->buckets);
	free(cache);
}

const struct cache_counters *cache_count(const struct cache *cache)
{
	return &cache->counters;
}

static struct span entry_field(const struct entry *entry)
{
	return (struct span){entry->bytes + entry->value_len, entry->field_len};
}

static struct entry **find_bucket(struct cache *cache, struct span field)
{
	uint64_t hash = hash_span(&cache->secret, field);
	size_t bucket = hash & cache->mask;

	if (bucket < cache->split)
		bucket = hash & (cache->mask * 2 + 1);
	return &cache->buckets[bucket];
}

/* Where the pointer to the field's entry is, or would be. */
static struct entry **find_slot(struct cache *cache, struct span field)
{
	struct entry **slot = find_bucket(cache, field);

	while (*slot && !span_equal(entry_field(*slot), field))
		slot = &(*slot)->chain;
	return slot;
}

/* Splits one bucket in two: the table grows with its entries, and no put pays
 * for more than a step of it. */
static void split_bucket(struct cache *cache)
{
	struct entry *entry = cache->buckets[cache->split];

	cache->buckets[cache->split++] = NULL;
	while (entry) {
		struct entry *next = entry->chain;
		struct entry **bucket = find_bucket(cache, entry_field(entry));

		entry->chain = *bucket;
		*bucket = entry;
		entry = next;
	}
	if (cache->split > cache->mask) {
		cache->mask = cache->mask * 2 + 1;
		cache->split = 0;
	}
}

static struct ring *ring_of(struct cache *cache, bool is_absent)
{
	return is_absent ? &cache->absents : &cache->values;
}

static void link_entry(struct ring *ring, struct entry *entry)
{
	entry->newer = NULL;
	entry->older = ring->newest;
	if (ring->newest)
		ring->newest->newer = entry;
	else
		ring->oldest = entry;
	ring->newest = entry;
	ring->count++;
}

static void unlink_entry(struct ring *ring, struct entry *entry)
{
	if (ring->hand == entry)
		ring->hand = entry->newer;
	if (entry->newer)
		entry->newer->older = entry->older;
	else
		ring->newest = entry->older;
	if (entry->older)
		entry->older->newer = entry->newer;
	else
		ring->oldest = entry->newer;
	ring->count--;
}

/* Takes the entry that `*slot` points to out of the cache. */
static void remove_entry(struct cache *cache, struct entry **slot)
{
	struct entry *entry = *slot;

	if (!entry)
		return;
	*slot = entry->chain;
	unlink_entry(ring_of(cache, entry->is_absent), entry);
	free(entry);
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
	remove_entry(cache, find_slot(cache, entry_field(entry)));
	cache->counters.evictions++;
}

/* A life cut by a random part of up to a tenth. */
static uint32_t jitter(struct cache *cache, int64_t life_ms)
{
	uint64_t x = cache->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	cache->random = x;
	if (life_ms >= UINT32_MAX)
		life_ms = UINT32_MAX;
	life_ms -= (int64_t)(x % ((uint64_t)life_ms / JITTER_SHARE + 1));
	return (uint32_t)life_ms;
}

enum cache_state cache_get(struct cache *cache, struct span field,
			   int64_t now_ms, struct cache_hit *hit)
{
	struct entry *entry = *find_slot(cache, field);

	if (!entry)
		return CACHE_UNKNOWN;
	/* A clock that jumps back must not make an entry live for ever: none
	 * has more than its life ahead. */
	if (entry->fresh_until_ms - now_ms > (int64_t)entry->life_ms)
		entry->fresh_until_ms = now_ms + entry->life_ms;
	if (now_ms - entry->fresh_until_ms >= cache->options.stale_ms &&
	    now_ms >= entry->fresh_until_ms)
		return CACHE_UNKNOWN;
	if (!entry->is_used)
		entry->is_used = true;
	hit->value = entry->is_absent ? NULL : entry->bytes;
	hit->len = entry->value_len;
	if (now_ms >= entry->fresh_until_ms) {
		hit->is_due = false;
		return CACHE_STALE;
	}
	hit->is_due = entry->fresh_until_ms - now_ms <=
		      (int64_t)(entry->life_ms / DUE_SHARE);
	return CACHE_FRESH;
}

static struct entry *add_entry(struct cache *cache, struct span field,
			       size_t len, bool is_absent)
{
	struct ring *ring = ring_of(cache, is_absent);
	struct entry *entry;
	struct entry **bucket;

	while (ring->count >= ring->max)
		evict_one(cache, ring);
	entry = malloc(sizeof(*entry) + len + field.len);
	if (!entry) {
		cache->counters.failures++;
		return NULL;
	}
	entry->value_len = (uint16_t)len;
	entry->field_len = (uint8_t)field.len;
	entry->is_absent = is_absent;
	entry->is_used = false;
	memcpy(entry->bytes + len, field.p, field.len);
	if (cache->values.count + cache->absents.count >
	    cache->mask + cache->split)
		split_bucket(cache);
	bucket = find_bucket(cache, field);
	entry->chain = *bucket;
	*bucket = entry;
	link_entry(ring, entry);
	return entry;
}

void cache_put(struct cache *cache, struct span field, const void *value,
	       size_t len, int64_t asked_ms)
{
	struct entry **slot = find_slot(cache, field);
	struct entry *entry = *slot;
	int64_t life_ms;

	if (!value)
		len = 0;
	if (field.len > CACHE_FIELD_MAX || len > UINT16_MAX)
		return;
	if (entry && (entry->is_absent != !value || entry->value_len != len)) {
		remove_entry(cache, slot);
		entry = NULL;
	}
	if (!entry)
		entry = add_entry(cache, field, len, !value);
	if (entry) {
		life_ms = value ? cache->options.ttl_ms
				: cache->options.negative_ms;
		entry->life_ms = jitter(cache, life_ms);
		entry->fresh_until_ms = asked_ms + entry->life_ms;
		if (len > 0)
			memcpy(entry->bytes, value, len);
	}
	cache->counters.values = cache->values.count;
	cache->counters.absents = cache->absents.count;
}
