/* SPDX-License-Identifier: MIT */
/*
 * feedback: hears of HAProxy which requests failed.
 *
 *   udp:IP:PORT   udp:[IP6]:PORT   unix:/path[,mode=0660][,group=NAME]
 *
 * A datagram is a line as `report.h` describes it. Anybody may send one, so it
 * is at most a hint; and however many come, few are read.
 */
#ifndef SPOA_FEEDBACK_H
#define SPOA_FEEDBACK_H

#include "listener.h"
#include "loop.h"
#include "report.h"

struct feedback;

struct feedback_options {
	struct loop *loop;
	/* A connection to a target could not be made, somebody says. */
	void (*failed)(void *context, const struct report *report);
	void *context;
};

/* Counts since the start. */
struct feedback_counters {
	uint64_t failed;    /* datagrams that say so */
	uint64_t other;	    /* of ours, but about something else */
	uint64_t malformed; /* not of ours */
};

/* Reads the option's text; on failure `*problem` says what is wrong. */
bool feedback_parse(const char *text, struct listener_address *address,
		    const char **problem) MUST_CHECK;

/* Reads what comes to `fd`, which becomes its own. NULL when there is no
 * memory. */
struct feedback *feedback_new(const struct feedback_options *options, int fd,
			      const struct listener_address *address);

/* Closes it, and removes a Unix socket's file. */
void feedback_free(struct feedback *feedback);

const struct feedback_counters *feedback_count(const struct feedback *feedback);

#endif
