/* SPDX-License-Identifier: MIT */
/*
 * fastpath: writes what is lent into the tables of the HAProxys.
 *
 * Each --haproxy-socket has a writer; what the lender says goes to all of them.
 * None of them ever delays an answer.
 */
#ifndef SPOA_FASTPATH_H
#define SPOA_FASTPATH_H

#include "base.h"
#include "cache.h"
#include "lender.h"
#include "loop.h"
#include "resolver.h"
#include "runtime_api.h"
#include "writer.h"

enum { FASTPATH_TABLE_MAX = 63 }; /* bytes of a table's name */

struct fastpath;

struct fastpath_address {
	char path[RUNTIME_API_PATH_MAX + 1];
	char table[FASTPATH_TABLE_MAX + 1];
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

/* The field is to be asked for again: nothing that is lent may rest on it. */
void fastpath_take_back_field(struct fastpath *fastpath, struct span field);

const struct writer_counters *fastpath_count(const struct fastpath *fastpath);
const struct lender_counters *fastpath_count_lent(struct fastpath *fastpath);

#endif
