/* SPDX-License-Identifier: MIT */
/*
 * explain: the candidates are looked at anew, after the answer; looking does
 * not count as use.
 */
#include "explain.h"

#include <stdio.h>

#include "balance.h"
#include "host.h"
#include "route.h"

static const char *const state_names[] = {[CACHE_UNKNOWN] = "unknown",
					  [CACHE_FRESH] = "fresh",
					  [CACHE_STALE] = "stale"};

static const char *const reasons[ANSWER_STATUSES] = {
	[ANSWER_OK] = "the first candidate that has a route",
	[ANSWER_NOT_FOUND] = "no candidate has a route",
	[ANSWER_BAD_HOST] = "this cannot be a host",
	[ANSWER_BAD_ROUTE] = "the value breaks the grammar or the guard",
	[ANSWER_DOWN] = "no target of the route takes requests",
	[ANSWER_UNAVAILABLE] = "Redis cannot be asked, and too little is known",
};

static void put_address(struct json *json, const char *key,
			const uint8_t *address, bool is_ipv6, uint16_t port)
{
	char place[ROUTE_PLACE_MAX];

	route_print_place(address, is_ipv6, port, place);
	json_text(json, key, span_of(place));
}

const char *explain_status(enum answer_status status)
{
	return reasons[status];
}

const char *explain_state(enum cache_state state)
{
	return state_names[state];
}

const char *explain_target(const struct view *view, uint32_t slot)
{
	uint8_t state = BALANCE_UP;

	if (view->watch && slot > 0)
		state = view->watch->states[slot] & BALANCE_RANK;
	if (slot == 0)
		return "unwatched";
	if (state == BALANCE_DOUBTED)
		return "doubted";
	return state == BALANCE_UP ? "up" : "down";
}

static void put_targets(const struct view *view, struct route *route,
			struct json *json)
{
	const uint32_t *slots = route_slots(route);
	size_t i;

	json_open(json, "targets", '[');
	for (i = 0; i < route->target_count; i++) {
		const struct target *target = &route->targets[i];

		json_open(json, NULL, '{');
		put_address(json, "target", target->address, target->is_ipv6,
			    target->port);
		json_number(json, "weight", target->weight);
		json_bool(json, "backup", target->is_backup);
		json_text(json, "state",
			  span_of(explain_target(view, slots ? slots[i] : 0)));
		json_close(json, '}');
	}
	json_close(json, ']');
}

static void put_route(const struct view *view, struct route *route,
		      struct json *json)
{
	json_text(json, "value", route_text(route));
	if (route->error != ROUTE_GOOD)
		json_text(json, "error",
			  span_of(route_error_text(route->error)));
	if (route->has_unresolved)
		json_bool(json, "unresolved", true);
	put_targets(view, route, json);
}

void explain_field(const struct view *view, const struct cache_look *look,
		   struct json *json)
{
	json_open(json, NULL, '{');
	json_text(json, "field", look->field);
	json_text(json, "state", span_of(state_names[look->state]));
	if (look->state != CACHE_UNKNOWN) {
		json_bool(json, "present", look->value != NULL);
		json_number(json, "age_ms", look->age_ms);
		json_number(json, "left_ms", look->left_ms);
		json_number(json, "uses", look->uses);
	}
	if (look->state != CACHE_UNKNOWN && look->value)
		put_route(view, look->value, json);
	json_close(json, '}');
}

static void put_candidates(const struct view *view, const struct host *host,
			   struct json *json)
{
	int64_t now_ms = loop_now(view->loop);
	struct host_candidates candidates;
	struct host_field room;
	struct cache_look look;
	size_t i;

	host_list_candidates(host, &candidates);
	for (i = 0; i < candidates.count; i++) {
		struct span field = host_candidate(host, &candidates, i, &room);

		if (!cache_look_at(view->cache, field, now_ms, &look))
			look = (struct cache_look){.field = field};
		explain_field(view, &look, json);
	}
}

static void put_answer(const struct answer *answer, struct json *json)
{
	json_text(json, "status", span_of(answer_status_name(answer->status)));
	json_text(json, "source", span_of(answer_source_name(answer->source)));
	json_text(json, "why", span_of(reasons[answer->status]));
	if (answer->route.len > 0)
		json_text(json, "route", answer->route);
	if (answer->status == ANSWER_OK)
		put_address(json, "target", answer->address,
			    answer->address_len == 16, answer->port);
	if (answer->status == ANSWER_OK && answer->address2_len > 0)
		put_address(json, "second", answer->address2,
			    answer->address2_len == 16, answer->port2);
	if (answer->backend.len > 0)
		json_text(json, "backend", answer->backend);
}

void explain_write(const struct view *view, struct span asked,
		   const struct answer *answer, FILE *out)
{
	struct json json = {.out = out};
	struct host host;
	bool is_host = host_normalise(asked, &host);

	json_open(&json, NULL, '{');
	json_text(&json, "asked", asked);
	if (is_host)
		json_text(&json, "host", host_span(&host));
	put_answer(answer, &json);
	json_open(&json, "candidates", '[');
	if (is_host)
		put_candidates(view, &host, &json);
	json_close(&json, ']');
	json_close(&json, '}');
	fputc('\n', out);
}
