/* SPDX-License-Identifier: MIT */
/*
 * bad_routes: a small table of what was said lately.
 */
#include "bad_routes.h"

#include "log.h"

enum { PERIOD_MS = 60 * 1000 };

void bad_routes_warn(struct bad_routes *self, int64_t now_ms,
		     const struct bad_route *bad)
{
	uint64_t value = hash_span(&self->secret, bad->field) * 31 +
			 hash_span(&self->secret, bad->text) + bad->size;
	size_t slot = value % BAD_ROUTES_SLOTS;

	if (self->slots[slot].value == value &&
	    now_ms < self->slots[slot].next_ms)
		return;
	self->slots[slot].value = value;
	self->slots[slot].next_ms = now_ms + PERIOD_MS;
	log_warn(bad->is_partial ? "addresses of a name may not be targets"
				 : "route cannot be used",
		 log_span("host", bad->host), log_span("field", bad->field),
		 log_span("value", bad->text),
		 log_number("size", (int64_t)bad->size),
		 log_number("column", bad->column),
		 log_text("error", route_error_text(bad->error)),
		 log_span(bad->rule.len > 0 ? "rule" : NULL, bad->rule));
}
