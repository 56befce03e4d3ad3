/* SPDX-License-Identifier: MIT */
/*
 * bad_routes: says in the log which values in Redis cannot be used.
 *
 * A bad value is read again and again; it is said once a minute for each value
 * of each field. Memory is fixed: when very many are bad, some are said more
 * often.
 */
#ifndef SPOA_BAD_ROUTES_H
#define SPOA_BAD_ROUTES_H

#include "hash.h"
#include "routes.h"

enum { BAD_ROUTES_SLOTS = 1024 };

struct bad_routes {
	struct hash_secret secret;
	struct {
		uint64_t value;	 /* hash of field and value */
		int64_t next_ms; /* when it may be said again */
	} slots[BAD_ROUTES_SLOTS];
};

/* Warns of `bad`, unless it did within the last minute. */
void bad_routes_warn(struct bad_routes *self, int64_t now_ms,
		     const struct bad_route *bad);

#endif
