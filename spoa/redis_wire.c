/* SPDX-License-Identifier: MIT */
/*
 * redis_wire: bytes to replies. A bufferevent moves the bytes, the sieve
 * bounds them, hiredis parses the replies.
 */
#include "redis_wire.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/dns.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "log.h"
#include "redis_reply.h"
#include "sieve.h"

enum {
	CONNECT_MS = 1000,	 /* to connect and to be let in, per address */
	RESOLVE_MS = 5000,	 /* to resolve a name */
	WHY_MAX = 256,		 /* bytes of a reason */
	HEAD_MAX = 1 + 20 + 2,	 /* bytes of a number's line in a command */
	CHUNK = 16 * 1024,	 /* bytes read and parsed at a time */
	REPLY_MAX = 4096 * 1024, /* bytes of one unfinished reply: what the
				    sieve passes is less */
};

/* What the server must still answer before it lets us in. */
enum greeting { GREETING_AUTH, GREETING_SELECT, GREETINGS };

/* A resolution under way outlives a wire that was freed. */
struct resolution {
	struct redis_wire *wire; /* NULL when nobody waits any more */
};

struct redis_wire {
	struct redis_wire_options options;
	enum { WIRE_OPENING, WIRE_GREETING, WIRE_OPEN, WIRE_LOST } state;
	struct resolution *resolution; /* or NULL */
	struct evdns_getaddrinfo_request *request;
	struct evutil_addrinfo *addresses; /* owned */
	struct evutil_addrinfo *next;	   /* the one to try next */
	struct bufferevent *transport;
	struct event *timer; /* of opening, and to report a loss */
	struct sieve sieve;
	redisReader *reader;
	size_t unparsed; /* bytes of the reply that is not whole yet */
	enum greeting greetings[GREETINGS];
	size_t greeting_count;
	size_t greeting_next;
	int64_t heard_ms; /* when the server last said something */
	uint64_t reads;	  /* how often it did */
	char why[WHY_MAX];
	char tls_why[TLS_WHY_MAX]; /* why TLS failed, be it at an address before
				      this one; or empty */
};

static void connect_next(struct redis_wire *wire);

/* The end of it: the owner hears of it from the loop. */
void redis_wire_lose(struct redis_wire *wire, const char *why,
		     struct span detail)
{
	if (wire->state == WIRE_LOST)
		return;
	wire->state = WIRE_LOST;
	snprintf(wire->why, sizeof(wire->why), "%s%s%.*s", why,
		 detail.len ? ": " : "", (int)detail.len,
		 detail.len ? detail.p : "");
	if (wire->transport)
		bufferevent_disable(wire->transport, EV_READ | EV_WRITE);
	loop_arm(wire->timer, 0);
}

static void lose_plain(struct redis_wire *wire, const char *why)
{
	redis_wire_lose(wire, why, (struct span){0});
}

int64_t redis_wire_heard(const struct redis_wire *wire)
{
	return wire->heard_ms;
}

uint64_t redis_wire_reads(const struct redis_wire *wire)
{
	return wire->reads;
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct redis_wire *wire = context;

	(void)fd;
	(void)what;
	if (wire->state == WIRE_LOST) {
		wire->options.lost(wire->options.context, wire->why);
	} else if (wire->resolution) {
		lose_plain(wire, "cannot resolve the name: no answer");
	} else if (wire->state == WIRE_OPENING && wire->next) {
		loop_arm(wire->timer, CONNECT_MS);
		connect_next(wire);
	} else {
		lose_plain(wire, "no answer while connecting");
	}
}

/* `*3` or `$5` and the end of the line. */
static char *put_head(char *p, char kind, size_t n)
{
	char digits[20];
	size_t len = 0;

	*p++ = kind;
	do {
		digits[len++] = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	while (len > 0)
		*p++ = digits[--len];
	*p++ = '\r';
	*p++ = '\n';
	return p;
}

/* Every miss passes here: the words go straight into the output, which leaves
 * once a turn, without a copy by hiredis and its printf. */
bool redis_wire_send(struct redis_wire *wire, int argc, const char **argv,
		     const size_t *lens)
{
	struct evbuffer *output = bufferevent_get_output(wire->transport);
	struct evbuffer_iovec room;
	size_t size = HEAD_MAX;
	char *p;
	int i;

	for (i = 0; i < argc; i++)
		size += HEAD_MAX + lens[i] + 2;
	if (evbuffer_reserve_space(output, (ev_ssize_t)size, &room, 1) != 1)
		return false;
	p = put_head(room.iov_base, '*', (size_t)argc);
	for (i = 0; i < argc; i++) {
		p = put_head(p, '$', lens[i]);
		memcpy(p, argv[i], lens[i]);
		p += lens[i];
		*p++ = '\r';
		*p++ = '\n';
	}
	room.iov_len = (size_t)(p - (char *)room.iov_base);
	return evbuffer_commit_space(output, &room, 1) == 0;
}

bool redis_wire_say(struct redis_wire *wire, int argc, const char **argv)
{
	size_t lens[REDIS_WIRE_WORDS_MAX];
	int i;

	for (i = 0; i < argc; i++)
		lens[i] = strlen(argv[i]);
	return redis_wire_send(wire, argc, argv, lens);
}

static void open_wire(struct redis_wire *wire)
{
	event_del(wire->timer);
	wire->state = WIRE_OPEN;
	wire->options.opened(wire->options.context);
}

/* Says who we are and which database we mean, in one write. */
static void greet(struct redis_wire *wire)
{
	const struct redis_url *url = wire->options.place.url;
	char db[16];
	bool sent = true;

	wire->state = WIRE_GREETING;
	if (url->password[0] != '\0') {
		const char *with_user[] = {"AUTH", url->user, url->password};
		const char *without[] = {"AUTH", url->password};

		sent = url->user[0] != '\0' ? redis_wire_say(wire, 3, with_user)
					    : redis_wire_say(wire, 2, without);
		wire->greetings[wire->greeting_count++] = GREETING_AUTH;
	}
	if (url->db != 0) {
		const char *argv[] = {"SELECT", db};

		snprintf(db, sizeof(db), "%u", url->db);
		sent = sent && redis_wire_say(wire, 2, argv);
		wire->greetings[wire->greeting_count++] = GREETING_SELECT;
	}
	if (!sent)
		lose_plain(wire, "out of memory");
	else if (wire->greeting_count == 0)
		open_wire(wire);
}

/* Only the code of a refused AUTH is shown: a server that does not know the
 * command repeats the password in its text. */
static struct span error_code(const redisReply *reply)
{
	struct span text = {reply->str, reply->len};
	const char *blank = memchr(text.p, ' ', text.len);

	if (blank)
		text.len = (size_t)(blank - text.p);
	return text;
}

/* A plain ERR may only mean that the server wants no password: whether it
 * serves, the first question shows. */
static void refuse_auth(struct redis_wire *wire, struct span code)
{
	if (span_is(code, "ERR"))
		log_warn("redis did not want the password",
			 log_text("server", wire->options.place.url->name));
	else
		redis_wire_lose(wire, "AUTH refused", code);
}

static void take_greeting(struct redis_wire *wire, const redisReply *reply)
{
	enum greeting greeting = wire->greetings[wire->greeting_next++];
	struct span text = {reply->str, reply->len};

	if (reply->type == REDIS_REPLY_ERROR) {
		if (greeting == GREETING_AUTH)
			refuse_auth(wire, error_code(reply));
		else
			redis_wire_lose(wire, "SELECT refused", text);
	}
	if (wire->state == WIRE_GREETING &&
	    wire->greeting_next == wire->greeting_count)
		open_wire(wire);
}

/* Parses all whole replies that the reader holds. */
static void take_replies(struct redis_wire *wire)
{
	while (wire->state != WIRE_LOST) {
		void *reply = NULL;

		if (redisReaderGetReply(wire->reader, &reply) != REDIS_OK) {
			redis_wire_lose(wire, "not understood",
					span_of(wire->reader->errstr));
			return;
		}
		if (!reply)
			return;
		wire->unparsed = 0;
		redis_errors_note(wire->options.place.errors, reply);
		if (wire->state == WIRE_GREETING)
			take_greeting(wire, reply);
		else
			wire->options.replied(wire->options.context, reply);
		freeReplyObject(reply);
	}
}

static void feed(struct redis_wire *wire, struct span in)
{
	for (;;) {
		struct span piece;
		enum sieve_result result =
			sieve_next(&wire->sieve, &in, &piece);

		if (result == SIEVE_EMPTY)
			break;
		if (result == SIEVE_BROKEN) {
			lose_plain(wire, "not understood");
			return;
		}
		wire->unparsed += piece.len;
		if (redisReaderFeed(wire->reader, piece.p, piece.len) !=
		    REDIS_OK) {
			lose_plain(wire, "out of memory");
			return;
		}
	}
	take_replies(wire);
	if (wire->unparsed > REPLY_MAX)
		lose_plain(wire, "a reply too large");
}

static void on_read(struct bufferevent *transport, void *context)
{
	struct redis_wire *wire = context;
	char chunk[CHUNK];

	wire->heard_ms = loop_now(wire->options.place.loop);
	wire->reads++;
	while (wire->state != WIRE_LOST) {
		size_t len = bufferevent_read(transport, chunk, sizeof(chunk));

		if (len == 0)
			return;
		feed(wire, (struct span){chunk, len});
	}
}

/* What went wrong last: with TLS, or with the socket. */
static const char *explain(struct redis_wire *wire, int error)
{
	if (wire->transport && wire->options.place.url->is_tls &&
	    tls_explain(wire->transport, wire->tls_why))
		return wire->tls_why;
	return wire->tls_why[0] != '\0' ? wire->tls_why
					: evutil_socket_error_to_string(error);
}

static void on_event(struct bufferevent *transport, short what, void *context)
{
	struct redis_wire *wire = context;
	const char *error = explain(wire, EVUTIL_SOCKET_ERROR());

	/* To disable a transport does not keep it from being connected. */
	if (wire->state == WIRE_LOST)
		return;
	if (what & BEV_EVENT_CONNECTED) {
		int on = 1;

		setsockopt(bufferevent_getfd(transport), IPPROTO_TCP,
			   TCP_NODELAY, &on, sizeof(on));
		wire->tls_why[0] = '\0';
		greet(wire);
	} else if (wire->state == WIRE_OPENING) {
		snprintf(wire->why, sizeof(wire->why), "%s", error);
		connect_next(wire);
	} else if (what & BEV_EVENT_EOF) {
		lose_plain(wire, "closed by the server");
	} else {
		lose_plain(wire, error);
	}
}

/* TCP or a Unix socket, with TLS on it where the URL wants that. */
static struct bufferevent *open_transport(struct redis_wire *wire)
{
	const struct redis_place *place = &wire->options.place;

	if (place->url->is_tls)
		return tls_open(place->tls, place->loop->base, place->url->host,
				wire->tls_why);
	return bufferevent_socket_new(place->loop->base, -1,
				      BEV_OPT_CLOSE_ON_FREE);
}

/* Opens a socket towards one address. */
static bool connect_to(struct redis_wire *wire, const struct sockaddr *address,
		       size_t len)
{
	if (wire->transport)
		bufferevent_free(wire->transport);
	wire->transport = open_transport(wire);
	if (!wire->transport)
		return false;
	bufferevent_setcb(wire->transport, on_read, NULL, on_event, wire);
	bufferevent_enable(wire->transport, EV_READ | EV_WRITE);
	return bufferevent_socket_connect(wire->transport, address, (int)len) ==
	       0;
}

/* Tries the name's addresses one after the other; `why` holds what the last
 * one said, or TLS: that there is nobody at another address says less. */
static void connect_next(struct redis_wire *wire)
{
	while (wire->next) {
		struct evutil_addrinfo *address = wire->next;

		wire->next = address->ai_next;
		if (connect_to(wire, address->ai_addr, address->ai_addrlen))
			return;
		snprintf(wire->why, sizeof(wire->why), "%s",
			 explain(wire, EVUTIL_SOCKET_ERROR()));
	}
	redis_wire_lose(wire, "cannot connect", span_of(strdupa(wire->why)));
}

static void on_resolved(int error, struct evutil_addrinfo *addresses,
			void *context)
{
	struct resolution *resolution = context;
	struct redis_wire *wire = resolution->wire;

	free(resolution);
	if (!wire) {
		if (addresses)
			evutil_freeaddrinfo(addresses);
		return;
	}
	wire->resolution = NULL;
	wire->request = NULL;
	wire->addresses = addresses;
	wire->next = addresses;
	if (error) {
		redis_wire_lose(wire, "cannot resolve the name",
				span_of(evutil_gai_strerror(error)));
		return;
	}
	loop_arm(wire->timer, CONNECT_MS);
	connect_next(wire);
}

static void resolve(struct redis_wire *wire)
{
	const struct redis_url *url = wire->options.place.url;
	struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC,
					.ai_socktype = SOCK_STREAM,
					.ai_protocol = IPPROTO_TCP,
					.ai_flags = EVUTIL_AI_NUMERICHOST |
						    EVUTIL_AI_NUMERICSERV};
	struct evdns_getaddrinfo_request *request;
	char port[8];

	snprintf(port, sizeof(port), "%u", url->port);
	if (evutil_getaddrinfo(url->host, port, &hints, &wire->addresses) ==
	    0) {
		wire->next = wire->addresses;
		connect_next(wire);
		return;
	}
	wire->resolution = calloc(1, sizeof(*wire->resolution));
	if (!wire->options.place.dns || !wire->resolution) {
		lose_plain(wire, "names cannot be resolved");
		return;
	}
	wire->resolution->wire = wire;
	loop_arm(wire->timer, RESOLVE_MS);
	hints.ai_flags = EVUTIL_AI_NUMERICSERV;
	request = evdns_getaddrinfo(wire->options.place.dns, url->host, port,
				    &hints, on_resolved, wire->resolution);
	/* A name from the hosts file is known before the call returns. */
	if (wire->resolution)
		wire->request = request;
}

static void start(struct redis_wire *wire)
{
	const struct redis_url *url = wire->options.place.url;
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	loop_arm(wire->timer, CONNECT_MS);
	if (url->path[0] == '\0') {
		resolve(wire);
		return;
	}
	memcpy(address.sun_path, url->path, sizeof(address.sun_path));
	if (!connect_to(wire, (struct sockaddr *)&address, sizeof(address)))
		redis_wire_lose(wire, "cannot connect",
				span_of(evutil_socket_error_to_string(
					EVUTIL_SOCKET_ERROR())));
}

struct redis_wire *redis_wire_new(const struct redis_wire_options *options)
{
	struct redis_wire *wire = calloc(1, sizeof(*wire));

	if (!wire)
		return NULL;
	wire->options = *options;
	sieve_init(&wire->sieve, options->place.value_max);
	wire->reader = redisReaderCreate();
	wire->timer = evtimer_new(options->place.loop->base, on_timer, wire);
	if (!wire->reader || !wire->timer) {
		redis_wire_free(wire);
		return NULL;
	}
	start(wire);
	return wire;
}

void redis_wire_free(struct redis_wire *wire)
{
	if (!wire)
		return;
	if (wire->resolution) {
		wire->resolution->wire = NULL;
		if (wire->request)
			evdns_getaddrinfo_cancel(wire->request);
	}
	if (wire->transport)
		bufferevent_free(wire->transport);
	if (wire->addresses)
		evutil_freeaddrinfo(wire->addresses);
	if (wire->timer)
		event_free(wire->timer);
	if (wire->reader)
		redisReaderFree(wire->reader);
	free(wire);
}
