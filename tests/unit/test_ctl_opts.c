/* SPDX-License-Identifier: MIT */
/*
 * ctl_opts: words and options in any order, and one line for what is wrong.
 */
#include "kit.h"

#include "../../spoa/ctl_opts.h"

#include <stdlib.h>

enum { ARGS_MAX = 12 };

/* argv has no const, though nobody writes there. */
static char *word(const char *text)
{
	union {
		const char *given;
		char *taken;
	} both = {text};

	return both.taken;
}

/* Parses `args`, which NULL ends. */
static bool parse(const char *const *args, struct ctl_options *options,
		  char error[OPTS_ERROR_MAX])
{
	char *argv[ARGS_MAX + 2] = {word("routectl")};
	int argc = 1;

	while (*args)
		argv[argc++] = word(*args++);
	error[0] = '\0';
	return ctl_opts_parse(argc, argv, options, error);
}

static void test_anywhere(void **state)
{
	const char *const args[] = {
		"--json",  "set",	 "--redis", "redis://h:1", "a", "b:1",
		"--quiet", "--routes=r", "--admin", "::1:1",	   NULL};
	struct ctl_options options;
	char error[OPTS_ERROR_MAX];

	(void)state;
	if (!parse(args, &options, error))
		fail_msg("%s", error);
	assert_int_equal(options.command, CTL_SET);
	assert_int_equal(options.word_count, 2);
	assert_string_equal(options.words[0], "a");
	assert_string_equal(options.words[1], "b:1");
	assert_true(options.json && options.quiet && !options.yes);
	assert_string_equal(options.config.redis.items[0].text, "redis://h:1");
	assert_int_equal(options.config.redis.count, 1);
	assert_string_equal(options.config.routes.text, "r");
	assert_string_equal(options.admin, "::1:1");
	ctl_opts_free(&options);
}

static void test_end_of_options(void **state)
{
	const char *const args[] = {"get", "--", "--json", NULL};
	const char *const minus[] = {"import", "-", NULL};
	struct ctl_options options;
	char error[OPTS_ERROR_MAX];

	(void)state;
	assert_true(parse(args, &options, error));
	assert_string_equal(options.words[0], "--json");
	assert_false(options.json);
	ctl_opts_free(&options);
	assert_true(parse(minus, &options, error));
	assert_string_equal(options.words[0], "-");
	ctl_opts_free(&options);
}

static const struct {
	const char *args[ARGS_MAX];
	const char *error; /* what the line holds */
} wrong[] = {
	{{NULL}, "no command"},
	{{"nope"}, "nope: no such command"},
	{{"SET"}, "no such command"},
	{{"set"}, "usage: routectl set HOST TARGET..."},
	{{"set", "a"}, "usage"},
	{{"get"}, "usage"},
	{{"get", "a", "b"}, "usage"},
	{{"del"}, "usage"},
	{{"ls", "a", "b"}, "usage"},
	{{"export", "a"}, "usage"},
	{{"import"}, "usage"},
	{{"check", "a"}, "usage"},
	{{"explain"}, "usage"},
	{{"watch", "a"}, "usage"},
	{{"ls", "-j"}, "-j: no such option"},
	{{"ls", "--nope"}, "--nope: no such option"},
	{{"ls", "--jso"}, "--jso: no such option"},
	{{"ls", "--json=1"}, "--json: takes no value"},
	{{"ls", "--redis"}, "--redis: needs a value"},
	{{"ls", "--redis="}, "--redis: needs a value"},
	{{"ls", "--listen", "x"}, "--listen: no such option"},
	{{"ls", "--config", "/no/such/file"}, "/no/such/file"},
	{{"ls", "--replace"}, "--replace: only with import and diff"},
	{{"ls", "--from", "hipache"}, "--from: only with import and diff"},
	{{"import", "x", "--from", "nginx"}, "--from: knows only hipache"},
};

static void test_wrong(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(wrong); i++) {
		struct ctl_options options;
		char error[OPTS_ERROR_MAX];

		if (parse(wrong[i].args, &options, error))
			fail_msg("%s: taken", wrong[i].error);
		if (!strstr(error, wrong[i].error))
			fail_msg("%s: %s", wrong[i].error, error);
		ctl_opts_free(&options);
	}
}

static void test_help_wins(void **state)
{
	const char *const args[] = {"nope", "--help", NULL};
	struct ctl_options options;
	char error[OPTS_ERROR_MAX];

	(void)state;
	assert_true(parse(args, &options, error));
	assert_true(options.help);
	ctl_opts_free(&options);
}

static void test_no_memory(void **state)
{
	const char *const args[] = {"ls", "--redis", "redis://h", NULL};
	unsigned int n = 0;

	(void)state;
	do {
		struct ctl_options options;
		char error[OPTS_ERROR_MAX];
		bool good;

		kit_fail_allocation(++n);
		good = parse(args, &options, error);
		assert_int_equal(good, !kit_did_fail());
		assert_true(good || strstr(error, "memory"));
		ctl_opts_free(&options);
	} while (kit_did_fail());
	kit_fail_allocation(0);
	assert_true(n > 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_anywhere),
		cmocka_unit_test(test_end_of_options),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_help_wins),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests_name("ctl_opts", tests, NULL, NULL);
}
