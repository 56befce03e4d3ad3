/* SPDX-License-Identifier: MIT */
/*
 * hasty: a loop whose timers all are due at the next turn, and a clock that
 * makes a step with each. A target includes it once, in the place of loop.c.
 */
#ifndef TESTS_FUZZ_HASTY_H
#define TESTS_FUZZ_HASTY_H

#include "fuzz.h"

#include "../../spoa/loop.h"

enum { HASTY_STEP_MS = 10 };

static int64_t hasty_ms;

bool loop_init(struct loop *loop)
{
	loop->base = event_base_new();
	hasty_ms = loop->now_ms = 1;
	return loop->base != NULL;
}

void loop_fini(struct loop *loop)
{
	event_base_free(loop->base);
}

int64_t loop_now(struct loop *loop)
{
	loop->now_ms = hasty_ms;
	return loop->now_ms;
}

void loop_turn(struct loop *loop)
{
	hasty_ms += HASTY_STEP_MS;
	event_base_loop(loop->base, EVLOOP_ONCE);
}

void loop_arm(struct event *timer, int64_t delay_ms)
{
	const struct timeval at_once = {0, 0};

	(void)delay_ms;
	event_add(timer, &at_once);
}

#endif
