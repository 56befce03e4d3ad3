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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps),
	};

	return cmocka_run_group_tests_name("hold", tests, NULL, NULL);
}
