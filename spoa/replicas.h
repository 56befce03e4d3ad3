/* SPDX-License-Identifier: MIT */
/*
 * replicas: which replica of a master to read from.
 *
 * Each sentinel lists the replicas that it finds well. The one that is in use
 * stays as long as any of them does; else one is chosen, at random, so that
 * agents spread. One that could not be used is passed over for a while, each
 * time longer. No I/O, no clock.
 */
#ifndef SPOA_REPLICAS_H
#define SPOA_REPLICAS_H

#include <hiredis/hiredis.h>

#include "redis_url.h"

enum { REPLICAS_MAX = 16 };

struct replica_list {
	struct redis_address at[REPLICAS_MAX];
	size_t count;
};

/* Those that could not be used, of late. */
struct replicas_avoided {
	struct {
		struct redis_address at;
		int64_t delay_ms; /* 0: a free place */
		int64_t until_ms;
	} places[REPLICAS_MAX];
	size_t next; /* the place to take when all are taken */
};

/* Reads the answer to SENTINEL REPLICAS: those that are up and follow their
 * master. What makes no sense is left out. */
void replicas_read(const redisReply *reply, struct replica_list *to);

/* Takes what `more` holds in addition. */
void replicas_add(struct replica_list *list, const struct replica_list *more);

/* The one to read: `current` (or NULL) if it may be; else one by `random`; NULL
 * when there is none. It lives as long as the list. */
const struct redis_address *replicas_choose(
	const struct replica_list *list, const struct replicas_avoided *avoided,
	const struct redis_address *current, uint64_t random, int64_t now_ms);

void replicas_avoid(struct replicas_avoided *avoided,
		    const struct redis_address *at, int64_t now_ms);

#endif
