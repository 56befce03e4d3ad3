/* SPDX-License-Identifier: MIT */
/*
 * lender: with a cache, a resolver and a store of the test's own. What HAProxy
 * is told is written down, and kept as a table of the test.
 */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>

#include "../../spoa/lender.h"

enum { TTL = 10000, NEGATIVE = 1000, STALE = 60000, EXPIRE = 5000 };

static struct {
	struct store face;
	struct lookup_queue open;
	struct kit_hash hash;
	bool has_all; /* every host has a field */
} store;

static struct {
	struct cache *cache;
	struct resolver *resolver;
	struct lender *lender;
	bool is_full;	 /* HAProxy takes nothing */
	char told[4096]; /* "+a=10.0.0.1:80 -a -* " */
	unsigned int missed;
	struct waiter waiters[4096];
	size_t waiter_count;
} test;

static bool take_lookup(struct store *face, struct lookup *lookup,
			int64_t now_ms)
{
	(void)face;
	lookup->sent(lookup, now_ms);
	TAILQ_INSERT_TAIL(&store.open, lookup, link);
	return true;
}

static bool is_up(struct store *face, int64_t now_ms)
{
	(void)face;
	(void)now_ms;
	return true;
}

static void set_field(const char *field, const char *value)
{
	kit_hset(&store.hash, field, value);
}

static struct store_value get_field(struct span field)
{
	const char *value = kit_hget(&store.hash, field);

	if (store.has_all && field.p[0] != '*')
		value = "10.0.0.1:80";
	if (!value)
		return (struct store_value){.kind = STORE_NONE};
	return (struct store_value){.kind = STORE_VALUE,
				    .text = span_of(value)};
}

static void reply_all(int64_t now_ms)
{
	struct store_value values[STORE_FIELDS_MAX];
	struct lookup *lookup;
	size_t i;

	while ((lookup = TAILQ_FIRST(&store.open)) != NULL) {
		TAILQ_REMOVE(&store.open, lookup, link);
		for (i = 0; i < lookup->count; i++)
			values[i] = get_field(lookup->fields[i]);
		lookup->done(lookup, STORE_ANSWERED, values, now_ms);
	}
}

__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...)
{
	size_t len = strlen(test.told);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(test.told + len, sizeof(test.told) - len, format, arguments);
	va_end(arguments);
}

static bool on_lend(void *context, struct span host, uint32_t address,
		    uint16_t port)
{
	(void)context;
	if (test.is_full)
		return false;
	tell("+%.*s=%u.%u.%u.%u:%u ", (int)host.len, host.p, address >> 24,
	     address >> 16 & 255, address >> 8 & 255, address & 255, port);
	return true;
}

static void on_take_back(void *context, struct span host)
{
	(void)context;
	tell("-%.*s ", (int)host.len, host.p);
}

static void on_take_back_all(void *context)
{
	(void)context;
	tell("-* ");
}

static void on_missed(void *context)
{
	(void)context;
	test.missed++;
}

static void on_answered(struct waiter *waiter, const struct answer *answer)
{
	(void)waiter;
	(void)answer;
}

static void on_bad_route(void *context, const struct bad_route *bad)
{
	(void)context;
	(void)bad;
}

static int set_up_with(size_t values_max)
{
	const struct hash_secret secret = {1, 2};
	const struct cache_options cache = {.values_max = values_max,
					    .ttl_ms = TTL,
					    .negative_ms = NEGATIVE,
					    .stale_ms = STALE};
	struct resolver_options resolver = {.lookup_timeout_ms = 50,
					    .waiting_max = 100,
					    .bad_route = on_bad_route};
	struct lender_options lender = {.lend = on_lend,
					.take_back = on_take_back,
					.take_back_all = on_take_back_all,
					.missed = on_missed};

	memset(&test, 0, sizeof(test));
	memset(&store, 0, sizeof(store));
	TAILQ_INIT(&store.open);
	store.face.ask = take_lookup;
	store.face.is_up = is_up;
	test.cache = cache_new(&cache, &secret);
	test.resolver =
		resolver_new(&resolver, &secret, test.cache, &store.face);
	lender.cache = test.cache;
	lender.resolver = test.resolver;
	test.lender = lender_new(&lender, &secret);
	if (!test.lender)
		return -1;
	lender_open(test.lender, 1000, EXPIRE);
	store.face.news(store.face.context, STORE_PUSH_UP, (struct span){0}, 0);
	return 0;
}

static int set_up(void **state)
{
	(void)state;
	return set_up_with(1000);
}

static int tear_down(void **state)
{
	(void)state;
	lender_free(test.lender);
	resolver_free(test.resolver);
	cache_free(test.cache);
	return 0;
}

/* The end of a turn, as often as something comes of it. */
static void work(int64_t now_ms)
{
	int i;

	for (i = 0; i < 10; i++) {
		resolver_sweep(test.resolver, now_ms);
		reply_all(now_ms);
	}
	lender_work(test.lender, now_ms);
}

static void ask(const char *host, int64_t now_ms)
{
	const struct question question = {.host = span_of(host)};
	struct answer answer;

	test.waiters[test.waiter_count].answered = on_answered;
	if (resolver_ask(test.resolver, &question, now_ms,
			 &test.waiters[test.waiter_count++],
			 &answer) == RESOLVER_PENDING)
		reply_all(now_ms);
}

/* Two questions, and the end of the turn. */
static void lend(const char *host, int64_t now_ms)
{
	ask(host, now_ms);
	ask(host, now_ms);
	work(now_ms);
}

static void change(enum store_news news, const char *field, int64_t now_ms)
{
	store.face.news(store.face.context, news, span_of(field), now_ms);
}

static void expect_told(const char *told)
{
	assert_string_equal(test.told, told);
	test.told[0] = '\0';
}

static void test_second_question_lends(void **state)
{
	(void)state;
	set_field("a.test", "10.0.0.1:80");
	ask("a.test", 1);
	work(1);
	expect_told("");
	ask("A.test:8080", 2);
	work(10);
	expect_told("+a.test=10.0.0.1:80 ");
	ask("a.test", 20);
	work(20);
	expect_told("");
	assert_int_equal(test.missed, 1);
	ask("a.test", 10 + EXPIRE);
	work(20 + EXPIRE);
	expect_told("+a.test=10.0.0.1:80 ");
	assert_int_equal(lender_count(test.lender)->lends, 2);
	assert_int_equal(lender_count(test.lender)->lent, 1);
}

/* Only one IPv4 target, the same for all. */
static void test_what_is_not_lent(void **state)
{
	static const struct {
		const char *field, *value, *host;
	} rows[] = {
		{"[::1]", "10.0.0.1:80", "[::1]"},
		{"six.test", "[2001:db8::1]:80", "six.test"},
		{"two.test", "10.0.0.1:80, 10.0.0.2:80", "two.test"},
		{"spare.test", "10.0.0.1:80, 10.0.0.2:80 backup", "spare.test"},
		{"back.test", "10.0.0.1:80; backend slow", "back.test"},
		{"zero.test", "10.0.0.1:80 weight 0", "zero.test"},
		{"bad.test", "nonsense", "bad.test"},
		{"none.test", "", "none.test"},
		{"*", "10.0.0.1:80", "*"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		set_field(rows[i].field, rows[i].value);
		lend(rows[i].host, (int64_t)(i + 1) * 10);
		expect_told("");
	}
}

static void test_options_that_do_not_matter(void **state)
{
	(void)state;
	set_field("a.test", "10.0.0.1:80; check tcp");
	lend("a.test", 10);
	expect_told("+a.test=10.0.0.1:80 ");
}

static void test_closed(void **state)
{
	(void)state;
	lender_close(test.lender);
	set_field("a.test", "10.0.0.1:80");
	lend("a.test", 10);
	expect_told("");
}

/* A change that names nothing: all that is lent is read again. */
static void test_change_without_a_name(void **state)
{
	(void)state;
	set_field("a.test", "10.0.0.1:80");
	set_field("b.test", "10.0.0.1:80");
	lend("a.test", 10);
	lend("b.test", 20);
	test.told[0] = '\0';
	set_field("a.test", "10.0.0.2:80");
	change(STORE_CHANGED, "", 30);
	work(30);
	expect_told("-a.test ");
	change(STORE_CHANGED, "", 40);
	work(40);
	expect_told("");
	set_field("b.test", NULL);
	change(STORE_CHANGED, "", 50);
	work(50);
	expect_told("-b.test ");
	assert_int_equal(lender_count(test.lender)->lent, 0);
}

/* It is taken back before it was read again. */
static void test_change_with_a_name(void **state)
{
	(void)state;
	set_field("a.test", "10.0.0.1:80");
	lend("a.test", 10);
	test.told[0] = '\0';
	change(STORE_NAMED, "b.test", 20);
	expect_told("");
	change(STORE_NAMED, "a.test", 20);
	expect_told("-a.test ");
}

static void test_flush(void **state)
{
	(void)state;
	change(STORE_NAMED, "*", 1);
	expect_told(""); /* nothing is lent */
	set_field("a.test", "10.0.0.1:80");
	lend("a.test", 10);
	test.told[0] = '\0';
	change(STORE_NAMED, "*", 20);
	expect_told("-* ");
	assert_int_equal(lender_count(test.lender)->lent, 0);
}

static void test_wildcards(void **state)
{
	static const struct {
		const char *field, *value, *told; /* after the change */
	} rows[] = {
		{"*.cloud.test", "10.0.0.2:80", "-x.b.cloud.test "},
		{"*.cloud.test", NULL, "-x.b.cloud.test "},
		{"*.b.cloud.test", "10.0.0.2:80", "-x.b.cloud.test "},
		{"x.b.cloud.test", "10.0.0.2:80", "-x.b.cloud.test "},
		/* The same target by another field, that may change alone. */
		{"*.b.cloud.test", "10.0.0.1:80", "-x.b.cloud.test "},
		{"*.test", "10.0.0.2:80", ""},
		{"*", "10.0.0.2:80", "-other.org "},
		{"*.loud.test", "10.0.0.2:80", ""},
		{"b.cloud.test", "10.0.0.2:80", ""},
		{"*.other.org", "10.0.0.2:80", ""},
		{"*.org", "10.0.0.2:80", "-other.org "},
		{"other.org", "10.0.0.2:80", "-other.org "},
	};
	size_t i, by_name;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		for (by_name = 0; by_name < 2; by_name++) {
			tear_down(NULL);
			set_up(NULL);
			set_field("*.cloud.test", "10.0.0.1:80");
			set_field("*", "10.0.0.1:80");
			lend("x.b.cloud.test", 10);
			lend("other.org", 20);
			expect_told("+x.b.cloud.test=10.0.0.1:80 "
				    "+other.org=10.0.0.1:80 ");
			set_field(rows[i].field, rows[i].value);
			change(by_name ? STORE_NAMED : STORE_CHANGED,
			       by_name ? rows[i].field : "", 30);
			work(30);
			work(40);
			if (by_name && !strcmp(rows[i].field, "*"))
				expect_told("-* ");
			else
				expect_told(rows[i].told);
		}
	}
}

static void test_target_down(void **state)
{
	static const uint8_t down[] = {10, 0, 0, 1};

	(void)state;
	set_field("a.test", "10.0.0.1:80");
	set_field("b.test", "10.0.0.1:81");
	set_field("c.test", "10.0.0.2:80");
	lend("a.test", 10);
	lend("b.test", 20);
	lend("c.test", 30);
	test.told[0] = '\0';
	lender_take_back_target(test.lender, down, 4, 80);
	expect_told("-a.test ");
}

static void test_eviction(void **state)
{
	char host[32];
	int i;

	(void)state;
	tear_down(NULL);
	set_up_with(4);
	set_field("a.test", "10.0.0.1:80");
	lend("a.test", 10);
	test.told[0] = '\0';
	for (i = 0; i < 20; i++) {
		snprintf(host, sizeof(host), "h%d.test", i);
		set_field(host, "10.0.0.1:80");
		ask(host, 20);
		ask(host, 20);
	}
	assert_non_null(strstr(test.told, "-a.test "));
}

/* A wish is fulfilled from what is fresh then. */
static void test_change_before_it_is_lent(void **state)
{
	(void)state;
	set_field("a.test", "10.0.0.1:80");
	ask("a.test", 1);
	ask("a.test", 2);
	set_field("a.test", "10.0.0.2:80");
	change(STORE_CHANGED, "", 3);
	lender_work(test.lender, 3);
	expect_told("");
	ask("a.test", 100);
	work(100);
	expect_told("+a.test=10.0.0.2:80 ");
}

/* Without a word of Redis for longer than its life it is lent no more. */
static void test_renewal_needs_fresh_knowledge(void **state)
{
	(void)state;
	change(STORE_PUSH_DOWN, "", 0);
	set_field("a.test", "10.0.0.1:80");
	lend("a.test", 10);
	expect_told("+a.test=10.0.0.1:80 ");
	set_field("a.test", "10.0.0.2:80");
	lender_work(test.lender, EXPIRE + 2000);
	ask("a.test", TTL + 20); /* asks Redis again */
	work(TTL + 20);
	ask("a.test", TTL + 30);
	work(TTL + 30);
	expect_told("+a.test=10.0.0.2:80 ");
}

static void test_full(void **state)
{
	(void)state;
	test.is_full = true;
	set_field("a.test", "10.0.0.1:80");
	lend("a.test", 10);
	expect_told("");
	assert_int_equal(lender_count(test.lender)->dropped, 1);
	assert_int_equal(lender_count(test.lender)->lent, 0);
	test.is_full = false;
	ask("a.test", 100);
	work(100);
	expect_told("+a.test=10.0.0.1:80 ");
}

/* Nobody tells of a change then: no answer may outlive what it rests on. */
static void test_lends_within_a_life_without_push(void **state)
{
	(void)state;
	set_field("a.test", "10.0.0.1:80");
	set_field("*.cloud.test", "10.0.0.1:80");
	change(STORE_PUSH_DOWN, "", 0);
	lend("a.test", 10);
	expect_told("+a.test=10.0.0.1:80 ");
	lend("x.cloud.test", 20); /* an absence lives for a second */
	expect_told("");
	ask("a.test", 20 + EXPIRE);
	work(20 + EXPIRE);
	expect_told("");
	change(STORE_PUSH_UP, "", 30 + EXPIRE);
	ask("a.test", 100 + EXPIRE);
	work(100 + EXPIRE);
	expect_told("+a.test=10.0.0.1:80 ");
	lend("x.cloud.test", 110 + EXPIRE);
	expect_told("+x.cloud.test=10.0.0.1:80 ");
}

static void test_rate(void **state)
{
	char host[32];
	int i;

	(void)state;
	tear_down(NULL);
	set_up_with(100000); /* absences have a share of it */
	set_field("*", "10.0.0.1:80");
	for (i = 0; i < 10 * LENDER_RATE; i++) {
		snprintf(host, sizeof(host), "h%d", i);
		ask(host, 10);
		ask(host, 10);
	}
	lender_work(test.lender, 11);
	assert_int_equal(lender_count(test.lender)->lends, 5 * LENDER_RATE);
	lender_work(test.lender, 12);
	assert_int_equal(lender_count(test.lender)->lends, 5 * LENDER_RATE);
	lender_work(test.lender, 16);
	assert_int_equal(lender_count(test.lender)->lends, 10 * LENDER_RATE);
}

/* An HAProxy with as many hot hosts as can be lent. */
static struct {
	int64_t now_ms;
	int64_t until_ms[LENDER_HOSTS_MAX]; /* it holds the host's answer */
} hot;

static bool lend_hot(void *context, struct span host, uint32_t address,
		     uint16_t port)
{
	(void)context;
	(void)address;
	(void)port;
	hot.until_ms[strtoul(host.p + 1, NULL, 10)] = hot.now_ms + EXPIRE;
	return true;
}

/* Each host that it does not hold is asked for twice a second. */
static void ask_hot(void)
{
	enum { SHARE = LENDER_HOSTS_MAX / 500 }; /* of a millisecond */
	size_t first = (size_t)hot.now_ms * SHARE % LENDER_HOSTS_MAX;
	char host[32];
	size_t i;

	for (i = first; i < first + SHARE; i++) {
		if (hot.until_ms[i] > hot.now_ms)
			continue;
		snprintf(host, sizeof(host), "h%zu.test", i);
		test.waiter_count = 0;
		ask(host, hot.now_ms);
	}
	lender_work(test.lender, hot.now_ms);
}

static size_t count_held(void)
{
	size_t count = 0;
	size_t i;

	for (i = 0; i < LENDER_HOSTS_MAX; i++)
		count += hot.until_ms[i] > hot.now_ms;
	return count;
}

/* All of them are held at a time, and nearly all go on to be. */
static void test_as_many_as_can_be_lent(void **state)
{
	struct lender_options options = {.lend = lend_hot,
					 .take_back = on_take_back,
					 .take_back_all = on_take_back_all,
					 .missed = on_missed};
	const struct hash_secret secret = {1, 2};

	(void)state;
	tear_down(NULL);
	set_up_with(LENDER_HOSTS_MAX);
	lender_free(test.lender);
	options.cache = test.cache;
	options.resolver = test.resolver;
	test.lender = lender_new(&options, &secret);
	lender_open(test.lender, LENDER_HOSTS_MAX, EXPIRE);
	memset(&hot, 0, sizeof(hot));
	store.has_all = true;
	while (++hot.now_ms <= EXPIRE)
		ask_hot();
	assert_int_equal(count_held(), LENDER_HOSTS_MAX);
	while (++hot.now_ms <= 3 * EXPIRE)
		ask_hot();
	assert_in_range(count_held(), LENDER_HOSTS_MAX * 8 / 10,
			LENDER_HOSTS_MAX);
}

/* What HAProxy may still hold is not forgotten while a table is slow. */
static void test_hold(void **state)
{
	(void)state;
	set_field("a.test", "10.0.0.1:80");
	lend("a.test", 10);
	lender_hold(test.lender, EXPIRE);
	lender_work(test.lender, EXPIRE + 2000);
	assert_int_equal(lender_count(test.lender)->lent, 1);
	lender_work(test.lender, 2 * EXPIRE + 2000);
	assert_int_equal(lender_count(test.lender)->lent, 0);
}

/* Whatever a client writes as its Host, HAProxy is told nothing but letters,
 * digits and -_. */
static void test_no_command_by_a_host(void **state)
{
	char host[8] = "a?b.c";
	int byte;

	(void)state;
	set_field("*", "10.0.0.1:80");
	for (byte = 0; byte < 256; byte++) {
		const struct question question = {.host = {host, 5}};
		struct answer answer;
		int i;

		host[1] = (char)byte;
		test.waiters[test.waiter_count].answered = on_answered;
		test.waiters[test.waiter_count + 1].answered = on_answered;
		test.waiters[test.waiter_count + 2].answered = on_answered;
		for (i = 0; i < 3; i++) {
			if (resolver_ask(test.resolver, &question, byte * 100,
					 &test.waiters[test.waiter_count++],
					 &answer) == RESOLVER_PENDING)
				reply_all(byte * 100);
		}
		work(byte * 100);
	}
	assert_int_equal(strspn(test.told, "abcdefghijklmnopqrstuvwxyz"
					   "0123456789-_.+=: "),
			 strlen(test.told));
	assert_true(lender_count(test.lender)->lends > 26 + 10);
}

static void test_no_memory(void **state)
{
	const struct lender_options options = {.cache = test.cache,
					       .resolver = test.resolver};
	const struct hash_secret secret = {1, 2};
	unsigned int n;

	(void)state;
	for (n = 1; n <= 5; n++) {
		kit_fail_allocation(n);
		assert_null(lender_new(&options, &secret));
	}
	kit_fail_allocation(0);
	lender_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_second_question_lends),
		TEST(test_what_is_not_lent),
		TEST(test_options_that_do_not_matter),
		TEST(test_closed),
		TEST(test_change_without_a_name),
		TEST(test_change_with_a_name),
		TEST(test_flush),
		TEST(test_wildcards),
		TEST(test_target_down),
		TEST(test_eviction),
		TEST(test_change_before_it_is_lent),
		TEST(test_renewal_needs_fresh_knowledge),
		TEST(test_full),
		TEST(test_lends_within_a_life_without_push),
		TEST(test_rate),
		TEST(test_as_many_as_can_be_lent),
		TEST(test_hold),
		TEST(test_no_command_by_a_host),
		TEST(test_no_memory),
	};

	return cmocka_run_group_tests_name("lender", tests, NULL, NULL);
}
