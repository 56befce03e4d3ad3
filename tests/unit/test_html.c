/* SPDX-License-Identifier: MIT */
/* html: what strangers write stays a text; amounts read well. */
#include "../../spoa/html.h"

#include "kit.h"

static void test_every_byte_stays_a_text(void **state)
{
	char all[256];
	size_t i;
	FILE *out = kit_stream();
	const char *text;

	(void)state;
	for (i = 0; i < sizeof(all); i++)
		all[i] = (char)i;
	html_text(out, (struct span){all, sizeof(all)});
	text = kit_written(out);
	assert_null(strpbrk(text, "<>\"'\n\r\t"));
	for (i = 0; text[i]; i++)
		assert_in_range((unsigned char)text[i], ' ', '~');
	assert_non_null(strstr(text, "\\x00\\x01"));
	assert_non_null(strstr(text, "!&quot;#$%&amp;&#39;()"));
	assert_non_null(strstr(text, ";&lt;=&gt;?"));
	assert_non_null(strstr(text, "\\xfe\\xff"));
}

static void test_a_start_is_cut(void **state)
{
	FILE *out = kit_stream();

	(void)state;
	html_start(out, span_of("abc"), 3);
	html_start(out, span_of("<bc"), 2);
	html_start(out, (struct span){0}, 0);
	kit_expect(out, "abc&lt;b&hellip;");
}

static void test_numbers(void **state)
{
	static const struct {
		uint64_t number;
		const char *expected;
	} rows[] = {{0, "0"},
		    {999, "999"},
		    {1000, "1,000"},
		    {1234567, "1,234,567"},
		    {UINT64_MAX, "18,446,744,073,709,551,615"}};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		FILE *out = kit_stream();

		html_number(out, rows[i].number);
		kit_expect(out, rows[i].expected);
	}
}

static void test_times(void **state)
{
	static const struct {
		int64_t us;
		const char *expected;
	} rows[] = {{-1, "&ndash;"},
		    {0, "0&nbsp;&micro;s"},
		    {999, "999&nbsp;&micro;s"},
		    {1500, "1.5&nbsp;ms"},
		    {42 * 1000000LL, "42&nbsp;s"},
		    {90 * 1000000LL, "1.5&nbsp;min"},
		    {INT64_MAX, "106751991&nbsp;days"}};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		FILE *out = kit_stream();

		html_time(out, rows[i].us);
		kit_expect(out, rows[i].expected);
	}
}

static void test_bytes(void **state)
{
	FILE *out = kit_stream();

	(void)state;
	html_bytes(out, 12);
	html_bytes(out, 1550000);
	kit_expect(out, "12&nbsp;B1.6&nbsp;MB");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_byte_stays_a_text),
		cmocka_unit_test(test_a_start_is_cut),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_bytes),
	};

	return cmocka_run_group_tests_name("html", tests, NULL, NULL);
}
