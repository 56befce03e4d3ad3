/* SPDX-License-Identifier: MIT */
/*
 * redis_reply: replies of the right shape, and of all others.
 */
#include "kit.h"

#include "../../spoa/redis_reply.h"

#include <stdio.h>
#include <stdlib.h>

static redisReply *parse(const char *bytes)
{
	redisReader *reader = redisReaderCreate();
	void *reply = NULL;

	assert_int_equal(redisReaderFeed(reader, bytes, strlen(bytes)),
			 REDIS_OK);
	assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
	assert_non_null(reply);
	redisReaderFree(reader);
	return reply;
}

static void test_redirect(void **state)
{
	static const struct {
		const char *reply;
		const char *host; /* NULL: none */
		unsigned int port;
		bool is_asking;
	} cases[] = {
		{"-MOVED 3999 127.0.0.1:6381\r\n", "127.0.0.1", 6381, false},
		{"-ASK 3999 127.0.0.1:6381\r\n", "127.0.0.1", 6381, true},
		{"-MOVED 0 ::1:7\r\n", "::1", 7, false},
		{"-MOVED 16383 node-1.example:7\r\n", "node-1.example", 7,
		 false},
		{"-MOVED 1 :7\r\n", "", 7, false},
		{"-MOVED 1 ?:7\r\n", NULL, 0, false},
		{"-MOVED\r\n", NULL, 0, false},
		{"-MOVED \r\n", NULL, 0, false},
		{"-MOVED 1 h:0\r\n", NULL, 0, false},
		{"-MOVED 1 h:65536\r\n", NULL, 0, false},
		{"-ASK 1 h\r\n", NULL, 0, false},
		{"-ASKING 1 h:7\r\n", NULL, 0, false},
		{"-ERR MOVED 1 h:7\r\n", NULL, 0, false},
		{"-\r\n", NULL, 0, false},
		{":7\r\n", NULL, 0, false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		redisReply *reply = parse(cases[i].reply);
		struct redis_redirect redirect;

		if (redis_reply_redirect(reply, &redirect) !=
		    (cases[i].host != NULL))
			fail_msg("%s", cases[i].reply);
		assert_int_equal(redirect.port, cases[i].port);
		if (cases[i].host) {
			assert_string_equal(redirect.host, cases[i].host);
			assert_int_equal(redirect.is_asking,
					 cases[i].is_asking);
		}
		freeReplyObject(reply);
	}
}

static char taken[256];

static void take(struct scan *scan, struct span field,
		 const struct store_value *value)
{
	size_t at = strlen(taken);

	(void)scan;
	snprintf(taken + at, sizeof(taken) - at, "%.*s=%d:%.*s;",
		 (int)field.len, field.len ? field.p : "", (int)value->kind,
		 (int)value->text.len, value->text.len ? value->text.p : "");
}

static void test_scan(void **state)
{
	static const struct {
		const char *reply;
		unsigned int count;
		const char *taken; /* NULL: refused */
		uint64_t number;   /* the cursor, or the total */
	} cases[] = {
		{":12\r\n", 0, "", 12},
		{"+OK\r\n", 0, NULL, 0},
		{"*0\r\n", 0, NULL, 0},
		{":12\r\n", 9, NULL, 0},
		{"*2\r\n$1\r\n0\r\n*0\r\n", 9, "", 0},
		{"*2\r\n$20\r\n18446744073709551615\r\n*0\r\n", 9, "",
		 UINT64_MAX},
		{"*2\r\n$2\r\n17\r\n*4\r\n$1\r\na\r\n$1\r\nb\r\n"
		 "$1\r\nc\r\n$0\r\n\r\n",
		 9, "a=0:b;c=0:;", 17},
		{"*2\r\n$1\r\n0\r\n*4\r\n-TOOLARGE 300\r\n$1\r\nb\r\n"
		 "$1\r\nc\r\n-TOOLARGE 9\r\n",
		 9, "=2:;c=2:;", 0},
		{"*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n", 9, NULL, 0},
		{"*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n:1\r\n", 9, NULL, 0},
		{"*2\r\n:0\r\n*0\r\n", 9, NULL, 0},
		{"*2\r\n$1\r\n0\r\n$1\r\nx\r\n", 9, NULL, 0},
		{"*1\r\n$1\r\n0\r\n", 9, NULL, 0},
		{"*-1\r\n", 9, NULL, 0},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		redisReply *reply = parse(cases[i].reply);
		struct scan scan = {
			.cursor = 5, .count = cases[i].count, .take = take};

		taken[0] = '\0';
		if (redis_reply_scan(reply, &scan) != (cases[i].taken != NULL))
			fail_msg("%s", cases[i].reply);
		if (cases[i].taken) {
			assert_string_equal(taken, cases[i].taken);
			assert_int_equal(cases[i].count ? scan.cursor
							: scan.total,
					 cases[i].number);
		}
		freeReplyObject(reply);
	}
}

static void test_values(void **state)
{
	static const struct {
		const char *reply;
		size_t count;
		bool is_good;
	} cases[] = {
		{"*2\r\n$1\r\na\r\n$-1\r\n", 2, true},
		{"*1\r\n-TOOLARGE 99999\r\n", 1, true},
		{"*1\r\n-ERR x\r\n", 1, false},
		{"*1\r\n:1\r\n", 1, false},
		{"*1\r\n*0\r\n", 1, false},
		{"*2\r\n$1\r\na\r\n$-1\r\n", 1, false},
		{"*2\r\n$1\r\na\r\n$-1\r\n", 3, false},
		{"$1\r\na\r\n", 1, false},
		{"*-1\r\n", 1, false},
	};
	struct store_value values[4];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		redisReply *reply = parse(cases[i].reply);

		if (redis_reply_values(reply, cases[i].count, values) !=
		    cases[i].is_good)
			fail_msg("%s", cases[i].reply);
		freeReplyObject(reply);
	}
	assert_int_equal(values[0].kind, STORE_VALUE);
}

static void test_role(void **state)
{
	static const struct {
		const char *reply;
		enum redis_role role;
		const char *instead; /* NULL: it is that */
	} cases[] = {
		{"*1\r\n+master\r\n", REDIS_MASTER, NULL},
		{"*1\r\n+slave\r\n", REDIS_MASTER, "slave"},
		{"*1\r\n+masters\r\n", REDIS_MASTER, "masters"},
		{"*1\r\n+sentinel\r\n", REDIS_MASTER, "sentinel"},
		{"*1\r\n+master\r\n", REDIS_REPLICA, "master"},
		{"*5\r\n+slave\r\n+h\r\n:1\r\n+connected\r\n:7\r\n",
		 REDIS_REPLICA, NULL},
		{"*5\r\n+slave\r\n+h\r\n:1\r\n+sync\r\n:7\r\n", REDIS_REPLICA,
		 "sync"},
		{"*3\r\n+slave\r\n+h\r\n:1\r\n", REDIS_REPLICA, "?"},
		{"*4\r\n+slave\r\n+h\r\n:1\r\n:2\r\n", REDIS_REPLICA, "?"},
		{"*0\r\n", REDIS_MASTER, "?"},
		{"*-1\r\n", REDIS_REPLICA, "?"},
		{"*1\r\n:1\r\n", REDIS_MASTER, "?"},
		{"+master\r\n", REDIS_MASTER, "?"},
		{"+x\r\n", REDIS_ANY, NULL},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		redisReply *reply = parse(cases[i].reply);
		struct span instead;

		if (redis_reply_is_role(reply, cases[i].role, &instead) !=
		    !cases[i].instead)
			fail_msg("%s", cases[i].reply);
		if (cases[i].instead)
			assert_true(span_is(instead, cases[i].instead));
		freeReplyObject(reply);
	}
}

static void test_find(void **state)
{
	redisReply *reply =
		parse("*7\r\n+a\r\n+b\r\n:1\r\n+c\r\n+d\r\n:2\r\n+e\r\n");

	(void)state;
	assert_true(span_is(redis_reply_find(reply, "a"), "b"));
	assert_int_equal(redis_reply_find(reply, "b").len, 0);
	assert_int_equal(redis_reply_find(reply, "d").len, 0);
	assert_int_equal(redis_reply_find(reply, "e").len, 0);
	freeReplyObject(reply);
	reply = parse("-ERR a b\r\n");
	assert_int_equal(redis_reply_find(reply, "a").len, 0);
	freeReplyObject(reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_redirect), cmocka_unit_test(test_scan),
		cmocka_unit_test(test_values),	 cmocka_unit_test(test_role),
		cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests_name("redis_reply", tests, NULL, NULL);
}
