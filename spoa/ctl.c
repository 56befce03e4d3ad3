/* SPDX-License-Identifier: MIT */
/*
 * ctl: the only place where routectl and the agent's rooms meet.
 */
#include "ctl.h"

#include <stdarg.h>
#include <stdio.h>

#include "ctl_report.h"

const char *ctl_show(struct span text, struct ctl_shown *room)
{
	FILE *out = fmemopen(room->text, sizeof(room->text) - 4, "w");
	size_t len = text.len;

	room->text[0] = '\0';
	if (!out)
		return room->text;
	if (len > (sizeof(room->text) - 8) / 4)
		len = (sizeof(room->text) - 8) / 4;
	ctl_report_escape(out, (struct span){text.p, len});
	fputs(len < text.len ? "..." : "", out);
	fclose(out);
	return room->text;
}

enum ctl_status ctl_complain(enum ctl_status status, const char *format, ...)
{
	va_list args;

	fputs("routectl: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return status;
}

void ctl_note(const struct ctl *ctl, const char *format, ...)
{
	va_list args;

	if (ctl->options.quiet)
		return;
	fflush(stdout); /* what it is about comes first */
	fputs("note: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

enum ctl_status ctl_open(struct ctl *ctl)
{
	const struct config *config = &ctl->options.config;

	if (ctl->redis.link)
		return CTL_DONE;
	if (ctl_redis_open(&ctl->redis, ctl->urls, config->redis.count,
			   config->routes.text))
		return CTL_DONE;
	return ctl_complain_redis(ctl);
}

enum ctl_status ctl_complain_redis(const struct ctl *ctl)
{
	return ctl_complain(CTL_AWAY, "%s", ctl->redis.error);
}

/* The name of the target that is being read. */
static struct span *name_of_next(struct ctl *ctl)
{
	return &ctl->names[ctl->room.route.target_count];
}

static bool allows(void *context, const struct target *target)
{
	struct ctl *ctl = context;

	if (ctl->is_name) {
		ctl->is_name = false;
		return true;
	}
	*name_of_next(ctl) = (struct span){0};
	return guard_allows(&ctl->guard, target->address,
			    target->is_ipv6 ? 16 : 4, target->port, &ctl->rule);
}

/* What a name resolves to is known to the agent alone. */
static void look_up(void *context, struct span name, struct name_state *state)
{
	static const struct address unknown;
	struct ctl *ctl = context;

	*name_of_next(ctl) = name;
	ctl->is_name = true;
	*state = (struct name_state){.addresses = &unknown, .count = 1};
}

bool ctl_judge_route(struct ctl *ctl, struct span value,
		     char problem[CTL_PROBLEM_MAX])
{
	const struct route_reader reader = {
		.allows = allows, .look_up = look_up, .context = ctl};
	unsigned int column;
	enum route_error error =
		route_parse(value, &reader, &ctl->room, &column);

	if (error == ROUTE_GOOD)
		return true;
	snprintf(problem, CTL_PROBLEM_MAX, "column %u: %s", column,
		 route_error_text(error));
	if (error == ROUTE_FORBIDDEN)
		snprintf(problem, CTL_PROBLEM_MAX, "column %u: %s (%.*s)",
			 column, route_error_text(error), (int)ctl->rule.len,
			 ctl->rule.p);
	return false;
}

bool ctl_judge_field(struct span field, char problem[CTL_PROBLEM_MAX])
{
	struct host_field room;
	struct span good;

	if (!host_read_field(field, &room, &good)) {
		snprintf(problem, CTL_PROBLEM_MAX, "not a host");
		return false;
	}
	if (span_equal(field, good))
		return true;
	snprintf(problem, CTL_PROBLEM_MAX, "is never asked for: write %.*s",
		 (int)good.len, good.p);
	return false;
}

struct loading {
	struct ctl_pairs *pairs;
	bool failed;
};

static bool take_pair(void *context, struct span field, struct span value)
{
	struct loading *loading = context;

	loading->failed = !ctl_pairs_add(loading->pairs, field, value, 0);
	return !loading->failed;
}

enum ctl_status ctl_load(struct ctl *ctl, const char *pattern,
			 struct ctl_pairs *pairs)
{
	struct loading loading = {.pairs = pairs};
	enum ctl_status status = ctl_open(ctl);

	if (status != CTL_DONE)
		return status;
	if (!ctl_redis_scan(&ctl->redis, pattern, take_pair, &loading)) {
		if (loading.failed)
			return ctl_complain(CTL_REFUSED, "out of memory");
		return ctl_complain_redis(ctl);
	}
	ctl_pairs_sort(pairs);
	ctl_pairs_unite(pairs);
	return CTL_DONE;
}
