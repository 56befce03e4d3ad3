/* SPDX-License-Identifier: MIT */
/*
 * routes: parses values into one room and keeps them in the cache as the flat
 * blocks that they are.
 */
#include "routes.h"

#include "balance.h"
#include "guard.h"

/* A route leaves the cache, and its targets' slots are free. */
static void release_slots(void *context, struct span field, void *value)
{
	const struct routes *routes = context;
	struct watch *watch = routes->options.watch;
	struct route *route = value;
	struct turn *turns = route_turns(route);
	size_t i;

	for (i = 0; turns && i < route->target_count; i++)
		if (turns[i].slot != 0)
			watch->release(watch, turns[i].slot, field);
}

void routes_init(struct routes *routes, const struct routes_options *options)
{
	routes->options = *options;
	if (options->watch)
		cache_set_forget(options->cache, release_slots, routes);
}

/* The route came into the cache, if there was memory: its targets get slots,
 * but those that take no requests. */
static void take_slots(struct routes *routes, struct span field)
{
	struct watch *watch = routes->options.watch;
	struct route *route = cache_find(routes->options.cache, field);
	struct turn *turns = route ? route_turns(route) : NULL;
	size_t i;

	if (!watch || !turns || route->check == ROUTE_CHECK_NONE)
		return;
	for (i = 0; i < route->target_count; i++)
		if (route->targets[i].weight > 0)
			turns[i].slot = watch->take(watch, field, route,
						    &route->targets[i]);
}

/* Is this what the cache holds of the field? */
static bool is_unchanged(struct routes *routes, struct span field,
			 const struct store_value *value)
{
	const struct route *known = cache_find(routes->options.cache, field);

	return known && known->error == ROUTE_GOOD &&
	       value->kind == STORE_VALUE &&
	       span_equal(route_text(known), value->text);
}

bool routes_keep(struct routes *routes, struct span host, struct span field,
		 const struct store_value *value, int64_t asked_ms,
		 uint32_t epoch)
{
	const struct routes_options *options = &routes->options;
	struct route *route = &routes->room.route;
	struct bad_route bad = {.host = host,
				.field = field,
				.text = value->text,
				.size = value->text.len,
				.column = 1};

	if (value->kind == STORE_NONE) {
		bool was_known = cache_find(options->cache, field) != NULL;

		cache_put(options->cache, field, NULL, 0, asked_ms, epoch);
		return was_known;
	}
	if (is_unchanged(routes, field, value)) {
		cache_renew(options->cache, field, asked_ms, epoch);
		return false;
	}
	if (value->kind == STORE_TOO_LARGE) {
		*route = (struct route){.error = ROUTE_TOO_LONG};
		bad.size = value->size;
		bad.error = ROUTE_TOO_LONG;
	} else {
		bad.error = route_parse(value->text, guard_allows,
					&routes->room, &bad.column);
	}
	if (bad.error != ROUTE_GOOD)
		options->bad_route(options->context, &bad);
	cache_put(options->cache, field, route, route_size(route), asked_ms,
		  epoch);
	take_slots(routes, field);
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
	if (route_parse(*text, guard_allows, &routes->room, &column) !=
	    ROUTE_GOOD)
		return;
	cache_restore(cache, field, route, route_size(route), now_ms, age_ms);
	take_slots(routes, field);
}

struct route *routes_find(struct routes *routes, struct span field)
{
	struct route *known = cache_find(routes->options.cache, field);

	return known ? known : &routes->room.route;
}

uint64_t routes_client(struct span client)
{
	/* No secret: all agents must send a client to the same target. */
	static const struct hash_secret open_secret = {0};
	uint64_t hash;

	if (client.len == 0)
		return 0;
	hash = hash_span(&open_secret, client);
	return hash ? hash : 1;
}

static uint8_t address_len(const struct target *target)
{
	return target->is_ipv6 ? 16 : 4;
}

void routes_fill(struct routes *routes, struct route *route, struct span field,
		 enum answer_source source, uint64_t client,
		 struct answer *answer)
{
	struct watch *watch = routes->options.watch;
	uint8_t *states = watch ? watch->states : NULL;
	struct choice choice;

	*answer = (struct answer){
		.status = ANSWER_BAD_ROUTE, .source = source, .route = field};
	if (route->error != ROUTE_GOOD)
		return;
	answer->status = ANSWER_DOWN;
	if (!balance_choose(route, states, client, &choice))
		return;
	answer->status = ANSWER_OK;
	answer->address = choice.first->address;
	answer->address_len = address_len(choice.first);
	answer->port = choice.first->port;
	answer->backend = route_backend(route);
	if (!choice.second)
		return;
	answer->address2 = choice.second->address;
	answer->address2_len = address_len(choice.second);
	answer->port2 = choice.second->port;
}
