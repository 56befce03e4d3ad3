/* SPDX-License-Identifier: MIT */
/*
 * host: whatever a client writes, a host that is accepted is a host: of the
 * bytes that it may have, without an empty label, and the same when it is
 * normalised again.
 *
 * inet_pton is the C library's: here it says yes or no as it likes to text of
 * the bytes of an address, but the same to the same, upper or lower case.
 */
#include "../../spoa/host.h"

#include "proof.h"

#include <arpa/inet.h>
#include <ctype.h>

enum { RAW_MAX = 10 }; /* more than the eight bytes that it takes at a time */

static bool is_address_byte(char c)
{
	return c == ':' || c == '.' || (c >= '0' && c <= '9') ||
	       (tolower(c) >= 'a' && tolower(c) <= 'f');
}

int __CPROVER_uninterpreted_pton(int family, uint64_t head, uint64_t tail);

int inet_pton(int family, const char *text, void *address)
{
	uint64_t words[2] = {0};
	size_t i;

	(void)address;
	for (i = 0; text[i]; i++) {
		prove(i < RAW_MAX, "no longer than what came in");
		if (!is_address_byte(text[i]))
			return 0;
		words[i / 8] |= (uint64_t)(uint8_t)tolower(text[i])
				<< (i % 8 * 8);
	}
	return __CPROVER_uninterpreted_pton(family, words[0], words[1]);
}

static bool is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
	       c == '_' || c == '.';
}

static struct span any_raw(void)
{
	size_t len = any_length(RAW_MAX);

	return (struct span){(const char *)any_bytes(len), len};
}

void prove_normalise(void)
{
	struct host host;
	size_t i = nondet_size();

	if (!host_normalise(any_raw(), &host))
		return;
	prove(host.len > 0 && host.len <= RAW_MAX, "no longer than it came");
	assume(i < host.len);
	prove(host.name[i] != '*', "no client names a wildcard");
	if (host.name[0] == '[')
		return;
	prove(is_name_byte(host.name[i]), "of the bytes of a name");
	prove(host.name[0] != '.' && host.name[host.len - 1] != '.' &&
		      (i == 0 || host.name[i] != '.' ||
		       host.name[i - 1] != '.'),
	      "without an empty label");
}

void prove_normalise_twice(void)
{
	struct host once, twice;
	size_t i = nondet_size();

	if (!host_normalise(any_raw(), &once))
		return;
	prove(host_normalise(host_span(&once), &twice), "accepted again");
	prove(twice.len == once.len, "as long");
	assume(i < once.len);
	prove(twice.name[i] == once.name[i], "byte for byte");
}
