/* SPDX-License-Identifier: MIT */
/*
 * entries: what the cache holds of each field, by the field's hash, and rings
 * that keep entries by age.
 *
 * It grows a bucket at a time and fetches from memory ahead. How long an entry
 * is believed, and which one makes room, is the cache's to say.
 */
#ifndef SPOA_ENTRIES_H
#define SPOA_ENTRIES_H

#include "base.h"
#include "slab.h"

enum { ENTRIES_FORESEEN = 16 }; /* that can be foreseen at a time */

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

/* The fields are its own, but for reading. */
struct entries {
	struct slabs slabs; /* of the entries */
	/* Linear hashing: buckets 0 to `mask` and, of those below `split`,
	 * their twins above the mask. The array is as long as it will ever be,
	 * but only what is used of it is touched. */
	struct entry **buckets;
	size_t room;  /* buckets that are allocated */
	size_t mask;  /* a power of two less one */
	size_t split; /* at most the mask */
	size_t count; /* of entries */
};

/* Room for so many values, and for absences. False when there is no memory. */
bool entries_init(struct entries *entries, size_t values_max) MUST_CHECK;

/* All entries must have been freed. */
void entries_fini(struct entries *entries);

/* Room for so many values from now on; that there once was more is no harm.
 * False when there is no memory, and then nothing has changed. */
bool entries_grow(struct entries *entries, size_t values_max) MUST_CHECK;

static inline struct span entry_field(const struct entry *entry)
{
	return (struct span){entry->bytes, entry->field_len};
}

static inline size_t entry_value_at(size_t field_len)
{
	return (field_len + 3) / 4 * 4;
}

static inline char *entry_value(struct entry *entry)
{
	return entry->bytes + entry_value_at(entry->field_len);
}

/* Bytes that an entry takes. */
static inline size_t entry_size(size_t field_len, size_t value_len)
{
	return offsetof(struct entry, bytes) + entry_value_at(field_len) +
	       value_len;
}

/* How many buckets are in use. */
static inline size_t entries_buckets(const struct entries *entries)
{
	return entries->mask + 1 + entries->split;
}

static inline struct entry **entries_bucket(struct entries *entries,
					    uint32_t hash)
{
	size_t bucket = hash & entries->mask;

	if (bucket < entries->split)
		bucket = hash & (entries->mask * 2 + 1);
	return &entries->buckets[bucket];
}

/* Most fields are some words long: then it takes no call to compare them. */
static inline bool entry_is_of(const struct entry *entry, struct span field)
{
	enum { WORD = sizeof(uint64_t) };
	size_t i;

	if (entry->field_len != field.len)
		return false;
	if (field.len < WORD)
		return field.len == 0 ||
		       !memcmp(entry->bytes, field.p, field.len);
	for (i = 0; i + WORD < field.len; i += WORD)
		if (memcmp(entry->bytes + i, field.p + i, WORD) != 0)
			return false;
	i = field.len - WORD;
	return !memcmp(entry->bytes + i, field.p + i, WORD);
}

/* Where the pointer to the field's entry is, or would be. */
static inline struct entry **entries_find(struct entries *entries,
					  uint32_t hash, struct span field)
{
	struct entry **slot = entries_bucket(entries, hash);

	while (*slot && ((*slot)->hash != hash || !entry_is_of(*slot, field)))
		slot = &(*slot)->chain;
	return slot;
}

/* Adds an entry that is not there yet, without a date, a value and uses; NULL
 * when there is no memory. */
struct entry *entries_add(struct entries *entries, uint32_t hash,
			  struct span field, size_t value_len, bool is_absent);

/* Frees an entry that is in no bucket and on no ring. */
void entries_free(struct entries *entries, struct entry *entry);

/* See cache_foresee. */
void entries_foresee(struct entries *entries, const uint32_t *hashes,
		     size_t count);

/* Puts an entry on a ring as the newest, and takes it off. */
void entries_link(struct ring *ring, struct entry *entry);
void entries_unlink(struct ring *ring, struct entry *entry);

#endif
