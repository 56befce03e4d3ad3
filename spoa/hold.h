/* SPDX-License-Identifier: MIT */
/*
 * hold: keeps what is known when the hash is suddenly empty.
 *
 * A hash that had many routes and has none all of a sudden was rather lost than
 * meant to be: a wrong FLUSHALL, a server that came back without its data. From
 * then on the store counts as away, until there are fields again, or somebody
 * publishes `*`, which says that it is meant. Who names the fields that go says
 * so too: a loss names nobody. One room for --empty-guard.
 */
#ifndef SPOA_HOLD_H
#define SPOA_HOLD_H

#include "base.h"

enum {
	HOLD_ROUTES_MIN = 10, /* fewer may go at once */
	HOLD_NAMES_MAX = 1024,
};

struct hold {
	const char *key;  /* of the hash, for the log */
	bool is_on;	  /* known routes are held */
	bool is_meant;	  /* the hash may be empty */
	int64_t meant_ms; /* since then */
	int64_t on_ms;	  /* it was on since then */
	uint64_t holds;	  /* how often it was on, since the start */
	int64_t size;	  /* fields when there were some */
	/* Fields that were named since: a hash of each, and when. */
	uint64_t names[HOLD_NAMES_MAX];
	size_t name_count;
	int64_t named_ms;
};

/* The hash had `size` fields when a question that was sent at `sent_ms` was
 * answered, and `known` routes are known. May that answer be believed? */
bool hold_judge(struct hold *hold, int64_t size, size_t known,
		int64_t sent_ms) MUST_CHECK;

/* Somebody says that what the hash holds at `now_ms` is meant. */
void hold_flush(struct hold *hold, int64_t now_ms);

/* Somebody says that this field changed. */
void hold_name(struct hold *hold, struct span field, int64_t now_ms);

#endif
