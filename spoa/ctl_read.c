/* SPDX-License-Identifier: MIT */
/*
 * ctl_read: loads, judges, prints.
 */
#include "ctl_read.h"

#include <stdio.h>

#include "ctl_lines.h"
#include "ctl_report.h"
#include "json.h"

static enum ctl_status fail_output(void)
{
	return ctl_complain(CTL_REFUSED, "the output cannot be written");
}

/* The targets of the route that was judged last. */
static void write_targets(struct json *json, const struct ctl *ctl)
{
	const struct route *route = &ctl->room.route;
	char place[HOST_MAX + ROUTE_PLACE_MAX];
	size_t i;

	json_open(json, "targets", '[');
	for (i = 0; i < route->target_count; i++) {
		const struct target *target = &route->targets[i];

		if (ctl->names[i].len > 0)
			snprintf(place, sizeof(place), "%.*s:%u",
				 (int)ctl->names[i].len, ctl->names[i].p,
				 target->port);
		else
			route_print_place(target->address, target->is_ipv6,
					  target->port, place);
		json_open(json, NULL, '{');
		json_text(json, "target", span_of(place));
		json_number(json, "weight", target->weight);
		json_bool(json, "backup", target->is_backup);
		json_close(json, '}');
	}
	json_close(json, ']');
}

static void print_route(struct ctl *ctl, struct span field, struct span value)
{
	struct json json = {.out = stdout};
	char problem[CTL_PROBLEM_MAX];
	bool good = ctl_judge_route(ctl, value, problem);

	if (!ctl->options.json) {
		ctl_report_escape(stdout, value);
		putchar('\n');
		if (!good)
			ctl_note(ctl, "bad_route: %s", problem);
		return;
	}
	json_open(&json, NULL, '{');
	json_text(&json, "field", field);
	json_text(&json, "route", value);
	if (good)
		write_targets(&json, ctl);
	else
		json_text(&json, "problem", span_of(problem));
	json_close(&json, '}');
	putchar('\n');
}

/* The field as it was written counts first: the hash may hold what no host
 * is. */
enum ctl_status ctl_read_get(struct ctl *ctl)
{
	struct span fields[2] = {span_of(ctl->options.words[0])};
	enum ctl_status status = ctl_open(ctl);
	struct ctl_shown shown;
	struct host_field room;
	redisReply *reply;
	size_t i = 0;

	if (status != CTL_DONE)
		return status;
	if (!host_read_field(fields[0], &room, &fields[1]))
		fields[1] = fields[0];
	reply = ctl_redis_get(&ctl->redis, fields, 2);
	if (!reply)
		return ctl_complain_redis(ctl);
	if (reply->element[0]->type != REDIS_REPLY_STRING)
		i = 1;
	if (reply->element[i]->type == REDIS_REPLY_STRING)
		print_route(ctl, fields[i],
			    (struct span){reply->element[i]->str,
					  reply->element[i]->len});
	else
		status = ctl_complain(CTL_MISSING, "%s: no such route",
				      ctl_show(fields[0], &shown));
	freeReplyObject(reply);
	return status;
}

/* A word without the signs of a pattern is looked for anywhere. */
static enum ctl_status load_matching(struct ctl *ctl, struct ctl_pairs *pairs)
{
	char pattern[300];
	const char *word;

	if (ctl->options.word_count == 0)
		return ctl_load(ctl, NULL, pairs);
	word = ctl->options.words[0];
	if (strpbrk(word, "*?[\\") != NULL)
		return ctl_load(ctl, word, pairs);
	if (strlen(word) > HOST_MAX)
		return CTL_DONE;
	snprintf(pattern, sizeof(pattern), "*%s*", word);
	return ctl_load(ctl, pattern, pairs);
}

enum ctl_status ctl_read_ls(struct ctl *ctl)
{
	static const char *const columns[] = {"field", "route"};
	struct ctl_pairs pairs = {.count = 0};
	struct ctl_report *report;
	enum ctl_status status = load_matching(ctl, &pairs);
	size_t i;

	if (status == CTL_DONE) {
		report = ctl_report_new(stdout, ctl->options.json, columns,
					ARRAY_LEN(columns));
		for (i = 0; report && i < pairs.count; i++) {
			const struct ctl_cell cells[] = {
				ctl_span(pairs.list[i]->field),
				ctl_span(pairs.list[i]->value)};

			ctl_report_row(report, cells);
		}
		if (!report || !ctl_report_end(report))
			status = fail_output();
	}
	ctl_pairs_fini(&pairs);
	return status;
}

/* Writes the pairs that a line can hold, and says which it cannot. */
static enum ctl_status write_lines(const struct ctl_pairs *pairs)
{
	enum ctl_status status = CTL_DONE;
	struct ctl_shown field, value;
	size_t i;

	for (i = 0; i < pairs->count; i++) {
		const struct ctl_pair *pair = pairs->list[i];

		if (ctl_lines_can_hold(pair->field, pair->value))
			printf("%.*s\t%.*s\n", (int)pair->field.len,
			       pair->field.p, (int)pair->value.len,
			       pair->value.p);
		else
			status =
				ctl_complain(CTL_REFUSED, "left out: '%s' '%s'",
					     ctl_show(pair->field, &field),
					     ctl_show(pair->value, &value));
	}
	if (fflush(stdout) != 0 || ferror(stdout))
		status = fail_output();
	return status;
}

enum ctl_status ctl_read_export(struct ctl *ctl)
{
	struct ctl_pairs pairs = {.count = 0};
	enum ctl_status status = ctl_load(ctl, NULL, &pairs);

	if (status == CTL_DONE)
		status = write_lines(&pairs);
	ctl_pairs_fini(&pairs);
	return status;
}

static size_t report_problems(struct ctl *ctl, struct ctl_report *report,
			      const struct ctl_pair *pair)
{
	struct ctl_cell cells[3] = {ctl_span(pair->field),
				    {.kind = CTL_TEXT},
				    ctl_span(pair->value)};
	char problem[CTL_PROBLEM_MAX];
	size_t found = 0;

	if (!ctl_judge_field(pair->field, problem)) {
		cells[1].text = span_of(problem);
		ctl_report_row(report, cells);
		found++;
	}
	if (!ctl_judge_route(ctl, pair->value, problem)) {
		cells[1].text = span_of(problem);
		ctl_report_row(report, cells);
		found++;
	}
	return found;
}

enum ctl_status ctl_read_check(struct ctl *ctl)
{
	static const char *const columns[] = {"field", "problem", "route"};
	struct ctl_pairs pairs = {.count = 0};
	enum ctl_status status = ctl_load(ctl, NULL, &pairs);
	struct ctl_report *report;
	size_t found = 0;
	size_t i;

	if (status != CTL_DONE) {
		ctl_pairs_fini(&pairs);
		return status;
	}
	report = ctl_report_new(stdout, ctl->options.json, columns,
				ARRAY_LEN(columns));
	for (i = 0; report && i < pairs.count; i++)
		found += report_problems(ctl, report, pairs.list[i]);
	if (!report || !ctl_report_end(report))
		status = fail_output();
	else
		ctl_note(ctl, "%zu problem%s in %zu routes", found,
			 found == 1 ? "" : "s", pairs.count);
	ctl_pairs_fini(&pairs);
	return status == CTL_DONE && found > 0 ? CTL_REFUSED : status;
}
