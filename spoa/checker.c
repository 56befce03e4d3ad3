/* SPDX-License-Identifier: MIT */
/*
 * checker: sockets that do not block, an event for each that takes time.
 */
#include "checker.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	STATUS_LEN = 12, /* of `HTTP/1.1 200` */
	REQUEST_MAX = ROSTER_PATH_MAX + UINT8_MAX + 128,
};

struct check {
	struct checker *checker;
	struct event *event;
	LIST_ENTRY(check) link;
	struct roster_target target;
	int64_t deadline_ms;
	uint32_t slot;
	int fd;
	enum { CONNECTING, ASKING, READING } state;
	uint16_t done; /* bytes of the request sent, or of the status read */
	char status[STATUS_LEN];
};

LIST_HEAD(check_list, check);

struct checker {
	struct checker_options options;
	struct check_list open;
	size_t count;
	/* Shared, so that timers cost little; NULL: there is no room for one
	 * more of that kind. */
	const struct timeval *timeout;
};

static const char *const result_texts[CHECKER_RESULTS] = {
	[CHECKER_PASSED] = "passed",
	[CHECKER_REFUSED] = "connection refused",
	[CHECKER_TIMEOUT] = "timeout",
	[CHECKER_UNREACHABLE] = "unreachable",
	[CHECKER_CLOSED] = "closed without an answer",
	[CHECKER_STATUS] = "http status",
	[CHECKER_NOT_HTTP] = "answer is not http",
	[CHECKER_IMPOSSIBLE] = "check not possible",
};

const char *checker_result_text(enum checker_result result)
{
	return result_texts[result];
}

struct checker *checker_new(const struct checker_options *options)
{
	struct checker *checker = calloc(1, sizeof(*checker));

	if (!checker)
		return NULL;
	checker->options = *options;
	LIST_INIT(&checker->open);
	checker_set_timeout(checker, options->timeout_ms);
	return checker;
}

void checker_set_timeout(struct checker *checker, int64_t timeout_ms)
{
	const struct timeval timeout = loop_timeval(timeout_ms);

	checker->options.timeout_ms = timeout_ms;
	checker->timeout = event_base_init_common_timeout(
		checker->options.loop->base, &timeout);
}

/* No FIN that would leave a port in TIME_WAIT. */
static void reset(int fd)
{
	const struct linger linger = {.l_onoff = 1, .l_linger = 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

static void free_check(struct check *check)
{
	LIST_REMOVE(check, link);
	check->checker->count--;
	event_free(check->event);
	reset(check->fd);
	free(check);
}

void checker_free(struct checker *checker)
{
	struct check *check, *next;

	if (!checker)
		return;
	for (check = LIST_FIRST(&checker->open); check; check = next) {
		next = LIST_NEXT(check, link);
		free_check(check);
	}
	free(checker);
}

bool checker_has_room(const struct checker *checker)
{
	return checker->count < checker->options.open_max;
}

static enum checker_result judge_errno(int error)
{
	switch (error) {
	case ECONNREFUSED:
	case ECONNRESET:
		return CHECKER_REFUSED;
	case ETIMEDOUT:
		return CHECKER_TIMEOUT;
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM:
	case EADDRNOTAVAIL:
	case EADDRINUSE:
	case EAGAIN:
	case EAFNOSUPPORT:
		return CHECKER_IMPOSSIBLE;
	default:
		return CHECKER_UNREACHABLE;
	}
}

static socklen_t fill_address(const struct roster_target *target,
			      struct sockaddr_storage *address)
{
	struct sockaddr_in *in = (struct sockaddr_in *)address;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)address;

	memset(address, 0, sizeof(*address));
	if (target->address_len == 4) {
		in->sin_family = AF_INET;
		in->sin_port = htons(target->port);
		memcpy(&in->sin_addr, target->address, 4);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(target->port);
	memcpy(&in6->sin6_addr, target->address, 16);
	return sizeof(*in6);
}

/* Is it connected by now? `*peer` is to whom. */
static bool is_connected(int fd, struct sockaddr_storage *peer)
{
	socklen_t len = sizeof(*peer);

	memset(peer, 0, sizeof(*peer));
	return getpeername(fd, (struct sockaddr *)peer, &len) == 0;
}

/* A connection to an unused port of this machine may get that very port for
 * itself, and then answers itself. */
static bool is_own_echo(int fd, const struct sockaddr_storage *peer)
{
	struct sockaddr_storage own = {0};
	socklen_t len = sizeof(own);

	return getsockname(fd, (struct sockaddr *)&own, &len) == 0 &&
	       !memcmp(&own, peer, sizeof(own));
}

/* Sends what is left of the request. */
static enum checker_result send_request(struct check *check)
{
	const struct roster_target *target = &check->target;
	char request[REQUEST_MAX];
	int len = snprintf(request, sizeof(request),
			   "GET %.*s HTTP/1.1\r\nHost: %.*s\r\n"
			   "User-Agent: spoa-router\r\nAccept: */*\r\n"
			   "Connection: close\r\n\r\n",
			   (int)target->path.len, target->path.p,
			   (int)target->host.len, target->host.p);
	ssize_t sent = send(check->fd, request + check->done,
			    (size_t)len - check->done, MSG_NOSIGNAL);

	if (sent < 0 && errno != EAGAIN)
		return CHECKER_CLOSED;
	check->done = (uint16_t)(check->done + (sent > 0 ? sent : 0));
	if (check->done == len) {
		check->state = READING;
		check->done = 0;
	}
	return CHECKER_PENDING;
}

/* `HTTP/1.1 200`; `*status` is the number. */
static enum checker_result judge_status(const char *line, int *status)
{
	size_t i;

	*status = 0;
	if (memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ')
		return CHECKER_NOT_HTTP;
	for (i = 9; i < STATUS_LEN; i++) {
		if (line[i] < '0' || line[i] > '9')
			return CHECKER_NOT_HTTP;
		*status = *status * 10 + (line[i] - '0');
	}
	return *status >= 200 && *status <= 399 ? CHECKER_PASSED
						: CHECKER_STATUS;
}

static enum checker_result read_status(struct check *check, int *status)
{
	ssize_t got = recv(check->fd, check->status + check->done,
			   STATUS_LEN - check->done, 0);

	if (got < 0 && errno == EAGAIN)
		return CHECKER_PENDING;
	if (got <= 0)
		return CHECKER_CLOSED;
	check->done = (uint16_t)(check->done + got);
	if (check->done < STATUS_LEN)
		return CHECKER_PENDING;
	return judge_status(check->status, status);
}

static enum checker_result judge_connect(const struct check *check)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(check->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error)
		return judge_errno(error);
	if (is_connected(check->fd, &peer) && is_own_echo(check->fd, &peer))
		return CHECKER_REFUSED;
	return check->target.path.len > 0 ? CHECKER_PENDING : CHECKER_PASSED;
}

/* Goes as far as it can; with CHECKER_PENDING it waits for the socket. */
static enum checker_result go_on(struct check *check, int *status)
{
	enum checker_result result;

	if (check->state == CONNECTING) {
		result = judge_connect(check);
		if (result != CHECKER_PENDING)
			return result;
		check->state = ASKING;
	}
	if (check->state == ASKING) {
		result = send_request(check);
		if (result != CHECKER_PENDING || check->state == ASKING)
			return result;
		return CHECKER_PENDING;
	}
	return read_status(check, status);
}

static void on_event(evutil_socket_t fd, short what, void *context);

/* Waits for what the check needs next; false when there is no memory. */
static bool wait_for(struct check *check)
{
	struct checker *checker = check->checker;
	struct loop *loop = checker->options.loop;
	int64_t left_ms = check->deadline_ms - loop_now(loop);
	const struct timeval left = loop_timeval(left_ms > 0 ? left_ms : 1);
	short what = check->state == READING ? EV_READ : EV_WRITE;

	if (event_assign(check->event, loop->base, check->fd, what, on_event,
			 check) != 0)
		return false;
	if (check->state == CONNECTING && checker->timeout)
		return event_add(check->event, checker->timeout) == 0;
	return event_add(check->event, &left) == 0;
}

static void on_event(evutil_socket_t fd, short what, void *context)
{
	struct check *check = context;
	struct checker *checker = check->checker;
	enum checker_result result = CHECKER_TIMEOUT;
	uint32_t slot = check->slot;
	int status = 0;

	(void)fd;
	if (!(what & EV_TIMEOUT))
		result = go_on(check, &status);
	if (result == CHECKER_PENDING && wait_for(check))
		return;
	if (result == CHECKER_PENDING)
		result = CHECKER_IMPOSSIBLE;
	free_check(check);
	checker->options.done(checker->options.context, slot, result, status);
}

/* Takes over a socket that connects, or is connected and has to be asked. */
static enum checker_result start_waiting(struct checker *checker, uint32_t slot,
					 const struct roster_target *target,
					 int fd)
{
	struct check *check = calloc(1, sizeof(*check));

	if (check)
		check->event = event_new(checker->options.loop->base, fd,
					 EV_WRITE, on_event, check);
	if (!check || !check->event) {
		free(check);
		reset(fd);
		return CHECKER_IMPOSSIBLE;
	}
	check->checker = checker;
	check->slot = slot;
	check->fd = fd;
	check->target = *target;
	check->deadline_ms =
		loop_now(checker->options.loop) + checker->options.timeout_ms;
	LIST_INSERT_HEAD(&checker->open, check, link);
	checker->count++;
	if (wait_for(check))
		return CHECKER_PENDING;
	free_check(check);
	return CHECKER_IMPOSSIBLE;
}

enum checker_result checker_start(struct checker *checker, uint32_t slot,
				  const struct roster_target *target)
{
	struct sockaddr_storage address, peer;
	socklen_t len = fill_address(target, &address);
	enum checker_result result;
	int fd = socket(address.ss_family,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return judge_errno(errno);
	if (connect(fd, (const struct sockaddr *)&address, len) != 0 &&
	    errno != EINPROGRESS) {
		result = judge_errno(errno);
		close(fd);
		return result;
	}
	/* On one machine it is often connected at once, whatever connect()
	 * says: that spares an event. */
	if (target->path.len > 0 || !is_connected(fd, &peer))
		return start_waiting(checker, slot, target, fd);
	result = is_own_echo(fd, &peer) ? CHECKER_REFUSED : CHECKER_PASSED;
	reset(fd);
	return result;
}
