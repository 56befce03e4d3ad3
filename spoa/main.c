/* SPDX-License-Identifier: MIT */
/*
 * main: reads the configuration, puts the rooms together, runs the loop and
 * stops it on a signal.
 */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include "admin.h"
#include "bad_routes.h"
#include "conns.h"
#include "dns_cache.h"
#include "events.h"
#include "fastpath.h"
#include "feedback.h"
#include "guard.h"
#include "health.h"
#include "log.h"
#include "opts.h"
#include "preload.h"
#include "redis_store.h"
#include "redis_urls.h"
#include "snapshot.h"
#include "tls.h"

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

struct app {
	struct config config;
	char error[OPTS_ERROR_MAX];
	struct listener_address addresses[OPTS_LIST_MAX];
	struct fastpath_address tables[OPTS_LIST_MAX];
	struct listener_address feedback_address;
	struct redis_url urls[OPTS_LIST_MAX];
	struct tls *tls; /* NULL when no URL wants it */
	struct guard guard;
	struct dns_cache *dns;
	struct hash_secret secret;
	struct bad_routes bad_routes;
	struct loop loop;
	struct cache *cache;
	struct redis_store *store;
	struct resolver *resolver;
	struct conns *conns;
	struct listener_address admin_address;
	struct view view;
	struct admin *admin;	   /* NULL without --admin */
	struct snapshot *snapshot; /* NULL without --snapshot */
	struct fastpath *fastpath; /* NULL without --haproxy-socket */
	struct health *health;	   /* NULL when nothing is checked */
	struct feedback *feedback; /* NULL without --feedback */
	struct events events;
	size_t check_files;	 /* descriptors that checks may have */
	struct preload *preload; /* NULL without --preload */
	struct event *signals[3];
	struct event *alarm; /* when the resolver has to do something */
	int64_t alarm_ms;    /* that time, or -1 */
	bool is_cut;	     /* a second signal: stop at once */
};

static bool complain(struct app *app, const char *where, const char *what)
{
	snprintf(app->error, sizeof(app->error), "%.300s: %.200s", where, what);
	return false;
}

static bool read_addresses(struct app *app)
{
	const struct opts_list *list = &app->config.listen;
	const struct opts_item *feedback = &app->config.feedback;
	const char *problem;
	size_t i;

	for (i = 0; i < list->count; i++)
		if (!listener_parse(list->items[i].text, &app->addresses[i],
				    &problem))
			return complain(app, list->items[i].where, problem);
	if (feedback->text &&
	    !feedback_parse(feedback->text, &app->feedback_address, &problem))
		return complain(app, feedback->where, problem);
	return true;
}

/* TLS when a URL wants it; the files are read when they are named. */
static bool open_tls(struct app *app)
{
	const struct config *config = &app->config;
	const struct tls_options options = {.ca = config->redis_ca.text,
					    .cert = config->redis_cert.text,
					    .key = config->redis_key.text};
	bool wanted = options.ca || options.cert || options.key;
	char why[TLS_WHY_MAX];
	size_t i;

	for (i = 0; i < config->redis.count; i++)
		wanted |= app->urls[i].is_tls;
	if (!wanted)
		return true;
	if (options.key && !options.cert)
		return complain(app, config->redis_key.where,
				"needs --redis-cert too");
	app->tls = tls_new(&options, why);
	return app->tls || complain(app, "TLS to redis", why);
}

static bool read_admin(struct app *app)
{
	const struct opts_item *item = &app->config.admin;
	const char *problem;

	if (!item->text)
		return true;
	if (!listener_parse(item->text, &app->admin_address, &problem))
		return complain(app, item->where, problem);
	if (!app->config.admin_public &&
	    !listener_is_private(&app->admin_address))
		return complain(app, item->where,
				"other machines reach this address: if they "
				"shall, add --admin-public");
	return true;
}

static bool open_admin(struct app *app)
{
	const char *text = app->config.admin.text;
	char error[LISTENER_ERROR_MAX];
	int fd;

	if (!text)
		return true;
	app->view = (struct view){
		.version = VERSION,
		.health = app->health,
		.watch = app->health ? health_face(app->health) : NULL,
		.feedback = app->feedback,
		.events = &app->events,
		.loop = &app->loop,
		.config = &app->config,
		.cache = app->cache,
		.resolver = app->resolver,
		.conns = app->conns,
		.store = app->store,
		.preload = app->preload,
		.snapshot = app->snapshot,
		.started_ms = loop_now(&app->loop)};
	app->admin = admin_new(&app->view);
	if (!app->admin)
		return complain(app, text, "out of memory");
	fd = listener_open(&app->admin_address, false, error);
	if (fd < 0)
		return complain(app, app->config.admin.where, error);
	if (!admin_listen(app->admin, fd, &app->admin_address)) {
		listener_close(fd, &app->admin_address);
		return complain(app, text, "out of memory");
	}
	log_info("admin listening", log_text("address", text));
	return true;
}

static bool read_tables(struct app *app)
{
	const struct opts_list *list = &app->config.haproxy_socket;
	const char *problem;
	size_t i;

	for (i = 0; i < list->count; i++)
		if (!fastpath_parse(list->items[i].text, &app->tables[i],
				    &problem))
			return complain(app, list->items[i].where, problem);
	return true;
}

static bool read_rules(struct app *app, const struct opts_list *list,
		       struct guard_rules *rules)
{
	const char *problem;
	size_t i;

	for (i = 0; i < list->count; i++)
		if (!guard_add(rules, list->items[i].text, &problem))
			return complain(app, list->items[i].where, problem);
	return true;
}

static bool read_guard(struct app *app)
{
	const struct config *config = &app->config;

	return read_rules(app, &config->allow_target, &app->guard.allowed) &&
	       read_rules(app, &config->deny_target, &app->guard.denied);
}

static bool open_listeners(struct app *app)
{
	const struct opts_list *list = &app->config.listen;
	char error[LISTENER_ERROR_MAX];
	size_t i;

	for (i = 0; i < list->count; i++) {
		int fd = listener_open(&app->addresses[i],
				       app->config.reuse_port, error);
		char where[300];

		snprintf(where, sizeof(where), "%.140s: %.140s",
			 list->items[i].where, list->items[i].text);
		if (fd < 0)
			return complain(app, where, error);
		if (!conns_listen(app->conns, fd, &app->addresses[i])) {
			listener_close(fd, &app->addresses[i]);
			return complain(app, where, "out of memory");
		}
	}
	for (i = 0; i < list->count; i++)
		log_info("listening", log_text("address", list->items[i].text));
	return true;
}

/* Where descriptors are few, checks leave most of them to HAProxy. */
static void share_files(struct app *app, rlim_t files)
{
	size_t share = (size_t)files / CHECK_SHARE;

	if (share < app->check_files)
		app->check_files =
			share > CHECK_FILES_MIN ? share : CHECK_FILES_MIN;
}

/* The soft limit of open files is often 1024; the hard one is ours to use. */
static void raise_file_limit(struct app *app)
{
	rlim_t needed = (rlim_t)app->config.max_connections + SPARE_FILES;
	rlim_t wanted = needed + CHECK_FILES;
	struct rlimit limit;

	app->check_files = CHECK_FILES;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
	share_files(app, limit.rlim_cur);
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < needed)
		log_warn("fewer open files than max-connections needs",
			 log_number("files", (int64_t)limit.rlim_cur),
			 log_number("wanted", (int64_t)needed));
}

static void warn_bad_route(void *context, const struct bad_route *bad)
{
	struct app *app = context;

	bad_routes_warn(&app->bad_routes, loop_now(&app->loop), bad);
}

/* What libevent says by itself, of name servers above all: else it would go to
 * stderr as it is. */
static void log_library(int severity, const char *message)
{
	if (severity == EVENT_LOG_DEBUG)
		log_debug("libevent", log_text("said", message));
	else
		log_warn("libevent", log_text("said", message));
}

static void on_signal(evutil_socket_t number, short what, void *context)
{
	struct app *app = context;

	(void)what;
	if (number == SIGHUP) {
		log_warn("SIGHUP ignored: a restart reads the configuration");
		return;
	}
	log_info("stopping", log_number("signal", number));
	app->is_cut = conns_are_stopping(app->conns);
	conns_stop(app->conns);
}

static void on_alarm(evutil_socket_t fd, short what, void *context)
{
	struct app *app = context;

	(void)fd;
	(void)what;
	app->alarm_ms = -1; /* the end of the turn does it */
}

static bool watch_signals(struct app *app)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
	size_t i;

	signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < ARRAY_LEN(numbers); i++) {
		app->signals[i] = evsignal_new(app->loop.base, numbers[i],
					       on_signal, app);
		if (!app->signals[i] || event_add(app->signals[i], NULL) != 0)
			return false;
	}
	app->alarm = evtimer_new(app->loop.base, on_alarm, app);
	app->alarm_ms = -1;
	return app->alarm != NULL;
}

static size_t known_routes(void *context)
{
	struct app *app = context;

	return cache_count(app->cache)->values;
}

static bool open_preload(struct app *app)
{
	const struct preload_options options = {
		.cache = app->cache,
		.resolver = app->resolver,
		.store = redis_store_face(app->store),
		.values_max = (size_t)app->config.cache_size,
		.text_max = ROUTE_TEXT_MAX};

	if (app->config.preload)
		app->preload = preload_new(&options);
	return app->preload || !app->config.preload;
}

static bool open_snapshot(struct app *app)
{
	const struct snapshot_options snapshot = {
		.loop = &app->loop,
		.path = app->config.snapshot.text,
		.cache = app->cache,
		.resolver = app->resolver,
		.stale_ms = app->config.stale_ms};

	if (!snapshot.path)
		return true;
	app->snapshot = snapshot_new(&snapshot);
	if (!app->snapshot)
		return false;
	snapshot_read(app->snapshot);
	return true;
}

static bool open_fastpath(struct app *app)
{
	const struct fastpath_options fastpath = {
		.loop = &app->loop,
		.addresses = app->tables,
		.count = app->config.haproxy_socket.count,
		.cache = app->cache,
		.resolver = app->resolver};

	if (fastpath.count == 0)
		return true;
	app->fastpath = fastpath_new(&fastpath, &app->secret);
	return app->fastpath != NULL;
}

static bool open_dns(struct app *app)
{
	app->dns = dns_cache_new(&app->loop, &app->secret);
	return app->dns != NULL;
}

static bool publish(void *context, struct span channel, struct span message)
{
	struct app *app = context;

	return redis_store_publish(app->store, channel, message);
}

/* Whoever has to know of a target that went up or down hears of it
 * here. */
static void target_changed(void *context, const struct health_change *change)
{
	struct app *app = context;

	if (app->fastpath && change->event == HEALTH_DOWN)
		fastpath_take_back_target(app->fastpath, change->target.address,
					  change->target.address_len,
					  change->target.port);
	events_tell(&app->events, change);
}

static void request_failed(void *context, const struct report *report)
{
	struct app *app = context;

	if (app->health)
		health_report(app->health, report->address, report->address_len,
			      report->port);
}

static bool open_health(struct app *app)
{
	const struct config *config = &app->config;
	int64_t targets_max = config->cache_size < WATCHED_MAX
				      ? config->cache_size
				      : WATCHED_MAX;
	const struct health_options health = {
		.loop = &app->loop,
		.secret = &app->secret,
		.targets_max = (size_t)targets_max,
		.open_max = app->check_files,
		.interval_ms = config->check_interval_ms,
		.timeout_ms = config->check_timeout_ms,
		.rules = {.fall = (uint8_t)config->check_fall,
			  .rise = (uint8_t)config->check_rise},
		.guard = &app->guard,
		.changed = target_changed,
		.context = app};

	app->events.options = (struct events_options){
		.key = config->routes.text, .publish = publish, .context = app};
	if (config->check_interval_ms == 0)
		return true;
	app->health = health_new(&health);
	return app->health != NULL;
}

static bool open_feedback(struct app *app)
{
	const struct opts_item *item = &app->config.feedback;
	const struct feedback_options options = {.loop = &app->loop,
						 .reuse_port =
							 app->config.reuse_port,
						 .failed = request_failed,
						 .context = app};
	char error[LISTENER_ERROR_MAX];
	char where[300];

	if (!item->text)
		return true;
	app->feedback = feedback_new(&options, &app->feedback_address, error);
	snprintf(where, sizeof(where), "%.140s: %.140s", item->where,
		 item->text);
	return app->feedback || complain(app, where, error);
}

static bool open_rooms(struct app *app)
{
	const struct config *config = &app->config;
	const struct cache_options cache = {
		.values_max = (size_t)config->cache_size,
		.ttl_ms = config->ttl_ms,
		.negative_ms = config->negative_ttl_ms,
		.stale_ms = config->stale_ms};
	const struct redis_store_options store = {
		.loop = &app->loop,
		.urls = app->urls,
		.url_count = config->redis.count,
		.tls = app->tls,
		.key = config->routes.text,
		.value_max = ROUTE_TEXT_MAX,
		.lookup_timeout_ms = config->lookup_timeout_ms,
		.ttl_ms = config->ttl_ms,
		.known = config->empty_guard ? known_routes : NULL,
		.context = app};
	struct resolver_options resolver = {
		.lookup_timeout_ms = config->lookup_timeout_ms,
		.waiting_max = (size_t)config->max_waiting,
		.guard = &app->guard,
		.dns = dns_cache_face(app->dns),
		.bad_route = warn_bad_route,
		.context = app};
	const struct conns_options conns = {
		.loop = &app->loop,
		.connections_max = (size_t)config->max_connections};

	app->cache = cache_new(&cache, &app->secret);
	app->conns = conns_new(&conns);
	if (!app->cache || !app->conns)
		return false;
	app->store = redis_store_new(&store, &app->secret);
	if (!app->store || !open_health(app))
		return false;
	if (app->health)
		resolver.watch = health_face(app->health);
	app->resolver = resolver_new(&resolver, &app->secret, app->cache,
				     redis_store_face(app->store));
	if (!app->resolver)
		return false;
	conns_set_resolver(app->conns, app->resolver);
	return open_fastpath(app) && open_snapshot(app) && open_preload(app);
}

static void close_rooms(struct app *app)
{
	size_t i;

	admin_free(app->admin);
	snapshot_free(app->snapshot);
	fastpath_free(app->fastpath);
	conns_free(app->conns);
	redis_store_free(app->store);
	preload_free(app->preload);
	resolver_free(app->resolver);
	dns_cache_free(app->dns);
	cache_free(app->cache);
	feedback_free(app->feedback);
	health_free(app->health);
	tls_free(app->tls);
	for (i = 0; i < ARRAY_LEN(app->signals); i++)
		if (app->signals[i])
			event_free(app->signals[i]);
	if (app->alarm)
		event_free(app->alarm);
	if (app->loop.base)
		loop_fini(&app->loop);
}

/* The earlier of two times, of which -1 is none. */
static int64_t earlier(int64_t a_ms, int64_t b_ms)
{
	if (a_ms < 0)
		return b_ms;
	return b_ms >= 0 && b_ms < a_ms ? b_ms : a_ms;
}

/* Lets the rooms do what is due and sets the alarm for what is next. */
static void work(struct app *app)
{
	int64_t now_ms = loop_now(&app->loop);
	int64_t next_ms = resolver_expire(app->resolver, now_ms);

	next_ms = earlier(next_ms, resolver_sweep(app->resolver, now_ms));
	if (app->fastpath)
		next_ms = earlier(next_ms, fastpath_work(app->fastpath));
	if (app->preload)
		next_ms = earlier(next_ms, preload_step(app->preload, now_ms));
	if (next_ms == app->alarm_ms)
		return;
	app->alarm_ms = next_ms;
	if (next_ms < 0)
		event_del(app->alarm);
	else
		loop_arm(app->alarm, next_ms - now_ms);
}

static bool serve(struct app *app)
{
	struct hash_secret *secret = &app->secret;

	if (getrandom(secret, sizeof(*secret), 0) != sizeof(*secret))
		return complain(app, "random numbers", strerror(errno));
	app->bad_routes.secret = *secret;
	raise_file_limit(app);
	if (!loop_init(&app->loop) || !watch_signals(app) || !open_dns(app) ||
	    !open_rooms(app))
		return complain(app, "start", "out of memory");
	if (!open_feedback(app) || !open_admin(app) || !open_listeners(app))
		return false;
	log_info("started", log_text("version", VERSION),
		 log_number("pid", getpid()));
	while (!app->is_cut && !conns_are_stopped(app->conns)) {
		loop_turn(&app->loop);
		work(app);
		conns_end_turn(app->conns);
	}
	if (app->snapshot)
		snapshot_write(app->snapshot);
	log_info("stopped");
	return true;
}

static bool run(struct app *app, int argc, char **argv)
{
	const struct config *config = &app->config;

	if (!opts_parse(argc, argv, &app->config, app->error))
		return false;
	if (config->help) {
		opts_print_help();
		return true;
	}
	if (config->version) {
		printf("spoa-router %s (libevent %s, hiredis "
		       "%d.%d.%d)\n",
		       VERSION, event_get_version(), HIREDIS_MAJOR,
		       HIREDIS_MINOR, HIREDIS_PATCH);
		return true;
	}
	log_setup((enum log_level)config->log_level,
		  (enum log_format)config->log_format);
	event_set_log_callback(log_library);
	if (!read_addresses(app) || !read_tables(app) || !read_admin(app) ||
	    !read_guard(app) ||
	    !redis_urls_read(config, app->urls, app->error) || !open_tls(app))
		return false;
	if (config->check) {
		printf("spoa-router: the configuration is valid\n");
		return true;
	}
	return serve(app);
}

int main(int argc, char **argv)
{
	struct app *app = calloc(1, sizeof(*app));
	bool done;

	if (!app)
		return EXIT_FAILURE;
	done = run(app, argc, argv);
	if (!done)
		fprintf(stderr, "spoa-router: %s\n", app->error);
	close_rooms(app);
	opts_free(&app->config);
	free(app);
	return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
