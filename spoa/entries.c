/* SPDX-License-Identifier: MIT */
/*
 * entries: linear hashing over pages of the system, entries in slabs.
 */
#include "entries.h"

#include "pages.h"

enum {
	BUCKETS_MIN = 64, /* before the first split */
	BUCKETS_EACH = 2, /* an entry: then most hits look at no other one */
	CACHE_LINE = 64,  /* bytes that memory is fetched in */
	HOT_BYTES = 96,	  /* of an entry that a hit looks at, if it is short */
};

/* Room for the values and for the absences, which are fewer or few. */
static size_t buckets_for(size_t values_max)
{
	size_t buckets = BUCKETS_MIN;

	while (buckets / BUCKETS_EACH / 2 < values_max)
		buckets *= 2;
	return buckets;
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

bool entries_init(struct entries *entries, size_t values_max)
{
	*entries = (struct entries){.mask = BUCKETS_MIN - 1,
				    .room = buckets_for(values_max)};
	slab_init(&entries->slabs);
	entries->buckets = map_buckets(entries->room);
	return entries->buckets != NULL;
}

void entries_fini(struct entries *entries)
{
	slab_fini(&entries->slabs);
	unmap_buckets(entries->buckets, entries->room);
}

bool entries_grow(struct entries *entries, size_t values_max)
{
	size_t room = buckets_for(values_max);
	struct entry **buckets;

	if (room <= entries->room)
		return true;
	buckets = map_buckets(room);
	if (!buckets)
		return false;
	memcpy(buckets, entries->buckets,
	       entries_buckets(entries) * sizeof(struct entry *));
	unmap_buckets(entries->buckets, entries->room);
	entries->buckets = buckets;
	entries->room = room;
	return true;
}

/* Splits one bucket in two: the table grows with its entries, and no put pays
 * for more than a step of it. */
static void split_bucket(struct entries *entries)
{
	struct entry *entry = entries->buckets[entries->split];

	entries->buckets[entries->split++] = NULL;
	while (entry) {
		struct entry *next = entry->chain;
		struct entry **bucket = entries_bucket(entries, entry->hash);

		entry->chain = *bucket;
		*bucket = entry;
		entry = next;
	}
	if (entries->split > entries->mask) {
		entries->mask = entries->mask * 2 + 1;
		entries->split = 0;
	}
}

struct entry *entries_add(struct entries *entries, uint32_t hash,
			  struct span field, size_t value_len, bool is_absent)
{
	struct entry *entry =
		slab_alloc(&entries->slabs, entry_size(field.len, value_len));
	struct entry **bucket;

	if (!entry)
		return NULL;
	entry->hash = hash;
	entry->value_len = (uint16_t)value_len;
	entry->field_len = (uint8_t)field.len;
	entry->is_absent = is_absent;
	entry->is_used = false;
	entry->hits = 0;
	entry->uses = 0;
	memcpy(entry->bytes, field.p, field.len);
	entries->count++;
	while (entries->count * BUCKETS_EACH > entries_buckets(entries))
		split_bucket(entries);
	bucket = entries_bucket(entries, hash);
	entry->chain = *bucket;
	*bucket = entry;
	return entry;
}

void entries_free(struct entries *entries, struct entry *entry)
{
	entries->count--;
	slab_free(&entries->slabs, entry,
		  entry_size(entry->field_len, entry->value_len));
}

/* The lines that a hit touches, from `chain` to the first target: two or three,
 * by where it lies. */
static void prefetch_entry(const struct entry *entry)
{
	const char *hot = (const char *)&entry->chain;

	__builtin_prefetch(hot);
	__builtin_prefetch(hot + CACHE_LINE);
	__builtin_prefetch(hot + HOT_BYTES - 1);
}

void entries_foresee(struct entries *entries, const uint32_t *hashes,
		     size_t count)
{
	struct entry **buckets[ENTRIES_FORESEEN];
	size_t i;

	if (count > ENTRIES_FORESEEN)
		count = ENTRIES_FORESEEN;
	for (i = 0; i < count; i++) {
		buckets[i] = entries_bucket(entries, hashes[i]);
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

void entries_link(struct ring *ring, struct entry *entry)
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

void entries_unlink(struct ring *ring, struct entry *entry)
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
