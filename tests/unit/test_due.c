/* SPDX-License-Identifier: MIT */
/*
 * due: the first by time, against a naive model.
 */
#include "kit.h"

#include "../../spoa/due.h"

enum { NUMBERS = 50, NEVER = -1 };

static int64_t earliest(const int64_t *model)
{
	int64_t found = INT64_MAX;
	int i;

	for (i = 0; i < NUMBERS; i++)
		if (model[i] != NEVER && model[i] < found)
			found = model[i];
	return found;
}

static void test_like_the_model(void **state)
{
	int64_t model[NUMBERS];
	struct due due;
	uint32_t number;
	int step, i;

	(void)state;
	for (i = 0; i < NUMBERS; i++)
		model[i] = NEVER;
	assert_true(due_init(&due, NUMBERS - 1));
	for (step = 0; step < 20000; step++) {
		i = (int)(kit_random() % NUMBERS);
		if (kit_random() % 3 == 0) {
			model[i] = NEVER;
			due_drop(&due, (uint32_t)i);
		} else {
			model[i] = (int64_t)(kit_random() % 100);
			due_set(&due, (uint32_t)i, model[i]);
		}
		assert_int_equal(due_has(&due, (uint32_t)i), model[i] != NEVER);
		if (!due_first(&due, &number)) {
			assert_int_equal(earliest(model), INT64_MAX);
			continue;
		}
		assert_int_equal(due_at(&due, number), model[number]);
		assert_int_equal(model[number], earliest(model));
	}
	due_fini(&due);
}

static void test_no_memory(void **state)
{
	struct due due;
	unsigned int n;

	(void)state;
	for (n = 1; n <= 2; n++) {
		kit_fail_allocation(n);
		assert_false(due_init(&due, 10));
		assert_true(kit_did_fail());
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_like_the_model),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests_name("due", tests, NULL, NULL);
}
