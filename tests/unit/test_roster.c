/* SPDX-License-Identifier: MIT */
/*
 * roster: who is watched, who is due, what checks and reports make of it.
 */
#include "kit.h"

#include "../../spoa/roster.h"

enum { INTERVAL = 2000, IDLE = 60 * 1000, MAX = 8, BURST = 3 };

static struct roster *roster;
static int64_t now_ms;

static int set_up(void **state)
{
	const struct roster_options options = {.targets_max = MAX,
					       .interval_ms = INTERVAL,
					       .idle_ms = IDLE,
					       .burst = BURST,
					       .rules = {.fall = 3, .rise = 2}};
	const struct hash_secret secret = {kit_random(), kit_random()};

	(void)state;
	now_ms = 1000 * 1000;
	roster = roster_new(&options, &secret);
	assert_non_null(roster);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	roster_free(roster);
	return 0;
}

/* The target 10.0.0.N:80, or [10::N]:80 when N is negative. */
static struct roster_target place(int n, const char *path, const char *host)
{
	static uint8_t address[16];

	memset(address, 0, sizeof(address));
	address[0] = 10;
	address[n < 0 ? 15 : 3] = (uint8_t)(n < 0 ? -n : n);
	return (struct roster_target){.address = address,
				      .address_len = n < 0 ? 16 : 4,
				      .port = 80,
				      .path = span_of(path),
				      .host = span_of(host)};
}

static uint32_t take(int n, const char *field)
{
	struct roster_target target = place(n, "", "");

	return roster_take(roster, &target, span_of(field), now_ms);
}

static uint32_t take_http(int n, const char *path, const char *host)
{
	struct roster_target target = place(n, path, host);

	return roster_take(roster, &target, span_of(host), now_ms);
}

static void release(uint32_t slot, const char *field)
{
	roster_release(roster, slot, span_of(field), now_ms);
}

static void use(uint32_t slot)
{
	roster_states(roster)[slot] |= ROSTER_USED;
	roster_scan(roster, now_ms);
	assert_int_equal(roster_states(roster)[slot] & ROSTER_USED, 0);
}

static int rank(uint32_t slot)
{
	return roster_states(roster)[slot] & ~ROSTER_USED;
}

/* Goes to when the slot is due, and starts its check. */
static void start(uint32_t slot)
{
	uint32_t found = 0;

	assert_true(roster_due(roster) >= 0);
	if (roster_due(roster) > now_ms)
		now_ms = roster_due(roster);
	assert_int_equal(roster_next(roster, now_ms, &found), ROSTER_CHECK);
	assert_int_equal(found, slot);
}

static enum pulse_change check(uint32_t slot, enum pulse_result result)
{
	start(slot);
	return roster_note(roster, slot, result, now_ms);
}

static void take_down(uint32_t slot)
{
	assert_int_equal(check(slot, PULSE_BAD), PULSE_SAME);
	assert_int_equal(check(slot, PULSE_BAD), PULSE_SAME);
	assert_int_equal(check(slot, PULSE_BAD), PULSE_WENT_DOWN);
	assert_int_equal(rank(slot), ROSTER_DOWN);
}

static void report(int n)
{
	struct roster_target target = place(n, "", "");

	roster_report(roster, target.address, target.address_len, target.port,
		      now_ms);
}

static bool is_quiet(void)
{
	uint32_t slot;

	return roster_next(roster, now_ms, &slot) == ROSTER_NOTHING;
}

static void test_one_slot_a_place(void **state)
{
	uint32_t a = take(1, "a.test");
	uint32_t http = take_http(1, "/up", "a.test");

	(void)state;
	assert_int_not_equal(a, 0);
	assert_int_equal(take(1, "b.test"), a);
	assert_int_equal(roster_uses(roster, a), 2);
	assert_int_not_equal(take(2, "a.test"), a);
	assert_int_not_equal(take(-1, "a.test"), a);
	assert_int_not_equal(http, a);
	assert_int_equal(take_http(1, "/up", "a.test"), http);
	assert_int_not_equal(take_http(1, "/u", "pa.test"), http);
	assert_int_not_equal(take_http(1, "/up", "b.test"), http);
	assert_int_equal(roster_count(roster)->watched, 6);
	assert_true(span_is(roster_field(roster, a, 0), "a.test"));
	assert_true(span_is(roster_field(roster, a, 1), "b.test"));
	assert_int_equal(roster_field(roster, a, 2).len, 0);
	assert_true(span_is(roster_target(roster, http).path, "/up"));
	assert_true(span_is(roster_target(roster, http).host, "a.test"));
	assert_int_equal(roster_target(roster, a).port, 80);
	assert_int_equal(roster_target(roster, a).address_len, 4);
}

static void test_only_what_is_used_is_checked(void **state)
{
	uint32_t a = take(1, "a.test");
	uint32_t b = take(2, "a.test");

	(void)state;
	roster_scan(roster, now_ms);
	assert_int_equal(roster_due(roster), -1);
	use(b);
	assert_in_range(roster_due(roster), now_ms, now_ms + INTERVAL);
	assert_int_equal(check(b, PULSE_GOOD), PULSE_SAME);
	assert_int_equal(roster_count(roster)->checked, 1);
	use(a);
	assert_int_equal(roster_count(roster)->checked, 2);
}

static void test_once_an_interval(void **state)
{
	uint32_t a = take(1, "a.test");
	int64_t first, last, least = INT64_MAX, most = 0;
	int i;

	(void)state;
	use(a);
	start(a);
	first = last = now_ms;
	for (i = 0; i < 1000; i++) {
		now_ms += 300; /* so long a check takes */
		assert_true(is_quiet());
		assert_int_equal(roster_note(roster, a, PULSE_GOOD, now_ms),
				 PULSE_SAME);
		use(a);
		start(a);
		least = now_ms - last < least ? now_ms - last : least;
		most = now_ms - last > most ? now_ms - last : most;
		last = now_ms;
	}
	assert_in_range(least, INTERVAL * 9 / 10, INTERVAL * 19 / 20);
	assert_in_range(most, INTERVAL * 21 / 20, INTERVAL * 11 / 10);
	assert_in_range((last - first) / 1000, INTERVAL * 98 / 100,
			INTERVAL * 102 / 100);
	assert_int_equal(roster_count(roster)->late, 0);
	now_ms += 5 * INTERVAL;
	assert_int_equal(roster_note(roster, a, PULSE_BAD, now_ms), PULSE_SAME);
	now_ms += 2 * INTERVAL;
	start(a);
	assert_int_equal(roster_count(roster)->late, 1);
}

static void test_down_and_up(void **state)
{
	uint32_t a = take(1, "a.test");

	(void)state;
	use(a);
	take_down(a);
	assert_int_equal(roster_count(roster)->down, 1);
	use(a);
	assert_int_equal(rank(a), ROSTER_DOWN);
	assert_int_equal(check(a, PULSE_GOOD), PULSE_SAME);
	assert_int_equal(rank(a), ROSTER_DOWN);
	assert_int_equal(check(a, PULSE_GOOD), PULSE_WENT_UP);
	assert_int_equal(rank(a), ROSTER_UP);
	assert_int_equal(roster_count(roster)->down, 0);
}

static void test_long_down(void **state)
{
	uint32_t a = take(1, "a.test");
	int64_t since;

	(void)state;
	use(a);
	take_down(a);
	since = now_ms;
	while (now_ms - since <= 10 * INTERVAL) {
		assert_int_equal(rank(a), ROSTER_DOWN);
		use(a);
		assert_int_equal(check(a, PULSE_BAD), PULSE_SAME);
	}
	assert_int_equal(rank(a), ROSTER_DOWN_LONG);
}

/* Whoever marks a state as used must not lose the mark to a change. */
static void test_marks_stay(void **state)
{
	uint32_t a = take(1, "a.test");

	(void)state;
	use(a);
	roster_states(roster)[a] |= ROSTER_USED;
	assert_int_equal(check(a, PULSE_BAD), PULSE_SAME);
	report(1);
	assert_int_equal(roster_states(roster)[a],
			 ROSTER_USED | ROSTER_DOUBTED);
}

static void test_unused_is_let_go(void **state)
{
	uint32_t a = take(1, "a.test");
	uint32_t found;
	int64_t since;

	(void)state;
	use(a);
	since = now_ms;
	take_down(a);
	while (now_ms - since <= IDLE)
		if (roster_due(roster) - since > IDLE)
			break;
		else
			assert_int_equal(check(a, PULSE_BAD), PULSE_SAME);
	now_ms = roster_due(roster);
	assert_in_range(now_ms - since, IDLE, IDLE + INTERVAL * 11 / 10);
	assert_int_equal(roster_next(roster, now_ms, &found), ROSTER_GONE);
	assert_int_equal(found, a);
	assert_true(is_quiet());
	assert_int_equal(roster_due(roster), -1);
	assert_int_equal(roster_count(roster)->checked, 0);
	assert_int_equal(roster_count(roster)->down, 0);
	/* Its route is still there: it begins anew. */
	assert_int_equal(rank(a), ROSTER_UP);
	use(a);
	assert_int_equal(check(a, PULSE_BAD), PULSE_SAME);
}

static void test_a_change_of_the_route_forgets_nothing(void **state)
{
	uint32_t a = take(1, "a.test");

	(void)state;
	use(a);
	take_down(a);
	release(a, "a.test");
	now_ms += 1000;
	assert_true(is_quiet()); /* no route: no check */
	now_ms += 3 * INTERVAL;
	assert_true(is_quiet());
	assert_int_equal(take(1, "b.test"), a);
	assert_int_equal(rank(a), ROSTER_DOWN);
	assert_true(span_is(roster_field(roster, a, 0), "b.test"));
	assert_int_equal(check(a, PULSE_GOOD), PULSE_SAME);
	assert_int_equal(check(a, PULSE_GOOD), PULSE_WENT_UP);
}

static void test_no_route_no_slot(void **state)
{
	uint32_t a = take(1, "a.test");
	uint32_t b = take(2, "a.test");
	uint32_t found;

	(void)state;
	use(a);
	use(b);
	release(a, "a.test");
	start(b);
	release(b, "a.test"); /* while its check is under way */
	assert_int_equal(roster_count(roster)->watched, 2);
	assert_int_equal(roster_note(roster, b, PULSE_BAD, now_ms), PULSE_SAME);
	assert_int_equal(roster_count(roster)->watched, 2);
	now_ms += IDLE;
	assert_int_equal(roster_next(roster, now_ms, &found), ROSTER_NOTHING);
	assert_int_equal(roster_count(roster)->watched, 0);
	/* What was never checked leaves nothing to remember. */
	a = take(3, "a.test");
	release(a, "a.test");
	assert_int_equal(roster_count(roster)->watched, 0);
}

static void test_room(void **state)
{
	uint32_t slots[MAX];
	char path[ROSTER_PATH_MAX + 2];
	int i, n;

	(void)state;
	for (n = 0; n < 3; n++) {
		for (i = 0; i < MAX; i++) {
			slots[i] = take_http(i, "/x", "a.test");
			assert_in_range(slots[i], 1, MAX);
			use(slots[i]);
		}
		assert_int_equal(take(MAX, "a.test"), 0);
		assert_int_equal(roster_count(roster)->refused, n + 1);
		for (i = 0; i < MAX; i++)
			release(slots[i], "a.test");
		now_ms += IDLE;
		assert_true(is_quiet());
		assert_int_equal(roster_count(roster)->watched, 0);
	}
	memset(path, 'x', sizeof(path));
	path[ROSTER_PATH_MAX + 1] = '\0';
	assert_int_equal(take_http(1, path, "a.test"), 0);
	path[ROSTER_PATH_MAX] = '\0';
	assert_int_not_equal(take_http(1, path, "a.test"), 0);
}

static void test_a_report_is_checked_at_once(void **state)
{
	uint32_t a = take(1, "a.test");
	uint32_t b = take(-1, "a.test");

	(void)state;
	use(a);
	use(b);
	report(1);
	assert_int_equal(rank(a), ROSTER_DOUBTED);
	assert_int_equal(rank(b), ROSTER_UP);
	assert_int_equal(roster_due(roster), now_ms);
	assert_int_equal(roster_count(roster)->doubted, 1);
	assert_int_equal(check(a, PULSE_GOOD), PULSE_SAME);
	assert_int_equal(rank(a), ROSTER_UP);
	assert_int_equal(roster_count(roster)->doubted, 0);
	report(-1);
	assert_int_equal(check(b, PULSE_BAD), PULSE_WENT_DOWN);
	assert_int_equal(rank(b), ROSTER_DOWN);
}

/* All the ways in which an address is checked are doubted together. */
static void test_a_report_is_of_an_address(void **state)
{
	uint32_t a = take(1, "a.test");
	uint32_t http = take_http(1, "/", "a.test");
	uint32_t other = take(2, "a.test");

	(void)state;
	use(a);
	use(http);
	use(other);
	report(1);
	assert_int_equal(rank(a), ROSTER_DOUBTED);
	assert_int_equal(rank(http), ROSTER_DOUBTED);
	assert_int_equal(rank(other), ROSTER_UP);
	assert_int_equal(roster_count(roster)->reports, 2);
}

static void test_reports_of_strangers(void **state)
{
	uint32_t a = take(1, "a.test");
	uint32_t b = take(2, "a.test");

	(void)state;
	use(a);
	report(3); /* no such target */
	report(2); /* not in use */
	assert_int_equal(roster_due(roster) < now_ms, 0);
	assert_int_equal(roster_count(roster)->reports_foreign, 2);
	assert_int_equal(rank(b), ROSTER_UP);
	/* A request was answered with it, but it was not scanned yet. */
	roster_states(roster)[b] |= ROSTER_USED;
	report(2);
	assert_int_equal(rank(b), ROSTER_DOUBTED);
	release(a, "a.test");
	report(1); /* let go */
	assert_int_equal(roster_count(roster)->reports_foreign, 3);
	assert_int_equal(rank(a), ROSTER_UP);
}

/* However often it is lied about, a target is checked once more an interval. */
static void test_reports_of_one_target_are_few(void **state)
{
	uint32_t a = take(1, "a.test");
	int64_t end;
	int checks = 0;

	(void)state;
	use(a);
	for (end = now_ms + 10 * INTERVAL; now_ms < end; now_ms++) {
		uint32_t slot;

		report(1);
		report(1);
		if (roster_next(roster, now_ms, &slot) != ROSTER_CHECK)
			continue;
		checks++;
		assert_int_equal(roster_note(roster, a, PULSE_GOOD, now_ms),
				 PULSE_SAME);
		assert_int_equal(rank(a), ROSTER_UP);
	}
	assert_in_range(checks, 10, 22);
	assert_int_equal(roster_count(roster)->reports, 10);
	assert_int_equal(roster_count(roster)->reports_known,
			 10 * INTERVAL * 2 - 10);
}

static void test_reports_in_all_are_few(void **state)
{
	uint32_t slots[MAX];
	int i;

	(void)state;
	for (i = 0; i < MAX; i++)
		use(slots[i] = take(i, "a.test"));
	for (i = 0; i < MAX; i++)
		report(i);
	assert_int_equal(roster_count(roster)->reports, BURST);
	assert_int_equal(roster_count(roster)->reports_held, MAX - BURST);
	for (i = 0; i < MAX; i++)
		assert_int_equal(rank(slots[i]),
				 i < BURST ? ROSTER_DOUBTED : ROSTER_UP);
	now_ms += 1000;
	for (i = 0; i < MAX; i++)
		report(i);
	assert_int_equal(roster_count(roster)->reports, 2 * BURST);
}

/* A report that comes during a check is decided by that one. */
static void test_a_report_during_a_check(void **state)
{
	uint32_t a = take(1, "a.test");

	(void)state;
	use(a);
	start(a);
	report(1);
	assert_int_equal(rank(a), ROSTER_DOUBTED);
	assert_true(is_quiet());
	assert_int_equal(roster_note(roster, a, PULSE_BAD, now_ms),
			 PULSE_WENT_DOWN);
}

static void test_a_check_that_cannot_be_made(void **state)
{
	uint32_t a = take(1, "a.test");
	int i;

	(void)state;
	use(a);
	for (i = 0; i < 10; i++)
		assert_int_equal(check(a, PULSE_UNKNOWN), PULSE_SAME);
	assert_int_equal(rank(a), ROSTER_UP);
}

static void test_no_memory(void **state)
{
	const struct roster_options options = {.targets_max = MAX};
	const struct hash_secret secret = {1, 2};
	unsigned int n;
	uint32_t slot;

	(void)state;
	for (n = 1;; n++) {
		struct roster *other;

		kit_fail_allocation(n);
		other = roster_new(&options, &secret);
		roster_free(other);
		if (!kit_did_fail())
			break;
		assert_null(other);
	}
	kit_fail_allocation(1);
	assert_int_equal(take_http(1, "/", "a.test"), 0);
	assert_true(kit_did_fail());
	assert_int_equal(roster_count(roster)->watched, 0);
	kit_fail_allocation(1); /* only the name is not remembered */
	slot = take(1, "a.test");
	assert_int_not_equal(slot, 0);
	assert_int_equal(roster_field(roster, slot, 0).len, 0);
	release(slot, "a.test");
}

/* Any order of what can happen leaves the counts right and all at rest at the
 * end. */
static void test_any_order(void **state)
{
	uint32_t slots[200];
	int numbers[200];
	uint32_t open[MAX], slot;
	size_t count = 0, opened = 0, i;
	int step;

	(void)state;
	for (step = 0; step < 50000; step++) {
		now_ms += (int64_t)(kit_random() % 200);
		i = (size_t)kit_random() % ARRAY_LEN(slots);
		switch (kit_random() % 6) {
		case 0:
			if (count == ARRAY_LEN(slots))
				break;
			numbers[count] = (int)(kit_random() % 12);
			slots[count] = take(numbers[count], "a.test");
			count += slots[count] != 0;
			break;
		case 1:
			if (count == 0)
				break;
			i %= count;
			release(slots[i], "a.test");
			slots[i] = slots[--count];
			break;
		case 2:
			if (count > 0)
				roster_states(roster)[slots[i % count]] |=
					ROSTER_USED;
			roster_scan(roster, now_ms);
			break;
		case 3:
			if (roster_next(roster, now_ms, &slot) == ROSTER_CHECK)
				open[opened++] = slot;
			break;
		case 4:
			report((int)(i % 12));
			break;
		default:
			if (opened == 0)
				break;
			i %= opened;
			(void)!roster_note(roster, open[i],
					   (enum pulse_result)(step % 3),
					   now_ms);
			open[i] = open[--opened];
		}
		assert_in_range(roster_count(roster)->watched, 0, MAX);
		assert_true(roster_count(roster)->down +
				    roster_count(roster)->doubted <=
			    roster_count(roster)->watched);
	}
	while (opened > 0)
		(void)!roster_note(roster, open[--opened], PULSE_BAD, now_ms);
	while (count > 0)
		release(slots[--count], "a.test");
	now_ms += IDLE + INTERVAL;
	while (roster_next(roster, now_ms, &slot) != ROSTER_NOTHING)
		;
	assert_int_equal(roster_count(roster)->watched, 0);
	assert_int_equal(roster_count(roster)->checked, 0);
	assert_int_equal(roster_count(roster)->down, 0);
	assert_int_equal(roster_count(roster)->doubted, 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

/* Plans of routes hold for as long as it is the same. */
static void test_the_version_tells_of_changes(void **state)
{
	const uint32_t *version = roster_version(roster);
	uint32_t a = take(1, "a.test");
	uint32_t before = *version;

	(void)state;
	assert_int_not_equal(before, 0);
	roster_scan(roster, now_ms);
	assert_int_equal(*version, before);
	use(a);
	assert_int_not_equal(*version, before);
	before = *version;
	check(a, PULSE_GOOD);
	check(a, PULSE_BAD);
	check(a, PULSE_BAD);
	assert_int_equal(*version, before);
	assert_int_equal(check(a, PULSE_BAD), PULSE_WENT_DOWN);
	assert_int_not_equal(*version, before);
	before = *version;
	check(a, PULSE_BAD);
	check(a, PULSE_GOOD);
	assert_int_equal(*version, before);
	assert_int_equal(check(a, PULSE_GOOD), PULSE_WENT_UP);
	assert_int_not_equal(*version, before);
	before = *version;
	report(1);
	assert_int_not_equal(*version, before);
}

/* Slots 1 to 8 are two words of states: both ends and the seam are found. */
static void test_the_failing_are_found(void **state)
{
	uint32_t slots[MAX];
	int i;

	(void)state;
	for (i = 0; i < MAX; i++)
		slots[i] = take(i + 1, "a.test");
	assert_int_equal(roster_next_failing(roster, 0), 0);
	use(slots[7]);
	take_down(slots[7]);
	use(slots[0]);
	report(1);
	assert_int_equal(roster_next_failing(roster, 0), slots[0]);
	assert_int_equal(roster_next_failing(roster, slots[0]), slots[7]);
	assert_int_equal(roster_next_failing(roster, slots[7]), 0);
	assert_int_equal(roster_down_since(roster, slots[0]), 0);
	assert_true(roster_down_since(roster, slots[7]) > 0);
	use(slots[6]);
	report(7);
	assert_int_equal(roster_next_failing(roster, slots[0]), slots[6]);
	assert_int_equal(roster_next_failing(roster, slots[6]), slots[7]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_slot_a_place),
		TEST(test_only_what_is_used_is_checked),
		TEST(test_once_an_interval),
		TEST(test_down_and_up),
		TEST(test_long_down),
		TEST(test_marks_stay),
		TEST(test_unused_is_let_go),
		TEST(test_a_change_of_the_route_forgets_nothing),
		TEST(test_no_route_no_slot),
		TEST(test_room),
		TEST(test_a_report_is_checked_at_once),
		TEST(test_a_report_is_of_an_address),
		TEST(test_reports_of_strangers),
		TEST(test_reports_of_one_target_are_few),
		TEST(test_reports_in_all_are_few),
		TEST(test_a_report_during_a_check),
		TEST(test_a_check_that_cannot_be_made),
		TEST(test_the_version_tells_of_changes),
		TEST(test_the_failing_are_found),
		TEST(test_no_memory),
		TEST(test_any_order),
	};

	return cmocka_run_group_tests_name("roster", tests, NULL, NULL);
}
