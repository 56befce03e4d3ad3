/* SPDX-License-Identifier: MIT */
/*
 * balance: ranks the targets by their states, then lets those of the best rank
 * compete. Round robin is the smooth one of nginx: every turn a target comes
 * nearer by its weight, and the one that served goes back by the sum. `source`
 * is weighted rendezvous hashing: a target that comes or goes moves only the
 * clients that it wins or had won.
 */
#include "balance.h"

#include <math.h>

enum { NEVER = UINT8_MAX }; /* the rank of a target that takes no requests */

/* Which targets of a route may serve. */
struct ranking {
	struct turn *turns;
	uint8_t *states; /* NULL: all are up */
	uint8_t rank;	 /* of those that serve */
	bool is_backup;	 /* only the first backup of this rank serves */
	bool is_all;	 /* every target serves */
};

/* The two best so far. */
struct contest {
	struct choice choice;
	double first;
	double second;
};

static uint8_t rank_of(const struct target *target, const struct turn *turn,
		       const uint8_t *states)
{
	if (target->weight == 0)
		return NEVER;
	return states ? states[turn->slot] & BALANCE_RANK : BALANCE_UP;
}

/* The best rank of each kind, by is_backup; says of each state that it
 * matters. */
static void find_best(const struct route *route, struct ranking *ranking,
		      uint8_t best[2])
{
	uint8_t *states = ranking->states;
	size_t i;

	ranking->is_all = true;
	for (i = 0; i < route->target_count; i++) {
		const struct target *target = &route->targets[i];
		const struct turn *turn = &ranking->turns[i];
		uint8_t rank = rank_of(target, turn, states);

		if (rank < best[target->is_backup])
			best[target->is_backup] = rank;
		if (rank != BALANCE_UP || target->is_backup)
			ranking->is_all = false;
		if (states && turn->slot != 0 && rank != NEVER &&
		    !(states[turn->slot] & BALANCE_USED))
			states[turn->slot] |= BALANCE_USED;
	}
}

/* The best ranks decide which kind serves; false when none does. */
static bool rank_targets(struct route *route, struct ranking *ranking)
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

static bool serves(const struct route *route, const struct ranking *ranking,
		   size_t i)
{
	const struct target *target = &route->targets[i];

	return ranking->is_all || (target->is_backup == ranking->is_backup &&
				   rank_of(target, &ranking->turns[i],
					   ranking->states) == ranking->rank);
}

/* Lets a target compete with what is in `score`; of equals the earlier wins. */
static void compete(struct contest *contest, const struct target *target,
		    double score)
{
	struct choice *choice = &contest->choice;

	if (!choice->first || score > contest->first) {
		if (choice->first &&
		    !route_is_same_place(choice->first, target)) {
			choice->second = choice->first;
			contest->second = contest->first;
		}
		choice->first = target;
		contest->first = score;
	} else if ((!choice->second || score > contest->second) &&
		   !route_is_same_place(choice->first, target)) {
		choice->second = target;
		contest->second = score;
	}
}

static void take_turn(const struct route *route, const struct ranking *ranking,
		      struct contest *contest)
{
	struct turn *turns = ranking->turns;
	int32_t total = 0;
	size_t i;

	for (i = 0; i < route->target_count; i++) {
		const struct target *target = &route->targets[i];

		if (!serves(route, ranking, i))
			continue;
		turns[i].place += target->weight;
		total += target->weight;
		compete(contest, target, turns[i].place);
	}
	turns[contest->choice.first - route->targets].place -= total;
}

/* splitmix64's last step: every bit of the result depends on each of `n`. */
static uint64_t mix(uint64_t n)
{
	n = (n ^ n >> 30) * 0xbf58476d1ce4e5b9U;
	n = (n ^ n >> 27) * 0x94d049bb133111ebU;
	return n ^ n >> 31;
}

/* A number of client and target, the same wherever in a route it stands. */
static uint64_t draw(uint64_t client, const struct target *target)
{
	uint64_t half[2];

	memcpy(half, target->address, sizeof(half));
	return mix(mix(mix(client ^ half[0]) ^ half[1]) ^ target->port);
}

/* With equal weights the logarithm would change no order. */
static double draw_score(uint64_t client, const struct target *target,
			 bool is_even)
{
	/* 53 bits, as many as a double has; never 0 or 1 after scaling. */
	double drawn = (double)(draw(client, target) >> 11) + 0.5;

	return is_even ? drawn : target->weight / -log(drawn * 0x1p-53);
}

static void draw_lots(const struct route *route, const struct ranking *ranking,
		      uint64_t client, struct contest *contest)
{
	bool is_even = true;
	uint16_t weight = 0;
	size_t i;

	for (i = 0; i < route->target_count; i++) {
		if (!serves(route, ranking, i))
			continue;
		is_even = is_even &&
			  (weight == 0 || weight == route->targets[i].weight);
		weight = route->targets[i].weight;
	}
	for (i = 0; i < route->target_count; i++)
		if (serves(route, ranking, i))
			compete(contest, &route->targets[i],
				draw_score(client, &route->targets[i],
					   is_even));
}

static void take_first(const struct route *route, const struct ranking *ranking,
		       struct contest *contest)
{
	size_t i;

	for (i = 0; i < route->target_count; i++)
		if (serves(route, ranking, i))
			compete(contest, &route->targets[i], -(double)i);
}

/* When all that serves is at one place, the first backup that is as good. */
static const struct target *find_second(const struct route *route,
					const struct ranking *ranking,
					const struct target *first)
{
	size_t i;

	for (i = 0; i < route->target_count; i++)
		if (route->targets[i].is_backup &&
		    rank_of(&route->targets[i], &ranking->turns[i],
			    ranking->states) <= ranking->rank &&
		    !route_is_same_place(&route->targets[i], first))
			return &route->targets[i];
	return NULL;
}

/* Do all serve, and is it known of all that they matter? */
static bool all_serve(const struct route *route, const struct turn *turns,
		      const uint8_t *states)
{
	size_t i;

	for (i = 0; states && i < route->target_count; i++)
		if (turns[i].slot != 0 && states[turns[i].slot] != BALANCE_USED)
			return false;
	return true;
}

/* What take_turn does, for the common case that all serve. False when it would
 * name one place twice; nothing is changed then. */
static bool take_turn_of_all(const struct route *route, struct turn *turns,
			     struct choice *choice)
{
	const struct target *targets = route->targets;
	int32_t first_place = INT32_MIN;
	int32_t second_place = INT32_MIN;
	int32_t total = 0;
	size_t first = 0;
	size_t second = 0;
	size_t i;

	for (i = 0; i < route->target_count; i++) {
		int32_t place = turns[i].place + targets[i].weight;

		total += targets[i].weight;
		if (place > first_place) {
			second = first;
			second_place = first_place;
			first = i;
			first_place = place;
		} else if (place > second_place) {
			second = i;
			second_place = place;
		}
	}
	if (route_is_same_place(&targets[first], &targets[second]))
		return false;
	for (i = 0; i < route->target_count; i++)
		turns[i].place += targets[i].weight;
	turns[first].place -= total;
	*choice = (struct choice){&targets[first], &targets[second]};
	return true;
}

bool balance_choose(struct route *route, uint8_t *states, uint64_t client,
		    struct choice *choice)
{
	struct contest contest = {0};
	struct ranking ranking = {.turns = route_turns(route),
				  .states = states};

	*choice = (struct choice){0};
	if (route->is_plain) {
		choice->first = &route->targets[0];
		return true;
	}
	if (route->is_uniform && route->target_count > 1 &&
	    route->balance == ROUTE_ROUNDROBIN &&
	    all_serve(route, ranking.turns, states) &&
	    take_turn_of_all(route, ranking.turns, choice))
		return true;
	if (!route->has_turns || !rank_targets(route, &ranking))
		return false;
	if (ranking.is_backup || route->balance == ROUTE_FIRST)
		take_first(route, &ranking, &contest);
	else if (route->balance == ROUTE_SOURCE && client != 0)
		draw_lots(route, &ranking, client, &contest);
	else
		take_turn(route, &ranking, &contest);
	*choice = contest.choice;
	if (!choice->second)
		choice->second = find_second(route, &ranking, choice->first);
	return true;
}
