/* SPDX-License-Identifier: MIT */
/*
 * cache: lives, bounds and what makes room, by hand and against a model that
 * knows what may be known.
 */
#include "kit.h"

#include "../../spoa/cache.h"

#include <stdio.h>
#include <stdlib.h>

enum { TTL = 10000, NEGATIVE = 1000, STALE = 60000, T0 = 1000000 };

static const struct hash_secret secret = {0x0123456789abcdefULL, 42};

static struct cache *make_cache(size_t values_max)
{
	const struct cache_options options = {.values_max = values_max,
					      .ttl_ms = TTL,
					      .negative_ms = NEGATIVE,
					      .stale_ms = STALE};
	struct cache *cache = cache_new(&options, &secret);

	assert_non_null(cache);
	return cache;
}

static void put(struct cache *cache, const char *field, const char *value,
		int64_t now_ms)
{
	cache_put(cache, span_of(field), value, value ? strlen(value) : 0,
		  now_ms, 0);
}

static enum cache_state get(struct cache *cache, const char *field,
			    int64_t now_ms, struct cache_hit *hit)
{
	size_t len = strlen(field);
	struct span span = {kit_guarded(field, len), len};

	return cache_get(cache, span, now_ms, hit);
}

static enum cache_state state_of(struct cache *cache, const char *field,
				 int64_t now_ms)
{
	struct cache_hit hit;

	return get(cache, field, now_ms, &hit);
}

static void assert_value(const struct cache_hit *hit, const char *value)
{
	if (!value) {
		assert_null(hit->value);
		return;
	}
	assert_non_null(hit->value);
	assert_int_equal(hit->len, strlen(value));
	assert_memory_equal(hit->value, value, hit->len);
	assert_int_equal((uintptr_t)hit->value % 2, 0);
}

/* The first millisecond from `from` on in which the field has left `state`. */
static int64_t end_of(struct cache *cache, const char *field,
		      enum cache_state state, int64_t from, int64_t to)
{
	while (from < to) {
		int64_t middle = from + (to - from) / 2;

		if (state_of(cache, field, middle) == state)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

/* Lives */

static void test_nothing_is_known_at_first(void **state)
{
	struct cache *cache = make_cache(10);

	(void)state;
	assert_int_equal(state_of(cache, "a", T0), CACHE_UNKNOWN);
	assert_int_equal(cache_count(cache)->values, 0);
	assert_int_equal(cache_count(cache)->absents, 0);
	cache_free(cache);
	cache_free(NULL);
}

/* Fresh, then due, then stale, then gone; each at its time. */
static void assert_life(const char *value, int64_t ttl)
{
	struct cache *cache = make_cache(10);
	struct cache_hit hit;
	int64_t end, due, gone;

	put(cache, "a.b", value, T0);
	end = end_of(cache, "a.b", CACHE_FRESH, T0, T0 + 2 * ttl);
	assert_in_range(end, T0 + ttl * 9 / 10, T0 + ttl);
	due = T0 + (end - T0) * 4 / 5;
	assert_int_equal(get(cache, "a.b", due - 2, &hit), CACHE_FRESH);
	assert_value(&hit, value);
	assert_false(hit.is_due);
	assert_int_equal(get(cache, "a.b", due + 2, &hit), CACHE_FRESH);
	assert_true(hit.is_due);
	assert_value(&hit, value);
	assert_int_equal(get(cache, "a.b", end, &hit), CACHE_STALE);
	assert_false(hit.is_due);
	assert_value(&hit, value);
	gone = end_of(cache, "a.b", CACHE_STALE, end, end + 2 * STALE);
	assert_int_equal(gone, end + STALE);
	assert_int_equal(state_of(cache, "a.b", gone), CACHE_UNKNOWN);
	assert_int_equal(state_of(cache, "a.b", INT64_MAX / 2), CACHE_UNKNOWN);
	cache_free(cache);
}

static void test_life_of_a_value(void **state)
{
	(void)state;
	assert_life("10.0.0.1:80", TTL);
}

static void test_life_of_an_absence(void **state)
{
	(void)state;
	assert_life(NULL, NEGATIVE);
}

/* What is found unchanged begins a life too, and its bytes stay as they are:
 * its owner may have changed some. */
static void test_renewed_bytes_stay(void **state)
{
	struct cache *cache = make_cache(10);
	struct cache_hit hit;
	char *value;

	(void)state;
	assert_null(cache_find(cache, span_of("a.b")));
	put(cache, "a.b", "one", T0);
	put(cache, "c.d", NULL, T0);
	assert_null(cache_find(cache, span_of("c.d")));
	value = cache_find(cache, span_of("a.b"));
	assert_non_null(value);
	value[0] = '0';
	assert_int_equal(get(cache, "a.b", T0, &hit), CACHE_FRESH);
	assert_ptr_equal(hit.value, value);
	assert_int_equal(state_of(cache, "a.b", T0 + TTL), CACHE_STALE);
	cache_renew(cache, span_of("a.b"), T0 + TTL, 0);
	assert_int_equal(get(cache, "a.b", T0 + TTL, &hit), CACHE_FRESH);
	assert_ptr_equal(hit.value, value);
	assert_value(&hit, "0ne");
	assert_int_equal(state_of(cache, "a.b", T0 + 2 * TTL), CACHE_STALE);
	cache_raise_epoch(cache);
	cache_renew(cache, span_of("a.b"), T0 + 2 * TTL, 0);
	assert_int_equal(state_of(cache, "a.b", T0 + 2 * TTL), CACHE_STALE);
	cache_renew(cache, span_of("a.b"), T0 + 2 * TTL, 1);
	assert_int_equal(state_of(cache, "a.b", T0 + 2 * TTL), CACHE_FRESH);
	/* However old it is, it can be found; what is unknown stays so. */
	cache_renew(cache, span_of("e.f"), T0, 1);
	assert_int_equal(state_of(cache, "e.f", T0), CACHE_UNKNOWN);
	assert_int_equal(state_of(cache, "a.b", T0 + 3 * TTL + STALE),
			 CACHE_UNKNOWN);
	assert_ptr_equal(cache_find(cache, span_of("a.b")), value);
	assert_int_equal(cache_count(cache)->changes, 2);
	cache_free(cache);
}

static char forgotten[200];

static void forget(void *context, struct span field, void *value)
{
	size_t at = strlen(forgotten);

	assert_ptr_equal(context, forgotten);
	snprintf(forgotten + at, sizeof(forgotten) - at, "%.*s=%.3s ",
		 (int)field.len, field.p, (char *)value);
}

/* Whoever keeps something in a value hears of its end, once. */
static void test_values_are_forgotten(void **state)
{
	struct cache *cache = make_cache(2);

	(void)state;
	forgotten[0] = '\0';
	cache_set_forget(cache, forget, forgotten);
	put(cache, "a", "one", T0);
	put(cache, "b", NULL, T0);
	put(cache, "b", "two", T0);
	assert_string_equal(forgotten, "");
	put(cache, "a", "ONE", T0);
	assert_string_equal(forgotten, "a=one ");
	put(cache, "a", "longer", T0);
	assert_string_equal(forgotten, "a=one a=ONE ");
	put(cache, "a", NULL, T0);
	assert_string_equal(forgotten, "a=one a=ONE a=lon ");
	cache_renew(cache, span_of("b"), T0, 0);
	put(cache, "c", "333", T0);
	put(cache, "d", "444", T0);
	assert_string_equal(forgotten, "a=one a=ONE a=lon b=two ");
	cache_free(cache);
	assert_string_equal(forgotten, "a=one a=ONE a=lon b=two ");
}

/* A life begins when the store was asked, and again with each put. */
static void test_a_put_begins_a_life(void **state)
{
	struct cache *cache = make_cache(10);
	struct cache_hit hit;

	(void)state;
	put(cache, "a", "one", T0);
	assert_int_equal(state_of(cache, "a", T0 + TTL), CACHE_STALE);
	put(cache, "a", "two", T0 + TTL);
	assert_int_equal(get(cache, "a", T0 + TTL, &hit), CACHE_FRESH);
	assert_value(&hit, "two");
	assert_false(hit.is_due);
	put(cache, "a", "longer", T0 + TTL + 1);
	assert_int_equal(get(cache, "a", T0 + 2 * TTL + 1, &hit), CACHE_STALE);
	assert_value(&hit, "longer");
	put(cache, "a", NULL, T0 + 3 * TTL);
	assert_int_equal(get(cache, "a", T0 + 3 * TTL, &hit), CACHE_FRESH);
	assert_value(&hit, NULL);
	put(cache, "a", "back", T0 + 3 * TTL);
	assert_int_equal(get(cache, "a", T0 + 3 * TTL, &hit), CACHE_FRESH);
	assert_value(&hit, "back");
	assert_int_equal(cache_count(cache)->values, 1);
	assert_int_equal(cache_count(cache)->absents, 0);
	assert_int_equal(cache_count(cache)->evictions, 0);
	cache_free(cache);
}

/* Lives are cut by up to a tenth, each by its own part. */
static void test_jitter(void **state)
{
	struct cache *cache = make_cache(1000);
	int tenths[10] = {0};
	int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		char field[16];
		int64_t end;

		snprintf(field, sizeof(field), "h%d", i);
		put(cache, field, "v", T0);
		end = end_of(cache, field, CACHE_FRESH, T0, T0 + 2 * TTL);
		assert_in_range(end, T0 + TTL * 9 / 10, T0 + TTL);
		tenths[(T0 + TTL - end) * 10 / (TTL / 10 + 1)]++;
	}
	for (i = 0; i < 10; i++)
		assert_in_range(tenths[i], 50, 150);
	cache_free(cache);
}

static void test_lives_of_nothing(void **state)
{
	static const struct {
		int64_t ttl, negative, stale;
		int value, absent; /* what a put gives at once */
	} rows[] = {
		{0, 1000, 5000, CACHE_STALE, CACHE_FRESH},
		{1000, 0, 5000, CACHE_FRESH, CACHE_STALE},
		{0, 0, 0, CACHE_UNKNOWN, CACHE_UNKNOWN},
		{1000, 1000, 0, CACHE_FRESH, CACHE_FRESH},
		{1, 1, 0, CACHE_FRESH, CACHE_FRESH},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		const struct cache_options options = {
			4, rows[i].ttl, rows[i].negative, rows[i].stale};
		struct cache *cache = cache_new(&options, &secret);

		put(cache, "v", "x", T0);
		put(cache, "n", NULL, T0);
		assert_int_equal(state_of(cache, "v", T0), rows[i].value);
		assert_int_equal(state_of(cache, "n", T0), rows[i].absent);
		assert_int_equal(state_of(cache, "v", T0 + rows[i].ttl),
				 rows[i].stale ? CACHE_STALE : CACHE_UNKNOWN);
		assert_int_equal(
			state_of(cache, "v", T0 + rows[i].ttl + rows[i].stale),
			CACHE_UNKNOWN);
		cache_free(cache);
	}
}

/* Lives of weeks, and a staleness of years. */
static void test_long_lives(void **state)
{
	const int64_t day = 86400LL * 1000;
	const struct cache_options options = {4, 40 * day, 40 * day,
					      3650 * day};
	struct cache *cache = cache_new(&options, &secret);

	(void)state;
	put(cache, "v", "x", 0);
	assert_int_equal(state_of(cache, "v", 0), CACHE_FRESH);
	assert_int_equal(state_of(cache, "v", 36 * day - 1), CACHE_FRESH);
	assert_int_equal(state_of(cache, "v", 40 * day), CACHE_STALE);
	assert_int_equal(state_of(cache, "v", 3686 * day - 1), CACHE_STALE);
	assert_int_equal(state_of(cache, "v", 3690 * day), CACHE_UNKNOWN);
	cache_free(cache);
}

static void test_looking(void **state)
{
	struct cache *cache = make_cache(10);
	struct cache_look look;
	struct cache_hit hit;

	(void)state;
	assert_false(cache_look_at(cache, span_of("a"), 0, &look));
	put(cache, "a", "value", 1000);
	put(cache, "b", NULL, 1000);
	assert_int_equal(get(cache, "a", 1500, &hit), CACHE_FRESH);
	assert_true(cache_look_at(cache, span_of("a"), 2000, &look));
	assert_true(span_is(look.field, "a"));
	assert_memory_equal(look.value, "value", 5);
	assert_int_equal(look.state, CACHE_FRESH);
	assert_int_equal(look.age_ms, 1000);
	assert_int_equal(look.uses, 1);
	assert_int_equal(look.left_ms,
			 end_of(cache, "a", CACHE_FRESH, 2000, 1000 + TTL) -
				 2000);
	assert_true(cache_look_at(cache, span_of("b"), 1001, &look));
	assert_null(look.value);
	assert_true(cache_look_at(cache, span_of("a"), 1000 + TTL + 50, &look));
	assert_int_equal(look.state, CACHE_STALE);
	assert_true(look.left_ms <= -50);
	cache_free(cache);
}

/* Another value of the same route is not another life. */
static void test_replaced(void **state)
{
	static const char *const values[] = {"other", "longer than it was"};
	struct cache *cache = make_cache(10);
	struct cache_look look;
	struct cache_hit hit;
	size_t i;

	(void)state;
	cache_replace(cache, span_of("a"), "value", 5);
	assert_false(cache_look_at(cache, span_of("a"), 0, &look));
	put(cache, "a", "value", 1000);
	assert_int_equal(get(cache, "a", 1500, &hit), CACHE_FRESH);
	for (i = 0; i < ARRAY_LEN(values); i++) {
		cache_replace(cache, span_of("a"), values[i],
			      strlen(values[i]));
		assert_true(cache_look_at(cache, span_of("a"), 2000, &look));
		assert_memory_equal(look.value, values[i], strlen(values[i]));
		assert_int_equal(look.age_ms, 1000);
		assert_int_equal(look.uses, 1);
	}
	cache_free(cache);
}

static void test_shortened_lives(void **state)
{
	static const bool pushed[] = {false, true};
	struct cache_hit hit;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(pushed); i++) {
		struct cache *cache = make_cache(10);

		cache_set_push(cache, pushed[i], 0);
		assert_false(cache_shorten(cache, span_of("a"), 10, 0));
		put(cache, "a", "x", 0);
		assert_true(cache_shorten(cache, span_of("a"), 1000, 5));
		assert_true(cache_shorten(cache, span_of("a"), 1000000000, 5));
		assert_int_equal(get(cache, "a", 1004, &hit), CACHE_FRESH);
		assert_int_equal(get(cache, "a", 1005, &hit), CACHE_STALE);
		put(cache, "a", "x", 2000);
		assert_int_equal(get(cache, "a", 3100, &hit), CACHE_FRESH);
		cache_free(cache);
	}
}

/* A clock that jumps back makes no entry live longer than its life from
 * there. */
static void test_clock_goes_back(void **state)
{
	struct cache *cache = make_cache(10);

	(void)state;
	put(cache, "a", "v", T0);
	assert_int_equal(state_of(cache, "a", T0 - 500000), CACHE_FRESH);
	assert_int_equal(state_of(cache, "a", T0 - 500000 + TTL), CACHE_STALE);
	assert_int_equal(state_of(cache, "a", T0 - 500000 + TTL + STALE),
			 CACHE_UNKNOWN);
	put(cache, "b", NULL, T0);
	assert_int_equal(state_of(cache, "b", 0), CACHE_FRESH);
	assert_int_equal(state_of(cache, "b", NEGATIVE), CACHE_STALE);
	cache_free(cache);
}

/* Keys and values of any bytes and lengths */

static void test_lengths(void **state)
{
	static char value[UINT16_MAX];
	static const size_t lengths[] = {0, 1, 2, 3, 12, 255, 256, UINT16_MAX};
	struct cache *cache = make_cache(100);
	struct cache_hit hit;
	char field[256];
	size_t i;

	(void)state;
	memset(field, 'f', sizeof(field));
	memset(value, 'v', sizeof(value));
	for (i = 0; i < ARRAY_LEN(lengths); i++) {
		struct span name = {field, CACHE_FIELD_MAX - i};

		cache_put(cache, name, value, lengths[i], T0, 0);
		assert_int_equal(cache_get(cache, name, T0, &hit), CACHE_FRESH);
		assert_non_null(hit.value);
		assert_int_equal(hit.len, lengths[i]);
		assert_memory_equal(hit.value, value, lengths[i]);
		assert_int_equal((uintptr_t)hit.value % 4, 0);
	}
	/* an absence has no length */
	cache_put(cache, span_of("none"), NULL, 7, T0, 0);
	assert_int_equal(get(cache, "none", T0, &hit), CACHE_FRESH);
	assert_null(hit.value);
	assert_int_equal(hit.len, 0);
	cache_put(cache, (struct span){field, CACHE_FIELD_MAX + 1}, "x", 1, T0,
		  0);
	assert_int_equal(cache_count(cache)->values, ARRAY_LEN(lengths));
	cache_free(cache);
}

/* A field is all of its bytes. */
static void test_fields_are_whole(void **state)
{
	static const struct span fields[] = {
		{"a", 1}, {"a\0", 2}, {"a\0b", 3}, {"ab", 2},  {"b", 1},
		{"*", 1}, {"*.a", 3}, {"A", 1},	   {"\xff", 1}};
	struct cache *cache = make_cache(100);
	struct cache_hit hit;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(fields); i++)
		cache_put(cache, fields[i], &i, sizeof(i), T0, 0);
	for (i = 0; i < ARRAY_LEN(fields); i++) {
		assert_int_equal(cache_get(cache, fields[i], T0, &hit),
				 CACHE_FRESH);
		assert_memory_equal(hit.value, &i, sizeof(i));
	}
	assert_int_equal(state_of(cache, "a.", T0), CACHE_UNKNOWN);
	cache_free(cache);
}

/* Bounds */

static const char *name_of(char *room, char kind, size_t i)
{
	snprintf(room, 32, "%c%zu.example", kind, i);
	return room;
}

static void put_many(struct cache *cache, char kind, size_t count,
		     const char *value)
{
	char room[32];
	size_t i;

	for (i = 0; i < count; i++)
		put(cache, name_of(room, kind, i), value, T0);
}

static size_t count_known(struct cache *cache, char kind, size_t count)
{
	char room[32];
	size_t i, known = 0;

	for (i = 0; i < count; i++)
		known += state_of(cache, name_of(room, kind, i), T0) !=
			 CACHE_UNKNOWN;
	return known;
}

static void tick(void *context, const struct cache_look *look)
{
	uint8_t *seen = context;
	char name[CACHE_FIELD_MAX + 1] = "";

	memcpy(name, look->field.p, look->field.len);
	seen[atoi(name + 1)]++;
}

/* Nothing that was there throughout is missed, though the table grows. */
static void test_scan_misses_nothing(void **state)
{
	enum { BEFORE = 500, AFTER = 3000 };
	struct cache *cache = make_cache(AFTER);
	uint8_t seen[AFTER] = {0};
	char room[32];
	size_t i, bucket = 0;

	(void)state;
	for (i = 0; i < BEFORE; i++)
		put(cache, name_of(room, 'v', i), "x", 0);
	while (cache_scan(cache, bucket, 0, tick, seen)) {
		bucket++;
		if (i < AFTER)
			put(cache, name_of(room, 'v', i++), "x", 0);
	}
	for (i = 0; i < BEFORE; i++)
		assert_true(seen[i] >= 1);
	cache_free(cache);
}

static void test_as_many_as_the_bound(void **state)
{
	static const size_t bounds[] = {1,  2,	3,  15,	  16,
					17, 63, 64, 1000, 1600};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bounds); i++) {
		struct cache *cache = make_cache(bounds[i]);

		put_many(cache, 'v', bounds[i], "x");
		assert_int_equal(cache_count(cache)->evictions, 0);
		assert_int_equal(count_known(cache, 'v', bounds[i]), bounds[i]);
		put_many(cache, 'w', 2000, "x");
		assert_int_equal(cache_count(cache)->values, bounds[i]);
		assert_int_equal(cache_count(cache)->evictions, 2000);
		assert_int_equal(count_known(cache, 'v', bounds[i]) +
					 count_known(cache, 'w', 2000),
				 bounds[i]);
		cache_free(cache);
	}
}

/* A sixteenth of the values, on top; never less than one host may need. */
/* What a reload may do. */
static void test_other_bound_and_lives(void **state)
{
	struct cache_options options = {
		.ttl_ms = 2 * TTL, .negative_ms = NEGATIVE, .stale_ms = STALE};
	struct cache *cache = make_cache(2000);

	(void)state;
	put_many(cache, 'v', 2000, "x");
	options.values_max = 100;
	assert_true(cache_set_options(cache, &options));
	put(cache, "new", "x", T0);
	while (cache_trim(cache))
		assert_true(cache_count(cache)->values > 100);
	assert_int_equal(cache_count(cache)->values, 100);
	put_many(cache, 'w', 2000, "x");
	assert_int_equal(cache_count(cache)->values, 100);
	/* A table of other size holds what the old one did. */
	options.values_max = 50000;
	assert_true(cache_set_options(cache, &options));
	assert_int_equal(count_known(cache, 'w', 2000), 100);
	put_many(cache, 'x', 49900, "x");
	assert_int_equal(cache_count(cache)->values, 50000);
	assert_int_equal(count_known(cache, 'x', 49900), 49900);
	assert_false(cache_trim(cache));
	put(cache, "new", "x", T0);
	assert_int_equal(state_of(cache, "new", T0 + TTL), CACHE_FRESH);
	options.ttl_ms = 1;
	assert_true(cache_set_options(cache, &options));
	assert_int_equal(state_of(cache, "new", T0 + TTL), CACHE_STALE);
	options.values_max = 1000000;
	options.stale_ms = 0;
	kit_fail_allocation(1);
	assert_false(cache_set_options(cache, &options));
	kit_fail_allocation(0);
	assert_int_equal(state_of(cache, "new", T0 + TTL), CACHE_UNKNOWN);
	put_many(cache, 'y', 60000, "x");
	assert_int_equal(cache_count(cache)->values, 50000);
	cache_free(cache);
}

static void test_bound_of_absences(void **state)
{
	static const struct {
		size_t values_max, absents_max;
	} rows[] = {{1600, 100}, {32000, 2000}, {256, 16}, {1, 16}};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct cache *cache = make_cache(rows[i].values_max);

		put_many(cache, 'a', 5000, NULL);
		assert_int_equal(cache_count(cache)->absents,
				 rows[i].absents_max);
		assert_int_equal(cache_count(cache)->values, 0);
		assert_int_equal(count_known(cache, 'a', 5000),
				 rows[i].absents_max);
		cache_free(cache);
	}
}

static void test_kinds_do_not_push_each_other(void **state)
{
	struct cache *cache = make_cache(160);

	(void)state;
	put_many(cache, 'v', 160, "x");
	put_many(cache, 'a', 10000, NULL);
	assert_int_equal(count_known(cache, 'v', 160), 160);
	assert_int_equal(cache_count(cache)->absents, 16);
	put_many(cache, 'w', 10000, "x");
	assert_int_equal(cache_count(cache)->absents, 16);
	assert_int_equal(count_known(cache, 'a', 10000), 16);
	cache_free(cache);
}

/* Hosts in use outlive a flood of hosts that are asked for once. */
static void test_used_entries_survive_a_flood(void **state)
{
	struct cache *cache = make_cache(100);
	char room[32];
	size_t i;

	(void)state;
	put_many(cache, 'u', 50, "used");
	for (i = 0; i < 10000; i++) {
		if (i % 20 == 0)
			assert_int_equal(count_known(cache, 'u', 50), 50);
		put(cache, name_of(room, 'f', i), "flood", T0);
	}
	assert_int_equal(count_known(cache, 'u', 50), 50);
	assert_int_equal(cache_count(cache)->values, 100);
	cache_free(cache);
}

/* Having been used once is not for ever: of entries that all were, those that
 * are used again stay. */
static void test_use_wears_off(void **state)
{
	struct cache *cache = make_cache(40);
	char room[32];
	size_t i;

	(void)state;
	put_many(cache, 'a', 20, "once");
	put_many(cache, 'b', 20, "again");
	assert_int_equal(count_known(cache, 'a', 20), 20);
	for (i = 0; i < 1000; i++) {
		assert_int_equal(count_known(cache, 'b', 20), 20);
		put(cache, name_of(room, 'f', i), "flood", T0);
	}
	assert_int_equal(count_known(cache, 'a', 20), 0);
	cache_free(cache);
}

/* Without use the oldest goes. */
static void test_unused_entries_go_by_age(void **state)
{
	struct cache *cache = make_cache(10);

	(void)state;
	put_many(cache, 'a', 10, "x");
	put_many(cache, 'b', 4, "x");
	assert_int_equal(count_known(cache, 'a', 4), 0);
	assert_int_equal(count_known(cache, 'a', 10), 6);
	assert_int_equal(count_known(cache, 'b', 4), 4);
	cache_free(cache);
}

/* All in use: one of them goes, and no put takes for ever. */
static void test_all_used(void **state)
{
	struct cache *cache = make_cache(1000);

	(void)state;
	put_many(cache, 'a', 1000, "x");
	assert_int_equal(count_known(cache, 'a', 1000), 1000);
	put_many(cache, 'b', 1, "x");
	assert_int_equal(cache_count(cache)->values, 1000);
	assert_int_equal(count_known(cache, 'a', 1000), 999);
	assert_int_equal(count_known(cache, 'b', 1), 1);
	cache_free(cache);
}

static void test_many_entries(void **state)
{
	enum { COUNT = 20000 };
	struct cache *cache = make_cache(COUNT);
	char room[32];
	int i;

	(void)state;
	for (i = 0; i < COUNT; i++)
		cache_put(cache, span_of(name_of(room, 'm', (size_t)i)), &i,
			  sizeof(i), T0, 0);
	for (i = 0; i < COUNT; i++) {
		struct cache_hit hit;

		assert_int_equal(
			get(cache, name_of(room, 'm', (size_t)i), T0, &hit),
			CACHE_FRESH);
		assert_memory_equal(hit.value, &i, sizeof(i));
	}
	assert_int_equal(count_known(cache, 'n', 1000), 0);
	cache_free(cache);
}

/* What is foreseen may be there or not, alone in its bucket or not. */
static void test_foreseen_is_found(void **state)
{
	enum { COUNT = 200 };
	struct cache *cache = make_cache(COUNT);
	uint32_t hashes[2 * COUNT];
	struct cache_hit hit;
	char room[32];
	size_t i;

	(void)state;
	for (i = 0; i < 2 * COUNT; i++) {
		const char *name = name_of(room, 'f', i);

		hashes[i] = cache_hash(cache, span_of(name));
		if (i < COUNT)
			put(cache, name, "x", T0);
	}
	cache_foresee(cache, hashes, 2 * COUNT);
	for (i = 0; i < 2 * COUNT; i++)
		assert_int_equal(
			cache_get_hashed(cache, hashes[i],
					 span_of(name_of(room, 'f', i)), T0,
					 &hit),
			i < COUNT ? CACHE_FRESH : CACHE_UNKNOWN);
	cache_free(cache);
}

/* Memory */

/* What shares all bits of the hash is still another field. */
static void test_fields_of_one_hash_differ(void **state)
{
	const char *text = "shop-12.eu-west.cloud.com";
	struct cache *cache = make_cache(100);
	char *field = kit_guarded(text, strlen(text));
	struct cache_hit hit;
	size_t len, i;

	(void)state;
	for (len = 1; len <= strlen(text); len++) {
		struct span span = {field + strlen(text) - len, len};
		uint32_t hash = cache_hash(cache, span);

		cache_put(cache, span, "v", 1, T0, 0);
		assert_int_equal(cache_get_hashed(cache, hash, span, T0, &hit),
				 CACHE_FRESH);
		for (i = strlen(text) - len; i < strlen(text); i++) {
			field[i] ^= 1;
			assert_int_equal(
				cache_get_hashed(cache, hash, span, T0, &hit),
				CACHE_UNKNOWN);
			field[i] ^= 1;
		}
		span.len--;
		assert_int_equal(cache_get_hashed(cache, hash, span, T0, &hit),
				 CACHE_UNKNOWN);
	}
	cache_free(cache);
}

static void test_no_cache_without_memory(void **state)
{
	const struct cache_options options = {100, TTL, NEGATIVE, STALE};
	unsigned int n;

	(void)state;
	for (n = 1;; n++) {
		struct cache *cache;

		kit_fail_allocation(n);
		cache = cache_new(&options, &secret);
		if (!kit_did_fail()) {
			kit_fail_allocation(0);
			cache_free(cache);
			break;
		}
		assert_null(cache);
	}
	assert_true(n > 1);
}

/* Without memory for it a field becomes unknown, and nothing else is lost. */
static void assert_put_fails(const char *before, const char *value)
{
	struct cache *cache = make_cache(100);
	struct cache_hit hit;

	put(cache, "other", "stays", T0);
	if (before)
		put(cache, "a", before, T0);
	kit_fail_allocation(1);
	put(cache, "a", value, T0);
	assert_true(kit_did_fail());
	assert_int_equal(state_of(cache, "a", T0), CACHE_UNKNOWN);
	assert_int_equal(get(cache, "other", T0, &hit), CACHE_FRESH);
	assert_value(&hit, "stays");
	assert_int_equal(cache_count(cache)->failures, 1);
	assert_int_equal(cache_count(cache)->values, 1);
	assert_int_equal(cache_count(cache)->absents, 0);
	put(cache, "a", value, T0);
	assert_int_equal(get(cache, "a", T0, &hit), CACHE_FRESH);
	assert_value(&hit, value);
	cache_free(cache);
}

static void test_puts_without_memory(void **state)
{
	(void)state;
	assert_put_fails(NULL, "new");
	assert_put_fails(NULL, NULL);
	assert_put_fails("before", "of another length");
	assert_put_fails("before", NULL);
}

/* A fresh value that is put again, as a refresh does, costs no allocation,
 * nor does a get. */
static void test_refresh_allocates_nothing(void **state)
{
	struct cache *cache = make_cache(100);
	uint64_t before;
	int64_t i;

	(void)state;
	put(cache, "a", "10.0.0.1:80", T0);
	put(cache, "b", NULL, T0);
	before = kit_allocations();
	for (i = 0; i < 1000; i++) {
		put(cache, "a", "10.0.0.2:80", T0 + i);
		put(cache, "b", NULL, T0 + i);
		assert_int_equal(state_of(cache, "a", T0 + i), CACHE_FRESH);
		assert_int_equal(state_of(cache, "b", T0 + i), CACHE_FRESH);
		assert_int_equal(state_of(cache, "c", T0 + i), CACHE_UNKNOWN);
	}
	assert_int_equal(kit_allocations(), before);
	cache_free(cache);
}

/* Property: against a model */

enum { FIELDS = 48, VALUES_MAX = 8, ABSENTS_MAX = 16 };

/* What was put last of one field, and what that allows to be known. */
struct known {
	bool was_put;
	bool is_absent;
	char value[16];
	int64_t fresh_min_ms; /* fresh before this */
	int64_t fresh_max_ms; /* and never from this on */
	uint64_t evictions;   /* counted when it was put */
};

static struct known model[FIELDS];

static void model_put(struct cache *cache, size_t i, int64_t now)
{
	struct known *known = &model[i];
	char field[32];
	int64_t ttl;

	known->was_put = true;
	known->is_absent = kit_random() % 3 == 0;
	ttl = known->is_absent ? NEGATIVE : TTL;
	snprintf(known->value, sizeof(known->value), "%d",
		 (int)(kit_random() >> (40 + kit_random() % 24)));
	known->fresh_min_ms = now + ttl * 9 / 10;
	known->fresh_max_ms = now + ttl;
	put(cache, name_of(field, 'f', i),
	    known->is_absent ? NULL : known->value, now);
	known->evictions = cache_count(cache)->evictions;
}

/* After a look back in time no life is longer than from there. */
static void model_look(struct known *known, int64_t now)
{
	int64_t ttl = known->is_absent ? NEGATIVE : TTL;

	if (known->fresh_min_ms > now + ttl * 9 / 10)
		known->fresh_min_ms = now + ttl * 9 / 10;
	if (known->fresh_max_ms > now + ttl)
		known->fresh_max_ms = now + ttl;
}

static void model_get(struct cache *cache, size_t i, int64_t now)
{
	struct known *known = &model[i];
	struct cache_hit hit = {.len = 77};
	enum cache_state state;
	char field[32];

	state = get(cache, name_of(field, 'f', i), now, &hit);
	if (!known->was_put) {
		assert_int_equal(state, CACHE_UNKNOWN);
		return;
	}
	if (state == CACHE_UNKNOWN) {
		/* long gone, or something made room since */
		assert_true(now >= known->fresh_min_ms + STALE ||
			    cache_count(cache)->evictions > known->evictions);
		return;
	}
	model_look(known, now);
	assert_value(&hit, known->is_absent ? NULL : known->value);
	assert_true(state == CACHE_STALE || now < known->fresh_max_ms);
	assert_true(state == CACHE_FRESH || now >= known->fresh_min_ms);
	assert_true(now < known->fresh_max_ms + STALE);
	assert_true(state == CACHE_FRESH || !hit.is_due);
}

static void assert_counts(const struct cache *cache)
{
	const struct cache_counters *count = cache_count(cache);

	assert_in_range(count->values, 0, VALUES_MAX);
	assert_in_range(count->absents, 0, ABSENTS_MAX);
	assert_int_equal(count->failures, 0);
}

static int64_t next_time(int64_t now)
{
	switch (kit_random() % 40) {
	case 0:
		return now - (int64_t)(kit_random() % 30000);
	case 1:
		return now + (int64_t)(kit_random() % 200000);
	default:
		return now + (int64_t)(kit_random() % 300);
	}
}

static void test_against_a_model(void **state)
{
	int round, i;

	(void)state;
	for (round = 0; round < 40; round++) {
		struct cache *cache = make_cache(VALUES_MAX);
		/* few fields make few evictions: both are tried */
		size_t fields = 4 + (size_t)kit_random() % (FIELDS - 4);
		int64_t now = T0;

		memset(model, 0, sizeof(model));
		for (i = 0; i < 5000; i++) {
			size_t field = (size_t)kit_random() % fields;

			now = next_time(now);
			if (kit_random() % 4 == 0)
				model_put(cache, field, now);
			else
				model_get(cache, field, now);
			assert_counts(cache);
		}
		cache_free(cache);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_known_at_first),
		cmocka_unit_test(test_life_of_a_value),
		cmocka_unit_test(test_life_of_an_absence),
		cmocka_unit_test(test_renewed_bytes_stay),
		cmocka_unit_test(test_values_are_forgotten),
		cmocka_unit_test(test_a_put_begins_a_life),
		cmocka_unit_test(test_jitter),
		cmocka_unit_test(test_lives_of_nothing),
		cmocka_unit_test(test_long_lives),
		cmocka_unit_test(test_looking),
		cmocka_unit_test(test_scan_misses_nothing),
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_shortened_lives),
		cmocka_unit_test(test_clock_goes_back),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_fields_are_whole),
		cmocka_unit_test(test_as_many_as_the_bound),
		cmocka_unit_test(test_other_bound_and_lives),
		cmocka_unit_test(test_bound_of_absences),
		cmocka_unit_test(test_kinds_do_not_push_each_other),
		cmocka_unit_test(test_used_entries_survive_a_flood),
		cmocka_unit_test(test_use_wears_off),
		cmocka_unit_test(test_unused_entries_go_by_age),
		cmocka_unit_test(test_all_used),
		cmocka_unit_test(test_many_entries),
		cmocka_unit_test(test_foreseen_is_found),
		cmocka_unit_test(test_fields_of_one_hash_differ),
		cmocka_unit_test(test_no_cache_without_memory),
		cmocka_unit_test(test_puts_without_memory),
		cmocka_unit_test(test_refresh_allocates_nothing),
		cmocka_unit_test(test_against_a_model),
	};

	return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
