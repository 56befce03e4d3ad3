/* SPDX-License-Identifier: MIT */
/*
 * routes: parses values into one room and keeps them in the cache as the flat
 * blocks that they are.
 */
#include "routes.h"

#include "balance.h"

static void release_slots(struct routes *routes, struct span field,
			  struct route *route)
{
	struct watch *watch = routes->options.watch;
	uint32_t *slots = route_slots(route);
	size_t i;

	for (i = 0; slots && i < route->target_count; i++) {
		if (slots[i] != 0)
			watch->release(watch, slots[i], field);
		slots[i] = 0;
	}
}

/* A route leaves the cache. */
static void forget_route(void *context, struct span field, void *value)
{
	release_slots(context, field, value);
}

static bool allows(void *context, const struct target *target)
{
	static const struct guard no_rules;
	struct routes *routes = context;
	const struct guard *guard = routes->options.guard;

	if (guard_allows(guard ? guard : &no_rules, target->address,
			 target->is_ipv6 ? 16 : 4, target->port, &routes->rule))
		return true;
	routes->counters.denied++;
	return false;
}

static void look_up(void *context, struct span name, struct name_state *state)
{
	struct routes *routes = context;
	struct dns *dns = routes->options.dns;

	dns->look_up(dns, name, routes->is_asked, state);
}

void routes_init(struct routes *routes, const struct routes_options *options)
{
	*routes = (struct routes){.options = *options};
	routes->reader =
		(struct route_reader){.allows = allows,
				      .look_up = options->dns ? look_up : NULL,
				      .context = routes};
	if (options->watch)
		cache_set_forget(options->cache, forget_route, routes);
}

/* A route that may lose targets to a check takes a slot for each, but those
 * that take no requests. A single one is only checked when that is written. */
static void take_slots(struct routes *routes, struct span field,
		       struct route *route)
{
	struct watch *watch = routes->options.watch;
	uint32_t *slots = route_slots(route);
	size_t i;

	if (!watch || !slots || route->check == ROUTE_CHECK_NONE ||
	    (route->target_count == 1 && route->check == ROUTE_CHECK_DEFAULT))
		return;
	for (i = 0; i < route->target_count; i++)
		if (route->targets[i].weight > 0)
			slots[i] = watch->take(watch, field, route,
					       &route->targets[i]);
}

/* What is in `room` takes its slots before what the cache holds loses them:
 * what is known of a target that stays is kept. Turns go on where they were. */
static void prepare_route(struct routes *routes, struct span field)
{
	struct route *old = cache_find(routes->options.cache, field);
	struct route *route = &routes->room.route;

	route->rules = routes->rules;
	take_slots(routes, field, route);
	if (old && old->has_plan && route->has_plan)
		route_plan(route)->turn = route_plan(old)->turn;
}

/* If the cache had no memory for it, the route in `room` has no slots. */
static void settle_slots(struct routes *routes, struct span field)
{
	if (!cache_find(routes->options.cache, field))
		release_slots(routes, field, &routes->room.route);
}

/* Is this what the cache holds of the field? */
static bool is_unchanged(struct routes *routes, struct span field,
			 const struct store_value *value)
{
	const struct route *known = cache_find(routes->options.cache, field);

	return known && known->error == ROUTE_GOOD &&
	       known->rules == routes->rules && value->kind == STORE_VALUE &&
	       span_equal(route_text(known), value->text);
}

/* Says that a value cannot be used, or not all of it. */
static void report(struct routes *routes, struct bad_route *bad)
{
	const struct routes_options *options = &routes->options;

	bad->is_partial = bad->error == ROUTE_GOOD;
	if (bad->is_partial)
		bad->error = ROUTE_FORBIDDEN;
	if (bad->error == ROUTE_FORBIDDEN)
		bad->rule = routes->rule;
	routes->counters.bad += !bad->is_partial;
	options->bad_route(options->context, bad);
}

/* Reads a value into `room`. */
static void read_value(struct routes *routes, struct span host,
		       struct span field, const struct store_value *value)
{
	struct route *route = &routes->room.route;
	struct bad_route bad = {.host = host,
				.field = field,
				.text = value->text,
				.size = value->text.len,
				.column = 1};

	if (value->kind == STORE_TOO_LARGE) {
		*route = (struct route){.error = ROUTE_TOO_LONG};
		bad.size = value->size;
		bad.error = ROUTE_TOO_LONG;
	} else {
		bad.error = route_parse(value->text, &routes->reader,
					&routes->room, &bad.column);
	}
	if (bad.error != ROUTE_GOOD || route->has_denied)
		report(routes, &bad);
}

bool routes_keep(struct routes *routes, struct span host, struct span field,
		 const struct store_value *value, int64_t asked_ms,
		 uint32_t epoch)
{
	struct cache *cache = routes->options.cache;
	struct route *route = &routes->room.route;

	if (value->kind == STORE_NONE) {
		bool was_known = cache_find(cache, field) != NULL;

		cache_put(cache, field, NULL, 0, asked_ms, epoch);
		return was_known;
	}
	if (is_unchanged(routes, field, value)) {
		cache_renew(cache, field, asked_ms, epoch);
		return false;
	}
	read_value(routes, host, field, value);
	prepare_route(routes, field);
	cache_put(cache, field, route, route_size(route), asked_ms, epoch);
	settle_slots(routes, field);
	return true;
}

void routes_restore(struct routes *routes, struct span field,
		    const struct span *text, int64_t age_ms, int64_t now_ms)
{
	struct cache *cache = routes->options.cache;
	struct route *route = &routes->room.route;
	unsigned int column;

	if (!text) {
		cache_restore(cache, field, NULL, 0, now_ms, age_ms);
		return;
	}
	if (route_parse(*text, &routes->reader, &routes->room, &column) !=
	    ROUTE_GOOD)
		return;
	prepare_route(routes, field);
	cache_restore(cache, field, route, route_size(route), now_ms, age_ms);
	settle_slots(routes, field);
}

/* Are the addresses of the names those of now? */
static bool is_current(const struct routes *routes, const struct route *route)
{
	const struct dns *dns = routes->options.dns;
	const struct name_ref *refs = route_names(route);
	bool is_current = true;
	size_t i;

	for (i = 0; dns && i < route->name_count; i++) {
		dns->used[refs[i].slot] = 1;
		if (dns->versions[refs[i].slot] != refs[i].version)
			is_current = false;
	}
	return is_current;
}

bool routes_is_settled(struct routes *routes, const struct route *route)
{
	return route->rules == routes->rules &&
	       (route->name_count == 0 ||
		(!route->is_pending && is_current(routes, route)));
}

/* Makes the route anew out of its own text. */
static struct route *read_again(struct routes *routes, struct span field,
				const struct route *route)
{
	struct store_value value = {.text = route_text(route)};
	struct route *fresh = &routes->room.route;

	routes->is_asked = true;
	read_value(routes, field, field, &value);
	routes->is_asked = false;
	prepare_route(routes, field);
	cache_replace(routes->options.cache, field, fresh, route_size(fresh));
	settle_slots(routes, field);
	return routes_find(routes, field);
}

struct route *routes_settle(struct routes *routes, struct span field,
			    struct route *route)
{
	if (route->name_count == 0 || is_current(routes, route))
		return route;
	routes->counters.renamings++;
	return read_again(routes, field, route);
}

void routes_change_guard(struct routes *routes)
{
	routes->rules++;
}

struct route *routes_judge(struct routes *routes, struct span field,
			   struct route *route)
{
	/* What could not be used is not used until it was read again. */
	if (route->rules == routes->rules || route->error != ROUTE_GOOD)
		return route;
	return read_again(routes, field, route);
}

struct route *routes_find(struct routes *routes, struct span field)
{
	struct route *known = cache_find(routes->options.cache, field);

	return known ? known : &routes->room.route;
}

uint64_t routes_client(struct span client)
{
	return balance_client(client);
}

static uint8_t address_len(const struct target *target)
{
	return target->is_ipv6 ? 16 : 4;
}

/* Nothing serves: has it no address at all, none that is allowed, or none that
 * takes requests? */
static void fill_nothing(struct routes *routes, const struct route *route,
			 struct answer *answer)
{
	if (route->has_unresolved) {
		routes->counters.unresolved++;
		*answer = (struct answer){.status = ANSWER_UNAVAILABLE,
					  .source = ANSWER_FROM_NONE};
	} else {
		answer->status = route->target_count > 0 ? ANSWER_DOWN
							 : ANSWER_BAD_ROUTE;
	}
}

static inline void fill_first(const struct route *route,
			      const struct target *first, struct answer *answer)
{
	answer->status = ANSWER_OK;
	answer->address = first->address;
	answer->address_len = address_len(first);
	answer->port = first->port;
	if (route->backend_at != 0)
		answer->backend = route_backend(route);
}

/* Of several targets, or of one that may be down. */
APART static void fill_choice(struct routes *routes, struct route *route,
			      uint64_t client, struct answer *answer)
{
	struct watch *watch = routes->options.watch;
	uint8_t *states = watch ? watch->states : NULL;
	uint32_t version = watch ? *watch->version : 1;
	struct choice choice;

	if (!balance_choose(route, states, version, client, &choice)) {
		fill_nothing(routes, route, answer);
		return;
	}
	fill_first(route, choice.first, answer);
	if (!choice.second)
		return;
	answer->address2 = choice.second->address;
	answer->address2_len = address_len(choice.second);
	answer->port2 = choice.second->port;
}

void routes_fill(struct routes *routes, struct route *route, struct span field,
		 enum answer_source source, uint64_t client,
		 struct answer *answer)
{
	*answer = (struct answer){
		.status = ANSWER_BAD_ROUTE, .source = source, .route = field};
	if (route->is_plain)
		fill_first(route, &route->targets[0], answer);
	else if (route->error == ROUTE_GOOD)
		fill_choice(routes, route, client, answer);
}
