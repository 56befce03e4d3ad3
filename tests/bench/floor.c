/* SPDX-License-Identifier: MIT */
/*
 * floor: the least an agent on libevent can do. It greets, and answers each
 * NOTIFY with the same ACK but for the ids, one read and one write a readiness.
 * It looks nothing up, checks nothing and bounds nothing: what the agent costs
 * is measured against it.
 *
 *   floor PORT [TARGET-PORT [VARIABLES]]
 *
 * listens on loopback. TARGET-PORT is where all requests go, 9000. VARIABLES
 * says what the ACK sets, letters of `stor`: status, target (ip and port),
 * origin (the variable source), route; all of them by default, as the agent.
 */
#include <arpa/inet.h>
#include <event2/event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 64 * 1024, HEAD = 9, NOTIFY = 3 };

struct peer {
	struct event *readable;
	uint8_t in[BUFFER];
	size_t in_len;
	uint8_t out[BUFFER];
	size_t out_len;
};

static const char hello[] = "\0\0\0\x4a\x65\0\0\0\x01\0\0"
			    "\x07version\x08\x03"
			    "2.0"
			    "\x0emax-frame-size\x03\xfc\xf0\x06"
			    "\x0c"
			    "capabilities\x08\x0apipelining";

/* The actions of every ACK, made once. */
static struct {
	uint8_t bytes[256];
	size_t len;
} actions;

/* Bytes of a variable-length integer. */
static size_t varint_len(const uint8_t *p)
{
	size_t len = 1;

	if (p[0] < 240)
		return 1;
	while (p[len] >= 128)
		len++;
	return len + 1;
}

static void put_length(uint8_t *p, size_t len)
{
	p[0] = (uint8_t)(len >> 24);
	p[1] = (uint8_t)(len >> 16);
	p[2] = (uint8_t)(len >> 8);
	p[3] = (uint8_t)len;
}

static size_t put_varint(uint8_t *p, uint32_t n)
{
	size_t len = 1;

	if (n < 240) {
		p[0] = (uint8_t)n;
		return 1;
	}
	p[0] = (uint8_t)(n | 0xf0);
	for (n = (n - 240) >> 4; n >= 128; n = (n - 128) >> 7)
		p[len++] = (uint8_t)(n | 0x80);
	p[len] = (uint8_t)n;
	return len + 1;
}

static void add(const void *bytes, size_t len)
{
	memcpy(actions.bytes + actions.len, bytes, len);
	actions.len += len;
}

/* What the agent says of h0000000.example.com, byte for byte. */
static void make_actions(uint32_t port, const char *variables)
{
	uint8_t varint[8];

	if (strchr(variables, 's'))
		add("\x01\x03\x02\x06status\x08\x02ok", 14);
	if (strchr(variables, 't')) {
		add("\x01\x03\x02\x02ip\x06\x7f\x00\x00\x01", 11);
		add("\x01\x03\x02\x04port\x03", 9);
		add(varint, put_varint(varint, port));
	}
	if (strchr(variables, 'o'))
		add("\x01\x03\x02\x06source\x08\x05"
		    "cache",
		    17);
	if (strchr(variables, 'r'))
		add("\x01\x03\x02\x05route\x08\x14h0000000.example.com", 31);
}

static void answer(struct peer *peer, const uint8_t *frame)
{
	const uint8_t *ids = frame + HEAD;
	size_t ids_len = varint_len(ids);
	uint8_t *out = peer->out + peer->out_len;

	ids_len += varint_len(ids + ids_len);
	put_length(out, HEAD - 4 + ids_len + actions.len);
	memcpy(out + 4, "\x67\0\0\0\x01", 5);
	memcpy(out + HEAD, ids, ids_len);
	memcpy(out + HEAD + ids_len, actions.bytes, actions.len);
	peer->out_len += HEAD + ids_len + actions.len;
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
	struct peer *peer = context;
	ssize_t got =
		recv(fd, peer->in + peer->in_len, BUFFER - peer->in_len, 0);
	size_t used = 0;

	(void)what;
	if (got <= 0) {
		event_free(peer->readable);
		close(fd);
		free(peer);
		return;
	}
	peer->in_len += (size_t)got;
	while (peer->in_len - used >= 4) {
		const uint8_t *frame = peer->in + used;
		size_t len = (size_t)frame[2] << 8 | frame[3];

		if (peer->in_len - used < len + 4)
			break;
		if (frame[4] == NOTIFY) {
			answer(peer, frame);
		} else {
			memcpy(peer->out + peer->out_len, hello,
			       sizeof(hello) - 1);
			put_length(peer->out + peer->out_len,
				   sizeof(hello) - 1 - 4);
			peer->out_len += sizeof(hello) - 1;
		}
		used += len + 4;
	}
	peer->in_len -= used;
	memmove(peer->in, peer->in + used, peer->in_len);
	if (peer->out_len > 0 && send(fd, peer->out, peer->out_len,
				      MSG_NOSIGNAL) != (ssize_t)peer->out_len)
		exit(1);
	peer->out_len = 0;
}

static void on_accept(evutil_socket_t fd, short what, void *context)
{
	struct event_base *base = context;
	int peer_fd = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
	struct peer *peer = calloc(1, sizeof(*peer));

	(void)what;
	if (peer_fd < 0 || !peer)
		exit(1);
	peer->readable = event_new(base, peer_fd, EV_READ | EV_PERSIST,
				   on_readable, peer);
	event_add(peer->readable, NULL);
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	struct event_base *base = event_base_new();
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int on = 1;

	if (argc < 2 || !base)
		return 1;
	make_actions(argc > 2 ? (uint32_t)atoi(argv[2]) : 9000,
		     argc > 3 ? argv[3] : "stor");
	address.sin_port = htons((uint16_t)atoi(argv[1]));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(fd, 128) != 0)
		return 1;
	event_add(event_new(base, fd, EV_READ | EV_PERSIST, on_accept, base),
		  NULL);
	return event_base_dispatch(base);
}
