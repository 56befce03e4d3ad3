/* SPDX-License-Identifier: MIT */
/*
 * report: what counts as a report of a failed connection, and what does not.
 */
#include "kit.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "../../spoa/report.h"

/* HAPROXY before, and what HAProxy wrote behind. */
#define HEAD                                                                   \
	"<131>1 2026-11-23T08:46:39.290269+00:00 host.test haproxy 13884 - "
#define TAIL                                                                   \
	" 127.0.0.1 [23/Nov/2026:08:46:38.288] 503 SC-- \"GET / HTTP/1.1\"\n"

struct row {
	const char *line;
	enum report_kind kind;
	const char *target; /* of REPORT_FAILED: address, blank, port */
};

static const struct row rows[] = {
	{HEAD "[router1 tsc=\"SC--\" ip=\"10.0.0.1\" port=\"80\"]" TAIL,
	 REPORT_FAILED, "10.0.0.1 80"},
	{HEAD "[router1 tsc=\"sC\" ip=\"10.0.0.1\" port=\"65535\"]",
	 REPORT_FAILED, "10.0.0.1 65535"},
	{HEAD "[router1 tsc=\"SC--\" ip=\"2001:db8::1\" port=\"80\"]" TAIL,
	 REPORT_FAILED, "2001:db8::1 80"},
	{"<3>1 - - - - - [router1 tsc=\"SC--\" ip=\"1.2.3.4\" port=\"1\"]",
	 REPORT_FAILED, "1.2.3.4 1"},
	/* What a client says stands behind, and counts for nothing. */
	{HEAD "[router1 tsc=\"----\" ip=\"1.2.3.4\" port=\"1\"] "
	      "[router1 tsc=\"SC--\" ip=\"10.0.0.1\" port=\"80\"]",
	 REPORT_OTHER, NULL},
	/* Not the fault of the target, or not for sure. */
	{HEAD "[router1 tsc=\"SH--\" ip=\"10.0.0.1\" port=\"80\"]" TAIL,
	 REPORT_OTHER, NULL},
	{HEAD "[router1 tsc=\"sH--\" ip=\"10.0.0.1\" port=\"80\"]" TAIL,
	 REPORT_OTHER, NULL},
	{HEAD "[router1 tsc=\"CD--\" ip=\"10.0.0.1\" port=\"80\"]" TAIL,
	 REPORT_OTHER, NULL},
	{HEAD "[router1 tsc=\"cD--\" ip=\"10.0.0.1\" port=\"80\"]" TAIL,
	 REPORT_OTHER, NULL},
	{HEAD "[router1 tsc=\"CC--\" ip=\"10.0.0.1\" port=\"80\"]" TAIL,
	 REPORT_OTHER, NULL},
	{HEAD "[router1 tsc=\"PR--\" ip=\"-\" port=\"-\"]" TAIL, REPORT_OTHER,
	 NULL},
	{HEAD "[router1 tsc=\"SC--\" ip=\"-\" port=\"-\"]" TAIL, REPORT_OTHER,
	 NULL},
	{HEAD "[router1 tsc=\"S\" ip=\"10.0.0.1\" port=\"80\"]", REPORT_OTHER,
	 NULL},
	/* What HAProxy says of itself. */
	{HEAD "- Server spoa/agent1 is DOWN", REPORT_OTHER, NULL},
	/* No line of ours. */
	{"", REPORT_MALFORMED, NULL},
	{"SC 10.0.0.1 80", REPORT_MALFORMED, NULL},
	{HEAD "[router2 tsc=\"SC--\" ip=\"10.0.0.1\" port=\"80\"]" TAIL,
	 REPORT_MALFORMED, NULL},
	{HEAD "[other x=\"1\"][router1 tsc=\"SC--\" ip=\"10.0.0.1\" "
	      "port=\"80\"]",
	 REPORT_MALFORMED, NULL},
	{"<131>2 - - - - - [router1 tsc=\"SC--\" ip=\"1.2.3.4\" port=\"1\"]",
	 REPORT_MALFORMED, NULL},
	{"<13100>1 - - - - - [router1 tsc=\"SC\" ip=\"1.2.3.4\" port=\"1\"]",
	 REPORT_MALFORMED, NULL},
	{"<131>1 - - - - [router1 tsc=\"SC--\" ip=\"1.2.3.4\" port=\"1\"]",
	 REPORT_MALFORMED, NULL},
	{"<131>1 - - - -  [router1 tsc=\"SC--\" ip=\"1.2.3.4\" port=\"1\"]",
	 REPORT_MALFORMED, NULL},
	{HEAD "[router1 tsc=\"SC--\" ip=\"10.0.0.1\" port=\"80\"",
	 REPORT_MALFORMED, NULL},
	{HEAD "[router1 tsc=\"SC--\" ip=\"10.0.0.1\" port=\"80\" x=\"1\"]",
	 REPORT_MALFORMED, NULL},
	{HEAD "[router1 tsc=\"\" ip=\"10.0.0.1\" port=\"80\"]",
	 REPORT_MALFORMED, NULL},
	{HEAD "[router1 tsc=\"SC--\" ip=\"10.0.0.256\" port=\"80\"]",
	 REPORT_MALFORMED, NULL},
	{HEAD "[router1 tsc=\"SC--\" ip=\"unix\" port=\"80\"]",
	 REPORT_MALFORMED, NULL},
	{HEAD "[router1 tsc=\"SC--\" ip=\"10.0.0.1\" port=\"0\"]",
	 REPORT_MALFORMED, NULL},
	{HEAD "[router1 tsc=\"SC--\" ip=\"10.0.0.1\" port=\"65536\"]",
	 REPORT_MALFORMED, NULL},
	{HEAD "[router1 tsc=\"SC--\" ip=\"10.0.0.1\" port=\"4294967376\"]",
	 REPORT_MALFORMED, NULL},
	{HEAD "[router1 tsc=\"SC--\" ip=\"10.0.0.1\" port=\"-1\"]",
	 REPORT_MALFORMED, NULL},
	{HEAD "[router1 tsc=\"SC--\" ip=\"10.0.0.1\n\" port=\"80\"]",
	 REPORT_MALFORMED, NULL},
};

static void check_row(const struct row *row)
{
	struct report report = {0};
	struct span line = span_of(row->line);
	char text[INET6_ADDRSTRLEN + 8] = "";
	enum report_kind kind;

	line.p = kit_guarded(line.p, line.len);
	kind = report_parse(line, &report);
	if (kind != row->kind)
		fail_msg("%d, not %d, of: %s", (int)kind, (int)row->kind,
			 row->line);
	if (kind != REPORT_FAILED)
		return;
	inet_ntop(report.address_len == 4 ? AF_INET : AF_INET6, report.address,
		  text, sizeof(text));
	snprintf(text + strlen(text), 7, " %u", report.port);
	assert_string_equal(text, row->target);
}

static void test_lines(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		check_row(&rows[i]);
}

/* A line that ends anywhere is no report, and no byte beyond it is read. */
static void test_cut_lines(void **state)
{
	struct span line = span_of(HEAD "[router1 tsc=\"SC--\" ip=\"10.0.0.1\" "
					"port=\"80\"]");
	struct report report;
	size_t len;

	(void)state;
	for (len = 0; len < line.len; len++) {
		struct span cut = {kit_guarded(line.p, len), len};

		assert_int_equal(report_parse(cut, &report), REPORT_MALFORMED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_cut_lines),
	};

	return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
