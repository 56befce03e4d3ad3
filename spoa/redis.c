/* SPDX-License-Identifier: MIT */
/*
 * redis: one connection. A bufferevent moves the bytes, the sieve bounds them,
 * hiredis parses the replies.
 */
#include "redis.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/dns.h>
#include <event2/util.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>

#include "log.h"
#include "sieve.h"

enum {
	CONNECT_MS = 1000,	 /* to connect and to be greeted */
	RESOLVE_MS = 5000,	 /* to resolve a name */
	SILENCE_MS = 500,	 /* beyond the lookup timeout: it is dead */
	WARN_MS = 10 * 1000,	 /* at most one warning of a kind */
	WHY_MAX = 256,		 /* bytes of a reason */
	CHUNK = 16 * 1024,	 /* bytes read and parsed at a time */
	REPLY_MAX = 1024 * 1024, /* bytes of one unfinished reply */
};

/* What the connection waits for before lookups may go. */
enum greeting { GREETING_AUTH, GREETING_SELECT, GREETING_PROBE, GREETINGS };

/* A resolution under way outlives a connection that was freed. */
struct resolution {
	struct redis *redis; /* NULL when nobody waits any more */
};

struct redis {
	struct redis_options options;
	enum { REDIS_OPENING, REDIS_GREETING, REDIS_READY, REDIS_LOST } state;
	struct resolution *resolution; /* or NULL */
	struct evdns_getaddrinfo_request *request;
	struct evutil_addrinfo *addresses; /* owned */
	struct evutil_addrinfo *next;	   /* the one to try next */
	struct bufferevent *transport;
	struct event *timer; /* of opening, of silence, and to report a loss */
	struct sieve sieve;
	redisReader *reader;
	size_t unparsed; /* bytes of the reply that is not whole yet */
	enum greeting greetings[GREETINGS];
	size_t greeting_count;
	size_t greeting_next;
	struct lookup_queue sent;
	int64_t heard_ms; /* when the server last said something */
	uint64_t reads;	  /* how often it did */
	int64_t ready_ms; /* when it got ready, or 0 */
	struct log_limit wrong_type;
	char why[WHY_MAX];
};

static void connect_next(struct redis *redis);

/* The end of it: the owner hears of it from the loop. */
static void lose(struct redis *redis, const char *why, struct span detail)
{
	if (redis->state == REDIS_LOST)
		return;
	redis->state = REDIS_LOST;
	snprintf(redis->why, sizeof(redis->why), "%s%s%.*s", why,
		 detail.len ? ": " : "", (int)detail.len,
		 detail.len ? detail.p : "");
	if (redis->transport)
		bufferevent_disable(redis->transport, EV_READ | EV_WRITE);
	loop_arm(redis->timer, 0);
}

static void lose_plain(struct redis *redis, const char *why)
{
	lose(redis, why, (struct span){0});
}

bool redis_is_ready(const struct redis *redis)
{
	return redis->state == REDIS_READY;
}

int64_t redis_ready_for(const struct redis *redis, int64_t now_ms)
{
	return redis->ready_ms ? now_ms - redis->ready_ms : -1;
}

/* For how long has a question been open without a word from the server? */
static int64_t silence_ms(const struct redis *redis, int64_t now_ms)
{
	const struct lookup *oldest = TAILQ_FIRST(&redis->sent);
	int64_t since;

	if (!oldest)
		return 0;
	since = redis->heard_ms > oldest->sent_ms ? redis->heard_ms
						  : oldest->sent_ms;
	return now_ms - since;
}

bool redis_is_silent(const struct redis *redis, int64_t now_ms)
{
	return silence_ms(redis, now_ms) > redis->options.lookup_timeout_ms;
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct redis *redis = context;
	int64_t patience = redis->options.lookup_timeout_ms + SILENCE_MS;
	int64_t silence = silence_ms(redis, loop_now(redis->options.loop));

	(void)fd;
	(void)what;
	if (redis->state == REDIS_LOST) {
		redis->options.lost(redis->options.context, redis, redis->why);
		return;
	}
	if (redis->state != REDIS_READY)
		lose_plain(redis, "no answer while connecting");
	else if (silence > patience)
		lose_plain(redis, "no answer");
	else if (!TAILQ_EMPTY(&redis->sent))
		loop_arm(redis->timer, patience - silence + 1);
}

static bool send_command(struct redis *redis, int argc, const char **argv,
			 const size_t *lens)
{
	char *command;
	long long len = redisFormatCommandArgv(&command, argc, argv, lens);
	int sent;

	if (len < 0)
		return false;
	sent = bufferevent_write(redis->transport, command, (size_t)len);
	redisFreeCommand(command);
	return sent == 0;
}

/* HMGET key field...; the fields are at most STORE_FIELDS_MAX. */
static bool send_hmget(struct redis *redis, const struct span *fields,
		       size_t count)
{
	const char *argv[2 + STORE_FIELDS_MAX] = {"HMGET", redis->options.key};
	size_t lens[2 + STORE_FIELDS_MAX] = {5, strlen(redis->options.key)};
	size_t i;

	for (i = 0; i < count; i++) {
		argv[2 + i] = fields[i].p;
		lens[2 + i] = fields[i].len;
	}
	return send_command(redis, (int)(2 + count), argv, lens);
}

bool redis_send(struct redis *redis, struct lookup *lookup, int64_t now_ms)
{
	if (!send_hmget(redis, lookup->fields, lookup->count))
		return false;
	lookup->sent_ms = now_ms;
	lookup->sent_after = redis->reads;
	if (TAILQ_EMPTY(&redis->sent))
		loop_arm(redis->timer,
			 redis->options.lookup_timeout_ms + SILENCE_MS + 1);
	TAILQ_INSERT_TAIL(&redis->sent, lookup, link);
	return true;
}

void redis_take_lookups(struct redis *redis, struct lookup_queue *queue)
{
	struct lookup *lookup;

	while ((lookup = TAILQ_LAST(&redis->sent, lookup_queue)) != NULL) {
		TAILQ_REMOVE(&redis->sent, lookup, link);
		TAILQ_INSERT_HEAD(queue, lookup, link);
	}
}

static bool send_words(struct redis *redis, int argc, const char **argv)
{
	size_t lens[3];
	int i;

	for (i = 0; i < argc; i++)
		lens[i] = strlen(argv[i]);
	return send_command(redis, argc, argv, lens);
}

static void await_greeting(struct redis *redis, enum greeting greeting)
{
	redis->greetings[redis->greeting_count++] = greeting;
}

/* Everything that must be said first, in one write. */
static void greet(struct redis *redis)
{
	const struct redis_url *url = redis->options.url;
	const struct span any = span_of("*");
	char db[16];
	bool sent = true;

	redis->state = REDIS_GREETING;
	if (url->password[0] != '\0') {
		const char *with_user[] = {"AUTH", url->user, url->password};
		const char *without[] = {"AUTH", url->password};

		sent = url->user[0] != '\0' ? send_words(redis, 3, with_user)
					    : send_words(redis, 2, without);
		await_greeting(redis, GREETING_AUTH);
	}
	if (url->db != 0) {
		const char *argv[] = {"SELECT", db};

		snprintf(db, sizeof(db), "%u", url->db);
		sent = sent && send_words(redis, 2, argv);
		await_greeting(redis, GREETING_SELECT);
	}
	sent = sent && send_hmget(redis, &any, 1);
	await_greeting(redis, GREETING_PROBE);
	if (!sent)
		lose_plain(redis, "out of memory");
}

static struct span reply_text(const redisReply *reply)
{
	return (struct span){reply->str, reply->len};
}

static bool reply_starts(const redisReply *reply, const char *code)
{
	size_t len = strlen(code);

	return reply->len >= len && !memcmp(reply->str, code, len);
}

/* An error that says something of the key, not of the server. */
static bool is_wrong_type(struct redis *redis, const redisReply *reply)
{
	uint64_t held;

	if (!reply_starts(reply, "WRONGTYPE"))
		return false;
	if (log_limit_pass(&redis->wrong_type, loop_now(redis->options.loop),
			   WARN_MS, &held))
		log_warn("the routes key in redis is not a hash",
			 log_text("server", redis->options.url->name),
			 log_text("key", redis->options.key),
			 log_number("held_back", (int64_t)held));
	return true;
}

/* Only the code of a refused AUTH is shown: a server that does not know the
 * command repeats the password in its text. */
static struct span error_code(const redisReply *reply)
{
	struct span text = reply_text(reply);
	const char *blank = memchr(text.p, ' ', text.len);

	if (blank)
		text.len = (size_t)(blank - text.p);
	return text;
}

/* A plain ERR may only mean that the server wants no password: whether it
 * serves, the probe shows. */
static void refuse_auth(struct redis *redis, struct span code)
{
	if (span_is(code, "ERR"))
		log_warn("redis did not want the password",
			 log_text("server", redis->options.url->name));
	else
		lose(redis, "AUTH refused", code);
}

static void take_greeting(struct redis *redis, const redisReply *reply)
{
	enum greeting greeting = redis->greetings[redis->greeting_next++];
	bool is_error = reply->type == REDIS_REPLY_ERROR;

	if (greeting == GREETING_AUTH && is_error) {
		refuse_auth(redis, error_code(reply));
		return;
	}
	if (greeting == GREETING_SELECT && is_error) {
		lose(redis, "SELECT refused", reply_text(reply));
		return;
	}
	if (greeting != GREETING_PROBE)
		return;
	if (is_error && !is_wrong_type(redis, reply)) {
		lose(redis, "HMGET refused", reply_text(reply));
		return;
	}
	event_del(redis->timer);
	redis->state = REDIS_READY;
	redis->ready_ms = loop_now(redis->options.loop);
	redis->options.ready(redis->options.context, redis);
}

static bool read_value(const redisReply *reply, struct store_value *value)
{
	*value = (struct store_value){.kind = STORE_NONE};
	if (reply->type == REDIS_REPLY_NIL)
		return true;
	value->kind = STORE_VALUE;
	value->text = reply_text(reply);
	if (reply->type == REDIS_REPLY_STRING)
		return true;
	if (reply->type != REDIS_REPLY_ERROR ||
	    !reply_starts(reply, SIEVE_TOO_LARGE))
		return false;
	value->kind = STORE_TOO_LARGE;
	value->size = strtoull(reply->str + strlen(SIEVE_TOO_LARGE), NULL, 10);
	return true;
}

static void take_answer(struct redis *redis, const redisReply *reply)
{
	struct store_value values[STORE_FIELDS_MAX];
	struct lookup *lookup = TAILQ_FIRST(&redis->sent);
	int64_t now_ms = loop_now(redis->options.loop);
	size_t i;

	/* What was read before a question went out cannot be its answer. */
	if (!lookup || lookup->sent_after == redis->reads) {
		lose_plain(redis, "an answer that nobody asked for");
		return;
	}
	if (reply->type == REDIS_REPLY_ERROR && is_wrong_type(redis, reply)) {
		TAILQ_REMOVE(&redis->sent, lookup, link);
		lookup->done(lookup, STORE_FAILED, NULL, now_ms);
		return;
	}
	if (reply->type == REDIS_REPLY_ERROR) {
		lose(redis, "HMGET refused", reply_text(reply));
		return;
	}
	if (reply->type != REDIS_REPLY_ARRAY ||
	    reply->elements != lookup->count) {
		lose_plain(redis, "an answer of the wrong shape");
		return;
	}
	for (i = 0; i < lookup->count; i++) {
		if (!read_value(reply->element[i], &values[i])) {
			lose_plain(redis, "an answer of the wrong shape");
			return;
		}
	}
	TAILQ_REMOVE(&redis->sent, lookup, link);
	lookup->done(lookup, STORE_ANSWERED, values, now_ms);
}

static void take_reply(struct redis *redis, const redisReply *reply)
{
	if (redis->state == REDIS_GREETING)
		take_greeting(redis, reply);
	else
		take_answer(redis, reply);
}

/* Parses all whole replies that the reader holds. */
static void take_replies(struct redis *redis)
{
	while (redis->state != REDIS_LOST) {
		void *reply = NULL;

		if (redisReaderGetReply(redis->reader, &reply) != REDIS_OK) {
			lose(redis, "not understood",
			     span_of(redis->reader->errstr));
			return;
		}
		if (!reply)
			return;
		redis->unparsed = 0;
		take_reply(redis, reply);
		freeReplyObject(reply);
	}
}

static void feed(struct redis *redis, struct span in)
{
	for (;;) {
		struct span piece;
		enum sieve_result result =
			sieve_next(&redis->sieve, &in, &piece);

		if (result == SIEVE_EMPTY)
			break;
		if (result == SIEVE_BROKEN) {
			lose_plain(redis, "not understood");
			return;
		}
		redis->unparsed += piece.len;
		if (redisReaderFeed(redis->reader, piece.p, piece.len) !=
		    REDIS_OK) {
			lose_plain(redis, "out of memory");
			return;
		}
	}
	take_replies(redis);
	if (redis->unparsed > REPLY_MAX)
		lose_plain(redis, "a reply too large");
}

static void on_read(struct bufferevent *transport, void *context)
{
	struct redis *redis = context;
	char chunk[CHUNK];

	redis->heard_ms = loop_now(redis->options.loop);
	redis->reads++;
	while (redis->state != REDIS_LOST) {
		size_t len = bufferevent_read(transport, chunk, sizeof(chunk));

		if (len == 0)
			return;
		feed(redis, (struct span){chunk, len});
	}
}

static void on_event(struct bufferevent *transport, short what, void *context)
{
	struct redis *redis = context;
	int error = EVUTIL_SOCKET_ERROR();

	if (what & BEV_EVENT_CONNECTED) {
		int on = 1;

		setsockopt(bufferevent_getfd(transport), IPPROTO_TCP,
			   TCP_NODELAY, &on, sizeof(on));
		greet(redis);
	} else if (redis->state == REDIS_OPENING) {
		snprintf(redis->why, sizeof(redis->why), "%s",
			 evutil_socket_error_to_string(error));
		connect_next(redis);
	} else if (what & BEV_EVENT_EOF) {
		lose_plain(redis, "closed by the server");
	} else {
		lose_plain(redis, evutil_socket_error_to_string(error));
	}
}

/* Opens a socket towards one address. */
static bool connect_to(struct redis *redis, const struct sockaddr *address,
		       size_t len)
{
	if (redis->transport)
		bufferevent_free(redis->transport);
	redis->transport = bufferevent_socket_new(redis->options.loop->base, -1,
						  BEV_OPT_CLOSE_ON_FREE);
	if (!redis->transport)
		return false;
	bufferevent_setcb(redis->transport, on_read, NULL, on_event, redis);
	bufferevent_enable(redis->transport, EV_READ | EV_WRITE);
	return bufferevent_socket_connect(redis->transport, address,
					  (int)len) == 0;
}

/* Tries the name's addresses one after the other; `why` holds what the last
 * one said. */
static void connect_next(struct redis *redis)
{
	while (redis->next) {
		struct evutil_addrinfo *address = redis->next;

		redis->next = address->ai_next;
		if (connect_to(redis, address->ai_addr, address->ai_addrlen))
			return;
		snprintf(redis->why, sizeof(redis->why), "%s",
			 evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR()));
	}
	lose(redis, "cannot connect", span_of(strdupa(redis->why)));
}

static void on_resolved(int error, struct evutil_addrinfo *addresses,
			void *context)
{
	struct resolution *resolution = context;
	struct redis *redis = resolution->redis;

	free(resolution);
	if (!redis) {
		if (addresses)
			evutil_freeaddrinfo(addresses);
		return;
	}
	redis->resolution = NULL;
	redis->request = NULL;
	redis->addresses = addresses;
	redis->next = addresses;
	if (error) {
		lose(redis, "cannot resolve the name",
		     span_of(evutil_gai_strerror(error)));
		return;
	}
	loop_arm(redis->timer, CONNECT_MS);
	connect_next(redis);
}

static void resolve(struct redis *redis)
{
	const struct redis_url *url = redis->options.url;
	struct evutil_addrinfo hints = {.ai_family = AF_UNSPEC,
					.ai_socktype = SOCK_STREAM,
					.ai_protocol = IPPROTO_TCP,
					.ai_flags = EVUTIL_AI_NUMERICHOST |
						    EVUTIL_AI_NUMERICSERV};
	struct evdns_getaddrinfo_request *request;
	char port[8];

	snprintf(port, sizeof(port), "%u", url->port);
	if (evutil_getaddrinfo(url->host, port, &hints, &redis->addresses) ==
	    0) {
		redis->next = redis->addresses;
		connect_next(redis);
		return;
	}
	redis->resolution = calloc(1, sizeof(*redis->resolution));
	if (!redis->options.dns || !redis->resolution) {
		lose_plain(redis, "names cannot be resolved");
		return;
	}
	redis->resolution->redis = redis;
	loop_arm(redis->timer, RESOLVE_MS);
	hints.ai_flags = EVUTIL_AI_NUMERICSERV;
	request = evdns_getaddrinfo(redis->options.dns, url->host, port, &hints,
				    on_resolved, redis->resolution);
	/* A name from the hosts file is known before the call returns. */
	if (redis->resolution)
		redis->request = request;
}

static void start(struct redis *redis)
{
	const struct redis_url *url = redis->options.url;
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	loop_arm(redis->timer, CONNECT_MS);
	if (url->path[0] == '\0') {
		resolve(redis);
		return;
	}
	memcpy(address.sun_path, url->path, sizeof(address.sun_path));
	if (!connect_to(redis, (struct sockaddr *)&address, sizeof(address)))
		lose(redis, "cannot connect",
		     span_of(evutil_socket_error_to_string(
			     EVUTIL_SOCKET_ERROR())));
}

struct redis *redis_new(const struct redis_options *options)
{
	struct redis *redis = calloc(1, sizeof(*redis));

	if (!redis)
		return NULL;
	redis->options = *options;
	TAILQ_INIT(&redis->sent);
	sieve_init(&redis->sieve, options->value_max);
	redis->reader = redisReaderCreate();
	redis->timer = evtimer_new(options->loop->base, on_timer, redis);
	if (!redis->reader || !redis->timer) {
		redis_free(redis);
		return NULL;
	}
	start(redis);
	return redis;
}

void redis_free(struct redis *redis)
{
	if (!redis)
		return;
	if (redis->resolution) {
		redis->resolution->redis = NULL;
		if (redis->request)
			evdns_getaddrinfo_cancel(redis->request);
	}
	if (redis->transport)
		bufferevent_free(redis->transport);
	if (redis->addresses)
		evutil_freeaddrinfo(redis->addresses);
	if (redis->timer)
		event_free(redis->timer);
	if (redis->reader)
		redisReaderFree(redis->reader);
	free(redis);
}
