/* SPDX-License-Identifier: MIT */
/*
 * dns_cache: the addresses of names, as long as their records live.
 *
 * A name that somebody asks for is resolved, by /etc/hosts or by the servers
 * of /etc/resolv.conf, and refreshed ahead of its end for as long as it is in
 * use. What was known outlives a resolver that fails. It fills in `dns.h`.
 */
#ifndef SPOA_DNS_CACHE_H
#define SPOA_DNS_CACHE_H

#include "dns.h"
#include "hash.h"
#include "loop.h"

enum { DNS_CACHE_NAMES_MAX = 4096 };

struct dns_cache;

/* Counts since the start, but for the number of names. */
struct dns_cache_counters {
	size_t names;
	uint64_t resolutions; /* that were begun */
	uint64_t failures;    /* of them, that told nothing */
	uint64_t changes;     /* of addresses */
	uint64_t refused;     /* names beyond DNS_CACHE_NAMES_MAX */
};

/* NULL when there is no memory. Opens nothing before the first name. */
struct dns_cache *dns_cache_new(struct loop *loop,
				const struct hash_secret *secret);

/* The loop must not turn any more. */
void dns_cache_free(struct dns_cache *cache);

/* Lives as long as the cache. */
struct dns *dns_cache_face(struct dns_cache *cache);

const struct dns_cache_counters *dns_cache_count(const struct dns_cache *cache);

#endif
