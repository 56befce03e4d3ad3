/* SPDX-License-Identifier: MIT */
/*
 * ctl_edit: validates, looks at what is there, writes, and says what the
 * change means for other routes.
 */
#include "ctl_edit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl_agent.h"
#include "ctl_front.h"
#include "ctl_words.h"
#include "json.h"

enum { DEL_CHUNK = 32, FLUSH_MAX = ROUTE_TEXT_MAX };

/* The fields behind this one, in order of match: wildcards and `*`. Returns
 * how many. */
static size_t list_fields_behind(struct span field,
				 struct host_field rooms[HOST_CANDIDATES],
				 struct host *host,
				 struct span behind[HOST_CANDIDATES])
{
	bool is_wildcard = field.len > 1 && field.p[0] == '*';
	struct host_candidates list;
	size_t i;

	if (is_wildcard) {
		field.p += 2;
		field.len -= 2;
	}
	if (span_is(field, "*") || !host_normalise(field, host))
		return 0;
	host_list_candidates(host, &list);
	for (i = 1; i < list.count; i++)
		behind[i - 1] = host_candidate(host, &list, i, &rooms[i]);
	return list.count - 1U;
}

/* Says which route the field stands in front of, or what answers in its place
 * once it is gone. */
static enum ctl_status note_behind(struct ctl *ctl, struct span field,
				   const char *format)
{
	struct span behind[HOST_CANDIDATES] = {{.len = 0}};
	struct host_field rooms[HOST_CANDIDATES];
	struct host host;
	size_t count = list_fields_behind(field, rooms, &host, behind);
	struct ctl_shown value;
	redisReply *reply;
	size_t i = 0;

	if (count == 0 || ctl->options.quiet)
		return CTL_DONE;
	reply = ctl_redis_get(&ctl->redis, behind, count);
	if (!reply)
		return ctl_complain_redis(ctl);
	while (i < count && reply->element[i]->type != REDIS_REPLY_STRING)
		i++;
	if (i < count) {
		const redisReply *found = reply->element[i];

		ctl_note(ctl, "%.*s %s %.*s (%s)", (int)field.len, field.p,
			 format, (int)behind[i].len, behind[i].p,
			 ctl_show((struct span){found->str, found->len},
				  &value));
	}
	freeReplyObject(reply);
	return CTL_DONE;
}

struct exacter {
	struct span field; /* the wildcard */
	size_t count;	   /* fields that are more exact */
	struct ctl_shown example;
};

static bool take_exacter(void *context, struct span field, struct span value)
{
	struct exacter *found = context;

	(void)value;
	if (!span_equal(field, found->field) && found->count++ == 0)
		ctl_show(field, &found->example);
	return true;
}

/* Says which hosts a new wildcard does not get. A host has no byte that means
 * something in a pattern of Redis, and the wildcard is one. */
static enum ctl_status note_exacter(struct ctl *ctl, struct span field)
{
	struct exacter found = {.field = field};
	char pattern[HOST_MAX + 1];

	if (field.len < 2 || field.p[0] != '*' || ctl->options.quiet)
		return CTL_DONE;
	snprintf(pattern, sizeof(pattern), "%.*s", (int)field.len, field.p);
	if (!ctl_redis_scan(&ctl->redis, pattern, take_exacter, &found))
		return ctl_complain_redis(ctl);
	if (found.count > 0)
		ctl_note(ctl, "%zu more exact %s before %s, such as %s",
			 found.count,
			 found.count > 1 ? "fields go" : "field goes", pattern,
			 found.example.text);
	return CTL_DONE;
}

/* Warns of targets that are HAProxy itself. */
static void note_loops(struct ctl *ctl)
{
	const struct route *route = &ctl->room.route;
	const char *front = ctl->options.front;
	char place[ROUTE_PLACE_MAX];
	size_t i;

	if (!front)
		front = getenv("ROUTER_BIND");
	for (i = 0; front && i < route->target_count; i++) {
		const struct target *target = &route->targets[i];

		if (ctl->names[i].len > 0 ||
		    !ctl_front_takes(front, target->address,
				     target->is_ipv6 ? 16 : 4, target->port))
			continue;
		route_print_place(target->address, target->is_ipv6,
				  target->port, place);
		ctl_note(ctl, "%s is HAProxy itself (%s): requests would loop",
			 place, front);
	}
}

/* Prints what was set. */
static void print_set(const struct ctl *ctl, struct span field,
		      struct span value, const redisReply *was, int64_t heard)
{
	struct json json = {.out = stdout};
	struct ctl_shown shown;
	bool changes = was->type == REDIS_REPLY_STRING &&
		       !span_equal((struct span){was->str, was->len}, value);

	if (ctl->options.json) {
		json_open(&json, NULL, '{');
		json_text(&json, "field", field);
		json_text(&json, "route", value);
		if (was->type == REDIS_REPLY_STRING)
			json_text(&json, "was",
				  (struct span){was->str, was->len});
		else
			json_null(&json, "was");
		json_number(&json, "heard", heard);
		json_close(&json, '}');
		putchar('\n');
		return;
	}
	printf("%.*s -> %.*s", (int)field.len, field.p, (int)value.len,
	       value.p);
	if (changes)
		printf(" (was %s)",
		       ctl_show((struct span){was->str, was->len}, &shown));
	printf("\n");
}

static enum ctl_status write_route(struct ctl *ctl, struct span field,
				   struct span value)
{
	const struct ctl_redis_change change = {field, value};
	enum ctl_status status = CTL_DONE;
	redisReply *was = ctl_redis_get(&ctl->redis, &field, 1);
	int64_t heard, gone;

	if (!was)
		return ctl_complain_redis(ctl);
	if (ctl_redis_write(&ctl->redis, &change, 1, field, &heard, &gone))
		print_set(ctl, field, value, was->element[0], heard);
	else
		status = ctl_complain_redis(ctl);
	if (status == CTL_DONE && was->element[0]->type != REDIS_REPLY_STRING)
		status = note_behind(ctl, field, "goes before");
	freeReplyObject(was);
	return status;
}

enum ctl_status ctl_edit_set(struct ctl *ctl)
{
	char *const *words = ctl->options.words;
	char text[ROUTE_TEXT_MAX + 2];
	char problem[CTL_PROBLEM_MAX];
	struct ctl_shown shown;
	struct host_field room;
	struct span field;
	enum ctl_status status;

	if (!host_read_field(span_of(words[0]), &room, &field))
		return ctl_complain(CTL_REFUSED, "%s: not a host",
				    ctl_show(span_of(words[0]), &shown));
	if (!ctl_words_join(words + 1, ctl->options.word_count - 1, text,
			    sizeof(text)))
		return ctl_complain(CTL_REFUSED, "the route is too long");
	if (!ctl_judge_route(ctl, span_of(text), problem))
		return ctl_complain(CTL_REFUSED, "refused: %s: %s",
				    ctl_show(span_of(text), &shown), problem);
	note_loops(ctl);
	status = ctl_open(ctl);
	if (status == CTL_DONE)
		status = write_route(ctl, field, span_of(text));
	if (status == CTL_DONE)
		status = note_exacter(ctl, field);
	return status;
}

/* Some fields to be removed. A field stands there as it was written, for the
 * hash may hold what no host is, or in the form of fields. */
struct removal {
	struct span fields[2 * DEL_CHUNK]; /* as written, in form */
	struct host_field rooms[DEL_CHUNK];
	struct ctl_redis_change changes[DEL_CHUNK];
	size_t count;
};

static void list_removals(struct removal *removal, char *const *words,
			  size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		struct span *fields = &removal->fields[2 * i];

		fields[0] = span_of(words[i]);
		if (!host_read_field(fields[0], &removal->rooms[i], &fields[1]))
			fields[1] = fields[0];
	}
}

/* The names of what is removed; to be freed. */
static char *name_removals(const struct removal *removal, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);
	size_t i;

	if (!out)
		return NULL;
	for (i = 0; i < removal->count; i++) {
		struct span field = removal->changes[i].field;

		fprintf(out, "%s%.*s", i > 0 ? " " : "", (int)field.len,
			field.p);
	}
	return fclose(out) == 0 ? text : NULL;
}

static enum ctl_status write_removals(struct ctl *ctl,
				      const struct removal *removal)
{
	enum ctl_status status = CTL_DONE;
	int64_t heard, gone;
	size_t len = 0;
	char *names;
	size_t i;

	if (removal->count == 0)
		return CTL_DONE;
	names = name_removals(removal, &len);
	if (!names)
		return ctl_complain(CTL_REFUSED, "out of memory");
	if (!ctl_redis_write(&ctl->redis, removal->changes, removal->count,
			     (struct span){names, len}, &heard, &gone))
		status = ctl_complain_redis(ctl);
	free(names);
	for (i = 0; i < removal->count && status == CTL_DONE; i++)
		status = note_behind(ctl, removal->changes[i].field,
				     "is now answered by");
	return status;
}

/* Finds what is there; CTL_MISSING when not all of it is. */
static enum ctl_status find_removals(struct ctl *ctl, struct removal *removal,
				     char *const *words, size_t count)
{
	redisReply *reply =
		ctl_redis_get(&ctl->redis, removal->fields, 2 * count);
	enum ctl_status status = CTL_DONE;
	struct ctl_shown shown;
	size_t i;

	if (!reply)
		return ctl_complain_redis(ctl);
	removal->count = 0;
	for (i = 0; i < 2 * count; i += 2) {
		bool as_written = reply->element[i]->type == REDIS_REPLY_STRING;
		bool in_form =
			reply->element[i + 1]->type == REDIS_REPLY_STRING;

		if (as_written || in_form)
			removal->changes[removal->count++].field =
				removal->fields[as_written ? i : i + 1];
		else
			status = ctl_complain(
				CTL_MISSING, "%s: no such route",
				ctl_show(span_of(words[i / 2]), &shown));
	}
	freeReplyObject(reply);
	return status;
}

enum ctl_status ctl_edit_del(struct ctl *ctl)
{
	size_t left = ctl->options.word_count;
	char *const *words = ctl->options.words;
	enum ctl_status status = ctl_open(ctl);

	while (left > 0 && (status == CTL_DONE || status == CTL_MISSING)) {
		size_t count = left < DEL_CHUNK ? left : DEL_CHUNK;
		struct removal removal = {.count = 0};
		enum ctl_status found;

		list_removals(&removal, words, count);
		found = find_removals(ctl, &removal, words, count);
		if (found == CTL_AWAY)
			return found;
		if (found != CTL_DONE)
			status = found;
		found = write_removals(ctl, &removal);
		if (found != CTL_DONE)
			return found;
		words += count;
		left -= count;
	}
	return status;
}

/* The fields to be named, with blanks between, or `*`. */
static enum ctl_status join_fields(const struct ctl *ctl, char *to, size_t size)
{
	struct ctl_shown shown;
	size_t len = 0;
	size_t i;

	snprintf(to, size, "*");
	for (i = 0; i < ctl->options.word_count; i++) {
		struct span word = span_of(ctl->options.words[i]);
		struct host_field room;
		struct span field;

		if (!host_read_field(word, &room, &field))
			return ctl_complain(CTL_REFUSED, "%s: not a host",
					    ctl_show(word, &shown));
		len += (size_t)snprintf(to + len, size - len, "%s%.*s",
					i > 0 ? " " : "", (int)field.len,
					field.p);
		if (len >= size)
			return ctl_complain(CTL_REFUSED, "too many hosts: "
							 "flush all of them");
	}
	return CTL_DONE;
}

enum ctl_status ctl_edit_flush(struct ctl *ctl)
{
	char message[FLUSH_MAX];
	enum ctl_status status;
	int64_t heard;

	if (ctl->options.admin)
		return ctl_agent_flush(ctl);
	status = join_fields(ctl, message, sizeof(message));
	if (status == CTL_DONE)
		status = ctl_open(ctl);
	if (status != CTL_DONE)
		return status;
	heard = ctl_redis_publish(&ctl->redis, span_of(message));
	if (heard < 0)
		return ctl_complain_redis(ctl);
	if (ctl->options.json)
		printf("{\"heard\":%" PRId64 "}\n", heard);
	else
		printf("heard by %" PRId64 "\n", heard);
	if (heard == 0)
		ctl_note(ctl, "no agent listens on %s:changed",
			 ctl->options.config.routes.text);
	return CTL_DONE;
}
