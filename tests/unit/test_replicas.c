/* SPDX-License-Identifier: MIT */
/*
 * replicas: what a sentinel lists, and which one is chosen.
 */
#include "kit.h"

#include "../../spoa/replicas.h"

#include <stdio.h>
#include <stdlib.h>

/* What a sentinel says of one replica. */
static void append(char *to, size_t size, const char *host, const char *port,
		   const char *flags, const char *link)
{
	const char *words[] = {"name",	"x",	"ip",
			       host,	"port", port,
			       "flags", flags,	"master-link-status",
			       link};
	size_t at = strlen(to);
	size_t i;

	at += (size_t)snprintf(to + at, size - at, "*%zu\r\n",
			       ARRAY_LEN(words));
	for (i = 0; i < ARRAY_LEN(words); i++)
		at += (size_t)snprintf(to + at, size - at, "$%zu\r\n%s\r\n",
				       strlen(words[i]), words[i]);
}

static struct replica_list read_text(const char *text)
{
	redisReader *reader = redisReaderCreate();
	struct replica_list list = {.count = 77};
	void *reply = NULL;

	assert_int_equal(redisReaderFeed(reader, text, strlen(text)), REDIS_OK);
	assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
	assert_non_null(reply);
	replicas_read(reply, &list);
	freeReplyObject(reply);
	redisReaderFree(reader);
	return list;
}

static void test_read(void **state)
{
	static const struct {
		const char *host, *port, *flags, *link;
		size_t count;
	} cases[] = {
		{"10.0.0.1", "6379", "slave", "ok", 1},
		{"::1", "1", "slave,master_down", "ok", 0},
		{"h", "65535", "slave", "ok", 1},
		{"h", "65536", "slave", "ok", 0},
		{"h", "0", "slave", "ok", 0},
		{"h", "", "slave", "ok", 0},
		{"h", "1x", "slave", "ok", 0},
		{"", "1", "slave", "ok", 0},
		{"h", "1", "slave", "err", 0},
		{"h", "1", "slave", "", 0},
		{"h", "1", "", "ok", 0},
		{"h", "1", "slave,s_down", "ok", 0},
		{"h", "1", "o_down,slave", "ok", 0},
		{"h", "1", "slave,disconnected", "ok", 0},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		char text[1024] = "*1\r\n";
		struct replica_list list;

		append(text, sizeof(text), cases[i].host, cases[i].port,
		       cases[i].flags, cases[i].link);
		list = read_text(text);
		if (list.count != cases[i].count)
			fail_msg("%s", text);
		if (list.count)
			assert_string_equal(list.at[0].host, cases[i].host);
	}
}

static void test_read_nonsense(void **state)
{
	static const char *const cases[] = {
		"-NOPERM no\r\n",
		"$-1\r\n",
		"*0\r\n",
		"*-1\r\n",
		":1\r\n",
		"*2\r\n:1\r\n$-1\r\n",
		"*1\r\n*1\r\n+ip\r\n",
		"*1\r\n*2\r\n+flags\r\n:1\r\n",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(read_text(cases[i]).count, 0);
}

static void test_read_more_than_can_be_kept(void **state)
{
	static char text[64 * 1024] = "*40\r\n";
	char port[8];
	int i;

	(void)state;
	for (i = 1; i <= 40; i++) {
		snprintf(port, sizeof(port), "%d", i);
		append(text, sizeof(text), "h", port, "slave", "ok");
	}
	assert_int_equal(read_text(text).count, REPLICAS_MAX);
}

static struct redis_address at(uint16_t port)
{
	return (struct redis_address){.host = "h", .port = port};
}

/* The port of the chosen one; 0: none. */
static uint16_t choose(const struct replica_list *list,
		       const struct replicas_avoided *avoided, uint16_t current,
		       uint64_t random, int64_t now_ms)
{
	const struct redis_address place = at(current);
	const struct redis_address *found = replicas_choose(
		list, avoided, current ? &place : NULL, random, now_ms);

	return found ? found->port : 0;
}

static void test_choose(void **state)
{
	struct replica_list list = {.at = {at(1), at(2), at(3)}, .count = 3};
	struct replicas_avoided avoided = {0};
	const struct redis_address first = at(1), second = at(2);

	(void)state;
	assert_int_equal(choose(&list, &avoided, 0, 3, 0), 1);
	assert_int_equal(choose(&list, &avoided, 0, 5, 0), 3);
	assert_int_equal(choose(&list, &avoided, 2, 5, 0), 2);
	assert_int_equal(choose(&list, &avoided, 9, 5, 0), 3);
	replicas_avoid(&avoided, &second, 0);
	assert_int_equal(choose(&list, &avoided, 2, 1, 0), 3);
	assert_int_equal(choose(&list, &avoided, 2, 1, 1000), 2);
	list.count = 1;
	replicas_avoid(&avoided, &first, 0);
	assert_int_equal(choose(&list, &avoided, 1, 0, 999), 0);
	list.count = 0;
	assert_int_equal(choose(&list, &avoided, 1, 7, 5000), 0);
}

/* Twice as long each time, up to ten minutes; and from the beginning after a
 * time that was long enough. */
static void test_avoid_ever_longer(void **state)
{
	struct replica_list list = {.at = {at(1)}, .count = 1};
	struct replicas_avoided avoided = {0};
	const struct redis_address one = at(1);
	int64_t now_ms = 5;
	int64_t delay_ms = 1000;
	int i;

	(void)state;
	for (i = 0; i < 12; i++) {
		replicas_avoid(&avoided, &one, now_ms);
		assert_int_equal(
			choose(&list, &avoided, 0, 0, now_ms + delay_ms - 1),
			0);
		now_ms += delay_ms;
		assert_int_equal(choose(&list, &avoided, 0, 0, now_ms), 1);
		delay_ms = delay_ms * 2 < 600000 ? delay_ms * 2 : 600000;
	}
	now_ms += 8 * 600000;
	replicas_avoid(&avoided, &one, now_ms);
	assert_int_equal(choose(&list, &avoided, 0, 0, now_ms + 1000), 1);
}

static void test_avoid_many(void **state)
{
	struct replicas_avoided avoided = {0};
	struct replica_list list = {.count = 1};
	uint16_t port;

	(void)state;
	for (port = 1; port <= 3 * REPLICAS_MAX; port++) {
		list.at[0] = at(port);
		replicas_avoid(&avoided, &list.at[0], 0);
		assert_int_equal(choose(&list, &avoided, 0, 0, 0), 0);
	}
	list.at[0] = at(1); /* forgotten */
	assert_int_equal(choose(&list, &avoided, 0, 0, 0), 1);
}

static void test_add(void **state)
{
	struct replica_list list = {.at = {at(1), at(2)}, .count = 2};
	struct replica_list more = {.at = {at(2), at(3)}, .count = 2};
	uint16_t i;

	(void)state;
	replicas_add(&list, &more);
	assert_int_equal(list.count, 3);
	assert_int_equal(list.at[2].port, 3);
	for (i = 0; i < 40; i++) {
		more.at[0] = at((uint16_t)(10 + i));
		replicas_add(&list, &more);
	}
	assert_int_equal(list.count, REPLICAS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_read_nonsense),
		cmocka_unit_test(test_read_more_than_can_be_kept),
		cmocka_unit_test(test_choose),
		cmocka_unit_test(test_avoid_ever_longer),
		cmocka_unit_test(test_avoid_many),
		cmocka_unit_test(test_add),
	};

	return cmocka_run_group_tests_name("replicas", tests, NULL, NULL);
}
