/* SPDX-License-Identifier: MIT */
/*
 * cache: entries by field in one hash table that never grows, on two rings of
 * age: values and absences. No I/O, no clock.
 */
#include "cache.h"

#include <stdlib.h>

#include "pages.h"
#include "slab.h"

enum {
	BUCKETS_MIN = 64,  /* before the first split */
	SIEVE_STEPS = 64,  /* entries that one eviction may pass over */
	TRIM_STEPS = 256,  /* evictions in one step of making room */
	SWEEP_STEPS = 512, /* entries that one step of a sweep looks at */
	DUE_SHARE = 5,	   /* the last fifth of a life */
	YOUNG_PARTS = 7,   /* of ten: what no cut and no last fifth takes */
	CACHE_LINE = 64,   /* bytes that memory is fetched in */
	CUT_PARTS = 2550,  /* a life is cut by up to 255 of these: a tenth */
	HITS_MAX = UINT8_MAX,
};

/* What a hit touches lies together. */
struct entry {
	struct entry *newer; /* on the ring of its kind */
	struct entry *older;
	struct entry *chain; /* next in the bucket */
	int64_t asked_ms;
	uint32_t epoch; /* in which it was asked */
	uint32_t hash;	/* of the field */
	uint32_t uses;	/* since it came; may begin again at 0 */
	uint16_t value_len;
	uint8_t field_len;
	uint8_t hits; /* since the last sweep; stays at HITS_MAX */
	uint8_t cut;  /* of its life, in parts of CUT_PARTS */
	bool is_absent : 1;
	bool is_used : 1;	  /* since the hand last passed */
	_Alignas(4) char bytes[]; /* the field, then, aligned too, the value */
};

/* The entries of one kind, from the oldest to the newest. */
struct ring {
	struct entry *newest;
	struct entry *oldest;
	struct entry *hand; /* where the sieve goes on; NULL is the oldest */
	size_t count;
	size_t max;
	size_t bytes; /* of its entries */
};

struct cache {
	struct cache_options options;
	struct hash_secret secret;
	uint64_t random;    /* xorshift state; never 0 */
	struct slabs slabs; /* of the entries */
	/* Linear hashing: buckets 0 to `mask` and, of those below `split`,
	 * their twins above the mask. The array is as long as it will ever be,
	 * but only what is used of it is touched. */
	struct entry **buckets;
	size_t room;  /* buckets that are allocated */
	size_t mask;  /* a power of two less one */
	size_t split; /* at most the mask */
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

/* Room for the values, the absences and the doubling under way. */
static size_t buckets_for(size_t values_max)
{
	size_t buckets = BUCKETS_MIN;

	while (buckets / 4 < values_max)
		buckets *= 2;
	return buckets;
}

static void set_bounds(struct cache *cache, size_t values_max)
{
	cache->values.max = values_max;
	cache->absents.max = values_max / CACHE_ABSENT_SHARE;
	/* A host under a wildcard needs its own absences side by side. */
	if (cache->absents.max < CACHE_ABSENT_SHARE)
		cache->absents.max = CACHE_ABSENT_SHARE;
}

/* The first buckets stay in small pages: so a small cache is small. */
static struct entry **map_buckets(size_t count)
{
	return pages_map(count * sizeof(struct entry *), PAGES_BLOCK);
}

static void unmap_buckets(struct entry **buckets, size_t count)
{
	pages_unmap(buckets, count * sizeof(struct entry *));
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
	cache->mask = BUCKETS_MIN - 1;
	set_bounds(cache, options->values_max);
	set_young(cache);
	cache->room = buckets_for(options->values_max);
	slab_init(&cache->slabs);
	cache->buckets = map_buckets(cache->room);
	if (!cache->buckets) {
		free(cache);
		return NULL;
	}
	return cache;
}

const struct cache_counters *cache_count(const struct cache *cache)
{
	return &cache->counters;
}

static struct span entry_field(const struct entry *entry)
{
	return (struct span){entry->bytes, entry->field_len};
}

static size_t value_offset(size_t field_len)
{
	return (field_len + 3) / 4 * 4;
}

static char *entry_value(struct entry *entry)
{
	return entry->bytes + value_offset(entry->field_len);
}

/* Bytes that an entry takes. */
static size_t entry_size(size_t field_len, size_t value_len)
{
	return offsetof(struct entry, bytes) + value_offset(field_len) +
	       value_len;
}

static void free_entry(struct cache *cache, struct entry *entry)
{
	slab_free(&cache->slabs, entry,
		  entry_size(entry->field_len, entry->value_len));
}

static void free_ring(struct cache *cache, struct ring *ring)
{
	struct entry *entry = ring->oldest;

	while (entry) {
		struct entry *newer = entry->newer;

		free_entry(cache, entry);
		entry = newer;
	}
}

void cache_free(struct cache *cache)
{
	if (!cache)
		return;
	free_ring(cache, &cache->values);
	free_ring(cache, &cache->absents);
	slab_fini(&cache->slabs);
	unmap_buckets(cache->buckets, cache->room);
	free(cache);
}

uint32_t cache_hash(const struct cache *cache, struct span field)
{
	return (uint32_t)hash_span(&cache->secret, field);
}

static struct entry **find_bucket(struct cache *cache, uint32_t hash)
{
	size_t bucket = hash & cache->mask;

	if (bucket < cache->split)
		bucket = hash & (cache->mask * 2 + 1);
	return &cache->buckets[bucket];
}

/* Where the pointer to the field's entry is, or would be. */
static inline struct entry **find_slot(struct cache *cache, uint32_t hash,
				       struct span field)
{
	struct entry **slot = find_bucket(cache, hash);

	while (*slot && ((*slot)->hash != hash ||
			 !span_equal(entry_field(*slot), field)))
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
		struct entry **bucket = find_bucket(cache, entry->hash);

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
	ring->bytes += entry_size(entry->field_len, entry->value_len);
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
	ring->bytes -= entry_size(entry->field_len, entry->value_len);
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
	unlink_entry(ring_of(cache, entry->is_absent), entry);
	free_entry(cache, entry);
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
	remove_entry(cache, find_slot(cache, entry->hash, entry_field(entry)));
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

/* Room for so many values; that there once was more is no harm. */
static bool grow_buckets(struct cache *cache, size_t values_max)
{
	size_t room = buckets_for(values_max);
	struct entry **buckets;

	if (room <= cache->room)
		return true;
	buckets = map_buckets(room);
	if (!buckets)
		return false;
	memcpy(buckets, cache->buckets,
	       (cache->mask + 1 + cache->split) * sizeof(struct entry *));
	unmap_buckets(cache->buckets, cache->room);
	cache->buckets = buckets;
	cache->room = room;
	return true;
}

bool cache_set_options(struct cache *cache, const struct cache_options *options)
{
	size_t values_max = cache->options.values_max;
	bool is_grown = grow_buckets(cache, options->values_max);

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
	uint64_t x = cache->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	cache->random = x;
	return (uint8_t)(x >> 32);
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
static enum cache_state judge(const struct cache *cache,
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
	struct entry *entry = *find_slot(cache, hash, field);
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
		*find_slot(cache, cache_hash(cache, field), field);

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

	if (bucket > cache->mask + cache->split)
		return false;
	for (entry = cache->buckets[bucket]; entry; entry = entry->chain) {
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
		*find_slot(cache, cache_hash(cache, field), field);
	int64_t surplus_ms;

	if (!entry)
		return false;
	surplus_ms = full_end_of(cache, entry) - (now_ms + left_ms);
	if (surplus_ms > 0)
		entry->asked_ms -= surplus_ms;
	return true;
}

/* The lines that a hit touches: from `chain` to the first target. */
static void prefetch_entry(const struct entry *entry)
{
	const char *hot = (const char *)&entry->chain;

	__builtin_prefetch(hot);
	__builtin_prefetch(hot + CACHE_LINE);
}

void cache_foresee(struct cache *cache, const uint32_t *hashes, size_t count)
{
	struct entry **buckets[CACHE_FORESEEN];
	size_t i;

	if (count > CACHE_FORESEEN)
		count = CACHE_FORESEEN;
	for (i = 0; i < count; i++) {
		buckets[i] = find_bucket(cache, hashes[i]);
		__builtin_prefetch(buckets[i]);
	}
	for (i = 0; i < count; i++)
		if (*buckets[i])
			prefetch_entry(*buckets[i]);
	for (i = 0; i < count; i++) {
		const struct entry *entry = *buckets[i];

		if (entry && entry->hash != hashes[i] && entry->chain)
			prefetch_entry(entry->chain);
	}
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

bool cache_is_outdated(struct cache *cache, struct span field)
{
	const struct entry *entry =
		*find_slot(cache, cache_hash(cache, field), field);

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
	struct entry **bucket;

	trim_ring(cache, ring, ring->max - 1);
	entry = slab_alloc(&cache->slabs, entry_size(field.len, len));
	if (!entry) {
		cache->counters.failures++;
		return NULL;
	}
	entry->hash = hash;
	entry->value_len = (uint16_t)len;
	entry->field_len = (uint8_t)field.len;
	entry->is_absent = is_absent;
	entry->is_used = false;
	entry->hits = 0;
	entry->uses = 0;
	memcpy(entry->bytes, field.p, field.len);
	if (cache->values.count + cache->absents.count >
	    cache->mask + cache->split)
		split_bucket(cache);
	bucket = find_bucket(cache, hash);
	entry->chain = *bucket;
	*bucket = entry;
	link_entry(ring, entry);
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
	struct entry **slot = find_slot(cache, hash, field);
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
		*find_slot(cache, cache_hash(cache, field), field);

	return entry && !entry->is_absent ? entry_value(entry) : NULL;
}

void cache_replace(struct cache *cache, struct span field, const void *value,
		   size_t len)
{
	struct entry **slot = find_slot(cache, cache_hash(cache, field), field);
	struct entry *entry = *slot;
	struct entry old;

	if (!entry || entry->is_absent)
		return;
	old = *entry;
	cache_put(cache, field, value, len, old.asked_ms, old.epoch);
	entry = *find_slot(cache, cache_hash(cache, field), field);
	if (!entry)
		return;
	entry->hits = old.hits;
	entry->cut = old.cut;
	entry->is_used = old.is_used;
}

void cache_renew(struct cache *cache, struct span field, int64_t asked_ms,
		 uint32_t epoch)
{
	struct entry *entry =
		*find_slot(cache, cache_hash(cache, field), field);

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
