/* SPDX-License-Identifier: MIT */
/*
 * clock: an event loop whose time stands still unless a test moves it.
 *
 * The monotonic clock of the whole program, libevent's too, is the test's own.
 * Sockets are real: what has to come is waited for.
 */
#ifndef TESTS_UNIT_CLOCK_H
#define TESTS_UNIT_CLOCK_H

#include "kit.h"

#include "../../spoa/loop.h"

/* Begins anew; clock_close ends it. Allocations of libevent are among those
 * that kit_fail_allocation lets fail. */
void clock_open(struct loop *loop);
void clock_close(struct loop *loop);

/* Runs what is ready, and waits for nothing. */
void clock_turn(struct loop *loop);

/* Lets time pass, in steps of some milliseconds, each with a turn. */
void clock_pass(struct loop *loop, int64_t ms);

/* Rests for a real moment; fails when it was called too often since the clock
 * was last moved. */
void clock_rest(void);

/* Turns until something is so that another process has a part in. */
#define CLOCK_UNTIL(loop, condition)                                           \
	for (clock_turn(loop); !(condition); clock_turn(loop))                 \
	clock_rest()

/* A socket that listens on a port of its own; does not block. */
int clock_listen(uint16_t *port);

/* The connection that comes next, which must; blocks. */
int clock_accept(struct loop *loop, int listener);

/* Errors of log lines are not wanted here. */
void clock_hush(void);

#endif
