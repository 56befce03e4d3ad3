/* SPDX-License-Identifier: MIT */
/*
 * checker: looks whether a target is alive, once.
 *
 * It connects, and with a path also asks for it and reads the status; it says
 * what came of it. A connection is closed by a reset, so that thousands of
 * checks leave no port behind that is waiting. Whether that makes the target
 * up or down, and when to look again, is not its business.
 */
#ifndef SPOA_CHECKER_H
#define SPOA_CHECKER_H

#include "loop.h"
#include "roster.h"

enum checker_result {
	CHECKER_PASSED,	     /* connected, or a status of 2xx or 3xx */
	CHECKER_REFUSED,     /* nobody listens */
	CHECKER_TIMEOUT,     /* no connection or no status in time */
	CHECKER_UNREACHABLE, /* the network or the system says no */
	CHECKER_CLOSED,	     /* it closed before it said a status */
	CHECKER_STATUS,	     /* another status */
	CHECKER_NOT_HTTP,    /* what came is no status line */
	CHECKER_IMPOSSIBLE,  /* we lack descriptors, ports or memory */
	CHECKER_RESULTS,
	CHECKER_PENDING = CHECKER_RESULTS, /* `done` will tell */
};

struct checker_options {
	struct loop *loop;
	int64_t timeout_ms; /* for all of a check */
	size_t open_max;    /* checks under way at a time */
	/* A check that was pending has ended. Called from the loop. `status` is
	 * that of CHECKER_STATUS. */
	void (*done)(void *context, uint32_t slot, enum checker_result result,
		     int status);
	void *context;
};

struct checker;

/* NULL when there is no memory. */
struct checker *checker_new(const struct checker_options *options);

/* How long a check may take from the next one on. */
void checker_set_timeout(struct checker *checker, int64_t timeout_ms);

/* Closes what is open; `done` is not called. */
void checker_free(struct checker *checker);

/* May another one be started? */
bool checker_has_room(const struct checker *checker);

/* Looks at the target. What it borrows must live until the check has ended.
 * With CHECKER_PENDING `done` follows, else it does not. */
enum checker_result
checker_start(struct checker *checker, uint32_t slot,
	      const struct roster_target *target) MUST_CHECK;

/* A result in words for a log line. */
const char *checker_result_text(enum checker_result result);

#endif
