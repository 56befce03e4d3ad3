/* SPDX-License-Identifier: MIT */
/*
 * guard: which addresses may be targets, at both ends of each range.
 */
#include "kit.h"

#include "../../spoa/guard.h"

#include <arpa/inet.h>

static const struct {
	const char *address;
	bool allowed;
} rows[] = {
	{"1.2.3.4", true},
	{"10.0.0.1", true},
	{"127.0.0.1", true},
	{"192.168.1.1", true},
	{"172.16.0.1", true},
	{"100.64.0.1", true},

	{"0.0.0.0", false}, /* unspecified, and "this network" */
	{"0.0.0.1", false},
	{"0.255.255.255", false},
	{"1.0.0.0", true},

	{"169.253.255.255", true}, /* link-local, metadata */
	{"169.254.0.0", false},
	{"169.254.169.254", false},
	{"169.254.255.255", false},
	{"169.255.0.0", true},

	{"223.255.255.255", true}, /* multicast */
	{"224.0.0.0", false},
	{"232.1.2.3", false},
	{"239.255.255.255", false},
	{"240.0.0.0", true},

	{"255.255.255.254", true}, /* broadcast */
	{"255.255.255.255", false},

	{"::1", true},
	{"2001:db8::1", true},
	{"fc00::1", true},
	{"fd12:3456::1", true},

	{"::", false}, /* unspecified */

	{"fe7f:ffff::1", true}, /* link-local */
	{"fe80::", false},
	{"fe80::1", false},
	{"febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false},
	{"fec0::", true},

	{"feff:ffff::1", true}, /* multicast */
	{"ff00::", false},
	{"ff02::1", false},
	{"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false},

	{"fd00:ec2::253", true}, /* metadata */
	{"fd00:ec2::254", false},
	{"fd00:ec2::255", true},
	{"fd00:ec2:0:0:1::254", true},

	{"::ffff:1.2.3.4", true}, /* mapped */
	{"::ffff:127.0.0.1", true},
	{"::ffff:0.0.0.0", false},
	{"::ffff:169.254.169.254", false},
	{"::ffff:224.0.0.1", false},
	{"::ffff:255.255.255.255", false},
	{"::fffe:169.254.169.254", true},
	{"1::ffff:169.254.169.254", true},

	{"64:ff9b::1.2.3.4", true}, /* NAT64 */
	{"64:ff9b::169.254.169.254", false},
	{"64:ff9b::0.0.0.0", false},
	{"64:ff9b::255.255.255.255", false},
	{"64:ff9b::1:169.254.169.254", true},
	{"64:ff9c::169.254.169.254", true},
};

static struct guard guard;

/* Is "1.2.3.4" or "::1" allowed at the port? */
static bool is_allowed(const char *address, uint16_t port, struct span *rule)
{
	bool is_ipv6 = strchr(address, ':') != NULL;
	size_t len = is_ipv6 ? 16 : 4;
	uint8_t bytes[16];

	assert_int_equal(
		inet_pton(is_ipv6 ? AF_INET6 : AF_INET, address, bytes), 1);
	*rule = (struct span){0};
	return guard_allows(&guard, (uint8_t *)kit_guarded(bytes, len), len,
			    port, rule);
}

static void test_table(void **state)
{
	size_t i;

	(void)state;
	memset(&guard, 0, sizeof(guard));
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct span rule;
		bool allowed = is_allowed(rows[i].address, 80, &rule);

		if (allowed != rows[i].allowed)
			fail_msg("%s: %d", rows[i].address, allowed);
		assert_int_equal(rule.len == 0, allowed);
	}
}

/* Rules, the address and port, and what refuses it; NULL: nothing. */
static const struct {
	const char *deny;
	const char *allow;
	const char *address;
	uint16_t port;
	const char *rule;
} ruled[] = {
	{"10.0.0.0/8", NULL, "10.0.0.0", 1, "10.0.0.0/8"},
	{"10.0.0.0/8", NULL, "10.255.255.255", 1, "10.0.0.0/8"},
	{"10.0.0.0/8", NULL, "11.0.0.0", 1, NULL},
	{"10.0.0.0/8", NULL, "9.255.255.255", 1, NULL},
	{"10.0.0.0/8", NULL, "169.254.1.1", 1, "link-local"},
	{"10.1.2.3", NULL, "10.1.2.3", 65535, "10.1.2.3"},
	{"10.1.2.3", NULL, "10.1.2.2", 65535, NULL},
	{"10.1.2.3/31", NULL, "10.1.2.2", 65535, "10.1.2.3/31"},
	{"10.1.2.3/31", NULL, "10.1.2.4", 65535, NULL},
	{"0.0.0.0/0", NULL, "1.2.3.4", 80, "0.0.0.0/0"},
	{"0.0.0.0/0", NULL, "::1", 80, NULL},
	{"10.0.0.0/8:80", NULL, "10.0.0.1", 80, "10.0.0.0/8:80"},
	{"10.0.0.0/8:80", NULL, "10.0.0.1", 79, NULL},
	{"10.0.0.0/8:80", NULL, "10.0.0.1", 81, NULL},
	{"10.0.0.1:80-90", NULL, "10.0.0.1", 80, "10.0.0.1:80-90"},
	{"10.0.0.1:80-90", NULL, "10.0.0.1", 90, "10.0.0.1:80-90"},
	{"10.0.0.1:80-90", NULL, "10.0.0.1", 91, NULL},
	{"10.0.0.1:1-65535", NULL, "10.0.0.1", 65535, "10.0.0.1:1-65535"},
	{"fd00::/8", NULL, "fd12::1", 80, "fd00::/8"},
	{"fd00::/8", NULL, "fc00::1", 80, NULL},
	{"[fd00::/8]", NULL, "fd12::1", 80, "[fd00::/8]"},
	{"[fd00::/8]:80", NULL, "fd12::1", 80, "[fd00::/8]:80"},
	{"[fd00::/8]:80", NULL, "fd12::1", 81, NULL},
	{"::1", NULL, "::1", 80, "::1"},
	{"::/0", NULL, "2001:db8::1", 80, "::/0"},
	{"::/0", NULL, "1.2.3.4", 80, NULL},
	/* mapped is IPv4, in rules and in targets */
	{"::/0", NULL, "::ffff:1.2.3.4", 80, NULL},
	{"1.2.3.4", NULL, "::ffff:1.2.3.4", 80, "1.2.3.4"},
	{"::ffff:1.2.3.4", NULL, "1.2.3.4", 80, "::ffff:1.2.3.4"},
	{"::ffff:10.0.0.0/104", NULL, "10.1.1.1", 80, "::ffff:10.0.0.0/104"},
	{"::ffff:10.0.0.0/104", NULL, "11.1.1.1", 80, NULL},
	{"1.2.3.4", NULL, "64:ff9b::1.2.3.4", 80, "1.2.3.4"},
	{"64:ff9b::/96", NULL, "64:ff9b::1.2.3.4", 80, "64:ff9b::/96"},
	/* several, and blanks */
	{"10.0.0.0/8, 1.2.3.4 ,::1", NULL, "::1", 80, "::1"},
	{"10.0.0.0/8,1.2.3.4,::1", NULL, "1.2.3.4", 80, "1.2.3.4"},
	/* exceptions, from the built-in ones too */
	{"10.0.0.0/8", "10.1.0.0/16", "10.1.0.1", 80, NULL},
	{"10.0.0.0/8", "10.1.0.0/16", "10.2.0.1", 80, "10.0.0.0/8"},
	{"10.0.0.0/8", "10.1.0.0/16:80-89", "10.1.0.1", 90, "10.0.0.0/8"},
	{NULL, "169.254.1.0/24", "169.254.1.1", 80, NULL},
	{NULL, "169.254.1.0/24", "169.254.2.1", 80, "link-local"},
	{NULL, "fe80::1", "fe80::1", 80, NULL},
	{NULL, "169.254.169.254:80", "::ffff:169.254.169.254", 80, NULL},
	{NULL, "169.254.169.254:80", "::ffff:169.254.169.254", 81,
	 "link-local"},
	{NULL, "255.255.255.255", "255.255.255.255", 80, NULL},
	/* a closed list */
	{"0.0.0.0/0,::/0", "10.0.0.0/8:8000-8999,[fd00::/8]:80", "10.9.9.9",
	 8000, NULL},
	{"0.0.0.0/0,::/0", "10.0.0.0/8:8000-8999,[fd00::/8]:80", "fd00::1", 80,
	 NULL},
	{"0.0.0.0/0,::/0", "10.0.0.0/8:8000-8999,[fd00::/8]:80", "10.9.9.9", 80,
	 "0.0.0.0/0"},
	{"0.0.0.0/0,::/0", "10.0.0.0/8:8000-8999,[fd00::/8]:80",
	 "::ffff:10.9.9.9", 8999, NULL},
	{"0.0.0.0/0,::/0", "10.0.0.0/8", "64:ff9b::10.9.9.9", 8999, NULL},
	{"0.0.0.0/0,::/0", "10.0.0.0/8", "2001:db8::1", 8999, "::/0"},
};

static void test_rules(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(ruled); i++) {
		const char *problem = NULL;
		struct span rule;
		bool allowed;

		memset(&guard, 0, sizeof(guard));
		if (ruled[i].deny)
			assert_true(guard_add(&guard.denied, ruled[i].deny,
					      &problem));
		if (ruled[i].allow)
			assert_true(guard_add(&guard.allowed, ruled[i].allow,
					      &problem));
		allowed = is_allowed(ruled[i].address, ruled[i].port, &rule);
		if (allowed != !ruled[i].rule ||
		    (!allowed && !span_is(rule, ruled[i].rule)))
			fail_msg("row %zu, %s: '%.*s'", i, ruled[i].address,
				 (int)rule.len, rule.p);
	}
}

static void test_bad_rules(void **state)
{
	static const char *const texts[] = {
		"",
		",",
		"10.0.0.0/8,",
		"10.0.0.0/33",
		"10.0.0.0/-1",
		"10.0.0.0/",
		"10.0.0.0/8/8",
		"10.0.0/8",
		"10",
		"ten",
		"a.example",
		"10.0.0.0/8:",
		"10.0.0.0/8:0",
		"10.0.0.0/8:65536",
		"10.0.0.0/8:80-",
		"10.0.0.0/8:-80",
		"10.0.0.0/8:80-79",
		"10.0.0.0/8:80-90-100",
		"10.0.0.0/8:http",
		"10.0.0.0/8 :80",
		"[10.0.0.0/8]:80",
		"::/129",
		"[::/8",
		"[::/8]80",
		"[::/8]:",
		"[]",
		"fe80::1%eth0",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc",
		"10.0.0.0/000008",
	};
	const char *problem;
	size_t i;

	(void)state;
	memset(&guard, 0, sizeof(guard));
	for (i = 0; i < ARRAY_LEN(texts); i++) {
		problem = NULL;
		if (guard_add(&guard.denied, texts[i], &problem))
			fail_msg("'%s'", texts[i]);
		assert_non_null(problem);
	}
}

static void test_256_ranges(void **state)
{
	const char *problem;
	size_t i;

	(void)state;
	memset(&guard, 0, sizeof(guard));
	for (i = 0; i < GUARD_RANGES_MAX / 2; i++)
		assert_true(guard_add(&guard.allowed, "::1,::2", &problem));
	assert_false(guard_add(&guard.allowed, "::1", &problem));
	assert_string_equal(problem, "more than 256 ranges");
	assert_true(guard_add(&guard.denied, "::1", &problem));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_bad_rules),
		cmocka_unit_test(test_256_ranges),
	};

	return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
