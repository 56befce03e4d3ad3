/* SPDX-License-Identifier: MIT */
/*
 * pace: what was answered in the last minute, a sample a second.
 *
 * Counts only grow; what happened lately is what they grew by. The time is
 * passed in.
 */
#ifndef SPOA_PACE_H
#define SPOA_PACE_H

#include "metrics.h"

enum { PACE_SAMPLES = 61 };

/* Counts since the start, as they were then. */
struct pace_sample {
	int64_t at_ms;
	uint64_t answers;
	struct metrics_histogram known; /* see conn.h */
	struct metrics_histogram waited;
};

/* The fields are its own; zeroed it is empty. */
struct pace {
	size_t count;
	size_t next; /* where the next sample goes */
	struct pace_sample samples[PACE_SAMPLES];
};

void pace_note(struct pace *pace, const struct pace_sample *sample);

/* The sample `back` seconds before the newest, or the oldest there is; NULL
 * when there is none at all. */
const struct pace_sample *pace_at(const struct pace *pace, size_t back);

/* Answers a second between two samples. */
double pace_rate(const struct pace_sample *from, const struct pace_sample *to);

#endif
