/* SPDX-License-Identifier: MIT */
/*
 * ctl_hipache: which URLs become targets.
 */
#include "kit.h"

#include "../../spoa/ctl_hipache.h"

#include <stdio.h>

static const struct {
	const char *url;
	const char *target; /* NULL: none */
	const char *problem;
} rows[] = {
	{"http://10.0.0.1:80", "10.0.0.1:80", NULL},
	{"http://10.0.0.1:8080/", "10.0.0.1:8080", NULL},
	{"http://10.0.0.1", "10.0.0.1:80", NULL},
	{"http://10.0.0.1/", "10.0.0.1:80", NULL},
	{"http://[::1]:81", "[::1]:81", NULL},
	{"http://[::1]", "[::1]:80", NULL},
	{"http://app.internal:81", "app.internal:81", NULL},
	{"https://10.0.0.1:443", NULL, "TLS"},
	{"http://10.0.0.1:80/app", NULL, "path"},
	{"http://10.0.0.1:80//", NULL, "path"},
	{"http://user@10.0.0.1", NULL, "ADDRESS"},
	{"http://", NULL, "ADDRESS"},
	{"http:///", NULL, "ADDRESS"},
	{"http:/", NULL, "ADDRESS"},
	{"", NULL, "ADDRESS"},
	{"10.0.0.1:80", NULL, "ADDRESS"},
	{"HTTP://10.0.0.1", NULL, "ADDRESS"},
};

static void test_table(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct span url = span_of(rows[i].url);
		const char *port = "", *problem = NULL;
		struct span target = {0};
		char text[64];
		bool good;

		url.p = kit_guarded(url.p, url.len);
		good = ctl_hipache_read(url, &target, &port, &problem);
		if (good != (rows[i].target != NULL))
			fail_msg("%s: %d", rows[i].url, good);
		if (!good && !strstr(problem, rows[i].problem))
			fail_msg("%s: %s", rows[i].url, problem);
		if (!good)
			continue;
		snprintf(text, sizeof(text), "%.*s%s", (int)target.len,
			 target.p, port);
		assert_string_equal(text, rows[i].target);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests_name("ctl_hipache", tests, NULL, NULL);
}
