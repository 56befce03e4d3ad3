/* SPDX-License-Identifier: MIT */
/*
 * redis_store: the store that Redis is, on one or several servers.
 *
 * Which server that is, `servers` says. Lookups that were under way when it
 * changes are asked again at the next one; while none can be reached the store
 * says so at once. Redis tells of changes, by `channel`, and an empty hash is
 * doubted, by `hold`.
 */
#ifndef SPOA_REDIS_STORE_H
#define SPOA_REDIS_STORE_H

#include "channel.h"
#include "hash.h"
#include "loop.h"
#include "redis_url.h"
#include "store.h"

struct redis_store;

struct redis_store_options {
	struct loop *loop;
	const struct redis_url *urls; /* in order of preference */
	size_t url_count;
	struct tls *tls; /* for those that want it; or NULL */
	const char *key;
	size_t value_max; /* bytes */
	int64_t lookup_timeout_ms;
	int64_t ttl_ms; /* a change must not be missed for longer */
	/* How many routes are known; NULL: an empty hash is as good as any. */
	size_t (*known)(void *context);
	void *context;
};

/* Starts to connect. NULL when there is no memory. What the options point to
 * must live as long. */
struct redis_store *redis_store_new(const struct redis_store_options *options,
				    const struct hash_secret *secret);

/* Closes all; lookups that are open fail first. */
void redis_store_free(struct redis_store *redis_store);

/* From now on these times count. */
void redis_store_set_times(struct redis_store *redis_store,
			   int64_t lookup_timeout_ms, int64_t ttl_ms);

/* The passwords of the URLs are others now: the next connection says them. */
void redis_store_reread(struct redis_store *redis_store);

struct redis_store_counters {
	bool is_connected;
	bool is_holding; /* known routes, since the hash is empty */
	uint64_t holds;
	uint64_t connections; /* that could be used, since the start */
	uint64_t losses;      /* of those */
	uint64_t failures;    /* that could not */
	uint64_t moves;	      /* to another server that was named */
};

const struct redis_store_counters *
redis_store_count(struct redis_store *redis_store);

/* The name of the server that serves, or that is tried. */
const char *redis_store_server(const struct redis_store *redis_store);

const struct channel_counters *
redis_store_count_channel(const struct redis_store *redis_store);

/* How often Redis said no, by kind. */
const struct redis_errors *
redis_store_count_errors(const struct redis_store *redis_store);

/* The interface that the resolver asks; lives in the redis_store. */
struct store *redis_store_face(struct redis_store *redis_store);

/* Publishes a message where the routes are; false when it is lost, as while no
 * server serves. */
bool redis_store_publish(struct redis_store *redis_store, struct span channel,
			 struct span message) MUST_CHECK;

#endif
