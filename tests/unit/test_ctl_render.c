/* SPDX-License-Identifier: MIT */
/*
 * ctl_render: each shape of JSON as people read it.
 */
#include "kit.h"

#include "../../spoa/ctl_render.h"

#include <stdlib.h>

static const struct {
	const char *json;
	const char *text;
} rows[] = {
	{"[]", "[]\n"},
	{"\"a\\u001bb\"", "a\\x1bb\n"},
	{"[1,2]", "[1,2]\n"},
	{"[{}]", ""},
	{"[{\"a\":1,\"b\":\"x\"},{\"a\":22,\"c\":true}]", "A   B  C\n"
							  "1   x  -\n"
							  "22  -  yes\n"},
	{"{\"a\":1,\"b\":null,\"c\":[1,{}],\"d\":1.5}", "NAME  VALUE\n"
							"a     1\n"
							"b     -\n"
							"c     [1,{}]\n"
							"d     1.5\n"},
	{"{\"status\":\"ok\",\"rows\":[{\"f\":\"x\"}],\"z\":false}",
	 "NAME    VALUE\n"
	 "status  ok\n"
	 "z       no\n"
	 "\n"
	 "F\n"
	 "x\n"},
	/* more names than columns: the rest is left out */
	{"[{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,"
	 "\"i\":1}]",
	 "A  B  C  D  E  F  G  H\n"
	 "1  1  1  1  1  1  1  1\n"},
};

static void test_table(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *value = json_loads(rows[i].json, JSON_DECODE_ANY, NULL);
		char *text = NULL;
		size_t len = 0;
		FILE *out = open_memstream(&text, &len);

		assert_non_null(value);
		assert_true(ctl_render(out, value));
		fclose(out);
		if (strcmp(text, rows[i].text) != 0)
			fail_msg("%s:\n%s", rows[i].json, text);
		free(text);
		json_decref(value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests_name("ctl_render", tests, NULL, NULL);
}
