/* SPDX-License-Identifier: MIT */
/*
 * reserve: pieces are cut off one after the other; when all of them are back,
 * the whole is there again. It costs nothing while it was never needed: the
 * kernel gives no pages to what nobody touched.
 */
#include "reserve.h"

#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

enum {
	WHOLE = 256 * 1024, /* bytes: 4 KiB for each of 64 connections */
	PIECE_MAX = 2 * 1024,
};

/* Stands before what is handed out. */
struct head {
	_Alignas(max_align_t) size_t size;
};

static struct {
	_Alignas(max_align_t) unsigned char bytes[WHOLE];
	size_t used;   /* bytes cut off */
	size_t pieces; /* that are not back */
} reserve;

static bool is_ours(const void *piece)
{
	const unsigned char *p = piece;

	return p >= reserve.bytes && p < reserve.bytes + WHOLE;
}

static void *cut(size_t size)
{
	struct head *head;
	size_t all = sizeof(*head) + size + sizeof(*head) - 1;

	all -= all % sizeof(*head);
	if (size > PIECE_MAX || all > WHOLE - reserve.used)
		return NULL;
	head = (struct head *)(void *)(reserve.bytes + reserve.used);
	head->size = size;
	reserve.used += all;
	reserve.pieces++;
	return head + 1;
}

void *reserve_malloc(size_t size)
{
	void *piece = malloc(size);

	if (!piece)
		return cut(size);
	return piece;
}

void reserve_free(void *piece)
{
	if (!is_ours(piece)) {
		free(piece);
		return;
	}
	if (--reserve.pieces == 0)
		reserve.used = 0;
}

void *reserve_realloc(void *old, size_t size)
{
	size_t old_size;
	void *piece;

	if (!old)
		return reserve_malloc(size);
	if (!is_ours(old))
		return realloc(old, size);
	piece = reserve_malloc(size);
	if (!piece)
		return NULL;
	old_size = ((const struct head *)old - 1)->size;
	memcpy(piece, old, old_size < size ? old_size : size);
	reserve_free(old);
	return piece;
}

void reserve_lend(void)
{
	event_set_mem_functions(reserve_malloc, reserve_realloc, reserve_free);
}
