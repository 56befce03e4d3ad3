/* SPDX-License-Identifier: MIT */
/*
 * reserve: small pieces come when malloc has none, and the whole comes back.
 */
#include "kit.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <stdlib.h>

#include "../../spoa/reserve.h"

enum { PIECE = 1000, MANY = 1024 };

static void *starving(size_t size)
{
	kit_fail_allocation(1);
	return reserve_malloc(size);
}

static int tear_down(void **state)
{
	(void)state;
	kit_fail_allocation(0);
	return 0;
}

static void test_comes_when_there_is_no_other(void **state)
{
	char *first = starving(5), *second = starving(PIECE);
	char *other = reserve_malloc(5);

	(void)state;
	assert_non_null(first);
	assert_non_null(second);
	assert_int_equal((uintptr_t)first % _Alignof(max_align_t), 0);
	assert_int_equal((uintptr_t)second % _Alignof(max_align_t), 0);
	memset(second, 2, PIECE);
	memset(first, 1, 5);
	assert_int_equal(second[0], 2);
	reserve_free(first);
	reserve_free(second);
	reserve_free(other); /* ASan would tell a wrong owner */
	reserve_free(NULL);
}

static void test_grows(void **state)
{
	char *piece = starving(4), *moved;

	(void)state;
	memcpy(piece, "abcd", 4);
	kit_fail_allocation(1);
	moved = reserve_realloc(piece, 100);
	assert_non_null(moved);
	assert_memory_equal(moved, "abcd", 4);
	moved = reserve_realloc(moved, 10000); /* to malloc, which has some */
	assert_non_null(moved);
	assert_memory_equal(moved, "abcd", 4);
	kit_fail_allocation(1);
	assert_null(reserve_realloc(moved, 20000));
	kit_fail_allocation(0);
	reserve_free(moved);
	moved = reserve_realloc(NULL, 4);
	assert_non_null(moved);
	reserve_free(moved);
}

/* Taken whole, it is whole again when all is back, not before. */
static void test_is_bounded_and_comes_back(void **state)
{
	void *pieces[MANY];
	size_t round, i, taken = 0;

	(void)state;
	assert_null(starving(4096)); /* too large for it */
	for (round = 0; round < 3; round++) {
		for (i = 0; i < MANY && (pieces[i] = starving(PIECE)); i++)
			;
		assert_in_range(i, 200, 262);
		assert_true(round == 0 || i == taken);
		taken = i;
		reserve_free(pieces[--i]);
		assert_null(starving(PIECE));
		while (i > 0)
			reserve_free(pieces[--i]);
	}
}

static void test_is_lent_to_libevent(void **state)
{
	struct evbuffer *buffer;

	(void)state;
	reserve_lend();
	kit_fail_allocation(1);
	buffer = evbuffer_new();
	assert_true(kit_did_fail());
	assert_non_null(buffer);
	evbuffer_free(buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_comes_when_there_is_no_other,
					  tear_down),
		cmocka_unit_test_teardown(test_grows, tear_down),
		cmocka_unit_test_teardown(test_is_bounded_and_comes_back,
					  tear_down),

		cmocka_unit_test_teardown(test_is_lent_to_libevent, tear_down),
	};

	return cmocka_run_group_tests_name("reserve", tests, NULL, NULL);
}
