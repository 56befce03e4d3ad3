/* SPDX-License-Identifier: MIT */
/*
 * ctl_explain: walks the candidates in order of match.
 */
#include "ctl_explain.h"

#include <stdio.h>
#include <stdlib.h>

#include "ctl_agent.h"
#include "ctl_report.h"
#include "json.h"

/* One candidate and what the hash has for it. */
struct step {
	struct span field;
	struct host_field room;
	bool is_there;
	bool counts; /* it is the one that answers */
	struct span value;
	char verdict[CTL_PROBLEM_MAX];
};

struct explanation {
	struct host host;
	const char *status; /* as in txn.router.status */
	struct step steps[HOST_CANDIDATES];
	size_t count;
	const struct step *answer; /* NULL: not_found, bad_host */
};

/* What the route that was judged last amounts to. What a name resolves to is
 * known to the agent alone. */
static const char *judge_targets(const struct ctl *ctl, const char **status)
{
	const struct route *route = &ctl->room.route;
	bool has_name = false;
	size_t i;

	*status = "ok";
	for (i = 0; i < route->target_count; i++) {
		if (route->targets[i].weight > 0 && ctl->names[i].len == 0)
			return "answers";
		has_name |= route->targets[i].weight > 0;
	}
	if (has_name)
		return "answers, if the name has an address";
	*status = "down";
	return "every target has weight 0";
}

/* The first field that is there decides; a bad one does not fall through. */
static void judge_step(struct ctl *ctl, struct explanation *why,
		       struct step *step)
{
	const char *verdict = "absent";

	if (step->is_there && why->answer) {
		verdict = "less exact";
	} else if (step->is_there) {
		step->counts = true;
		why->answer = step;
		why->status = "bad_route";
		if (!ctl_judge_route(ctl, step->value, step->verdict))
			return;
		verdict = judge_targets(ctl, &why->status);
	}
	snprintf(step->verdict, sizeof(step->verdict), "%s", verdict);
}

static void list_steps(struct explanation *why,
		       struct span fields[HOST_CANDIDATES])
{
	struct host_candidates list;
	size_t i;

	host_list_candidates(&why->host, &list);
	why->count = list.count;
	for (i = 0; i < list.count; i++) {
		struct step *step = &why->steps[i];

		step->field = host_candidate(&why->host, &list, i, &step->room);
		fields[i] = step->field;
	}
}

static void print_table(const struct ctl *ctl, const struct explanation *why)
{
	static const char *const columns[] = {"field", "verdict", "route"};
	struct ctl_report *report =
		ctl_report_new(stdout, false, columns, ARRAY_LEN(columns));
	size_t i;

	printf("%.*s: %s", (int)why->host.len, why->host.name, why->status);
	if (why->answer)
		printf(" by %.*s", (int)why->answer->field.len,
		       why->answer->field.p);
	printf("\n");
	for (i = 0; report && i < why->count; i++) {
		const struct step *step = &why->steps[i];
		struct ctl_cell cells[3] = {ctl_span(step->field),
					    ctl_text(step->verdict)};

		if (step->is_there)
			cells[2] = ctl_span(step->value);
		ctl_report_row(report, cells);
	}
	if (!report || !ctl_report_end(report))
		ctl_note(ctl, "the output is not complete");
	ctl_note(ctl, "this is what Redis holds: with --admin the agent itself "
		      "says what it answers");
}

static void print_json(const struct explanation *why, const char *raw)
{
	struct json json = {.out = stdout};
	size_t i;

	json_open(&json, NULL, '{');
	if (why->host.len > 0)
		json_text(&json, "host", host_span(&why->host));
	else
		json_text(&json, "host", span_of(raw));
	json_text(&json, "status", span_of(why->status));
	json_text(&json, "source", span_of("redis"));
	if (why->answer)
		json_text(&json, "route", why->answer->field);
	json_open(&json, "candidates", '[');
	for (i = 0; i < why->count; i++) {
		const struct step *step = &why->steps[i];

		json_open(&json, NULL, '{');
		json_text(&json, "field", step->field);
		json_text(&json, "verdict", span_of(step->verdict));
		if (step->is_there)
			json_text(&json, "value", step->value);
		json_close(&json, '}');
	}
	json_close(&json, ']');
	json_close(&json, '}');
	putchar('\n');
}

/* Fills `why` by what Redis says; the reply holds the values. */
static redisReply *ask_redis(struct ctl *ctl, struct explanation *why)
{
	struct span fields[HOST_CANDIDATES];
	redisReply *reply;
	size_t i;

	list_steps(why, fields);
	why->status = "not_found";
	reply = ctl_redis_get(&ctl->redis, fields, why->count);
	for (i = 0; reply && i < why->count; i++) {
		const redisReply *value = reply->element[i];
		struct step *step = &why->steps[i];

		step->is_there = value->type == REDIS_REPLY_STRING;
		if (step->is_there)
			step->value = (struct span){value->str, value->len};
		judge_step(ctl, why, step);
	}
	return reply;
}

static enum ctl_status explain_by_redis(struct ctl *ctl,
					struct explanation *why)
{
	const char *raw = ctl->options.words[0];
	redisReply *reply = NULL;
	struct ctl_shown shown;
	enum ctl_status status;

	why->status = "bad_host";
	if (host_normalise(span_of(raw), &why->host)) {
		status = ctl_open(ctl);
		if (status != CTL_DONE)
			return status;
		reply = ask_redis(ctl, why);
		if (!reply)
			return ctl_complain_redis(ctl);
	} else {
		why->host.len = 0;
	}
	if (ctl->options.json)
		print_json(why, raw);
	else if (why->host.len > 0)
		print_table(ctl, why);
	else
		printf("%s: bad_host\n", ctl_show(span_of(raw), &shown));
	if (reply)
		freeReplyObject(reply);
	if (!strcmp(why->status, "not_found"))
		return CTL_MISSING;
	return *why->status == 'o' ? CTL_DONE : CTL_REFUSED;
}

enum ctl_status ctl_explain(struct ctl *ctl)
{
	struct explanation *why;
	enum ctl_status status;

	if (ctl_agent_is_named(ctl))
		return ctl_agent_explain(ctl);
	why = calloc(1, sizeof(*why));
	if (!why)
		return ctl_complain(CTL_REFUSED, "out of memory");
	status = explain_by_redis(ctl, why);
	free(why);
	return status;
}
