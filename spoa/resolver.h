/* SPDX-License-Identifier: MIT */
/*
 * resolver: from the Host of a request to an answer.
 *
 * It normalises the host, walks its candidates through the cache and, where the
 * cache does not know, asks the store: one flight per host, however many
 * requests wait for it. When the store cannot be asked, or is too slow, the
 * answer is what was last known. It does no I/O; the time is passed in.
 */
#ifndef SPOA_RESOLVER_H
#define SPOA_RESOLVER_H

#include "cache.h"
#include "flights.h"
#include "hash.h"
#include "routes.h"
#include "session.h"
#include "store.h"
#include "sweep.h"

enum { RESOLVER_FORESEEN = CACHE_FORESEEN };

struct resolver;

struct resolver_options {
	int64_t lookup_timeout_ms; /* after this a request stops waiting */
	size_t waiting_max;	   /* requests that may wait at a time */
	struct watch *watch;	   /* see routes.h, as for these: */
	struct dns *dns;
	const struct guard *guard;
	/* Called when a value that cannot be used was read. */
	void (*bad_route)(void *context, const struct bad_route *bad);
	void *context;
};

/* Counts since the start. */
struct resolver_counters {
	uint64_t timeouts; /* requests that waited too long */
	uint64_t epochs;   /* changes that were heard of */
	uint64_t rereads;  /* fields read again because of them */
};

/* An answer that may be lent: one IPv4 target, the same for every client. */
struct resolver_loan {
	bool is_lendable;
	uint8_t address[4]; /* network order; this and the rest if it is */
	uint16_t port;
	uint8_t start; /* where in the host the suffix of the field that
			  matched begins; 0 is the host itself */
};

/* What one who lends answers to others hears of. */
struct resolver_lending {
	/* A fresh answer that may be lent was given to this host; it is
	 * normalised. */
	void (*asked)(void *context, struct span host, int64_t now_ms);
	/* The field was read; it holds another value than was known, or not. */
	void (*read)(void *context, struct span field, bool is_changed,
		     int64_t now_ms);
	/* The field was named as changed; `*` is all of them. */
	void (*named)(void *context, struct span field);
	/* What is to be read again before anything else. */
	sweep_unread *unread;
	void *context;
};

enum resolver_result {
	RESOLVER_DONE,	  /* *answer is filled in; the waiter was not taken */
	RESOLVER_PENDING, /* the waiter was taken; `answered` comes later */
};

/* NULL when there is no memory. Cache and store stay the caller's and must
 * live longer; the store's news go to the resolver from now on. */
struct resolver *resolver_new(const struct resolver_options *options,
			      const struct hash_secret *secret,
			      struct cache *cache, struct store *store);

/* Frees the resolver and its flights. Nobody may be waiting, and the store
 * must have let go of all lookups. */
void resolver_free(struct resolver *resolver);

/* At most RESOLVER_FORESEEN questions are about to be asked. Optional, but when
 * many hosts are cached the time goes into fetching them from memory, and so
 * that is done for all at a time. */
void resolver_foresee(struct resolver *resolver, struct question *questions,
		      size_t count);

/* Where does this Host go? What the answer borrows lives as long as what the
 * question borrows does, and at most until the next call of this room. */
enum resolver_result resolver_ask(struct resolver *resolver,
				  const struct question *question,
				  int64_t now_ms, struct waiter *waiter,
				  struct answer *answer) MUST_CHECK;

/* The waiter's request is no longer of interest: no answer will come. */
void resolver_cancel(struct resolver *resolver, struct waiter *waiter);

/* Answers the requests that have waited too long. Returns when the next one
 * will have, or -1 when none waits. */
int64_t resolver_expire(struct resolver *resolver, int64_t now_ms);

/* Does the cache hold all fields that the store has, as of now? While it does,
 * and the store cannot be asked, a field that it has nothing of is absent. */
void resolver_set_whole(struct resolver *resolver, bool is_whole);

/* Takes what a snapshot of `age_ms` before `now_ms` says of a field: its text,
 * or NULL when it was absent. It serves only while the store is away. */
void resolver_restore(struct resolver *resolver, struct span field,
		      const struct span *text, int64_t age_ms, int64_t now_ms);

/* Takes what the store holds in a field, as it was asked at `asked_ms` in
 * `epoch` of the cache. */
void resolver_learn(struct resolver *resolver, struct span field,
		    const struct store_value *value, int64_t asked_ms,
		    uint32_t epoch, int64_t now_ms);

/* Reads again, in paced batches, what may have changed since it was read: the
 * fields that were named first, then the others, the most used ones first.
 * Returns when it wants to go on, or -1 when it waits for the store or has
 * nothing to do. */
int64_t resolver_sweep(struct resolver *resolver, int64_t now_ms);

/* Believes nothing of what was known until the store was asked again: of
 * `field` at first, of all when it is empty. */
void resolver_flush(struct resolver *resolver, struct span field,
		    int64_t now_ms);

/* From now on these bounds count, for those who wait already as well. */
void resolver_set_limits(struct resolver *resolver, int64_t lookup_timeout_ms,
			 size_t waiting_max, int64_t now_ms);

/* The guard has other rules: no target that it denies now is answered any more,
 * what is lent is taken back, and all is read again. */
void resolver_change_guard(struct resolver *resolver, int64_t now_ms);

/* From now on `lending` hears of answers and changes; it stays the caller's.
 * NULL is nobody. */
void resolver_set_lending(struct resolver *resolver,
			  const struct resolver_lending *lending);

/* What would a normalised host be answered from fresh knowledge alone? False
 * when that does not suffice to say. While changes are not pushed to us, it
 * must stay fresh for `hold_ms`. */
bool resolver_peek(struct resolver *resolver, struct span host, int64_t now_ms,
		   int64_t hold_ms, struct resolver_loan *loan) MUST_CHECK;

/* What it counts of lookups, and of values and targets. */
const struct flights_counters *
resolver_count_flights(const struct resolver *resolver);
const struct routes_counters *
resolver_count_routes(const struct resolver *resolver);

const struct resolver_counters *resolver_count(const struct resolver *resolver);

#endif
