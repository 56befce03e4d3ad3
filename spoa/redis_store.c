/* SPDX-License-Identifier: MIT */
/*
 * redis_store: keeps lookups from being lost when another server serves, and
 * lets Redis tell of changes.
 */
#include "redis_store.h"

#include <stdlib.h>

#include "hold.h"
#include "servers.h"

enum {
	PROBE_MIN_MS = 100, /* between two probes of the push channel */
	PROBE_MAX_MS = 3000,
	PROBE_SHARE = 3, /* so many within a life of a route */
	SETTLE_MS = 20,	 /* for the channel of changes to come up first */
	TRIES_MAX = 2,	 /* connections that a lookup may be sent on */
	HOLD_MS = 500,	 /* between two looks whether it is filled */
};

struct redis_store {
	struct store face; /* first: the resolver holds a pointer to it */
	struct redis_store_options options;
	struct servers *servers;
	struct redis *redis;	     /* that serves; or NULL */
	struct channel *channel;     /* of changes, at the server that serves */
	bool is_settled;	     /* lookups may go */
	struct event *settle;	     /* the end of patience with the channel */
	struct lookup_queue waiting; /* for a connection that is ready */
	int64_t grace_until_ms;	     /* lookups may wait for a connection */
	struct hold hold;
	struct event *holding; /* looks whether the hash is filled */
	struct redis_store_counters counters;
	struct redis_errors errors;
};

static int64_t now(struct redis_store *self)
{
	return loop_now(self->options.loop);
}

static void tell(void *context, enum store_news news, struct span field)
{
	struct redis_store *self = context;

	if (news == STORE_NAMED && span_is(field, "*"))
		hold_flush(&self->hold, now(self));
	else if (news == STORE_NAMED)
		hold_name(&self->hold, field, now(self));
	if (self->hold.is_on && self->redis)
		redis_probe(self->redis);
	if (self->face.news)
		self->face.news(self->face.context, news, field, now(self));
}

/* What the hash holds was seen; once it holds something again, all of it is to
 * be asked for. */
static bool on_sized(void *context, int64_t size, int64_t sent_ms)
{
	struct redis_store *self = context;
	bool was_on = self->hold.is_on;
	bool is_good =
		hold_judge(&self->hold, size,
			   self->options.known(self->options.context), sent_ms);

	if (self->hold.is_on && !was_on)
		loop_arm(self->holding, HOLD_MS);
	if (was_on && !self->hold.is_on)
		tell(self, STORE_CHANGED, (struct span){0});
	return is_good;
}

static void on_holding(evutil_socket_t fd, short what, void *context)
{
	struct redis_store *self = context;

	(void)fd;
	(void)what;
	if (!self->hold.is_on)
		return;
	if (self->redis)
		redis_probe(self->redis);
	loop_arm(self->holding, HOLD_MS);
}

static void fail_lookup(struct redis_store *self, struct lookup *lookup)
{
	lookup->done(lookup, STORE_FAILED, NULL, now(self));
}

/* Nobody can be asked: those that wait learn it now. */
static void fail_waiting(struct redis_store *self)
{
	struct lookup_queue failed = TAILQ_HEAD_INITIALIZER(failed);
	struct lookup *lookup;

	TAILQ_CONCAT(&failed, &self->waiting, link);
	while ((lookup = TAILQ_FIRST(&failed)) != NULL) {
		TAILQ_REMOVE(&failed, lookup, link);
		fail_lookup(self, lookup);
	}
}

static void send_lookup(struct redis_store *self, struct lookup *lookup)
{
	lookup->tries++;
	if (!redis_send(self->redis, lookup, now(self)))
		fail_lookup(self, lookup);
}

static void send_waiting(struct redis_store *self)
{
	struct lookup *lookup;

	while ((lookup = TAILQ_FIRST(&self->waiting)) != NULL) {
		TAILQ_REMOVE(&self->waiting, lookup, link);
		send_lookup(self, lookup);
	}
}

/* What was under way on a connection waits for the next one, unless it has
 * seen two of them fail. */
static void take_lookups(struct redis_store *self, struct redis *redis)
{
	struct lookup_queue open = TAILQ_HEAD_INITIALIZER(open);
	struct lookup *lookup;

	redis_take_lookups(redis, &open);
	while ((lookup = TAILQ_FIRST(&open)) != NULL) {
		TAILQ_REMOVE(&open, lookup, link);
		if (lookup->tries < TRIES_MAX)
			TAILQ_INSERT_TAIL(&self->waiting, lookup, link);
		else
			fail_lookup(self, lookup);
	}
}

static void on_settled(void *context)
{
	struct redis_store *self = context;

	event_del(self->settle);
	self->is_settled = true;
	if (self->redis && redis_is_ready(self->redis))
		send_waiting(self);
}

static void on_settle(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	on_settled(context);
}

static void on_arrived(void *context, struct redis *redis)
{
	struct redis_store *self = context;
	struct redis_place place = *redis_place(redis);

	self->redis = redis;
	/* Redis shall track before it is asked: else the first answers would
	 * have to be asked for again. */
	self->is_settled = false;
	loop_arm(self->settle, SETTLE_MS);
	channel_open(self->channel, redis, &place);
}

/* Lookups that were under way go along, and may wait for the next server. */
static void on_left(void *context, struct redis *redis, const char *why,
		    bool is_named)
{
	struct redis_store *self = context;
	struct lookup *lookup;

	channel_close(self->channel, why);
	self->redis = NULL;
	self->grace_until_ms = now(self) + self->options.lookup_timeout_ms;
	if (redis && !is_named)
		take_lookups(self, redis);
	if (!is_named)
		return;
	if (redis)
		redis_take_lookups(redis, &self->waiting);
	/* It was no failure of theirs. */
	for (lookup = TAILQ_FIRST(&self->waiting); lookup;
	     lookup = TAILQ_NEXT(lookup, link))
		lookup->tries = 0;
	/* What it said may not be what the other one says. */
	tell(self, STORE_CHANGED, (struct span){0});
}

static void on_down(void *context)
{
	struct redis_store *self = context;

	self->grace_until_ms = now(self);
	fail_waiting(self);
}

static void on_tracked(void *context, struct redis *redis, struct span problem)
{
	struct redis_store *self = context;

	if (redis == self->redis)
		channel_tracked(self->channel, problem);
}

static bool is_up(struct store *face, int64_t now_ms)
{
	struct redis_store *self = (struct redis_store *)face;

	if (self->hold.is_on)
		return false;
	if (self->redis && redis_is_ready(self->redis))
		return !redis_is_silent(self->redis, now_ms);
	return now_ms < self->grace_until_ms;
}

static bool ask(struct store *face, struct lookup *lookup, int64_t now_ms)
{
	struct redis_store *self = (struct redis_store *)face;

	if (!is_up(face, now_ms))
		return false;
	lookup->tries = 0;
	if (!self->redis || !redis_is_ready(self->redis) || !self->is_settled) {
		TAILQ_INSERT_TAIL(&self->waiting, lookup, link);
		return true;
	}
	lookup->tries = 1;
	return redis_send(self->redis, lookup, now_ms);
}

bool redis_store_publish(struct redis_store *self, struct span channel,
			 struct span message)
{
	return self->redis && redis_publish(self->redis, channel, message);
}

static bool scan(struct store *face, struct scan *step, int64_t now_ms)
{
	struct redis_store *self = (struct redis_store *)face;

	return is_up(face, now_ms) && self->is_settled && self->redis &&
	       redis_scan(self->redis, step);
}

const struct redis_store_counters *redis_store_count(struct redis_store *self)
{
	const struct servers_counters *servers = servers_count(self->servers);

	self->counters = (struct redis_store_counters){
		.is_connected = self->redis && redis_is_ready(self->redis),
		.is_holding = self->hold.is_on,
		.holds = self->hold.holds,
		.connections = servers->connections,
		.losses = servers->losses,
		.failures = servers->failures,
		.moves = servers->moves};
	return &self->counters;
}

const char *redis_store_server(const struct redis_store *self)
{
	return servers_name(self->servers);
}

const struct channel_counters *
redis_store_count_channel(const struct redis_store *self)
{
	return channel_count(self->channel);
}

const struct redis_errors *
redis_store_count_errors(const struct redis_store *self)
{
	return &self->errors;
}

struct store *redis_store_face(struct redis_store *self)
{
	return &self->face;
}

/* Two probes and their patience pass within a life of a route, so that no
 * change is missed for longer than --ttl. */
static int64_t probe_interval_ms(const struct redis_store *self)
{
	int64_t interval_ms = self->options.ttl_ms / PROBE_SHARE;

	if (interval_ms < PROBE_MIN_MS)
		return PROBE_MIN_MS;
	return interval_ms > PROBE_MAX_MS ? PROBE_MAX_MS : interval_ms;
}

static struct channel *new_channel(struct redis_store *self)
{
	const struct channel_options options = {.loop = self->options.loop,
						.interval_ms =
							probe_interval_ms(self),
						.news = tell,
						.settled = on_settled,
						.context = self};

	return channel_new(&options);
}

void redis_store_set_times(struct redis_store *self, int64_t lookup_timeout_ms,
			   int64_t ttl_ms)
{
	self->options.lookup_timeout_ms = lookup_timeout_ms;
	self->options.ttl_ms = ttl_ms;
	channel_set_interval(self->channel, probe_interval_ms(self));
	servers_set_timeout(self->servers, lookup_timeout_ms);
}

void redis_store_reread(struct redis_store *self)
{
	servers_reread(self->servers);
}

static struct servers *new_servers(struct redis_store *self, uint64_t seed)
{
	const struct redis_store_options *from = &self->options;
	const struct servers_options options = {
		.loop = from->loop,
		.urls = from->urls,
		.url_count = from->url_count,
		.tls = from->tls,
		.errors = &self->errors,
		.key = from->key,
		.value_max = from->value_max,
		.lookup_timeout_ms = from->lookup_timeout_ms,
		.seed = seed,
		.arrived = on_arrived,
		.left = on_left,
		.down = on_down,
		.tracked = on_tracked,
		.sized = from->known ? on_sized : NULL,
		.context = self};

	return servers_new(&options);
}

struct redis_store *redis_store_new(const struct redis_store_options *options,
				    const struct hash_secret *secret)
{
	struct event_base *base = options->loop->base;
	struct redis_store *self = calloc(1, sizeof(*self));

	if (!self)
		return NULL;
	self->face = (struct store){.ask = ask, .scan = scan, .is_up = is_up};
	self->options = *options;
	TAILQ_INIT(&self->waiting);
	self->settle = evtimer_new(base, on_settle, self);
	self->holding = evtimer_new(base, on_holding, self);
	self->hold.key = options->key;
	self->grace_until_ms = now(self) + options->lookup_timeout_ms;
	self->channel = new_channel(self);
	if (self->settle && self->holding && self->channel)
		self->servers = new_servers(self, secret->k1);
	if (!self->servers) {
		redis_store_free(self);
		return NULL;
	}
	return self;
}

void redis_store_free(struct redis_store *self)
{
	if (!self)
		return;
	channel_free(self->channel);
	if (self->redis)
		redis_take_lookups(self->redis, &self->waiting);
	servers_free(self->servers);
	fail_waiting(self);
	if (self->settle)
		event_free(self->settle);
	if (self->holding)
		event_free(self->holding);
	free(self);
}
