/* SPDX-License-Identifier: MIT */
/*
 * fuzz_report: the input is a datagram of anybody. What comes out is a target,
 * and nothing behind the element of ours has a say in it.
 */
#include "fuzz.h"

#include "../../spoa/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct span line = {(const char *)bytes, len};
	struct report report = {0}, again = {0};
	const char *end;

	if (report_parse(line, &report) != REPORT_FAILED)
		return 0;
	MUST(report.address_len == 4 || report.address_len == 16);
	MUST(report.port > 0);
	end = memchr(line.p, ']', len);
	MUST(end != NULL);
	/* An early bracket may stand in the head. */
	while (report_parse((struct span){line.p, (size_t)(end - line.p) + 1},
			    &again) != REPORT_FAILED) {
		end = memchr(end + 1, ']', len - (size_t)(end + 1 - line.p));
		MUST(end != NULL);
	}
	MUST(again.port == report.port &&
	     !memcmp(again.address, report.address, report.address_len));
	return 0;
}
