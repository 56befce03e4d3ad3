/* SPDX-License-Identifier: MIT */
/*
 * ctl_lines: each form of a line, and that what is written is read again.
 */
#include "kit.h"

#include "../../spoa/ctl_lines.h"

#include <stdio.h>

static const struct {
	const char *line;
	enum ctl_line kind;
	const char *field;
	const char *value;
} rows[] = {
	{"", CTL_LINE_BLANK, NULL, NULL},
	{"\n", CTL_LINE_BLANK, NULL, NULL},
	{"\r\n", CTL_LINE_BLANK, NULL, NULL},
	{" \t \n", CTL_LINE_BLANK, NULL, NULL},
	{"# a b\n", CTL_LINE_BLANK, NULL, NULL},
	{"  # a b\n", CTL_LINE_BLANK, NULL, NULL},
	{"a b", CTL_LINE_PAIR, "a", "b"},
	{"a b\n", CTL_LINE_PAIR, "a", "b"},
	{"a b\r\n", CTL_LINE_PAIR, "a", "b"},
	{"  a   b \t \n", CTL_LINE_PAIR, "a", "b"},
	{"a \tb", CTL_LINE_PAIR, "a", "b"},
	{"a b # c", CTL_LINE_PAIR, "a", "b # c"},
	{"a b, c; d\n", CTL_LINE_PAIR, "a", "b, c; d"},
	{"a\tb\n", CTL_LINE_PAIR, "a", "b"},
	{"a\t\t\tb\n", CTL_LINE_PAIR, "a", "b"},
	{"a\t b \n", CTL_LINE_PAIR, "a", " b "},
	{"a\t\t  b  \r\n", CTL_LINE_PAIR, "a", "  b  "},
	{"a#b c", CTL_LINE_PAIR, "a#b", "c"},
	{"a", CTL_LINE_NO_ROUTE, "a", ""},
	{"a\n", CTL_LINE_NO_ROUTE, "a", ""},
	{"a  \n", CTL_LINE_NO_ROUTE, "a", ""},
	{"a\t\n", CTL_LINE_NO_ROUTE, "a", NULL},
	{"a\t \t\n", CTL_LINE_NO_ROUTE, "a", NULL},
};

static void test_table(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct span line = span_of(rows[i].line);
		struct span field = {0}, value = {0};

		line.p = kit_guarded(line.p, line.len);
		if (ctl_lines_read(line, &field, &value) != rows[i].kind)
			fail_msg("%zu: %s", i, rows[i].line);
		if (rows[i].field && !span_is(field, rows[i].field))
			fail_msg("%zu: %s", i, rows[i].line);
		if (rows[i].value && !span_is(value, rows[i].value))
			fail_msg("%zu: %.*s", i, (int)value.len, value.p);
	}
}

/* What a line can hold comes back byte for byte; what it cannot is said. */
static void test_round_trip(void **state)
{
	static const char bytes[] = "ab.*# \t\n\r\x01\x7f\xc3,;:";
	unsigned int held = 0, refused = 0;
	int i;

	(void)state;
	for (i = 0; i < 100000; i++) {
		char field_text[4], value_text[6], line[32];
		struct span field = {field_text, kit_random() % 4};
		struct span value = {value_text, (size_t)kit_random() % 6};
		struct span field_read, value_read;
		size_t j;
		int len;

		for (j = 0; j < field.len; j++)
			field_text[j] = bytes[kit_random() % 15];
		for (j = 0; j < value.len; j++)
			value_text[j] = bytes[kit_random() % 15];
		if (!ctl_lines_can_hold(field, value)) {
			refused++;
			continue;
		}
		held++;
		len = snprintf(line, sizeof(line), "%.*s\t%.*s\n",
			       (int)field.len, field_text, (int)value.len,
			       value_text);
		assert_int_equal(
			ctl_lines_read((struct span){line, (size_t)len},
				       &field_read, &value_read),
			CTL_LINE_PAIR);
		assert_true(span_equal(field, field_read));
		assert_true(span_equal(value, value_read));
	}
	assert_true(held > 1000 && refused > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests_name("ctl_lines", tests, NULL, NULL);
}
