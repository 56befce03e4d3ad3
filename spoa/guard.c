/* SPDX-License-Identifier: MIT */
/*
 * guard: a table of address ranges that are never targets.
 */
#include "guard.h"

struct range {
	uint8_t address[16];
	uint8_t bits; /* of the prefix */
};

static const struct range denied_ipv4[] = {
	{{0}, 8},		    /* unspecified, "this network" */
	{{169, 254}, 16},	    /* link-local, metadata */
	{{224}, 4},		    /* multicast */
	{{255, 255, 255, 255}, 32}, /* broadcast */
};

static const struct range denied_ipv6[] = {
	{{0}, 128},					    /* unspecified */
	{{0xfe, 0x80}, 10},				    /* link-local */
	{{0xff}, 8},					    /* multicast */
	{{0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, 0x54}, 128}, /* metadata */
};

/* Prefixes that only wrap an IPv4 address: mapped, NAT64. */
static const struct range wrapped_ipv4[] = {
	{{[10] = 0xff, 0xff}, 96},
	{{0x00, 0x64, 0xff, 0x9b}, 96},
};

static bool is_inside(const uint8_t *address, const struct range *range)
{
	size_t bytes = range->bits / 8;
	unsigned int rest = range->bits % 8;
	uint8_t mask = (uint8_t)(0xff << (8 - rest));

	if (memcmp(address, range->address, bytes) != 0)
		return false;
	return rest == 0 ||
	       ((address[bytes] ^ range->address[bytes]) & mask) == 0;
}

static bool is_inside_any(const uint8_t *address, const struct range *ranges,
			  size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (is_inside(address, &ranges[i]))
			return true;
	return false;
}

bool guard_allows(const uint8_t *address, size_t len)
{
	if (len == 16 &&
	    is_inside_any(address, wrapped_ipv4, ARRAY_LEN(wrapped_ipv4))) {
		address += 12;
		len = 4;
	}
	if (len == 4)
		return !is_inside_any(address, denied_ipv4,
				      ARRAY_LEN(denied_ipv4));
	return !is_inside_any(address, denied_ipv6, ARRAY_LEN(denied_ipv6));
}
