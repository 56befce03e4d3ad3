/* SPDX-License-Identifier: MIT */
/*
 * events: words for what happened to a target.
 */
#include "events.h"

#include <stdio.h>
#include <stdlib.h>

#include "json.h"
#include "log.h"
#include "route.h"

enum { CHANNEL_MAX = 1024 };

static const char *const event_words[] = {
	[HEALTH_UP] = "up",
	[HEALTH_DOWN] = "down",
	[HEALTH_GONE] = "gone",
};

static void write_line(const struct health_change *change, const char *place)
{
	bool is_http = change->target.path.len > 0;
	struct span host =
		change->field_count > 0 ? change->fields[0] : (struct span){0};
	static const char *const messages[] = {
		[HEALTH_UP] = "target is up",
		[HEALTH_DOWN] = "target is down",
		[HEALTH_GONE] = "target is not in use any more, it was down",
	};
	const struct log_field fields[] = {
		log_text("target", place),
		log_text("check", is_http ? "http" : "tcp"),
		log_text("reason", change->reason),
		log_number("status", change->status),
		log_span("host", host),
		log_number("hosts_total", (int64_t)change->uses),
	};

	log_write(change->event == HEALTH_DOWN ? LOG_WARN : LOG_INFO,
		  messages[change->event], fields, ARRAY_LEN(fields));
}

static void write_message(FILE *out, const struct health_change *change,
			  const char *place)
{
	struct json json = {.out = out};
	bool is_http = change->target.path.len > 0;
	size_t i;

	json_open(&json, NULL, '{');
	json_text(&json, "event", span_of(event_words[change->event]));
	json_text(&json, "target", span_of(place));
	json_text(&json, "check", span_of(is_http ? "http" : "tcp"));
	if (is_http)
		json_text(&json, "path", change->target.path);
	json_text(&json, "reason", span_of(change->reason));
	if (change->status)
		json_number(&json, "status", change->status);
	json_open(&json, "hosts", '[');
	for (i = 0; i < change->field_count; i++)
		json_text(&json, NULL, change->fields[i]);
	json_close(&json, ']');
	json_number(&json, "hosts_total", (int64_t)change->uses);
	json_close(&json, '}');
}

static bool publish(const struct events *events,
		    const struct health_change *change, const char *place)
{
	char channel[CHANNEL_MAX];
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	bool done = false;

	if (!out)
		return false;
	write_message(out, change, place);
	snprintf(channel, sizeof(channel), "%.1000s:events",
		 events->options.key);
	if (fclose(out) == 0)
		done = events->options.publish(events->options.context,
					       span_of(channel),
					       (struct span){text, len});
	free(text);
	return done;
}

void events_tell(struct events *events, const struct health_change *change)
{
	char place[ROUTE_PLACE_MAX];

	route_print_place(change->target.address,
			  change->target.address_len == 16, change->target.port,
			  place);
	write_line(change, place);
	if (publish(events, change, place))
		events->counters.published++;
	else
		events->counters.lost++;
}
