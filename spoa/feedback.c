/* SPDX-License-Identifier: MIT */
/*
 * feedback: a datagram socket that is read a little at a time.
 */
#include "feedback.h"

#include <stdlib.h>
#include <unistd.h>

#include "log.h"

enum {
	TURN_MAX = 64, /* datagrams that are read at a time */
	PAUSE_MS = 5,  /* after so many; what comes meanwhile may be lost */
	LINE_MAX_BYTES = 512, /* our element stands in the first of them */
	WARN_MS = 60 * 1000,
};

struct feedback {
	struct feedback_options options;
	struct listener_address address;
	int fd;
	struct event *readable;
	struct event *pause;
	struct log_limit malformed;
	struct feedback_counters counters;
};

bool feedback_parse(const char *text, struct listener_address *address,
		    const char **problem)
{
	bool is_udp = !strncmp(text, "udp:", 4);

	*problem = "must be udp:IP:PORT, udp:[IP6]:PORT or unix:/path";
	if (!is_udp && strncmp(text, "unix:", 5) != 0)
		return false;
	if (!is_udp)
		return listener_parse(text, address, problem);
	return strncmp(text + 4, "unix:", 5) != 0 &&
	       listener_parse(text + 4, address, problem);
}

static void warn_malformed(struct feedback *feedback)
{
	uint64_t held;

	if (log_limit_pass(&feedback->malformed,
			   loop_now(feedback->options.loop), WARN_MS, &held))
		log_warn("a datagram to --feedback is no line of ours: see "
			 "log-format-sd in haproxy.cfg",
			 log_number("held_back", (int64_t)held));
}

static void take_line(struct feedback *feedback, struct span line)
{
	struct report report;

	switch (report_parse(line, &report)) {
	case REPORT_FAILED:
		feedback->counters.failed++;
		feedback->options.failed(feedback->options.context, &report);
		break;
	case REPORT_OTHER:
		feedback->counters.other++;
		break;
	case REPORT_MALFORMED:
		feedback->counters.malformed++;
		warn_malformed(feedback);
		break;
	}
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
	struct feedback *feedback = context;
	char line[LINE_MAX_BYTES];
	int i;

	(void)what;
	for (i = 0; i < TURN_MAX; i++) {
		ssize_t got = recv(fd, line, sizeof(line), 0);

		if (got < 0)
			return;
		take_line(feedback, (struct span){line, (size_t)got});
	}
	event_del(feedback->readable);
	loop_arm(feedback->pause, PAUSE_MS);
}

static void on_pause(evutil_socket_t fd, short what, void *context)
{
	struct feedback *feedback = context;

	(void)fd;
	(void)what;
	event_add(feedback->readable, NULL);
}

struct feedback *feedback_new(const struct feedback_options *options, int fd,
			      const struct listener_address *address)
{
	struct feedback *feedback = calloc(1, sizeof(*feedback));
	struct event_base *base = options->loop->base;

	if (!feedback) {
		listener_close(fd, address);
		return NULL;
	}
	feedback->options = *options;
	feedback->address = *address;
	feedback->fd = fd;
	feedback->readable = event_new(base, fd, EV_READ | EV_PERSIST,
				       on_readable, feedback);
	feedback->pause = evtimer_new(base, on_pause, feedback);
	if (feedback->readable && feedback->pause &&
	    event_add(feedback->readable, NULL) == 0)
		return feedback;
	feedback_free(feedback);
	return NULL;
}

void feedback_free(struct feedback *feedback)
{
	if (!feedback)
		return;
	if (feedback->readable)
		event_free(feedback->readable);
	if (feedback->pause)
		event_free(feedback->pause);
	listener_close(feedback->fd, &feedback->address);
	free(feedback);
}

const struct feedback_counters *feedback_count(const struct feedback *feedback)
{
	return &feedback->counters;
}
