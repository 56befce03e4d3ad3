/* SPDX-License-Identifier: MIT */
/*
 * redis_wire: the end of a connection at awkward moments. What it carries is
 * tested end to end.
 */
#include "clock.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../spoa/redis_wire.h"

static struct {
	struct loop loop;
	struct redis_url url;
	struct redis_wire *wire;
	int listener;
	int opened, replied, lost;
	char why[256];
} test;

static void on_opened(void *context)
{
	assert_ptr_equal(context, &test);
	test.opened++;
}

static void on_replied(void *context, const redisReply *reply)
{
	assert_ptr_equal(context, &test);
	(void)reply;
	test.replied++;
}

static void on_lost(void *context, const char *why)
{
	assert_ptr_equal(context, &test);
	snprintf(test.why, sizeof(test.why), "%s", why);
	test.lost++;
}

/* A wire towards a server that listens, with a password or without, of which
 * the n-th allocation fails; 0: none does. */
static void begin_wire(const char *user, unsigned int n)
{
	const struct redis_wire_options options = {.place = {.loop = &test.loop,
							     .url = &test.url,
							     .key = "routes",
							     .value_max = 1000},
						   .opened = on_opened,
						   .replied = on_replied,
						   .lost = on_lost,
						   .context = &test};
	char text[64];
	const char *problem;
	uint16_t port = 0; /* any */

	test.listener = clock_listen(&port);
	snprintf(text, sizeof(text), "redis://%s127.0.0.1:%u", user, port);
	assert_true(redis_url_parse(text, &test.url, &problem));
	kit_fail_allocation(n);
	test.wire = redis_wire_new(&options);
}

static void open_wire(const char *user)
{
	begin_wire(user, 0);
	assert_non_null(test.wire);
}

static int set_up(void **state)
{
	(void)state;
	memset(&test, 0, sizeof(test));
	clock_open(&test.loop);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	redis_wire_free(test.wire);
	close(test.listener);
	clock_close(&test.loop);
	return 0;
}

static void lose(const char *why)
{
	redis_wire_lose(test.wire, why, (struct span){0});
}

/* It is given up in the turn in which it is connected: it stays given up. */
static void test_late_connect(void **state)
{
	(void)state;
	open_wire("");
	lose("given up");
	CLOCK_UNTIL(&test.loop, test.lost > 0);
	clock_pass(&test.loop, 2000);
	assert_int_equal(test.opened, 0);
	assert_int_equal(test.lost, 1);
	assert_string_equal(test.why, "given up");
}

/* The same, when the server would have to let us in first. */
static void test_late_connect_with_password(void **state)
{
	(void)state;
	open_wire(":secret@");
	lose("given up");
	CLOCK_UNTIL(&test.loop, test.lost > 0);
	clock_pass(&test.loop, 2000);
	assert_int_equal(test.opened, 0);
	assert_int_equal(test.lost, 1);
}

/* What is read after the end is for nobody, and the first reason stays. */
static void test_bytes_after_the_end(void **state)
{
	int peer;

	(void)state;
	open_wire("");
	CLOCK_UNTIL(&test.loop, test.opened > 0);
	peer = clock_accept(&test.loop, test.listener);
	assert_int_equal(send(peer, "+OK\r\n", 5, 0), 5);
	lose("first");
	lose("second");
	close(peer);
	CLOCK_UNTIL(&test.loop, test.lost > 0);
	clock_pass(&test.loop, 2000);
	assert_int_equal(test.replied, 0);
	assert_int_equal(test.lost, 1);
	assert_string_equal(test.why, "first");
}

/* A server that takes the connection and never lets us in. */
static void test_never_let_in(void **state)
{
	int peer;

	(void)state;
	open_wire(":secret@");
	peer = clock_accept(&test.loop, test.listener);
	clock_pass(&test.loop, 3000);
	assert_int_equal(test.opened, 0);
	assert_int_equal(test.lost, 1);
	assert_string_equal(test.why, "no answer while connecting");
	close(peer);
}

/* A server that lets us in and answers, for as long as it is asked. */
static void serve(int *peer)
{
	char bytes[256];

	if (*peer < 0)
		*peer = accept4(test.listener, NULL, NULL, SOCK_NONBLOCK);
	if (*peer >= 0 && recv(*peer, bytes, sizeof(bytes), 0) > 0)
		(void)!send(*peer, "+OK\r\n", 5, MSG_NOSIGNAL);
}

/* Up to a reply, or to whatever end it comes to. Without memory libevent may
 * make a bufferevent that never writes: the owner, who waits in vain, ends it.
 */
static void ask_once(void)
{
	bool is_asked = false, goes_on = true;
	int peer = -1, rounds;

	for (rounds = 0; goes_on && rounds < 2000; rounds++) {
		serve(&peer);
		clock_turn(&test.loop);
		clock_pass(&test.loop, rounds < 100 ? 0 : 10);
		if (test.opened && !test.lost && !is_asked) {
			is_asked = true;
			goes_on = redis_wire_say(test.wire, 1,
						 (const char *[]){"PING"});
		}
		if (rounds == 1000)
			lose("silent");
		goes_on = goes_on && !test.lost && !test.replied;
	}
	assert_false(goes_on);
	close(peer);
}

/* Whichever allocation fails, libevent's too: no reply, or an end, told once.
 */
static void test_without_memory(void **state)
{
	bool failed;
	unsigned int n;

	(void)state;
	for (n = 1;; n++) {
		test.opened = test.replied = test.lost = 0;
		begin_wire(":secret@", n);
		if (test.wire)
			ask_once();
		failed = kit_did_fail();
		kit_fail_allocation(0);
		assert_true(test.opened <= 1 && test.lost <= 1);
		if (!failed)
			break;
		redis_wire_free(test.wire);
		test.wire = NULL;
		close(test.listener);
	}
	assert_true(n > 10);
	assert_int_equal(test.replied, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_late_connect, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_late_connect_with_password,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_bytes_after_the_end,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_never_let_in, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_without_memory, set_up,
						tear_down),
	};

	return cmocka_run_group_tests_name("redis_wire", tests, NULL, NULL);
}
