/* SPDX-License-Identifier: MIT */
/*
 * report: a cursor over the line, that goes no further than our element.
 */
#include "report.h"

#include <arpa/inet.h>

enum { HEADER_FIELDS = 5, FIELD_MAX = 255 }; /* from TIME to MSGID */

/* A cursor; what failed stays failed. */
struct cursor {
	const char *p;
	const char *end;
	bool failed;
};

static void skip_text(struct cursor *in, const char *text)
{
	size_t len = strlen(text);

	if (in->failed || len > (size_t)(in->end - in->p) ||
	    memcmp(in->p, text, len) != 0)
		in->failed = true;
	else
		in->p += len;
}

/* The bytes before the next `stop`, which is skipped; 1 to `max` of them, and
 * all visible ASCII. */
static struct span take_until(struct cursor *in, char stop, size_t max)
{
	struct span found = {.p = in->p};

	while (!in->failed && in->p < in->end && *in->p != stop) {
		if (*in->p <= ' ' || *in->p > '~')
			in->failed = true;
		in->p++;
	}
	found.len = (size_t)(in->p - found.p);
	if (in->p == in->end || found.len == 0 || found.len > max)
		in->failed = true;
	if (in->failed)
		return (struct span){0};
	in->p++;
	return found;
}

/* name="value" and what follows it. */
static struct span take_pair(struct cursor *in, const char *name,
			     const char *rest)
{
	struct span value;

	skip_text(in, name);
	value = take_until(in, '"', FIELD_MAX);
	skip_text(in, rest);
	return value;
}

static bool is_connect_failure(struct span state)
{
	return state.len >= 2 && (state.p[0] == 'S' || state.p[0] == 's') &&
	       state.p[1] == 'C';
}

static bool read_address(struct span text, struct report *report)
{
	char copy[INET6_ADDRSTRLEN];

	if (text.len >= sizeof(copy))
		return false;
	memcpy(copy, text.p, text.len);
	copy[text.len] = '\0';
	report->address_len = 4;
	if (inet_pton(AF_INET, copy, report->address) == 1)
		return true;
	report->address_len = 16;
	return inet_pton(AF_INET6, copy, report->address) == 1;
}

static bool read_port(struct span text, struct report *report)
{
	unsigned int port = 0;
	size_t i;

	for (i = 0; i < text.len && port <= UINT16_MAX; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		port = port * 10 + (unsigned int)(text.p[i] - '0');
	}
	report->port = (uint16_t)port;
	return port > 0 && port <= UINT16_MAX;
}

enum report_kind report_parse(struct span line, struct report *report)
{
	struct cursor in = {.p = line.p, .end = line.p + line.len};
	struct span state, address, port;
	int i;

	skip_text(&in, "<");
	take_until(&in, '>', 3);
	skip_text(&in, "1 ");
	for (i = 0; i < HEADER_FIELDS; i++)
		take_until(&in, ' ', FIELD_MAX);
	/* What HAProxy says of itself has no structured data. */
	if (!in.failed && in.p < in.end && *in.p == '-')
		return REPORT_OTHER;
	state = take_pair(&in, "[router1 tsc=\"", " ");
	address = take_pair(&in, "ip=\"", " ");
	port = take_pair(&in, "port=\"", "]");
	if (in.failed)
		return REPORT_MALFORMED;
	/* HAProxy writes `-` for what it does not know. */
	if (!is_connect_failure(state) || span_is(address, "-") ||
	    span_is(port, "-"))
		return REPORT_OTHER;
	if (!read_address(address, report) || !read_port(port, report))
		return REPORT_MALFORMED;
	return REPORT_FAILED;
}
