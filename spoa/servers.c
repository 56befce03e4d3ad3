/* SPDX-License-Identifier: MIT */
/*
 * servers: one connection serves, or is being opened; while that is not the
 * preferred server's, a second one tries whether a better one is back.
 */
#include "servers.h"

#include <event2/dns.h>
#include <stdlib.h>

#include "log.h"

enum {
	BACKOFF_MIN_MS = 20,
	BACKOFF_MAX_MS = 1000,
	STABLE_MS = 1000,    /* ready for this long: a loss is tried at once */
	TAKE_BACK_MS = 1000, /* between tries of a preferred server */
	SEEK_MS = 1000,	     /* for Sentinel to name the master */
	MOVED_MS = 1000,     /* at most one line of a move */
	WARN_MS = 10 * 1000, /* at most one warning of a kind */
};

/* One of --redis. */
struct seat {
	struct lead lead;
	struct log_limit failed;
};

struct servers {
	struct servers_options options;
	struct evdns_base *dns; /* NULL when no server has a name */
	uint64_t random;	/* see draw_random */
	struct redis *redis;	/* serves or is being opened; or NULL */
	size_t current;		/* its number among the urls */
	struct redis *better;	/* a preferred server that is tried; or NULL */
	size_t better_number;
	struct event *retry;	 /* opens `redis` */
	struct event *take_back; /* opens `better` */
	bool is_seeking;	 /* `retry` is patience with Sentinel */
	size_t failures;	 /* servers that failed in a row */
	int64_t backoff_ms;	 /* the next delay */
	struct log_limit moved;
	struct servers_counters counters;
	size_t seat_count; /* those that are set up */
	struct seat seats[];
};

static void open_current(struct servers *self);
static void open_better(struct servers *self);

static const char *name_of(const struct servers *self, size_t number)
{
	return lead_name(&self->seats[number].lead);
}

static int64_t now(struct servers *self)
{
	return loop_now(self->options.loop);
}

/* The delay, three quarters of it to all of it at random, doubles each time. */
static int64_t next_backoff(struct servers *self)
{
	uint64_t x = draw_random(&self->random);
	int64_t delay = self->backoff_ms;

	self->backoff_ms =
		delay * 2 < BACKOFF_MAX_MS ? delay * 2 : BACKOFF_MAX_MS;
	return delay - (int64_t)(x % (uint64_t)(delay / 4 + 1));
}

static struct redis_place place_of(const struct servers *self,
				   const struct redis_url *url)
{
	return (struct redis_place){.loop = self->options.loop,
				    .dns = self->dns,
				    .tls = self->options.tls,
				    .errors = self->options.errors,
				    .url = url,
				    .key = self->options.key,
				    .value_max = self->options.value_max};
}

/* The owner is told of one that served, or of any when another is named. */
static void drop_current(struct servers *self, const char *why, bool is_named)
{
	struct redis *redis = self->redis;
	bool served = redis && redis_ready_for(redis, now(self)) >= 0;

	self->redis = NULL;
	if (served || is_named)
		self->options.left(self->options.context, served ? redis : NULL,
				   why, is_named);
	redis_free(redis);
}

static void on_ready(void *context, struct redis *redis)
{
	struct servers *self = context;

	if (redis == self->better) {
		drop_current(self, "another server serves", false);
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
	self->counters.connections++;
	lead_arrive(&self->seats[self->current].lead);
	log_info("redis connected",
		 log_text("server", name_of(self, self->current)),
		 log_text("role", self->current ? "backup" : "preferred"));
	self->options.arrived(self->options.context, redis);
	if (self->current > 0)
		loop_arm(self->take_back, TAKE_BACK_MS);
}

/* Goes on with the next server; when all have failed, after a delay. */
static void try_next(struct servers *self, bool at_once)
{
	self->current = (self->current + 1) % self->options.url_count;
	if (self->failures >= self->options.url_count) {
		self->failures = 0;
		self->current = 0;
		self->options.down(self->options.context);
		at_once = false;
	}
	loop_arm(self->retry, at_once ? 0 : next_backoff(self));
}

static void warn_failed(struct servers *self, size_t number, const char *why)
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
static void leave_current(struct servers *self, const char *why)
{
	self->counters.moves++;
	drop_current(self, why, true);
	event_del(self->retry);
}

static void log_move(struct servers *self, size_t number,
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
static bool serves_already(struct servers *self, size_t number)
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
static bool follow(struct servers *self, struct redis *redis, const char *why)
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

static void lose_better(struct servers *self, struct redis *redis,
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
	struct servers *self = context;
	int64_t ready_for = redis_ready_for(redis, now(self));
	bool was_stable = ready_for >= STABLE_MS;

	if (follow(self, redis, why))
		return;
	if (redis == self->better) {
		lose_better(self, redis, why);
		return;
	}
	if (ready_for >= 0) {
		self->counters.losses++;
		log_warn("redis lost",
			 log_text("server", name_of(self, self->current)),
			 log_text("error", why));
		/* The same server may be back at once: try it first when there
		 * is no other. */
		self->failures = 0;
	} else {
		warn_failed(self, self->current, why);
		self->failures++;
	}
	drop_current(self, why, false);
	if (was_stable)
		self->backoff_ms = BACKOFF_MIN_MS;
	lead_return(&self->seats[self->current].lead);
	/* Servers that lose each link as soon as it is ready are not hammered
	 * in turn either. */
	try_next(self,
		 was_stable || (ready_for < 0 && self->options.url_count > 1));
}

static void on_tracked(void *context, struct redis *redis, struct span problem)
{
	struct servers *self = context;

	if (redis == self->redis)
		self->options.tracked(self->options.context, redis, problem);
}

static bool on_sized(void *context, int64_t size, int64_t sent_ms)
{
	struct servers *self = context;

	return self->options.sized(self->options.context, size, sent_ms);
}

static struct redis *open_redis(struct servers *self, size_t number,
				const struct redis_url *url)
{
	const struct lead *lead = &self->seats[number].lead;
	struct redis_options options = {
		.place = place_of(self, url),
		.is_asking = lead->is_asking,
		.role = lead->role,
		.lookup_timeout_ms = self->options.lookup_timeout_ms,
		.ready = on_ready,
		.lost = on_lost,
		.tracked = on_tracked,
		.sized = self->options.sized ? on_sized : NULL,
		.context = self,
	};

	return redis_new(&options);
}

static void open_current(struct servers *self)
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
	struct servers *self = context;

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

static void open_better(struct servers *self)
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
	struct servers *self = context;

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
	struct servers *self = context;

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

static bool open_seats(struct servers *self)
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

struct servers *servers_new(const struct servers_options *options)
{
	struct event_base *base = options->loop->base;
	struct servers *self = calloc(
		1, sizeof(*self) + options->url_count * sizeof(self->seats[0]));
	size_t i;

	if (!self)
		return NULL;
	self->options = *options;
	self->random = options->seed | 1;
	self->backoff_ms = BACKOFF_MIN_MS;
	for (i = 0; i < options->url_count; i++)
		if (!self->dns && options->urls[i].path[0] == '\0')
			self->dns = open_dns(base);
	self->retry = evtimer_new(base, on_retry, self);
	self->take_back = evtimer_new(base, on_take_back, self);
	if (!self->retry || !self->take_back || !open_seats(self)) {
		servers_free(self);
		return NULL;
	}
	open_current(self);
	return self;
}

void servers_free(struct servers *self)
{
	if (!self)
		return;
	redis_free(self->redis);
	redis_free(self->better);
	while (self->seat_count > 0)
		lead_fini(&self->seats[--self->seat_count].lead);
	if (self->retry)
		event_free(self->retry);
	if (self->take_back)
		event_free(self->take_back);
	if (self->dns)
		evdns_base_free(self->dns, 0);
	free(self);
}

void servers_set_timeout(struct servers *self, int64_t lookup_timeout_ms)
{
	self->options.lookup_timeout_ms = lookup_timeout_ms;
	if (self->redis)
		redis_set_timeout(self->redis, lookup_timeout_ms);
	if (self->better)
		redis_set_timeout(self->better, lookup_timeout_ms);
}

void servers_reread(struct servers *self)
{
	size_t i;

	for (i = 0; i < self->seat_count; i++)
		lead_reread(&self->seats[i].lead);
}

const char *servers_name(const struct servers *self)
{
	return name_of(self, self->current);
}

const struct servers_counters *servers_count(const struct servers *self)
{
	return &self->counters;
}
