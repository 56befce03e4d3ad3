/* SPDX-License-Identifier: MIT */
/*
 * ctl_pairs: order and comparison.
 */
#include "kit.h"

#include "../../spoa/ctl_pairs.h"

#include <stdio.h>

static void add(struct ctl_pairs *pairs, const char *field, const char *value,
		unsigned int line)
{
	assert_true(ctl_pairs_add(pairs, span_of(field), span_of(value), line));
}

static void test_sort(void **state)
{
	struct ctl_pairs pairs = {.count = 0};

	(void)state;
	ctl_pairs_sort(&pairs);
	add(&pairs, "b", "2", 1);
	add(&pairs, "ab", "3", 2);
	add(&pairs, "a", "1", 3);
	add(&pairs, "", "0", 4);
	ctl_pairs_sort(&pairs);
	assert_true(span_is(pairs.list[0]->field, ""));
	assert_true(span_is(pairs.list[1]->field, "a"));
	assert_true(span_is(pairs.list[2]->field, "ab"));
	assert_true(span_is(pairs.list[3]->field, "b"));
	ctl_pairs_fini(&pairs);
}

static void test_unite(void **state)
{
	struct ctl_pairs pairs = {.count = 0};

	(void)state;
	add(&pairs, "a", "first", 1);
	add(&pairs, "b", "only", 2);
	add(&pairs, "a", "last", 7);
	add(&pairs, "a", "second", 3);
	ctl_pairs_sort(&pairs);
	assert_int_equal(ctl_pairs_unite(&pairs), 2);
	assert_int_equal(pairs.count, 2);
	assert_true(span_is(pairs.list[0]->value, "last"));
	assert_int_equal(pairs.list[0]->line, 7);
	assert_true(span_is(pairs.list[1]->value, "only"));
	ctl_pairs_fini(&pairs);
}

/* Draws a set of up to 40 fields of 50, and keeps it in `model` too. */
static void draw(struct ctl_pairs *pairs, int model[50])
{
	int i;

	memset(model, 0, 50 * sizeof(int));
	for (i = 0; i < 40; i++) {
		int field = (int)(kit_random() % 50);
		char name[8], value[8];

		if (model[field] || kit_random() % 3 == 0)
			continue;
		model[field] = 1 + (int)(kit_random() % 2);
		snprintf(name, sizeof(name), "%d", field);
		snprintf(value, sizeof(value), "%d", model[field]);
		add(pairs, name, value, 0);
	}
	ctl_pairs_sort(pairs);
}

/* Each field that differs is told once, with what was and what is. */
static void test_changes(void **state)
{
	int round;

	(void)state;
	for (round = 0; round < 2000; round++) {
		struct ctl_pairs before = {.count = 0}, after = {.count = 0};
		struct ctl_pairs_walk walk = {0};
		struct ctl_pairs_change change;
		int was[50], is[50];
		int i, expected = 0, told = 0;

		draw(&before, was);
		draw(&after, is);
		for (i = 0; i < 50; i++)
			expected += was[i] != is[i];
		while (ctl_pairs_next_change(&before, &after, &walk, &change)) {
			struct span field = change.field;
			int number = 0;
			size_t j;

			for (j = 0; j < field.len; j++)
				number = number * 10 + field.p[j] - '0';
			assert_int_equal(was[number] != 0, change.was != NULL);
			assert_int_equal(is[number] != 0, change.is != NULL);
			assert_int_not_equal(was[number], is[number]);
			told++;
		}
		assert_int_equal(told, expected);
		ctl_pairs_fini(&before);
		ctl_pairs_fini(&after);
	}
}

static void test_no_memory(void **state)
{
	unsigned int n = 0;

	(void)state;
	do {
		struct ctl_pairs pairs = {.count = 0};
		size_t i, added = 0;

		kit_fail_allocation(++n);
		for (i = 0; i < 100; i++)
			added += ctl_pairs_add(&pairs, span_of("a"),
					       span_of("b"), 0);
		assert_int_equal(added, kit_did_fail() ? 99 : 100);
		assert_int_equal(pairs.count, added);
		ctl_pairs_fini(&pairs);
	} while (kit_did_fail());
	kit_fail_allocation(0);
	assert_true(n > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sort),
		cmocka_unit_test(test_unite),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests_name("ctl_pairs", tests, NULL, NULL);
}
