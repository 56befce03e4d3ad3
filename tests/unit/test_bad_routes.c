/* SPDX-License-Identifier: MIT */
/*
 * bad_routes: said once a minute for each value of each field.
 */
#include "kit.h"

#include <fcntl.h>
#include <unistd.h>

#include "../../spoa/bad_routes.h"
#include "../../spoa/log.h"

enum { MINUTE = 60 * 1000 };

static struct bad_routes bad_routes;
static int pipe_fds[2];
static int stderr_fd;

static int set_up(void **state)
{
	(void)state;
	memset(&bad_routes, 0, sizeof(bad_routes));
	bad_routes.secret = (struct hash_secret){1, 2};
	assert_int_equal(pipe2(pipe_fds, O_NONBLOCK), 0);
	stderr_fd = dup(STDERR_FILENO);
	dup2(pipe_fds[1], STDERR_FILENO);
	log_setup(LOG_INFO, LOG_TEXT);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	dup2(stderr_fd, STDERR_FILENO);
	close(stderr_fd);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	return 0;
}

/* Warns, and says whether the log has a line with all the words. */
static bool said(int64_t now_ms, const char *field, const char *value)
{
	const struct bad_route bad = {.host = span_of("app.test"),
				      .field = span_of(field),
				      .text = span_of(value),
				      .size = strlen(value),
				      .column = 7,
				      .error = ROUTE_NO_WORD};
	char line[1000] = "";
	ssize_t got;

	bad_routes_warn(&bad_routes, now_ms, &bad);
	got = read(pipe_fds[0], line, sizeof(line) - 1);
	if (got <= 0)
		return false;
	assert_non_null(strstr(line, "host=app.test"));
	assert_non_null(strstr(line, field));
	assert_non_null(strstr(line, value));
	assert_non_null(strstr(line, "column=7"));
	assert_non_null(strstr(line, route_error_text(ROUTE_NO_WORD)));
	return true;
}

static void test_once_a_minute(void **state)
{
	(void)state;
	assert_true(said(1, "a.test", "one"));
	assert_false(said(2, "a.test", "one"));
	assert_false(said(MINUTE, "a.test", "one"));
	assert_true(said(MINUTE + 1, "a.test", "one"));
	assert_false(said(MINUTE + 2, "a.test", "one"));
}

static void test_each_value_of_each_field(void **state)
{
	(void)state;
	assert_true(said(1, "a.test", "one"));
	assert_true(said(1, "b.test", "one"));
	assert_true(said(1, "a.test", "two"));
	assert_false(said(2, "a.test", "one"));
	assert_false(said(2, "b.test", "one"));
	assert_false(said(2, "a.test", "two"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_once_a_minute, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_each_value_of_each_field,
						set_up, tear_down),
	};

	return cmocka_run_group_tests_name("bad_routes", tests, NULL, NULL);
}
