/* SPDX-License-Identifier: MIT */
/*
 * loop: libevent's base, set up for one thread, and a clock read once a turn.
 */
#include "loop.h"

#include <time.h>

bool loop_init(struct loop *loop)
{
	struct event_config *config = event_config_new();

	*loop = (struct loop){0};
	if (!config)
		return false;
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	loop->base = event_base_new_with_config(config);
	event_config_free(config);
	return loop->base != NULL;
}

void loop_fini(struct loop *loop)
{
	event_base_free(loop->base);
	loop->base = NULL;
}

/* Never 0, which means that nobody has asked yet. */
static int64_t read_clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 + 1000;
}

int64_t loop_now_us(struct loop *loop)
{
	if (loop->now_us == 0) {
		loop->now_us = read_clock_us();
		loop->now_ms = loop->now_us / 1000;
	}
	return loop->now_us;
}

int64_t loop_now(struct loop *loop)
{
	loop_now_us(loop);
	return loop->now_ms;
}

int64_t loop_spent_us(struct loop *loop)
{
	int64_t begin_us = loop_now_us(loop);

	return read_clock_us() - begin_us;
}

void loop_turn(struct loop *loop)
{
	loop->now_us = 0;
	event_base_loop(loop->base, EVLOOP_ONCE);
}

struct timeval loop_timeval(int64_t ms)
{
	if (ms < 0)
		ms = 0;
	return (struct timeval){.tv_sec = (time_t)(ms / 1000),
				.tv_usec = (suseconds_t)(ms % 1000 * 1000)};
}

void loop_arm(struct event *timer, int64_t delay_ms)
{
	const struct timeval delay = loop_timeval(delay_ms);

	event_add(timer, &delay);
}
