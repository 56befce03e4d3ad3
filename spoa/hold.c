/* SPDX-License-Identifier: MIT */
/*
 * hold: on while the hash is empty and should not be.
 */
#include "hold.h"

#include "log.h"

bool hold_judge(struct hold *hold, int64_t size, size_t known, int64_t sent_ms)
{
	if (size > 0) {
		/* What was asked before the word came says nothing of it. */
		if (sent_ms > hold->meant_ms)
			hold->is_meant = false;
		if (hold->is_on)
			log_warn("the hash has routes again",
				 log_text("key", hold->key),
				 log_number("fields", size));
		hold->is_on = false;
		return true;
	}
	if (hold->is_on)
		return false;
	if (hold->is_meant || known < HOLD_ROUTES_MIN)
		return true;
	hold->is_on = true;
	hold->holds++;
	log_error("the hash is suddenly empty: known routes are kept until it "
		  "is filled, or somebody publishes * that it is meant",
		  log_text("key", hold->key),
		  log_number("known", (int64_t)known));
	return false;
}

void hold_flush(struct hold *hold, int64_t now_ms)
{
	if (hold->is_on)
		log_warn("the empty hash is meant: known routes go",
			 log_text("key", hold->key));
	hold->is_on = false;
	hold->is_meant = true;
	hold->meant_ms = now_ms;
}
