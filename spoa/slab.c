/* SPDX-License-Identifier: MIT */
/*
 * slab: a block begins with the heads of its slabs, so that a piece finds its
 * own by its address.
 */
#include "slab.h"

#include <stdlib.h>

#include "pages.h"

enum {
	SLAB_BYTES = 64 * 1024,
	BLOCK_SLABS = PAGES_BLOCK / SLAB_BYTES,
};

/* With AddressSanitizer each piece is malloc's, so that misuse is seen. */
#ifdef __SANITIZE_ADDRESS__
enum { MALLOC_ALL = true };
#else
enum { MALLOC_ALL = false };
#endif

/* A piece that is free. */
struct piece {
	struct piece *next;
};

struct slab {
	LIST_ENTRY(slab) link; /* while it has room and is in use */
	struct piece *free;    /* pieces that came back */
	char *fresh;	       /* from here to `end` none was given out yet */
	char *end;
	uint32_t used; /* pieces that are given out; 0: it is empty */
	uint32_t size; /* of its pieces */
};

struct slab_block {
	LIST_ENTRY(slab_block) link; /* while it has an empty slab */
	size_t used;		     /* slabs that are not empty */
	struct slab slabs[BLOCK_SLABS];
};

void slab_init(struct slabs *slabs)
{
	*slabs = (struct slabs){.blocks = 0};
}

static struct slab_block *block_of(const void *piece)
{
	uintptr_t offset = (uintptr_t)piece % PAGES_BLOCK;

	return (struct slab_block *)((char *)(uintptr_t)piece - offset);
}

static struct slab_block *add_block(struct slabs *slabs)
{
	/* The first one stays in small pages: so a small cache is small. */
	size_t small = slabs->blocks == 0 ? PAGES_BLOCK : 0;
	struct slab_block *block = pages_map(PAGES_BLOCK, small);

	if (!block)
		return NULL;
	LIST_INSERT_HEAD(&slabs->spare, block, link);
	slabs->blocks++;
	return block;
}

static void remove_block(struct slabs *slabs, struct slab_block *block)
{
	LIST_REMOVE(block, link);
	pages_unmap(block, PAGES_BLOCK);
	slabs->blocks--;
}

/* Where the room of a slab begins; that of the first is what the heads left. */
static char *slab_room(struct slab_block *block, size_t i)
{
	size_t head = (sizeof(*block) + 63) / 64 * 64;

	return (char *)block + (i == 0 ? head : i * SLAB_BYTES);
}

/* Makes an empty slab one of pieces of `size`. */
static struct slab *open_slab(struct slabs *slabs, size_t size)
{
	struct slab_block *block = LIST_FIRST(&slabs->spare);
	struct slab *slab;
	size_t i = 0;

	if (!block)
		block = add_block(slabs);
	if (!block)
		return NULL;
	while (block->slabs[i].used > 0)
		i++;
	slab = &block->slabs[i];
	slab->free = NULL;
	slab->fresh = slab_room(block, i);
	slab->end = (char *)block + (i + 1) * SLAB_BYTES;
	slab->size = (uint32_t)size;
	LIST_INSERT_HEAD(&slabs->open[size / SLAB_STEP], slab, link);
	if (++block->used == BLOCK_SLABS)
		LIST_REMOVE(block, link);
	return slab;
}

static bool is_full(const struct slab *slab)
{
	return !slab->free && slab->size > (size_t)(slab->end - slab->fresh);
}

static void *take_piece(struct slab *slab)
{
	void *piece = slab->free;

	if (slab->free) {
		slab->free = slab->free->next;
	} else {
		piece = slab->fresh;
		slab->fresh += slab->size;
	}
	slab->used++;
	if (is_full(slab))
		LIST_REMOVE(slab, link);
	return piece;
}

static size_t round_up(size_t size)
{
	return (size + SLAB_STEP - 1) / SLAB_STEP * SLAB_STEP;
}

void *slab_alloc(struct slabs *slabs, size_t size)
{
	size_t whole = round_up(size);
	struct slab *slab;

	if (MALLOC_ALL || whole > SLAB_PIECE_MAX)
		return malloc(size);
	slab = LIST_FIRST(&slabs->open[whole / SLAB_STEP]);
	if (!slab)
		slab = open_slab(slabs, whole);
	return slab ? take_piece(slab) : NULL;
}

/* The slab is empty: it may serve other sizes, and its block may go. */
static void close_slab(struct slabs *slabs, struct slab_block *block,
		       struct slab *slab)
{
	LIST_REMOVE(slab, link);
	if (block->used-- == BLOCK_SLABS)
		LIST_INSERT_HEAD(&slabs->spare, block, link);
	if (block->used == 0 && slabs->blocks > 1)
		remove_block(slabs, block);
}

void slab_free(struct slabs *slabs, void *piece, size_t size)
{
	struct slab_block *block = block_of(piece);
	struct piece *freed = piece;
	struct slab *slab;

	if (MALLOC_ALL || round_up(size) > SLAB_PIECE_MAX) {
		free(piece);
		return;
	}
	slab = &block->slabs[((char *)piece - (char *)block) / SLAB_BYTES];
	if (is_full(slab))
		LIST_INSERT_HEAD(&slabs->open[slab->size / SLAB_STEP], slab,
				 link);
	freed->next = slab->free;
	slab->free = freed;
	if (--slab->used == 0)
		close_slab(slabs, block, slab);
}

void slab_fini(struct slabs *slabs)
{
	struct slab_block *block = LIST_FIRST(&slabs->spare);

	if (block)
		remove_block(slabs, block);
}
