/* SPDX-License-Identifier: MIT */
/*
 * pulse: what checks and reports make of one target.
 *
 * Results of checks and reports of failed requests go in, the state of the
 * target comes out, and whether it changed. A report is hearsay: it makes a
 * target doubted, and the next check decides. No clock but the time passed in.
 *
 *     up -- fall bad checks in a row --> down -- rise good ones --> up
 *      '-- report --> doubted -- bad check --> down
 *                        '-- good check, or none possible --> up
 */
#ifndef SPOA_PULSE_H
#define SPOA_PULSE_H

#include "base.h"

enum pulse_state { PULSE_UP, PULSE_DOUBTED, PULSE_DOWN };

enum pulse_result {
	PULSE_GOOD,
	PULSE_BAD,
	PULSE_UNKNOWN, /* the check could not be made; says nothing */
};

enum pulse_change { PULSE_SAME, PULSE_WENT_UP, PULSE_WENT_DOWN };

struct pulse_rules {
	uint8_t fall; /* bad checks in a row that take a target down; >= 1 */
	uint8_t rise; /* good ones that bring it back; >= 1 */
};

struct pulse {
	uint8_t state;	/* enum pulse_state */
	uint8_t streak; /* checks in a row that speak against the state */
};

/* A target that nothing is known of: it is up. */
static inline void pulse_init(struct pulse *pulse)
{
	*pulse = (struct pulse){.state = PULSE_UP};
}

/* A check has spoken. Being doubted is no change, nor is the end of it. */
enum pulse_change pulse_check(struct pulse *pulse,
			      const struct pulse_rules *rules,
			      enum pulse_result result) MUST_CHECK;

/* A request to the target is said to have failed. True when a check should
 * follow at once; what is down is checked anyway. */
bool pulse_report(struct pulse *pulse) MUST_CHECK;

#endif
