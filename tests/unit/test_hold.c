/* SPDX-License-Identifier: MIT */
/*
 * hold: when an empty hash is believed.
 */
#include "kit.h"

#include "../../spoa/hold.h"
#include "../../spoa/log.h"

enum { MANY = HOLD_ROUTES_MIN };

static void test_steps(void **state)
{
	/* At `ms`: a flush, or an answer to what was asked then. */
	static const struct {
		int64_t ms;
		int64_t size; /* -1: somebody publishes `*` */
		size_t known;
		bool is_believed;
		bool is_on;
	} steps[] = {
		{1, 0, 0, true, false},
		{2, 5, 5, true, false},
		{3, 0, MANY - 1, true, false},
		{4, 5, MANY, true, false},
		{5, 0, MANY, false, true},
		{6, 0, MANY, false, true},
		{7, 0, 0, false, true}, /* once on, it stays */
		{8, 1, MANY, true, false},
		{9, 0, MANY, false, true},
		{10, -1, MANY, true, false},
		{11, 0, MANY, true, false},
		{12, 0, MANY, true, false},
		{13, 1, MANY, true, false}, /* filled: the word is over */
		{14, 0, MANY, false, true},
		{15, 1, MANY, true, false},
		{20, -1, MANY, true, false},
		{19, 7, MANY, true, false}, /* asked before the word */
		{20, 7, MANY, true, false}, /* perhaps before it */
		{21, 0, MANY, true, false},
		{22, 7, MANY, true, false},
		{23, 0, MANY, false, true},
	};
	struct hold hold = {.key = "routes"};
	size_t i;

	(void)state;
	log_setup(LOG_ERROR, LOG_TEXT);
	for (i = 0; i < ARRAY_LEN(steps); i++) {
		bool is_believed = true;

		if (steps[i].size < 0)
			hold_flush(&hold, steps[i].ms);
		else
			is_believed = hold_judge(&hold, steps[i].size,
						 steps[i].known, steps[i].ms);
		if (is_believed != steps[i].is_believed ||
		    hold.is_on != steps[i].is_on)
			fail_msg("step %zu: %d %d", i, is_believed, hold.is_on);
	}
	assert_int_equal(hold.holds, 4);
}

/* Names of fields that go say that it is meant; a loss names nobody. */
static void test_named(void **state)
{
	/* At `ms`: `names` fields that were not named before, or an answer to
	 * what was asked then. */
	static const struct {
		int64_t ms;
		int names; /* 0: an answer */
		int64_t size;
		size_t known;
		bool is_on; /* afterwards */
	} steps[] = {
		{1000, 0, 12, 12, false},
		{1001, 12, 0, 0, false}, /* all of them, in one word */
		{1001, 0, 0, 12, false},
		{1100, 0, 30, 30, false}, /* filled again */
		{1110, 0, 0, 30, true},	  /* names of before do not count */
		{1200, 0, 30, 30, false},
		{1201, 5, 0, 0, false},
		{1202, 0, 0, 30, true}, /* a few names are not all */
		{1210, 16, 0, 0, true}, /* the rest come a little later */
		{1211, 0, 0, 30, false},
		{2000, 0, 3, 30, false},
		{2001, 3, 0, 0, false}, /* the last three, with more known */
		{2001, 0, 0, 30, false},
		{3000, 0, 12, 12, false},
		{3001, 12, 0, 0, false}, /* but nothing went */
		{3002, 0, 12, 12, false},
		{3003, 0, 0, 12, true}, /* and then it is lost */
		{4004, 12, 0, 0, true}, /* too late to explain it */
		{4005, 0, 0, 12, true},
		{5000, 0, 12, 12, false},
		{5001, 12, 0, 0, false},
		{6002, 0, 0, 12, true}, /* asked long after the names */
		{7000, 0, 2000, 2000, false},
		{7001, 1500, 0, 0, false}, /* more than are remembered */
		{7002, 0, 0, 2000, true},
	};
	static struct hold hold = {.key = "routes"};
	unsigned int number = 0;
	size_t i;
	int n;

	(void)state;
	log_setup(LOG_ERROR, LOG_TEXT);
	for (i = 0; i < ARRAY_LEN(steps); i++) {
		for (n = 0; n < steps[i].names; n++, number++)
			hold_name(
				&hold,
				(struct span){(char *)&number, sizeof(number)},
				steps[i].ms);
		if (!steps[i].names)
			(void)!hold_judge(&hold, steps[i].size, steps[i].known,
					  steps[i].ms);
		if (hold.is_on != steps[i].is_on)
			fail_msg("step %zu: %d", i, hold.is_on);
	}
}

/* The same name again and again is one. */
static void test_named_twice(void **state)
{
	static struct hold hold = {.key = "routes"};
	int i;

	(void)state;
	assert_true(hold_judge(&hold, 30, 30, 1));
	for (i = 0; i < 100; i++)
		hold_name(&hold, span_of("a.example"), 2);
	assert_false(hold_judge(&hold, 0, 30, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_named),
		cmocka_unit_test(test_named_twice),
	};

	return cmocka_run_group_tests_name("hold", tests, NULL, NULL);
}
