/* SPDX-License-Identifier: MIT */
/*
 * pulse: what a row of checks and reports makes of a target.
 */
#include "kit.h"

#include "../../spoa/pulse.h"

/* A row is a story: + a good check, - a bad one, ? one that could not be made,
 * r a report. Behind each stands the state that follows, u, o (doubted) or d,
 * as a capital when that is told as a change. */
struct row {
	uint8_t fall, rise;
	const char *story;
};

static const struct row rows[] = {
	{3, 2, "+u"},
	{3, 2, "-u-u-D"},
	{3, 2, "-u-u+u-u-u-D"}, /* only in a row */
	{3, 2, "-u-u?u-D"},	/* what says nothing breaks no row */
	{3, 2, "-u-u-D-d+d+U"},
	{3, 2, "-u-u-D+d-d+d+U"},
	{3, 2, "-u-u-D+d?d+U"},
	{3, 2, "-u-u-D+d+U-u-u-D"}, /* the rise forgets the fall */
	{1, 1, "-D+U-D+U"},
	{255, 1, "-u-u-u"},
	/* A report is believed until the check has spoken. */
	{3, 2, "ro+u"},
	{3, 2, "ro-D"},
	{3, 2, "ro?u"}, /* a lie must not last because we cannot check */
	{3, 2, "roro+u"},
	{3, 2, "ro+u-u-u-D"},
	{3, 2, "-u-uro+u-u-u-D"}, /* a good check forgets all */
	{3, 2, "-u-u-Drd+drd+U"}, /* reports do not hold it down */
	{3, 2, "ro-D+d+U"},
};

static char letter(const struct pulse *pulse, enum pulse_change change)
{
	char c = "uod"[pulse->state];

	assert_true((change == PULSE_WENT_UP) <= (c == 'u'));
	assert_true((change == PULSE_WENT_DOWN) <= (c == 'd'));
	return (char)(change == PULSE_SAME ? c : c - 'a' + 'A');
}

static void tell(const struct row *row)
{
	const struct pulse_rules rules = {.fall = row->fall, .rise = row->rise};
	struct pulse pulse;
	const char *p;

	pulse_init(&pulse);
	for (p = row->story; *p != '\0'; p += 2) {
		enum pulse_change change = PULSE_SAME;
		bool was_up = pulse.state == PULSE_UP;
		char got;

		if (*p == 'r')
			assert_int_equal(pulse_report(&pulse), was_up);
		else
			change = pulse_check(&pulse, &rules,
					     *p == '+'	 ? PULSE_GOOD
					     : *p == '-' ? PULSE_BAD
							 : PULSE_UNKNOWN);
		got = letter(&pulse, change);
		if (got != p[1])
			fail_msg("%s: at %d comes %c", row->story,
				 (int)(p - row->story), got);
	}
}

static void test_stories(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++)
		tell(&rows[i]);
}

/* It cannot change more often than rise and fall let it. */
static void test_flapping_is_damped(void **state)
{
	const struct pulse_rules rules = {.fall = 3, .rise = 2};
	struct pulse pulse;
	int changes = 0;
	int i;

	(void)state;
	pulse_init(&pulse);
	for (i = 0; i < 1000; i++)
		changes += pulse_check(&pulse, &rules,
				       i % 2 ? PULSE_GOOD : PULSE_BAD) !=
			   PULSE_SAME;
	assert_int_equal(changes, 0);
	for (i = 0; i < 1000; i++)
		changes +=
			pulse_check(&pulse, &rules,
				    kit_random() % 2 ? PULSE_GOOD
						     : PULSE_BAD) != PULSE_SAME;
	assert_in_range(changes, 1, 1000 / 5 * 2 + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stories),
		cmocka_unit_test(test_flapping_is_damped),
	};

	return cmocka_run_group_tests_name("pulse", tests, NULL, NULL);
}
