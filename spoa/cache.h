/* SPDX-License-Identifier: MIT */
/*
 * cache: what is known of each field of the hash, and for how long.
 *
 * A field's entry is a value (opaque bytes) or the knowledge that the field is
 * absent. An entry is fresh, then stale, then gone.
 * What was asked in an older epoch is not fresh either. While changes are
 * pushed to us, what is of this epoch lives CACHE_PUSH_FACTOR times as long.
 * Values and absences have a
 * bound each, so that a flood of invented hosts can neither grow memory nor
 * push out real routes. The clock is passed in; nothing here does I/O.
 *
 * Which entry makes room is decided as SIEVE does (Zhang et al., NSDI 2024): a
 * hand walks from the oldest entry to the newest and takes the first that was
 * not used since it last came by. A hit costs one store, no list is touched.
 */
#ifndef SPOA_CACHE_H
#define SPOA_CACHE_H

#include "base.h"
#include "hash.h"

enum {
	CACHE_FIELD_MAX = 254,	 /* bytes of a field: `*` and a host */
	CACHE_PUSH_FACTOR = 30,	 /* longer lives while changes are pushed */
	CACHE_ABSENT_SHARE = 16, /* absences may be a sixteenth of the values */
	CACHE_FORESEEN = 16,	 /* fields that can be foreseen at a time */
};

/* Lives in milliseconds. */
struct cache_options {
	size_t values_max;   /* at least 1 */
	int64_t ttl_ms;	     /* how long a value is fresh */
	int64_t negative_ms; /* how long an absence is fresh */
	int64_t stale_ms;    /* how long either is kept beyond that */
};

enum cache_state {
	CACHE_UNKNOWN, /* nothing is known, or no longer */
	CACHE_FRESH,   /* to be believed */
	CACHE_STALE,   /* to be believed only while nobody can be asked */
};

struct cache_hit {
	void *value; /* NULL when the field is absent; four-byte aligned;
			valid until the next put; bytes in it may change */
	size_t len;  /* bytes of the value */
	bool is_due; /* fresh, but in the last fifth of its life */
};

/* An entry, for those who want to see. */
struct cache_look {
	struct span field;
	void *value; /* NULL when the field is absent; both live until
			      the next put */
	enum cache_state state;
	int64_t age_ms;	 /* since it was asked */
	int64_t left_ms; /* of its freshness; 0 or less when it is over */
	uint32_t uses;	 /* since it came */
};

/* Counts since the start, but for entries and bytes. */
struct cache_counters {
	size_t values;
	size_t absents;
	size_t value_bytes; /* of their memory, without the table */
	size_t absent_bytes;
	uint64_t changes;   /* puts that told something new */
	uint64_t evictions; /* entries that made room for others */
	uint64_t failures;  /* puts that found no memory */
};

struct cache;

/* An empty cache, or NULL when there is no memory. The table is allocated
 * whole, but the system lends its pages only as they are used. */
struct cache *cache_new(const struct cache_options *options,
			const struct hash_secret *secret);
void cache_free(struct cache *cache);

/* What is known of `field` at `now_ms`; fills `*hit` unless CACHE_UNKNOWN. A
 * value that was found counts as used. */
enum cache_state cache_get(struct cache *cache, struct span field,
			   int64_t now_ms, struct cache_hit *hit) MUST_CHECK;

/* The hash of a field. */
uint32_t cache_hash(const struct cache *cache, struct span field);

/* The same as cache_get for a field whose hash is known. */
enum cache_state cache_get_hashed(struct cache *cache, uint32_t hash,
				  struct span field, int64_t now_ms,
				  struct cache_hit *hit) MUST_CHECK;

/* Fields with these hashes, at most CACHE_FORESEEN, are about to be asked for:
 * begins to fetch what is known of them from memory, all at a time. */
void cache_foresee(struct cache *cache, const uint32_t *hashes, size_t count);

/* Keeps a copy of `value`, or with NULL that the field is absent, as was asked
 * at `asked_ms` in `epoch`. Lives are shortened by up to a tenth, at random, so
 * that entries made together do not end together. Without memory the field
 * becomes unknown. */
void cache_put(struct cache *cache, struct span field, const void *value,
	       size_t len, int64_t asked_ms, uint32_t epoch);

/* From now on `forget` is called before the bytes of a value go, be it that
 * others take their place; it must not touch the cache. Not by cache_free. */
void cache_set_forget(struct cache *cache,
		      void (*forget)(void *context, struct span field,
				     void *value),
		      void *context);

/* The value that is kept for `field`, however old, or NULL; it does not count
 * as used. Valid until the next put. */
void *cache_find(struct cache *cache, struct span field);

/* Puts another value in the place of the one that is kept for `field`, which is
 * as old and as much used as that was. Nothing when there is none. */
void cache_replace(struct cache *cache, struct span field, const void *value,
		   size_t len);

/* The value or absence that is kept for `field` was found unchanged: what
 * cache_put does with the same bytes, which this leaves alone. */
void cache_renew(struct cache *cache, struct span field, int64_t asked_ms,
		 uint32_t epoch);

/* The same for what was known `age_ms` before `now_ms`, from another life of
 * ours: it is stale from the beginning. */
void cache_restore(struct cache *cache, struct span field, const void *value,
		   size_t len, int64_t now_ms, int64_t age_ms);

/* Begins a walk over all that is known, the oldest first. */
void cache_begin_walk(struct cache *cache);

/* Goes on with it: a field and its value, NULL when it is absent; both live
 * until the next put. `*age_ms` says how long past its freshness it is. False
 * when the walk is over. What comes or goes while it is under way may be
 * missed. */
bool cache_walk(struct cache *cache, int64_t now_ms, struct span *field,
		const void **value, int64_t *age_ms) MUST_CHECK;

/* What is known of `field`; looking is no use. False when nothing is. */
bool cache_look_at(struct cache *cache, struct span field, int64_t now_ms,
		   struct cache_look *look) MUST_CHECK;

/* Calls `visit` for each entry of a bucket; false when there is no bucket of
 * that number. Who goes through all numbers from 0 on, in any time, meets each
 * entry that was there throughout, some perhaps twice. */
bool cache_scan(struct cache *cache, size_t bucket, int64_t now_ms,
		void (*visit)(void *context, const struct cache_look *look),
		void *context) MUST_CHECK;

/* Lets what is known of `field` be fresh for no more than `left_ms`. False when
 * nothing is known. */
bool cache_shorten(struct cache *cache, struct span field, int64_t left_ms,
		   int64_t now_ms);

/* The epoch that answers to what is asked now belong to. */
uint32_t cache_epoch(const struct cache *cache);

/* Anything may have changed: what was asked until now is no longer fresh. */
void cache_raise_epoch(struct cache *cache);

/* From `now_ms` on changes are pushed to us, or no longer are. */
void cache_set_push(struct cache *cache, bool is_up, int64_t now_ms);

/* Are they? */
bool cache_is_pushed(const struct cache *cache);

/* Is there a value of an older epoch for the field? */
bool cache_is_outdated(struct cache *cache, struct span field);

/* Begins a walk over the values of older epochs, those used most first. */
void cache_begin_sweep(struct cache *cache);

/* Goes on with it: up to `max` fields, which live until the next put. Looks at
 * a bounded number of entries, so fewer may come although there are more.
 * False when the walk is over and none came. */
bool cache_sweep(struct cache *cache, struct span *fields, size_t max,
		 size_t *count) MUST_CHECK;

/* Calls `evicted` with the field of each value that makes room for another; it
 * must not touch the cache. */
void cache_watch(struct cache *cache,
		 void (*evicted)(void *context, struct span field),
		 void *context);

/* From now on these lives and this bound count, for what is kept as well. False
 * when there is no memory for a larger bound: then only the lives do. */
bool cache_set_options(struct cache *cache,
		       const struct cache_options *options) MUST_CHECK;

/* Makes room, in a bounded step, where more is kept than may be since the bound
 * was lowered. True when there is more of it to do. */
bool cache_trim(struct cache *cache) MUST_CHECK;

const struct cache_counters *cache_count(const struct cache *cache);

#endif
