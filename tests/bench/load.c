/* SPDX-License-Identifier: MIT */
/*
 * load: asks an agent as HAProxy would, without HAProxy.
 *
 *   load PORT CONNECTIONS IN-FLIGHT FRAMES HOSTS FIRST
 *        [PERCENT UNSEEN [STRIDE [RATE]]]
 *
 * Opens connections, greets, and on each keeps writing IN-FLIGHT NOTIFYs at
 * once and reading as many ACKs, until FRAMES were answered in all. Each names
 * host and client as the sample files do, each time another client. Hosts are
 * hNNNNNNN.example.com, those below HOSTS in turn from FIRST on; PERCENT of the
 * questions are for other hosts, from UNSEEN on, each once. With STRIDE, prime
 * to HOSTS, the n-th host is n * STRIDE modulo HOSTS: all of them once before
 * any comes again, but in no order that memory knows. RATE is the most
 * questions a second. Prints how many ACKs came and how many said `ok`.
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 256 * 1024, PEERS = 64 };

struct peer {
	int fd;
	uint64_t next_id;
	size_t unanswered;
	uint8_t in[BUFFER];
	size_t in_len;
};

static struct {
	struct peer peers[PEERS];
	unsigned long in_flight, frames, hosts, host, percent, unseen, stride;
	unsigned long asked, answered, ok;
	unsigned long rate; /* questions a second; 0 is no bound */
	struct timespec start;
	uint8_t out[BUFFER];
} load;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint8_t *put_varint(uint8_t *p, uint64_t n)
{
	if (n < 240) {
		*p++ = (uint8_t)n;
		return p;
	}
	*p++ = (uint8_t)(n | 0xf0);
	for (n = (n - 240) >> 4; n >= 128; n = (n - 128) >> 7)
		*p++ = (uint8_t)(n | 0x80);
	*p++ = (uint8_t)n;
	return p;
}

/* The new ones are spread evenly over all that are asked. */
static unsigned long next_host(void)
{
	unsigned long n = load.asked;

	if ((n + 1) * load.percent / 100 > n * load.percent / 100)
		return load.unseen++;
	return load.host++ * load.stride % load.hosts;
}

static uint8_t *put_notify(uint8_t *p, uint64_t id)
{
	uint8_t *begin = p;
	unsigned long n = next_host();
	int i;

	memcpy(p, "\0\0\0\0\x03\0\0\0\x01", 9);
	p = put_varint(p + 9, id);
	*p++ = 1;
	memcpy(p,
	       "\x05route\x02\x04host\x08\x14h0000000.example.com"
	       "\x06"
	       "client\x06\x0a",
	       43);
	for (i = 7; i > 0; i--, n /= 10)
		p[14 + i] = (uint8_t)('0' + n % 10);
	p += 43;
	for (i = 16; i >= 0; i -= 8)
		*p++ = (uint8_t)(load.asked >> i);
	begin[3] = (uint8_t)(p - begin - 4);
	return p;
}

/* Sleeps until the next question is due. */
static void keep_rate(void)
{
	struct timespec due = load.start;

	if (load.rate == 0)
		return;
	due.tv_sec += (time_t)(load.asked / load.rate);
	due.tv_nsec += (long)(load.asked % load.rate * 1000000000 / load.rate);
	due.tv_sec += due.tv_nsec / 1000000000;
	due.tv_nsec %= 1000000000;
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

/* As many questions as may be open, in one write. */
static void ask(struct peer *peer)
{
	uint8_t *p = load.out;

	keep_rate();
	while (peer->unanswered < load.in_flight && load.asked < load.frames) {
		p = put_notify(p, peer->next_id++);
		peer->unanswered++;
		load.asked++;
	}
	if (p > load.out &&
	    send(peer->fd, load.out, (size_t)(p - load.out), 0) != p - load.out)
		die("send");
}

static void take_frame(struct peer *peer, const uint8_t *frame, size_t len)
{
	if (frame[4] != 103)
		return;
	peer->unanswered--;
	load.answered++;
	if (memmem(frame, len, "status\x08\x02ok", 10))
		load.ok++;
}

static void take_answers(struct peer *peer)
{
	ssize_t got = recv(peer->fd, peer->in + peer->in_len,
			   BUFFER - peer->in_len, 0);
	size_t used = 0;

	if (got <= 0)
		die("recv");
	peer->in_len += (size_t)got;
	while (peer->in_len - used >= 4) {
		const uint8_t *frame = peer->in + used;
		size_t len = ((size_t)frame[2] << 8 | frame[3]) + 4;

		if (peer->in_len - used < len)
			break;
		take_frame(peer, frame, len);
		used += len;
	}
	peer->in_len -= used;
	memmove(peer->in, peer->in + used, peer->in_len);
	if (peer->unanswered == 0)
		ask(peer);
}

static void greet(struct peer *peer, uint16_t port)
{
	static const char hello[] = "\0\0\0\x4f\x01\0\0\0\x01\0\0"
				    "\x12supported-versions\x08\x03"
				    "2.0"
				    "\x0emax-frame-size\x03\xfc\xf0\x06"
				    "\x0c"
				    "capabilities\x08\x0apipelining";
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(port)};
	uint8_t out[sizeof(hello)];

	memcpy(out, hello, sizeof(hello));
	out[3] = sizeof(hello) - 1 - 4;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	peer->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(peer->fd, (struct sockaddr *)&address, sizeof(address)) !=
	    0)
		die("connect");
	if (send(peer->fd, out, sizeof(hello) - 1, 0) < 0)
		die("send");
	take_answers(peer);
}

int main(int argc, char **argv)
{
	int epoll = epoll_create1(0);
	unsigned long connections, i;

	if (argc < 7 || argc == 8 || argc > 11)
		return 2;
	connections = strtoul(argv[2], NULL, 10);
	load.in_flight = strtoul(argv[3], NULL, 10);
	load.frames = strtoul(argv[4], NULL, 10);
	load.hosts = strtoul(argv[5], NULL, 10);
	load.host = strtoul(argv[6], NULL, 10);
	load.stride = argc > 9 ? strtoul(argv[9], NULL, 10) : 1;
	if (argc > 8) {
		load.percent = strtoul(argv[7], NULL, 10);
		load.unseen = strtoul(argv[8], NULL, 10);
	}
	load.rate = argc > 10 ? strtoul(argv[10], NULL, 10) : 0;
	clock_gettime(CLOCK_MONOTONIC, &load.start);
	for (i = 0; i < connections && i < PEERS; i++) {
		struct epoll_event event = {.events = EPOLLIN,
					    .data.ptr = &load.peers[i]};

		load.peers[i].next_id = 1;
		greet(&load.peers[i], (uint16_t)atoi(argv[1]));
		epoll_ctl(epoll, EPOLL_CTL_ADD, load.peers[i].fd, &event);
	}
	while (load.answered < load.frames) {
		struct epoll_event events[PEERS];
		int n = epoll_wait(epoll, events, PEERS, 10000);

		if (n <= 0)
			die("epoll_wait");
		while (n-- > 0)
			take_answers(events[n].data.ptr);
	}
	printf("%lu %lu\n", load.answered, load.ok);
	return 0;
}
