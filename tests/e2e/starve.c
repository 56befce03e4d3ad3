/* SPDX-License-Identifier: MIT */
/*
 * starve: lets allocations of a whole program fail. Preloaded; the file that
 * STARVE names says which, and may be written at any time. With NO_RESERVE
 * libevent is not given one.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct order {
	uint32_t one_of; /* of so many allocations one fails; 0: none */
	uint32_t nth;	 /* so many from now fails, once; 0: none */
	uint32_t failures;
};

static volatile struct order *order;

/* Whoever comes next in the order of libraries: libc, or a sanitizer. */
static void *next(const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (!found)
		abort();
	return found;
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("STARVE");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *map = mmap(NULL, sizeof(*order), PROT_READ | PROT_WRITE,
			 MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		abort();
	close(fd);
	order = map;
}

static int must_fail(void)
{
	static uint64_t random = 88172645463325252;

	if (order->nth > 0)
		return --order->nth == 0;
	if (order->one_of == 0)
		return 0;
	random ^= random << 13;
	random ^= random >> 7;
	random ^= random << 17;
	return random % order->one_of == 0;
}

static int fails(void)
{
	if (!order || !must_fail())
		return 0;
	order->failures++;
	errno = ENOMEM;
	return 1;
}

void *malloc(size_t size)
{
	static void *(*real)(size_t);

	if (!real)
		real = next("malloc");
	return fails() ? NULL : real(size);
}

void *calloc(size_t count, size_t size)
{
	static void *(*real)(size_t, size_t);

	if (!real)
		real = next("calloc");
	return fails() ? NULL : real(count, size);
}

void *realloc(void *old, size_t size)
{
	static void *(*real)(void *, size_t);

	if (!real)
		real = next("realloc");
	return fails() ? NULL : real(old, size);
}

void event_set_mem_functions(void *(*take)(size_t),
			     void *(*change)(void *, size_t),
			     void (*leave)(void *))
{
	void (*real)(void *(*)(size_t), void *(*)(void *, size_t),
		     void (*)(void *)) = next("event_set_mem_functions");

	if (!getenv("NO_RESERVE"))
		real(take, change, leave);
}
