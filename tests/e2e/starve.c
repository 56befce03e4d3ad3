/* SPDX-License-Identifier: MIT */
/*
 * starve: lets allocations of a whole program fail. Preloaded; the file that
 * STARVE names holds a number: of so many allocations one fails, 0: none. It
 * may be written at any time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static volatile uint32_t *one_of;

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("STARVE");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *map = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		abort();
	close(fd);
	one_of = map;
}

/* The second number counts the failures. */
static int fails(void)
{
	static uint64_t random = 88172645463325252;

	if (!one_of || one_of[0] == 0)
		return 0;
	random ^= random << 13;
	random ^= random >> 7;
	random ^= random << 17;
	if (random % one_of[0] != 0)
		return 0;
	one_of[1]++;
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	return fails() ? NULL : __libc_realloc(old, size);
}
