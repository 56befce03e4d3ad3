/* SPDX-License-Identifier: MIT */
/*
 * slab: memory for many small pieces that come and go.
 *
 * Pieces of one size lie side by side in slabs, without a head each, and slabs
 * in blocks of large pages. A slab that is empty serves any size again, and a
 * block that is empty goes back to the system. Large pieces are malloc's.
 */
#ifndef SPOA_SLAB_H
#define SPOA_SLAB_H

#include "base.h"

#include <sys/queue.h>

enum {
	SLAB_STEP = 8,	       /* sizes are rounded up to these, bytes */
	SLAB_PIECE_MAX = 1024, /* what is larger is malloc's */
	SLAB_SIZES = SLAB_PIECE_MAX / SLAB_STEP + 1,
};

struct slab;
struct slab_block;

LIST_HEAD(slab_list, slab);
LIST_HEAD(slab_block_list, slab_block);

/* The fields are its own, but for reading. */
struct slabs {
	struct slab_list open[SLAB_SIZES]; /* with room, by size */
	struct slab_block_list spare;	   /* blocks with an empty slab */
	size_t blocks;
};

/* No memory is taken until a piece is. */
void slab_init(struct slabs *slabs);

/* A piece of `size` bytes, aligned to SLAB_STEP; NULL when there is no
 * memory. */
void *slab_alloc(struct slabs *slabs, size_t size);

/* Takes a piece back that was allocated with that size. When all were taken
 * back, all but one block is the system's again; that one goes with
 * slab_fini. */
void slab_free(struct slabs *slabs, void *piece, size_t size);

/* Gives back the last block. All pieces must have been taken back. */
void slab_fini(struct slabs *slabs);

#endif
