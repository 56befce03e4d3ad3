/* SPDX-License-Identifier: MIT */
/*
 * pages: maps a block more than is wanted and gives back what stands over.
 */
#include "pages.h"

#include <sys/mman.h>

static size_t round_up(size_t n)
{
	return (n + PAGES_BLOCK - 1) / PAGES_BLOCK * PAGES_BLOCK;
}

void *pages_map(size_t size, size_t small)
{
	size_t whole = round_up(size);
	char *map = mmap(NULL, whole + PAGES_BLOCK, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t before;

	if (map == MAP_FAILED)
		return NULL;
	before = round_up((uintptr_t)map) - (uintptr_t)map;
	if (before > 0)
		munmap(map, before);
	map += before;
	munmap(map + whole, PAGES_BLOCK - before);
	/* Without huge pages it is slower, no more. */
	if (whole > small)
		(void)madvise(map + small, whole - small, MADV_HUGEPAGE);
	return map;
}

void pages_unmap(void *pages, size_t size)
{
	if (pages)
		munmap(pages, round_up(size));
}
