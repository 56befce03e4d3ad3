/* SPDX-License-Identifier: MIT */
/*
 * redis_push: a subscriber on a wire of its own.
 */
#include "redis_push.h"

#include <stdio.h>
#include <stdlib.h>

#define INVALIDATE "__redis__:invalidate"

#define CHANGED ":changed"

enum { SUBSCRIPTIONS = 2 };

struct redis_push {
	struct redis_push_options options;
	struct redis_wire *wire;
	struct event *timer; /* of the probes */
	int64_t client;	     /* our number at the server, or -1 */
	size_t confirmed;    /* subscriptions */
	int64_t asked_ms;    /* the probe that waits for its answer, or 0 */
	bool is_refused;
	char channel[]; /* where fields are named */
};

static int64_t now(struct redis_push *push)
{
	return loop_now(push->options.place.loop);
}

static void subscribe(struct redis_push *push, const char *channel)
{
	const char *argv[] = {"SUBSCRIBE", channel};

	if (!redis_wire_say(push->wire, ARRAY_LEN(argv), argv))
		redis_wire_lose(push->wire, "out of memory", (struct span){0});
}

/* Subscribing again is the question that a subscriber may ask: the server
 * confirms it again. */
static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct redis_push *push = context;

	(void)fd;
	(void)what;
	if (push->asked_ms) {
		redis_wire_lose(push->wire, "no answer", (struct span){0});
		return;
	}
	push->asked_ms = now(push);
	subscribe(push, INVALIDATE);
	loop_arm(push->timer, push->options.interval_ms);
}

static void on_opened(void *context)
{
	struct redis_push *push = context;
	const char *argv[] = {"CLIENT", "ID"};

	push->asked_ms = now(push);
	loop_arm(push->timer, push->options.interval_ms);
	if (!redis_wire_say(push->wire, ARRAY_LEN(argv), argv))
		redis_wire_lose(push->wire, "out of memory", (struct span){0});
	subscribe(push, INVALIDATE);
	subscribe(push, push->channel);
}

/* A list of keys, or nil for all of them. */
static void take_keys(struct redis_push *push, const redisReply *keys)
{
	size_t i;

	if (keys->type != REDIS_REPLY_ARRAY) {
		push->options.changed(push->options.context);
		return;
	}
	for (i = 0; i < keys->elements; i++) {
		const redisReply *key = keys->element[i];

		if (key->type == REDIS_REPLY_STRING &&
		    !span_is((struct span){key->str, key->len},
			     push->options.place.key))
			continue;
		push->options.changed(push->options.context);
		return;
	}
}

/* Names of fields with blanks between; `*`, or what was too long to be read,
 * means all. */
static void take_fields(struct redis_push *push, const redisReply *message)
{
	struct span rest = {message->str, message->len};

	if (message->type != REDIS_REPLY_STRING)
		rest = span_of("*");
	while (rest.len > 0) {
		const char *blank = memchr(rest.p, ' ', rest.len);
		size_t len = blank ? (size_t)(blank - rest.p) : rest.len;
		struct span field = {rest.p, len};

		if (len > 0)
			push->options.named(push->options.context, field);
		len += blank != NULL;
		rest.p += len;
		rest.len -= len;
	}
}

static void take_confirmation(struct redis_push *push)
{
	push->asked_ms = 0;
	if (++push->confirmed == SUBSCRIPTIONS)
		push->options.subscribed(push->options.context, push->client);
	/* Probes go on by the same timer; the count only matters once. */
	if (push->confirmed > SUBSCRIPTIONS)
		push->confirmed = SUBSCRIPTIONS + 1;
}

static void on_replied(void *context, const redisReply *reply)
{
	struct redis_push *push = context;
	const char *kind;

	if (reply->type == REDIS_REPLY_INTEGER && push->client < 0) {
		push->client = reply->integer;
		return;
	}
	if (reply->type == REDIS_REPLY_ERROR) {
		push->is_refused = true;
		redis_wire_lose(push->wire, "refused",
				(struct span){reply->str, reply->len});
		return;
	}
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 ||
	    reply->element[0]->type != REDIS_REPLY_STRING ||
	    reply->element[1]->type != REDIS_REPLY_STRING) {
		redis_wire_lose(push->wire, "a message of the wrong shape",
				(struct span){0});
		return;
	}
	kind = reply->element[0]->str;
	if (!strcmp(kind, "subscribe"))
		take_confirmation(push);
	else if (!strcmp(reply->element[1]->str, INVALIDATE))
		take_keys(push, reply->element[2]);
	else
		take_fields(push, reply->element[2]);
}

static void on_lost(void *context, const char *why)
{
	struct redis_push *push = context;

	push->options.lost(push->options.context, why, push->is_refused);
}

struct redis_push *redis_push_new(const struct redis_push_options *options)
{
	size_t channel_size = strlen(options->place.key) + sizeof(CHANGED);
	struct redis_push *push = calloc(1, sizeof(*push) + channel_size);
	const struct redis_wire_options wire = {.place = options->place,
						.opened = on_opened,
						.replied = on_replied,
						.lost = on_lost,
						.context = push};

	if (!push)
		return NULL;
	push->options = *options;
	push->client = -1;
	snprintf(push->channel, channel_size, "%s" CHANGED, options->place.key);
	push->timer = evtimer_new(options->place.loop->base, on_timer, push);
	push->wire = push->timer ? redis_wire_new(&wire) : NULL;
	if (!push->wire) {
		redis_push_free(push);
		return NULL;
	}
	return push;
}

void redis_push_set_interval(struct redis_push *push, int64_t interval_ms)
{
	push->options.interval_ms = interval_ms;
}

void redis_push_free(struct redis_push *push)
{
	if (!push)
		return;
	redis_wire_free(push->wire);
	if (push->timer)
		event_free(push->timer);
	free(push);
}
