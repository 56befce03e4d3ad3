/* SPDX-License-Identifier: MIT */
/*
 * bad_routes: a small table of what was said lately.
 */
#include "bad_routes.h"

#include "log.h"

enum { PERIOD_MS = 60 * 1000 };

void bad_routes_warn(struct bad_routes *self, int64_t now_ms, struct span host,
		     struct span field, struct span text,
		     enum route_error error, unsigned int column)
{
	uint64_t value = hash_span(&self->secret, field) * 31 +
			 hash_span(&self->secret, text) + error;
	size_t slot = value % BAD_ROUTES_SLOTS;

	if (self->slots[slot].value == value &&
	    now_ms < self->slots[slot].next_ms)
		return;
	self->slots[slot].value = value;
	self->slots[slot].next_ms = now_ms + PERIOD_MS;
	log_warn("route cannot be used", log_span("host", host),
		 log_span("field", field), log_span("value", text),
		 log_number("column", column),
		 log_text("error", route_error_text(error)));
}
