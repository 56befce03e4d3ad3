/* SPDX-License-Identifier: MIT */
/*
 * lender: which answers HAProxy may hold, and when they are taken back.
 *
 * It hears from the resolver which hosts are asked for and which fields were
 * read or named, and says, in order, what HAProxy's tables are to be told. What
 * is lent rests on fresh knowledge; after a change all of it is read again
 * before anything else. Taking back is never left out, lending may be. The time
 * is passed in; it does no I/O.
 */
#ifndef SPOA_LENDER_H
#define SPOA_LENDER_H

#include "cache.h"
#include "lent.h"
#include "resolver.h"

enum {
	/* Hosts lent a millisecond, and at a time, at most. All of them can be
	 * lent anew each 5 s, and a fifth more. */
	LENDER_RATE = 24,
	LENDER_HOSTS_MAX = 100000
};

struct lender;

struct lender_options {
	struct cache *cache; /* the caller's, as is the resolver */
	struct resolver *resolver;
	/* Tells HAProxy what to answer; false when it cannot take it now. */
	bool (*lend)(void *context, struct span host, uint32_t address,
		     uint16_t port);
	/* Tells it that it no longer knows this host, or any. */
	void (*take_back)(void *context, struct span host);
	void (*take_back_all)(void *context);
	/* It asked for a host that it should know. */
	void (*missed)(void *context);
	void *context;
};

/* Counts since the start, but for the first. */
struct lender_counters {
	size_t lent;	  /* hosts that are lent now */
	uint64_t lends;	  /* answers that were lent, renewals too */
	uint64_t backs;	  /* answers that were taken back */
	uint64_t misses;  /* questions for hosts that are lent */
	uint64_t dropped; /* wishes that found no room */
};

/* NULL when there is no memory. The resolver tells its news to the lender from
 * now on. Nothing is lent before lender_open. */
struct lender *lender_new(const struct lender_options *options,
			  const struct hash_secret *secret);
void lender_free(struct lender *lender);

/* A table can be lent to: it keeps `hosts_max` answers for `expire_ms` each. */
void lender_open(struct lender *lender, size_t hosts_max, int64_t expire_ms);

/* No table can be lent to at present. */
void lender_close(struct lender *lender);

/* All tables were emptied: nothing is lent any more. */
void lender_forget(struct lender *lender);

/* Some table has not taken what it was told at once: nothing that is lent is
 * forgotten until it surely ended there. */
void lender_hold(struct lender *lender, int64_t now_ms);

/* A target can no longer be used. */
void lender_take_back_target(struct lender *lender, const uint8_t *address,
			     size_t address_len, uint16_t port);

/* The value of a field, or what it stands for, is another one. */
void lender_take_back_field(struct lender *lender, struct span field);

/* Lends what is wished for. Returns when it wants to do so again, or -1. */
int64_t lender_work(struct lender *lender, int64_t now_ms);

const struct lender_counters *lender_count(struct lender *lender);

#endif
