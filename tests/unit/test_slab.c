/* SPDX-License-Identifier: MIT */
/*
 * slab: pieces that do not overlap, memory that serves again and goes back.
 */
#include "../../spoa/slab.h"

#include <stdio.h>
#include <stdlib.h>

#include "../../spoa/pages.h"
#include "kit.h"

enum { PIECES = 200000 };

#ifdef __SANITIZE_ADDRESS__
enum { IS_MALLOC = true };
#else
enum { IS_MALLOC = false };
#endif

static struct piece {
	unsigned char *p; /* NULL: none */
	size_t size;
} pieces[PIECES];

/* A piece holds its number from end to end. */
static void take(struct slabs *slabs, size_t i, size_t size)
{
	pieces[i] = (struct piece){slab_alloc(slabs, size), size};
	assert_non_null(pieces[i].p);
	assert_int_equal((uintptr_t)pieces[i].p % SLAB_STEP, 0);
	memset(pieces[i].p, (int)(i % 251), size);
}

static void give_back(struct slabs *slabs, size_t i)
{
	size_t k;

	for (k = 0; k < pieces[i].size; k++)
		assert_int_equal(pieces[i].p[k], i % 251);
	slab_free(slabs, pieces[i].p, pieces[i].size);
	pieces[i].p = NULL;
}

static void give_all_back(struct slabs *slabs)
{
	size_t i;

	for (i = 0; i < PIECES; i++)
		if (pieces[i].p)
			give_back(slabs, i);
}

/* Any sizes, any order: what was written stays as it was. */
static void test_pieces_do_not_overlap(void **state)
{
	struct slabs slabs;
	size_t n;

	(void)state;
	slab_init(&slabs);
	for (n = 0; n < 300000; n++) {
		size_t i = (size_t)kit_random() % 20000;

		if (pieces[i].p)
			give_back(&slabs, i);
		else
			take(&slabs, i,
			     (size_t)kit_random() % (n % 16 ? 200 : 2000) + 8);
	}
	give_all_back(&slabs);
	assert_int_equal(slabs.blocks, !IS_MALLOC);
	slab_fini(&slabs);
	assert_int_equal(slabs.blocks, 0);
}

/* Side by side: no heads, and no more blocks than the bytes need. */
static void test_pieces_lie_side_by_side(void **state)
{
	struct slabs slabs;
	size_t i;

	(void)state;
	slab_init(&slabs);
	for (i = 0; i < PIECES; i++)
		take(&slabs, i, 128);
	if (!IS_MALLOC)
		assert_int_equal(slabs.blocks, PIECES * 128 / PAGES_BLOCK + 1);
	give_all_back(&slabs);
	slab_fini(&slabs);
}

/* When all values become longer, the memory of the shorter ones serves. */
static void test_other_sizes_are_served(void **state)
{
	struct slabs slabs;
	size_t i, most;

	(void)state;
	slab_init(&slabs);
	for (i = 0; i < PIECES; i++)
		take(&slabs, i, 96);
	most = slabs.blocks;
	for (i = 0; i < PIECES; i++) {
		give_back(&slabs, i);
		take(&slabs, i, 104);
		if (slabs.blocks > most)
			most = slabs.blocks;
	}
	if (!IS_MALLOC)
		assert_true(most <= PIECES * 104 / PAGES_BLOCK + 2);
	give_all_back(&slabs);
	slab_fini(&slabs);
}

/* What is no longer needed is the system's again, block by block. */
static void test_blocks_go_back(void **state)
{
	struct slabs slabs;
	size_t i, most;

	(void)state;
	slab_init(&slabs);
	for (i = 0; i < PIECES; i++)
		take(&slabs, i, 128);
	most = slabs.blocks;
	for (i = 0; i < PIECES / 2; i++)
		give_back(&slabs, i);
	if (!IS_MALLOC)
		assert_true(slabs.blocks <= most / 2 + 1);
	for (i = 0; i < PIECES / 2; i++)
		take(&slabs, i, 128);
	assert_int_equal(slabs.blocks, most);
	give_all_back(&slabs);
	slab_fini(&slabs);
}

static void test_without_memory(void **state)
{
	struct slabs slabs;

	(void)state;
	if (IS_MALLOC)
		skip();
	slab_init(&slabs);
	/* The first allocation is the piece, the second its block. */
	kit_fail_allocation(2);
	assert_null(slab_alloc(&slabs, 64));
	assert_true(kit_did_fail());
	take(&slabs, 0, 64);
	kit_fail_allocation(2);
	assert_null(slab_alloc(&slabs, SLAB_PIECE_MAX + 1));
	assert_true(kit_did_fail());
	take(&slabs, 1, SLAB_PIECE_MAX + 1);
	give_all_back(&slabs);
	assert_int_equal(slabs.blocks, 1);
	slab_fini(&slabs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces_do_not_overlap),
		cmocka_unit_test(test_pieces_lie_side_by_side),
		cmocka_unit_test(test_other_sizes_are_served),
		cmocka_unit_test(test_blocks_go_back),
		cmocka_unit_test(test_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
