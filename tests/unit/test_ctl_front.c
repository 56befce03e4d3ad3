/* SPDX-License-Identifier: MIT */
/*
 * ctl_front: which targets are HAProxy itself.
 */
#include "kit.h"

#include "../../spoa/ctl_front.h"

#include <arpa/inet.h>

static const struct {
	const char *front;
	const char *address;
	uint16_t port;
	bool takes;
} rows[] = {
	{"127.0.0.1:8000", "127.0.0.1", 8000, true},
	{"127.0.0.1:8000", "127.0.0.1", 8001, false},
	{"127.0.0.1:8000", "127.0.0.2", 8000, false},
	{"*:8000", "127.0.0.1", 8000, true},
	{":8000", "127.0.0.1", 8000, true},
	{"0.0.0.0:8000", "127.0.0.1", 8000, true},
	{"*:8000", "127.0.0.1", 80, false},
	{"*:8000", "192.0.2.1", 8000, false}, /* nobody's */
	{"[::1]:8000", "::1", 8000, true},
	{"[::1]:8000", "::2", 8000, false},
	{"::1:8000", "::1", 8000, true},
	{"ipv4@127.0.0.1:8000", "127.0.0.1", 8000, true},
	{"127.0.0.1:80,127.0.0.1:8000", "127.0.0.1", 8000, true},
	{"127.0.0.1:80,127.0.0.1:8000", "127.0.0.1", 80, true},
	{"127.0.0.1:80,,", "127.0.0.1", 8000, false},
	{"", "127.0.0.1", 8000, false},
	{"8000", "127.0.0.1", 8000, false},
	{"/run/front.sock", "127.0.0.1", 8000, false},
	{"127.0.0.1:8000", "::1", 8000, false},
};

static void test_table(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		bool is_ipv6 = strchr(rows[i].address, ':') != NULL;
		size_t len = is_ipv6 ? 16 : 4;
		uint8_t bytes[16];
		bool takes;

		assert_int_equal(inet_pton(is_ipv6 ? AF_INET6 : AF_INET,
					   rows[i].address, bytes),
				 1);
		takes = ctl_front_takes(
			kit_guarded(rows[i].front, strlen(rows[i].front) + 1),
			bytes, len, rows[i].port);
		if (takes != rows[i].takes)
			fail_msg("%s %s: %d", rows[i].front, rows[i].address,
				 takes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests_name("ctl_front", tests, NULL, NULL);
}
