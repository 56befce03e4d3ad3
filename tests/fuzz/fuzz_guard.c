/* SPDX-License-Identifier: MIT */
/*
 * fuzz_guard: the input is the rules of --allow-target and --deny-target, a
 * line each; those that begin with `!` deny. They are asked for the addresses
 * that matter, and for the first of each range.
 */
#include "fuzz.h"

#include "../../spoa/guard.h"

static const uint8_t places[][16] = {
	{127, 0, 0, 1},
	{169, 254, 169, 254},
	{0, 0, 0, 0},
	{255, 255, 255, 255},
	{[10] = 0xff, [11] = 0xff, [12] = 169, [13] = 254, [14] = 1},
	{0x00, 0x64, 0xff, 0x9b, [12] = 224, [15] = 1},
	{0xfe, 0x80, [15] = 1},
	{0xff, 0x02, [15] = 1},
	{[15] = 1},
};

/* A rule that refuses is one that was given, or a word of the guard's own. */
static void ask(const struct guard *guard, const uint8_t *address, size_t len,
		uint16_t port)
{
	static const struct guard none;
	struct span rule = {0}, unused;

	if (guard_allows(guard, address, len, port, &rule))
		return;
	MUST(rule.len > 0 && rule.p != NULL);
	if (guard->denied.count == 0)
		MUST(!guard_allows(&none, address, len, port, &unused));
}

static void ask_for_ranges(const struct guard *guard,
			   const struct guard_rules *rules)
{
	size_t i;

	MUST(rules->count <= GUARD_RANGES_MAX);
	for (i = 0; i < rules->count; i++) {
		const struct guard_range *range = &rules->ranges[i];

		MUST(range->first_port <= range->last_port);
		MUST(range->bits <= (range->is_ipv6 ? 128 : 32));
		ask(guard, range->address, range->is_ipv6 ? 16 : 4,
		    range->first_port);
		ask(guard, range->address, range->is_ipv6 ? 16 : 4,
		    range->last_port);
	}
}

static void add(struct guard *guard, const char *line)
{
	const char *problem = NULL;
	bool denies = *line == '!';
	struct guard_rules *rules = denies ? &guard->denied : &guard->allowed;
	size_t before = rules->count;

	if (guard_add(rules, line + denies, &problem))
		MUST(rules->count > before);
	else
		MUST(problem != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct guard guard;
	char *text = malloc(len + 1), *rest = text, *line;
	size_t i;

	MUST(text != NULL);
	if (len > 0)
		memcpy(text, bytes, len);
	text[len] = '\0';
	guard.allowed.count = guard.denied.count = 0;
	while ((line = strsep(&rest, "\n")) != NULL)
		add(&guard, line);
	for (i = 0; i < ARRAY_LEN(places); i++) {
		ask(&guard, places[i], 4, 80);
		ask(&guard, places[i], 16, 80);
	}
	ask_for_ranges(&guard, &guard.allowed);
	ask_for_ranges(&guard, &guard.denied);
	free(text);
	return 0;
}
