/* SPDX-License-Identifier: MIT */
/*
 * store: what the resolver wants of a place where routes are kept.
 *
 * An interface without code: `redis_store` fills it in, the scenarios of the
 * tests have one of their own. A lookup is one question to the store; its
 * owner is the caller, who must keep it until `done` was called.
 */
#ifndef SPOA_STORE_H
#define SPOA_STORE_H

#include "base.h"

#include <sys/queue.h>

enum { STORE_FIELDS_MAX = 64 };

enum store_status {
	STORE_ANSWERED, /* there is a value for each field */
	STORE_FAILED,	/* the store could not be asked; nothing is known */
};

enum store_kind {
	STORE_VALUE,
	STORE_NONE,	 /* the store has no such field */
	STORE_TOO_LARGE, /* it has, but with a value beyond the bound */
};

struct store_value {
	enum store_kind kind;
	struct span text; /* of STORE_VALUE; lives during the call of `done` */
	uint64_t size;	  /* of STORE_TOO_LARGE, bytes */
};

/* One question: some fields, to be answered together. */
struct lookup {
	const struct span *fields; /* at most STORE_FIELDS_MAX; the caller's */
	size_t count;
	/* Called each time the question goes out, perhaps from within `ask`:
	 * what it tells is what the store holds from then on. */
	void (*sent)(struct lookup *lookup, int64_t now_ms);
	/* Called exactly once for each accepted lookup, never from within
	 * `ask`. `values` has `count` elements, or is NULL with STORE_FAILED.
	 */
	void (*done)(struct lookup *lookup, enum store_status status,
		     const struct store_value *values, int64_t now_ms);
	TAILQ_ENTRY(lookup) link; /* the store's own, as are these: */
	int64_t sent_ms;
	uint64_t sent_after; /* reads from the server before it was sent */
	unsigned int tries;
	unsigned int ahead; /* replies that come before the one it is for */
	int64_t size;	    /* fields that the hash had then; -1: unknown */
};

TAILQ_HEAD(lookup_queue, lookup);

/* A step of a walk over all fields; its owner keeps it until `done`. */
struct scan {
	uint64_t cursor;    /* where it goes on; 0: the beginning, or the end */
	unsigned int count; /* about so many fields; 0: `total` alone */
	uint64_t total;	    /* fields there are, when that was asked */
	/* Called for each field of the step; what it gets lives meanwhile. A
	 * field that was too long to be read is empty. */
	void (*take)(struct scan *scan, struct span field,
		     const struct store_value *value);
	/* Called exactly once for each accepted scan, never from within. */
	void (*done)(struct scan *scan, enum store_status status,
		     int64_t now_ms);
	void *context;
};

/* What a store may say of itself. */
enum store_news {
	STORE_CHANGED,	 /* any field may have changed */
	STORE_NAMED,	 /* the field in question was named; `*` is all */
	STORE_PUSH_UP,	 /* all changes since the last STORE_CHANGED are told */
	STORE_PUSH_DOWN, /* from now on they may not be */
};

struct store {
	/* Takes a lookup; false when the store cannot be asked at present, and
	 * then nothing is kept. */
	bool (*ask)(struct store *store, struct lookup *lookup, int64_t now_ms);
	/* Takes a scan, one at a time; false as with `ask`. */
	bool (*scan)(struct store *store, struct scan *scan, int64_t now_ms);
	/* Is it worth waiting for a lookup that was taken earlier? */
	bool (*is_up)(struct store *store, int64_t now_ms);
	/* Set by the one who wants to hear: called from the loop, never from
	 * within `ask`. `field` is empty but with STORE_NAMED. */
	void (*news)(void *context, enum store_news news, struct span field,
		     int64_t now_ms);
	void *context;
};

#endif
