/* SPDX-License-Identifier: MIT */
/*
 * conn: socket, buffers and events around one session. One read and one write
 * per readiness.
 */
#include "conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	INPUT_FIRST = 16 * 1024, /* bytes; HAProxy's largest frame by default */
	LARGE_MAX = 64 * 1024 * 1024, /* of all inputs that outgrew it, bytes */
	UNREAD_MAX = 64 * 1024 * 1024, /* the same of outputs */
	HELLO_MS = 10 * 1000,	       /* a peer without HELLO is sent away */
	LINGER_MS = 1000,    /* after a goodbye the peer may read it */
	WARN_MS = 10 * 1000, /* at most one warning of a kind */
};

/* A question that waits for the resolver. */
struct pending {
	struct waiter waiter; /* first: the resolver hands it back */
	struct conn *conn;
	uint64_t stream_id;
	uint64_t frame_id;
	int64_t asked_us;
	bool is_brief;
	LIST_ENTRY(pending) link;
};

static int64_t now(const struct conn_shared *shared)
{
	return loop_now(shared->loop);
}

static void close_conn(struct conn *conn)
{
	struct conn_shared *shared = conn->shared;
	struct pending *pending;

	if (conn->state == CONN_CLOSED)
		return;
	conn->state = CONN_CLOSED;
	while ((pending = LIST_FIRST(&conn->pendings)) != NULL) {
		LIST_REMOVE(pending, link);
		resolver_cancel(shared->resolver, &pending->waiter);
		free(pending);
	}
	if (conn->is_dirty)
		TAILQ_REMOVE(&shared->dirty, conn, dirty_link);
	TAILQ_REMOVE(&shared->open, conn, link);
	TAILQ_INSERT_TAIL(&shared->closed, conn, link);
	shared->counters.open--;
	event_del(conn->readable);
	event_del(conn->writable);
	event_del(conn->timer);
	close(conn->fd);
	conn->fd = -1;
	log_debug("connection closed", log_text("peer", conn->peer),
		  log_text("engine", conn->session.engine_id));
}

static size_t large_bytes(size_t size)
{
	return size > INPUT_FIRST ? size : 0;
}

/* Counts what the output takes that a peer does not read, or read late. */
static void count_output(struct conn *conn)
{
	size_t size = conn->session.out_size;

	if (size <= SESSION_OUTPUT_MIN)
		size = 0;
	conn->shared->counters.unread_bytes += size - conn->unread_bytes;
	conn->unread_bytes = size;
}

/* What is NULL is freed. */
static void set_input(struct conn *conn, uint8_t *in, size_t size)
{
	conn->shared->counters.large_bytes +=
		large_bytes(size) - large_bytes(conn->in_size);
	if (!in)
		free(conn->in);
	conn->in = in;
	conn->in_size = size;
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
	conn->shared->counters.unread_bytes -= conn->unread_bytes;
	set_input(conn, NULL, 0);
	free(conn);
}

static void mark_dirty(struct conn *conn)
{
	if (conn->is_dirty || conn->state == CONN_CLOSED)
		return;
	conn->is_dirty = true;
	TAILQ_INSERT_TAIL(&conn->shared->dirty, conn, dirty_link);
}

/* Says once in a while that a peer broke the protocol. */
static void warn_broken(struct conn *conn)
{
	const struct session *s = &conn->session;
	uint64_t held;

	if (s->code == SPOP_NORMAL)
		return;
	conn->shared->counters.broken++;
	if (!log_limit_pass(&conn->shared->broken, now(conn->shared), WARN_MS,
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

static void count_answer(struct conn_shared *shared,
			 const struct answer *answer)
{
	shared->counters.answers[answer->status][answer->source]++;
}

static void answered(struct waiter *waiter, const struct answer *answer)
{
	struct pending *pending = (struct pending *)waiter;
	struct conn *conn = pending->conn;
	struct conn_shared *shared = conn->shared;
	struct answer told = *answer;

	told.is_brief = pending->is_brief;
	count_answer(shared, answer);
	metrics_observe(&shared->counters.waited,
			loop_now_us(shared->loop) - pending->asked_us, 1);
	session_answer(&conn->session, pending->stream_id, pending->frame_id,
		       &told);
	mark_dirty(conn);
	LIST_REMOVE(pending, link);
	free(pending);
}

/* The room for the next question that has to wait; NULL without memory. */
static struct pending *get_spare(struct conn_shared *shared)
{
	if (!shared->spare) {
		shared->spare = malloc(sizeof(*shared->spare));
		if (shared->spare)
			shared->spare->waiter.answered = answered;
	}
	return shared->spare;
}

static void ask(struct conn *conn, const struct question *q)
{
	struct conn_shared *shared = conn->shared;
	struct pending *pending = get_spare(shared);
	struct answer answer;

	if (!pending) {
		answer = (struct answer){.status = ANSWER_UNAVAILABLE,
					 .source = ANSWER_FROM_NONE};
	} else if (resolver_ask(shared->resolver, q, now(shared),
				&pending->waiter,
				&answer) == RESOLVER_PENDING) {
		shared->spare = NULL;
		pending->conn = conn;
		pending->stream_id = q->stream_id;
		pending->frame_id = q->frame_id;
		pending->is_brief = q->is_brief;
		pending->asked_us = loop_now_us(shared->loop);
		LIST_INSERT_HEAD(&conn->pendings, pending, link);
		return;
	}
	shared->known++;
	count_answer(shared, &answer);
	answer.is_brief = q->is_brief;
	session_answer(&conn->session, q->stream_id, q->frame_id, &answer);
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

/* Asks the first of the questions, and those that follow it at once. */
static void ask_all(struct conn *conn,
		    struct question questions[RESOLVER_FORESEEN])
{
	size_t count = 1 + session_more(&conn->session, questions + 1,
					RESOLVER_FORESEEN - 1);
	size_t i;

	conn->shared->counters.questions += count;
	resolver_foresee(conn->shared->resolver, questions, count);
	for (i = 0; i < count; i++)
		ask(conn, &questions[i]);
}

/* While those who do not read hold too much, nobody may leave more unread than
 * a few questions' answers. */
static void bound_output(struct conn *conn)
{
	bool is_crowded = conn->shared->counters.unread_bytes > UNREAD_MAX;

	session_bound_output(&conn->session, is_crowded ? SESSION_OUTPUT_MIN
							: SESSION_OUTPUT_MAX);
}

/* Says once in a while that a peer has to read first, since all together hold
 * too much. */
static void warn_unread(struct conn *conn)
{
	struct conn_shared *shared = conn->shared;
	uint64_t held;

	shared->counters.throttled++;
	if (log_limit_pass(&shared->unread, now(shared), WARN_MS, &held))
		log_warn("connection throttled: too many answers are not read",
			 log_text("peer", conn->peer),
			 log_text("engine", conn->session.engine_id),
			 log_number("unread_bytes",
				    (int64_t)shared->counters.unread_bytes),
			 log_number("held_back", (int64_t)held));
}

/* Takes all questions from the input. */
static void take_questions(struct conn *conn)
{
	struct session *s = &conn->session;
	bool was_new = s->state == SESSION_NEW;
	struct question questions[RESOLVER_FORESEEN];
	enum session_event event;

	bound_output(conn);
	session_feed(s, conn->in, conn->in_len);
	while ((event = session_next(s, questions)) == SESSION_QUESTION)
		ask_all(conn, questions);
	conn->in_len -= session_used(s);
	if (conn->in_len > 0 && session_used(s) > 0)
		memmove(conn->in, conn->in + session_used(s), conn->in_len);
	conn->is_full = event == SESSION_FULL;
	if (conn->is_full && s->output_max < SESSION_OUTPUT_MAX)
		warn_unread(conn);
	if (was_new && s->state != SESSION_NEW) {
		conn->shared->counters.hellos += s->code == SPOP_NORMAL;
		event_del(conn->timer);
	}
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
	count_output(conn);
	choose_reading(conn);
}

/* Frames that nobody finishes would else take what the largest frame does for
 * each connection. */
static bool is_crowded(const struct conn *conn, size_t size)
{
	const struct conn_counters *counters = &conn->shared->counters;

	return size > INPUT_FIRST &&
	       counters->large_bytes - large_bytes(conn->in_size) + size >
		       LARGE_MAX;
}

/* Makes room to read into. Without it the connection ends, and it is false. */
static bool grow_input(struct conn *conn)
{
	size_t size = conn->in_size ? conn->in_size * 2 : INPUT_FIRST;
	uint8_t *in;

	if (conn->in_len < conn->in_size)
		return true;
	if (is_crowded(conn, size)) {
		conn->shared->counters.crowded++;
		session_end(&conn->session, SPOP_RESOURCES,
			    "too many large frames at once");
		flush(conn);
		return false;
	}
	in = realloc(conn->in, size);
	if (!in) {
		close_conn(conn);
		return false;
	}
	set_input(conn, in, size);
	return true;
}

/* A large frame has passed: its memory goes back. */
static void shrink_input(struct conn *conn)
{
	if (conn->in_size == INPUT_FIRST || conn->in_len > 0)
		return;
	set_input(conn, NULL, 0);
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
	size_t room;
	ssize_t got;

	(void)fd;
	(void)what;
	if (conn->state == CONN_LINGER) {
		discard(conn);
		return;
	}
	if (!grow_input(conn))
		return;
	/* Nobody has more of a turn because a large frame made room. */
	room = conn->in_size - conn->in_len;
	got = recv(conn->fd, conn->in + conn->in_len,
		   room < INPUT_FIRST ? room : INPUT_FIRST, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got < 0) {
		close_conn(conn);
		return;
	}
	conn->is_eof = got == 0;
	conn->in_len += (size_t)got;
	conn->heard_ms = now(conn->shared);
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
	struct event_base *base = conn->shared->loop->base;

	conn->readable = event_new(base, conn->fd, EV_READ | EV_PERSIST,
				   on_readable, conn);
	conn->writable = event_new(base, conn->fd, EV_WRITE, on_writable, conn);
	conn->timer = evtimer_new(base, on_timer, conn);
	return conn->readable && conn->writable && conn->timer;
}

void conn_open(struct conn_shared *shared, int fd,
	       const struct sockaddr *address, bool is_guest)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	if (!conn) {
		close(fd);
		return;
	}
	conn->shared = shared;
	conn->fd = fd;
	conn->is_guest = is_guest;
	conn->opened_ms = conn->heard_ms = now(shared);
	LIST_INIT(&conn->pendings);
	session_init(&conn->session);
	name_peer(conn, address);
	set_socket(fd, address);
	if (!new_events(conn)) {
		close(fd);
		free_conn(conn);
		return;
	}
	TAILQ_INSERT_TAIL(&shared->open, conn, link);
	shared->counters.open++;
	shared->counters.accepted++;
	loop_arm(conn->timer, HELLO_MS);
	choose_reading(conn);
	log_debug("connection opened", log_text("peer", conn->peer));
}

void conn_say_goodbye(struct conn *conn)
{
	session_end(&conn->session, SPOP_NORMAL, "shutting down");
	take_questions(conn);
	flush(conn);
}

static void time_turn(struct conn_shared *shared)
{
	uint64_t known = shared->known;

	shared->known = 0;
	if (known > 0 && shared->turns++ % CONN_TIMED == 0)
		metrics_observe(&shared->counters.known,
				loop_spent_us(shared->loop), known);
}

void conn_end_turn(struct conn_shared *shared)
{
	struct conn *conn;

	while ((conn = TAILQ_FIRST(&shared->dirty)) != NULL) {
		TAILQ_REMOVE(&shared->dirty, conn, dirty_link);
		conn->is_dirty = false;
		flush(conn);
	}
	while ((conn = TAILQ_FIRST(&shared->closed)) != NULL) {
		TAILQ_REMOVE(&shared->closed, conn, link);
		free_conn(conn);
	}
	time_turn(shared);
}

void conn_init_shared(struct conn_shared *shared, struct loop *loop)
{
	*shared = (struct conn_shared){.loop = loop};
	TAILQ_INIT(&shared->open);
	TAILQ_INIT(&shared->dirty);
	TAILQ_INIT(&shared->closed);
}

void conn_fini_shared(struct conn_shared *shared)
{
	struct conn *conn;

	while ((conn = TAILQ_FIRST(&shared->open)) != NULL)
		close_conn(conn);
	conn_end_turn(shared);
	free(shared->spare);
}
