/* SPDX-License-Identifier: MIT */
/*
 * pace: a ring of samples.
 */
#include "pace.h"

void pace_note(struct pace *pace, const struct pace_sample *sample)
{
	pace->samples[pace->next] = *sample;
	pace->next = (pace->next + 1) % PACE_SAMPLES;
	if (pace->count < PACE_SAMPLES)
		pace->count++;
}

const struct pace_sample *pace_at(const struct pace *pace, size_t back)
{
	if (pace->count == 0)
		return NULL;
	if (back >= pace->count)
		back = pace->count - 1;
	return &pace->samples[(pace->next + PACE_SAMPLES - 1 - back) %
			      PACE_SAMPLES];
}

double pace_rate(const struct pace_sample *from, const struct pace_sample *to)
{
	int64_t took_ms = to->at_ms - from->at_ms;

	if (took_ms <= 0)
		return 0;
	return (double)(to->answers - from->answers) * 1000 / (double)took_ms;
}
