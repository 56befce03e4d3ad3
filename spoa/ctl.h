/* SPDX-License-Identifier: MIT */
/*
 * ctl: what the commands of routectl share: the options, the connection, the
 * judgement of fields and routes, and how they speak to people.
 *
 * Results go to stdout; what is wrong, and notes, go to stderr.
 */
#ifndef SPOA_CTL_H
#define SPOA_CTL_H

#include "base.h"

#include "ctl_opts.h"
#include "ctl_pairs.h"
#include "ctl_redis.h"
#include "guard.h"
#include "host.h"
#include "route.h"

/* The exit status of routectl. */
enum ctl_status {
	CTL_DONE,
	CTL_REFUSED, /* or something found by diff and check */
	CTL_MISUSED,
	CTL_AWAY, /* Redis or the agent cannot be asked */
	CTL_MISSING,
};

enum { CTL_SHOWN_MAX = 300, CTL_PROBLEM_MAX = 400 };

struct ctl {
	struct ctl_options options;
	struct redis_url urls[OPTS_LIST_MAX];
	struct ctl_redis redis;
	struct guard guard;    /* by --allow-target and --deny-target */
	struct span rule;      /* of the guard, that refused last */
	union route_room room; /* what ctl_judge_route read last */
	/* Of its targets, by their numbers: the DNS name where one stands in
	 * place of an address, borrowed from the value. */
	struct span names[ROUTE_TARGETS_MAX];
	bool is_name; /* what is to be allowed next */
};

/* Room for a text that may hold anything, as people may see it. */
struct ctl_shown {
	char text[CTL_SHOWN_MAX];
};

/* The text with escapes, cut when it is long; lives in `*room`. */
const char *ctl_show(struct span text, struct ctl_shown *room);

/* Says on stderr what is wrong, and returns the status. */
enum ctl_status ctl_complain(enum ctl_status status, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Says something on stderr that is worth knowing, unless --quiet. */
void ctl_note(const struct ctl *ctl, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Connects, if it is not done yet. CTL_DONE, or says what is wrong. */
enum ctl_status ctl_open(struct ctl *ctl) MUST_CHECK;

/* Says what the connection's error is. */
enum ctl_status ctl_complain_redis(const struct ctl *ctl);

/* Would the agent use this value? Else `problem` says why not. The route is in
 * `ctl->room`, with one target for each name. */
bool ctl_judge_route(struct ctl *ctl, struct span value,
		     char problem[CTL_PROBLEM_MAX]) MUST_CHECK;

/* Would the agent ever ask for this field? */
bool ctl_judge_field(struct span field,
		     char problem[CTL_PROBLEM_MAX]) MUST_CHECK;

/* All pairs of the hash, sorted; `pattern` may be NULL. */
enum ctl_status ctl_load(struct ctl *ctl, const char *pattern,
			 struct ctl_pairs *pairs) MUST_CHECK;

#endif
