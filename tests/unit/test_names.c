/* SPDX-License-Identifier: MIT */
/*
 * names: counted, bounded, in order.
 */
#include "kit.h"

#include <stdio.h>

#include "../../spoa/names.h"

/* All of them with commas between. */
static const char *show(const struct names *names)
{
	static char text[8192];
	struct span name;
	size_t i, at = 0;

	text[0] = '\0';
	for (i = 0; (name = names_at(names, i)).len > 0; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.*s",
				       i ? "," : "", (int)name.len, name.p);
	return text;
}

static void test_counts(void **state)
{
	struct names names = {0};

	(void)state;
	assert_string_equal(show(&names), "");
	names_drop(&names, span_of("a"));
	names_add(&names, span_of("a"));
	names_add(&names, span_of("bb"));
	names_add(&names, span_of("ccc"));
	names_add(&names, span_of("bb"));
	names_add(&names, span_of(""));
	assert_string_equal(show(&names), "a,bb,ccc");
	names_drop(&names, span_of("bb"));
	names_drop(&names, span_of("a"));
	names_drop(&names, span_of("cc"));
	assert_string_equal(show(&names), "bb,ccc");
	names_drop(&names, span_of("ccc"));
	names_drop(&names, span_of("bb"));
	assert_string_equal(show(&names), "");
	assert_null(names.bytes);
	names_clear(&names);
}

static void test_bounds(void **state)
{
	struct names names = {0};
	char text[256];
	int i;

	(void)state;
	memset(text, 'x', sizeof(text));
	for (i = 0; i < 1000; i++) {
		memcpy(text, &i, sizeof(i));
		names_add(&names, (struct span){text, 255});
	}
	assert_int_equal(names_at(&names, NAMES_MAX - 1).len, 255);
	assert_int_equal(names_at(&names, NAMES_MAX).len, 0);
	names_add(&names, (struct span){text, 256});
	names_clear(&names);
	/* What cannot be counted any more stays. */
	for (i = 0; i < 300; i++)
		names_add(&names, span_of("a"));
	for (i = 0; i < 300; i++)
		names_drop(&names, span_of("a"));
	assert_string_equal(show(&names), "a");
	names_clear(&names);
}

static void test_no_memory(void **state)
{
	struct names names = {0};

	(void)state;
	names_add(&names, span_of("a"));
	kit_fail_allocation(1);
	names_add(&names, span_of("b"));
	assert_true(kit_did_fail());
	assert_string_equal(show(&names), "a");
	names_drop(&names, span_of("b"));
	names_clear(&names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
