/* SPDX-License-Identifier: MIT */
/*
 * flights: the lookups that are under way, one for each host, and who waits
 * for them.
 *
 * A flight asks the store for some candidates of its host, or waits for DNS
 * names alone. What a reply means, and what the waiters are told, is the
 * resolver's to say. It does no I/O; the time is passed in.
 */
#ifndef SPOA_FLIGHTS_H
#define SPOA_FLIGHTS_H

#include "cache.h"
#include "hash.h"
#include "host.h"
#include "session.h"
#include "store.h"

struct flight;
struct flights;

/* One request that waits. Its memory is the caller's; it must stay until the
 * request was answered or cancelled. */
struct waiter {
	/* The caller's: called once, unless the waiter is cancelled, when it is
	 * no longer the resolver's. The answer lives during the call. */
	void (*answered)(struct waiter *waiter, const struct answer *answer);
	struct flight *flight; /* NULL when it does not wait */
	int64_t deadline_ms;
	uint64_t client; /* see routes_client */
	uint32_t epoch;	 /* in which it asked */
	TAILQ_ENTRY(waiter) in_flight;
	TAILQ_ENTRY(waiter) in_queue;
};

TAILQ_HEAD(waiter_queue, waiter);
TAILQ_HEAD(flight_queue, flight);

/* One question to the store, for one host. */
struct flight {
	struct lookup lookup; /* the fields asked for */
	struct flights *flights;
	struct flight *chain;	     /* next in the bucket */
	struct waiter_queue waiters; /* in the order of their epochs */
	TAILQ_ENTRY(flight) link;    /* while it is naming */
	bool is_naming;		     /* it waits for names, not for the store */
	bool is_told;		     /* by the store */
	struct span fields[HOST_CANDIDATES];
	int64_t asked_ms;
	uint32_t epoch; /* in which it was asked */
	uint16_t asked; /* bit i: candidate i is asked for */
	struct host host;
	struct host_candidates candidates;
	char texts[]; /* of the fields */
};

struct flights_options {
	struct cache *cache;	   /* the caller's, as is the store; */
	struct store *store;	   /* both outlive */
	int64_t lookup_timeout_ms; /* after this a request stops waiting */
	size_t waiting_max;	   /* requests that may wait at a time */
	/* The store's word on a flight, see `struct lookup`; it must ask again
	 * or end the flight, or let it wait for names. */
	void (*done)(struct lookup *lookup, enum store_status status,
		     const struct store_value *values, int64_t now_ms);
	void *context; /* for who is called */
};

/* Counts since the start, but for the two numbers of what is under way. */
struct flights_counters {
	size_t flights;
	size_t waiting;
	uint64_t lookups;   /* flights that were started */
	uint64_t joins;	    /* requests that joined a flight under way */
	uint64_t refreshes; /* flights started ahead, with nobody waiting */
	uint64_t namings;   /* flights that waited for names alone */
	uint64_t refused;   /* requests beyond waiting_max */
};

/* The fields are its own, but for reading. */
struct flights {
	struct flights_options options;
	struct hash_secret secret;
	struct waiter_queue queue;  /* all waiters, by deadline */
	struct flight_queue naming; /* all that wait for names */
	struct flight **buckets;
	size_t mask; /* number of buckets, a power of two, less one */
	struct flights_counters counters;
};

/* False when there is no memory. */
bool flights_init(struct flights *flights,
		  const struct flights_options *options,
		  const struct hash_secret *secret) MUST_CHECK;

/* Frees the flights. Nobody may be waiting, and the store must have let go of
 * all lookups. Nothing when flights_init failed. */
void flights_fini(struct flights *flights);

/* From now on these bounds count. Whoever waits already waits no longer than
 * one who comes now. */
void flights_set_limits(struct flights *flights, int64_t lookup_timeout_ms,
			size_t waiting_max, int64_t now_ms);

/* Lets the waiter wait for the store to tell of the candidates in `unknown`,
 * or, when that is 0, for names: in the flight of its host that is under way,
 * or in a new one. False when that cannot be, and then it does not wait. */
bool flights_join(struct flights *flights, const struct host *host,
		  uint16_t unknown, uint64_t client, struct waiter *waiter,
		  int64_t now_ms) MUST_CHECK;

/* The waiter waits no longer; nothing when it does not. */
void flights_leave(struct flights *flights, struct waiter *waiter);

/* Asks ahead for the candidates in `used`, unless a flight of that host is
 * under way. */
void flights_refresh(struct flights *flights, const struct host *host,
		     uint16_t used, int64_t now_ms);

/* Asks once more, for all candidates. False when the store cannot be asked. */
bool flights_ask_again(struct flight *flight, int64_t now_ms) MUST_CHECK;

/* The store has told; from now on it waits for names, until it does not. */
void flights_begin_naming(struct flight *flight);
void flights_end_naming(struct flight *flight);

/* The flight is over and is freed; nobody may wait for it. */
void flights_end(struct flight *flight);

#endif
