/* SPDX-License-Identifier: MIT */
/*
 * sieve: keeps what Redis sends within bounds before the reply parser sees it.
 *
 * hiredis buffers a bulk string of any size, so one huge value could take all
 * memory. The sieve passes a RESP2 stream on as it is, but a bulk string above
 * the limit comes out as an error that starts with SIEVE_TOO_LARGE, and its
 * bytes are dropped as they arrive; so does one that is too much for the reply
 * that it is in. A line that is too long, arrays of too many elements together,
 * and arrays nested too deep, which newer hiredis takes without end and frees
 * by recursion, break the stream. Source: the RESP2 protocol specification of
 * Redis.
 */
#ifndef SPOA_SIEVE_H
#define SPOA_SIEVE_H

#include "base.h"

enum {
	SIEVE_LINE_MAX = 1024,	 /* bytes of a simple string, error, integer */
	SIEVE_ARRAY_MAX = 65536, /* elements of a reply's arrays together */
	SIEVE_REPLY_MAX = 1024 * 1024, /* bytes of a reply's bulk strings */
	SIEVE_DEPTH_MAX = 4,	       /* arrays within arrays */
	SIEVE_HEAD_MAX = 48 /* bytes of a `$` or `*` line, or of an error */
};

#define SIEVE_TOO_LARGE "TOOLARGE"

struct sieve {
	enum {
		SIEVE_START, /* a reply or an element begins */
		SIEVE_HEAD,  /* inside a line that begins with $ or * */
		SIEVE_LINE,  /* inside another line */
		SIEVE_BULK,  /* `left` bytes of a bulk string pass */
		SIEVE_DROP   /* `left` bytes of a bulk string are dropped */
	} state;
	uint64_t limit; /* bytes of a bulk string */
	uint64_t left;
	uint64_t passed;   /* bytes of bulk strings, in this reply */
	uint32_t elements; /* of arrays, in this reply */
	uint32_t open[SIEVE_DEPTH_MAX]; /* elements that each open array waits
					   for */
	size_t depth;			/* open arrays */
	size_t line_len;
	char head[SIEVE_HEAD_MAX]; /* the line so far, or what replaces it */
	size_t head_len;
};

enum sieve_result {
	SIEVE_PIECE,  /* `*piece` is to be passed on */
	SIEVE_EMPTY,  /* all of the input is used up */
	SIEVE_BROKEN, /* this is no RESP2 within the bounds */
};

void sieve_init(struct sieve *sieve, size_t limit);

/* Takes from the front of `*in` and gives the next piece of what is to be
 * parsed. The piece lives in `*in` or in the sieve until the next call. */
enum sieve_result sieve_next(struct sieve *sieve, struct span *in,
			     struct span *piece) MUST_CHECK;

#endif
