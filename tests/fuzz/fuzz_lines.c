/* SPDX-License-Identifier: MIT */
/*
 * fuzz_lines: the input is a line of `routectl import`, or a URL of Hipache.
 * What is read from it lies within it, and what an export would write is read
 * as it was.
 */
#include "fuzz.h"

#include "../../spoa/ctl_hipache.h"
#include "../../spoa/ctl_lines.h"

static bool lies_in(struct span part, struct span whole)
{
	return part.p >= whole.p && part.p + part.len <= whole.p + whole.len;
}

static void write_again(struct span field, struct span value)
{
	size_t len = field.len + 1 + value.len;
	char *line = malloc(len);
	struct span field2, value2;

	MUST(line != NULL);
	memcpy(line, field.p, field.len);
	line[field.len] = '\t';
	memcpy(line + field.len + 1, value.p, value.len);
	MUST(ctl_lines_read((struct span){line, len}, &field2, &value2) ==
	     CTL_LINE_PAIR);
	MUST(span_equal(field, field2) && span_equal(value, value2));
	free(line);
}

static void read_line(struct span line)
{
	struct span field, value;

	if (ctl_lines_read(line, &field, &value) != CTL_LINE_PAIR)
		return;
	MUST(field.len > 0 && lies_in(field, line));
	MUST(value.len > 0 && lies_in(value, line));
	if (ctl_lines_can_hold(field, value))
		write_again(field, value);
}

static void read_url(struct span url)
{
	const char *port = NULL, *problem = NULL;
	struct span target;

	if (!ctl_hipache_read(url, &target, &port, &problem)) {
		MUST(problem != NULL);
		return;
	}
	MUST(target.len > 0 && lies_in(target, url));
	MUST(port != NULL && memchr(target.p, '/', target.len) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct span text = {(const char *)bytes, len};

	if (len == 0)
		return 0;
	read_line(text);
	read_url(text);
	return 0;
}
