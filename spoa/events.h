/* SPDX-License-Identifier: MIT */
/*
 * events: tells people and controllers which targets went up or down.
 *
 * Each change is a line in the log, and a message on a channel for whoever
 * wants to act on it:
 *
 *   {"event":"down","target":"10.0.0.1:9000","check":"tcp",
 *    "reason":"connection refused","hosts":["app1.cloud.com"],"hosts_total":1}
 *
 * `event` is `up`, `down` or `gone` (it was down, and nobody asks for it any
 * more). `hosts` are fields that name the target, at most NAMES_MAX. `check` is
 * `tcp` or `http`, the latter with `path`, and with `status` when that took the
 * target down. More keys may come.
 */
#ifndef SPOA_EVENTS_H
#define SPOA_EVENTS_H

#include "health.h"

struct events_options {
	const char *key; /* the channel is `KEY:events` */
	/* Publishes; false when the message is lost. */
	bool (*publish)(void *context, struct span channel,
			struct span message);
	void *context;
};

/* Counts since the start. */
struct events_counters {
	uint64_t published;
	uint64_t lost; /* there was nobody to publish them */
};

/* The fields are its own. */
struct events {
	struct events_options options;
	struct events_counters counters;
};

/* Logs the change and publishes it. */
void events_tell(struct events *events, const struct health_change *change);

#endif
