/* SPDX-License-Identifier: MIT */
/*
 * away: a store that cannot be asked, for targets whose resolver learns in
 * other ways.
 */
#ifndef TESTS_FUZZ_AWAY_H
#define TESTS_FUZZ_AWAY_H

#include "../../spoa/store.h"

static inline bool away_ask(struct store *store, struct lookup *lookup,
			    int64_t now_ms)
{
	(void)store;
	(void)lookup;
	(void)now_ms;
	return false;
}

static inline bool away_is_up(struct store *store, int64_t now_ms)
{
	(void)store;
	(void)now_ms;
	return false;
}

#define STORE_AWAY ((struct store){.ask = away_ask, .is_up = away_is_up})

#endif
