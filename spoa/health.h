/* SPDX-License-Identifier: MIT */
/*
 * health: which targets are alive.
 *
 * Routes tell it which targets they name; it has those that are in use checked
 * in time, at a bounded rate, and says what changed. What it knows stands in
 * the states of the watch, which answers read. Reports of failed requests make
 * it look at once.
 */
#ifndef SPOA_HEALTH_H
#define SPOA_HEALTH_H

#include "checker.h"
#include "guard.h"
#include "hash.h"
#include "loop.h"
#include "roster.h"
#include "watch.h"

enum health_event {
	HEALTH_UP,
	HEALTH_DOWN,
	HEALTH_GONE, /* it was down, and no request asks for it any more */
};

/* What happened to a target; all of it lives during the call. */
struct health_change {
	enum health_event event;
	struct roster_target target;
	const char *reason;
	int status;		       /* of HTTP, that took it down; or 0 */
	struct span fields[NAMES_MAX]; /* that name it, or some of them */
	size_t field_count;
	size_t uses; /* how many fields name it in all */
};

/* What may change while it runs. */
struct health_times {
	int64_t interval_ms;
	int64_t timeout_ms;
	struct pulse_rules rules;
};

/* A target that is doubted or down; the spans live until the loop turns. */
struct health_failing {
	struct roster_target target;
	bool is_down;
	int64_t since_ms; /* if it is down */
	struct span fields[NAMES_MAX];
	size_t field_count;
	size_t uses; /* how many fields name it in all */
};

struct health_options {
	struct loop *loop;
	const struct hash_secret *secret;
	size_t targets_max; /* that routes name; others are not watched */
	size_t open_max;    /* checks under way at a time */
	struct health_times times;
	const struct guard *guard; /* what it denies is never connected to */
	/* Called once for each change, from the loop. */
	void (*changed)(void *context, const struct health_change *change);
	void *context;
};

/* Counts since the start. */
struct health_counters {
	uint64_t checks;		   /* that were begun */
	uint64_t results[CHECKER_RESULTS]; /* how they ended */
};

struct health;

/* NULL when there is no memory. */
struct health *health_new(const struct health_options *options);
void health_free(struct health *health);

/* From now on these count. */
void health_set_times(struct health *health, const struct health_times *times);

/* The interface that routes ask; lives in the health. */
struct watch *health_face(struct health *health);

/* A request to this address is said to have failed. */
void health_report(struct health *health, const uint8_t *address,
		   size_t address_len, uint16_t port);

/* Goes through them: from slot 0 on, until it returns 0. */
uint32_t health_next_failing(const struct health *health, uint32_t slot,
			     struct health_failing *failing);

const struct health_counters *health_count(const struct health *health);
const struct roster_counters *health_count_targets(const struct health *health);

#endif
