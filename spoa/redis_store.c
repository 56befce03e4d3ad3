/* SPDX-License-Identifier: MIT */
/*
 * redis_store: chooses the server and keeps lookups from being lost when it
 * changes. One connection serves; while that is not the preferred server's, a
 * second one tries whether a better one is back.
 */
#include "redis_store.h"

#include <event2/dns.h>
#include <stdlib.h>

#include "hold.h"
#include "lead.h"
#include "log.h"
#include "redis.h"

enum {
	BACKOFF_MIN_MS = 20,
	BACKOFF_MAX_MS = 1000,
	STABLE_MS = 1000,    /* ready for this long: a loss is tried at once */
	TAKE_BACK_MS = 1000, /* between tries of a preferred server */
	PROBE_MIN_MS = 100,  /* between two probes of the push channel */
	PROBE_MAX_MS = 3000,
	PROBE_SHARE = 3,     /* so many within a life of a route */
	SETTLE_MS = 20,	     /* for the channel of changes to come up first */
	TRIES_MAX = 2,	     /* connections that a lookup may be sent on */
	HOLD_MS = 500,	     /* between two looks whether it is filled */
	SEEK_MS = 1000,	     /* for Sentinel to name the master */
	MOVED_MS = 1000,     /* at most one line of a move */
	WARN_MS = 10 * 1000, /* at most one warning of a kind */
};

/* One of --redis. */
struct seat {
	struct lead lead;
	struct log_limit failed;
};

struct redis_store {
	struct store face; /* first: the resolver holds a pointer to it */
	struct redis_store_options options;
	struct evdns_base *dns; /* NULL when no server has a name */
	uint64_t random;	/* xorshift state; never 0 */
	struct redis *redis;	/* serves or is being opened; or NULL */
	size_t current;		/* its number among the urls */
	struct redis *better;	/* a preferred server that is tried; or NULL */
	size_t better_number;
	struct channel *channel;     /* of changes, at the server that serves */
	struct event *retry;	     /* opens `redis` */
	bool is_settled;	     /* lookups may go */
	struct event *settle;	     /* the end of patience with the channel */
	struct event *take_back;     /* opens `better` */
	struct lookup_queue waiting; /* for a connection that is ready */
	bool is_seeking;	     /* `retry` is patience with Sentinel */
	bool is_down;		     /* every server was tried and failed */
	size_t failures;	     /* servers that failed in a row */
	int64_t backoff_ms;	     /* the next delay */
	int64_t grace_until_ms;	     /* lookups may wait for a connection */
	struct log_limit moved;
	struct hold hold;
	struct event *holding; /* looks whether the hash is filled */
	struct redis_store_counters counters;
	struct redis_errors errors;
	size_t seat_count; /* those that are set up */
	struct seat seats[];
};

static void open_current(struct redis_store *self);
static void open_better(struct redis_store *self);

static const char *name_of(const struct redis_store *self, size_t number)
{
	return lead_name(&self->seats[number].lead);
}

static int64_t now(struct redis_store *self)
{
	return loop_now(self->options.loop);
}

static void tell(void *context, enum store_news news, struct span field)
{
	struct redis_store *self = context;

	if (news == STORE_NAMED && span_is(field, "*"))
		hold_flush(&self->hold, now(self));
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

/* The delay, three quarters of it to all of it at random, doubles each time. */
static int64_t next_backoff(struct redis_store *self)
{
	uint64_t x = self->random;
	int64_t delay = self->backoff_ms;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	self->random = x;
	self->backoff_ms =
		delay * 2 < BACKOFF_MAX_MS ? delay * 2 : BACKOFF_MAX_MS;
	return delay - (int64_t)(x % (uint64_t)(delay / 4 + 1));
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

static struct redis_place place_of(struct redis_store *self,
				   const struct redis_url *url)
{
	return (struct redis_place){.loop = self->options.loop,
				    .dns = self->dns,
				    .tls = self->options.tls,
				    .errors = &self->errors,
				    .url = url,
				    .key = self->options.key,
				    .value_max = self->options.value_max};
}

static void on_ready(void *context, struct redis *redis)
{
	struct redis_store *self = context;
	struct redis_place place;

	if (redis == self->better) {
		if (self->redis) {
			channel_close(self->channel, "another server serves");
			take_lookups(self, self->redis);
			redis_free(self->redis);
		}
		self->redis = redis;
		self->current = self->better_number;
		self->better = NULL;
		event_del(self->retry);
	} else if (self->better && self->better_number >= self->current) {
		/* It was tried in place of one that is worse than this. */
		redis_free(self->better);
		self->better = NULL;
	}
	self->failures = 0;
	self->is_down = false;
	self->counters.connections++;
	lead_arrive(&self->seats[self->current].lead);
	log_info("redis connected",
		 log_text("server", name_of(self, self->current)),
		 log_text("role", self->current ? "backup" : "preferred"));
	/* Redis shall track before it is asked: else the first answers would
	 * have to be asked for again. */
	self->is_settled = false;
	loop_arm(self->settle, SETTLE_MS);
	place = *redis_place(redis);
	channel_open(self->channel, redis, &place);
	if (self->current > 0)
		loop_arm(self->take_back, TAKE_BACK_MS);
}

/* Goes on with the next server; when all have failed, after a delay. */
static void try_next(struct redis_store *self, bool at_once)
{
	self->current = (self->current + 1) % self->options.url_count;
	if (self->failures >= self->options.url_count) {
		self->is_down = true;
		self->failures = 0;
		self->current = 0;
		fail_waiting(self);
		at_once = false;
	}
	loop_arm(self->retry, at_once ? 0 : next_backoff(self));
}

static void warn_failed(struct redis_store *self, size_t number,
			const char *why)
{
	uint64_t held;

	self->counters.failures++;
	if (log_limit_pass(&self->seats[number].failed, now(self), WARN_MS,
			   &held))
		log_warn("redis cannot be used",
			 log_text("server", name_of(self, number)),
			 log_text("error", why),
			 log_number("held_back", (int64_t)held));
}

/* The server that served, or was to, is left for another one at once: what is
 * under way goes along. */
static void leave_current(struct redis_store *self, const char *why)
{
	struct lookup *lookup;

	self->counters.moves++;
	channel_close(self->channel, why);
	if (self->redis) {
		redis_take_lookups(self->redis, &self->waiting);
		redis_free(self->redis);
		self->redis = NULL;
	}
	/* It was no failure of theirs. */
	for (lookup = TAILQ_FIRST(&self->waiting); lookup;
	     lookup = TAILQ_NEXT(lookup, link))
		lookup->tries = 0;
	self->grace_until_ms = now(self) + self->options.lookup_timeout_ms;
	event_del(self->retry);
	/* What it said may not be what the other one says. */
	tell(self, STORE_CHANGED, (struct span){0});
}

static void log_move(struct redis_store *self, size_t number,
		     const struct redis *redis, const char *why)
{
	uint64_t held;

	if (log_limit_pass(&self->moved, now(self), MOVED_MS, &held))
		log_info("redis points elsewhere",
			 log_text("server", redis_place(redis)->url->name),
			 log_text("to", name_of(self, number)),
			 log_text("said", why),
			 log_number("held_back", (int64_t)held));
}

/* A preferred server that leads to the one that serves already is that one. */
static bool serves_already(struct redis_store *self, size_t number)
{
	if (!self->redis || strcmp(name_of(self, number),
				   redis_place(self->redis)->url->name) != 0)
		return false;
	self->current = number;
	if (self->current > 0)
		loop_arm(self->take_back, TAKE_BACK_MS);
	return true;
}

/* A node of a cluster says where the key is. */
static bool follow(struct redis_store *self, struct redis *redis,
		   const char *why)
{
	bool is_better = redis == self->better;
	size_t number = is_better ? self->better_number : self->current;
	struct lead *lead = &self->seats[number].lead;

	if (!redis_redirect(redis) || !lead_follow(lead, redis_redirect(redis)))
		return false;
	log_move(self, number, redis, why);
	if (is_better) {
		redis_free(redis);
		self->better = NULL;
		if (!serves_already(self, number))
			open_better(self);
	} else {
		leave_current(self, why);
		open_current(self);
	}
	return true;
}

static void lose_better(struct redis_store *self, struct redis *redis,
			const char *why)
{
	warn_failed(self, self->better_number, why);
	lead_return(&self->seats[self->better_number].lead);
	redis_free(redis);
	self->better = NULL;
	loop_arm(self->take_back, TAKE_BACK_MS);
}

static void on_lost(void *context, struct redis *redis, const char *why)
{
	struct redis_store *self = context;
	int64_t ready_for = redis_ready_for(redis, now(self));
	bool was_stable = ready_for >= STABLE_MS;

	if (follow(self, redis, why))
		return;
	if (redis == self->better) {
		lose_better(self, redis, why);
		return;
	}
	channel_close(self->channel, why);
	self->redis = NULL;
	if (ready_for >= 0) {
		self->counters.losses++;
		log_warn("redis lost",
			 log_text("server", name_of(self, self->current)),
			 log_text("error", why));
		self->grace_until_ms =
			now(self) + self->options.lookup_timeout_ms;
		/* The same server may be back at once: try it first when there
		 * is no other. */
		self->failures = 0;
	} else {
		warn_failed(self, self->current, why);
		self->failures++;
	}
	if (was_stable)
		self->backoff_ms = BACKOFF_MIN_MS;
	take_lookups(self, redis);
	redis_free(redis);
	lead_return(&self->seats[self->current].lead);
	/* Servers that lose each link as soon as it is ready are not hammered
	 * in turn either. */
	try_next(self,
		 was_stable || (ready_for < 0 && self->options.url_count > 1));
}

static void on_tracked(void *context, struct redis *redis, struct span problem)
{
	struct redis_store *self = context;

	if (redis == self->redis)
		channel_tracked(self->channel, problem);
}

static struct redis *open_redis(struct redis_store *self, size_t number,
				const struct redis_url *url)
{
	const struct lead *lead = &self->seats[number].lead;
	struct redis_options options = {
		.place = place_of(self, url),
		.is_asking = lead->is_asking,
		.is_master_wanted = lead->sentinel != NULL,
		.lookup_timeout_ms = self->options.lookup_timeout_ms,
		.ready = on_ready,
		.lost = on_lost,
		.tracked = on_tracked,
		.sized = self->options.known ? on_sized : NULL,
		.context = self,
	};

	return redis_new(&options);
}

static void open_current(struct redis_store *self)
{
	const struct redis_url *url =
		lead_url(&self->seats[self->current].lead);

	if (!url) { /* Sentinel may still name one */
		loop_arm(self->retry, SEEK_MS);
		self->is_seeking = true;
		return;
	}
	self->redis = open_redis(self, self->current, url);
	if (!self->redis)
		loop_arm(self->retry, BACKOFF_MAX_MS);
}

static void on_retry(evutil_socket_t fd, short what, void *context)
{
	struct redis_store *self = context;

	(void)fd;
	(void)what;
	if (!self->is_seeking) {
		open_current(self);
		return;
	}
	self->is_seeking = false;
	warn_failed(self, self->current, "no sentinel names the master");
	self->failures++;
	try_next(self, self->options.url_count > 1);
}

static void open_better(struct redis_store *self)
{
	const struct redis_url *url =
		lead_url(&self->seats[self->better_number].lead);

	self->better = url ? open_redis(self, self->better_number, url) : NULL;
	if (!self->better)
		loop_arm(self->take_back, TAKE_BACK_MS);
}

/* Tries the preferred servers in turn, one at a time. */
static void on_take_back(evutil_socket_t fd, short what, void *context)
{
	struct redis_store *self = context;

	(void)fd;
	(void)what;
	if (self->better || self->current == 0 || !self->redis ||
	    !redis_is_ready(self->redis))
		return;
	self->better_number = (self->better_number + 1) % self->current;
	open_better(self);
}

/* Sentinel names another master: what the old one says from now on is not
 * heard. */
static void on_turned(void *context, size_t number)
{
	struct redis_store *self = context;

	if (self->better && self->better_number == number) {
		redis_free(self->better);
		self->better = NULL;
		open_better(self);
	} else if (self->current == number) {
		leave_current(self, "another master is named");
		self->is_seeking = false;
		open_current(self);
	}
}

static bool is_up(struct store *face, int64_t now_ms)
{
	struct redis_store *self = (struct redis_store *)face;

	if (self->hold.is_on)
		return false;
	if (self->redis && redis_is_ready(self->redis))
		return !redis_is_silent(self->redis, now_ms);
	return !self->is_down && now_ms < self->grace_until_ms;
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
	self->counters.is_connected =
		self->redis && redis_is_ready(self->redis);
	self->counters.is_holding = self->hold.is_on;
	self->counters.holds = self->hold.holds;
	return &self->counters;
}

const char *redis_store_server(const struct redis_store *self)
{
	return name_of(self, self->current);
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

/* Names are resolved by the loop. Without a resolv.conf the hosts file still
 * counts. */
static struct evdns_base *open_dns(struct event_base *base)
{
	struct evdns_base *dns =
		evdns_base_new(base, EVDNS_BASE_INITIALIZE_NAMESERVERS |
					     EVDNS_BASE_DISABLE_WHEN_INACTIVE);

	if (!dns) {
		dns = evdns_base_new(base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);
		if (dns)
			evdns_base_load_hosts(dns, "/etc/hosts");
	}
	return dns;
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
	if (self->redis)
		redis_set_timeout(self->redis, lookup_timeout_ms);
	if (self->better)
		redis_set_timeout(self->better, lookup_timeout_ms);
}

void redis_store_reread(struct redis_store *self)
{
	size_t i;

	for (i = 0; i < self->options.url_count; i++)
		lead_reread(&self->seats[i].lead);
}

static bool open_seats(struct redis_store *self)
{
	size_t i;

	for (i = 0; i < self->options.url_count; i++) {
		const struct lead_options options = {
			.place = place_of(self, &self->options.urls[i]),
			.turned = on_turned,
			.number = i,
			.context = self};

		self->seat_count++;
		if (!lead_init(&self->seats[i].lead, &options))
			return false;
	}
	return true;
}

struct redis_store *redis_store_new(const struct redis_store_options *options,
				    const struct hash_secret *secret)
{
	struct event_base *base = options->loop->base;
	struct redis_store *self = calloc(
		1, sizeof(*self) + options->url_count * sizeof(self->seats[0]));
	size_t i;

	if (!self)
		return NULL;
	self->face = (struct store){.ask = ask, .scan = scan, .is_up = is_up};
	self->options = *options;
	self->random = secret->k1 | 1;
	self->backoff_ms = BACKOFF_MIN_MS;
	TAILQ_INIT(&self->waiting);
	for (i = 0; i < options->url_count; i++)
		if (!self->dns && options->urls[i].path[0] == '\0')
			self->dns = open_dns(base);
	self->retry = evtimer_new(base, on_retry, self);
	self->take_back = evtimer_new(base, on_take_back, self);
	self->settle = evtimer_new(base, on_settle, self);
	self->holding = evtimer_new(base, on_holding, self);
	self->hold.key = options->key;
	self->channel = new_channel(self);
	if (!self->retry || !self->take_back || !self->settle ||
	    !self->holding || !self->channel || !open_seats(self)) {
		redis_store_free(self);
		return NULL;
	}
	self->grace_until_ms = now(self) + options->lookup_timeout_ms;
	open_current(self);
	return self;
}

static void close_redis(struct redis_store *self, struct redis *redis)
{
	if (!redis)
		return;
	redis_take_lookups(redis, &self->waiting);
	redis_free(redis);
}

void redis_store_free(struct redis_store *self)
{
	if (!self)
		return;
	channel_free(self->channel);
	close_redis(self, self->redis);
	close_redis(self, self->better);
	fail_waiting(self);
	while (self->seat_count > 0)
		lead_fini(&self->seats[--self->seat_count].lead);
	if (self->retry)
		event_free(self->retry);
	if (self->take_back)
		event_free(self->take_back);
	if (self->settle)
		event_free(self->settle);
	if (self->holding)
		event_free(self->holding);
	if (self->dns)
		evdns_base_free(self->dns, 0);
	free(self);
}
