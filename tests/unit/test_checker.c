/* SPDX-License-Identifier: MIT */
/*
 * checker: what a real socket does, and what the checker says of it.
 */
#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../spoa/checker.h"

enum { TIMEOUT = 1000, OPEN_MAX = 3, NONE = -1 };

static const uint8_t here[4] = {127, 0, 0, 1};

static struct {
	struct loop loop;
	struct checker *checker;
	int listener;
	uint16_t port;
	int slot; /* of the check that ended last, or NONE */
	enum checker_result result;
	int status;
	int ended;
} test;

static void on_done(void *context, uint32_t slot, enum checker_result result,
		    int status)
{
	assert_ptr_equal(context, &test);
	test.slot = (int)slot;
	test.result = result;
	test.status = status;
	test.ended++;
}

static int set_up(void **state)
{
	struct checker_options options = {.loop = &test.loop,
					  .timeout_ms = TIMEOUT,
					  .open_max = OPEN_MAX,
					  .done = on_done,
					  .context = &test};

	(void)state;
	memset(&test, 0, sizeof(test));
	test.slot = NONE;
	clock_open(&test.loop);
	test.listener = clock_listen(&test.port);
	test.checker = checker_new(&options);
	assert_non_null(test.checker);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	checker_free(test.checker);
	if (test.listener >= 0)
		close(test.listener);
	clock_close(&test.loop);
	return 0;
}

static enum checker_result start(uint32_t slot, const char *path)
{
	struct roster_target target = {.address = here,
				       .address_len = sizeof(here),
				       .port = test.port,
				       .path = span_of(path),
				       .host = span_of("a.test")};

	return checker_start(test.checker, slot, &target);
}

/* The result, whether it was there at once or later. */
static enum checker_result finish(enum checker_result result)
{
	int before = test.ended;

	if (result != CHECKER_PENDING)
		return result;
	CLOCK_UNTIL(&test.loop, test.ended > before);
	return test.result;
}

static void test_connects(void **state)
{
	(void)state;
	assert_int_equal(finish(start(1, "")), CHECKER_PASSED);
	close(test.listener);
	test.listener = -1;
	assert_int_equal(finish(start(1, "")), CHECKER_REFUSED);
	assert_int_equal(finish(start(1, "/")), CHECKER_REFUSED);
}

/* What is said ends with the reset that leaves no port behind. */
static void test_ends_with_a_reset(void **state)
{
	char byte;
	int fd;

	(void)state;
	assert_int_equal(finish(start(1, "")), CHECKER_PASSED);
	fd = clock_accept(&test.loop, test.listener);
	assert_int_equal(recv(fd, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	close(fd);
}

static const struct {
	const char *answer;
	enum checker_result result;
	int status;
} rows[] = {
	{"HTTP/1.1 200 OK\r\n", CHECKER_PASSED, 0},
	{"HTTP/1.0 204 \r\n", CHECKER_PASSED, 0},
	{"HTTP/1.1 399 x\r\n", CHECKER_PASSED, 0},
	{"HTTP/1.1 400 x\r\n", CHECKER_STATUS, 400},
	{"HTTP/1.1 199 x\r\n", CHECKER_STATUS, 199},
	{"HTTP/1.1 503 x\r\n", CHECKER_STATUS, 503},
	{"HTTP/2.0 200 x\r\n", CHECKER_NOT_HTTP, 0},
	{"HTTP/1.1 2x0 x\r\n", CHECKER_NOT_HTTP, 0},
	{"SSH-2.0-OpenSSH_9\r\n", CHECKER_NOT_HTTP, 0},
	{"HTTP/1.1 20", CHECKER_CLOSED, 0},
	{"", CHECKER_CLOSED, 0},
};

static void test_answers(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		char request[512] = "";
		int fd;

		assert_int_equal(start((uint32_t)i, "/up?x=1"),
				 CHECKER_PENDING);
		fd = clock_accept(&test.loop, test.listener);
		fcntl(fd, F_SETFL, O_NONBLOCK);
		CLOCK_UNTIL(&test.loop,
			    recv(fd, request, sizeof(request) - 1, 0) > 0);
		assert_string_equal(request, "GET /up?x=1 HTTP/1.1\r\n"
					     "Host: a.test\r\n"
					     "User-Agent: spoa-router\r\n"
					     "Accept: */*\r\n"
					     "Connection: close\r\n\r\n");
		assert_int_equal(
			send(fd, rows[i].answer, strlen(rows[i].answer), 0),
			strlen(rows[i].answer));
		close(fd);
		if (finish(CHECKER_PENDING) != rows[i].result)
			fail_msg("'%s': %s", rows[i].answer,
				 checker_result_text(test.result));
		assert_int_equal(test.slot, i);
		if (rows[i].status)
			assert_int_equal(test.status, rows[i].status);
	}
}

/* A status that comes byte by byte is read as well, up to the timeout. */
static void test_time_runs_from_the_start(void **state)
{
	static const char answer[] = "HTTP/1.1 200";
	size_t i;
	int fd;

	(void)state;
	assert_int_equal(start(5, "/"), CHECKER_PENDING);
	fd = clock_accept(&test.loop, test.listener);
	for (i = 0; i < strlen(answer); i++) {
		clock_pass(&test.loop, TIMEOUT / 20);
		assert_int_equal(send(fd, answer + i, 1, 0), 1);
	}
	assert_int_equal(finish(CHECKER_PENDING), CHECKER_PASSED);
	close(fd);
	assert_int_equal(start(6, "/"), CHECKER_PENDING);
	fd = clock_accept(&test.loop, test.listener);
	for (i = 0; test.slot != 6; i++) {
		assert_in_range(i, 0, 5);
		clock_pass(&test.loop, TIMEOUT / 4);
		if (test.slot != 6)
			assert_int_equal(send(fd, answer + i, 1, 0), 1);
	}
	assert_int_equal(test.result, CHECKER_TIMEOUT);
	assert_in_range(i, 4, 5);
	close(fd);
}

static void test_room_is_bounded(void **state)
{
	uint32_t i;

	(void)state;
	for (i = 0; i < OPEN_MAX; i++) {
		assert_true(checker_has_room(test.checker));
		assert_int_equal(start(i, "/"), CHECKER_PENDING);
	}
	assert_false(checker_has_room(test.checker));
	clock_pass(&test.loop, TIMEOUT + 100);
	assert_int_equal(test.ended, OPEN_MAX);
	assert_int_equal(test.result, CHECKER_TIMEOUT);
	assert_true(checker_has_room(test.checker));
	/* What is open at the end is closed in silence. */
	assert_int_equal(start(1, "/"), CHECKER_PENDING);
}

/* It is no fault of the target when we have no descriptor. */
static void test_without_descriptors(void **state)
{
	struct rlimit limit, none;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(start(1, ""), CHECKER_IMPOSSIBLE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(finish(start(1, "")), CHECKER_PASSED);
}

static int count_files(void)
{
	int fd, count = 0;

	for (fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void test_without_memory(void **state)
{
	int files = count_files();
	unsigned int n;

	(void)state;
	for (n = 1;; n++) {
		enum checker_result result;
		bool failed;

		kit_fail_allocation(n);
		result = start(1, "/");
		failed = kit_did_fail();
		kit_fail_allocation(0);
		if (!failed)
			break;
		assert_int_equal(result, CHECKER_IMPOSSIBLE);
		assert_true(checker_has_room(test.checker));
		assert_int_equal(count_files(), files);
	}
	assert_true(n > 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_connects, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_ends_with_a_reset, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_answers, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_time_runs_from_the_start,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_room_is_bounded, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_without_descriptors,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_without_memory, set_up,
						tear_down),
	};

	return cmocka_run_group_tests_name("checker", tests, NULL, NULL);
}
