/* SPDX-License-Identifier: MIT */
/*
 * redis_url: each form of --redis, what it is taken apart into, and what is
 * refused without repeating it.
 */
#include "kit.h"

#include "../../spoa/redis_url.h"

#include <stdio.h>

static bool parse(const char *text, struct redis_url *url, const char **problem)
{
	*problem = NULL;
	memset(url, 0xa5, sizeof(*url));
	return redis_url_parse(kit_guarded(text, strlen(text) + 1), url,
			       problem);
}

static const struct {
	const char *text;
	const char *host;
	unsigned int port;
	unsigned int db;
	const char *user;
	const char *password;
	const char *name;
} tcp[] = {
	{"redis://127.0.0.1:6379", "127.0.0.1", 6379, 0, "", "",
	 "127.0.0.1:6379/0"},
	{"redis://127.0.0.1", "127.0.0.1", 6379, 0, "", "", "127.0.0.1:6379/0"},
	{"redis://cache.example", "cache.example", 6379, 0, "", "",
	 "cache.example:6379/0"},
	{"redis://h:1", "h", 1, 0, "", "", "h:1/0"},
	{"redis://h:65535", "h", 65535, 0, "", "", "h:65535/0"},
	{"redis://h/", "h", 6379, 0, "", "", "h:6379/0"},
	{"redis://h/0", "h", 6379, 0, "", "", "h:6379/0"},
	{"redis://h/15", "h", 6379, 15, "", "", "h:6379/15"},
	{"redis://h/1000000", "h", 6379, 1000000, "", "", "h:6379/1000000"},
	{"redis://h:7000/3", "h", 7000, 3, "", "", "h:7000/3"},
	{"redis://[::1]", "::1", 6379, 0, "", "", "[::1]:6379/0"},
	{"redis://[2001:db8::1]:7000/2", "2001:db8::1", 7000, 2, "", "",
	 "[2001:db8::1]:7000/2"},
	{"redis://u:p@h", "h", 6379, 0, "u", "p", "h:6379/0"},
	{"redis://:p@h:1/2", "h", 1, 2, "", "p", "h:1/2"},
	{"redis://u:@h", "h", 6379, 0, "u", "", "h:6379/0"},
	{"redis://u:p%40%3a%2F%25%20w@h", "h", 6379, 0, "u", "p@:/% w",
	 "h:6379/0"},
	{"redis://us%65r%3a:p@h", "h", 6379, 0, "user:", "p", "h:6379/0"},
	{"redis://u:a:b@h", "h", 6379, 0, "u", "a:b", "h:6379/0"},
	{"redis://u:a+b@h", "h", 6379, 0, "u", "a+b", "h:6379/0"},
	{"redis://u:%c3%a9@h", "h", 6379, 0, "u", "\xc3\xa9", "h:6379/0"},
};

static void test_tcp(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(tcp); i++) {
		struct redis_url url;
		const char *problem;
		bool good = parse(tcp[i].text, &url, &problem);

		if (!good)
			fail_msg("%s: %s", tcp[i].text, problem);
		assert_string_equal(url.host, tcp[i].host);
		assert_int_equal(url.port, tcp[i].port);
		assert_int_equal(url.db, tcp[i].db);
		assert_string_equal(url.user, tcp[i].user);
		assert_string_equal(url.password, tcp[i].password);
		assert_string_equal(url.name, tcp[i].name);
		assert_string_equal(url.path, "");
	}
}

static const struct {
	const char *text;
	const char *path; /* also the name */
	unsigned int db;
} paths[] = {
	{"unix:/run/redis.sock", "/run/redis.sock", 0},
	{"unix:/a", "/a", 0},
	{"unix:/run/redis.sock?db=0", "/run/redis.sock", 0},
	{"unix:/run/redis.sock?db=12", "/run/redis.sock", 12},
	{"unix:/a,b=c:d", "/a,b=c:d", 0},
	{"unix:/p5678901234567890123456789012345678901234567890123456789012345"
	 "67890123456789012345678901234567890123456777",
	 "/p5678901234567890123456789012345678901234567890123456789012345"
	 "67890123456789012345678901234567890123456777",
	 0},
};

static void test_unix(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(paths); i++) {
		struct redis_url url;
		const char *problem;

		if (!parse(paths[i].text, &url, &problem))
			fail_msg("%s: %s", paths[i].text, problem);
		assert_string_equal(url.path, paths[i].path);
		assert_string_equal(url.name, paths[i].path);
		assert_string_equal(url.host, "");
		assert_string_equal(url.user, "");
		assert_string_equal(url.password, "");
		assert_int_equal(url.db, paths[i].db);
	}
}

/* Each of these holds the word SECRET, which no message may repeat. */
static const char *const refused[] = {
	"",
	"SECRET",
	"SECRET:6379",
	"127.0.0.1:6379/SECRET",
	"http://SECRET:80",
	"redis:SECRET",
	"redis:/SECRET",
	"redis://",
	"redis:///SECRET",
	"redis://u:SECRET@",
	"redis://u:SECRET@/0",
	"redis://u:SECRET@:6379",
	"redis://u:SECRET@h:0",
	"redis://u:SECRET@h:65536",
	"redis://u:SECRET@h:99999999999",
	"redis://u:SECRET@h:x",
	"redis://u:SECRET@h:-1",
	"redis://u:SECRET@h:6379x",
	"redis://u:SECRET@h/x",
	"redis://u:SECRET@h/-1",
	"redis://u:SECRET@h/+1",
	"redis://u:SECRET@h/1x",
	"redis://u:SECRET@h/1/2",
	"redis://u:SECRET@h/ 1",
	"redis://u:SECRET@h/1000001",
	"redis://u:SECRET@h/99999999999999999999",
	"redis://u:SECRET@h/18446744073709551616",
	"redis://u:SECRET@h/0?db=1",
	"redis://u:SECRET@h?db=1",
	"redis://u:SECRET@h/0#x",
	"redis://u:SECRET%00@h",
	"redis://%00SECRET:p@h",
	"redis://u:SECRET %@h",
	"redis://u:SEC RET@h",
	"redis://u:SECRET@[::1",
	"redis://u:SECRET@[]",
	"redis://u:SECRET@h h",
	"rediss://u:SECRET@",
	"rediss:SECRET",
	"redisss://SECRET",
	"redis-sentinel:SECRET",
	"redis-sentinel://SECRET:1",
	"redis-sentinel://SECRET:1/",
	"redis-sentinel:///SECRET",
	"redis-sentinel://u:SECRET@/m",
	"redis-sentinel://u:SECRET@h:0/m",
	"redis-sentinel://u:SECRET@h:65536/m",
	"redis-sentinel://u:SECRET@h:/m",
	"redis-sentinel://u:SECRET@h:1x/m",
	"redis-sentinel://u:SECRET@h:-1/m",
	"redis-sentinel://u:SECRET@h:1,/m",
	"redis-sentinel://u:SECRET@,h:1/m",
	"redis-sentinel://u:SECRET@h:1,,i:1/m",
	"redis-sentinel://u:SECRET@:1/m",
	"redis-sentinel://u:SECRET@::1/m",
	"redis-sentinel://u:SECRET@[::1/m",
	"redis-sentinel://u:SECRET@[]/m",
	"redis-sentinel://u:SECRET@h h/m",
	"redis-sentinel://u:SECRET@[::1]x/m",
	"redis-sentinel://u:SECRET@[::1]x:1/m",
	"redis-sentinel://u:SECRET@x]/m",
	"redis-sentinel://u:SECRET@]/m",
	"redis-sentinel://u:SECRET@[/m",
	"redis-sentinel://u@SECRET@h/m",
	"redis-sentinel://u:SECRET%00@h/m",
	"redis-sentinel://h:1/SECRET/2",
	"redis-sentinel://h:1/SECRET name",
	"redis-sentinel://h:1/SECRET?",
	"redis-sentinel://h:1/SECRET?db=",
	"redis-sentinel://h:1/SECRET?db=x",
	"redis-sentinel://h:1/SECRET?name=1",
	"redis-sentinel://a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q/SECRET",
	"unix:",
	"unix:SECRET",
	"unix:run/SECRET",
	"unix:/SECRET?",
	"unix:/SECRET?db",
	"unix:/SECRET?db=",
	"unix:/SECRET?db=x",
	"unix:/SECRET?db=1x",
	"unix:/SECRET?db=-1",
	"unix:/SECRET?name=1",
	("unix:/p56789012345678901234567890123456789012345678901234567890123"
	 "4567890123456789012345678901234567890123SECRETX"),
};

static void test_refused(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(refused); i++) {
		struct redis_url url;
		const char *problem;

		if (parse(refused[i], &url, &problem))
			fail_msg("%s: taken", refused[i]);
		assert_non_null(problem);
		if (strstr(problem, "SECRET") || strlen(problem) < 10)
			fail_msg("%s: %s", refused[i], problem);
	}
}

static void test_tls(void **state)
{
	struct redis_url url;
	const char *problem;

	(void)state;
	assert_true(parse("rediss://u:p@h:7000/3", &url, &problem));
	assert_true(url.is_tls);
	assert_string_equal(url.name, "h:7000/3");
	assert_true(parse("redis://u:p@h:7000/3", &url, &problem));
	assert_false(url.is_tls);
	assert_true(parse("rediss-sentinel://h/m", &url, &problem));
	assert_true(url.is_tls);
	assert_string_equal(url.master, "m");
}

static const struct {
	const char *text;
	const char *sentinels; /* as host|port, with blanks between */
	const char *master;
	unsigned int db;
	const char *user;
	const char *password;
} sentinels[] = {
	{"redis-sentinel://h/m", "h|26379", "m", 0, "", ""},
	{"redis-sentinel://h:1/m", "h|1", "m", 0, "", ""},
	{"redis-sentinel://h:1,i,j:3/my-master_1.2", "h|1 i|26379 j|3",
	 "my-master_1.2", 0, "", ""},
	{"redis-sentinel://[::1]:1,[2001:db8::1]/m", "::1|1 2001:db8::1|26379",
	 "m", 0, "", ""},
	{"redis-sentinel://u:p%40%2c@10.0.0.1:1,10.0.0.2:2/m?db=5",
	 "10.0.0.1|1 10.0.0.2|2", "m", 5, "u", "p@,"},
	{"redis-sentinel://:p@h/a%20b", NULL, "", 0, "", ""},
	{"redis-sentinel://a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p/m",
	 "a|26379 b|26379 c|26379 d|26379 e|26379 f|26379 g|26379 h|26379 "
	 "i|26379 j|26379 k|26379 l|26379 m|26379 n|26379 o|26379 p|26379",
	 "m", 0, "", ""},
};

static void test_sentinels(void **state)
{
	size_t i, j;

	(void)state;
	for (i = 0; i < ARRAY_LEN(sentinels); i++) {
		struct redis_url url;
		const char *problem;
		char list[1024] = "";
		size_t at = 0;

		if (parse(sentinels[i].text, &url, &problem) !=
		    (sentinels[i].sentinels != NULL))
			fail_msg("%s: %s", sentinels[i].text, problem);
		if (problem)
			continue;
		for (j = 0; j < url.sentinel_count; j++)
			at += (size_t)snprintf(list + at, sizeof(list) - at,
					       "%s%s|%u", j ? " " : "",
					       url.sentinels[j].host,
					       url.sentinels[j].port);
		assert_string_equal(list, sentinels[i].sentinels);
		assert_string_equal(url.master, sentinels[i].master);
		assert_int_equal(url.db, sentinels[i].db);
		assert_string_equal(url.user, sentinels[i].user);
		assert_string_equal(url.password, sentinels[i].password);
		assert_string_equal(url.host, "");
	}
}

static void test_lead(void **state)
{
	struct redis_url url, to;
	const char *problem;
	char text[300];

	(void)state;
	assert_true(parse("rediss://u:p@h:1/2", &url, &problem));
	assert_true(redis_url_lead(&url, span_of("10.0.0.9"), 7, &to));
	assert_string_equal(to.name, "10.0.0.9:7/2");
	assert_string_equal(to.password, "p");
	assert_true(to.is_tls);
	assert_true(redis_url_lead(&to, span_of("::1"), 8, &to));
	assert_string_equal(to.name, "[::1]:8/2");
	assert_true(parse("redis-sentinel://h/m", &url, &problem));
	assert_true(redis_url_lead(&url, span_of("::1"), 8, &to));
	assert_string_equal(to.name, "m at [::1]:8/0");
	memset(text, 'h', sizeof(text));
	assert_false(redis_url_lead(&url, (struct span){text, 256}, 1, &to));
	assert_false(redis_url_lead(&url, (struct span){text, 0}, 1, &to));
}

static void test_split(void **state)
{
	static const struct {
		const char *text;
		const char *host; /* NULL: refused */
		unsigned int port;
	} cases[] = {
		{"10.0.0.1:6379", "10.0.0.1", 6379},
		{"::1:6379", "::1", 6379},
		{"[::1]:6379", "::1", 6379},
		{":6379", "", 6379},
		{"h:0", NULL, 0},
		{"h:65536", NULL, 0},
		{"h:", NULL, 0},
		{"h:1x", NULL, 0},
		{"h:12345678", NULL, 0},
		{"h", NULL, 0},
		{"", NULL, 0},
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len = strlen(cases[i].text);
		struct span host;
		uint16_t port;

		if (redis_url_split(
			    (struct span){kit_guarded(cases[i].text, len), len},
			    &host, &port) != (cases[i].host != NULL))
			fail_msg("%s", cases[i].text);
		if (!cases[i].host)
			continue;
		assert_true(span_is(host, cases[i].host));
		assert_int_equal(port, cases[i].port);
	}
}

/* Parts of all lengths either fit whole or are refused, never cut. */
static void assert_fits_or_not(const char *before, const char *unit,
			       const char *after, size_t max)
{
	char text[8192];
	size_t count, at;

	for (count = 1; count < max + 20; count++) {
		struct redis_url url;
		const char *problem;
		size_t i;
		bool good;

		at = (size_t)snprintf(text, sizeof(text), "%s", before);
		for (i = 0; i < count; i++)
			at += (size_t)snprintf(text + at, sizeof(text) - at,
					       "%s", unit);
		snprintf(text + at, sizeof(text) - at, "%s", after);
		good = parse(text, &url, &problem);
		if (good != (count <= max))
			fail_msg("%s x %zu: %d", before, count, good);
		if (!good)
			continue;
		assert_int_equal(strlen(url.user) + strlen(url.password) +
					 strlen(url.host),
				 count + 1);
	}
}

static void test_lengths(void **state)
{
	(void)state;
	assert_fits_or_not("redis://:", "p", "@h", 511);
	assert_fits_or_not("redis://:", "%70", "@h", 511);
	assert_fits_or_not("redis://", "u", ":@h", 127);
	assert_fits_or_not("redis://u@", "h", ":1/2", 255);
	assert_fits_or_not("rediss://:", "p", "@h", 511);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tcp),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_sentinels),
		cmocka_unit_test(test_lead),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_lengths),
	};

	return cmocka_run_group_tests_name("redis_url", tests, NULL, NULL);
}
