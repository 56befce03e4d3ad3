/* SPDX-License-Identifier: MIT */
/*
 * ctl_watch: one connection subscribes, the other tracks for it and reads.
 */
#include "ctl_watch.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>

#include "ctl_report.h"
#include "json.h"

#define INVALIDATE "__redis__:invalidate"

enum {
	PROBE_MS = 10 * 1000, /* without a word both connections are probed */
	MERGE_MS = 50,	      /* changes this close are read together */
};

struct watch {
	struct ctl *ctl; /* its connection tracks and reads */
	struct ctl_redis ears;
	struct ctl_pairs known;
	int64_t dirty_ms;  /* when it became dirty */
	bool is_dirty;	   /* the hash changed since it was read */
	bool was_asked;	   /* a probe of `ears` waits for its answer */
	char changed[300]; /* the channels */
	char events[300];
};

/* What there is to show: texts without `p` are left out. */
struct event {
	const char *kind;
	struct span field, was, is, text;
};

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void write_time(char text[32])
{
	time_t now = time(NULL);
	struct tm utc;

	gmtime_r(&now, &utc);
	strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

static void print_json(const char *when, const struct event *event)
{
	struct json json = {.out = stdout};

	json_open(&json, NULL, '{');
	json_text(&json, "ts", span_of(when));
	json_text(&json, "event", span_of(event->kind));
	if (event->field.p)
		json_text(&json, "field", event->field);
	if (event->was.p)
		json_text(&json, "was", event->was);
	if (event->is.p)
		json_text(&json, "is", event->is);
	if (event->text.p)
		json_text(&json, "text", event->text);
	json_close(&json, '}');
}

static void print_event(const struct watch *watch, const struct event *event)
{
	char when[32];

	write_time(when);
	if (watch->ctl->options.json) {
		print_json(when, event);
	} else {
		printf("%s %s ", when, event->kind);
		ctl_report_escape(stdout, event->field);
		ctl_report_escape(stdout, event->text);
		fputs(event->was.p ? " " : "", stdout);
		ctl_report_escape(stdout, event->was);
		fputs(event->is.p ? " -> " : "", stdout);
		ctl_report_escape(stdout, event->is);
	}
	putchar('\n');
	fflush(stdout);
}

/* Shows what differs from what was known, and knows that from now on. */
static enum ctl_status read_again(struct watch *watch)
{
	struct ctl_pairs now = {.count = 0};
	struct ctl_pairs_walk walk = {0};
	struct ctl_pairs_change change;
	enum ctl_status status;

	watch->is_dirty = false;
	status = ctl_load(watch->ctl, NULL, &now);
	while (status == CTL_DONE &&
	       ctl_pairs_next_change(&watch->known, &now, &walk, &change)) {
		struct event event = {.kind = "change", .field = change.field};

		if (!change.was)
			event.kind = "add";
		else
			event.was = change.was->value;
		if (!change.is)
			event.kind = "remove";
		else
			event.is = change.is->value;
		print_event(watch, &event);
	}
	if (status == CTL_DONE) {
		ctl_pairs_fini(&watch->known);
		watch->known = now;
	} else {
		ctl_pairs_fini(&now);
	}
	return status;
}

/* A list of keys that changed, or nil for all. */
static bool names_key(const redisReply *keys, const char *key)
{
	size_t i;

	if (keys->type != REDIS_REPLY_ARRAY)
		return true;
	for (i = 0; i < keys->elements; i++)
		if (keys->element[i]->type == REDIS_REPLY_STRING &&
		    span_is((struct span){keys->element[i]->str,
					  keys->element[i]->len},
			    key))
			return true;
	return false;
}

static void take_message(struct watch *watch, const redisReply *reply)
{
	const redisReply *content;
	struct event event = {.kind = NULL};
	const char *channel;

	watch->was_asked = false;
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 ||
	    reply->element[0]->type != REDIS_REPLY_STRING ||
	    strcmp(reply->element[0]->str, "message") != 0 ||
	    reply->element[1]->type != REDIS_REPLY_STRING)
		return;
	channel = reply->element[1]->str;
	content = reply->element[2];
	if (!strcmp(channel, INVALIDATE)) {
		if (!names_key(content, watch->ctl->redis.key))
			return;
		if (!watch->is_dirty)
			watch->dirty_ms = now_ms();
		watch->is_dirty = true;
		return;
	}
	if (content->type != REDIS_REPLY_STRING)
		return;
	event.kind = strcmp(channel, watch->events) ? "named" : "target";
	event.text = (struct span){content->str, content->len};
	print_event(watch, &event);
}

/* Reads what has come. */
static enum ctl_status hear(struct watch *watch)
{
	redisContext *link = watch->ears.link;
	void *reply = NULL;

	if (redisBufferRead(link) != REDIS_OK) {
		ctl_redis_complain(&watch->ears, span_of(link->errstr));
		return ctl_complain(CTL_AWAY, "%s", watch->ears.error);
	}
	while (redisReaderGetReply(link->reader, &reply) == REDIS_OK && reply) {
		take_message(watch, reply);
		freeReplyObject(reply);
		reply = NULL;
	}
	return CTL_DONE;
}

/* Nothing was heard for a while: are both connections alive? A subscriber may
 * say PING, and so may the other. */
static enum ctl_status probe(struct watch *watch)
{
	const struct span ping = span_of("PING");
	redisReply *reply = ctl_redis_ask(&watch->ctl->redis, &ping, 1);
	redisContext *link = watch->ears.link;
	int done = 0;

	if (!reply)
		return ctl_complain_redis(watch->ctl);
	freeReplyObject(reply);
	if (watch->was_asked)
		return ctl_complain(CTL_AWAY, "redis %s: no answer",
				    watch->ears.server.name);
	watch->was_asked = true;
	if (redisAppendCommand(link, "PING") == REDIS_OK)
		while (!done && redisBufferWrite(link, &done) == REDIS_OK)
			;
	return CTL_DONE;
}

/* Writes the number of the subscriber's connection. */
static enum ctl_status subscribe(struct watch *watch, char id[24])
{
	const struct span ask[] = {span_of("CLIENT"), span_of("ID")};
	const struct span channels[] = {span_of(INVALIDATE),
					span_of(watch->changed),
					span_of(watch->events)};
	struct ctl_redis *ears = &watch->ears;
	redisReply *reply = ctl_redis_ask(ears, ask, 2);
	size_t i;

	snprintf(id, 24, "%lld", reply ? reply->integer : 0);
	for (i = 0; reply && i < ARRAY_LEN(channels); i++) {
		const struct span words[] = {span_of("SUBSCRIBE"), channels[i]};

		freeReplyObject(reply);
		reply = ctl_redis_ask(ears, words, 2);
	}
	if (!reply)
		return ctl_complain(CTL_AWAY, "%s", ears->error);
	freeReplyObject(reply);
	return CTL_DONE;
}

static enum ctl_status track(struct watch *watch, const char *id)
{
	struct ctl_redis *redis = &watch->ctl->redis;
	const struct span words[] = {span_of("CLIENT"), span_of("TRACKING"),
				     span_of("ON"),	span_of("REDIRECT"),
				     span_of(id),	span_of("BCAST"),
				     span_of("PREFIX"), span_of(redis->key)};
	redisReply *reply = ctl_redis_ask(redis, words, ARRAY_LEN(words));

	if (!reply)
		return ctl_complain_redis(watch->ctl);
	freeReplyObject(reply);
	return CTL_DONE;
}

static enum ctl_status open_watch(struct watch *watch)
{
	struct ctl *ctl = watch->ctl;
	const char *key = ctl->options.config.routes.text;
	enum ctl_status status = ctl_open(ctl);
	char id[24];

	if (status != CTL_DONE)
		return status;
	snprintf(watch->changed, sizeof(watch->changed), "%.280s:changed", key);
	snprintf(watch->events, sizeof(watch->events), "%.280s:events", key);
	watch->ears.tls = ctl->redis.tls;
	if (!ctl_redis_open(&watch->ears, &ctl->redis.server, 1, key))
		return ctl_complain(CTL_AWAY, "%s", watch->ears.error);
	status = subscribe(watch, id);
	if (status == CTL_DONE)
		status = track(watch, id);
	if (status == CTL_DONE)
		status = ctl_load(ctl, NULL, &watch->known);
	if (status == CTL_DONE)
		ctl_note(ctl, "watching %s, %zu routes", ctl->redis.server.name,
			 watch->known.count);
	return status;
}

/* Waits for a word; after a change no longer than others may join it. */
static enum ctl_status turn(struct watch *watch)
{
	struct pollfd ears = {.fd = watch->ears.link->fd, .events = POLLIN};
	int64_t wait_ms = PROBE_MS;
	int ready;

	if (watch->is_dirty) {
		wait_ms = watch->dirty_ms + MERGE_MS - now_ms();
		if (wait_ms <= 0)
			return read_again(watch);
	}
	ready = poll(&ears, 1, (int)wait_ms);
	if (ready > 0)
		return hear(watch);
	if (ready < 0)
		return errno == EINTR ? CTL_DONE : CTL_AWAY;
	return watch->is_dirty ? read_again(watch) : probe(watch);
}

enum ctl_status ctl_watch(struct ctl *ctl)
{
	struct watch watch = {.ctl = ctl};
	enum ctl_status status = open_watch(&watch);

	while (status == CTL_DONE)
		status = turn(&watch);
	ctl_pairs_fini(&watch.known);
	ctl_redis_close(&watch.ears);
	return status;
}
