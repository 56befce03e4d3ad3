/* SPDX-License-Identifier: MIT */
/*
 * json: what strangers put into a text stays within its quotes.
 */
#include "kit.h"

#include "../../spoa/json.h"

static void test_nesting_and_commas(void **state)
{
	struct json json = {.out = kit_stream()};

	(void)state;
	json_open(&json, NULL, '{');
	json_number(&json, "n", INT64_MIN);
	json_open(&json, "list", '[');
	json_text(&json, NULL, span_of("a"));
	json_null(&json, NULL);
	json_open(&json, NULL, '{');
	json_close(&json, '}');
	json_close(&json, ']');
	json_bool(&json, "yes", true);
	json_bool(&json, "no", false);
	json_close(&json, '}');
	kit_expect(json.out, "{\"n\":-9223372036854775808,"
			     "\"list\":[\"a\",null,{}],"
			     "\"yes\":true,\"no\":false}");
}

static void test_every_byte_is_escaped_or_plain(void **state)
{
	unsigned int byte;

	(void)state;
	for (byte = 0; byte < 256; byte++) {
		char one = (char)byte, expected[16];
		struct json json = {.out = kit_stream()};

		json_text(&json, NULL, (struct span){kit_guarded(&one, 1), 1});
		if (byte == '"' || byte == '\\')
			snprintf(expected, sizeof(expected), "\"\\%c\"", one);
		else if (byte >= ' ' && byte <= '~')
			snprintf(expected, sizeof(expected), "\"%c\"", one);
		else
			snprintf(expected, sizeof(expected), "\"\\u%04x\"",
				 byte);
		kit_expect(json.out, expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nesting_and_commas),
		cmocka_unit_test(test_every_byte_is_escaped_or_plain),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
