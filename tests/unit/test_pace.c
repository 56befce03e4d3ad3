/* SPDX-License-Identifier: MIT */
/* pace: the last minute, and rates in it. */
#include "../../spoa/pace.h"

#include "kit.h"

static void test_nothing_is_known_at_first(void **state)
{
	static const struct pace pace;

	(void)state;
	assert_null(pace_at(&pace, 0));
	assert_null(pace_at(&pace, 60));
}

static void test_a_minute_is_kept(void **state)
{
	static struct pace pace;
	size_t i;

	(void)state;
	for (i = 0; i < 3 * PACE_SAMPLES; i++) {
		const struct pace_sample sample = {.at_ms = (int64_t)i * 1000,
						   .answers = i * i};
		size_t oldest =
			i < PACE_SAMPLES ? 0 : i - (size_t)PACE_SAMPLES + 1;

		pace_note(&pace, &sample);
		assert_int_equal(pace_at(&pace, 0)->answers, i * i);
		assert_int_equal(pace_at(&pace, 60)->answers, oldest * oldest);
		assert_int_equal(pace_at(&pace, 1000)->answers,
				 oldest * oldest);
	}
}

static void test_rates(void **state)
{
	const struct pace_sample from = {.at_ms = 500, .answers = 100};
	const struct pace_sample to = {.at_ms = 2500, .answers = 103};

	(void)state;
	assert_true(pace_rate(&from, &to) == 1.5);
	assert_true(pace_rate(&from, &from) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_known_at_first),
		cmocka_unit_test(test_a_minute_is_kept),
		cmocka_unit_test(test_rates),
	};

	return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
