/* SPDX-License-Identifier: MIT */
/*
 * pulse: the state machine of pulse.h.
 */
#include "pulse.h"

static enum pulse_change go(struct pulse *pulse, enum pulse_state state)
{
	bool was_down = pulse->state == PULSE_DOWN;

	pulse->state = (uint8_t)state;
	pulse->streak = 0;
	if (was_down == (state == PULSE_DOWN))
		return PULSE_SAME;
	return was_down ? PULSE_WENT_UP : PULSE_WENT_DOWN;
}

/* One more check against the state; `most` of them change it to `state`. */
static enum pulse_change count(struct pulse *pulse, uint8_t most,
			       enum pulse_state state)
{
	if (++pulse->streak < most)
		return PULSE_SAME;
	return go(pulse, state);
}

enum pulse_change pulse_check(struct pulse *pulse,
			      const struct pulse_rules *rules,
			      enum pulse_result result)
{
	if (pulse->state == PULSE_DOUBTED)
		return go(pulse, result == PULSE_BAD ? PULSE_DOWN : PULSE_UP);
	if (result == PULSE_UNKNOWN)
		return PULSE_SAME;
	if ((pulse->state == PULSE_UP) == (result == PULSE_GOOD)) {
		pulse->streak = 0;
		return PULSE_SAME;
	}
	if (pulse->state == PULSE_UP)
		return count(pulse, rules->fall, PULSE_DOWN);
	return count(pulse, rules->rise, PULSE_UP);
}

bool pulse_report(struct pulse *pulse)
{
	if (pulse->state != PULSE_UP)
		return false;
	pulse->state = PULSE_DOUBTED;
	return true;
}
