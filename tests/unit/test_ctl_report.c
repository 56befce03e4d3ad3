/* SPDX-License-Identifier: MIT */
/*
 * ctl_report: columns for people, JSON for programs, and nothing that a
 * terminal could obey.
 */
#include "kit.h"

#include "../../spoa/ctl_report.h"

#include <stdlib.h>

static const char *const columns[] = {"field", "age", "route"};

/* A report of up to two rows, as text; to be freed. */
static char *write_report(bool json, int rows)
{
	const struct ctl_cell first[] = {ctl_text("a.example"), ctl_number(-5),
					 ctl_text("10.0.0.1:80")};
	const struct ctl_cell second[] = {
		ctl_text("b"), {.kind = CTL_NOTHING}, ctl_text("x\x1b[2J\\\"")};
	struct ctl_report *report;
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	report = ctl_report_new(out, json, columns, ARRAY_LEN(columns));
	assert_non_null(report);
	if (rows > 0)
		ctl_report_row(report, first);
	if (rows > 1)
		ctl_report_row(report, second);
	assert_true(ctl_report_end(report));
	fclose(out);
	return text;
}

static void assert_report(bool json, int rows, const char *expected)
{
	char *text = write_report(json, rows);

	assert_string_equal(text, expected);
	free(text);
}

static void test_columns(void **state)
{
	(void)state;
	assert_report(false, 0, "");
	assert_report(false, 1,
		      "FIELD      AGE  ROUTE\n"
		      "a.example  -5   10.0.0.1:80\n");
	assert_report(false, 2,
		      "FIELD      AGE  ROUTE\n"
		      "a.example  -5   10.0.0.1:80\n"
		      "b          -    x\\x1b[2J\\\\\"\n");
}

static void test_json(void **state)
{
	(void)state;
	assert_report(true, 0, "[]\n");
	assert_report(true, 2,
		      "[\n{\"field\":\"a.example\",\"age\":-5,"
		      "\"route\":\"10.0.0.1:80\"},\n"
		      "{\"field\":\"b\",\"age\":null,"
		      "\"route\":\"x\\u001b[2J\\\\\\\"\"}\n]\n");
}

/* Every byte: only printable ASCII goes out. */
static void test_escape(void **state)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	char all[256];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(all); i++)
		all[i] = (char)i;
	ctl_report_escape(out,
			  (struct span){kit_guarded(all, sizeof(all)), 256});
	fclose(out);
	for (i = 0; i < len; i++)
		assert_true(text[i] >= ' ' && text[i] <= '~');
	assert_int_equal(len, 95 + 1 + 4 * (256 - 95));
	free(text);
}

static void test_output_that_fails(void **state)
{
	FILE *out = fopen("/dev/full", "w");
	struct ctl_report *report;

	(void)state;
	report = ctl_report_new(out, true, columns, ARRAY_LEN(columns));
	assert_false(ctl_report_end(report));
	fclose(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_escape),
		cmocka_unit_test(test_output_that_fails),
	};

	return cmocka_run_group_tests_name("ctl_report", tests, NULL, NULL);
}
