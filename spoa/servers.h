/* SPDX-License-Identifier: MIT */
/*
 * servers: which of the servers of `--redis` serves.
 *
 * The first one that answers does; when it fails the next one does, and the
 * first is taken back when it answers again. While none can be reached it keeps
 * trying with a growing, jittered delay. Where a server turns out to be
 * elsewhere (Sentinel, a cluster), it follows at once. What is asked of the one
 * that serves is its owner's business.
 */
#ifndef SPOA_SERVERS_H
#define SPOA_SERVERS_H

#include "lead.h"

struct servers;

struct servers_options {
	struct loop *loop;
	const struct redis_url *urls; /* in order of preference */
	size_t url_count;
	struct tls *tls;	     /* for those that want it; or NULL */
	struct redis_errors *errors; /* where their refusals are counted */
	const char *key;
	size_t value_max; /* bytes */
	int64_t lookup_timeout_ms;
	uint64_t seed; /* of the delays */
	/* All from the loop. `redis` serves from now on. */
	void (*arrived)(void *context, struct redis *redis);
	/* It serves no longer, and is freed when this returns: its lookups must
	 * be taken. `is_named`: it did not fail, but another one was named in
	 * its place; then `redis` is NULL when none served yet. */
	void (*left)(void *context, struct redis *redis, const char *why,
		     bool is_named);
	/* Every server was tried, and failed. */
	void (*down)(void *context);
	/* Those of `struct redis_options`. */
	void (*tracked)(void *context, struct redis *redis,
			struct span problem);
	bool (*sized)(void *context, int64_t size, int64_t sent_ms);
	void *context;
};

struct servers_counters {
	uint64_t connections; /* that could be used, since the start */
	uint64_t losses;      /* of those */
	uint64_t failures;    /* that could not */
	uint64_t moves;	      /* to another server that was named */
};

/* Starts to connect. NULL when there is no memory. What the options point to
 * must live as long. */
struct servers *servers_new(const struct servers_options *options);

/* Closes all. The lookups of the one that serves must have been taken. */
void servers_free(struct servers *servers);

/* From now on this time counts. */
void servers_set_timeout(struct servers *servers, int64_t lookup_timeout_ms);

/* The passwords of the URLs are others now: the next connection says them. */
void servers_reread(struct servers *servers);

/* For people: the server that serves, or that is being tried. */
const char *servers_name(const struct servers *servers);

const struct servers_counters *servers_count(const struct servers *servers);

#endif
