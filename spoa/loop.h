/* SPDX-License-Identifier: MIT */
/*
 * loop: the event loop and the time.
 *
 * One turn waits for events and runs their callbacks. The clock is read once a
 * turn, by the first who asks; it never goes back and is not the time of day.
 */
#ifndef SPOA_LOOP_H
#define SPOA_LOOP_H

#include "base.h"

#include <event2/event.h>

struct loop {
	struct event_base *base;
	int64_t now_us; /* 0 until someone asks in this turn */
	int64_t now_ms; /* the same */
};

/* False when the system refuses an event loop. */
bool loop_init(struct loop *loop) MUST_CHECK;
void loop_fini(struct loop *loop);

/* Milliseconds on the monotonic clock, the same during a turn. */
int64_t loop_now(struct loop *loop);

/* The same in microseconds. */
int64_t loop_now_us(struct loop *loop);

/* Microseconds that have passed in this turn since loop_now_us was first
 * asked: reads the clock. */
int64_t loop_spent_us(struct loop *loop);

/* Waits for events and runs what they are for. */
void loop_turn(struct loop *loop);

/* The same length of time as libevent counts it; none when it is negative. */
struct timeval loop_timeval(int64_t ms);

/* Lets `timer` fire `delay_ms` from now, at once when that is negative. */
void loop_arm(struct event *timer, int64_t delay_ms);

#endif
