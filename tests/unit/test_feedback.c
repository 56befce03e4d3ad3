/* SPDX-License-Identifier: MIT */
/*
 * feedback: datagrams go in, reports come out, and never too many at a time.
 */
#include "clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../spoa/feedback.h"

#define ELEMENT(tsc)                                                           \
	"<131>1 2026-01-01T00:00:00Z h haproxy 1 - "                           \
	"[router1 tsc=\"" tsc "\" ip=\"10.0.0.1\" port=\"80\"]"

enum { A_TURN = 64, PAUSE = 5, MANY = 150 };

static struct {
	struct loop loop;
	struct feedback *feedback;
	int ends[2];
	int failed;
	struct report last;
} test;

static void on_failed(void *context, const struct report *report)
{
	assert_ptr_equal(context, &test);
	test.failed++;
	test.last = *report;
}

static void open_feedback(void)
{
	static const struct listener_address nowhere;
	struct feedback_options options = {
		.loop = &test.loop, .failed = on_failed, .context = &test};

	test.feedback = feedback_new(&options, test.ends[0], &nowhere);
}

static int set_up(void **state)
{
	(void)state;
	memset(&test, 0, sizeof(test));
	clock_open(&test.loop);
	clock_hush();
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, test.ends),
		0);
	open_feedback();
	assert_non_null(test.feedback);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	feedback_free(test.feedback);
	assert_int_equal(fcntl(test.ends[0], F_GETFD), -1);
	close(test.ends[1]);
	clock_close(&test.loop);
	return 0;
}

static bool say(const char *line)
{
	size_t len = strlen(line);

	return send(test.ends[1], line, len, 0) == (ssize_t)len;
}

static const struct {
	const char *line;
	int failed, other, malformed;
} rows[] = {
	{ELEMENT("SC--") " GET / HTTP/1.1", 1, 0, 0},
	{ELEMENT("sC--"), 1, 0, 0},
	{ELEMENT("----"), 0, 1, 0},
	{ELEMENT("SH--"), 0, 1, 0},
	{"", 0, 0, 1},
	{"<131>1 hello", 0, 0, 1},
	{"GET / " ELEMENT("SC--"), 0, 0, 1},
};

static void test_lines(void **state)
{
	const struct feedback_counters *c = feedback_count(test.feedback);
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct feedback_counters before = *c;

		assert_true(say(rows[i].line));
		clock_turn(&test.loop);
		assert_int_equal(c->failed - before.failed, rows[i].failed);
		assert_int_equal(c->other - before.other, rows[i].other);
		assert_int_equal(c->malformed - before.malformed,
				 rows[i].malformed);
	}
	assert_int_equal(test.failed, 2);
	assert_int_equal(test.last.port, 80);
	assert_int_equal(test.last.address_len, 4);
	assert_int_equal(test.last.address[0], 10);
}

/* What is behind the first bytes is cut, and is nothing to us. */
static void test_a_long_line(void **state)
{
	static char line[8192];

	(void)state;
	memset(line, 'x', sizeof(line) - 1);
	memcpy(line, ELEMENT("SC--"), strlen(ELEMENT("SC--")));
	assert_true(say(line));
	clock_turn(&test.loop);
	assert_int_equal(test.failed, 1);
}

/* A flood takes its share of each turn and no more; in time all is read. */
static void test_a_flood(void **state)
{
	int sent = 0;

	(void)state;
	while (sent < MANY && say(ELEMENT("SC--")))
		sent++;
	assert_true(sent > 1);
	clock_turn(&test.loop);
	assert_int_equal(test.failed, sent < A_TURN ? sent : A_TURN);
	while (sent < MANY && say(ELEMENT("SC--")))
		sent++;
	clock_turn(&test.loop);
	assert_in_range(test.failed, 1, A_TURN);
	while (test.failed < MANY) {
		int before = test.failed;

		clock_pass(&test.loop, PAUSE);
		clock_turn(&test.loop);
		assert_in_range(test.failed - before, 1, A_TURN);
		while (sent < MANY && say(ELEMENT("SC--")))
			sent++;
	}
	assert_int_equal(test.failed, MANY);
}

static const struct {
	const char *text;
	bool is_good;
} addresses[] = {
	{"udp:127.0.0.1:12311", true},
	{"udp:[::1]:12311", true},
	{"unix:/run/feedback", true},
	{"unix:/run/feedback,mode=0600", true},
	{"127.0.0.1:12311", false},
	{"udp:127.0.0.1", false},
	{"udp:unix:/run/feedback", false},
	{"tcp:127.0.0.1:12311", false},
	{"unix:", false},
	{"", false},
};

static void test_addresses(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(addresses); i++) {
		struct listener_address address;
		const char *problem = NULL;

		if (feedback_parse(addresses[i].text, &address, &problem) !=
		    addresses[i].is_good)
			fail_msg("'%s'", addresses[i].text);
		if (!addresses[i].is_good)
			assert_non_null(problem);
	}
}

/* Whatever becomes of it, the socket is its own from the call on. */
static void test_without_memory(void **state)
{
	(void)state;
	feedback_free(test.feedback);
	close(test.ends[1]);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, test.ends),
		0);
	kit_fail_allocation(1);
	open_feedback();
	kit_fail_allocation(0);
	assert_null(test.feedback);
	assert_int_equal(fcntl(test.ends[0], F_GETFD), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lines, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_long_line, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_a_flood, set_up,
						tear_down),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test_setup_teardown(test_without_memory, set_up,
						tear_down),
	};

	return cmocka_run_group_tests_name("feedback", tests, NULL, NULL);
}
