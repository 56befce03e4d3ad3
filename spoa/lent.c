/* SPDX-License-Identifier: MIT */
/*
 * lent: a hash table of hosts, which is a list by age as well. All live equally
 * long, so the oldest ends first.
 */
#include "lent.h"

#include <stdlib.h>

enum {
	BUCKETS = 1 << 16,
	SIGHTS = 1 << 19, /* of hosts; enough for 100,000 */
	SIGHT_SET = 8,	  /* of them that a host may take */
	STEPS = 8192,	  /* hosts that one step of a round looks at */
	WISH_MS = 50,	  /* between two wishes for one host */
};

/* The last question for one of the hosts that share the place. */
struct sight {
	uint32_t tag;
	uint32_t seen_ms; /* the low bits of the time; 0 is never */
	uint32_t wished_ms;
};

TAILQ_HEAD(lent_ages, lent_host);

struct lent {
	struct hash_secret secret;
	struct lent_host **buckets;
	struct sight *sights;
	struct lent_wish *wishes; /* a ring */
	size_t wish_first;
	size_t wish_count;
	struct lent_ages ages; /* the oldest first */
	struct lent_list wild;
	struct lent_host *round; /* the next of it, or NULL */
	size_t count;
	size_t hosts_max;
	int64_t expire_ms;
};

struct lent *lent_new(const struct hash_secret *secret)
{
	struct lent *lent = calloc(1, sizeof(*lent));

	if (!lent)
		return NULL;
	lent->secret = *secret;
	lent->buckets = calloc(BUCKETS, sizeof(struct lent_host *));
	lent->sights = calloc(SIGHTS, sizeof(struct sight));
	lent->wishes = calloc(LENT_WISHES_MAX, sizeof(struct lent_wish));
	TAILQ_INIT(&lent->ages);
	LIST_INIT(&lent->wild);
	if (lent->buckets && lent->sights && lent->wishes)
		return lent;
	lent_free(lent);
	return NULL;
}

void lent_free(struct lent *lent)
{
	if (!lent)
		return;
	if (lent->buckets)
		lent_forget_all(lent);
	free(lent->buckets);
	free(lent->sights);
	free(lent->wishes);
	free(lent);
}

void lent_set_bounds(struct lent *lent, size_t hosts_max, int64_t expire_ms)
{
	lent->hosts_max = hosts_max;
	lent->expire_ms = expire_ms;
}

size_t lent_count(const struct lent *lent)
{
	return lent->count;
}

int64_t lent_expire_ms(const struct lent *lent)
{
	return lent->expire_ms;
}

static struct lent_host **find_slot(struct lent *lent, struct span name,
				    uint64_t hash)
{
	struct lent_host **slot = &lent->buckets[hash % BUCKETS];

	while (*slot && !span_equal(lent_name(*slot), name))
		slot = &(*slot)->chain;
	return slot;
}

struct lent_host *lent_find(struct lent *lent, struct span host)
{
	return *find_slot(lent, host, hash_span(&lent->secret, host));
}

static uint32_t age_of(const struct sight *sight, uint32_t now_ms)
{
	return sight->seen_ms ? now_ms - sight->seen_ms : UINT32_MAX;
}

/* Where the last question for a host is noted: where it was before, in place of
 * one that is over, or anywhere. To replace the oldest would let a set with one
 * host too many, asked for in turn, forget them all. */
static struct sight *find_sight(const struct lent *lent, uint64_t hash,
				uint32_t now_ms)
{
	struct sight *set =
		&lent->sights[(hash >> 32) % (SIGHTS / SIGHT_SET) * SIGHT_SET];
	uint32_t drawn = (uint32_t)(hash >> 32) ^ now_ms * 2654435761U;
	struct sight *place = &set[drawn >> 16 & (SIGHT_SET - 1)];
	size_t i;

	for (i = 0; i < SIGHT_SET; i++) {
		if (set[i].seen_ms != 0 && set[i].tag == (uint32_t)hash)
			return &set[i];
		if (age_of(&set[i], now_ms) > lent->expire_ms)
			place = &set[i];
	}
	return place;
}

/* Was the host seen within the time that HAProxy keeps an answer? Now it is.
 */
static bool see(const struct lent *lent, struct sight *sight, uint32_t tag,
		uint32_t now_ms)
{
	bool was_seen =
		sight->tag == tag && age_of(sight, now_ms) <= lent->expire_ms;

	if (sight->tag != tag)
		sight->wished_ms = 0;
	sight->tag = tag;
	sight->seen_ms = now_ms;
	return was_seen;
}

static enum lent_note wish(struct lent *lent, struct span host)
{
	size_t i = (lent->wish_first + lent->wish_count) % LENT_WISHES_MAX;

	if (lent->wish_count == LENT_WISHES_MAX)
		return LENT_DROPPED;
	lent->wishes[i].len = (uint8_t)host.len;
	memcpy(lent->wishes[i].name, host.p, host.len);
	lent->wish_count++;
	return LENT_WISHED;
}

enum lent_note lent_note(struct lent *lent, struct span host, int64_t now_ms)
{
	uint64_t hash = hash_span(&lent->secret, host);
	uint32_t low_ms = (uint32_t)now_ms | 1;
	struct lent_host *held;
	struct sight *sight;
	uint32_t *wished_ms;

	held = lent->count > 0 ? *find_slot(lent, host, hash) : NULL;
	if (held && now_ms - held->lent_ms < lent->expire_ms)
		return LENT_HELD;
	if (host.len > LENT_HOST_MAX)
		return LENT_RARE;
	if (held) { /* until just now: it is asked for often */
		wished_ms = &held->wished_ms;
	} else {
		sight = find_sight(lent, hash, low_ms);
		if (!see(lent, sight, (uint32_t)hash, low_ms))
			return LENT_RARE;
		wished_ms = &sight->wished_ms;
	}
	if (*wished_ms != 0 && low_ms - *wished_ms < WISH_MS)
		return LENT_RARE;
	*wished_ms = low_ms;
	return wish(lent, host);
}

const struct lent_wish *lent_next_wish(struct lent *lent)
{
	const struct lent_wish *first = &lent->wishes[lent->wish_first];

	if (lent->wish_count == 0)
		return NULL;
	lent->wish_first = (lent->wish_first + 1) % LENT_WISHES_MAX;
	lent->wish_count--;
	return first;
}

size_t lent_wishes(const struct lent *lent)
{
	return lent->wish_count;
}

static struct lent_host *new_host(struct lent *lent, struct span name,
				  uint64_t hash)
{
	struct lent_host **slot = &lent->buckets[hash % BUCKETS];
	struct lent_host *host;

	if (lent->count >= lent->hosts_max)
		return NULL;
	host = malloc(sizeof(*host) + name.len);
	if (!host)
		return NULL;
	host->len = (uint8_t)name.len;
	host->start = 0;
	host->wished_ms = 0;
	memcpy(host->name, name.p, name.len);
	host->chain = *slot;
	*slot = host;
	lent->count++;
	return host;
}

static void unlink_age(struct lent *lent, struct lent_host *host)
{
	if (lent->round == host)
		lent->round = lent_next(host);
	TAILQ_REMOVE(&lent->ages, host, by_age);
}

struct lent_host *lent_add(struct lent *lent, struct span name, uint8_t start,
			   int64_t now_ms)
{
	uint64_t hash = hash_span(&lent->secret, name);
	struct lent_host *host = *find_slot(lent, name, hash);

	if (host) {
		unlink_age(lent, host);
		if (host->start != 0)
			LIST_REMOVE(host, by_wildcard);
	} else {
		host = new_host(lent, name, hash);
		if (!host)
			return NULL;
	}
	host->lent_ms = now_ms;
	host->start = start;
	if (start != 0)
		LIST_INSERT_HEAD(&lent->wild, host, by_wildcard);
	TAILQ_INSERT_TAIL(&lent->ages, host, by_age);
	return host;
}

void lent_remove(struct lent *lent, struct lent_host *host)
{
	uint64_t hash = hash_span(&lent->secret, lent_name(host));

	*find_slot(lent, lent_name(host), hash) = host->chain;
	unlink_age(lent, host);
	if (host->start != 0)
		LIST_REMOVE(host, by_wildcard);
	lent->count--;
	free(host);
}

void lent_forget_old(struct lent *lent, int64_t before_ms)
{
	struct lent_host *host = lent_first(lent);

	while (host && host->lent_ms + lent->expire_ms < before_ms) {
		struct lent_host *next = lent_next(host);

		lent_remove(lent, host);
		host = next;
	}
}

void lent_forget_all(struct lent *lent)
{
	lent_forget_old(lent, INT64_MAX);
	lent->wish_count = 0;
}

struct lent_list *lent_by_wildcard(struct lent *lent)
{
	return &lent->wild;
}

struct lent_host *lent_first(struct lent *lent)
{
	return TAILQ_FIRST(&lent->ages);
}

struct lent_host *lent_next(struct lent_host *host)
{
	return TAILQ_NEXT(host, by_age);
}

void lent_begin_round(struct lent *lent)
{
	lent->round = lent_first(lent);
}

struct lent_host *lent_next_unread(struct lent *lent, uint32_t epoch,
				   bool *is_over)
{
	int steps;

	for (steps = 0; lent->round && steps < STEPS; steps++) {
		struct lent_host *host = lent->round;

		lent->round = lent_next(host);
		if (host->epoch != epoch) {
			*is_over = false;
			return host;
		}
	}
	*is_over = !lent->round;
	return NULL;
}
