/* SPDX-License-Identifier: MIT */
/*
 * clock: the program's own clock_gettime goes before that of the C library,
 * for libevent as well.
 */
#include "clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../../spoa/log.h"

enum { STEP_MS = 10, RESTS_MAX = 20000 };

static struct {
	int64_t now_ms; /* 0: the time is the system's */
	int rests;
} the_clock;

int clock_gettime(clockid_t id, struct timespec *now)
{
	bool is_ours = the_clock.now_ms > 0 &&
		       (id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE);

	if (!is_ours)
		return (int)syscall(SYS_clock_gettime, id, now);
	now->tv_sec = (time_t)the_clock.now_ms / 1000;
	now->tv_nsec = (long)(the_clock.now_ms % 1000 * 1000000);
	return 0;
}

void clock_open(struct loop *loop)
{
	the_clock.now_ms = 1000 * 1000;
	/* ours, which fail when they are told to */
	event_set_mem_functions(malloc, realloc, free);
	assert_true(loop_init(loop));
}

void clock_close(struct loop *loop)
{
	loop_fini(loop);
	the_clock.now_ms = 0;
}

void clock_turn(struct loop *loop)
{
	loop->now_us = 0;
	event_base_loop(loop->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	loop->now_us = 0;
}

void clock_pass(struct loop *loop, int64_t ms)
{
	the_clock.rests = 0;
	while (ms > 0) {
		int64_t step_ms = ms < STEP_MS ? ms : STEP_MS;

		the_clock.now_ms += step_ms;
		ms -= step_ms;
		clock_turn(loop);
	}
}

void clock_rest(void)
{
	if (++the_clock.rests > RESTS_MAX)
		fail_msg("what was waited for has not come");
	usleep(1000);
}

int clock_listen(uint16_t *port)
{
	struct sockaddr_in where = {.sin_family = AF_INET,
				    .sin_port = htons(*port)};
	socklen_t len = sizeof(where);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int on = 1;

	where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, (struct sockaddr *)&where, len), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&where, &len), 0);
	*port = ntohs(where.sin_port);
	return fd;
}

int clock_accept(struct loop *loop, int listener)
{
	int fd = -1;

	CLOCK_UNTIL(loop, (fd = accept(listener, NULL, NULL)) >= 0);
	return fd;
}

void clock_hush(void)
{
	log_setup(LOG_ERROR, LOG_TEXT);
}
