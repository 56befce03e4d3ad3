/* SPDX-License-Identifier: MIT */
/*
 * fastpath: writes what is lent into the tables of the HAProxys.
 *
 * Each --haproxy-socket has a writer: it connects, looks whether the table is
 * what it must be, empties it and from then on tells it, in order, what the
 * lender says. A socket that is absent, slow, full or not HAProxy's costs a
 * warning and never delays an answer. Nothing that is told to be taken back is
 * lost: beyond its bound a queue becomes "empty the table".
 */
#ifndef SPOA_FASTPATH_H
#define SPOA_FASTPATH_H

#include "base.h"
#include "cache.h"
#include "lender.h"
#include "loop.h"
#include "resolver.h"
#include "runtime_api.h"

enum { FASTPATH_TABLE_MAX = 63 }; /* bytes of a table's name */

struct fastpath;

struct fastpath_address {
	char path[RUNTIME_API_PATH_MAX + 1];
	char table[FASTPATH_TABLE_MAX + 1];
};

/* Counts since the start, but for the first. */
struct fastpath_counters {
	size_t open;	    /* sockets that can be written to */
	uint64_t commands;  /* sent to HAProxy */
	uint64_t sets;	    /* of them */
	uint64_t clears;    /* of them */
	uint64_t errors;    /* complaints about commands */
	uint64_t connects;  /* sockets that became usable */
	uint64_t losses;    /* connections that ended or were given up */
	uint64_t overflows; /* queues that became too long */
	uint64_t skips;	    /* answers not lent to a table that is slow */
};

struct fastpath_options {
	struct loop *loop;
	const struct fastpath_address *addresses; /* the caller's */
	size_t count;
	struct cache *cache;
	struct resolver *resolver;
};

/* Reads PATH[,table=NAME]. False with the `*problem` in words. */
bool fastpath_parse(const char *text, struct fastpath_address *address,
		    const char **problem) MUST_CHECK;

/* NULL when there is no memory. It connects at once. */
struct fastpath *fastpath_new(const struct fastpath_options *options,
			      const struct hash_secret *secret);
void fastpath_free(struct fastpath *fastpath);

/* Ends a turn: lends and sends. Returns when it wants to do so again, or -1. */
int64_t fastpath_work(struct fastpath *fastpath);

/* A target can no longer be used: nothing that is lent may lead there. */
void fastpath_take_back_target(struct fastpath *fastpath,
			       const uint8_t *address, size_t address_len,
			       uint16_t port);

const struct fastpath_counters *fastpath_count(const struct fastpath *fastpath);
const struct lender_counters *fastpath_count_lent(struct fastpath *fastpath);

#endif
