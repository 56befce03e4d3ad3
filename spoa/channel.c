/* SPDX-License-Identifier: MIT */
/*
 * channel: opens it, probes it, opens it again.
 */
#include "channel.h"

#include <stdlib.h>

#include "log.h"
#include "redis_push.h"

enum {
	RETRY_MS = 200,		/* after it was lost; doubles */
	STABLE_MS = 10 * 1000,	/* up for so long, it begins anew */
	REFUSED_MS = 10 * 1000, /* after the server refused */
};

struct channel {
	struct channel_options options;
	struct redis *redis; /* of the server in question; or NULL */
	struct redis_place place;
	struct redis_push *push; /* the subscriber; or NULL */
	enum { CHANNEL_DOWN, CHANNEL_ASKED, CHANNEL_UP } state;
	bool is_said;	  /* the log has why it is down */
	bool is_settled;  /* since it was opened */
	int64_t up_ms;	  /* when it last came up */
	int64_t retry_ms; /* the next delay */
	struct event *timer;
	struct channel_counters counters;
};

static void tell(struct channel *channel, enum store_news news,
		 struct span field)
{
	channel->options.news(channel->options.context, news, field);
}

const struct channel_counters *channel_count(const struct channel *channel)
{
	return &channel->counters;
}

static void hear(struct channel *channel)
{
	channel->counters.heard_ms = loop_now(channel->options.loop);
}

static void settle(struct channel *channel)
{
	if (channel->is_settled)
		return;
	channel->is_settled = true;
	channel->options.settled(channel->options.context);
}

/* Says once why it is down; lives then end by --ttl alone. */
static void go_down(struct channel *channel, struct span why)
{
	if (channel->state == CHANNEL_UP) {
		channel->counters.downs++;
		tell(channel, STORE_PUSH_DOWN, (struct span){0});
	}
	channel->counters.is_up = false;
	if (!channel->is_said)
		log_warn("redis does not tell of changes: --ttl alone counts",
			 log_text("server", channel->place.url->name),
			 log_span("error", why));
	channel->is_said = true;
	channel->state = CHANNEL_DOWN;
	redis_push_free(channel->push);
	channel->push = NULL;
	settle(channel);
}

/* How long to wait before the next try: a channel that comes and goes must not
 * fill the log. */
static int64_t next_delay(struct channel *channel)
{
	int64_t now_ms = loop_now(channel->options.loop);
	int64_t delay_ms;

	if (now_ms - channel->up_ms >= STABLE_MS)
		channel->retry_ms = RETRY_MS;
	delay_ms = channel->retry_ms;
	channel->retry_ms =
		delay_ms * 2 < REFUSED_MS ? delay_ms * 2 : REFUSED_MS;
	return delay_ms;
}

static void go_up(struct channel *channel)
{
	channel->state = CHANNEL_UP;
	channel->up_ms = loop_now(channel->options.loop);
	channel->is_said = false;
	channel->counters.is_up = true;
	channel->counters.ups++;
	log_info("redis tells of changes",
		 log_text("server", channel->place.url->name));
	tell(channel, STORE_PUSH_UP, (struct span){0});
	settle(channel);
	loop_arm(channel->timer, channel->options.interval_ms);
}

static void on_subscribed(void *context, int64_t client)
{
	struct channel *channel = context;

	channel->state = CHANNEL_ASKED;
	redis_track(channel->redis, client);
	/* What is asked from now on is asked after Redis began to track; what
	 * was asked before may have changed unseen. */
	tell(channel, STORE_CHANGED, (struct span){0});
}

static void on_changed(void *context)
{
	struct channel *channel = context;

	hear(channel);
	channel->counters.changes++;
	tell(channel, STORE_CHANGED, (struct span){0});
}

static void on_named(void *context, struct span field)
{
	struct channel *channel = context;

	hear(channel);
	channel->counters.names++;
	tell(channel, STORE_NAMED, field);
}

static void on_lost(void *context, const char *why, bool refused)
{
	struct channel *channel = context;

	go_down(channel, span_of(why));
	loop_arm(channel->timer, refused ? REFUSED_MS : next_delay(channel));
}

void channel_tracked(struct channel *channel, struct span problem)
{
	bool was_asked = channel->state == CHANNEL_ASKED;

	if (channel->state == CHANNEL_DOWN)
		return;
	if (problem.len > 0) {
		go_down(channel, problem);
		loop_arm(channel->timer,
			 was_asked ? REFUSED_MS : next_delay(channel));
		return;
	}
	hear(channel);
	if (was_asked)
		go_up(channel);
}

static void subscribe(struct channel *channel)
{
	const struct redis_push_options options = {
		.place = channel->place,
		.interval_ms = channel->options.interval_ms,
		.subscribed = on_subscribed,
		.changed = on_changed,
		.named = on_named,
		.lost = on_lost,
		.context = channel,
	};

	channel->push = redis_push_new(&options);
	if (!channel->push)
		loop_arm(channel->timer, REFUSED_MS);
}

/* Time to probe, or to try again. */
static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct channel *channel = context;

	(void)fd;
	(void)what;
	if (!channel->push) {
		subscribe(channel);
		return;
	}
	redis_check_tracking(channel->redis);
	loop_arm(channel->timer, channel->options.interval_ms);
}

void channel_open(struct channel *channel, struct redis *redis,
		  const struct redis_place *place)
{
	channel_close(channel, "another server serves");
	channel->redis = redis;
	channel->place = *place;
	channel->is_said = false;
	channel->is_settled = false;
	subscribe(channel);
}

void channel_close(struct channel *channel, const char *why)
{
	if (!channel->redis)
		return;
	/* The loss of the server was said already. */
	channel->is_said = channel->state != CHANNEL_UP || channel->is_said;
	channel->is_settled = true;
	go_down(channel, span_of(why));
	event_del(channel->timer);
	channel->redis = NULL;
}

struct channel *channel_new(const struct channel_options *options)
{
	struct channel *channel = calloc(1, sizeof(*channel));

	if (!channel)
		return NULL;
	channel->options = *options;
	channel->retry_ms = RETRY_MS;
	channel->timer = evtimer_new(options->loop->base, on_timer, channel);
	if (!channel->timer) {
		free(channel);
		return NULL;
	}
	return channel;
}

void channel_set_interval(struct channel *channel, int64_t interval_ms)
{
	channel->options.interval_ms = interval_ms;
	if (channel->push)
		redis_push_set_interval(channel->push, interval_ms);
}

void channel_free(struct channel *channel)
{
	if (!channel)
		return;
	redis_push_free(channel->push);
	event_free(channel->timer);
	free(channel);
}
