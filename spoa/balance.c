/* SPDX-License-Identifier: MIT */
/*
 * balance: ranks the targets by their states; those of the best rank serve, by
 * the plan. Each has as many turns in a row as its weight, and they are taken
 * in strides of the golden ratio: each turn comes once a round, and what has a
 * larger weight does not come all at once. `source` is weighted rendezvous
 * hashing: a target that comes or goes moves only the clients that it wins or
 * had won.
 */
#include "balance.h"

#include <endian.h>
#include <math.h>

enum { NEVER = UINT8_MAX }; /* the rank of a target that takes no requests */

/* Later than all; the number in it is 0, which is somebody's. */
static const uint64_t NO_LOT = ~(uint64_t)UINT8_MAX;

_Static_assert(ROUTE_TARGETS_MAX <= UINT8_MAX + 1, "a number is a byte");

/* Which targets of a route may serve. */
struct ranking {
	const uint32_t *slots;
	uint8_t *states; /* NULL: all are up */
	uint8_t rank;	 /* of those that serve */
	bool is_backup;	 /* only the first backup of this rank serves */
};

/* The two that came first so far, by their numbers among those that serve. */
struct contest {
	size_t first;
	size_t second;
	uint64_t first_time;
	uint64_t second_time;
};

static uint8_t rank_of(const struct route *route, const struct ranking *ranking,
		       size_t i)
{
	if (route->targets[i].weight == 0)
		return NEVER;
	if (!ranking->states)
		return BALANCE_UP;
	return ranking->states[ranking->slots[i]] & BALANCE_RANK;
}

/* The best rank of each kind, by is_backup; says of each state that it
 * matters. */
static void find_best(const struct route *route, struct ranking *ranking,
		      uint8_t best[2])
{
	size_t i;

	for (i = 0; i < route->target_count; i++) {
		bool is_backup = route->targets[i].is_backup;
		uint8_t rank = rank_of(route, ranking, i);

		if (rank < best[is_backup])
			best[is_backup] = rank;
		if (ranking->states && ranking->slots[i] != 0 && rank != NEVER)
			ranking->states[ranking->slots[i]] |= BALANCE_USED;
	}
}

/* The best ranks decide which kind serves; false when none does. */
static bool rank_targets(const struct route *route, struct ranking *ranking)
{
	bool is_checked = route->check == ROUTE_CHECK_TCP ||
			  route->check == ROUTE_CHECK_HTTP;
	uint8_t best[2] = {NEVER, NEVER};

	find_best(route, ranking, best);
	ranking->is_backup = best[0] > BALANCE_UP &&
			     (best[1] == BALANCE_UP || best[0] == NEVER);
	ranking->rank = best[ranking->is_backup];
	return ranking->rank < BALANCE_DOWN ||
	       (ranking->rank != NEVER && !is_checked);
}

/* Without a common divisor with `total`, so that all turns come; and near the
 * golden ratio of it, so that no target's come all at once. */
static uint32_t find_step(uint32_t total)
{
	uint32_t step = (uint32_t)(total * 0.618);

	for (;; step++) {
		uint32_t a = total;
		uint32_t b = step;

		while (b != 0) {
			uint32_t rest = a % b;

			a = b;
			b = rest;
		}
		if (a == 1)
			return step;
	}
}

/* splitmix64's last step: every bit of the result depends on each of `n`. */
static uint64_t mix(uint64_t n)
{
	n = (n ^ n >> 30) * 0xbf58476d1ce4e5b9U;
	n = (n ^ n >> 27) * 0x94d049bb133111ebU;
	return n ^ n >> 31;
}

/* Eight bytes as a number that is the same on every machine. */
static uint64_t get_word(const void *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return le64toh(word);
}

/* Up to eight bytes: the first four and the last four hold them all, and an
 * IPv4 address, the common case, is both. */
static uint64_t get_rest(struct span text)
{
	uint32_t first, last;
	uint64_t word = 0;

	if (text.len < sizeof(first)) {
		while (text.len > 0)
			word = word << 8 | (uint8_t)text.p[--text.len];
		return word;
	}
	memcpy(&first, text.p, sizeof(first));
	memcpy(&last, text.p + text.len - sizeof(last), sizeof(last));
	return (uint64_t)le32toh(last) << 32 | le32toh(first);
}

/* The same wherever in a route the target stands. */
static struct mark make_mark(const struct target *target)
{
	uint64_t hash = mix(get_word(target->address));
	struct mark mark;

	hash = mix(hash ^ get_word(target->address + 8));
	hash = mix(hash ^ target->port);
	memcpy(&mark, &hash, sizeof(mark));
	return mark;
}

/* Gives those that serve their turns, in order; of equal weights one each. */
static void share_turns(struct route *route, const struct ranking *ranking)
{
	struct plan *plan = route_plan(route);
	struct share *shares = route_shares(route);
	struct mark *marks = route_marks(route);
	size_t i;

	plan->is_even = plan->is_one_place = true;
	plan->count = 0;
	plan->total = 0;
	for (i = 0; i < route->target_count; i++) {
		const struct target *target = &route->targets[i];
		const struct target *first;

		if (target->is_backup != ranking->is_backup ||
		    rank_of(route, ranking, i) != ranking->rank)
			continue;
		plan->total += target->weight;
		shares[plan->count].target = (uint16_t)i;
		shares[plan->count].last = (uint16_t)(plan->total - 1);
		if (marks)
			marks[plan->count] = make_mark(target);
		first = &route->targets[shares[0].target];
		plan->is_even &= target->weight == first->weight;
		plan->is_one_place &= route_is_same_place(target, first);
		plan->count++;
	}
	if (plan->is_even)
		plan->total = plan->count;
}

/* When all that serves is at one place, the first backup that is as good. */
static uint16_t find_spare(struct route *route, const struct ranking *ranking)
{
	const struct target *first =
		&route->targets[route_shares(route)[0].target];
	size_t i;

	for (i = 0; i < route->target_count; i++)
		if (route->targets[i].is_backup &&
		    rank_of(route, ranking, i) <= ranking->rank &&
		    !route_is_same_place(&route->targets[i], first))
			return (uint16_t)(i + 1);
	return 0;
}

/* Turns go on from where they were. */
static void make_plan(struct route *route, uint8_t *states, uint32_t version)
{
	struct plan *plan = route_plan(route);
	struct ranking ranking = {.slots = route_slots(route),
				  .states = states};

	plan->version = version;
	plan->count = 0;
	if (!rank_targets(route, &ranking))
		return;
	share_turns(route, &ranking);
	plan->spare = plan->is_one_place ? find_spare(route, &ranking) : 0;
	if (ranking.is_backup || route->balance == ROUTE_FIRST)
		plan->step = plan->turn = 0;
	else
		plan->step = plan->is_even ? 1 : find_step(plan->total);
	plan->turn %= plan->total;
}

/* Whose turn it is, by its number among those that serve. */
static size_t find_turn(const struct plan *plan, const struct share *shares,
			uint32_t turn)
{
	size_t low = 0;
	size_t high = plan->count - (size_t)1;

	if (plan->is_even)
		return turn;
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (shares[middle].last < turn)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void take_turn(struct route *route, struct choice *choice)
{
	struct plan *plan = route_plan(route);
	const struct share *shares = route_shares(route);
	size_t k = find_turn(plan, shares, plan->turn);

	plan->turn += plan->step;
	if (plan->turn >= plan->total)
		plan->turn -= plan->total;
	choice->first = &route->targets[shares[k].target];
	if (plan->is_one_place)
		return;
	do {
		k = k + 1 < plan->count ? k + 1 : 0;
		choice->second = &route->targets[shares[k].target];
	} while (route_is_same_place(choice->first, choice->second));
}

/* When a target comes for a client: at random, but always the same. */
static uint64_t draw(uint64_t client, const struct mark *mark)
{
	uint64_t hash;

	memcpy(&hash, mark, sizeof(hash));
	hash = (hash ^ client) * 0xbf58476d1ce4e5b9U;
	return (hash ^ hash >> 32) * 0x94d049bb133111ebU;
}

/* Marks are equal only of targets at one place: they are no two choices. */
static void compete(struct contest *contest, const struct mark *marks, size_t k,
		    uint64_t time)
{
	bool is_other =
		memcmp(&marks[k], &marks[contest->first], sizeof(*marks)) != 0;

	if (time < contest->first_time) {
		if (is_other) {
			contest->second = contest->first;
			contest->second_time = contest->first_time;
		}
		contest->first = k;
		contest->first_time = time;
	} else if (is_other) {
		contest->second = k;
		contest->second_time = time;
	}
}

/* The number of a target is the last byte of its lot, so that the least and the
 * next one say it all: who comes first is at random, and no processor could
 * foresee a branch on that. Targets at one place draw the same lots. */
static void draw_evenly(const struct plan *plan, const struct mark *marks,
			uint64_t client, struct contest *contest)
{
	uint64_t first = NO_LOT;
	uint64_t second = NO_LOT;
	size_t k;

	for (k = 0; k < plan->count; k++) {
		uint64_t lot = draw(client, &marks[k]) >> 9 << 8 | k;
		uint64_t later = lot > first ? lot : first;

		if ((lot ^ first) >> 8 == 0)
			continue;
		first = lot < first ? lot : first;
		second = later < second ? later : second;
	}
	contest->first = first & UINT8_MAX;
	contest->second = second & UINT8_MAX;
}

/* With exponential times, the shorter the larger a weight, shares are as the
 * weights. The logarithm makes a time longer: what is too late before it need
 * not take it. */
static void draw_by_weight(const struct route *route, const struct plan *plan,
			   const struct share *shares, const struct mark *marks,
			   uint64_t client, struct contest *contest)
{
	size_t k;

	for (k = 0; k < plan->count; k++) {
		unsigned int weight = route->targets[shares[k].target].weight;
		uint64_t drawn = draw(client, &marks[k]) >> 12;
		uint64_t time = drawn / weight;

		if (time >= contest->second_time)
			continue;
		time = (uint64_t)(-log(1 - (double)drawn * 0x1p-52) / weight *
				  0x1p52);
		if (time < contest->second_time)
			compete(contest, marks, k, time);
	}
}

static void draw_lots(struct route *route, uint64_t client,
		      struct choice *choice)
{
	const struct plan *plan = route_plan(route);
	const struct share *shares = route_shares(route);
	const struct mark *marks = route_marks(route);
	struct contest contest = {.first_time = UINT64_MAX,
				  .second_time = UINT64_MAX};

	if (plan->is_even)
		draw_evenly(plan, marks, client, &contest);
	else
		draw_by_weight(route, plan, shares, marks, client, &contest);
	choice->first = &route->targets[shares[contest.first].target];
	if (!plan->is_one_place)
		choice->second = &route->targets[shares[contest.second].target];
}

bool balance_choose(struct route *route, uint8_t *states, uint32_t version,
		    uint64_t client, struct choice *choice)
{
	struct plan *plan = route_plan(route);

	*choice = (struct choice){0};
	if (route->is_plain) {
		choice->first = &route->targets[0];
		return true;
	}
	if (!plan)
		return false;
	if (plan->version != version)
		make_plan(route, states, version);
	if (plan->count == 0)
		return false;
	if (route->balance == ROUTE_SOURCE && client != 0 && plan->step != 0)
		draw_lots(route, client, choice);
	else
		take_turn(route, choice);
	if (plan->spare != 0)
		choice->second = &route->targets[plan->spare - 1];
	return true;
}

uint64_t balance_client(struct span client)
{
	uint64_t hash = client.len;

	if (client.len == 0)
		return 0;
	for (; client.len > 8; client.p += 8, client.len -= 8)
		hash = mix(hash ^ get_word(client.p));
	hash = mix(hash ^ get_rest(client));
	return hash ? hash : 1;
}
