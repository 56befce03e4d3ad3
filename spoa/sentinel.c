/* SPDX-License-Identifier: MIT */
/*
 * sentinel: a watcher for each of them, and the newest of what they say.
 */
#include "sentinel.h"

#include <event2/util.h>
#include <stdlib.h>

#include "log.h"
#include "redis_reply.h"
#include "replicas.h"

enum {
	INTERVAL_MS = 3000,  /* between two questions, and the patience */
	RETRY_MS = 500,	     /* after a sentinel was lost */
	OTHERS_MS = 200,     /* the first answer of all waits for others */
	AGE_MS = 60 * 1000,  /* an answer counts for so long */
	REPLY_MAX = 4096,    /* bytes of one string */
	WARN_MS = 10 * 1000, /* at most one warning of a kind */
};

/* What may mean another master; each message makes us ask. */
#define SWITCHED "+switch-master"
#define PROMOTED "+promoted-slave" /* before all replicas follow */

struct watcher {
	struct sentinel *sentinel;
	struct redis_url url; /* of this sentinel itself */
	struct redis_wire *wire;
	struct event *timer; /* of the next question or connection */
	enum { IDLE, WANTS_ADDRESS, WANTS_DETAILS, WANTS_REPLICAS } state;
	bool is_open;
	bool is_listening;	   /* subscribed, or about to be */
	struct redis_address said; /* in the answer under way, */
	uint64_t said_epoch;	   /* this too */
	struct redis_address master;
	struct replica_list replicas;
	uint64_t epoch;	     /* of its configuration */
	int64_t answered_ms; /* 0: never */
	struct log_limit lost;
	struct log_limit unknown;
	struct log_limit unlisted;
};

struct sentinel {
	struct sentinel_options options;
	struct redis_address named; /* in use: the master, or a replica */
	bool is_replica;
	struct redis_address master; /* as the newest answer has it */
	struct replicas_avoided avoided;
	uint64_t random;
	struct event *others; /* the end of patience with them */
	size_t count;
	struct watcher watchers[];
};

static int64_t now(const struct sentinel *sentinel)
{
	return loop_now(sentinel->options.place.loop);
}

static bool is_fresh(const struct watcher *watcher)
{
	return watcher->answered_ms &&
	       now(watcher->sentinel) - watcher->answered_ms <= AGE_MS;
}

/* Who gave the newest answer; of equally new ones one that says what was taken
 * before. */
static const struct watcher *newest(const struct sentinel *sentinel)
{
	const struct watcher *best = NULL;
	size_t i;

	for (i = 0; i < sentinel->count; i++) {
		const struct watcher *watcher = &sentinel->watchers[i];

		if (!is_fresh(watcher))
			continue;
		if (!best || watcher->epoch > best->epoch ||
		    (watcher->epoch == best->epoch &&
		     redis_url_is_same(&watcher->master, &sentinel->master)))
			best = watcher;
	}
	return best;
}

static size_t answers(const struct sentinel *sentinel)
{
	size_t count = 0;
	size_t i;

	for (i = 0; i < sentinel->count; i++)
		count += sentinel->watchers[i].answered_ms != 0;
	return count;
}

/* The replica to read, of those that a sentinel with the newest answer finds
 * well; false when there is none. */
static bool choose_replica(const struct sentinel *sentinel, uint64_t epoch,
			   struct redis_address *to)
{
	struct replica_list list = {0};
	const struct redis_address *at;
	size_t i;

	for (i = 0; i < sentinel->count; i++)
		if (is_fresh(&sentinel->watchers[i]) &&
		    sentinel->watchers[i].epoch == epoch)
			replicas_add(&list, &sentinel->watchers[i].replicas);
	at = replicas_choose(&list, &sentinel->avoided,
			     sentinel->is_replica ? &sentinel->named : NULL,
			     sentinel->random, now(sentinel));
	if (at)
		*to = *at;
	return at != NULL;
}

static void name_server(struct sentinel *sentinel)
{
	const struct redis_url *url = sentinel->options.place.url;
	const struct watcher *best = newest(sentinel);
	struct redis_address at;
	bool is_replica;

	event_del(sentinel->others);
	if (!best)
		return;
	sentinel->master = best->master;
	is_replica = url->reads_replica &&
		     choose_replica(sentinel, best->epoch, &at);
	if (!is_replica)
		at = best->master;
	if (redis_url_is_same(&at, &sentinel->named) &&
	    is_replica == sentinel->is_replica)
		return;
	sentinel->named = at;
	sentinel->is_replica = is_replica;
	log_info(is_replica ? "sentinel names a replica"
			    : "sentinel names the master",
		 log_text("master", url->master), log_text("host", at.host),
		 log_number("port", at.port));
	sentinel->options.named(sentinel->options.context, &at, is_replica);
}

void sentinel_refuse(struct sentinel *sentinel)
{
	if (!sentinel->is_replica)
		return;
	replicas_avoid(&sentinel->avoided, &sentinel->named, now(sentinel));
	loop_arm(sentinel->others, 0);
}

static void on_others(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	name_server(context);
}

/* The first one to answer may be the one that knows least. */
static void take_answer(struct watcher *watcher)
{
	struct sentinel *sentinel = watcher->sentinel;

	watcher->state = IDLE;
	watcher->epoch = watcher->said_epoch;
	watcher->master = watcher->said;
	watcher->answered_ms = now(sentinel);
	if (sentinel->named.port || answers(sentinel) > sentinel->count / 2)
		name_server(sentinel);
	else
		loop_arm(sentinel->others, OTHERS_MS);
}

/* Who listens may not ask, so it stops listening for the question; all go in
 * one write, and nothing can happen between. Valkey 8.0 refuses to stop what
 * was not begun. */
static void ask(struct watcher *watcher)
{
	const struct redis_url *url = watcher->sentinel->options.place.url;
	const char *unsubscribe[] = {"UNSUBSCRIBE", SWITCHED, PROMOTED};
	const char *address[] = {"SENTINEL", "GET-MASTER-ADDR-BY-NAME",
				 url->master};
	const char *details[] = {"SENTINEL", "MASTER", url->master};
	const char *replicas[] = {"SENTINEL", "REPLICAS", url->master};
	const char *subscribe[] = {"SUBSCRIBE", SWITCHED, PROMOTED};

	if (!watcher->is_open || watcher->state != IDLE)
		return;
	watcher->state = WANTS_ADDRESS;
	loop_arm(watcher->timer, INTERVAL_MS);
	if ((watcher->is_listening &&
	     !redis_wire_say(watcher->wire, 3, unsubscribe)) ||
	    !redis_wire_say(watcher->wire, 3, address) ||
	    !redis_wire_say(watcher->wire, 3, details) ||
	    (url->reads_replica &&
	     !redis_wire_say(watcher->wire, 3, replicas)) ||
	    !redis_wire_say(watcher->wire, 3, subscribe))
		redis_wire_lose(watcher->wire, "out of memory",
				(struct span){0});
	watcher->is_listening = true;
}

void sentinel_ask(struct sentinel *sentinel)
{
	size_t i;

	for (i = 0; i < sentinel->count; i++)
		ask(&sentinel->watchers[i]);
}

static void warn_unknown(struct watcher *watcher)
{
	uint64_t held;

	if (log_limit_pass(&watcher->unknown, now(watcher->sentinel), WARN_MS,
			   &held))
		log_warn("sentinel knows no such master",
			 log_text("sentinel", watcher->url.name),
			 log_text("master",
				  watcher->sentinel->options.place.url->master),
			 log_number("held_back", (int64_t)held));
}

static bool read_address(const redisReply *reply, struct redis_address *to)
{
	return reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
	       redis_reply_address(redis_reply_text(reply->element[0]),
				   redis_reply_text(reply->element[1]), to);
}

/* Who may not see the details has no epoch to tell. */
static void take_details(struct watcher *watcher, const redisReply *reply)
{
	struct span epoch = redis_reply_find(reply, "config-epoch");

	watcher->said_epoch = epoch.len ? strtoull(epoch.p, NULL, 10) : 0;
	watcher->state = WANTS_REPLICAS;
	if (!watcher->sentinel->options.place.url->reads_replica)
		take_answer(watcher);
}

/* Who may not see them is no reason to do without the master. */
static void take_replicas(struct watcher *watcher, const redisReply *reply)
{
	uint64_t held;

	replicas_read(reply, &watcher->replicas);
	if (reply->type == REDIS_REPLY_ERROR &&
	    log_limit_pass(&watcher->unlisted, now(watcher->sentinel), WARN_MS,
			   &held))
		log_warn("sentinel does not list the replicas",
			 log_text("sentinel", watcher->url.name),
			 log_span("error", redis_reply_text(reply)),
			 log_number("held_back", (int64_t)held));
	take_answer(watcher);
}

/* Confirmations and messages are lists of three that begin with a word. */
static bool is_news(const redisReply *reply)
{
	return reply->type == REDIS_REPLY_ARRAY && reply->elements == 3 &&
	       reply->element[0]->type == REDIS_REPLY_STRING;
}

static void on_replied(void *context, const redisReply *reply)
{
	struct watcher *watcher = context;

	if (is_news(reply)) {
		if (!strcmp(reply->element[0]->str, "message"))
			ask(watcher);
	} else if (watcher->state == WANTS_DETAILS) {
		take_details(watcher, reply);
	} else if (watcher->state == WANTS_REPLICAS) {
		take_replicas(watcher, reply);
	} else if (watcher->state == IDLE) {
		/* Who may not subscribe is asked every INTERVAL_MS. */
		watcher->is_listening = false;
	} else if (reply->type == REDIS_REPLY_ERROR) {
		redis_wire_lose(watcher->wire, "refused",
				(struct span){reply->str, reply->len});
	} else if (reply->type == REDIS_REPLY_NIL) {
		warn_unknown(watcher);
		watcher->state = IDLE;
	} else if (read_address(reply, &watcher->said)) {
		watcher->state = WANTS_DETAILS;
	} else {
		redis_wire_lose(watcher->wire, "an answer of the wrong shape",
				(struct span){0});
	}
}

static void on_opened(void *context)
{
	struct watcher *watcher = context;

	watcher->is_open = true;
	watcher->state = IDLE;
	ask(watcher);
}

static void on_lost(void *context, const char *why)
{
	struct watcher *watcher = context;
	uint64_t held;

	if (log_limit_pass(&watcher->lost, now(watcher->sentinel), WARN_MS,
			   &held))
		log_warn("sentinel cannot be used",
			 log_text("sentinel", watcher->url.name),
			 log_text("error", why),
			 log_number("held_back", (int64_t)held));
	redis_wire_free(watcher->wire);
	watcher->wire = NULL;
	watcher->is_open = false;
	watcher->is_listening = false;
	watcher->state = IDLE;
	loop_arm(watcher->timer, RETRY_MS);
}

static void open_wire(struct watcher *watcher)
{
	struct redis_wire_options options = {
		.place = watcher->sentinel->options.place,
		.opened = on_opened,
		.replied = on_replied,
		.lost = on_lost,
		.context = watcher};

	options.place.url = &watcher->url;
	options.place.value_max = REPLY_MAX;
	watcher->wire = redis_wire_new(&options);
	if (!watcher->wire)
		loop_arm(watcher->timer, RETRY_MS);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct watcher *watcher = context;

	(void)fd;
	(void)what;
	if (!watcher->wire)
		open_wire(watcher);
	else if (watcher->is_open && watcher->state != IDLE)
		redis_wire_lose(watcher->wire, "no answer", (struct span){0});
	else
		ask(watcher);
}

static bool init_watcher(struct sentinel *sentinel, size_t number)
{
	const struct redis_url *url = sentinel->options.place.url;
	const struct redis_address *at = &url->sentinels[number];
	struct watcher *watcher = &sentinel->watchers[number];
	struct redis_url *to = &watcher->url;

	watcher->sentinel = sentinel;
	to->is_tls = url->is_tls;
	memcpy(to->user, url->sentinel_user, sizeof(to->user));
	memcpy(to->password, url->sentinel_password, sizeof(to->password));
	if (!redis_url_lead(to, span_of(at->host), at->port, to))
		return false;
	watcher->timer = evtimer_new(sentinel->options.place.loop->base,
				     on_timer, watcher);
	if (watcher->timer)
		loop_arm(watcher->timer, 0);
	return watcher->timer != NULL;
}

struct sentinel *sentinel_new(const struct sentinel_options *options)
{
	size_t count = options->place.url->sentinel_count;
	struct sentinel *sentinel = calloc(
		1, sizeof(*sentinel) + count * sizeof(sentinel->watchers[0]));
	size_t i;

	if (!sentinel)
		return NULL;
	sentinel->options = *options;
	evutil_secure_rng_get_bytes(&sentinel->random,
				    sizeof(sentinel->random));
	sentinel->others =
		evtimer_new(options->place.loop->base, on_others, sentinel);
	for (i = 0; i < count && sentinel->others; i++, sentinel->count++)
		if (!init_watcher(sentinel, i))
			break;
	if (sentinel->count == count)
		return sentinel;
	sentinel_free(sentinel);
	return NULL;
}

void sentinel_reread(struct sentinel *sentinel)
{
	const struct redis_url *url = sentinel->options.place.url;
	size_t i;

	for (i = 0; i < sentinel->count; i++)
		memcpy(sentinel->watchers[i].url.password,
		       url->sentinel_password, sizeof(url->sentinel_password));
}

void sentinel_free(struct sentinel *sentinel)
{
	size_t i;

	if (!sentinel)
		return;
	for (i = 0; i < sentinel->count; i++) {
		redis_wire_free(sentinel->watchers[i].wire);
		event_free(sentinel->watchers[i].timer);
	}
	if (sentinel->others)
		event_free(sentinel->others);
	free(sentinel);
}
