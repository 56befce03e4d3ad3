/* SPDX-License-Identifier: MIT */
/*
 * events: the words in which a change is published.
 */
#include "kit.h"

#include <stdio.h>

#include "../../spoa/events.h"
#include "../../spoa/log.h"

static const uint8_t four[4] = {10, 0, 0, 1};
static const uint8_t six[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 1};

static struct {
	struct events events;
	char channel[1100];
	char message[8192];
	bool is_lost;
} test;

static bool publish(void *context, struct span channel, struct span message)
{
	assert_ptr_equal(context, &test);
	snprintf(test.channel, sizeof(test.channel), "%.*s", (int)channel.len,
		 channel.p);
	snprintf(test.message, sizeof(test.message), "%.*s", (int)message.len,
		 message.p);
	return !test.is_lost;
}

static int set_up(void **state)
{
	(void)state;
	memset(&test, 0, sizeof(test));
	test.events.options = (struct events_options){
		.key = "routes", .publish = publish, .context = &test};
	log_setup(LOG_ERROR, LOG_TEXT);
	return 0;
}

static struct health_change change_of(enum health_event event)
{
	return (struct health_change){
		.event = event,
		.target = {.address = four, .address_len = 4, .port = 9000},
		.reason = "connection refused",
		.fields = {span_of("app1.cloud.com")},
		.field_count = 1,
		.uses = 1};
}

static void test_a_change(void **state)
{
	struct health_change change = change_of(HEALTH_DOWN);

	(void)state;
	events_tell(&test.events, &change);
	assert_string_equal(test.channel, "routes:events");
	assert_string_equal(test.message,
			    "{\"event\":\"down\",\"target\":\"10.0.0.1:9000\","
			    "\"check\":\"tcp\",\"reason\":"
			    "\"connection refused\",\"hosts\":"
			    "[\"app1.cloud.com\"],\"hosts_total\":1}");
	change = change_of(HEALTH_UP);
	events_tell(&test.events, &change);
	assert_non_null(strstr(test.message, "{\"event\":\"up\","));
	change = change_of(HEALTH_GONE);
	change.field_count = change.uses = 0;
	events_tell(&test.events, &change);
	assert_non_null(strstr(test.message, "{\"event\":\"gone\","));
	assert_non_null(strstr(test.message, "\"hosts\":[],\"hosts_total\":0"));
	assert_int_equal(test.events.counters.published, 3);
	assert_int_equal(test.events.counters.lost, 0);
}

static void test_an_http_check(void **state)
{
	struct health_change change = change_of(HEALTH_DOWN);

	(void)state;
	change.target.address = six;
	change.target.address_len = 16;
	change.target.path = span_of("/up?\"x\"");
	change.reason = "http status";
	change.status = 503;
	events_tell(&test.events, &change);
	assert_non_null(strstr(test.message,
			       "\"target\":\"[2001:db8::1]:9000\",\"check\":"
			       "\"http\",\"path\":\"/up?\\\"x\\\"\",\"reason\":"
			       "\"http status\",\"status\":503,"));
}

/* Thousands of routes may name a target: a message holds some, and how many
 * there are. */
static void test_hosts_are_bounded(void **state)
{
	struct health_change change = change_of(HEALTH_DOWN);
	const char *p = test.message;
	size_t i, count = 0;

	(void)state;
	for (i = 0; i < NAMES_MAX; i++)
		change.fields[i] = span_of("a.test");
	change.field_count = NAMES_MAX;
	change.uses = 100000;
	events_tell(&test.events, &change);
	for (; (p = strstr(p, "a.test")) != NULL; p++)
		count++;
	assert_int_equal(count, NAMES_MAX);
	assert_non_null(strstr(test.message, "\"hosts_total\":100000}"));
}

static void test_what_is_lost_is_counted(void **state)
{
	struct health_change change = change_of(HEALTH_DOWN);

	(void)state;
	test.is_lost = true;
	events_tell(&test.events, &change);
	assert_int_equal(test.events.counters.published, 0);
	assert_int_equal(test.events.counters.lost, 1);
}

static void test_a_long_key(void **state)
{
	struct health_change change = change_of(HEALTH_DOWN);
	char key[1001];

	(void)state;
	memset(key, 'k', sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	test.events.options.key = key;
	events_tell(&test.events, &change);
	assert_memory_equal(test.channel, key, sizeof(key) - 1);
	assert_string_equal(test.channel + sizeof(key) - 1, ":events");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_a_change, set_up),
		cmocka_unit_test_setup(test_an_http_check, set_up),
		cmocka_unit_test_setup(test_hosts_are_bounded, set_up),
		cmocka_unit_test_setup(test_what_is_lost_is_counted, set_up),
		cmocka_unit_test_setup(test_a_long_key, set_up),
	};

	return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
