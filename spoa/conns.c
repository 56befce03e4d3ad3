/* SPDX-License-Identifier: MIT */
/*
 * conns: listeners, the bound of connections, and the steps of stopping.
 */
#include "conns.h"

#include <errno.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

enum {
	LISTENERS_MAX = 64,
	ACCEPT_MAX = 64,       /* connections in a turn; others wait */
	ACCEPT_PAUSE_MS = 100, /* when the system has no descriptor left */
	STOP_STEP_MS = 30,     /* between two connections that are closed */
	STOP_SPREAD_MS = 2500, /* to close many of them in all */
	STOP_GUEST_MS = 150,   /* late connections may ask for this long, */
	STOP_HEIR_MS = 30,   /* or this, when others wait for who comes next */
	STOP_LAST_MS = 150,  /* all that the last ones may take then */
	STOP_MAX_MS = 4000,  /* then what is left is cut */
	WARN_MS = 10 * 1000, /* at most one warning of a kind */
};

struct conn_listener {
	struct conns *conns;
	struct evconnlistener *events; /* NULL once closed */
	int fd;
	struct listener_address address;
};

struct conns {
	struct conns_options options;
	struct conn_shared shared;
	struct conn_listener listeners[LISTENERS_MAX];
	size_t listener_count;
	size_t accepted;      /* in this turn */
	struct event *resume; /* of accepting */
	struct event *stop;   /* the steps of stopping */
	int64_t stop_ms;      /* when stopping began, or 0 */
	int64_t stop_step_ms;
	bool is_deaf; /* the listeners are closed */
	struct log_limit refused;
	struct log_limit exhausted;
};

static int64_t now(const struct conns *conns)
{
	return loop_now(conns->options.loop);
}

const struct conn_counters *conns_count(const struct conns *conns)
{
	return &conns->shared.counters;
}

void conns_set_max(struct conns *conns, size_t connections_max)
{
	conns->options.connections_max = connections_max;
}

void conns_set_resolver(struct conns *conns, struct resolver *resolver)
{
	conns->shared.resolver = resolver;
}

static void open_conn(struct conns *conns, int fd,
		      const struct sockaddr *address)
{
	conn_open(&conns->shared, fd, address, conns->stop_ms != 0);
}

static void on_accept(struct evconnlistener *events, evutil_socket_t fd,
		      struct sockaddr *address, int len, void *context)
{
	struct conn_listener *listener = context;
	struct conns *conns = listener->conns;
	uint64_t held;

	(void)len;
	/* libevent would go on for as long as there are more. */
	if (++conns->accepted >= ACCEPT_MAX)
		evconnlistener_disable(events);
	if (conns->shared.counters.open < conns->options.connections_max) {
		open_conn(conns, fd, address);
		return;
	}
	close(fd);
	conns->shared.counters.refused++;
	if (log_limit_pass(&conns->refused, now(conns), WARN_MS, &held))
		log_warn("connection refused: max-connections reached",
			 log_number("open",
				    (int64_t)conns->shared.counters.open),
			 log_number("held_back", (int64_t)held));
}

/* The system has no descriptor or memory left: trying at once again would
 * only burn the processor. */
static void on_accept_error(struct evconnlistener *events, void *context)
{
	struct conn_listener *listener = context;
	struct conns *conns = listener->conns;
	int error = EVUTIL_SOCKET_ERROR();
	uint64_t held;

	evconnlistener_disable(events);
	loop_arm(conns->resume, ACCEPT_PAUSE_MS);
	if (log_limit_pass(&conns->exhausted, now(conns), WARN_MS, &held))
		log_error("cannot accept connections",
			  log_text("error", strerror(error)),
			  log_number("held_back", (int64_t)held));
}

static void listen_again(struct conns *conns)
{
	size_t i;

	for (i = 0; i < conns->listener_count; i++)
		if (conns->listeners[i].events)
			evconnlistener_enable(conns->listeners[i].events);
}

static void on_resume(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	listen_again(context);
}

bool conns_listen(struct conns *conns, int fd,
		  const struct listener_address *address)
{
	struct conn_listener *listener =
		&conns->listeners[conns->listener_count];

	if (conns->listener_count == LISTENERS_MAX)
		return false;
	listener->conns = conns;
	listener->fd = fd;
	listener->address = *address;
	listener->events =
		evconnlistener_new(conns->options.loop->base, on_accept,
				   listener, LEV_OPT_CLOSE_ON_EXEC, 0, fd);
	if (!listener->events)
		return false;
	evconnlistener_set_error_cb(listener->events, on_accept_error);
	conns->listener_count++;
	return true;
}

void conns_end_turn(struct conns *conns)
{
	conn_end_turn(&conns->shared);
	if (conns->accepted >= ACCEPT_MAX &&
	    !evtimer_pending(conns->resume, NULL))
		listen_again(conns);
	conns->accepted = 0;
}

/* Accepts what waits, then closes the listeners. What waits at a socket that
 * another keeps open is for whoever comes after us. */
static void close_listeners(struct conns *conns)
{
	size_t i;

	for (i = 0; i < conns->listener_count; i++) {
		struct conn_listener *listener = &conns->listeners[i];
		struct sockaddr_storage address = {0};
		socklen_t len = sizeof(address);
		int fd;

		while (!listener->address.is_foreign &&
		       (fd = accept4(listener->fd, (struct sockaddr *)&address,
				     &len, SOCK_NONBLOCK | SOCK_CLOEXEC)) >=
			       0) {
			open_conn(conns, fd, (struct sockaddr *)&address);
			len = sizeof(address);
		}
		evconnlistener_free(listener->events);
		listener->events = NULL;
		listener_close(listener->fd, &listener->address);
	}
	conns->is_deaf = true;
}

/* Is there somebody to come who serves what waits at our sockets? It can only
 * begin when we have gone, so the last of us do not linger. */
static bool has_heir(const struct conns *conns)
{
	size_t i;

	for (i = 0; i < conns->listener_count; i++)
		if (!conns->listeners[i].address.is_foreign)
			return false;
	return conns->listener_count > 0;
}

/* The connection that has been quiet the longest: most likely HAProxy has read
 * its last answer. Guests come after all others, and after the listeners. */
static struct conn *choose_leaving(struct conns *conns)
{
	int64_t guest_ms = has_heir(conns) ? STOP_HEIR_MS : STOP_GUEST_MS;
	struct conn *quietest = NULL;
	struct conn *conn;

	TAILQ_FOREACH(conn, &conns->shared.open, link) {
		if (conn->state != CONN_OPEN || conn->session.unanswered > 0)
			continue;
		if (conn->is_guest && (!conns->is_deaf ||
				       now(conns) - conn->opened_ms < guest_ms))
			continue;
		if (!quietest || conn->heard_ms < quietest->heard_ms)
			quietest = conn;
	}
	return quietest;
}

/* Is one left of those that were there when stopping began? */
static bool has_residents(const struct conns *conns)
{
	const struct conn *conn;

	TAILQ_FOREACH(conn, &conns->shared.open, link)
		if (!conn->is_guest && conn->state == CONN_OPEN)
			return true;
	return false;
}

/* Spaces the ends of all that are open over `spread_ms`, or less. */
static void set_step(struct conns *conns, int64_t spread_ms)
{
	int64_t step = spread_ms / (int64_t)(conns->shared.counters.open + 1);

	conns->stop_step_ms = step < STOP_STEP_MS ? step : STOP_STEP_MS;
}

static void on_stop(evutil_socket_t fd, short what, void *context)
{
	struct conns *conns = context;
	struct conn *leaving = choose_leaving(conns);

	(void)fd;
	(void)what;
	if (leaving)
		conn_say_goodbye(leaving);
	if (!conns->is_deaf && !has_residents(conns)) {
		close_listeners(conns);
		if (has_heir(conns))
			set_step(conns, STOP_LAST_MS);
	}
	loop_arm(conns->stop, conns->stop_step_ms);
}

void conns_stop(struct conns *conns)
{
	if (conns->stop_ms)
		return;
	conns->stop_ms = now(conns);
	set_step(conns, STOP_SPREAD_MS);
	loop_arm(conns->stop, 0);
}

bool conns_are_stopping(const struct conns *conns)
{
	return conns->stop_ms != 0;
}

bool conns_are_stopped(const struct conns *conns)
{
	if (!conns->stop_ms)
		return false;
	return (conns->is_deaf && TAILQ_EMPTY(&conns->shared.open)) ||
	       now(conns) - conns->stop_ms > STOP_MAX_MS;
}

struct conns *conns_new(const struct conns_options *options)
{
	struct conns *conns = calloc(1, sizeof(*conns));
	struct event_base *base = options->loop->base;

	if (!conns)
		return NULL;
	conns->options = *options;
	conn_init_shared(&conns->shared, options->loop);
	conns->resume = evtimer_new(base, on_resume, conns);
	conns->stop = evtimer_new(base, on_stop, conns);
	if (!conns->resume || !conns->stop) {
		conns_free(conns);
		return NULL;
	}
	return conns;
}

void conns_free(struct conns *conns)
{
	if (!conns)
		return;
	if (!conns->is_deaf)
		close_listeners(conns);
	conn_fini_shared(&conns->shared);
	if (conns->resume)
		event_free(conns->resume);
	if (conns->stop)
		event_free(conns->stop);
	free(conns);
}
