/* SPDX-License-Identifier: MIT */
/*
 * ctl_words: what the words of `routectl set` say together.
 */
#include "kit.h"

#include "../../spoa/ctl_words.h"

enum { WORDS_MAX = 12 };

static const struct {
	const char *words[WORDS_MAX];
	const char *route;
} rows[] = {
	{{"a:1"}, "a:1"},
	{{"a:1", "b:2"}, "a:1, b:2"},
	{{"a:1", "weight", "3", "b:2", "backup"}, "a:1 weight 3, b:2 backup"},
	{{"a:1", "weight 3", "b:2"}, "a:1 weight 3, b:2"},
	{{"a:1 weight 3", "b:2"}, "a:1 weight 3, b:2"},
	{{"a:1", "backup", "weight", "0"}, "a:1 backup weight 0"},
	{{"a:1,", "b:2"}, "a:1, b:2"},
	{{"a:1", ",b:2"}, "a:1,b:2"},
	{{"a:1,b:2"}, "a:1,b:2"},
	{{"a:1, b:2; balance source"}, "a:1, b:2; balance source"},
	{{"a:1", "balance", "source"}, "a:1; balance source"},
	{{"a:1", "b:2", "check", "http", "/x", "backend", "app"},
	 "a:1, b:2; check http /x backend app"},
	{{"a:1;", "check", "none"}, "a:1; check none"},
	{{"a:1; check none", "backend", "b"}, "a:1; check none backend b"},
	{{"a:1", ";", "check", "none"}, "a:1; check none"},
	{{"a:1", "; check none"}, "a:1; check none"},
	{{"balanced:1"}, "balanced:1"},
	{{"check", "none"}, "check none"},
	{{"a:1", "weight", "weight", "2"}, "a:1 weight weight 2"},
	{{""}, ""},
};

/* argv has no const, though nobody writes there. */
static char *word(const char *text)
{
	union {
		const char *given;
		char *taken;
	} both = {text};

	return both.taken;
}

static void test_table(void **state)
{
	char *words[WORDS_MAX];
	char text[100];
	size_t i, count;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		for (count = 0; rows[i].words[count]; count++)
			words[count] = word(rows[i].words[count]);
		assert_true(ctl_words_join(words, count, text, sizeof(text)));
		if (strcmp(text, rows[i].route) != 0)
			fail_msg("%s: %s", rows[i].route, text);
	}
}

/* Too small by any number of bytes: refused, and never written beyond. */
static void test_no_room(void **state)
{
	char *const words[] = {word("a:1"), word("b:2"), word("balance"),
			       word("source")};
	size_t len = strlen("a:1, b:2; balance source");
	size_t size;

	(void)state;
	for (size = 1; size <= len + 1; size++) {
		char filled[64];
		char *room;

		memset(filled, 'x', sizeof(filled));
		room = kit_guarded(filled, size);
		assert_int_equal(ctl_words_join(words, 4, room, size),
				 size == len + 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests_name("ctl_words", tests, NULL, NULL);
}
