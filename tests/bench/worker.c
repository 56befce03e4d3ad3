/* SPDX-License-Identifier: MIT */
/*
 * worker: the web server behind all proxies that are compared. It answers each
 * request (one that ends in an empty line and has no body) with the same bytes
 * and keeps the connection. `worker PORT` listens on loopback.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 16 * 1024, EVENTS = 256, FILES = 20000 };

static const char response[] = "HTTP/1.1 200 OK\r\n"
			       "Content-Type: text/plain\r\n"
			       "Content-Length: 3\r\n"
			       "\r\n"
			       "ok\n";

/* What of the end of a request was seen, by descriptor. */
static uint8_t matched[FILES];

static void answer(int fd)
{
	char in[BUFFER];
	ssize_t got = recv(fd, in, sizeof(in), 0);
	ssize_t i;

	if (got <= 0) {
		close(fd);
		return;
	}
	for (i = 0; i < got; i++) {
		if (in[i] == "\r\n\r\n"[matched[fd]])
			matched[fd]++;
		else
			matched[fd] = in[i] == '\r';
		if (matched[fd] < 4)
			continue;
		matched[fd] = 0;
		if (send(fd, response, sizeof(response) - 1, MSG_NOSIGNAL) < 0)
			perror("send");
	}
}

static void take_connection(int epoll, int listener)
{
	int on = 1;
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (fd < 0)
		return;
	if (fd >= FILES)
		exit(1);
	matched[fd] = 0;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	int epoll = epoll_create1(0);
	struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
	int on = 1;

	if (argc != 2)
		return 2;
	address.sin_port = htons((uint16_t)atoi(argv[1]));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(listener, 512) != 0 ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0)
		return 1;
	for (;;) {
		struct epoll_event events[EVENTS];
		int n = epoll_wait(epoll, events, EVENTS, -1);

		while (n-- > 0) {
			if (events[n].data.fd == listener)
				take_connection(epoll, listener);
			else
				answer(events[n].data.fd);
		}
	}
}
