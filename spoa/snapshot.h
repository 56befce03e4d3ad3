/* SPDX-License-Identifier: MIT */
/*
 * snapshot: what the cache knows, kept on disk for a start while Redis is away.
 *
 * Once a minute, if something changed, the loop writes all entries in slices
 * into a temporary file; a thread that touches nothing else brings it to the
 * disk and puts it in place. What is read at start is stale from the beginning:
 * it serves only while Redis cannot be asked. A file that is damaged, cut off
 * or not ours is refused as a whole.
 *
 * The file: a magic, the time of day in ms; for each entry the length of its
 * field (one byte), the length of its text (two, 0xffff: absent), how long past
 * its freshness it was in ms (eight), field and text; then a zero byte, the
 * number of entries and a checksum, eight bytes each. Numbers are
 * little-endian.
 */
#ifndef SPOA_SNAPSHOT_H
#define SPOA_SNAPSHOT_H

#include "cache.h"
#include "loop.h"
#include "resolver.h"

struct snapshot;

/* Counts since the start, but for the first three. */
struct snapshot_counters {
	bool is_read;	   /* there was one at the start */
	uint64_t entries;  /* of the last that was read or written */
	int64_t saved_ms;  /* when that was written, as of loop_now; it may be
			      before the start. 0: there is none */
	uint64_t writes;   /* snapshots that were put in place */
	uint64_t failures; /* that could not be written, or read */
};

struct snapshot_options {
	struct loop *loop;
	const char *path;
	struct cache *cache;
	struct resolver *resolver;
	int64_t stale_ms; /* what is older than this is not worth reading */
};

/* NULL when there is no memory. What the options point to must live longer. */
struct snapshot *snapshot_new(const struct snapshot_options *options);
void snapshot_free(struct snapshot *snapshot);

/* From now on what is older than this is not worth keeping. */
void snapshot_set_stale(struct snapshot *snapshot, int64_t stale_ms);

/* Reads the file, if there is one; the log says what came of it. Blocks: for
 * the start only. */
void snapshot_read(struct snapshot *snapshot);

/* Writes the file at once, if anything is known. Blocks: for the end only. */
void snapshot_write(struct snapshot *snapshot);

const struct snapshot_counters *snapshot_count(const struct snapshot *snapshot);

#endif
