/* SPDX-License-Identifier: MIT */
/*
 * names: one block of memory, searched from its beginning.
 */
#include "names.h"

#include <stdlib.h>

enum { HEAD = 2, COUNT_MAX = UINT8_MAX };

/* The bytes of the record at `at`. */
static size_t record_size(const struct names *names, size_t at)
{
	return (size_t)HEAD + names->bytes[at + 1];
}

static struct span record_name(const struct names *names, size_t at)
{
	return (struct span){(const char *)names->bytes + at + HEAD,
			     names->bytes[at + 1]};
}

/* Where the record of `name` is, or the end; `*count` records stand before. */
static size_t find_record(const struct names *names, struct span name,
			  size_t *count)
{
	size_t at = 0;

	*count = 0;
	while (at < names->size && !span_equal(record_name(names, at), name)) {
		at += record_size(names, at);
		++*count;
	}
	return at;
}

void names_add(struct names *names, struct span name)
{
	size_t count, size;
	size_t at = find_record(names, name, &count);
	uint8_t *bytes;

	if (at < names->size) {
		/* At its most it stays: better remembered than miscounted. */
		if (names->bytes[at] < COUNT_MAX)
			names->bytes[at]++;
		return;
	}
	if (count >= NAMES_MAX || name.len == 0 || name.len > UINT8_MAX)
		return;
	size = at + HEAD + name.len;
	bytes = realloc(names->bytes, size);
	if (!bytes)
		return;
	bytes[at] = 1;
	bytes[at + 1] = (uint8_t)name.len;
	memcpy(bytes + at + HEAD, name.p, name.len);
	names->bytes = bytes;
	names->size = (uint16_t)size;
}

void names_drop(struct names *names, struct span name)
{
	size_t count, len;
	size_t at = find_record(names, name, &count);

	if (at == names->size || names->bytes[at] == COUNT_MAX)
		return;
	if (--names->bytes[at] > 0)
		return;
	len = record_size(names, at);
	memmove(names->bytes + at, names->bytes + at + len,
		names->size - at - len);
	names->size = (uint16_t)(names->size - len);
	if (names->size == 0)
		names_clear(names);
}

struct span names_at(const struct names *names, size_t i)
{
	size_t at = 0;

	while (at < names->size && i-- > 0)
		at += record_size(names, at);
	if (at == names->size)
		return (struct span){0};
	return record_name(names, at);
}

void names_clear(struct names *names)
{
	free(names->bytes);
	*names = (struct names){0};
}
