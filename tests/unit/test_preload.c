/* SPDX-License-Identifier: MIT */
/*
 * preload: against a store of this test's own, with a clock of its own. What it
 * lists goes into a real cache.
 */
#include "kit.h"

#include "../../spoa/log.h"
#include "../../spoa/preload.h"

#include <stdio.h>

enum { TEXT_MAX = 100, MINUTE = 60 * 1000 };

static struct {
	struct store face;
	struct scan *open;  /* the scan under way */
	unsigned int count; /* of fields */
	unsigned int large; /* bytes of each value; 0: 8 */
	unsigned int room;  /* bytes of values in a reply; 0: any */
	unsigned int steps;
	bool is_away;
} store;

static struct cache *cache;
static struct preload *preload;
static int64_t now_ms;

/* In place of the resolver. */
void resolver_learn(struct resolver *resolver, struct span field,
		    const struct store_value *value, int64_t asked_ms,
		    uint32_t epoch, int64_t at_ms)
{
	(void)at_ms;
	(void)resolver;
	cache_put(cache, field, value->text.p, value->text.len, asked_ms,
		  epoch);
}

static bool is_whole;

void resolver_set_whole(struct resolver *resolver, bool is_so)
{
	(void)resolver;
	is_whole = is_so;
}

static bool take_scan(struct store *face, struct scan *scan, int64_t at_ms)
{
	(void)face;
	(void)at_ms;
	assert_null(store.open);
	if (store.is_away)
		return false;
	store.open = scan;
	return true;
}

static void give_field(struct scan *scan, unsigned int number,
		       unsigned int *room)
{
	static const char bytes[TEXT_MAX * 2];
	size_t len = store.large ? store.large : 8;
	struct store_value value = {STORE_VALUE, {bytes, len}, 0};
	char name[300];
	int size = snprintf(name, sizeof(name), "host%u.example", number);

	if (len > TEXT_MAX || (store.room && len > *room))
		value = (struct store_value){STORE_TOO_LARGE, {0}, len};
	else if (store.room)
		*room -= (unsigned int)len;
	scan->take(scan, (struct span){name, (size_t)size}, &value);
}

/* Answers the scan that is under way. */
static void answer(void)
{
	struct scan *scan = store.open;
	unsigned int room = store.room;
	uint64_t i;

	assert_non_null(scan);
	store.open = NULL;
	store.steps++;
	scan->total = store.count;
	for (i = 0; i < scan->count && scan->cursor < store.count; i++)
		give_field(scan, (unsigned int)scan->cursor++, &room);
	if (scan->cursor >= store.count)
		scan->cursor = 0;
	scan->done(scan, STORE_ANSWERED, now_ms);
}

/* Until it wants to wait; returns for how long. */
static int64_t run(void)
{
	int64_t next_ms;

	for (;;) {
		next_ms = preload_step(preload, now_ms);
		if (store.open)
			answer();
		else if (next_ms > now_ms)
			return next_ms - now_ms;
	}
}

static const struct preload_counters *begin(unsigned int count, size_t max)
{
	static const struct hash_secret secret = {1, 2};
	const struct cache_options options = {
		.values_max = max, .ttl_ms = 1000, .stale_ms = 1 << 30};
	struct preload_options with = {
		.store = &store.face, .values_max = max, .text_max = TEXT_MAX};

	log_setup(LOG_ERROR, LOG_TEXT);
	memset(&store, 0, sizeof(store));
	store.face.scan = take_scan;
	store.count = count;
	now_ms = 1000;
	cache = cache_new(&options, &secret);
	assert_non_null(cache);
	with.cache = cache;
	preload = preload_new(&with);
	assert_non_null(preload);
	return preload_count(preload);
}

static void end(void)
{
	preload_free(preload);
	cache_free(cache);
}

static size_t known(void)
{
	return cache_count(cache)->values;
}

static void test_all_of_it(void **state)
{
	static const unsigned int counts[] = {0, 1, 499, 500, 501, 12345};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(counts); i++) {
		const struct preload_counters *c = begin(counts[i], 100000);

		assert_int_equal(run(), MINUTE);
		assert_int_equal(known(), counts[i]);
		assert_int_equal(c->added, counts[i]);
		assert_int_equal(c->listings, 1);
		assert_false(c->is_running);
		assert_true(is_whole);
		end();
	}
}

static void test_again_only_for_more(void **state)
{
	const struct preload_counters *c = begin(1000, 100000);

	(void)state;
	run();
	store.steps = 0;
	now_ms += MINUTE;
	assert_int_equal(run(), MINUTE);
	assert_int_equal(store.steps, 1); /* it only looked */
	store.count++;
	now_ms += MINUTE;
	run();
	assert_int_equal(c->listings, 2);
	assert_int_equal(c->added, 1001);
	end();
}

static void test_full(void **state)
{
	const struct preload_counters *c = begin(1000, 300);
	char name[32];
	unsigned int i;

	(void)state;
	for (i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "used%u", i);
		cache_put(cache, span_of(name), "x", 1, now_ms, 0);
	}
	assert_int_equal(run(), MINUTE);
	assert_int_equal(c->full, 1);
	assert_false(is_whole);
	assert_int_equal(known(), 300);
	assert_int_equal(cache_count(cache)->evictions, 0);
	assert_non_null(cache_find(cache, span_of("used0")));
	now_ms += MINUTE;
	assert_int_equal(run(), MINUTE); /* nor tried again in vain */
	assert_int_equal(c->full, 1);
	end();
}

/* Values that fit one by one but not together come in smaller steps. */
static void test_large(void **state)
{
	const struct preload_counters *c = begin(1000, 100000);

	(void)state;
	store.large = TEXT_MAX;
	store.room = 40 * TEXT_MAX;
	run();
	assert_int_equal(known(), 1000);
	assert_int_equal(c->skipped, 0);
	end();
}

/* Those that fit in no way are left out and counted, once. */
static void test_too_large(void **state)
{
	static const unsigned int large[] = {TEXT_MAX + 1, TEXT_MAX};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(large); i++) {
		const struct preload_counters *c = begin(1000, 100000);

		store.large = large[i];
		store.room = TEXT_MAX / 2;
		run();
		assert_int_equal(known(), 0);
		assert_int_equal(c->skipped, 1000);
		store.steps = 0;
		now_ms += MINUTE;
		run();
		assert_int_equal(store.steps, 1);
		end();
	}
}

static void test_newer_is_kept(void **state)
{
	struct cache_hit hit;

	(void)state;
	begin(10, 100);
	cache_put(cache, span_of("host3.example"), "new", 3, now_ms, 0);
	cache_raise_epoch(cache);
	cache_put(cache, span_of("host4.example"), "new", 3, now_ms, 1);
	assert_int_equal(preload_step(preload, now_ms), -1);
	answer(); /* the total */
	preload_step(preload, now_ms);
	cache_raise_epoch(cache); /* while the step is under way */
	cache_put(cache, span_of("host5.example"), "new", 3, now_ms, 2);
	answer();
	assert_int_equal(
		cache_get(cache, span_of("host5.example"), now_ms, &hit),
		CACHE_FRESH);
	assert_int_equal(hit.len, 3);
	assert_int_equal(
		cache_get(cache, span_of("host6.example"), now_ms, &hit),
		CACHE_STALE); /* asked before the change */
	end();
}

static void test_away(void **state)
{
	(void)state;
	begin(10, 100);
	store.is_away = true;
	assert_int_equal(run(), 200);
	store.is_away = false;
	now_ms += 200;
	run();
	assert_int_equal(known(), 10);
	end();
}

/* A few times soon, then as seldom as ever. */
static void test_broken_off(void **state)
{
	static const int64_t waits[] = {1000, 1000, MINUTE, MINUTE};
	const struct preload_counters *c = begin(10000, 100000);
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(waits); i++) {
		int64_t next_ms;
		struct scan *scan;

		preload_step(preload, now_ms);
		answer();
		preload_step(preload, now_ms);
		answer();
		preload_step(preload, now_ms);
		scan = store.open;
		store.open = NULL;
		scan->done(scan, STORE_FAILED, now_ms);
		next_ms = preload_step(preload, now_ms);
		assert_int_equal(next_ms - now_ms, waits[i]);
		assert_int_equal(c->failures, i + 1);
		now_ms = next_ms;
	}
	run();
	assert_int_equal(known(), 10000);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_of_it),
		cmocka_unit_test(test_again_only_for_more),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_newer_is_kept),
		cmocka_unit_test(test_away),
		cmocka_unit_test(test_broken_off),
	};

	return cmocka_run_group_tests_name("preload", tests, NULL, NULL);
}
