/* SPDX-License-Identifier: MIT */
/*
 * ctl_tls: two bufferevents, and a thread that nobody else talks to.
 */
#include "ctl_tls.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct ctl_tls {
	pthread_t thread; /* that carries */
	struct event_base *base;
	struct tls *tls;
	struct bufferevent *plain;  /* our end of the socket pair */
	struct bufferevent *secure; /* towards the server */
	bool is_connected;
	int error;    /* errno at the last event */
	bool is_late; /* the handshake took too long */
};

static void free_pipe(struct ctl_tls *pipe)
{
	if (pipe->plain)
		bufferevent_free(pipe->plain);
	if (pipe->secure)
		bufferevent_free(pipe->secure);
	tls_free(pipe->tls);
	if (pipe->base)
		event_base_free(pipe->base);
	free(pipe);
}

/* What came from one side goes to the other. */
static void on_read(struct bufferevent *from, void *context)
{
	struct ctl_tls *pipe = context;

	bufferevent_write_buffer(from == pipe->plain ? pipe->secure
						     : pipe->plain,
				 bufferevent_get_input(from));
}

static void on_drained(struct bufferevent *plain, void *context)
{
	struct ctl_tls *pipe = context;

	(void)plain;
	event_base_loopbreak(pipe->base);
}

/* Connected, or the end of one side, which is the end of both once its last
 * bytes are out. */
static void on_event(struct bufferevent *from, short what, void *context)
{
	struct ctl_tls *pipe = context;

	if (what & BEV_EVENT_CONNECTED)
		pipe->is_connected = true;
	pipe->error = EVUTIL_SOCKET_ERROR();
	if (from == pipe->secure && !(what & BEV_EVENT_CONNECTED) &&
	    evbuffer_get_length(bufferevent_get_output(pipe->plain)) > 0) {
		bufferevent_disable(pipe->secure, EV_READ | EV_WRITE);
		bufferevent_setcb(pipe->plain, NULL, on_drained, on_event,
				  pipe);
		return;
	}
	event_base_loopbreak(pipe->base);
}

static void on_limit(evutil_socket_t fd, short what, void *context)
{
	struct ctl_tls *pipe = context;

	(void)fd;
	(void)what;
	pipe->is_late = true;
	event_base_loopbreak(pipe->base);
}

/* The end of the server is seen at the plain socket too: it is only closed by
 * ctl_tls_close. */
static void *carry(void *context)
{
	struct ctl_tls *pipe = context;

	event_base_dispatch(pipe->base);
	shutdown(bufferevent_getfd(pipe->plain), SHUT_RDWR);
	return NULL;
}

static bool open_sides(struct ctl_tls *pipe, const struct tls_options *options,
		       const char *host, int fd, char why[TLS_WHY_MAX])
{
	snprintf(why, TLS_WHY_MAX, "out of memory");
	pipe->base = event_base_new();
	if (!pipe->base)
		return false;
	pipe->tls = tls_new(options, why);
	if (!pipe->tls)
		return false;
	pipe->secure = tls_open(pipe->tls, pipe->base, host, why);
	if (!pipe->secure)
		return false;
	evutil_make_socket_nonblocking(fd);
	pipe->plain =
		bufferevent_socket_new(pipe->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!pipe->plain)
		return false;
	bufferevent_setcb(pipe->plain, on_read, NULL, on_event, pipe);
	bufferevent_setcb(pipe->secure, on_read, NULL, on_event, pipe);
	return bufferevent_enable(pipe->plain, EV_READ | EV_WRITE) == 0 &&
	       bufferevent_enable(pipe->secure, EV_READ | EV_WRITE) == 0;
}

/* OpenSSL has no words for a server that is not there. */
static bool is_unreachable(int error)
{
	return error == ECONNREFUSED || error == EHOSTUNREACH ||
	       error == ENETUNREACH || error == ETIMEDOUT;
}

/* Turns the loop until the handshake is over, one way or the other. */
static bool shake_hands(struct ctl_tls *pipe, const char *host, uint16_t port,
			int timeout_ms, char why[TLS_WHY_MAX])
{
	const struct timeval limit = {.tv_sec = timeout_ms / 1000,
				      .tv_usec = timeout_ms % 1000 * 1000L};
	struct event *timer = evtimer_new(pipe->base, on_limit, pipe);

	if (!timer || evtimer_add(timer, &limit) != 0)
		return false;
	pipe->error = 0;
	if (bufferevent_socket_connect_hostname(pipe->secure, NULL, AF_UNSPEC,
						host, port) == 0)
		event_base_dispatch(pipe->base);
	if (pipe->is_late)
		snprintf(why, TLS_WHY_MAX, "no answer");
	else if (is_unreachable(pipe->error))
		snprintf(why, TLS_WHY_MAX, "%s", strerror(pipe->error));
	else if (!tls_explain(pipe->secure, why))
		snprintf(why, TLS_WHY_MAX, "the server ended the handshake");
	event_free(timer);
	return pipe->is_connected;
}

struct ctl_tls *ctl_tls_open(const struct tls_options *options,
			     const char *host, uint16_t port, int timeout_ms,
			     int *fd, char why[TLS_WHY_MAX])
{
	struct ctl_tls *pipe = calloc(1, sizeof(*pipe));
	int pair[2] = {-1, -1};

	snprintf(why, TLS_WHY_MAX, "out of memory");
	if (!pipe ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
		free(pipe);
		return NULL;
	}
	*fd = pair[0];
	if (open_sides(pipe, options, host, pair[1], why) &&
	    shake_hands(pipe, host, port, timeout_ms, why)) {
		if (pthread_create(&pipe->thread, NULL, carry, pipe) == 0)
			return pipe;
		snprintf(why, TLS_WHY_MAX, "no thread");
	}
	if (!pipe->plain)
		close(pair[1]);
	free_pipe(pipe);
	close(pair[0]);
	return NULL;
}

void ctl_tls_close(struct ctl_tls *tls)
{
	if (!tls)
		return;
	pthread_join(tls->thread, NULL);
	free_pipe(tls);
}
