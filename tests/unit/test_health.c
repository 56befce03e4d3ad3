/* SPDX-License-Identifier: MIT */
/*
 * health: real sockets and a clock of the test's own, from a route that comes
 * into the cache to who hears that its target is down.
 */
#include "clock.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../spoa/balance.h"
#include "../../spoa/health.h"

enum {
	INTERVAL = 2000,
	JITTER = INTERVAL / 10,
	SCAN = 200,
	IDLE = 60 * 1000,
	EVENTS_MAX = 8,
	TARGETS_MAX = 4,
};

static struct {
	struct loop loop;
	struct health *health;
	struct watch *watch;
	struct guard guard;
	union route_room room;
	int listener;
	uint16_t port;
	struct {
		enum health_event event;
		char reason[64];
		int status;
		char field[64];
		size_t uses;
	} events[EVENTS_MAX];
	int count;
} test;

static void on_changed(void *context, const struct health_change *change)
{
	struct span field = {0};

	assert_ptr_equal(context, &test);
	assert_in_range(test.count, 0, EVENTS_MAX - 1);
	assert_int_equal(change->target.port, test.port);
	if (change->field_count > 0)
		field = change->fields[0];
	test.events[test.count].event = change->event;
	test.events[test.count].status = change->status;
	test.events[test.count].uses = change->uses;
	snprintf(test.events[test.count].reason, 64, "%s", change->reason);
	snprintf(test.events[test.count].field, 64, "%.*s", (int)field.len,
		 field.p);
	test.count++;
}

static void open_health(void)
{
	static const struct hash_secret secret = {1, 2};
	struct health_options options = {
		.loop = &test.loop,
		.secret = &secret,
		.targets_max = TARGETS_MAX,
		.open_max = 8,
		.times = {.interval_ms = INTERVAL,
			  .timeout_ms = 1000,
			  .rules = {.fall = 3, .rise = 2}},
		.guard = &test.guard,
		.changed = on_changed,
		.context = &test};

	test.health = health_new(&options);
}

static int set_up(void **state)
{
	(void)state;
	memset(&test, 0, sizeof(test));
	clock_open(&test.loop);
	clock_hush();
	test.listener = clock_listen(&test.port);
	open_health();
	assert_non_null(test.health);
	test.watch = health_face(test.health);
	return 0;
}

static void stop_listening(void)
{
	if (test.listener >= 0)
		close(test.listener);
	test.listener = -1;
}

static int tear_down(void **state)
{
	(void)state;
	health_free(test.health);
	stop_listening();
	clock_close(&test.loop);
	return 0;
}

static bool allows(void *context, const struct target *target)
{
	(void)context;
	(void)target;
	return true;
}

/* A route of `field` with the one target comes into the cache. */
static uint32_t take(const char *field, const char *option)
{
	static const struct route_reader reader = {.allows = allows};
	struct route *route = &test.room.route;
	unsigned int column;
	char text[200];

	snprintf(text, sizeof(text), "127.0.0.1:%u; %s", test.port, option);
	assert_int_equal(
		route_parse(span_of(text), &reader, &test.room, &column),
		ROUTE_GOOD);
	return test.watch->take(test.watch, span_of(field), route,
				&route->targets[0]);
}

static uint8_t rank(uint32_t slot)
{
	return test.watch->states[slot] & BALANCE_RANK;
}

static uint64_t checks(void)
{
	return health_count(test.health)->checks;
}

/* Time passes while requests use the target; those who connect are let in, and
 * checks of now are over in the end. */
static void pass_used(uint32_t slot, int64_t ms)
{
	for (; ms > 0; ms -= 100) {
		uint64_t ended = 0;
		int fd, i;

		test.watch->states[slot] |= BALANCE_USED;
		clock_pass(&test.loop, 100);
		while (test.listener >= 0 &&
		       (fd = accept(test.listener, NULL, NULL)) >= 0)
			close(fd);
		for (i = 0; i < CHECKER_RESULTS; i++)
			ended += health_count(test.health)->results[i];
		if (ended < checks())
			CLOCK_UNTIL(
				&test.loop,
				health_count(test.health)
							->results
								[CHECKER_PASSED] +
						health_count(test.health)
							->results
								[CHECKER_REFUSED] ==
					checks());
	}
}

static void test_one_check_an_interval(void **state)
{
	uint32_t slot = take("a.test", "check tcp");

	(void)state;
	assert_int_not_equal(slot, 0);
	clock_pass(&test.loop, 3 * INTERVAL);
	assert_int_equal(checks(), 0); /* nobody asked for it */
	pass_used(slot, INTERVAL + SCAN);
	assert_in_range(checks(), 1, 2);
	pass_used(slot, 10 * INTERVAL);
	assert_in_range(checks(), 10, 13);
	assert_int_equal(test.count, 0);
	assert_int_equal(rank(slot), BALANCE_UP);
}

static void test_down_and_up(void **state)
{
	uint32_t slot = take("a.test", "check tcp");
	uint32_t version;

	(void)state;
	assert_int_equal(take("*.b.test", "check tcp"), slot);
	pass_used(slot, 2 * INTERVAL);
	version = *test.watch->version;
	stop_listening();
	pass_used(slot, 3 * INTERVAL - 3 * JITTER - 100);
	assert_int_equal(test.count, 0);
	pass_used(slot, INTERVAL + 6 * JITTER + 100);
	assert_int_equal(test.count, 1);
	assert_int_equal(test.events[0].event, HEALTH_DOWN);
	assert_string_equal(test.events[0].reason, "connection refused");
	assert_int_equal(test.events[0].uses, 2);
	assert_string_equal(test.events[0].field, "a.test");
	assert_true(rank(slot) >= BALANCE_DOWN);
	assert_int_not_equal(*test.watch->version, version);
	test.listener = clock_listen(&test.port);
	pass_used(slot, 3 * INTERVAL + 3 * JITTER);
	assert_int_equal(test.count, 2);
	assert_int_equal(test.events[1].event, HEALTH_UP);
	assert_int_equal(rank(slot), BALANCE_UP);
}

/* A report is looked into at once, and one bad check is enough then. */
static void test_a_report(void **state)
{
	static const uint8_t here[4] = {127, 0, 0, 1};
	uint32_t slot = take("a.test", "check tcp");
	uint64_t before;

	(void)state;
	pass_used(slot, 2 * INTERVAL);
	before = checks();
	health_report(test.health, here, sizeof(here), test.port);
	assert_int_equal(rank(slot), BALANCE_DOUBTED);
	pass_used(slot, 100);
	assert_int_equal(checks(), before + 1);
	assert_int_equal(rank(slot), BALANCE_UP);
	pass_used(slot, INTERVAL); /* or the next one is not taken */
	stop_listening();
	health_report(test.health, here, sizeof(here), test.port);
	pass_used(slot, 100);
	assert_int_equal(test.count, 1);
	assert_true(rank(slot) >= BALANCE_DOWN);
	health_report(test.health, here, sizeof(here),
		      (uint16_t)(test.port ^ 1));
	assert_int_equal(health_count_targets(test.health)->reports_foreign, 1);
}

/* What nobody asks for any more is let go, and who heard that it was down
 * hears of that too. */
static void test_unused(void **state)
{
	uint32_t slot = take("a.test", "check tcp");
	uint64_t before;

	(void)state;
	stop_listening();
	pass_used(slot, 5 * INTERVAL);
	assert_int_equal(test.count, 1);
	clock_pass(&test.loop, IDLE + 2 * INTERVAL);
	assert_int_equal(test.count, 2);
	assert_int_equal(test.events[1].event, HEALTH_GONE);
	assert_int_equal(rank(slot), BALANCE_UP);
	before = checks();
	clock_pass(&test.loop, 5 * INTERVAL);
	assert_int_equal(checks(), before);
	test.watch->release(test.watch, slot, span_of("a.test"));
	clock_pass(&test.loop, IDLE + 2 * INTERVAL);
	assert_int_equal(health_count_targets(test.health)->watched, 0);
}

static void test_an_http_check(void **state)
{
	static const struct {
		const char *field;
		const char *host;
	} rows[] = {{"a.test", "Host: a.test\r\n"},
		    {"*.b.test", "Host: b.test\r\n"},
		    {"*", "Host: 127.0.0.1:"}};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		uint32_t slot = take(rows[i].field, "check http /up");
		uint64_t before = checks();
		char request[512] = "";
		int64_t ms;
		int fd;

		test.watch->states[slot] |= BALANCE_USED;
		for (ms = 0; checks() == before; ms += 10) {
			assert_in_range(ms, 0, INTERVAL + SCAN);
			clock_pass(&test.loop, 10);
		}
		fd = clock_accept(&test.loop, test.listener);
		CLOCK_UNTIL(&test.loop, recv(fd, request, sizeof(request) - 1,
					     MSG_DONTWAIT) > 0);
		assert_non_null(strstr(request, "GET /up HTTP/1.1\r\n"));
		if (!strstr(request, rows[i].host))
			fail_msg("%s: %s", rows[i].field, request);
		close(fd);
		test.watch->release(test.watch, slot, span_of(rows[i].field));
	}
}

/* The last door: no check goes to where no request may. */
static void test_the_guard(void **state)
{
	const char *problem;

	(void)state;
	assert_true(guard_add(&test.guard.denied, "127.0.0.0/8", &problem));
	assert_int_equal(take("a.test", "check tcp"), 0);
	clock_pass(&test.loop, 2 * INTERVAL);
	assert_int_equal(checks(), 0);
}

static void test_too_many_targets(void **state)
{
	uint16_t port = test.port;
	int i;

	(void)state;
	for (i = 0; i < TARGETS_MAX; i++, test.port ^= (uint16_t)(1 << i))
		assert_int_not_equal(take("a.test", "check tcp"), 0);
	assert_int_equal(take("a.test", "check tcp"), 0);
	assert_int_equal(health_count_targets(test.health)->refused, 1);
	test.port = port;
	assert_int_not_equal(take("b.test", "check tcp"), 0);
}

static void test_without_memory(void **state)
{
	unsigned int n;
	bool failed = true;

	(void)state;
	for (n = 1; failed; n++) {
		struct health *whole = test.health;

		kit_fail_allocation(n);
		open_health();
		failed = kit_did_fail();
		kit_fail_allocation(0);
		if (failed)
			assert_null(test.health);
		else
			health_free(test.health);
		test.health = whole;
	}
	assert_true(n > 3);
}

int main(void)
{
#define HEALTH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		HEALTH(test_one_check_an_interval),
		HEALTH(test_down_and_up),
		HEALTH(test_a_report),
		HEALTH(test_unused),
		HEALTH(test_an_http_check),
		HEALTH(test_the_guard),
		HEALTH(test_too_many_targets),
		HEALTH(test_without_memory),
	};

	return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
