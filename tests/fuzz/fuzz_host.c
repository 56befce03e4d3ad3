/* SPDX-License-Identifier: MIT */
/*
 * fuzz_host: the input is what a client wrote as Host. What comes out must be
 * in the form that it would get again, and no field may be named by a client.
 */
#include "fuzz.h"

#include "../../spoa/host.h"

static void check_name(const struct host *host)
{
	size_t i;

	MUST(host->len >= 1 && host->len <= HOST_MAX);
	for (i = 0; i < host->len; i++) {
		char c = host->name[i];

		MUST((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		     strchr("-_.:[]", c) != NULL);
		MUST(c != '\0');
	}
}

static void check_again(const struct host *host)
{
	struct host again;

	MUST(host_normalise(host_span(host), &again));
	MUST(span_equal(host_span(host), host_span(&again)));
}

/* Each candidate is the host's own end behind a star, the longest first. */
static void check_candidates(const struct host *host)
{
	struct host_candidates list;
	size_t i, last_len = HOST_MAX + 2;

	host_list_candidates(host, &list);
	MUST(list.count >= 2 && list.count <= HOST_CANDIDATES);
	for (i = 0; i < list.count; i++) {
		struct host_field room;
		struct span field = host_candidate(host, &list, i, &room);

		MUST(field.len >= 1 && field.len <= sizeof(room.text));
		MUST(i == 0 || (field.p[0] == '*' && field.len <= last_len));
		MUST(i == 0 || !memcmp(field.p + 1,
				       host->name + host->len - field.len + 1,
				       field.len - 1));
		last_len = field.len;
	}
	MUST(last_len == 1);
}

/* A person's field is a host, `*`, or a wildcard that is one behind its star;
 * what it was brought to is read as it is. */
static void check_field(struct span raw)
{
	struct host_field room, room2;
	struct span field, again;

	if (!host_read_field(raw, &room, &field))
		return;
	MUST(field.len >= 1 && field.len <= sizeof(room.text));
	MUST(field.len == 1 || memchr(field.p + 1, '*', field.len - 1) == NULL);
	MUST(host_read_field(field, &room2, &again));
	MUST(span_equal(field, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct span raw = {(const char *)bytes, len};
	struct host host;

	check_field(raw);
	if (!host_normalise(raw, &host))
		return 0;
	check_name(&host);
	check_again(&host);
	check_candidates(&host);
	return 0;
}
