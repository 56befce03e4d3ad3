/* SPDX-License-Identifier: MIT */
/*
 * roster: the targets that are watched, and whose check is due.
 *
 * Targets come with the routes that name them and are held once, however many
 * do; one that is to be checked in another way is another. Those that were
 * used lately are due for a check once an interval, spread in time. What the
 * checks find goes through the pulse and out as a byte for each target, which
 * is all that the path of an answer looks at. No I/O; the time is passed in.
 */
#ifndef SPOA_ROSTER_H
#define SPOA_ROSTER_H

#include "base.h"
#include "due.h"
#include "hash.h"
#include "names.h"
#include "pulse.h"

enum {
	ROSTER_USED = 0x80, /* in a state: it was looked at */
	ROSTER_UP = 0,	    /* ranks, in the lower bits of a state */
	ROSTER_DOUBTED = 1,
	ROSTER_DOWN = 2,
	ROSTER_DOWN_LONG = 3,	/* for more than ten intervals */
	ROSTER_PATH_MAX = 1024, /* bytes of a path */
};

struct roster_options {
	size_t targets_max;
	int64_t interval_ms; /* between two checks of a target */
	int64_t idle_ms;     /* unused for so long, it is no longer checked */
	size_t burst;	     /* reports that may come at once, and a second */
	struct pulse_rules rules;
};

/* A target and how it is checked. */
struct roster_target {
	const uint8_t *address; /* network order */
	size_t address_len;	/* 4 or 16 */
	uint16_t port;
	struct span path; /* of an HTTP check; empty: a TCP connect */
	struct span host; /* of an HTTP check */
};

/* Counts since the start, but for those of targets. */
struct roster_counters {
	size_t watched; /* targets that routes name, or did lately */
	size_t checked; /* of them: used lately, or let go lately */
	size_t doubted;
	size_t down;
	uint64_t refused; /* targets beyond targets_max or ROSTER_PATH_MAX */
	uint64_t late;	  /* checks later than their time by an interval */
	uint64_t reports; /* that made a target doubted */
	uint64_t reports_known; /* of one doubted or down, or again too soon */
	uint64_t reports_foreign; /* of no target that is in use */
	uint64_t reports_held;	  /* beyond `burst` */
};

enum roster_next {
	ROSTER_NOTHING, /* none is due */
	ROSTER_CHECK,	/* check this one, then call roster_note */
	ROSTER_GONE,	/* this one was down, and is not in use any more */
};

struct roster;

/* NULL when there is no memory. It is allocated whole, but the system lends its
 * pages only as they are used. */
struct roster *roster_new(const struct roster_options *options,
			  const struct hash_secret *secret);
void roster_free(struct roster *roster);

/* From now on these count, for the checks that are due as well. */
void roster_set_rules(struct roster *roster, int64_t interval_ms,
		      int64_t idle_ms, const struct pulse_rules *rules,
		      int64_t now_ms);

/* The states by slot: a rank, and ROSTER_USED, which whoever looks at one sets.
 * They stay where they are. That of slot 0 is always 0. */
uint8_t *roster_states(struct roster *roster);

/* A number, never 0, that is another one after each change of a rank and each
 * scan that took off a mark; where it is does not change. */
const uint32_t *roster_version(const struct roster *roster);

/* A route of `field` names the target. Returns its slot, or 0 when there is no
 * room. A new one is up, and not checked before it is used. */
uint32_t roster_take(struct roster *roster, const struct roster_target *target,
		     struct span field, int64_t now_ms);

/* One such route is gone. What was known of the target is kept for a while, so
 * that it is not forgotten when a route changes. */
void roster_release(struct roster *roster, uint32_t slot, struct span field,
		    int64_t now_ms);

/* Looks who was used since the last scan. */
void roster_scan(struct roster *roster, int64_t now_ms);

/* When something will be due; -1 is never. */
int64_t roster_due(const struct roster *roster);

/* The next that is due, into `*slot`. A check that is under way is not due
 * again before it was noted. */
enum roster_next roster_next(struct roster *roster, int64_t now_ms,
			     uint32_t *slot) MUST_CHECK;

/* A check has ended. */
enum pulse_change roster_note(struct roster *roster, uint32_t slot,
			      enum pulse_result result,
			      int64_t now_ms) MUST_CHECK;

/* Somebody says that a request to this address failed: targets there that are
 * in use are doubted and due at once. Once an interval for each target, and
 * `burst` a second for all. */
void roster_report(struct roster *roster, const uint8_t *address,
		   size_t address_len, uint16_t port, int64_t now_ms);

/* What a slot is; lives until it is released. */
struct roster_target roster_target(const struct roster *roster, uint32_t slot);

/* The first slot after `slot` whose target is doubted or down; 0 when there is
 * none. */
uint32_t roster_next_failing(const struct roster *roster, uint32_t slot);

/* Since when a target that is down is; 0 when it is not. */
int64_t roster_down_since(const struct roster *roster, uint32_t slot);

/* The `i`-th of up to NAMES_MAX fields that name it, or an empty span. */
struct span roster_field(const struct roster *roster, uint32_t slot, size_t i);

/* How many routes name it. */
size_t roster_uses(const struct roster *roster, uint32_t slot);

const struct roster_counters *roster_count(const struct roster *roster);

#endif
