/* SPDX-License-Identifier: MIT */
/*
 * kit: a guard page, repeatable random numbers and allocations that fail.
 */
#include "kit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { GUARDED_MAX = 4 * 1024 * 1024 };

static struct {
	char *end; /* of the readable bytes before the guard page */
	uint64_t random;
	unsigned int fail_in;
	bool failed;
	uint64_t allocations;
	char *text; /* of the stream, with its size */
	size_t size;
} kit;

char *kit_guarded(const void *bytes, size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *copy;

	if (!kit.end) {
		char *map =
			mmap(NULL, GUARDED_MAX + page, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		assert_true(map != MAP_FAILED);
		kit.end = map + GUARDED_MAX;
		assert_int_equal(mprotect(kit.end, page, PROT_NONE), 0);
	}
	assert_true(len <= GUARDED_MAX);
	copy = kit.end - len;
	if (len > 0)
		memcpy(copy, bytes, len);
	return copy;
}

FILE *kit_stream(void)
{
	free(kit.text);
	kit.text = NULL;
	return open_memstream(&kit.text, &kit.size);
}

const char *kit_written(FILE *stream)
{
	fclose(stream);
	assert_int_equal(strlen(kit.text), kit.size);
	return kit.text;
}

void kit_expect(FILE *stream, const char *expected)
{
	assert_string_equal(kit_written(stream), expected);
}

uint64_t kit_random(void)
{
	uint64_t x = kit.random;

	if (x == 0) {
		const char *seed = getenv("SEED");

		x = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL);
		fprintf(stderr, "# SEED=%" PRIu64 "\n", x);
		x = x * 0x9e3779b97f4a7c15ULL | 1;
	}
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	kit.random = x;
	return x >> 8;
}

void kit_fail_allocation(unsigned int n)
{
	kit.fail_in = n;
	kit.failed = false;
}

bool kit_did_fail(void)
{
	return kit.failed;
}

uint64_t kit_allocations(void)
{
	return kit.allocations;
}

/* The tests are linked with --wrap for the allocating functions; those of a
 * room are not there in each test. */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);
void *__real_slab_alloc(void *slabs, size_t size) __attribute__((weak));
void *__wrap_slab_alloc(void *slabs, size_t size);
void *__real_pages_map(size_t size, size_t small) __attribute__((weak));
void *__wrap_pages_map(size_t size, size_t small);

static bool must_fail(void)
{
	kit.allocations++;
	if (kit.fail_in == 0 || --kit.fail_in > 0)
		return false;
	kit.failed = true;
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return must_fail() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return must_fail() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
	return must_fail() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = must_fail() ? NULL : __real_malloc(size);

	return copy ? memcpy(copy, text, size) : NULL;
}

void *__wrap_slab_alloc(void *slabs, size_t size)
{
	return must_fail() ? NULL : __real_slab_alloc(slabs, size);
}

void *__wrap_pages_map(size_t size, size_t small)
{
	return must_fail() ? NULL : __real_pages_map(size, small);
}

void kit_hset(struct kit_hash *hash, const char *field, const char *value)
{
	size_t i;

	for (i = 0; i < hash->count; i++)
		if (!strcmp(hash->rows[i].field, field))
			break;
	if (i == hash->count)
		hash->count++;
	assert_true(hash->count <= ARRAY_LEN(hash->rows));
	snprintf(hash->rows[i].field, sizeof(hash->rows[i].field), "%s", field);
	snprintf(hash->rows[i].value, sizeof(hash->rows[i].value), "%s",
		 value ? value : "");
}

const char *kit_hget(const struct kit_hash *hash, struct span field)
{
	size_t i;

	for (i = 0; i < hash->count; i++)
		if (span_is(field, hash->rows[i].field) &&
		    hash->rows[i].value[0] != '\0')
			return hash->rows[i].value;
	return NULL;
}
