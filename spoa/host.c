/* SPDX-License-Identifier: MIT */
/*
 * host: normalises what a client wrote and lists the fields that could serve
 * it. Every request passes here, so names are read eight bytes at a time.
 */
#include "host.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <endian.h>

enum {
	PORT_DIGITS = 5,
	WILDCARDS = HOST_CANDIDATES - 2, /* besides the exact host and `*` */
};

/* Eight bytes of a name at a time, a flag for each in its highest bit. The
 * bytes must be below 0x80; see Hacker's Delight, chapter 6. */
#define EACH(byte) (0x0101010101010101ULL * (byte))
#define HIGH_BITS EACH(0x80)

/* Flags the bytes from `low` to `high`. */
static inline uint64_t in_range(uint64_t word, uint8_t low, uint8_t high)
{
	uint64_t from_low = word + EACH(0x80U - low);
	uint64_t above = word + EACH(0x7fU - high);

	return from_low & ~above & HIGH_BITS;
}

/* Cuts `:` and up to five digits off the end of `*raw`; false when something
 * else stands after the colon. The colons of an IPv6 literal are inside its
 * brackets. */
static bool cut_port(struct span *raw)
{
	const char *from = raw->p, *end = raw->p + raw->len, *colon, *p;

	if (raw->p[0] == '[') {
		from = memchr(raw->p, ']', raw->len);
		if (!from)
			return false;
	}
	colon = from == end ? NULL : memchr(from, ':', (size_t)(end - from));
	if (!colon)
		return true;
	if (end - colon - 1 > PORT_DIGITS)
		return false;
	for (p = colon + 1; p < end; p++)
		if (*p < '0' || *p > '9')
			return false;
	raw->len = (size_t)(colon - raw->p);
	return true;
}

/* Lower-cases eight bytes and flags the dots; false when one of them is no
 * byte of a name. */
static inline bool take_word(uint64_t *word, uint64_t *dots)
{
	uint64_t letters = in_range(*word | EACH(0x20), 'a', 'z');
	uint64_t others = in_range(*word, '0', '9') |
			  in_range(*word, '-', '-') | in_range(*word, '_', '_');

	*dots = in_range(*word, '.', '.');
	if ((*word & HIGH_BITS) != 0 || (letters | others | *dots) != HIGH_BITS)
		return false;
	*word |= letters >> 2;
	return true;
}

static bool take_name(struct span raw, struct host *host)
{
	uint64_t last_dot = 0x80; /* as if a dot stood before the name */
	size_t i;

	for (i = 0; i < raw.len; i += sizeof(uint64_t)) {
		size_t len = raw.len - i < sizeof(uint64_t) ? raw.len - i
							    : sizeof(uint64_t);
		uint64_t word = EACH('a');
		uint64_t dots;

		memcpy(&word, raw.p + i, len);
		word = le64toh(word);
		if (!take_word(&word, &dots))
			return false;
		/* A dot next to a dot, be it in the word before. */
		if (dots & (dots << 8 | last_dot))
			return false;
		last_dot = dots >> 56;
		word = htole64(word);
		memcpy(host->name + i, &word, len);
	}
	return host->name[raw.len - 1] != '.';
}

static bool take_ipv6(struct span raw, struct host *host)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;
	size_t i;

	if (raw.len - 2 >= sizeof(text) || raw.p[raw.len - 1] != ']')
		return false;
	memcpy(text, raw.p + 1, raw.len - 2);
	text[raw.len - 2] = '\0';
	if (strlen(text) != raw.len - 2 ||
	    inet_pton(AF_INET6, text, &address) != 1)
		return false;
	for (i = 0; i < raw.len; i++) {
		host->name[i] = (char)tolower((unsigned char)raw.p[i]);
	}
	return true;
}

bool host_normalise(struct span raw, struct host *host)
{
	if (raw.len == 0 || !cut_port(&raw))
		return false;
	if (raw.len > 0 && raw.p[raw.len - 1] == '.')
		raw.len--;
	if (raw.len == 0 || raw.len > HOST_MAX)
		return false;
	host->len = (uint8_t)raw.len;
	if (raw.p[0] == '[')
		return raw.len > 2 && take_ipv6(raw, host);
	return take_name(raw, host);
}

static bool is_address(const struct host *host)
{
	char text[INET_ADDRSTRLEN];
	struct in_addr address;
	char last = host->name[host->len - 1];

	if (last == ']')
		return true;
	if (last < '0' || last > '9' || host->len >= sizeof(text))
		return false;
	memcpy(text, host->name, host->len);
	text[host->len] = '\0';
	return inet_pton(AF_INET, text, &address) == 1;
}

/* The places of the dots that count: all up to eight, else the first four and
 * the last four. Returns how many. */
static size_t list_dots(const struct host *host, uint8_t dots[WILDCARDS])
{
	size_t count = 0;
	size_t i;

	for (i = 0; i < host->len; i++) {
		if (host->name[i] != '.')
			continue;
		if (count == WILDCARDS) {
			memmove(dots + WILDCARDS / 2, dots + WILDCARDS / 2 + 1,
				WILDCARDS / 2 - 1);
			count--;
		}
		dots[count++] = (uint8_t)i;
	}
	return count;
}

void host_list_candidates(const struct host *host, struct host_candidates *list)
{
	size_t wildcards = 0;

	list->start[0] = 0;
	if (!is_address(host))
		wildcards = list_dots(host, list->start + 1);
	list->start[wildcards + 1] = host->len;
	list->count = (uint8_t)(wildcards + 2);
}

struct span host_candidate(const struct host *host,
			   const struct host_candidates *list, size_t i,
			   struct host_field *room)
{
	size_t start = list->start[i];
	size_t len = host->len - start;

	if (i == 0)
		return host_span(host);
	room->text[0] = '*';
	memcpy(room->text + 1, host->name + start, len);
	return (struct span){room->text, len + 1};
}

bool host_read_field(struct span raw, struct host_field *room,
		     struct span *field)
{
	bool is_wildcard = raw.len > 0 && raw.p[0] == '*';
	size_t len = is_wildcard ? raw.len > 1 ? 2 : 1 : 0;
	struct host host = {.len = 0};

	if (len == 2 && raw.p[1] != '.')
		return false;
	memcpy(room->text, "*.", len);
	if (len != 1) {
		struct span rest = {raw.p + len, raw.len - len};

		if (!host_normalise(rest, &host) || len + host.len > HOST_MAX)
			return false;
		if (is_wildcard && host.name[0] == '[')
			return false;
	}
	memcpy(room->text + len, host.name, host.len);
	*field = (struct span){room->text, len + host.len};
	return true;
}
