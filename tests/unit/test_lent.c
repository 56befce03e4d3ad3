/* SPDX-License-Identifier: MIT */
/*
 * lent: what is noted, wished for, kept and forgotten, beside a naive model.
 */
#include "kit.h"

#include <stdio.h>
#include <stdlib.h>

#include "../../spoa/lent.h"

enum { EXPIRE = 5000, HOSTS = 50, ROUNDS = 20000 };

static struct lent *lent;

static int set_up(void **state)
{
	const struct hash_secret secret = {1, 2};

	(void)state;
	lent = lent_new(&secret);
	if (!lent)
		return -1;
	lent_set_bounds(lent, HOSTS, EXPIRE);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	lent_free(lent);
	return 0;
}

static enum lent_note note(const char *host, int64_t now_ms)
{
	return lent_note(lent, span_of(host), now_ms);
}

static struct lent_host *add(const char *host, uint8_t start, int64_t now_ms)
{
	return lent_add(lent, span_of(host), start, now_ms);
}

static void test_second_question_within_expire(void **state)
{
	(void)state;
	assert_int_equal(note("a", 1), LENT_RARE);
	assert_int_equal(note("b", 2), LENT_RARE);
	assert_int_equal(note("a", EXPIRE), LENT_WISHED);
	assert_int_equal(note("b", EXPIRE + 10), LENT_RARE);
	assert_int_equal(lent_wishes(lent), 1);
	assert_true(lent_next_wish(lent)->name[0] == 'a');
	assert_null(lent_next_wish(lent));
}

/* Be they asked for in turn, which is the worst order for what is kept of
 * them: no host is forgotten each time before it comes again. */
static void test_as_many_hosts_as_are_lent(void **state)
{
	enum { MANY = 100000, TURNS = 4 };
	static bool is_wished[MANY];
	char host[32];
	size_t count = 0;
	int turn, i;

	(void)state;
	for (turn = 0; turn < TURNS; turn++) {
		for (i = 0; i < MANY; i++) {
			snprintf(host, sizeof(host), "h%d.test", i);
			if (!is_wished[i] &&
			    note(host, 1 + turn * 100) == LENT_WISHED) {
				assert_non_null(lent_next_wish(lent));
				is_wished[i] = true;
				count++;
			}
		}
	}
	assert_int_equal(count, MANY);
}

/* Many questions at once are one wish. */
static void test_one_wish_at_a_time(void **state)
{
	(void)state;
	note("a", 1);
	assert_int_equal(note("a", 2), LENT_WISHED);
	assert_int_equal(note("a", 3), LENT_RARE);
	assert_int_equal(note("a", 40), LENT_RARE);
	assert_int_equal(note("a", 100), LENT_WISHED);
}

static void test_wishes_are_bounded(void **state)
{
	char host[32];
	size_t i;

	(void)state;
	for (i = 0; i < LENT_WISHES_MAX + 10; i++) {
		snprintf(host, sizeof(host), "h%zu", i);
		note(host, 1);
		assert_int_equal(note(host, 2), i < LENT_WISHES_MAX
							? LENT_WISHED
							: LENT_DROPPED);
	}
	for (i = 0; i < LENT_WISHES_MAX; i++)
		assert_non_null(lent_next_wish(lent));
	assert_null(lent_next_wish(lent));
}

static void test_held_until_it_expires(void **state)
{
	(void)state;
	add("a", 0, 1);
	assert_int_equal(note("a", 2), LENT_HELD);
	assert_int_equal(note("a", EXPIRE), LENT_HELD);
	/* One question renews it, since it was lent. */
	assert_int_equal(note("a", EXPIRE + 1), LENT_WISHED);
}

static void test_noting_allocates_nothing(void **state)
{
	uint64_t before;
	int i;

	(void)state;
	add("a", 0, 1);
	before = kit_allocations();
	for (i = 0; i < 1000; i++) {
		note("a", i);
		note("b", i);
	}
	assert_int_equal(kit_allocations(), before);
}

static void test_too_long_a_host(void **state)
{
	char host[256] = "";

	(void)state;
	memset(host, 'a', 254);
	note(host, 1);
	assert_int_equal(note(host, 2), LENT_RARE);
	host[253] = '\0';
	note(host, 1);
	assert_int_equal(note(host, 2), LENT_WISHED);
	assert_int_equal(lent_next_wish(lent)->len, 253);
	assert_non_null(add(host, 0, 3));
	assert_non_null(lent_find(lent, span_of(host)));
}

static void test_bound(void **state)
{
	char host[32];
	int i;

	(void)state;
	for (i = 0; i < HOSTS; i++) {
		snprintf(host, sizeof(host), "h%d", i);
		assert_non_null(add(host, 0, i));
	}
	assert_null(add("one.more", 0, HOSTS));
	assert_non_null(add("h3", 0, HOSTS)); /* anew needs no room */
	lent_forget_old(lent, EXPIRE + 1);
	assert_int_equal(lent_count(lent), HOSTS - 1);
	assert_null(lent_find(lent, span_of("h0")));
	assert_non_null(add("one.more", 0, HOSTS));
}

static size_t count_wild(void)
{
	struct lent_host *host;
	size_t count = 0;

	LIST_FOREACH(host, lent_by_wildcard(lent), by_wildcard)
		count++;
	return count;
}

static void test_by_wildcard(void **state)
{
	(void)state;
	add("x.a", 1, 1);
	add("y.a", 1, 1);
	add("z", 0, 1);
	assert_int_equal(count_wild(), 2);
	add("x.a", 0, 2); /* it has a field of its own now */
	assert_int_equal(count_wild(), 1);
	add("z", 1, 3);
	assert_int_equal(count_wild(), 2);
	lent_forget_all(lent);
	assert_int_equal(count_wild(), 0);
	assert_int_equal(lent_count(lent), 0);
}

static size_t run_round(uint32_t epoch)
{
	struct lent_host *host;
	size_t count = 0;
	bool is_over;

	lent_begin_round(lent);
	while ((host = lent_next_unread(lent, epoch, &is_over)) != NULL) {
		host->epoch = epoch;
		count++;
	}
	assert_true(is_over);
	return count;
}

static void test_round(void **state)
{
	struct lent_host *host;
	bool is_over;

	(void)state;
	add("a", 0, 1)->epoch = 7;
	add("b", 0, 1)->epoch = 6;
	add("c", 0, 1)->epoch = 6;
	assert_int_equal(run_round(7), 2);
	assert_int_equal(run_round(7), 0);
	/* What leaves or moves while a round is under way does not end it. */
	lent_begin_round(lent);
	host = lent_next_unread(lent, 8, &is_over);
	assert_true(span_is(lent_name(host), "a"));
	lent_remove(lent, lent_find(lent, span_of("b")));
	add("a", 0, 2);
	host = lent_next_unread(lent, 8, &is_over);
	assert_true(span_is(lent_name(host), "c"));
	host = lent_next_unread(lent, 8, &is_over);
	assert_true(span_is(lent_name(host), "a"));
	assert_null(lent_next_unread(lent, 8, &is_over));
	assert_true(is_over);
}

/* Any order of adding, removing and forgetting, beside a plain array. */
static void test_against_a_model(void **state)
{
	struct {
		int64_t lent_ms; /* -1: not lent */
		bool is_wild;
	} model[2 * HOSTS];
	int64_t now_ms = 1;
	size_t i, round;

	(void)state;
	for (i = 0; i < ARRAY_LEN(model); i++)
		model[i].lent_ms = -1;
	for (round = 0; round < ROUNDS; round++) {
		size_t n = (size_t)kit_random() % ARRAY_LEN(model);
		size_t count = 0, wild = 0;
		struct lent_host *host;
		char name[32];

		now_ms += (int64_t)(kit_random() % 200);
		snprintf(name, sizeof(name), "host%zu.test", n);
		host = lent_find(lent, span_of(name));
		assert_int_equal(host != NULL, model[n].lent_ms >= 0);
		switch (kit_random() % 4) {
		case 0:
			if (host)
				lent_remove(lent, host);
			model[n].lent_ms = -1;
			break;
		case 1:
			lent_forget_old(lent, now_ms);
			for (i = 0; i < ARRAY_LEN(model); i++)
				if (model[i].lent_ms + EXPIRE < now_ms)
					model[i].lent_ms = -1;
			break;
		default:
			model[n].is_wild = kit_random() % 2;
			if (add(name, model[n].is_wild ? 3 : 0, now_ms))
				model[n].lent_ms = now_ms;
			else
				assert_int_equal(lent_count(lent), HOSTS);
		}
		for (i = 0; i < ARRAY_LEN(model); i++) {
			count += model[i].lent_ms >= 0;
			wild += model[i].lent_ms >= 0 && model[i].is_wild;
		}
		assert_int_equal(lent_count(lent), count);
		assert_int_equal(count_wild(), wild);
	}
}

static void test_no_memory(void **state)
{
	const struct hash_secret secret = {1, 2};
	unsigned int n;

	(void)state;
	for (n = 1; n <= 4; n++) {
		kit_fail_allocation(n);
		assert_null(lent_new(&secret));
		assert_true(kit_did_fail());
	}
	kit_fail_allocation(1);
	assert_null(add("a", 0, 1));
	kit_fail_allocation(0);
	assert_null(lent_find(lent, span_of("a")));
	lent_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_second_question_within_expire),
		TEST(test_as_many_hosts_as_are_lent),
		TEST(test_one_wish_at_a_time),
		TEST(test_wishes_are_bounded),
		TEST(test_held_until_it_expires),
		TEST(test_noting_allocates_nothing),
		TEST(test_too_long_a_host),
		TEST(test_bound),
		TEST(test_by_wildcard),
		TEST(test_round),
		TEST(test_against_a_model),
		TEST(test_no_memory),
	};

	return cmocka_run_group_tests_name("lent", tests, NULL, NULL);
}
