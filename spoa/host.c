/* SPDX-License-Identifier: MIT */
/*
 * host: normalises what a client wrote and lists the fields that could serve
 * it. Every byte is judged by one table.
 */
#include "host.h"

#include <arpa/inet.h>

enum {
	PORT_DIGITS = 5,
	WILDCARDS = HOST_CANDIDATES - 2, /* besides the exact host and `*` */
};

/* A byte of a name maps to its lower case; 0 is a byte no name has. */
static const char name_byte[256] = {
	['-'] = '-', ['_'] = '_', ['.'] = '.', ['0'] = '0', ['1'] = '1',
	['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5', ['6'] = '6',
	['7'] = '7', ['8'] = '8', ['9'] = '9', ['a'] = 'a', ['b'] = 'b',
	['c'] = 'c', ['d'] = 'd', ['e'] = 'e', ['f'] = 'f', ['g'] = 'g',
	['h'] = 'h', ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l',
	['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p', ['q'] = 'q',
	['r'] = 'r', ['s'] = 's', ['t'] = 't', ['u'] = 'u', ['v'] = 'v',
	['w'] = 'w', ['x'] = 'x', ['y'] = 'y', ['z'] = 'z', ['A'] = 'a',
	['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e', ['F'] = 'f',
	['G'] = 'g', ['H'] = 'h', ['I'] = 'i', ['J'] = 'j', ['K'] = 'k',
	['L'] = 'l', ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p',
	['Q'] = 'q', ['R'] = 'r', ['S'] = 's', ['T'] = 't', ['U'] = 'u',
	['V'] = 'v', ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y', ['Z'] = 'z',
};

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

static bool take_name(struct span raw, struct host *host)
{
	char last = '.';
	size_t i;

	for (i = 0; i < raw.len; i++) {
		char c = name_byte[(uint8_t)raw.p[i]];

		if (!c || (c == '.' && last == '.'))
			return false;
		host->name[i] = last = c;
	}
	return last != '.';
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
		host->name[i] = name_byte[(uint8_t)raw.p[i]];
		if (!host->name[i])
			host->name[i] = raw.p[i];
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
