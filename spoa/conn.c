/* SPDX-License-Identifier: MIT */
/*
 * conn: sockets, buffers and events around the sessions. One read and one
 * write per readiness; what is closed is freed at the end of the turn, never
 * below its own callback.
 */
#include "conn.h"

#include <errno.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "log.h"

enum {
	INPUT_FIRST = 16 * 1024, /* bytes; HAProxy's largest frame by default */
	LISTENERS_MAX = 64,
	HELLO_MS = 10 * 1000,  /* a peer without HELLO is sent away */
	LINGER_MS = 1000,      /* after a goodbye the peer may read it */
	ACCEPT_PAUSE_MS = 100, /* when the system has no descriptor left */
	STOP_STEP_MS = 30,     /* between two connections that are closed */
	STOP_SPREAD_MS = 2500, /* to close many of them in all */
	STOP_GUEST_MS = 150,   /* late connections may ask for this long */
	STOP_MAX_MS = 4000,    /* then what is left is cut */
	WARN_MS = 10 * 1000,   /* at most one warning of a kind */
	PEER_MAX = 64,
};

/* A question that waits for the resolver. */
struct pending {
	struct waiter waiter; /* first: the resolver hands it back */
	struct conn *conn;
	uint64_t stream_id;
	uint64_t frame_id;
	LIST_ENTRY(pending) link;
};

struct conn {
	struct conns *conns;
	int fd;
	enum {
		CONN_OPEN,   /* frames go both ways */
		CONN_ENDING, /* the output is sent, nothing is read */
		CONN_LINGER, /* the goodbye is sent, what comes is waste */
		CONN_CLOSED  /* freed at the end of the turn */
	} state;
	bool is_guest;	 /* came while stopping */
	bool is_dirty;	 /* on the list of those to flush */
	bool is_full;	 /* the session takes no more for now */
	bool is_eof;	 /* the peer sends no more */
	bool is_reading; /* `readable` is added */
	struct session session;
	uint8_t *in; /* owned */
	size_t in_size;
	size_t in_len;
	int64_t opened_ms;
	int64_t heard_ms; /* when bytes last came */
	struct event *readable;
	struct event *writable;
	struct event *timer; /* of the HELLO, then of lingering */
	LIST_HEAD(pending_list, pending) pendings;
	TAILQ_ENTRY(conn) link;
	TAILQ_ENTRY(conn) dirty_link;
	char peer[PEER_MAX]; /* for logs */
};

TAILQ_HEAD(conn_list, conn);

struct conn_listener {
	struct conns *conns;
	struct evconnlistener *events; /* NULL once closed */
	int fd;
	struct listener_address address;
};

struct conns {
	struct conns_options options;
	struct resolver *resolver;
	struct conn_list open;	 /* oldest first */
	struct conn_list dirty;	 /* to flush at the end of the turn */
	struct conn_list closed; /* to free then */
	struct conn_listener listeners[LISTENERS_MAX];
	size_t listener_count;
	struct event *resume; /* of accepting */
	struct event *stop;   /* the steps of stopping */
	int64_t stop_ms;      /* when stopping began, or 0 */
	int64_t stop_step_ms;
	bool is_deaf; /* the listeners are closed */
	struct log_limit refused;
	struct log_limit exhausted;
	struct log_limit broken;
	struct pending *spare; /* for the next question, or NULL */
	struct conns_counters counters;
};

static int64_t now(const struct conns *conns)
{
	return loop_now(conns->options.loop);
}

const struct conns_counters *conns_count(const struct conns *conns)
{
	return &conns->counters;
}

void conns_set_resolver(struct conns *conns, struct resolver *resolver)
{
	conns->resolver = resolver;
}

static void close_conn(struct conn *conn)
{
	struct conns *conns = conn->conns;
	struct pending *pending;

	if (conn->state == CONN_CLOSED)
		return;
	conn->state = CONN_CLOSED;
	while ((pending = LIST_FIRST(&conn->pendings)) != NULL) {
		LIST_REMOVE(pending, link);
		resolver_cancel(conns->resolver, &pending->waiter);
		free(pending);
	}
	if (conn->is_dirty)
		TAILQ_REMOVE(&conns->dirty, conn, dirty_link);
	TAILQ_REMOVE(&conns->open, conn, link);
	TAILQ_INSERT_TAIL(&conns->closed, conn, link);
	conns->counters.open--;
	event_del(conn->readable);
	event_del(conn->writable);
	event_del(conn->timer);
	close(conn->fd);
	conn->fd = -1;
	log_debug("connection closed", log_text("peer", conn->peer),
		  log_text("engine", conn->session.engine_id));
}

static void free_conn(struct conn *conn)
{
	if (conn->readable)
		event_free(conn->readable);
	if (conn->writable)
		event_free(conn->writable);
	if (conn->timer)
		event_free(conn->timer);
	session_fini(&conn->session);
	free(conn->in);
	free(conn);
}

static void mark_dirty(struct conn *conn)
{
	if (conn->is_dirty || conn->state == CONN_CLOSED)
		return;
	conn->is_dirty = true;
	TAILQ_INSERT_TAIL(&conn->conns->dirty, conn, dirty_link);
}

/* Says once in a while that a peer broke the protocol. */
static void warn_broken(struct conn *conn)
{
	const struct session *s = &conn->session;
	uint64_t held;

	if (s->code == SPOP_NORMAL ||
	    !log_limit_pass(&conn->conns->broken, now(conn->conns), WARN_MS,
			    &held))
		return;
	log_warn("connection refused: bad SPOP", log_text("peer", conn->peer),
		 log_text("engine", s->engine_id), log_number("code", s->code),
		 log_text("error", s->complaint),
		 log_number("held_back", (int64_t)held));
}

/* The goodbye is out. The peer must be able to read it, so the socket is not
 * closed with bytes unread: that would be a reset. */
static void linger(struct conn *conn)
{
	conn->state = CONN_LINGER;
	event_del(conn->writable);
	if (conn->is_eof) {
		close_conn(conn);
		return;
	}
	shutdown(conn->fd, SHUT_WR);
	loop_arm(conn->timer, LINGER_MS);
	event_add(conn->readable, NULL);
}

/* Sends what waits; false when the socket takes no more for now or the
 * connection is closed. */
static bool send_output(struct conn *conn)
{
	for (;;) {
		struct span out = session_output(&conn->session);
		ssize_t sent;

		if (out.len == 0)
			return true;
		sent = send(conn->fd, out.p, out.len, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN) {
			event_add(conn->writable, NULL);
			return false;
		}
		if (sent < 0) {
			close_conn(conn);
			return false;
		}
		session_sent(&conn->session, (size_t)sent);
	}
}

/* The room for the next question that has to wait; NULL without memory. */
static struct pending *get_spare(struct conns *conns)
{
	if (!conns->spare)
		conns->spare = malloc(sizeof(*conns->spare));
	return conns->spare;
}

static void count_answer(struct conns *conns, const struct answer *answer)
{
	conns->counters.answers[answer->status][answer->source]++;
}

static void answered(struct waiter *waiter, const struct answer *answer);

static void ask(struct conn *conn, const struct question *q)
{
	struct conns *conns = conn->conns;
	struct pending *pending = get_spare(conns);
	struct answer answer = {.status = ANSWER_UNAVAILABLE,
				.source = ANSWER_FROM_NONE};

	if (pending)
		pending->waiter.answered = answered;
	if (pending &&
	    resolver_ask(conns->resolver, q, now(conns), &pending->waiter,
			 &answer) == RESOLVER_PENDING) {
		conns->spare = NULL;
		pending->conn = conn;
		pending->stream_id = q->stream_id;
		pending->frame_id = q->frame_id;
		LIST_INSERT_HEAD(&conn->pendings, pending, link);
		return;
	}
	count_answer(conns, &answer);
	session_answer(&conn->session, q->stream_id, q->frame_id, &answer);
}

static void answered(struct waiter *waiter, const struct answer *answer)
{
	struct pending *pending = (struct pending *)waiter;
	struct conn *conn = pending->conn;

	count_answer(conn->conns, answer);
	session_answer(&conn->session, pending->stream_id, pending->frame_id,
		       answer);
	mark_dirty(conn);
	LIST_REMOVE(pending, link);
	free(pending);
}

/* The session is over: what it has left to say is sent, nothing is read. */
static void begin_end(struct conn *conn)
{
	if (conn->state != CONN_OPEN)
		return;
	conn->state = CONN_ENDING;
	event_del(conn->readable);
	loop_arm(conn->timer, LINGER_MS);
	warn_broken(conn);
}

/* Asks one question and those that follow it at once. */
static void ask_all(struct conn *conn, const struct question *first)
{
	struct question questions[RESOLVER_FORESEEN] = {*first};
	size_t count = 1;
	size_t i;

	while (count < ARRAY_LEN(questions) &&
	       session_more(&conn->session, &questions[count]))
		count++;
	resolver_foresee(conn->conns->resolver, questions, count);
	for (i = 0; i < count; i++)
		ask(conn, &questions[i]);
}

/* Takes all questions from the input. */
static void take_questions(struct conn *conn)
{
	struct session *s = &conn->session;
	bool was_new = s->state == SESSION_NEW;
	enum session_event event;
	struct question q;

	session_feed(s, conn->in, conn->in_len);
	while ((event = session_next(s, &q)) == SESSION_QUESTION)
		ask_all(conn, &q);
	conn->in_len -= session_used(s);
	if (conn->in_len > 0)
		memmove(conn->in, conn->in + session_used(s), conn->in_len);
	conn->is_full = event == SESSION_FULL;
	if (was_new && s->state != SESSION_NEW)
		event_del(conn->timer);
	if (event == SESSION_ENDED)
		begin_end(conn);
}

/* May more be read? What a peer does not fetch keeps it from asking. */
static void choose_reading(struct conn *conn)
{
	bool wanted = !conn->is_eof && !conn->is_full;

	if (conn->state != CONN_OPEN)
		return;
	if (wanted != conn->is_reading) {
		if (wanted)
			event_add(conn->readable, NULL);
		else
			event_del(conn->readable);
		conn->is_reading = wanted;
	}
	if (conn->is_eof && conn->session.unanswered == 0 &&
	    session_output(&conn->session).len == 0)
		close_conn(conn);
}

/* Moves on all that can: output, then what the session had no room for. */
static void flush(struct conn *conn)
{
	while (conn->state != CONN_CLOSED && conn->state != CONN_LINGER) {
		bool was_full = conn->is_full;

		/* An answer that found no memory ends it as well. */
		if (conn->session.state == SESSION_OVER)
			begin_end(conn);
		if (!send_output(conn))
			break;
		if (conn->state == CONN_ENDING) {
			linger(conn);
			return;
		}
		if (!was_full)
			break;
		take_questions(conn);
		if (conn->is_full && session_output(&conn->session).len == 0)
			break;
	}
	choose_reading(conn);
}

/* Makes room to read into; false without memory. */
static bool grow_input(struct conn *conn)
{
	size_t size = conn->in_size ? conn->in_size * 2 : INPUT_FIRST;
	uint8_t *in;

	if (conn->in_len < conn->in_size)
		return true;
	in = realloc(conn->in, size);
	if (!in)
		return false;
	conn->in = in;
	conn->in_size = size;
	return true;
}

/* A large frame has passed: its memory goes back. */
static void shrink_input(struct conn *conn)
{
	if (conn->in_size == INPUT_FIRST || conn->in_len > 0)
		return;
	free(conn->in);
	conn->in = NULL;
	conn->in_size = 0;
}

/* Reads and throws away what a peer says after the goodbye. */
static void discard(struct conn *conn)
{
	char waste[4096];
	ssize_t got = recv(conn->fd, waste, sizeof(waste), 0);

	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		close_conn(conn);
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
	struct conn *conn = context;
	ssize_t got;

	(void)fd;
	(void)what;
	if (conn->state == CONN_LINGER) {
		discard(conn);
		return;
	}
	if (!grow_input(conn)) {
		close_conn(conn);
		return;
	}
	got = recv(conn->fd, conn->in + conn->in_len,
		   conn->in_size - conn->in_len, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got < 0) {
		close_conn(conn);
		return;
	}
	conn->is_eof = got == 0;
	conn->in_len += (size_t)got;
	conn->heard_ms = now(conn->conns);
	take_questions(conn);
	shrink_input(conn);
	flush(conn);
}

static void on_writable(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	flush(context);
}

/* No HELLO came in time, or the peer does not close after the goodbye. */
static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct conn *conn = context;

	(void)fd;
	(void)what;
	if (conn->state != CONN_OPEN) {
		close_conn(conn);
		return;
	}
	session_end(&conn->session, SPOP_TIMEOUT, "no HELLO in time");
	take_questions(conn);
	flush(conn);
}

static void name_peer(struct conn *conn, const struct sockaddr *address)
{
	char ip[48] = "";

	if (address->sa_family == AF_INET) {
		const struct sockaddr_in *sin = (const void *)address;

		evutil_inet_ntop(AF_INET, &sin->sin_addr, ip, sizeof(ip));
		snprintf(conn->peer, sizeof(conn->peer), "%s:%u", ip,
			 ntohs(sin->sin_port));
	} else if (address->sa_family == AF_INET6) {
		const struct sockaddr_in6 *sin6 = (const void *)address;

		evutil_inet_ntop(AF_INET6, &sin6->sin6_addr, ip, sizeof(ip));
		snprintf(conn->peer, sizeof(conn->peer), "[%s]:%u", ip,
			 ntohs(sin6->sin6_port));
	} else {
		snprintf(conn->peer, sizeof(conn->peer), "unix");
	}
}

static void set_socket(int fd, const struct sockaddr *address)
{
	int on = 1;

	if (address->sa_family == AF_UNIX)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

static bool new_events(struct conn *conn)
{
	struct event_base *base = conn->conns->options.loop->base;

	conn->readable = event_new(base, conn->fd, EV_READ | EV_PERSIST,
				   on_readable, conn);
	conn->writable = event_new(base, conn->fd, EV_WRITE, on_writable, conn);
	conn->timer = evtimer_new(base, on_timer, conn);
	return conn->readable && conn->writable && conn->timer;
}

static void open_conn(struct conns *conns, int fd,
		      const struct sockaddr *address)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	if (!conn) {
		close(fd);
		return;
	}
	conn->conns = conns;
	conn->fd = fd;
	conn->is_guest = conns->stop_ms != 0;
	conn->opened_ms = conn->heard_ms = now(conns);
	LIST_INIT(&conn->pendings);
	session_init(&conn->session);
	name_peer(conn, address);
	set_socket(fd, address);
	if (!new_events(conn)) {
		close(fd);
		free_conn(conn);
		return;
	}
	TAILQ_INSERT_TAIL(&conns->open, conn, link);
	conns->counters.open++;
	conns->counters.accepted++;
	loop_arm(conn->timer, HELLO_MS);
	choose_reading(conn);
	log_debug("connection opened", log_text("peer", conn->peer));
}

static void on_accept(struct evconnlistener *events, evutil_socket_t fd,
		      struct sockaddr *address, int len, void *context)
{
	struct conn_listener *listener = context;
	struct conns *conns = listener->conns;
	uint64_t held;

	(void)events;
	(void)len;
	if (conns->counters.open < conns->options.connections_max) {
		open_conn(conns, fd, address);
		return;
	}
	close(fd);
	conns->counters.refused++;
	if (log_limit_pass(&conns->refused, now(conns), WARN_MS, &held))
		log_warn("connection refused: max-connections reached",
			 log_number("open", (int64_t)conns->counters.open),
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

static void on_resume(evutil_socket_t fd, short what, void *context)
{
	struct conns *conns = context;
	size_t i;

	(void)fd;
	(void)what;
	for (i = 0; i < conns->listener_count; i++)
		if (conns->listeners[i].events)
			evconnlistener_enable(conns->listeners[i].events);
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
	struct conn *conn;

	while ((conn = TAILQ_FIRST(&conns->dirty)) != NULL) {
		TAILQ_REMOVE(&conns->dirty, conn, dirty_link);
		conn->is_dirty = false;
		flush(conn);
	}
	while ((conn = TAILQ_FIRST(&conns->closed)) != NULL) {
		TAILQ_REMOVE(&conns->closed, conn, link);
		free_conn(conn);
	}
}

/* Accepts what waits, then closes the listeners. */
static void close_listeners(struct conns *conns)
{
	size_t i;

	for (i = 0; i < conns->listener_count; i++) {
		struct conn_listener *listener = &conns->listeners[i];
		struct sockaddr_storage address = {0};
		socklen_t len = sizeof(address);
		int fd;

		while ((fd = accept4(listener->fd, (struct sockaddr *)&address,
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

/* The connection that has been quiet the longest: most likely HAProxy has read
 * its last answer. Guests come after all others, and after the listeners. */
static struct conn *choose_leaving(struct conns *conns)
{
	struct conn *quietest = NULL;
	struct conn *conn;

	TAILQ_FOREACH(conn, &conns->open, link)
	{
		if (conn->state != CONN_OPEN || conn->session.unanswered > 0)
			continue;
		if (conn->is_guest &&
		    (!conns->is_deaf ||
		     now(conns) - conn->opened_ms < STOP_GUEST_MS))
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

	TAILQ_FOREACH(conn, &conns->open, link)
	if (!conn->is_guest && conn->state == CONN_OPEN)
		return true;
	return false;
}

static void say_goodbye(struct conn *conn)
{
	session_end(&conn->session, SPOP_NORMAL, "shutting down");
	take_questions(conn);
	flush(conn);
}

static void on_stop(evutil_socket_t fd, short what, void *context)
{
	struct conns *conns = context;
	struct conn *leaving = choose_leaving(conns);

	(void)fd;
	(void)what;
	if (leaving)
		say_goodbye(leaving);
	if (!conns->is_deaf && !has_residents(conns))
		close_listeners(conns);
	loop_arm(conns->stop, conns->stop_step_ms);
}

void conns_stop(struct conns *conns)
{
	int64_t step = STOP_SPREAD_MS / (int64_t)(conns->counters.open + 1);

	if (conns->stop_ms)
		return;
	conns->stop_ms = now(conns);
	conns->stop_step_ms = step < STOP_STEP_MS ? step : STOP_STEP_MS;
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
	return (conns->is_deaf && TAILQ_EMPTY(&conns->open)) ||
	       now(conns) - conns->stop_ms > STOP_MAX_MS;
}

struct conns *conns_new(const struct conns_options *options)
{
	struct conns *conns = calloc(1, sizeof(*conns));
	struct event_base *base = options->loop->base;

	if (!conns)
		return NULL;
	conns->options = *options;
	TAILQ_INIT(&conns->open);
	TAILQ_INIT(&conns->dirty);
	TAILQ_INIT(&conns->closed);
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
	struct conn *conn;

	if (!conns)
		return;
	if (!conns->is_deaf)
		close_listeners(conns);
	while ((conn = TAILQ_FIRST(&conns->open)) != NULL)
		close_conn(conn);
	conns_end_turn(conns);
	if (conns->resume)
		event_free(conns->resume);
	if (conns->stop)
		event_free(conns->stop);
	free(conns->spare);
	free(conns);
}
