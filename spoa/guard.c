/* SPDX-License-Identifier: MIT */
/*
 * guard: tables of address ranges, one that is always there and two that are
 * read from options.
 */
#include "guard.h"

#include <arpa/inet.h>

#define ANY_PORT .first_port = 0, .last_port = UINT16_MAX
#define NAMED(literal) .text = {literal, sizeof(literal) - 1}

static const struct guard_range built_in[] = {
	{{0}, 8, false, ANY_PORT, NAMED("unspecified")},
	{{169, 254}, 16, false, ANY_PORT, NAMED("link-local")},
	{{224}, 4, false, ANY_PORT, NAMED("multicast")},
	{{255, 255, 255, 255}, 32, false, ANY_PORT, NAMED("broadcast")},
	{{0}, 128, true, ANY_PORT, NAMED("unspecified")},
	{{0xfe, 0x80}, 10, true, ANY_PORT, NAMED("link-local")},
	{{0xff}, 8, true, ANY_PORT, NAMED("multicast")},
	{{0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, 0x54},
	 128,
	 true,
	 ANY_PORT,
	 NAMED("metadata")},
};

/* Prefixes that only wrap an IPv4 address. */
static const uint8_t mapped[12] = {[10] = 0xff, 0xff};
static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b};

/* A target in one of its notations. */
struct place {
	const uint8_t *address;
	bool is_ipv6;
	uint16_t port;
};

static bool is_inside(const struct place *place,
		      const struct guard_range *range)
{
	size_t bytes = range->bits / 8;
	unsigned int rest = range->bits % 8;
	uint8_t mask = (uint8_t)(0xff << (8 - rest));

	if (place->is_ipv6 != range->is_ipv6 ||
	    place->port < range->first_port || place->port > range->last_port ||
	    memcmp(place->address, range->address, bytes) != 0)
		return false;
	return rest == 0 ||
	       ((place->address[bytes] ^ range->address[bytes]) & mask) == 0;
}

static const struct guard_range *find_range(const struct guard_range *ranges,
					    size_t count,
					    const struct place *place)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (is_inside(place, &ranges[i]))
			return &ranges[i];
	return NULL;
}

static const struct guard_range *find_denial(const struct guard *guard,
					     const struct place *place)
{
	const struct guard_range *range =
		find_range(guard->denied.ranges, guard->denied.count, place);

	return range ? range : find_range(built_in, ARRAY_LEN(built_in), place);
}

bool guard_allows(const struct guard *guard, const uint8_t *address, size_t len,
		  uint16_t port, struct span *rule)
{
	struct place places[2] = {{address, len == 16, port}};
	const struct guard_range *range = NULL;
	size_t count = 1;
	size_t i;

	/* Mapped is another way to write IPv4, but NAT64 is a way of its own
	 * to an IPv4 address: it is judged as both. */
	if (len == 16 && !memcmp(address, mapped, sizeof(mapped)))
		places[0] = (struct place){address + 12, false, port};
	else if (len == 16 && !memcmp(address, nat64, sizeof(nat64)))
		places[count++] = (struct place){address + 12, false, port};
	for (i = 0; i < count; i++)
		if (find_range(guard->allowed.ranges, guard->allowed.count,
			       &places[i]))
			return true;
	for (i = 0; i < count && !range; i++)
		range = find_denial(guard, &places[i]);
	if (range)
		*rule = range->text;
	return !range;
}

/* A decimal number of at most `max`, without sign; -1 when it is none. */
static int read_number(struct span digits, int max)
{
	int n = 0;
	size_t i;

	if (digits.len == 0 || digits.len > 5)
		return -1;
	for (i = 0; i < digits.len; i++) {
		if (digits.p[i] < '0' || digits.p[i] > '9')
			return -1;
		n = n * 10 + (digits.p[i] - '0');
	}
	return n > max ? -1 : n;
}

/* What is before the first `c`, which `*rest` follows; all of it, and
 * an empty rest without bytes, when there is none. */
static struct span split(struct span text, char c, struct span *rest)
{
	const char *at = text.len ? memchr(text.p, c, text.len) : NULL;

	*rest = (struct span){0};
	if (!at)
		return text;
	rest->p = at + 1;
	rest->len = (size_t)(text.p + text.len - rest->p);
	text.len = (size_t)(at - text.p);
	return text;
}

static bool read_ports(struct span text, struct guard_range *range)
{
	struct span last;
	struct span first = split(text, '-', &last);
	int from = read_number(first, UINT16_MAX);
	int to = last.p ? read_number(last, UINT16_MAX) : from;

	if (from < 1 || to < from)
		return false;
	range->first_port = (uint16_t)from;
	range->last_port = (uint16_t)to;
	return true;
}

/* An address with or without the bits of its prefix. */
static bool read_prefix(struct span text, struct guard_range *range)
{
	char copy[INET6_ADDRSTRLEN];
	struct span digits;
	struct span address = split(text, '/', &digits);
	int max = range->is_ipv6 ? 128 : 32;
	int bits = digits.p ? read_number(digits, max) : max;

	if (bits < 0 || address.len == 0 || address.len >= sizeof(copy))
		return false;
	memcpy(copy, address.p, address.len);
	copy[address.len] = '\0';
	range->bits = (uint8_t)bits;
	return inet_pton(range->is_ipv6 ? AF_INET6 : AF_INET, copy,
			 range->address) == 1;
}

/* A range of mapped addresses is one of IPv4 ones. */
static void unwrap(struct guard_range *range)
{
	if (!range->is_ipv6 || range->bits < 96 ||
	    memcmp(range->address, mapped, sizeof(mapped)) != 0)
		return;
	memmove(range->address, range->address + 12, 4);
	range->is_ipv6 = false;
	range->bits = (uint8_t)(range->bits - 96);
}

static const char *read_range(struct span text, struct guard_range *range)
{
	struct span ports = {0};
	struct span prefix, rest;

	*range = (struct guard_range){.text = text, ANY_PORT};
	if (text.len > 0 && text.p[0] == '[') {
		range->is_ipv6 = true;
		prefix = split((struct span){text.p + 1, text.len - 1}, ']',
			       &rest);
		if (!rest.p)
			return "a `[` without a `]`";
		if (rest.len > 0 && rest.p[0] != ':')
			return "what follows the `]` is not `:` and ports";
		if (rest.len > 0)
			ports = (struct span){rest.p + 1, rest.len - 1};
	} else {
		prefix = split(text, ':', &ports);
		range->is_ipv6 =
			ports.p && memchr(ports.p, ':', ports.len) != NULL;
		if (range->is_ipv6) {
			prefix = text;
			ports = (struct span){0};
		}
	}
	if (!read_prefix(prefix, range))
		return "not an address, or one with the bits of a prefix";
	if (ports.p && !read_ports(ports, range))
		return "not a port or a range of ports";
	unwrap(range);
	return NULL;
}

bool guard_add(struct guard_rules *rules, const char *text,
	       const char **problem)
{
	struct span rest = span_of(text);

	do {
		struct span one = span_trim(split(rest, ',', &rest));

		*problem = "more than 256 ranges";
		if (rules->count == GUARD_RANGES_MAX)
			return false;
		*problem = read_range(one, &rules->ranges[rules->count]);
		if (*problem)
			return false;
		rules->count++;
	} while (rest.p);
	return true;
}
