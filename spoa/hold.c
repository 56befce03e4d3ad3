/* SPDX-License-Identifier: MIT */
/*
 * hold: on while the hash is empty and should not be.
 */
#include "hold.h"

#include "hash.h"
#include "log.h"

enum { NAMED_MS = 1000 }; /* between a name and the loss that it explains */

/* What was named before there were fields says nothing of their end. */
static void take_size(struct hold *hold, int64_t size, int64_t sent_ms)
{
	if (sent_ms > hold->meant_ms)
		hold->is_meant = false;
	if (sent_ms > hold->named_ms)
		hold->name_count = 0;
	if (hold->is_on)
		log_warn("the hash has routes again",
			 log_text("key", hold->key),
			 log_number("fields", size));
	hold->is_on = false;
	hold->size = size;
}

/* Were those that are gone named, all of them or nearly so? */
static bool is_named(const struct hold *hold, size_t known, int64_t sent_ms)
{
	size_t names = hold->name_count;

	return names > 0 && sent_ms - hold->named_ms <= NAMED_MS &&
	       ((int64_t)names >= hold->size ||
		known < names + HOLD_ROUTES_MIN);
}

static void believe(struct hold *hold, const char *why, int64_t since_ms)
{
	if (hold->is_on)
		log_warn(why, log_text("key", hold->key));
	hold->is_on = false;
	hold->is_meant = true;
	hold->meant_ms = since_ms;
}

bool hold_judge(struct hold *hold, int64_t size, size_t known, int64_t sent_ms)
{
	if (size > 0) {
		take_size(hold, size, sent_ms);
		return true;
	}
	if (is_named(hold, known, sent_ms))
		believe(hold, "the empty hash is meant: what went was named",
			hold->named_ms);
	if (hold->is_on)
		return false;
	if (hold->is_meant || known < HOLD_ROUTES_MIN)
		return true;
	hold->is_on = true;
	hold->on_ms = sent_ms;
	hold->holds++;
	log_error("the hash is suddenly empty: known routes are kept until it "
		  "is filled, or somebody publishes * that it is meant",
		  log_text("key", hold->key),
		  log_number("known", (int64_t)known));
	return false;
}

void hold_flush(struct hold *hold, int64_t now_ms)
{
	believe(hold, "the empty hash is meant: known routes go", now_ms);
}

void hold_name(struct hold *hold, struct span field, int64_t now_ms)
{
	static const struct hash_secret none;
	uint64_t name = hash_span(&none, field);
	size_t i;

	if (hold->is_on && now_ms - hold->on_ms > NAMED_MS)
		return;
	if (now_ms - hold->named_ms > NAMED_MS)
		hold->name_count = 0;
	hold->named_ms = now_ms;
	for (i = 0; i < hold->name_count; i++)
		if (hold->names[i] == name)
			return;
	if (hold->name_count < HOLD_NAMES_MAX)
		hold->names[hold->name_count++] = name;
}
