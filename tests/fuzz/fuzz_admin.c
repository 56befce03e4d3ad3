/* SPDX-License-Identifier: MIT */
/*
 * fuzz_admin: the input is what a client of the admin side sends, behind a byte
 * whose low bits begin its first line with one of the pages (0: with nothing);
 * 0x20: it leaves at once, 0x40: the agent ends meanwhile, 0x80: it comes after
 * a crowd of others, which is slow and so wants a length that 16 divides. The
 * whole way through evhttp to the page and back; whatever comes out must be
 * HTTP, and the connection must end.
 */
#include "away.h"
#include "fuzz.h"

#include "../../spoa/admin.h"
#include "../../spoa/log.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LEAVES = 0x20, AGENT_ENDS = 0x40, CROWD = 0x80 };
enum { CROWD_SIZE = 70, INPUT_MAX = 16 * 1024, TURNS_MAX = 1000 };

static const char *const pages[] = {
	"",
	"GET /explain?host=",
	"GET /routes?",
	"GET /routes?limit=3&after=",
	"POST /flush?host=",
	"POST /expire?host=a.example&ttl=",
	"POST /expire?",
	"GET /healthz",
	"GET /config?",
	"GET /metrics",
	"GET /readyz",
	"GET /",
	"GET /live?host=",
	"GET /page.js",
	"GET /page.css",
};

static struct {
	struct loop loop;
	struct store store;
	struct config config;
	struct cache *cache;
	struct resolver *resolver;
	struct dns_cache *dns;
	struct conns *conns;
	struct redis_store *redis; /* there is none: the store refuses */
	struct redis_url url;
	struct events events;
	struct reload_counters reloads;
	struct view view;
	struct admin *admin;
	int listener;
	struct sockaddr_un place;
	socklen_t place_len;
} agent;

static void ignore_bad(void *context, const struct bad_route *bad)
{
	(void)context;
	MUST(bad->text.len > 0);
}

static void learn(const char *field, const char *text)
{
	const struct store_value value = {.kind = text ? STORE_VALUE
						       : STORE_NONE,
					  .text = span_of(text ? text : "")};
	int64_t now_ms = loop_now(&agent.loop);

	resolver_learn(agent.resolver, span_of(field), &value, now_ms,
		       cache_epoch(agent.cache), now_ms);
}

/* What is listed comes in no order, and some of it was used. */
static void use(const char *host)
{
	struct question question = {.host = span_of(host)};
	struct waiter waiter;
	struct answer answer;

	MUST(resolver_ask(agent.resolver, &question, loop_now(&agent.loop),
			  &waiter, &answer) == RESOLVER_DONE);
}

static void fill_cache(void)
{
	char field[] = "?.example";
	size_t i;

	for (i = 0; i < 26; i++) {
		field[0] = (char)('a' + i * 7 % 26);
		learn(field, "10.0.0.9:80");
	}
	learn("a.example", "10.0.0.1:80");
	learn("*.a.example", "10.0.0.1:80,10.0.0.2:80 backup;balance first");
	learn("b.example", "[::1]:80 weight 3, 10.0.0.2:80; backend x");
	learn("c.example", "nonsense \"\x01\xff");
	learn("d.example", NULL);
	learn("*", NULL);
	use("b.example");
	use("x.example");
	use("x.example");
}

static void open_listener(void)
{
	struct listener_address none = {0};
	socklen_t len = sizeof(agent.place);

	agent.listener =
		socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	agent.place = (struct sockaddr_un){.sun_family = AF_UNIX};
	/* The kernel gives it an abstract name. */
	MUST(bind(agent.listener, (struct sockaddr *)&agent.place,
		  sizeof(sa_family_t)) == 0);
	MUST(getsockname(agent.listener, (struct sockaddr *)&agent.place,
			 &len) == 0);
	agent.place_len = len;
	MUST(listen(agent.listener, 2 * CROWD_SIZE) == 0);
	MUST(admin_listen(agent.admin, agent.listener, &none));
}

/* Rooms that are only looked at. */
static void open_others(const struct hash_secret *secret)
{
	const struct conns_options conns = {.loop = &agent.loop,
					    .connections_max = 10};
	struct redis_store_options redis = {.loop = &agent.loop,
					    .urls = &agent.url,
					    .url_count = 1,
					    .key = "routes",
					    .value_max = 100,
					    .lookup_timeout_ms = 50,
					    .ttl_ms = 1000};
	const char *problem;

	MUST(redis_url_parse("unix:/nowhere", &agent.url, &problem));
	agent.dns = dns_cache_new(&agent.loop, secret);
	agent.conns = conns_new(&conns);
	agent.redis = redis_store_new(&redis, secret);
	MUST(agent.dns && agent.conns && agent.redis);
}

static void open_agent(void)
{
	static const struct hash_secret secret = {1, 2};
	const struct cache_options lives = {.values_max = 100,
					    .ttl_ms = 10000,
					    .negative_ms = 1000,
					    .stale_ms = 10000};
	const struct resolver_options options = {.lookup_timeout_ms = 50,
						 .waiting_max = 10,
						 .bad_route = ignore_bad};
	char program[] = "spoa-router", *argv[] = {program, NULL};
	char error[OPTS_ERROR_MAX];

	agent.store = STORE_AWAY;
	MUST(loop_init(&agent.loop));
	MUST(opts_parse(1, argv, &agent.config, error));
	agent.cache = cache_new(&lives, &secret);
	agent.resolver =
		resolver_new(&options, &secret, agent.cache, &agent.store);
	open_others(&secret);
	agent.view = (struct view){.version = "0",
				   .dns = agent.dns,
				   .conns = agent.conns,
				   .store = agent.redis,
				   .events = &agent.events,
				   .reloads = &agent.reloads,
				   .loop = &agent.loop,
				   .config = &agent.config,
				   .cache = agent.cache,
				   .resolver = agent.resolver};
	agent.admin = admin_new(&agent.view);
	MUST(agent.cache && agent.resolver && agent.admin);
	fill_cache();
	open_listener();
}

static void close_agent(void)
{
	admin_free(agent.admin);
	conns_free(agent.conns);
	redis_store_free(agent.redis);
	dns_cache_free(agent.dns);
	resolver_free(agent.resolver);
	cache_free(agent.cache);
	opts_free(&agent.config);
	loop_fini(&agent.loop);
}

/* Reads what there is; false at the end. */
static bool hear(int client, char *text, size_t size, size_t *len)
{
	ssize_t got;

	do {
		if (*len + 1 >= size)
			*len = 0; /* enough was looked at */
		got = recv(client, text + *len, size - *len - 1, MSG_DONTWAIT);
		if (got > 0)
			*len += (size_t)got;
	} while (got > 0);
	text[*len] = '\0';
	return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

static int join(void)
{
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	MUST(connect(client, (struct sockaddr *)&agent.place,
		     agent.place_len) == 0);
	return client;
}

/* More than have a place; those that ask for a listing go away. */
static void let_crowd_in(void)
{
	static const char line[] = "GET /routes HTTP/1.1\r\n\r\n";
	int clients[CROWD_SIZE];
	size_t i;

	for (i = 0; i < CROWD_SIZE; i++) {
		clients[i] = join();
		if (i < 8)
			send(clients[i], line, sizeof(line) - 1, MSG_NOSIGNAL);
		event_base_loop(agent.loop.base, EVLOOP_NONBLOCK);
	}
	for (i = 0; i < CROWD_SIZE; i++)
		close(clients[i]);
}

static void speak(struct span bytes, uint8_t how)
{
	static char text[256 * 1024];
	int client = join();
	size_t len = 0, turns = 0;

	MUST(send(client, bytes.p, bytes.len, MSG_NOSIGNAL) ==
	     (ssize_t)bytes.len);
	MUST(shutdown(client, SHUT_WR) == 0);
	while (!(how & (LEAVES | AGENT_ENDS)) &&
	       hear(client, text, sizeof(text), &len)) {
		MUST(++turns < TURNS_MAX);
		loop_turn(&agent.loop);
	}
	MUST(len < 9 || len > sizeof(text) / 2 || !memcmp(text, "HTTP/", 5) ||
	     bytes.len > 4096);
	for (; (how & AGENT_ENDS) && turns < bytes.len % 4; turns++)
		event_base_loop(agent.loop.base, EVLOOP_NONBLOCK);
	close(client);
	if (how & LEAVES)
		event_base_loop(agent.loop.base, EVLOOP_NONBLOCK);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static char text[INPUT_MAX + 100];
	const char *page;
	size_t head;

	if (len == 0 || len > INPUT_MAX)
		return 0;
	signal(SIGPIPE, SIG_IGN);
	log_setup(LOG_ERROR, LOG_TEXT);
	page = pages[(bytes[0] & 0x1f) % ARRAY_LEN(pages)];
	head = strlen(page);
	memcpy(text, page, head);
	memcpy(text + head, bytes + 1, len - 1);
	open_agent();
	if ((bytes[0] & CROWD) && len % 16 == 0)
		let_crowd_in();
	speak((struct span){text, head + len - 1}, bytes[0]);
	close_agent();
	return 0;
}
