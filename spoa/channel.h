/* SPDX-License-Identifier: MIT */
/*
 * channel: how Redis tells us of changes, as a whole.
 *
 * It takes two connections to one server: a subscriber of its own, and the one
 * that carries the lookups, which asks Redis to tell the subscriber. Neither
 * hears when the other dies, so both are asked again and again, and the
 * channel is up only while both answer. It reports what it hears, and when it
 * comes up or goes down.
 */
#ifndef SPOA_CHANNEL_H
#define SPOA_CHANNEL_H

#include "redis.h"

struct channel;

/* Counts since the start, but for the first and the last. */
struct channel_counters {
	bool is_up;
	uint64_t ups;	  /* times that it came up */
	uint64_t downs;	  /* and went down again */
	uint64_t changes; /* that Redis told of, of any field */
	uint64_t names;	  /* fields that were named */
	int64_t heard_ms; /* when it last gave a sign; 0 is never */
};

struct channel_options {
	struct loop *loop;
	int64_t interval_ms; /* of the probes */
	/* Called from the loop; `field` lives during the call. */
	void (*news)(void *context, enum store_news news, struct span field);
	/* Called once after each channel_open: it is up, or it is down for now.
	 * What is asked of Redis from here on is not overtaken by its coming
	 * up. */
	void (*settled)(void *context);
	void *context;
};

/* NULL when there is no memory. */
struct channel *channel_new(const struct channel_options *options);

/* From now on probes are so far apart. */
void channel_set_interval(struct channel *channel, int64_t interval_ms);

void channel_free(struct channel *channel);

/* `redis`, at `place`, is ready: open the channel there, and keep it open until
 * channel_close, which must come before `redis` is freed. */
void channel_open(struct channel *channel, struct redis *redis,
		  const struct redis_place *place);

/* The server is lost, or another one serves. */
void channel_close(struct channel *channel, const char *why);

/* What `redis` was told about tracking: pass it on from its `tracked`. */
void channel_tracked(struct channel *channel, struct span problem);

const struct channel_counters *channel_count(const struct channel *channel);

#endif
