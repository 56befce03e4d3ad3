/* SPDX-License-Identifier: MIT */
/*
 * fuzz_route: the input is the value of a field. A good route is what its own
 * text gives again; a bad one has no targets and says where it went wrong.
 */
#include "fuzz.h"

#include "../../spoa/guard.h"
#include "../../spoa/route.h"

static void check_good(const struct route *route)
{
	static union route_room again;
	struct span backend = route_backend(route);
	unsigned int column;
	size_t i;

	MUST(route->target_count >= 1);
	MUST(route->target_count <= ROUTE_TARGETS_MAX);
	MUST(backend.len <= ROUTE_BACKEND_MAX);
	for (i = 0; i < route->target_count; i++) {
		const struct target *target = &route->targets[i];

		MUST(target->port > 0 && target->weight <= ROUTE_WEIGHT_MAX);
		MUST(guard_allows(target->address, target->is_ipv6 ? 16 : 4));
	}
	MUST(route_parse(route_text(route), guard_allows, &again, &column) ==
	     ROUTE_GOOD);
	MUST(route_size(&again.route) == route_size(route));
	MUST(!memcmp(&again.route, route, route_size(route)));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static union route_room room;
	struct span text = {(const char *)bytes, len};
	unsigned int column = 0;
	enum route_error error =
		route_parse(text, guard_allows, &room, &column);

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
