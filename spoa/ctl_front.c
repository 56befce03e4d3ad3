/* SPDX-License-Identifier: MIT */
/*
 * ctl_front: reads the bind address; the kernel says which addresses are ours.
 */
#include "ctl_front.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* One may bind to an address only where it is local. */
static bool is_local(const uint8_t *address, size_t len)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	bool is_ipv4 = len == 4;
	int fd = socket(is_ipv4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC,
			0);
	bool bound;

	if (fd < 0)
		return false;
	if (is_ipv4)
		memcpy(&in.sin_addr, address, len);
	else
		memcpy(&in6.sin6_addr, address, len);
	bound = bind(fd,
		     is_ipv4 ? (const struct sockaddr *)&in
			     : (const struct sockaddr *)&in6,
		     is_ipv4 ? sizeof(in) : sizeof(in6)) == 0;
	close(fd);
	return bound;
}

/* The front without `ipv4@` and brackets. */
static void read_name(const char *front, size_t len, char *name, size_t size)
{
	const char *at = memchr(front, '@', len);

	if (at) {
		len -= (size_t)(at + 1 - front);
		front = at + 1;
	}
	if (len > 1 && front[0] == '[' && front[len - 1] == ']') {
		front++;
		len -= 2;
	}
	snprintf(name, size, "%.*s", (int)len, front);
}

static bool takes(const char *front, size_t front_len, const uint8_t *address,
		  size_t len, uint16_t port)
{
	static const char *const all[] = {"", "*", "0.0.0.0", "::", "0"};
	const char *colon = memrchr(front, ':', front_len);
	uint8_t bytes[16];
	char name[64];
	size_t i;

	if (!colon || strtoul(colon + 1, NULL, 10) != port)
		return false;
	read_name(front, (size_t)(colon - front), name, sizeof(name));
	for (i = 0; i < ARRAY_LEN(all); i++)
		if (!strcmp(name, all[i]))
			return is_local(address, len);
	return inet_pton(len == 4 ? AF_INET : AF_INET6, name, bytes) == 1 &&
	       !memcmp(bytes, address, len);
}

bool ctl_front_takes(const char *front, const uint8_t *address, size_t len,
		     uint16_t port)
{
	while (*front != '\0') {
		size_t one = strcspn(front, ",");

		if (takes(front, one, address, len, port))
			return true;
		front += one;
		front += *front == ',';
	}
	return false;
}
