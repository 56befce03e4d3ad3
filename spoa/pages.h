/* SPDX-License-Identifier: MIT */
/*
 * pages: memory straight from the system, in whole blocks.
 *
 * Where millions of things are looked at in no order, to find the page of one
 * costs as much as to fetch it: so the system is asked for huge pages. It gives
 * them only as it can (/sys/kernel/mm/transparent_hugepage/enabled).
 */
#ifndef SPOA_PAGES_H
#define SPOA_PAGES_H

#include "base.h"

enum { PAGES_BLOCK = 2 * 1024 * 1024 }; /* bytes of a huge page */

/* Zeroed memory of at least `size` bytes that begins at a multiple of
 * PAGES_BLOCK; NULL when there is none. The first `small` bytes stay in small
 * pages: a little must not take a huge page. */
void *pages_map(size_t size, size_t small);

/* Gives back what was mapped with that size. Nothing when `pages` is NULL. */
void pages_unmap(void *pages, size_t size);

#endif
