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

static void test_table(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		bool is_ipv6 = strchr(rows[i].address, ':') != NULL;
		size_t len = is_ipv6 ? 16 : 4;
		uint8_t bytes[16];
		bool allowed;

		assert_int_equal(inet_pton(is_ipv6 ? AF_INET6 : AF_INET,
					   rows[i].address, bytes),
				 1);
		allowed = guard_allows((uint8_t *)kit_guarded(bytes, len), len);
		if (allowed != rows[i].allowed)
			fail_msg("%s: %d", rows[i].address, allowed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
