/* SPDX-License-Identifier: MIT */
/*
 * fuzz_route: the input is the value of a field. A good route is what its own
 * text gives again; a bad one has no targets and says where it went wrong.
 */
#include "fuzz.h"

#include "../../spoa/guard.h"
#include "../../spoa/route.h"

/* Names have as many addresses as their first byte says, up to 7. */
static void look_up(void *context, struct span name, struct name_state *state)
{
	static struct address addresses[7];
	size_t i;

	(void)context;
	MUST(name.len > 0 && name.len <= 254);
	for (i = 0; i < ARRAY_LEN(addresses); i++) {
		addresses[i].bytes[0] = (uint8_t)(224 - i);
		addresses[i].is_ipv6 = i & 1;
	}
	*state = (struct name_state){.ref = {1, 1},
				     .addresses = addresses,
				     .count = (size_t)name.p[0] & 7,
				     .is_pending = name.p[0] & 8};
}

static bool allows(void *context, const struct target *target)
{
	static const struct guard guard;
	struct span rule;

	(void)context;
	return guard_allows(&guard, target->address, target->is_ipv6 ? 16 : 4,
			    target->port, &rule);
}

static const struct route_reader reader = {allows, look_up, NULL};

static void check_good(const struct route *route)
{
	static union route_room again;
	struct span backend = route_backend(route);
	char place[ROUTE_PLACE_MAX];
	unsigned int column;
	size_t i;

	MUST(route->target_count + route->name_count >= 1);
	MUST(route->name_count <= ROUTE_TARGETS_MAX);
	MUST(route->target_count <= ROUTE_TARGETS_MAX);
	MUST(backend.len <= ROUTE_BACKEND_MAX);
	for (i = 0; i < route->target_count; i++) {
		const struct target *target = &route->targets[i];

		MUST(target->port > 0 && target->weight <= ROUTE_WEIGHT_MAX);
		MUST(allows(NULL, target));
		route_print_place(target->address, target->is_ipv6,
				  target->port, place);
		MUST(strlen(place) < sizeof(place));
	}
	MUST(route_path(route).len == 0 || *route_path(route).p == '/');
	for (i = 0; i < route->name_count; i++)
		MUST(route_names(route)[i].slot == 1);
	MUST(route_parse(route_text(route), &reader, &again, &column) ==
	     ROUTE_GOOD);
	MUST(route_size(&again.route) == route_size(route));
	MUST(!memcmp(&again.route, route, route_size(route)));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static union route_room room;
	struct span text = {(const char *)bytes, len};
	unsigned int column = 0;
	enum route_error error = route_parse(text, &reader, &room, &column);

	MUST(error == room.route.error);
	MUST(route_size(&room.route) <= sizeof(room));
	if (len <= ROUTE_TEXT_MAX)
		MUST(span_equal(route_text(&room.route), text));
	if (error == ROUTE_GOOD) {
		check_good(&room.route);
		return 0;
	}
	MUST(column >= 1 && column <= len + 1);
	MUST(room.route.target_count == 0);
	MUST(route_backend(&room.route).len == 0);
	MUST(route_error_text(error) != NULL);
	return 0;
}
