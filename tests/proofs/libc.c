/* SPDX-License-Identifier: MIT */
/*
 * What CBMC's own C library lacks, as the standard has it.
 */
#include <stddef.h>

void *memchr(const void *bytes, int byte, size_t len)
{
	const unsigned char *p = bytes;
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i] == (unsigned char)byte)
			return (void *)(p + i);
	return NULL;
}

void *memrchr(const void *bytes, int byte, size_t len)
{
	const unsigned char *p = bytes;

	while (len-- > 0)
		if (p[len] == (unsigned char)byte)
			return (void *)(p + len);
	return NULL;
}

int tolower(int c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}
