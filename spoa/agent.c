/* SPDX-License-Identifier: MIT */
/*
 * agent: makes the rooms from the bottom up and frees them from the top down.
 */
#include "agent.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>

#include "log.h"

#ifndef VERSION
#define VERSION "unknown"
#endif

enum {
	SPARE_FILES = 64,   /* descriptors besides HAProxy's connections ... */
	CHECK_FILES = 1024, /* ... and those of checks, at most ... */
	CHECK_FILES_MIN = 8,
	CHECK_SHARE = 8, /* ... where few are allowed: one in so many */
	WATCHED_MAX = 1 << 20,
};

/* Where descriptors are few, checks leave most of them to HAProxy. */
static void share_files(struct agent *self, rlim_t files)
{
	size_t share = (size_t)files / CHECK_SHARE;

	if (share < self->check_files)
		self->check_files =
			share > CHECK_FILES_MIN ? share : CHECK_FILES_MIN;
}

/* The soft limit of open files is often 1024; the hard one is ours to use. */
void agent_raise_file_limit(struct agent *self)
{
	rlim_t needed =
		(rlim_t)self->settings->config.max_connections + SPARE_FILES;
	rlim_t wanted = needed + CHECK_FILES;
	struct rlimit limit;

	self->check_files = CHECK_FILES;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	share_files(self, limit.rlim_cur);
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < needed)
		log_warn("fewer open files than max-connections needs",
			 log_number("files", (int64_t)limit.rlim_cur),
			 log_number("wanted", (int64_t)needed));
}

static void warn_bad_route(void *context, const struct bad_route *bad)
{
	struct agent *self = context;

	bad_routes_warn(&self->bad_routes, loop_now(self->loop), bad);
}

static size_t known_routes(void *context)
{
	struct agent *self = context;

	return cache_count(self->cache)->values;
}

static bool open_preload(struct agent *self)
{
	const struct preload_options options = {
		.cache = self->cache,
		.resolver = self->resolver,
		.store = redis_store_face(self->store),
		.values_max = (size_t)self->settings->config.cache_size,
		.text_max = ROUTE_TEXT_MAX};

	if (self->settings->config.preload)
		self->preload = preload_new(&options);
	return self->preload || !self->settings->config.preload;
}

static bool open_snapshot(struct agent *self)
{
	const struct snapshot_options snapshot = {
		.loop = self->loop,
		.path = self->settings->config.snapshot.text,
		.cache = self->cache,
		.resolver = self->resolver,
		.stale_ms = self->settings->config.stale_ms};

	if (!snapshot.path)
		return true;
	self->snapshot = snapshot_new(&snapshot);
	if (!self->snapshot)
		return false;
	snapshot_read(self->snapshot);
	return true;
}

static bool open_fastpath(struct agent *self)
{
	const struct fastpath_options fastpath = {
		.loop = self->loop,
		.addresses = self->settings->tables,
		.count = self->settings->config.haproxy_socket.count,
		.cache = self->cache,
		.resolver = self->resolver};

	if (fastpath.count == 0)
		return true;
	self->fastpath = fastpath_new(&fastpath, &self->secret);
	return self->fastpath != NULL;
}

static bool open_dns(struct agent *self)
{
	self->dns = dns_cache_new(self->loop, &self->secret);
	return self->dns != NULL;
}

static bool publish(void *context, struct span channel, struct span message)
{
	struct agent *self = context;

	return redis_store_publish(self->store, channel, message);
}

/* Whoever has to know of a target that went up or down hears of it
 * here. */
static void target_changed(void *context, const struct health_change *change)
{
	struct agent *self = context;

	if (self->fastpath && change->event == HEALTH_DOWN)
		fastpath_take_back_target(
			self->fastpath, change->target.address,
			change->target.address_len, change->target.port);
	events_tell(&self->events, change);
}

static void request_failed(void *context, const struct report *report)
{
	struct agent *self = context;

	if (self->health)
		health_report(self->health, report->address,
			      report->address_len, report->port);
}

struct health_times agent_times(const struct config *config)
{
	return (struct health_times){
		.interval_ms = config->check_interval_ms,
		.timeout_ms = config->check_timeout_ms,
		.rules = {.fall = (uint8_t)config->check_fall,
			  .rise = (uint8_t)config->check_rise}};
}

struct cache_options agent_lives(const struct config *config)
{
	return (struct cache_options){.values_max = (size_t)config->cache_size,
				      .ttl_ms = config->ttl_ms,
				      .negative_ms = config->negative_ttl_ms,
				      .stale_ms = config->stale_ms};
}

static bool open_health(struct agent *self)
{
	const struct config *config = &self->settings->config;
	int64_t targets_max = config->cache_size < WATCHED_MAX
				      ? config->cache_size
				      : WATCHED_MAX;
	const struct health_options health = {.loop = self->loop,
					      .secret = &self->secret,
					      .targets_max =
						      (size_t)targets_max,
					      .open_max = self->check_files,
					      .times = agent_times(config),
					      .guard = &self->settings->guard,
					      .changed = target_changed,
					      .context = self};

	self->events.options =
		(struct events_options){.key = config->routes.text,
					.publish = publish,
					.context = self};
	if (config->check_interval_ms == 0)
		return true;
	self->health = health_new(&health);
	return self->health != NULL;
}

static bool open_feedback(struct agent *self, struct bound_socket *socket)
{
	const struct feedback_options options = {
		.loop = self->loop, .failed = request_failed, .context = self};

	if (socket->fd < 0)
		return true;
	self->feedback =
		feedback_new(&options, sockets_take(socket), &socket->address);
	return self->feedback != NULL;
}

static bool open_admin(struct agent *self, struct bound_socket *socket)
{
	if (socket->fd < 0)
		return true;
	self->view = (struct view){
		.version = VERSION,
		.health = self->health,
		.watch = self->health ? health_face(self->health) : NULL,
		.feedback = self->feedback,
		.events = &self->events,
		.loop = self->loop,
		.config = &self->settings->config,
		.cache = self->cache,
		.resolver = self->resolver,
		.dns = self->dns,
		.conns = self->conns,
		.store = self->store,
		.preload = self->preload,
		.snapshot = self->snapshot,
		.fastpath = self->fastpath,
		.reloads = &self->reloads,
		.started_ms = loop_now(self->loop),
		.started_unix_s = time(NULL)};
	self->admin = admin_new(&self->view);
	if (!self->admin ||
	    !admin_listen(self->admin, socket->fd, &socket->address))
		return false;
	sockets_take(socket);
	return true;
}

static bool open_listeners(struct agent *self, struct sockets *sockets)
{
	size_t i;

	for (i = 0; i < sockets->listen_count; i++) {
		struct bound_socket *socket = &sockets->listen[i];

		if (!conns_listen(self->conns, socket->fd, &socket->address))
			return false;
		sockets_take(socket);
	}
	return true;
}

static bool open_rooms(struct agent *self)
{
	const struct config *config = &self->settings->config;
	const struct cache_options cache = agent_lives(config);
	const struct redis_store_options store = {
		.loop = self->loop,
		.urls = self->settings->urls,
		.url_count = config->redis.count,
		.tls = self->settings->tls,
		.key = config->routes.text,
		.value_max = ROUTE_TEXT_MAX,
		.lookup_timeout_ms = config->lookup_timeout_ms,
		.ttl_ms = config->ttl_ms,
		.known = config->empty_guard ? known_routes : NULL,
		.context = self};
	struct resolver_options resolver = {
		.lookup_timeout_ms = config->lookup_timeout_ms,
		.waiting_max = (size_t)config->max_waiting,
		.guard = &self->settings->guard,
		.dns = dns_cache_face(self->dns),
		.bad_route = warn_bad_route,
		.context = self};
	const struct conns_options conns = {
		.loop = self->loop,
		.connections_max = (size_t)config->max_connections};

	self->cache = cache_new(&cache, &self->secret);
	self->conns = conns_new(&conns);
	if (!self->cache || !self->conns)
		return false;
	self->store = redis_store_new(&store, &self->secret);
	if (!self->store || !open_health(self))
		return false;
	if (self->health)
		resolver.watch = health_face(self->health);
	self->resolver = resolver_new(&resolver, &self->secret, self->cache,
				      redis_store_face(self->store));
	if (!self->resolver)
		return false;
	conns_set_resolver(self->conns, self->resolver);
	return open_fastpath(self) && open_snapshot(self) && open_preload(self);
}

/* The earlier of two times, of which -1 is none. */
static int64_t earlier(int64_t a_ms, int64_t b_ms)
{
	if (a_ms < 0)
		return b_ms;
	return b_ms >= 0 && b_ms < a_ms ? b_ms : a_ms;
}

/* Lets the rooms do what is due and sets the alarm for what is next. */
static void work(struct agent *self)
{
	int64_t now_ms = loop_now(self->loop);
	int64_t next_ms = resolver_expire(self->resolver, now_ms);

	next_ms = earlier(next_ms, resolver_sweep(self->resolver, now_ms));
	if (self->fastpath)
		next_ms = earlier(next_ms, fastpath_work(self->fastpath));
	if (self->preload)
		next_ms = earlier(next_ms, preload_step(self->preload, now_ms));
	if (cache_trim(self->cache))
		next_ms = now_ms;
	if (next_ms == self->alarm_ms)
		return;
	self->alarm_ms = next_ms;
	if (next_ms < 0)
		event_del(self->alarm);
	else
		loop_arm(self->alarm, next_ms - now_ms);
}

void agent_turn(struct agent *self)
{
	loop_turn(self->loop);
	work(self);
	conns_end_turn(self->conns);
}

static void on_alarm(evutil_socket_t fd, short what, void *context)
{
	struct agent *self = context;

	(void)fd;
	(void)what;
	self->alarm_ms = -1; /* the end of the turn does it */
}

static bool open_alarm(struct agent *self)
{
	self->alarm = evtimer_new(self->loop->base, on_alarm, self);
	self->alarm_ms = -1;
	return self->alarm != NULL;
}

bool agent_open(struct agent *self, struct loop *loop,
		struct settings *settings, struct sockets *sockets,
		char error[OPTS_ERROR_MAX])
{
	struct hash_secret *secret = &self->secret;

	self->loop = loop;
	self->settings = settings;
	if (getrandom(secret, sizeof(*secret), 0) != sizeof(*secret)) {
		snprintf(error, OPTS_ERROR_MAX, "random numbers: %s",
			 strerror(errno));
		return false;
	}
	self->bad_routes.secret = *secret;
	agent_raise_file_limit(self);
	if (open_alarm(self) && open_dns(self) && open_rooms(self) &&
	    open_feedback(self, &sockets->feedback) &&
	    open_admin(self, &sockets->admin) && open_listeners(self, sockets))
		return true;
	snprintf(error, OPTS_ERROR_MAX, "start: out of memory");
	return false;
}

void agent_close(struct agent *self)
{
	admin_free(self->admin);
	snapshot_free(self->snapshot);
	fastpath_free(self->fastpath);
	conns_free(self->conns);
	redis_store_free(self->store);
	preload_free(self->preload);
	resolver_free(self->resolver);
	dns_cache_free(self->dns);
	cache_free(self->cache);
	feedback_free(self->feedback);
	health_free(self->health);
	if (self->alarm)
		event_free(self->alarm);
}
