/* SPDX-License-Identifier: MIT */
/*
 * sweep: a cache of some fields and a store that takes lookups and answers them
 * when the test says so.
 */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>

#include "../../spoa/sweep.h"

enum { ALWAYS = 1000000 };

static struct {
	struct store store;
	struct lookup_queue open;
	bool is_away;
	size_t asked; /* lookups that were taken */
	struct cache *cache;
	struct sweep *sweep;
	char kept[4096]; /* the fields that were read, each with a blank */
} test;

static bool take_lookup(struct store *store, struct lookup *lookup,
			int64_t now_ms)
{
	(void)store;
	if (test.is_away)
		return false;
	test.asked++;
	lookup->sent(lookup, now_ms);
	TAILQ_INSERT_TAIL(&test.open, lookup, link);
	return true;
}

static bool is_up(struct store *store, int64_t now_ms)
{
	(void)store;
	(void)now_ms;
	return !test.is_away;
}

static void keep(void *context, struct span field,
		 const struct store_value *value, int64_t asked_ms,
		 uint32_t epoch, int64_t now_ms)
{
	size_t len = strlen(test.kept);

	(void)context;
	(void)now_ms;
	snprintf(test.kept + len, sizeof(test.kept) - len, "%.*s ",
		 (int)field.len, field.p);
	cache_put(test.cache, field, value->text.p, value->text.len, asked_ms,
		  epoch);
}

static int set_up(void **state)
{
	const struct cache_options cache = {.values_max = 1000,
					    .ttl_ms = ALWAYS,
					    .negative_ms = ALWAYS,
					    .stale_ms = ALWAYS};
	const struct hash_secret secret = {1, 2};
	struct sweep_options options = {.store = &test.store, .keep = keep};

	(void)state;
	memset(&test, 0, sizeof(test));
	TAILQ_INIT(&test.open);
	test.store.ask = take_lookup;
	test.store.is_up = is_up;
	test.cache = cache_new(&cache, &secret);
	options.cache = test.cache;
	test.sweep = sweep_new(&options);
	return test.cache && test.sweep ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	sweep_free(test.sweep);
	cache_free(test.cache);
	return 0;
}

static void know(const char *field)
{
	cache_put(test.cache, span_of(field), "1", 1, 0,
		  cache_epoch(test.cache));
}

static void know_many(size_t count)
{
	char field[32];
	size_t i;

	for (i = 0; i < count; i++) {
		snprintf(field, sizeof(field), "h%zu", i);
		know(field);
	}
}

static void change(void)
{
	cache_raise_epoch(test.cache);
	sweep_begin(test.sweep);
}

/* Answers the lookup that waits longest; returns how many fields it had. */
static size_t reply(enum store_status status)
{
	const struct store_value value = {.kind = STORE_VALUE,
					  .text = span_of("1")};
	struct store_value values[STORE_FIELDS_MAX];
	struct lookup *lookup = TAILQ_FIRST(&test.open);
	size_t count, i;

	assert_non_null(lookup);
	TAILQ_REMOVE(&test.open, lookup, link);
	count = lookup->count;
	for (i = 0; i < count; i++)
		values[i] = value;
	lookup->done(lookup, status, status == STORE_ANSWERED ? values : NULL,
		     0);
	return count;
}

/* Steps and replies until nothing is left to do; returns the time then. */
static int64_t run(int64_t now_ms)
{
	int64_t next_ms = sweep_step(test.sweep, now_ms);

	while (next_ms >= 0 || !TAILQ_EMPTY(&test.open)) {
		if (!TAILQ_EMPTY(&test.open))
			reply(STORE_ANSWERED);
		if (next_ms > now_ms)
			now_ms = next_ms;
		next_ms = sweep_step(test.sweep, now_ms);
		assert_true(now_ms < ALWAYS);
	}
	return now_ms;
}

static uint64_t rereads(void)
{
	return sweep_count(test.sweep)->rereads;
}

static void test_nothing_to_do(void **state)
{
	(void)state;
	know("a");
	assert_int_equal(sweep_step(test.sweep, 1), -1);
	change();
	run(1);
	assert_string_equal(test.kept, "a ");
	assert_int_equal(sweep_step(test.sweep, 100), -1);
	assert_int_equal(test.asked, 1);
}

static void test_reads_all_in_batches(void **state)
{
	(void)state;
	know_many(STORE_FIELDS_MAX * 2 + 1);
	change();
	run(1);
	assert_int_equal(rereads(), STORE_FIELDS_MAX * 2 + 1);
	assert_int_equal(test.asked, 3);
}

static void test_one_batch_at_a_time(void **state)
{
	(void)state;
	know_many(STORE_FIELDS_MAX * 2);
	change();
	assert_int_equal(sweep_step(test.sweep, 1), -1);
	assert_int_equal(sweep_step(test.sweep, 1000), -1);
	assert_int_equal(test.asked, 1);
	assert_int_equal(reply(STORE_ANSWERED), STORE_FIELDS_MAX);
	assert_int_equal(sweep_step(test.sweep, 1001), -1);
	assert_int_equal(test.asked, 2);
}

static void test_change_while_sweeping(void **state)
{
	(void)state;
	know_many(STORE_FIELDS_MAX + 1);
	change();
	assert_int_equal(sweep_step(test.sweep, 1), -1);
	change(); /* what is under way was asked before it */
	run(1);
	assert_true(rereads() >= STORE_FIELDS_MAX * 2 + 1);
	assert_false(cache_is_outdated(test.cache, span_of("h0")));
	assert_false(cache_is_outdated(test.cache, span_of("h64")));
}

static void test_named_first(void **state)
{
	(void)state;
	know_many(10);
	change();
	sweep_add(test.sweep, span_of("h3"));
	sweep_add(test.sweep, span_of("h5"));
	sweep_step(test.sweep, 1);
	assert_int_equal(reply(STORE_ANSWERED), 2);
	assert_string_equal(test.kept, "h3 h5 ");
	run(1);
	assert_false(cache_is_outdated(test.cache, span_of("h0")));
}

static void test_too_many_named(void **state)
{
	(void)state;
	know_many(STORE_FIELDS_MAX * 2);
	change();
	for (size_t i = 0; i < STORE_FIELDS_MAX * 2; i++)
		sweep_add(test.sweep, span_of("h3"));
	sweep_step(test.sweep, 1);
	assert_int_equal(reply(STORE_ANSWERED), STORE_FIELDS_MAX);
	run(1);
	assert_false(cache_is_outdated(test.cache, span_of("h127")));
}

static void test_store_away(void **state)
{
	(void)state;
	know_many(3);
	change();
	test.is_away = true;
	sweep_add(test.sweep, span_of("h1"));
	assert_int_equal(sweep_step(test.sweep, 1), 201);
	assert_int_equal(test.asked, 0);
	test.is_away = false;
	run(201);
	assert_int_equal(rereads(), 3);
}

/* A lookup that fails tells nothing: its fields stay outdated. */
static void test_failed_lookup(void **state)
{
	(void)state;
	know("a");
	change();
	sweep_step(test.sweep, 1);
	reply(STORE_FAILED);
	assert_string_equal(test.kept, "");
	assert_int_equal(rereads(), 0);
	assert_true(cache_is_outdated(test.cache, span_of("a")));
}

static void test_no_memory(void **state)
{
	const struct sweep_options options = {.store = &test.store};

	(void)state;
	kit_fail_allocation(1);
	assert_null(sweep_new(&options));
	kit_fail_allocation(0);
	sweep_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nothing_to_do),
		TEST(test_reads_all_in_batches),
		TEST(test_one_batch_at_a_time),
		TEST(test_change_while_sweeping),
		TEST(test_named_first),
		TEST(test_too_many_named),
		TEST(test_store_away),
		TEST(test_failed_lookup),
		TEST(test_no_memory),
	};

	return cmocka_run_group_tests_name("sweep", tests, NULL, NULL);
}
