/* SPDX-License-Identifier: MIT */
/*
 * paced PORT HOST RATE: so many GETs a second to 127.0.0.1, each over a
 * connection of its own, until standard input ends. Then one line: how many
 * came back with status 200, how many did not, the longest in ms, and how many
 * were sent a second. What else came back goes to stderr.
 *
 * It sends by the clock, whatever becomes of those before; only OPEN_MAX may be
 * under way.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { OPEN_MAX = 200, EVENTS = 64, SECOND = 1000000 };

struct request {
	struct request *next_free;
	long begin_us;
	size_t len;
	int fd;
	char reply[64]; /* how it begins */
};

static struct {
	struct sockaddr_in to;
	char question[512];
	struct request all[OPEN_MAX], *free;
	int epoll;
	long sent, ok, failed, worst_us;
	int open;
} paced;

static long now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * SECOND + now.tv_nsec / 1000;
}

static void end(struct request *request)
{
	long took = now_us() - request->begin_us;

	request->reply[request->len] = '\0';
	if (strncmp(request->reply, "HTTP/1.1 200 ", 13) == 0) {
		paced.ok++;
	} else {
		paced.failed++;
		fprintf(stderr, "after %ld ms: \"%.12s\"\n", took / 1000,
			request->reply);
	}
	if (took > paced.worst_us)
		paced.worst_us = took;
	close(request->fd);
	request->next_free = paced.free;
	paced.free = request;
	paced.open--;
}

static void begin(void)
{
	struct request *request = paced.free;
	struct epoll_event event = {.events = EPOLLOUT, .data.ptr = request};

	paced.free = request->next_free;
	paced.open++;
	paced.sent++;
	request->begin_us = now_us();
	request->len = 0;
	request->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	connect(request->fd, (struct sockaddr *)&paced.to, sizeof(paced.to));
	epoll_ctl(paced.epoll, EPOLL_CTL_ADD, request->fd, &event);
}

static void ask(struct request *request)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = request};
	size_t len = strlen(paced.question);

	if (send(request->fd, paced.question, len, MSG_NOSIGNAL) !=
	    (ssize_t)len)
		end(request);
	else
		epoll_ctl(paced.epoll, EPOLL_CTL_MOD, request->fd, &event);
}

static void hear(struct request *request)
{
	char bytes[4096];
	ssize_t got = recv(request->fd, bytes, sizeof(bytes), 0);
	size_t room = sizeof(request->reply) - 1 - request->len;

	if (got <= 0) {
		end(request);
		return;
	}
	if ((size_t)got < room)
		room = (size_t)got;
	memcpy(request->reply + request->len, bytes, room);
	request->len += room;
}

/* What is ready now; false once standard input has ended. */
static int turn(int wait_ms)
{
	struct epoll_event events[EVENTS];
	int count = epoll_wait(paced.epoll, events, EVENTS, wait_ms);
	int i, goes_on = 1;

	for (i = 0; i < count; i++) {
		struct request *request = events[i].data.ptr;

		if (!request)
			goes_on = 0;
		else if (events[i].events & EPOLLOUT)
			ask(request);
		else
			hear(request);
	}
	return goes_on;
}

static void prepare(char **argv)
{
	struct epoll_event input = {.events = EPOLLIN | EPOLLHUP};
	int i;

	paced.to =
		(struct sockaddr_in){.sin_family = AF_INET,
				     .sin_port = htons((uint16_t)atoi(argv[1])),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	snprintf(paced.question, sizeof(paced.question),
		 "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
		 argv[2]);
	for (i = 0; i < OPEN_MAX; i++) {
		paced.all[i].next_free = paced.free;
		paced.free = &paced.all[i];
	}
	paced.epoll = epoll_create1(0);
	epoll_ctl(paced.epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input);
}

int main(int argc, char **argv)
{
	long start = now_us(), rate = argc == 4 ? atol(argv[3]) : 0, spent;

	if (rate <= 0)
		return 2;
	prepare(argv);
	do {
		while (paced.free &&
		       paced.sent < (now_us() - start) * rate / SECOND)
			begin();
	} while (turn(1));
	spent = now_us() - start;
	epoll_ctl(paced.epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
	while (paced.open > 0 && now_us() - start < spent + 30L * SECOND)
		turn(100);
	printf("%ld %ld %ld %ld\n", paced.ok, paced.sent - paced.ok,
	       paced.worst_us / 1000, paced.sent * SECOND / spent);
	return 0;
}
