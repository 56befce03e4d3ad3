/* SPDX-License-Identifier: MIT */
/*
 * resolver: scenarios with a clock and a store of the test's own. A row says
 * when something happens, what, and what is expected of it.
 */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>

#include "../../spoa/balance.h"
#include "../../spoa/resolver.h"

enum {
	TTL = 10000,
	NEGATIVE = 1000,
	STALE = 60000,
	TIMEOUT = 50,
	WAITING_MAX = 100,
	WAITERS = 4000,
	RECORD = 4096
};

/* The store of the test: a few fields, lookups that are answered on demand. */
static struct {
	struct store face;
	struct lookup_queue open;
	bool is_away;	     /* refuses to be asked */
	size_t asked;	     /* lookups that were taken */
	char fields[RECORD]; /* of the last one, with blanks between */
	struct kit_hash hash;
} store;

static struct {
	struct cache *cache;
	struct resolver *resolver;
	struct waiter waiters[WAITERS];
	char answers[WAITERS][RECORD]; /* what each waiter got, or "" */
	size_t asked;
	struct span client;   /* of each question */
	unsigned int doubles; /* answers to one that had one */
	char bad[RECORD];     /* the last bad route that was reported */
} test;

static bool take_lookup(struct store *face, struct lookup *lookup,
			int64_t now_ms)
{
	size_t i;

	(void)face;
	if (store.is_away)
		return false;
	store.asked++;
	lookup->sent(lookup, now_ms);
	store.fields[0] = '\0';
	for (i = 0; i < lookup->count; i++)
		snprintf(store.fields + strlen(store.fields),
			 sizeof(store.fields) - strlen(store.fields), "%s%.*s",
			 i ? " " : "", (int)lookup->fields[i].len,
			 lookup->fields[i].p);
	TAILQ_INSERT_TAIL(&store.open, lookup, link);
	return true;
}

static bool is_up(struct store *face, int64_t now_ms)
{
	(void)face;
	(void)now_ms;
	return !store.is_away;
}

static void set_field(const char *field, const char *value)
{
	kit_hset(&store.hash, field, value);
}

static struct store_value get_field(struct span field)
{
	const char *value = kit_hget(&store.hash, field);

	if (!value)
		return (struct store_value){.kind = STORE_NONE};
	return (struct store_value){.kind = strcmp(value, "TOO LARGE") == 0
						    ? STORE_TOO_LARGE
						    : STORE_VALUE,
				    .text = span_of(value)};
}

/* Answers one lookup with what the hash holds now. */
static void reply(struct lookup *lookup, int64_t now_ms)
{
	struct store_value values[STORE_FIELDS_MAX];
	size_t i;

	TAILQ_REMOVE(&store.open, lookup, link);
	for (i = 0; i < lookup->count; i++)
		values[i] = get_field(lookup->fields[i]);
	lookup->done(lookup, STORE_ANSWERED, values, now_ms);
}

static void reply_all(int64_t now_ms)
{
	while (!TAILQ_EMPTY(&store.open))
		reply(TAILQ_FIRST(&store.open), now_ms);
}

static void fail_all(int64_t now_ms)
{
	struct lookup *lookup;

	while ((lookup = TAILQ_FIRST(&store.open)) != NULL) {
		TAILQ_REMOVE(&store.open, lookup, link);
		lookup->done(lookup, STORE_FAILED, NULL, now_ms);
	}
}

/* "ok cache 10.0.0.1:80 route=app.test" */
static void describe(const struct answer *answer, char *text)
{
	char target[80] = "";
	char second[80] = "";
	const uint8_t *ip = answer->address;

	if (answer->status == ANSWER_OK && answer->address_len == 4)
		snprintf(target, sizeof(target), " %u.%u.%u.%u:%u", ip[0],
			 ip[1], ip[2], ip[3], answer->port);
	else if (answer->status == ANSWER_OK)
		snprintf(target, sizeof(target), " [..%02x%02x]:%u", ip[14],
			 ip[15], answer->port);
	if (answer->address2_len == 4)
		snprintf(second, sizeof(second), " or %u.%u.%u.%u:%u",
			 answer->address2[0], answer->address2[1],
			 answer->address2[2], answer->address2[3],
			 answer->port2);
	else if (answer->address2_len == 16)
		snprintf(second, sizeof(second), " or [..%02x%02x]:%u",
			 answer->address2[14], answer->address2[15],
			 answer->port2);
	snprintf(text, RECORD, "%s %s%s%s%s%.*s%s%.*s",
		 answer_status_name(answer->status),
		 answer_source_name(answer->source), target, second,
		 answer->route.len ? " route=" : "", (int)answer->route.len,
		 answer->route.len ? answer->route.p : "",
		 answer->backend.len ? " backend=" : "",
		 (int)answer->backend.len,
		 answer->backend.len ? answer->backend.p : "");
}

static void keep_answer(struct waiter *waiter, const struct answer *answer)
{
	size_t i = (size_t)(waiter - test.waiters);

	if (test.answers[i][0] != '\0')
		test.doubles++;
	describe(answer, test.answers[i]);
}

static void keep_bad_route(void *context, const struct bad_route *bad)
{
	(void)context;
	snprintf(test.bad, sizeof(test.bad), "%.*s %.*s '%.*s' %s at %u",
		 (int)bad->host.len, bad->host.p, (int)bad->field.len,
		 bad->field.p, (int)bad->text.len,
		 bad->text.len ? bad->text.p : "", route_error_text(bad->error),
		 bad->column);
}

static struct watch *test_watch; /* of the next resolver */
static struct dns *test_dns;

static struct guard test_guard;

static void open_resolver(const struct cache_options *lives)
{
	const struct hash_secret secret = {kit_random(), kit_random()};
	const struct resolver_options options = {
		.lookup_timeout_ms = TIMEOUT,
		.waiting_max = WAITING_MAX,
		.bad_route = keep_bad_route,
		.watch = test_watch,
		.dns = test_dns,
		.guard = &test_guard,
	};

	memset(&store, 0, sizeof(store));
	memset(&test, 0, sizeof(test));
	memset(&test_guard, 0, sizeof(test_guard));
	store.face = (struct store){.ask = take_lookup, .is_up = is_up};
	TAILQ_INIT(&store.open);
	test.cache = cache_new(lives, &secret);
	assert_non_null(test.cache);
	test.resolver =
		resolver_new(&options, &secret, test.cache, &store.face);
	assert_non_null(test.resolver);
}

static int set_up(void **state)
{
	const struct cache_options lives = {.values_max = 1000,
					    .ttl_ms = TTL,
					    .negative_ms = NEGATIVE,
					    .stale_ms = STALE};

	(void)state;
	open_resolver(&lives);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	fail_all(0);
	assert_int_equal(test.doubles, 0);
	assert_int_equal(resolver_count_flights(test.resolver)->waiting, 0);
	assert_int_equal(resolver_count_flights(test.resolver)->flights, 0);
	resolver_free(test.resolver);
	cache_free(test.cache);
	return 0;
}

/* Asks; the answer is in test.answers of the number returned, now or later. */
static size_t ask(const char *host, int64_t now_ms)
{
	size_t i = test.asked++;
	struct answer answer;
	struct question question = {.host = span_of(host),
				    .client = test.client};

	assert_true(i < WAITERS);
	test.waiters[i].answered = keep_answer;
	/* To foresee a question changes nothing. */
	if (i % 2 == 0)
		resolver_foresee(test.resolver, &question, 1);
	if (resolver_ask(test.resolver, &question, now_ms, &test.waiters[i],
			 &answer) == RESOLVER_DONE)
		describe(&answer, test.answers[i]);
	return i;
}

/* The store says that something changed. */
static void tell(enum store_news news, const char *field, int64_t now_ms)
{
	store.face.news(store.face.context, news, span_of(field), now_ms);
}

/* Asks, lets the store reply, and compares. */
static void expect(const char *host, int64_t now_ms, const char *answer)
{
	size_t i = ask(host, now_ms);

	reply_all(now_ms);
	assert_string_equal(test.answers[i], answer);
}

static void test_hit_and_miss(void **state)
{
	(void)state;
	set_field("app.test", "10.0.0.1:80");
	expect("APP.test.:8080", 1, "ok redis 10.0.0.1:80 route=app.test");
	assert_string_equal(store.fields, "app.test *.test *");
	expect("app.test", 2, "ok cache 10.0.0.1:80 route=app.test");
	expect("no.test", 3, "not_found redis");
	expect("no.test", 4, "not_found cache");
	/* *.test and * are known to be absent: only the host was asked. */
	assert_string_equal(store.fields, "no.test");
	expect("a b", 5, "bad_host none");
	expect("*.test", 6, "bad_host none");
	expect("", 7, "bad_host none");
	assert_int_equal(store.asked, 2);
}

/* Where the cache holds all there is, what it has nothing of is absent: so a
 * wildcard serves hosts that were never asked for. But it makes no `not_found`,
 * and what a field held before it was too old is no absence. */
static void test_a_whole_table(void **state)
{
	(void)state;
	set_field("*.wild.test", "10.0.0.1:80");
	set_field("old.wild.test", "10.0.0.2:80");
	expect("old.wild.test", 1, "ok redis 10.0.0.2:80 route=old.wild.test");
	expect("a.wild.test", STALE, "ok redis 10.0.0.1:80 route=*.wild.test");
	store.is_away = true;
	expect("b.wild.test", STALE + 1, "unavailable none");
	resolver_set_whole(test.resolver, true);
	expect("b.wild.test", STALE + 1,
	       "ok stale 10.0.0.1:80 route=*.wild.test");
	expect("b.test", STALE + 1, "unavailable none");
	expect("old.wild.test", STALE + 1,
	       "ok stale 10.0.0.2:80 route=old.wild.test");
	expect("old.wild.test", STALE + TTL + 2, "unavailable none");
	resolver_set_whole(test.resolver, false);
	expect("b.wild.test", STALE + 1, "unavailable none");
}

/* It is whole no longer when something had to leave. */
static void test_a_table_that_was_whole(void **state)
{
	struct cache_options options = {.values_max = 1, .ttl_ms = TTL};

	(void)state;
	set_field("*.wild.test", "10.0.0.1:80");
	set_field("a.test", "10.0.0.2:80");
	expect("a.test", 1, "ok redis 10.0.0.2:80 route=a.test");
	expect("a.wild.test", 2, "ok redis 10.0.0.1:80 route=*.wild.test");
	resolver_set_whole(test.resolver, true);
	options.stale_ms = STALE;
	assert_true(cache_set_options(test.cache, &options));
	while (cache_trim(test.cache))
		;
	store.is_away = true;
	expect("b.wild.test", 3, "unavailable none");
}

static void test_order_of_match(void **state)
{
	(void)state;
	set_field("*.a.b", "10.0.0.1:80");
	set_field("*.b", "10.0.0.2:80");
	set_field("*", "10.0.0.3:80");
	set_field("x.a.b", "[::2]:80");
	expect("x.a.b", 1, "ok redis [..0002]:80 route=x.a.b");
	expect("y.a.b", 2, "ok redis 10.0.0.1:80 route=*.a.b");
	expect("z.y.a.b", 3, "ok redis 10.0.0.1:80 route=*.a.b");
	expect("a.b", 4, "ok redis 10.0.0.2:80 route=*.b");
	expect("b", 5, "ok redis 10.0.0.3:80 route=*");
	expect("10.1.2.3", 6, "ok redis 10.0.0.3:80 route=*");
	expect("[::1]:80", 7, "ok redis 10.0.0.3:80 route=*");
	expect("y.a.b", 8, "ok cache 10.0.0.1:80 route=*.a.b");
}

static void test_candidates_are_bounded(void **state)
{
	char host[254] = "";
	size_t i;

	(void)state;
	for (i = 0; i < 127; i++)
		strcat(host, i ? ".a" : "a");
	expect(host, 1, "not_found redis");
	assert_int_equal(TAILQ_EMPTY(&store.open), 1);
	for (i = 0; store.fields[0] != '\0'; i++)
		memmove(store.fields,
			store.fields + strcspn(store.fields, " ") +
				(strchr(store.fields, ' ') != NULL),
			strlen(store.fields) + 1 -
				(strcspn(store.fields, " ") +
				 (strchr(store.fields, ' ') != NULL)));
	assert_int_equal(i, 10);
}

static void test_bad_values_do_not_fall_through(void **state)
{
	(void)state;
	set_field("a.test", "10.0.0.1:80 wieght 5");
	set_field("b.test", "169.254.169.254:80");
	set_field("c.test", "TOO LARGE");
	set_field("d.test", "10.0.0.1:80 weight 0");
	set_field("*.test", "10.0.0.9:80");
	expect("a.test", 1, "bad_route redis route=a.test");
	assert_string_equal(test.bad, "a.test a.test '10.0.0.1:80 wieght 5' "
				      "unknown word at 13");
	expect("a.test", 2, "bad_route cache route=a.test");
	expect("b.test", 3, "bad_route redis route=b.test");
	expect("c.test", 4, "bad_route redis route=c.test");
	expect("d.test", 5, "down redis route=d.test");
	expect("e.test", 6, "ok redis 10.0.0.9:80 route=*.test");
}

static void test_backend_and_backup(void **state)
{
	(void)state;
	set_field("a.test", "10.0.0.1:80 backup, 10.0.0.2:80 weight 0, "
			    "[::3]:80; backend slow");
	expect("a.test", 1,
	       "ok redis [..0003]:80 or 10.0.0.1:80 route=a.test backend=slow");
	expect("a.test", 2,
	       "ok cache [..0003]:80 or 10.0.0.1:80 route=a.test backend=slow");
}

/* Targets take turns whoever answers: the store, the cache, what is stale. A
 * value that is read again unchanged leaves them where they are. */
static void test_turns_go_on(void **state)
{
	size_t i, k;

	(void)state;
	set_field("a.test", "10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80");
	/* All who wait for one reply do not go to one target. */
	for (i = 0; i < 3; i++)
		ask("a.test", 1);
	reply_all(1);
	for (i = 0; i < 3; i++)
		assert_int_equal(test.answers[i][16], '1' + i);
	expect("a.test", 2, "ok cache 10.0.0.1:80 or 10.0.0.2:80 route=a.test");
	/* A refresh. */
	expect("a.test", TTL * 95 / 100 - TTL / 10,
	       "ok cache 10.0.0.2:80 or 10.0.0.3:80 route=a.test");
	expect("a.test", 2 * TTL + 1,
	       "ok redis 10.0.0.3:80 or 10.0.0.1:80 route=a.test");
	tell(STORE_CHANGED, "", 2 * TTL + 2);
	expect("a.test", 2 * TTL + 2,
	       "ok redis 10.0.0.1:80 or 10.0.0.2:80 route=a.test");
	store.is_away = true;
	expect("a.test", 4 * TTL,
	       "ok stale 10.0.0.2:80 or 10.0.0.3:80 route=a.test");
	expect("a.test", 4 * TTL,
	       "ok stale 10.0.0.3:80 or 10.0.0.1:80 route=a.test");
	/* Those who wait too long get what is stale, in turn. */
	store.is_away = false;
	for (i = 0; i < 3; i++)
		k = ask("a.test", 5 * TTL);
	resolver_expire(test.resolver, 5 * TTL + TIMEOUT);
	for (i = 0; i < 3; i++)
		assert_int_equal(test.answers[k - 2 + i][16], '1' + i);
	reply_all(5 * TTL + TIMEOUT);
	expect("a.test", 5 * TTL + TIMEOUT,
	       "ok cache 10.0.0.1:80 or 10.0.0.2:80 route=a.test");
	set_field("a.test", "10.0.0.4:80, 10.0.0.5:80");
	tell(STORE_CHANGED, "", 6 * TTL);
	expect("a.test", 6 * TTL,
	       "ok redis 10.0.0.5:80 or 10.0.0.4:80 route=a.test");
}

static void test_turns_without_a_life(void **state)
{
	const struct cache_options lives = {
		.values_max = 10, .ttl_ms = 0, .stale_ms = STALE};

	(void)state;
	tear_down(state);
	open_resolver(&lives);
	set_field("a.test", "10.0.0.1:80, 10.0.0.2:80");
	expect("a.test", 1, "ok redis 10.0.0.1:80 or 10.0.0.2:80 route=a.test");
	expect("a.test", 1, "ok redis 10.0.0.2:80 or 10.0.0.1:80 route=a.test");
	expect("a.test", 1, "ok redis 10.0.0.1:80 or 10.0.0.2:80 route=a.test");
}

/* A client goes to one target however its question is answered. */
static void test_a_client_keeps_its_target(void **state)
{
	char first[10], text[64];
	int i;

	(void)state;
	set_field("a.test", "10.0.0.1:80, 10.0.0.2:80, 10.0.0.3:80; "
			    "balance source");
	for (i = 0; i < 20; i++) {
		size_t k;

		snprintf(text, sizeof(text), "10.9.8.%d", i);
		test.client = span_of(text);
		tell(STORE_CHANGED, "", i);
		k = ask("a.test", i);
		reply_all(i);
		assert_memory_equal(test.answers[k], "ok redis", 8);
		memcpy(first, test.answers[k] + 9, sizeof(first));
		k = ask("a.test", i);
		assert_memory_equal(test.answers[k], "ok cache", 8);
		assert_memory_equal(test.answers[k] + 9, first, sizeof(first));
		k = ask("A.test", i);
		assert_memory_equal(test.answers[k], "ok cache", 8);
		assert_memory_equal(test.answers[k] + 9, first, sizeof(first));
		tell(STORE_CHANGED, "", i);
		store.is_away = true;
		k = ask("a.test", i);
		assert_memory_equal(test.answers[k], "ok stale", 8);
		assert_memory_equal(test.answers[k] + 9, first, sizeof(first));
		store.is_away = false;
	}
	test.client = (struct span){0};
}

/* A watch whose slots are ports. */
static struct {
	struct watch face;
	uint8_t states[100];
	uint32_t version;
	int taken[100]; /* how many hold each slot */
	char field[300];
} watch;

static uint32_t take_slot(struct watch *face, struct span field,
			  const struct route *route,
			  const struct target *target)
{
	assert_ptr_equal(face, &watch.face);
	assert_in_range((uintptr_t)target, (uintptr_t)route->targets,
			(uintptr_t)route->targets + 1000);
	snprintf(watch.field, sizeof(watch.field), "%.*s", (int)field.len,
		 field.p);
	watch.taken[target->port]++;
	return target->port;
}

static void release_slot(struct watch *face, uint32_t slot, struct span field)
{
	assert_ptr_equal(face, &watch.face);
	assert_true(field.len > 0);
	assert_true(watch.taken[slot] > 0);
	watch.taken[slot]--;
}

static void open_watched(size_t values_max)
{
	const struct cache_options lives = {.values_max = values_max,
					    .ttl_ms = TTL,
					    .negative_ms = NEGATIVE,
					    .stale_ms = STALE};

	tear_down(NULL);
	memset(&watch, 0, sizeof(watch));
	watch.version = 1;
	watch.face = (struct watch){watch.states, &watch.version, take_slot,
				    release_slot};
	test_watch = &watch.face;
	open_resolver(&lives);
	test_watch = NULL;
}

static void test_states_decide(void **state)
{
	(void)state;
	open_watched(10);
	set_field("a.test", "10.0.0.1:1, 10.0.0.2:2; check tcp");
	expect("a.test", 1, "ok redis 10.0.0.1:1 or 10.0.0.2:2 route=a.test");
	assert_string_equal(watch.field, "a.test");
	assert_int_equal(watch.states[1], BALANCE_USED);
	watch.states[2] = BALANCE_DOWN;
	watch.version++;
	expect("a.test", 2, "ok cache 10.0.0.1:1 route=a.test");
	expect("a.test", 3, "ok cache 10.0.0.1:1 route=a.test");
	watch.states[1] = BALANCE_DOWN;
	watch.version++;
	expect("a.test", 4, "down cache route=a.test");
	tell(STORE_CHANGED, "", 5);
	expect("a.test", 5, "down redis route=a.test");
	store.is_away = true;
	expect("a.test", 3 * TTL, "down stale route=a.test");
}

static void test_slots_are_taken_and_released(void **state)
{
	static const struct span text = {"10.0.0.1:5, 10.0.0.1:6", 22};
	int64_t now_ms = 1;
	size_t i;

	(void)state;
	open_watched(2);
	set_field("a.test", "10.0.0.1:1, 10.0.0.2:2 weight 0");
	set_field("none.test", "10.0.0.1:3, 10.0.0.2:3; check none");
	set_field("one.test", "10.0.0.1:3");
	set_field("c.d", "10.0.0.1:4; check http /");
	for (i = 0; i < 5; i++, now_ms += TTL) {
		ask("a.test", now_ms);
		ask("c.d", now_ms);
		reply_all(now_ms);
		assert_int_equal(watch.taken[1], 1);
		assert_int_equal(watch.taken[2], 0);
		assert_int_equal(watch.taken[4], 1);
	}
	set_field("a.test", "10.0.0.1:7, 10.0.0.2:8");
	tell(STORE_CHANGED, "", now_ms);
	expect("a.test", now_ms,
	       "ok redis 10.0.0.1:7 or 10.0.0.2:8 route=a.test");
	assert_int_equal(watch.taken[1], 0);
	assert_int_equal(watch.taken[7], 1);
	assert_int_equal(watch.taken[8], 1);
	set_field("a.test", NULL);
	tell(STORE_CHANGED, "", now_ms);
	ask("a.test", now_ms);
	reply_all(now_ms);
	assert_int_equal(watch.taken[7], 0);
	assert_int_equal(watch.taken[8], 0);
	assert_int_equal(watch.taken[4], 1);
	/* Others push it out of the cache. */
	set_field("two.test", "10.0.0.1:3");
	expect("two.test", now_ms, "ok redis 10.0.0.1:3 route=two.test");
	expect("one.test", now_ms, "ok redis 10.0.0.1:3 route=one.test");
	expect("none.test", now_ms,
	       "ok redis 10.0.0.1:3 or 10.0.0.2:3 route=none.test");
	assert_int_equal(watch.taken[3], 0);
	assert_int_equal(watch.taken[4], 0);
	resolver_restore(test.resolver, span_of("r.test"), &text, 0, now_ms);
	assert_int_equal(watch.taken[5], 1);
	assert_int_equal(watch.taken[6], 1);
	resolver_restore(test.resolver, span_of("r.test"), NULL, 0, now_ms);
	assert_int_equal(watch.taken[5], 0);
	assert_int_equal(watch.taken[6], 0);
}

/* A resolver of names that knows what a test tells it; each name has the slot
 * of its first letter. */
static struct {
	struct dns face;
	uint32_t versions[128];
	uint8_t used[128];
	struct address addresses[128][2];
	size_t counts[128];
	bool is_pending[128];
	size_t asked;
} dns;

static void look_up(struct dns *face, struct span name, bool is_asked,
		    struct name_state *state)
{
	size_t slot = (size_t)name.p[0];

	assert_ptr_equal(face, &dns.face);
	*state = (struct name_state){.is_pending = !is_asked};
	dns.asked += is_asked;
	if (dns.versions[slot] == 0 && !is_asked)
		return;
	if (dns.versions[slot] == 0) {
		dns.versions[slot] = 2;
		dns.is_pending[slot] = true;
	}
	*state = (struct name_state){{(uint32_t)slot, dns.versions[slot]},
				     dns.addresses[slot],
				     dns.counts[slot],
				     dns.is_pending[slot]};
}

/* The name has these addresses by now: 10.0.0.`last` and `second`, 0 is none.
 */
static void tell_name(char name, uint8_t last, uint8_t second)
{
	size_t slot = (size_t)name;

	dns.addresses[slot][0] = (struct address){{10, 0, 0, last}, false};
	dns.addresses[slot][1] = (struct address){{10, 0, 0, second}, false};
	dns.counts[slot] = (size_t)(last != 0) + (size_t)(second != 0);
	dns.is_pending[slot] = false;
	dns.versions[slot]++;
	dns.face.changed(dns.face.context);
}

static void open_named(void)
{
	const struct cache_options lives = {.values_max = 10,
					    .ttl_ms = TTL,
					    .negative_ms = NEGATIVE,
					    .stale_ms = STALE};

	tear_down(NULL);
	memset(&dns, 0, sizeof(dns));
	dns.versions[0] = 1;
	dns.face = (struct dns){
		.versions = dns.versions, .used = dns.used, .look_up = look_up};
	test_dns = &dns.face;
	open_resolver(&lives);
	test_dns = NULL;
}

static void test_names_are_waited_for(void **state)
{
	size_t i;

	(void)state;
	open_named();
	set_field("a.test", "x:80");
	i = ask("a.test", 1);
	reply_all(1);
	assert_string_equal(test.answers[i], "");
	/* Those who come later wait for the same, and Redis is not asked. */
	ask("a.test", 2);
	assert_int_equal(store.asked, 1);
	tell_name('x', 1, 2);
	assert_string_equal(test.answers[i], "");
	resolver_expire(test.resolver, 3);
	assert_string_equal(test.answers[i], "ok redis 10.0.0.1:80 or "
					     "10.0.0.2:80 route=a.test");
	assert_string_equal(test.answers[i + 1], "ok redis 10.0.0.2:80 or "
						 "10.0.0.1:80 route=a.test");
	expect("a.test", 4, "ok cache 10.0.0.1:80 or 10.0.0.2:80 route=a.test");
	assert_int_equal(dns.used['x'], 1);
	/* Another address; turns go on. */
	tell_name('x', 2, 3);
	expect("a.test", 5, "ok cache 10.0.0.3:80 or 10.0.0.2:80 route=a.test");
	/* A refresh, and a sweep, leave them alone. */
	tell(STORE_CHANGED, "", 6);
	i = dns.asked;
	expect("a.test", 6, "ok redis 10.0.0.2:80 or 10.0.0.3:80 route=a.test");
	assert_int_equal(dns.asked, i);
	tell_name('x', 0, 0);
	expect("a.test", 7, "unavailable none");
	assert_int_equal(resolver_count_routes(test.resolver)->unresolved, 1);
	tell_name('x', 255, 0);
	expect("a.test", 8, "ok cache 10.0.0.255:80 route=a.test");
	assert_int_equal(resolver_count_flights(test.resolver)->flights, 0);
}

static void test_names_may_come_too_late(void **state)
{
	size_t i;

	(void)state;
	open_named();
	set_field("a.test", "x:80");
	set_field("b.test", "y:80, 10.0.0.9:80");
	i = ask("a.test", 1);
	ask("b.test", 1);
	reply_all(1);
	resolver_expire(test.resolver, 1 + TIMEOUT);
	assert_string_equal(test.answers[i], "unavailable none");
	assert_string_equal(test.answers[i + 1],
			    "ok cache 10.0.0.9:80 route=b.test");
	/* What is still open does not ask anew, nor keep anybody for ever. */
	tell_name('x', 1, 0);
	tell_name('y', 2, 0);
	resolver_expire(test.resolver, 2 + TIMEOUT);
	assert_int_equal(resolver_count_flights(test.resolver)->flights, 0);
	expect("a.test", 3 + TIMEOUT, "ok cache 10.0.0.1:80 route=a.test");
}

/* What a snapshot holds has names as well; without a store they are waited for
 * all the same. */
static void test_names_of_stale_routes(void **state)
{
	static const struct span text = {"x:80", 4};
	size_t i;

	(void)state;
	open_named();
	resolver_restore(test.resolver, span_of("a.test"), &text, 0, 1);
	assert_int_equal(dns.asked, 0);
	store.is_away = true;
	i = ask("a.test", 2);
	assert_string_equal(test.answers[i], "");
	assert_int_equal(resolver_count_flights(test.resolver)->namings, 1);
	tell_name('x', 7, 0);
	resolver_expire(test.resolver, 3);
	assert_string_equal(test.answers[i],
			    "ok stale 10.0.0.7:80 route=a.test");
	/* One who gives up, or goes, leaves nothing behind. */
	resolver_restore(test.resolver, span_of("b.test"),
			 &(struct span){"z:80", 4}, 0, 4);
	i = ask("b.test", 5);
	resolver_cancel(test.resolver, &test.waiters[i]);
	tell_name('z', 8, 0);
	resolver_expire(test.resolver, 6);
	assert_string_equal(test.answers[i], "");
	assert_int_equal(resolver_count_flights(test.resolver)->flights, 0);
}

/* A change that comes while a name is waited for counts for those who asked
 * after it. */
static void test_change_while_names_are_waited_for(void **state)
{
	size_t i;

	(void)state;
	open_named();
	set_field("a.test", "x:80");
	i = ask("a.test", 1);
	reply_all(1);
	set_field("a.test", "10.0.0.5:80");
	tell(STORE_CHANGED, "", 2);
	ask("a.test", 2);
	tell_name('x', 1, 0);
	resolver_expire(test.resolver, 3);
	reply_all(4);
	assert_string_equal(test.answers[i + 1],
			    "ok redis 10.0.0.5:80 route=a.test");
	assert_true(test.answers[i][0] != '\0');
}

static void test_one_flight_per_host(void **state)
{
	size_t i;

	(void)state;
	set_field("app.test", "10.0.0.1:80");
	for (i = 0; i < WAITING_MAX; i++)
		assert_int_equal(ask("app.test", 1), i);
	assert_int_equal(store.asked, 1);
	assert_string_equal(test.answers[0], "");
	/* Beyond the bound the answer comes at once. */
	i = ask("app.test", 1);
	assert_string_equal(test.answers[i], "unavailable none");
	reply_all(2);
	for (i = 0; i < WAITING_MAX; i++)
		assert_string_equal(test.answers[i],
				    "ok redis 10.0.0.1:80 route=app.test");
	assert_int_equal(resolver_count_flights(test.resolver)->refused, 1);
}

static void test_timeout_and_late_reply(void **state)
{
	size_t i;

	(void)state;
	set_field("app.test", "10.0.0.1:80");
	i = ask("app.test", 100);
	assert_int_equal(resolver_expire(test.resolver, 100), 100 + TIMEOUT);
	assert_int_equal(resolver_expire(test.resolver, 149), 100 + TIMEOUT);
	assert_string_equal(test.answers[i], "");
	assert_int_equal(resolver_expire(test.resolver, 150), -1);
	assert_string_equal(test.answers[i], "unavailable none");
	reply_all(400);
	expect("app.test", 401, "ok cache 10.0.0.1:80 route=app.test");
	assert_int_equal(store.asked, 1);
}

static void test_refresh_ahead(void **state)
{
	(void)state;
	set_field("app.test", "10.0.0.1:80");
	expect("app.test", 0, "ok redis 10.0.0.1:80 route=app.test");
	/* Not due before 80 % of the shortest life: 9 of 10 s. */
	ask("app.test", 7100);
	assert_int_equal(store.asked, 1);
	set_field("app.test", "10.0.0.2:80");
	/* Due for sure at 80 % of the longest; nobody waits for it. */
	expect("app.test", 8100, "ok cache 10.0.0.1:80 route=app.test");
	assert_int_equal(store.asked, 2);
	expect("app.test", 8101, "ok cache 10.0.0.2:80 route=app.test");
	assert_int_equal(resolver_count_flights(test.resolver)->refreshes, 1);
	expect("app.test", 15000, "ok cache 10.0.0.2:80 route=app.test");
	assert_int_equal(store.asked, 2);
}

static void test_refresh_has_one_flight(void **state)
{
	(void)state;
	set_field("app.test", "10.0.0.1:80");
	expect("app.test", 0, "ok redis 10.0.0.1:80 route=app.test");
	ask("app.test", 8500);
	ask("app.test", 8501);
	ask("app.test", 8502);
	assert_int_equal(store.asked, 2);
	reply_all(8503);
}

static void test_stale_while_the_store_is_away(void **state)
{
	size_t i;

	(void)state;
	set_field("app.test", "10.0.0.1:80");
	set_field("*.wild", "10.0.0.2:80");
	expect("app.test", 0, "ok redis 10.0.0.1:80 route=app.test");
	expect("x.wild", 0, "ok redis 10.0.0.2:80 route=*.wild");
	expect("no.test", 0, "not_found redis");
	store.is_away = true;
	expect("app.test", 5000, "ok cache 10.0.0.1:80 route=app.test");
	expect("app.test", TTL, "ok stale 10.0.0.1:80 route=app.test");
	/* It was routed by the wildcard, its absence was known. */
	expect("x.wild", TTL, "ok stale 10.0.0.2:80 route=*.wild");
	/* That y.wild has no route of its own was never known. */
	expect("y.wild", TTL, "unavailable none");
	/* A not_found does not outlive its life. */
	expect("no.test", NEGATIVE, "unavailable none");
	expect("app.test", TTL + STALE - 1 - TTL / 10,
	       "ok stale 10.0.0.1:80 route=app.test");
	expect("app.test", TTL + STALE, "unavailable none");
	store.is_away = false;
	/* Asked, but the connection is lost meanwhile. */
	i = ask("app.test", TTL + STALE + 1);
	fail_all(TTL + STALE + 2);
	assert_string_equal(test.answers[i], "unavailable none");
	expect("app.test", TTL + STALE + 3,
	       "ok redis 10.0.0.1:80 route=app.test");
}

static void test_stale_when_too_slow(void **state)
{
	size_t i;

	(void)state;
	set_field("app.test", "10.0.0.1:80");
	expect("app.test", 0, "ok redis 10.0.0.1:80 route=app.test");
	i = ask("app.test", TTL);
	assert_string_equal(test.answers[i], "");
	resolver_expire(test.resolver, TTL + TIMEOUT);
	assert_string_equal(test.answers[i],
			    "ok stale 10.0.0.1:80 route=app.test");
	/* While it is known to be slow nobody waits again. */
	store.is_away = true;
	i = ask("app.test", TTL + TIMEOUT + 1);
	assert_string_equal(test.answers[i],
			    "ok stale 10.0.0.1:80 route=app.test");
	reply_all(TTL + 500);
}

static void test_removed_and_added_routes(void **state)
{
	(void)state;
	set_field("app.test", "10.0.0.1:80");
	expect("app.test", 0, "ok redis 10.0.0.1:80 route=app.test");
	set_field("app.test", NULL);
	expect("app.test", TTL, "not_found redis");
	set_field("app.test", "10.0.0.2:80");
	expect("app.test", TTL + 1, "not_found cache");
	expect("app.test", TTL + NEGATIVE,
	       "ok redis 10.0.0.2:80 route=app.test");
}

static void test_lives_of_zero(void **state)
{
	const struct cache_options lives = {.values_max = 100};

	(void)state;
	tear_down(state);
	open_resolver(&lives);
	set_field("app.test", "10.0.0.1:80");
	set_field("*.wild", "10.0.0.2:80");
	expect("app.test", 1, "ok redis 10.0.0.1:80 route=app.test");
	expect("app.test", 1, "ok redis 10.0.0.1:80 route=app.test");
	expect("x.wild", 1, "ok redis 10.0.0.2:80 route=*.wild");
	expect("no.test", 1, "not_found redis");
	expect("no.test", 1, "not_found redis");
	assert_int_equal(store.asked, 5);
	store.is_away = true;
	expect("app.test", 2, "unavailable none");
}

/* What a flight relied on is evicted before the reply: it asks for all. */
static void test_evicted_under_a_flight(void **state)
{
	const struct cache_options lives = {.values_max = 1,
					    .ttl_ms = TTL,
					    .negative_ms = NEGATIVE,
					    .stale_ms = STALE};
	size_t i;

	(void)state;
	tear_down(state);
	open_resolver(&lives);
	set_field("*.test", "10.0.0.1:80");
	set_field("other.org", "10.0.0.9:80");
	expect("a.test", 0, "ok redis 10.0.0.1:80 route=*.test");
	i = ask("b.test", 1);
	assert_string_equal(store.fields, "b.test");
	ask("other.org", 2);
	reply(TAILQ_LAST(&store.open, lookup_queue), 3);
	reply(TAILQ_FIRST(&store.open), 4);
	assert_string_equal(test.answers[i], "");
	assert_string_equal(store.fields, "b.test *.test *");
	reply_all(5);
	assert_string_equal(test.answers[i],
			    "ok redis 10.0.0.1:80 route=*.test");
}

/* A flight that was to refresh an exact route finds it gone. A wildcard that
 * was known long ago says nothing of now. */
static void test_reply_does_not_rest_on_old_routes(void **state)
{
	size_t i;

	(void)state;
	set_field("*.test", "10.0.0.1:80");
	expect("b.test", 0, "ok redis 10.0.0.1:80 route=*.test");
	set_field("a.test", "10.0.0.2:80");
	expect("a.test", 20000, "ok redis 10.0.0.2:80 route=a.test");
	expect("a.test", 20001, "ok cache 10.0.0.2:80 route=a.test");
	ask("a.test", 28500); /* is due: the refresh is under way */
	i = ask("a.test", 30001);
	set_field("a.test", NULL);
	set_field("*.test", "10.0.0.3:80");
	reply_all(30002);
	assert_string_equal(test.answers[i],
			    "ok redis 10.0.0.3:80 route=*.test");
}

/* Nor do absences make a not_found whose life ended while the question was
 * under way. */
static void test_reply_does_not_rest_on_old_absences(void **state)
{
	size_t i;

	(void)state;
	expect("b.test", 0, "not_found redis");
	ask("a.test", 880); /* asks for nothing but the host itself */
	assert_string_equal(store.fields, "a.test");
	i = ask("a.test", 1001);
	set_field("*.test", "10.0.0.1:80");
	reply_all(1002);
	assert_string_equal(test.answers[i],
			    "ok redis 10.0.0.1:80 route=*.test");
}

static void deny(const char *rule)
{
	const char *problem;

	memset(&test_guard, 0, sizeof(test_guard));
	assert_true(!rule || guard_add(&test_guard.denied, rule, &problem));
	resolver_change_guard(test.resolver, 10);
}

/* What is cached is judged anew before it is used, with the store or without.
 */
static void test_guard_changes(void **state)
{
	(void)state;
	set_field("app.test", "10.0.0.1:80");
	set_field("two.test", "10.0.0.1:80,10.0.0.2:80");
	set_field("*.wild", "10.0.0.2:80");
	expect("app.test", 0, "ok redis 10.0.0.1:80 route=app.test");
	expect("x.wild", 0, "ok redis 10.0.0.2:80 route=*.wild");
	deny("10.0.0.1");
	expect("app.test", 11, "bad_route redis route=app.test");
	expect("x.wild", 11, "ok redis 10.0.0.2:80 route=*.wild");
	deny(NULL);
	expect("app.test", 12, "ok redis 10.0.0.1:80 route=app.test");
	store.is_away = true;
	deny("10.0.0.1");
	expect("app.test", 13, "bad_route stale route=app.test");
	expect("x.wild", 13, "ok stale 10.0.0.2:80 route=*.wild");
	deny("10.0.0.2");
	expect("x.wild", 14, "bad_route stale route=*.wild");
	store.is_away = false;
	deny(NULL);
	expect("app.test", 15, "ok redis 10.0.0.1:80 route=app.test");
}

/* Who waits already waits no longer than the new limit. */
static void test_limits_change(void **state)
{
	size_t first, second, third;

	(void)state;
	first = ask("a.test", 100);
	resolver_set_limits(test.resolver, 10, 2, 110);
	second = ask("b.test", 111);
	third = ask("c.test", 112);
	assert_string_equal(test.answers[third], "unavailable none");
	assert_int_equal(resolver_expire(test.resolver, 119), 120);
	assert_int_equal(resolver_expire(test.resolver, 120), 121);
	assert_string_equal(test.answers[first], "unavailable none");
	assert_string_equal(test.answers[second], "");
	assert_int_equal(resolver_expire(test.resolver, 121), -1);
	assert_string_equal(test.answers[second], "unavailable none");
}

static void test_cancel(void **state)
{
	size_t kept, gone;

	(void)state;
	set_field("app.test", "10.0.0.1:80");
	gone = ask("app.test", 1);
	kept = ask("app.test", 1);
	resolver_cancel(test.resolver, &test.waiters[gone]);
	reply_all(2);
	assert_string_equal(test.answers[gone], "");
	assert_string_equal(test.answers[kept],
			    "ok redis 10.0.0.1:80 route=app.test");
	gone = ask("no.test", 3);
	resolver_cancel(test.resolver, &test.waiters[gone]);
	reply_all(4);
	assert_string_equal(test.answers[gone], "");
	expect("no.test", 5, "not_found cache");
}

/* The n-th allocation fails: the request is answered all the same. */
static void test_no_memory(void **state)
{
	unsigned int n;
	bool did_fail = true;

	(void)state;
	set_field("app.test", "10.0.0.1:80");
	for (n = 1; did_fail; n++) {
		char host[32];
		size_t i;

		snprintf(host, sizeof(host), "h%u.test", n);
		set_field("*.test", n % 2 ? "10.0.0.1:80" : "10.0.0.2:80");
		kit_fail_allocation(n);
		i = ask(host, n * 2 * TTL);
		reply_all(n * 2 * TTL);
		did_fail = kit_did_fail();
		kit_fail_allocation(0);
		assert_string_not_equal(test.answers[i], "");
		assert_string_not_equal(test.answers[i], "not_found redis");
	}
	assert_true(n > 3);
}

/* A cached answer allocates nothing. */
static void test_hits_do_not_allocate(void **state)
{
	struct answer answer;
	uint64_t before;
	size_t i;

	(void)state;
	set_field("app.test", "10.0.0.1:80");
	set_field("*.wild", "10.0.0.1:80");
	expect("app.test", 0, "ok redis 10.0.0.1:80 route=app.test");
	expect("x.wild", 0, "ok redis 10.0.0.1:80 route=*.wild");
	expect("no.test", 0, "not_found redis");
	set_field("two.test", "10.0.0.1:80, 10.0.0.2:80; balance source");
	expect("two.test", 0,
	       "ok redis 10.0.0.1:80 or 10.0.0.2:80 route=two.test");
	before = kit_allocations();
	for (i = 0; i < 1000; i++) {
		const char *hosts[] = {"app.test", "x.wild", "no.test",
				       "two.test"};
		struct question question = {.host = span_of(hosts[i % 4]),
					    .client = span_of("1.2.3.4")};

		resolver_foresee(test.resolver, &question, 1);
		assert_int_equal(resolver_ask(test.resolver, &question, 1,
					      &test.waiters[0], &answer),
				 RESOLVER_DONE);
	}
	assert_true(kit_allocations() == before);
}

/* A change that is told ends every freshness at once. */
static void test_changes_are_told(void **state)
{
	(void)state;
	set_field("app.test", "10.0.0.1:80");
	set_field("*.wild", "10.0.0.2:80");
	tell(STORE_PUSH_UP, "", 0);
	expect("app.test", 0, "ok redis 10.0.0.1:80 route=app.test");
	expect("new.test", 0, "not_found redis");
	expect("x.wild", 0, "ok redis 10.0.0.2:80 route=*.wild");
	/* Nothing changed: lives are long. */
	expect("app.test", TTL * 5, "ok cache 10.0.0.1:80 route=app.test");
	expect("new.test", NEGATIVE * 5, "not_found cache");
	set_field("app.test", "10.0.0.3:80");
	set_field("new.test", "10.0.0.4:80");
	set_field("*.wild", NULL);
	tell(STORE_CHANGED, "", TTL * 5);
	expect("app.test", TTL * 5, "ok redis 10.0.0.3:80 route=app.test");
	expect("new.test", TTL * 5, "ok redis 10.0.0.4:80 route=new.test");
	expect("x.wild", TTL * 5, "not_found redis");
	expect("app.test", TTL * 5, "ok cache 10.0.0.3:80 route=app.test");
	/* Told no longer: what is older than a life is asked for. */
	tell(STORE_PUSH_DOWN, "", TTL * 7);
	expect("app.test", TTL * 7, "ok redis 10.0.0.3:80 route=app.test");
}

/* What was fresh while changes were told is stale from the loss on, not from
 * the end of a life long ago. */
static void test_stale_after_the_channel(void **state)
{
	(void)state;
	set_field("app.test", "10.0.0.1:80");
	tell(STORE_PUSH_UP, "", 0);
	expect("app.test", 0, "ok redis 10.0.0.1:80 route=app.test");
	tell(STORE_PUSH_DOWN, "", TTL * 10);
	store.is_away = true;
	expect("app.test", TTL * 10 + STALE - 1,
	       "ok stale 10.0.0.1:80 route=app.test");
	expect("app.test", TTL * 10 + STALE, "unavailable none");
}

/* A write to the hash just before an outage: what was fresh until then is
 * served on. */
static void test_change_before_an_outage(void **state)
{
	(void)state;
	set_field("app.test", "10.0.0.1:80");
	tell(STORE_PUSH_UP, "", 0);
	expect("app.test", 0, "ok redis 10.0.0.1:80 route=app.test");
	tell(STORE_CHANGED, "", TTL * 20);
	store.is_away = true;
	expect("app.test", TTL * 20, "ok stale 10.0.0.1:80 route=app.test");
	tell(STORE_PUSH_DOWN, "", TTL * 20 + 1);
	expect("app.test", TTL * 20 + STALE,
	       "ok stale 10.0.0.1:80 route=app.test");
	expect("app.test", TTL * 20 + 1 + STALE, "unavailable none");
}

/* The reply to a question that was asked before the change must not answer one
 * that was asked after it. */
static void test_change_overtakes_reply(void **state)
{
	struct lookup *lookup;
	size_t before, after;

	(void)state;
	set_field("app.test", "10.0.0.1:80");
	tell(STORE_PUSH_UP, "", 0);
	before = ask("app.test", 1);
	tell(STORE_CHANGED, "", 2);
	after = ask("app.test", 3);
	assert_int_equal(store.asked, 1);
	lookup = TAILQ_FIRST(&store.open);
	reply(lookup, 4); /* what Redis held before the change */
	assert_string_equal(test.answers[before],
			    "ok redis 10.0.0.1:80 route=app.test");
	assert_string_equal(test.answers[after], "");
	assert_int_equal(store.asked, 2);
	set_field("app.test", "10.0.0.2:80");
	reply_all(5);
	assert_string_equal(test.answers[after],
			    "ok redis 10.0.0.2:80 route=app.test");
	expect("app.test", 6, "ok cache 10.0.0.2:80 route=app.test");
}

/* A reply that a change overtook, with nobody waiting any more, is not fresh.
 */
static void test_overtaken_reply_is_not_fresh(void **state)
{
	(void)state;
	set_field("app.test", "10.0.0.1:80");
	tell(STORE_PUSH_UP, "", 0);
	ask("app.test", 1);
	tell(STORE_CHANGED, "", 2);
	reply_all(3);
	set_field("app.test", "10.0.0.2:80");
	expect("app.test", 4, "ok redis 10.0.0.2:80 route=app.test");
}

/* Without a request, what is known is read again: the hottest first. */
static void test_sweep(void **state)
{
	char host[32], answer[80];
	int64_t now_ms = 0;
	size_t i;

	(void)state;
	tell(STORE_PUSH_UP, "", 0);
	for (i = 0; i < 20; i++) {
		snprintf(host, sizeof(host), "h%zu.test", i);
		set_field(host, "10.0.0.1:80");
		ask(host, 0);
		reply_all(0);
	}
	for (i = 0; i < 100; i++)
		expect("h7.test", 1, "ok cache 10.0.0.1:80 route=h7.test");
	for (i = 0; i < 20; i++) {
		snprintf(host, sizeof(host), "h%zu.test", i);
		set_field(host, "10.0.0.2:80");
	}
	store.asked = 0;
	tell(STORE_CHANGED, "", 2);
	for (now_ms = 2; resolver_sweep(test.resolver, now_ms) >= 0 ||
			 !TAILQ_EMPTY(&store.open);
	     now_ms += 5)
		reply_all(now_ms);
	assert_true(store.asked < 5);
	assert_int_equal(resolver_count(test.resolver)->rereads, 20);
	for (i = 0; i < 20; i++) {
		snprintf(host, sizeof(host), "h%zu.test", i);
		snprintf(answer, sizeof(answer),
			 "ok cache 10.0.0.2:80 route=%s", host);
		expect(host, now_ms, answer);
	}
}

static void test_sweep_begins_with_the_hottest(void **state)
{
	size_t i;

	(void)state;
	tell(STORE_PUSH_UP, "", 0);
	set_field("cold.test", "10.0.0.1:80");
	set_field("hot.test", "10.0.0.1:80");
	expect("hot.test", 0, "ok redis 10.0.0.1:80 route=hot.test");
	expect("cold.test", 0, "ok redis 10.0.0.1:80 route=cold.test");
	for (i = 0; i < 100; i++)
		ask("hot.test", 1);
	tell(STORE_CHANGED, "", 2);
	resolver_sweep(test.resolver, 2);
	assert_true(!strncmp(store.fields, "hot.test", 8));
	reply_all(3);
}

/* A field that is named is read before the sweep and without a request. */
static void test_named_field_is_read_first(void **state)
{
	(void)state;
	tell(STORE_PUSH_UP, "", 0);
	set_field("a.test", "10.0.0.1:80");
	set_field("b.test", "10.0.0.1:80");
	expect("a.test", 0, "ok redis 10.0.0.1:80 route=a.test");
	expect("b.test", 0, "ok redis 10.0.0.1:80 route=b.test");
	set_field("a.test", "10.0.0.2:80");
	store.asked = 0;
	tell(STORE_NAMED, "a.test", 1);
	tell(STORE_NAMED, "never.asked", 1);
	resolver_sweep(test.resolver, 1);
	assert_false(TAILQ_EMPTY(&store.open));
	assert_int_equal(TAILQ_FIRST(&store.open)->count, 1);
	assert_true(span_is(TAILQ_FIRST(&store.open)->fields[0], "a.test"));
	reply(TAILQ_FIRST(&store.open), 2);
	expect("a.test", 2, "ok cache 10.0.0.2:80 route=a.test");
}

/* Any order of questions, replies, losses, changes, timeouts and cancels: each
 * request gets one answer, which the store gave for that host at some time
 * within the lives, and a host never has two flights. */
static void test_any_order(void **state)
{
	static const char *const hosts[] = {"a.test", "b.test", "x.wild",
					    "y.wild", "no.org"};
	int64_t now_ms = 0;
	size_t i;

	(void)state;
	set_field("*.wild", "10.0.0.200:80");
	for (i = 0; i < WAITERS - 10; i++) {
		const char *host = hosts[kit_random() % ARRAY_LEN(hosts)];
		char value[32];
		size_t number;

		now_ms += (int64_t)(kit_random() % 40);
		snprintf(value, sizeof(value), "10.0.0.%u:80",
			 (unsigned int)(kit_random() % 100));
		switch (kit_random() % 8) {
		case 0:
			set_field(kit_random() % 2 ? "a.test" : "b.test",
				  kit_random() % 4 ? value : NULL);
			break;
		case 1:
			fail_all(now_ms);
			break;
		case 2:
			reply_all(now_ms);
			break;
		case 3:
			store.is_away = kit_random() % 4 == 0;
			break;
		case 4:
			tell(kit_random() % 2 ? STORE_CHANGED : STORE_NAMED,
			     "a.test", now_ms);
			break;
		case 5:
			tell(kit_random() % 2 ? STORE_PUSH_UP : STORE_PUSH_DOWN,
			     "", now_ms);
			break;
		default:
			break;
		}
		resolver_expire(test.resolver, now_ms);
		resolver_sweep(test.resolver, now_ms);
		number = ask(host, now_ms);
		if (kit_random() % 50 == 0) {
			resolver_cancel(test.resolver, &test.waiters[number]);
			snprintf(test.answers[number], RECORD, "cancelled");
		}
		assert_true(resolver_count_flights(test.resolver)->flights <=
			    ARRAY_LEN(hosts));
	}
	resolver_expire(test.resolver, now_ms + TIMEOUT);
	fail_all(now_ms + TIMEOUT);
	for (i = 0; i < test.asked; i++)
		assert_string_not_equal(test.answers[i], "");
}

int main(void)
{
#define SCENARIO(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		SCENARIO(test_hit_and_miss),
		SCENARIO(test_order_of_match),
		SCENARIO(test_a_whole_table),
		SCENARIO(test_a_table_that_was_whole),
		SCENARIO(test_candidates_are_bounded),
		SCENARIO(test_bad_values_do_not_fall_through),
		SCENARIO(test_backend_and_backup),
		SCENARIO(test_turns_go_on),
		SCENARIO(test_turns_without_a_life),
		SCENARIO(test_a_client_keeps_its_target),
		SCENARIO(test_states_decide),
		SCENARIO(test_slots_are_taken_and_released),
		SCENARIO(test_names_are_waited_for),
		SCENARIO(test_names_may_come_too_late),
		SCENARIO(test_names_of_stale_routes),
		SCENARIO(test_change_while_names_are_waited_for),
		SCENARIO(test_one_flight_per_host),
		SCENARIO(test_timeout_and_late_reply),
		SCENARIO(test_refresh_ahead),
		SCENARIO(test_refresh_has_one_flight),
		SCENARIO(test_stale_while_the_store_is_away),
		SCENARIO(test_stale_when_too_slow),
		SCENARIO(test_removed_and_added_routes),
		SCENARIO(test_lives_of_zero),
		SCENARIO(test_evicted_under_a_flight),
		SCENARIO(test_reply_does_not_rest_on_old_routes),
		SCENARIO(test_reply_does_not_rest_on_old_absences),
		SCENARIO(test_guard_changes),
		SCENARIO(test_limits_change),
		SCENARIO(test_cancel),
		SCENARIO(test_no_memory),
		SCENARIO(test_hits_do_not_allocate),
		SCENARIO(test_changes_are_told),
		SCENARIO(test_stale_after_the_channel),
		SCENARIO(test_change_before_an_outage),
		SCENARIO(test_change_overtakes_reply),
		SCENARIO(test_overtaken_reply_is_not_fresh),
		SCENARIO(test_sweep),
		SCENARIO(test_sweep_begins_with_the_hottest),
		SCENARIO(test_named_field_is_read_first),
		SCENARIO(test_any_order),
	};

	return cmocka_run_group_tests_name("resolver", tests, NULL, NULL);
}
