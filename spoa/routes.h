/* SPDX-License-Identifier: MIT */
/*
 * routes: from the values of the store to routes in the cache, and from a route
 * to the answer that it gives.
 *
 * A value that is found unchanged leaves its route alone, so that its targets
 * go on taking turns where they were. It does no I/O.
 */
#ifndef SPOA_ROUTES_H
#define SPOA_ROUTES_H

#include "cache.h"
#include "dns.h"
#include "guard.h"
#include "hash.h"
#include "route.h"
#include "session.h"
#include "store.h"
#include "watch.h"

/* A value that cannot be used; all of it lives during the call. */
struct bad_route {
	struct span host;    /* of the request that it was read for */
	struct span field;   /* that holds it */
	struct span text;    /* empty when it was too long to be kept */
	uint64_t size;	     /* bytes of the value */
	unsigned int column; /* where it went wrong, from 1 */
	enum route_error error;
	bool is_partial;  /* only some addresses of a name are left out */
	struct span rule; /* that refuses, of ROUTE_FORBIDDEN */
};

struct routes_options {
	struct cache *cache; /* the caller's, as is the watch; both outlive */
	struct watch *watch; /* NULL: all targets are up */
	struct dns *dns;     /* NULL: no name is ever resolved */
	const struct guard *guard; /* NULL: no rules but the built-in ones */
	/* Called when a value that cannot be used was read. */
	void (*bad_route)(void *context, const struct bad_route *bad);
	void *context;
};

/* Counts since the start. */
struct routes_counters {
	uint64_t bad;	     /* values that could not be used */
	uint64_t denied;     /* targets that may not be one */
	uint64_t renamings;  /* routes whose names got other addresses */
	uint64_t unresolved; /* answers that lacked an address of any name */
};

/* The fields are its own. */
struct routes {
	struct routes_options options;
	struct routes_counters counters;
	struct route_reader reader;
	uint16_t rules;	  /* how often the guard has changed */
	bool is_asked;	  /* what is parsed is for somebody who asks */
	struct span rule; /* that last refused a target */
	union route_room room;
};

void routes_init(struct routes *routes, const struct routes_options *options);

/* Takes what the store says of `field`, read for `host`, as it was asked at
 * `asked_ms` in `epoch`. True when it is another value than was known, one
 * where none was, or none any more. */
bool routes_keep(struct routes *routes, struct span host, struct span field,
		 const struct store_value *value, int64_t asked_ms,
		 uint32_t epoch);

/* The same for what a snapshot says; see resolver_restore. */
void routes_restore(struct routes *routes, struct span field,
		    const struct span *text, int64_t age_ms, int64_t now_ms);

/* The route of a field that was just kept, be it that the cache had no memory
 * for it. Valid until the next keep or restore. */
struct route *routes_find(struct routes *routes, struct span field);

/* The guard has other rules than before. What it let pass is judged anew before
 * it is used again. */
void routes_change_guard(struct routes *routes);

/* The route of a field, as it lies in the cache, as the guard of now judges it.
 * It may lie elsewhere then. */
struct route *routes_judge(struct routes *routes, struct span field,
			   struct route *route);

/* Is the route judged by the guard of now, and has it the addresses that its
 * names have, and none to wait for? */
bool routes_is_settled(struct routes *routes, const struct route *route);

/* Gives the route of a field, as it lies in the cache, the addresses that its
 * names have by now, and has them resolved. It may lie elsewhere then. */
struct route *routes_settle(struct routes *routes, struct span field,
			    struct route *route);

/* What a client is to the targets: the same number in every agent and after
 * each restart; 0 is none. */
uint64_t routes_client(struct span client);

/* The answer that `route`, found in `field`, gives to a request of the client
 * that routes_client gave. It borrows route and field. */
void routes_fill(struct routes *routes, struct route *route, struct span field,
		 enum answer_source source, uint64_t client,
		 struct answer *answer);

#endif
