/* SPDX-License-Identifier: MIT */
/*
 * sentinel: a watcher for each of them, and the newest of what they say.
 */
#include "sentinel.h"

#include <stdio.h>
#include <stdlib.h>

#include "log.h"

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
	enum { IDLE, WANTS_ADDRESS, WANTS_DETAILS } state;
	bool is_open;
	struct redis_address said; /* in the answer under way */
	struct redis_address master;
	uint64_t epoch;	     /* of its configuration */
	int64_t answered_ms; /* 0: never */
	struct log_limit lost;
	struct log_limit unknown;
};

struct sentinel {
	struct sentinel_options options;
	struct redis_address master; /* the one that was named */
	struct event *others;	     /* the end of patience with them */
	size_t count;
	struct watcher watchers[];
};

static int64_t now(const struct sentinel *sentinel)
{
	return loop_now(sentinel->options.place.loop);
}

static bool is_same(const struct redis_address *a,
		    const struct redis_address *b)
{
	return a->port == b->port && !strcmp(a->host, b->host);
}

/* The newest answer; of equally new ones the one that was taken before. */
static const struct redis_address *newest(const struct sentinel *sentinel)
{
	const struct watcher *best = NULL;
	size_t i;

	for (i = 0; i < sentinel->count; i++) {
		const struct watcher *watcher = &sentinel->watchers[i];

		if (!watcher->answered_ms ||
		    now(sentinel) - watcher->answered_ms > AGE_MS)
			continue;
		if (!best || watcher->epoch > best->epoch ||
		    (watcher->epoch == best->epoch &&
		     is_same(&watcher->master, &sentinel->master)))
			best = watcher;
	}
	return best ? &best->master : NULL;
}

static size_t answers(const struct sentinel *sentinel)
{
	size_t count = 0;
	size_t i;

	for (i = 0; i < sentinel->count; i++)
		count += sentinel->watchers[i].answered_ms != 0;
	return count;
}

static void name_master(struct sentinel *sentinel)
{
	const struct redis_address *master = newest(sentinel);

	event_del(sentinel->others);
	if (!master || is_same(master, &sentinel->master))
		return;
	sentinel->master = *master;
	log_info("sentinel names the master",
		 log_text("master", sentinel->options.place.url->master),
		 log_text("host", master->host),
		 log_number("port", master->port));
	sentinel->options.named(sentinel->options.context,
				span_of(sentinel->master.host),
				sentinel->master.port);
}

static void on_others(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	name_master(context);
}

/* The first one to answer may be the one that knows least. */
static void take_answer(struct watcher *watcher, uint64_t epoch)
{
	struct sentinel *sentinel = watcher->sentinel;

	watcher->state = IDLE;
	watcher->epoch = epoch;
	watcher->master = watcher->said;
	watcher->answered_ms = now(sentinel);
	if (sentinel->master.port || answers(sentinel) > sentinel->count / 2)
		name_master(sentinel);
	else
		loop_arm(sentinel->others, OTHERS_MS);
}

/* Who listens may not ask, so it stops listening for the question; all go in
 * one write, and nothing can happen between. */
static void ask(struct watcher *watcher)
{
	const char *name = watcher->sentinel->options.place.url->master;
	const char *unsubscribe[] = {"UNSUBSCRIBE", SWITCHED, PROMOTED};
	const char *address[] = {"SENTINEL", "GET-MASTER-ADDR-BY-NAME", name};
	const char *details[] = {"SENTINEL", "MASTER", name};
	const char *subscribe[] = {"SUBSCRIBE", SWITCHED, PROMOTED};

	if (!watcher->is_open || watcher->state != IDLE)
		return;
	watcher->state = WANTS_ADDRESS;
	loop_arm(watcher->timer, INTERVAL_MS);
	if (!redis_wire_say(watcher->wire, 3, unsubscribe) ||
	    !redis_wire_say(watcher->wire, 3, address) ||
	    !redis_wire_say(watcher->wire, 3, details) ||
	    !redis_wire_say(watcher->wire, 3, subscribe))
		redis_wire_lose(watcher->wire, "out of memory",
				(struct span){0});
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
	const redisReply *host, *port;
	unsigned long number;

	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
		return false;
	host = reply->element[0];
	port = reply->element[1];
	if (host->type != REDIS_REPLY_STRING || host->len == 0 ||
	    host->len >= sizeof(to->host) ||
	    memchr(host->str, '\0', host->len) ||
	    port->type != REDIS_REPLY_STRING)
		return false;
	number = strtoul(port->str, NULL, 10);
	if (number == 0 || number > UINT16_MAX)
		return false;
	memcpy(to->host, host->str, host->len + 1);
	to->port = (uint16_t)number;
	return true;
}

static uint64_t read_epoch(const redisReply *details)
{
	size_t i;

	for (i = 0; i + 1 < details->elements; i += 2)
		if (details->element[i]->str && details->element[i + 1]->str &&
		    !strcmp(details->element[i]->str, "config-epoch"))
			return strtoull(details->element[i + 1]->str, NULL, 10);
	return 0;
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
		/* Who may not see them has no epoch to tell. */
		take_answer(watcher, reply->type == REDIS_REPLY_ARRAY
					     ? read_epoch(reply)
					     : 0);
	} else if (watcher->state == IDLE) {
		/* Who may not subscribe is asked every INTERVAL_MS. */
		return;
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
