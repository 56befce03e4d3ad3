/* SPDX-License-Identifier: MIT */
/*
 * ctl_source: reads to the end whatever is wrong on the way, so that one look
 * shows all of it.
 */
#include "ctl_source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl_hipache.h"
#include "ctl_lines.h"

struct source {
	struct ctl *ctl;
	struct ctl_pairs *pairs;
	const char *name; /* of the file */
	size_t wrong;	  /* lines */
	size_t left_out;
	enum ctl_status status;
};

static void refuse(struct source *in, unsigned int line, struct span text,
		   const char *problem)
{
	struct ctl_shown shown;

	in->wrong++;
	in->status = ctl_complain(CTL_REFUSED, "%s:%u: %s: %s", in->name, line,
				  ctl_show(text, &shown), problem);
}

static void take_line(struct source *in, struct span line, unsigned int number)
{
	char problem[CTL_PROBLEM_MAX];
	struct span raw, field, value;
	struct host_field room;

	switch (ctl_lines_read(line, &raw, &value)) {
	case CTL_LINE_BLANK:
		return;
	case CTL_LINE_NO_ROUTE:
		refuse(in, number, raw, "no route behind it");
		return;
	case CTL_LINE_PAIR:
		break;
	}
	if (!host_read_field(raw, &room, &field))
		refuse(in, number, raw, "not a host");
	else if (!ctl_judge_route(in->ctl, value, problem))
		refuse(in, number, value, problem);
	else if (!ctl_pairs_add(in->pairs, field, value, number))
		in->status = ctl_complain(CTL_REFUSED, "out of memory");
}

static void read_lines(struct source *in, FILE *stream)
{
	unsigned int number = 0;
	size_t size = 0;
	char *line = NULL;
	ssize_t got;

	while ((got = getline(&line, &size, stream)) >= 0)
		take_line(in, (struct span){line, (size_t)got}, ++number);
	if (ferror(stream))
		in->status = ctl_complain(CTL_REFUSED, "%s: %s", in->name,
					  strerror(errno));
	free(line);
}

static void refuse_repeats(struct source *in)
{
	const struct ctl_pairs *pairs = in->pairs;
	size_t i;

	for (i = 1; i < pairs->count; i++)
		if (span_equal(pairs->list[i - 1]->field,
			       pairs->list[i]->field))
			refuse(in, pairs->list[i]->line, pairs->list[i]->field,
			       "for the second time");
}

static void read_file(struct source *in)
{
	bool is_stdin = !strcmp(in->name, "-");
	FILE *stream = is_stdin ? stdin : fopen(in->name, "re");

	if (!stream) {
		in->status = ctl_complain(CTL_REFUSED, "%s: %s", in->name,
					  strerror(errno));
		return;
	}
	if (is_stdin)
		in->name = "stdin";
	read_lines(in, stream);
	if (!is_stdin)
		fclose(stream);
	ctl_pairs_sort(in->pairs);
	refuse_repeats(in);
	if (in->wrong > 0)
		ctl_complain(CTL_REFUSED, "%zu lines are wrong: nothing done",
			     in->wrong);
}

/* A URL of Hipache that becomes no target, or a field that becomes no route. */
static void leave_out(struct source *in, struct span key, struct span url,
		      const char *problem)
{
	struct ctl_shown shown_key, shown_url;

	in->left_out++;
	ctl_complain(CTL_REFUSED, "left out: %s %s: %s",
		     ctl_show(key, &shown_key), ctl_show(url, &shown_url),
		     problem);
}

/* The route that the list says; its length, 0 when there is none. */
static size_t join_urls(struct source *in, struct span key,
			const redisReply *list, char *to, size_t size)
{
	size_t len = 0;
	size_t i;

	for (i = 1; i < list->elements; i++) {
		const redisReply *item = list->element[i];
		struct span url = {item->str, item->len};
		char problem[CTL_PROBLEM_MAX] = "the route would be too long";
		const char *port, *why;
		struct span target;
		int added;

		if (!ctl_hipache_read(url, &target, &port, &why)) {
			leave_out(in, key, url, why);
			continue;
		}
		added = snprintf(to + len, size - len, "%s%.*s%s",
				 len > 0 ? ", " : "", (int)target.len, target.p,
				 port);
		if ((size_t)added >= size - len ||
		    !ctl_judge_route(in->ctl,
				     (struct span){to, len + (size_t)added},
				     problem)) {
			leave_out(in, key, url, problem);
			continue;
		}
		len += (size_t)added;
	}
	return len;
}

static void take_frontend(struct source *in, struct ctl_redis *from,
			  struct span key)
{
	const struct span words[] = {span_of("LRANGE"), key, span_of("0"),
				     span_of("-1")};
	size_t prefix = strlen(CTL_HIPACHE_PREFIX);
	redisReply *list = ctl_redis_ask(from, words, ARRAY_LEN(words));
	char route[ROUTE_TEXT_MAX + 1];
	struct host_field room;
	struct span field;
	size_t len;

	if (!list || list->type != REDIS_REPLY_ARRAY) {
		leave_out(in, key, (struct span){0}, from->error);
	} else if (!host_read_field(
			   (struct span){key.p + prefix, key.len - prefix},
			   &room, &field)) {
		leave_out(in, key, (struct span){0}, "not a host");
	} else {
		len = join_urls(in, key, list, route, sizeof(route));
		if (len == 0)
			leave_out(in, key, (struct span){0}, "no target left");
		else if (!ctl_pairs_add(in->pairs, field,
					(struct span){route, len}, 0))
			in->status = ctl_complain(CTL_REFUSED, "out of memory");
	}
	if (list)
		freeReplyObject(list);
}

static bool take_key(void *context, struct span key, struct span value)
{
	return ctl_pairs_add(context, key, value, 0);
}

static void read_hipache(struct source *in)
{
	struct ctl_redis from = {.tls = in->ctl->redis.tls};
	struct ctl_pairs keys = {.count = 0};
	struct redis_url url;
	const char *problem;
	size_t i;

	if (!redis_url_parse(in->name, &url, &problem)) {
		in->status = ctl_complain(
			CTL_MISUSED, "--from hipache: the URL %s", problem);
		return;
	}
	/* A key that no Redis has: its length is 0 and no error. */
	if (!ctl_redis_open(&from, &url, 1, "") ||
	    !ctl_redis_scan_keys(&from, CTL_HIPACHE_PREFIX "*", take_key,
				 &keys))
		in->status = ctl_complain(CTL_AWAY, "%s", from.error);
	ctl_pairs_sort(&keys);
	ctl_pairs_unite(&keys);
	for (i = 0; in->status == CTL_DONE && i < keys.count; i++)
		take_frontend(in, &from, keys.list[i]->field);
	ctl_pairs_sort(in->pairs);
	ctl_pairs_unite(in->pairs);
	ctl_pairs_fini(&keys);
	ctl_redis_close(&from);
}

enum ctl_status ctl_source_read(struct ctl *ctl, struct ctl_pairs *pairs,
				size_t *left_out)
{
	struct source in = {
		.ctl = ctl, .pairs = pairs, .name = ctl->options.words[0]};

	if (ctl->options.from)
		read_hipache(&in);
	else
		read_file(&in);
	*left_out = in.left_out;
	return in.status;
}
