/* SPDX-License-Identifier: MIT */
/*
 * balance: who serves, in which share, and who is the second choice. The port
 * of a target is its number.
 */
#include "kit.h"

#include <stdio.h>

#include "../../spoa/balance.h"

static union route_room room;
static uint8_t states[ROUTE_TARGETS_MAX + 1];
static uint32_t version = 1; /* of them */

static bool allows(void *context, const struct target *target)
{
	(void)context;
	(void)target;
	return true;
}

/* Target i has slot i + 1. */
static struct route *parse(const char *text)
{
	static const struct route_reader reader = {.allows = allows};
	uint32_t *slots;
	unsigned int column;
	size_t i;

	if (route_parse(span_of(text), &reader, &room, &column) != ROUTE_GOOD)
		fail_msg("'%s': column %u", text, column);
	slots = route_slots(&room.route);
	for (i = 0; slots && i < room.route.target_count; i++)
		slots[i] = (uint32_t)i + 1;
	memset(states, 0, sizeof(states));
	return &room.route;
}

/* "first/second" by their ports; "-" is none. */
static const char *choose(struct route *route, uint64_t client)
{
	static char text[32];
	struct choice choice;

	if (!balance_choose(route, states, version, client, &choice))
		return "-";
	assert_non_null(choice.first);
	if (choice.second)
		snprintf(text, sizeof(text), "%u/%u", choice.first->port,
			 choice.second->port);
	else
		snprintf(text, sizeof(text), "%u/-", choice.first->port);
	return text;
}

/* The states are digits, the rank of each target; short ones end in zeros. */
static void set_states(const char *ranks)
{
	size_t i;

	version++;
	memset(states, 0, sizeof(states));
	for (i = 0; ranks[i] != '\0'; i++)
		states[i + 1] = (uint8_t)(ranks[i] - '0');
}

static const struct {
	const char *text;
	const char *states;
	const char *turns; /* the first choices */
} rows[] = {
	{"1.1.1.1:1", "", "1/- 1/- 1/-"},
	{"1.1.1.1:1 weight 0", "", "-"},
	{"1.1.1.1:1 backup", "", "1/- 1/-"},
	{"1.1.1.1:1; check none", "", "1/-"},
	{"1.1.1.1:1; check tcp", "", "1/-"},
	{"1.1.1.1:1; check tcp", "1", "1/-"},
	{"1.1.1.1:1; check tcp", "2", "-"},
	{"1.1.1.1:1 weight 0; check tcp", "", "-"},

	/* smooth: what has a larger weight does not come in a row */
	{"1.1.1.1:1, 1.1.1.1:2", "", "1/2 2/1 1/2 2/1"},
	{"1.1.1.1:1, 1.1.1.1:2, 1.1.1.1:3", "", "1/2 2/3 3/1 1/2"},
	{"1.1.1.1:1 weight 5, 1.1.1.1:2, 1.1.1.1:3", "",
	 "1/2 1/2 1/2 2/3 1/2 3/1 1/2 1/2"},
	{"1.1.1.1:1 weight 256, 1.1.1.1:2 weight 256", "", "1/2 2/1 1/2"},
	{"1.1.1.1:1 weight 0, 1.1.1.1:2", "", "2/- 2/-"},
	{"1.1.1.1:1 weight 0, 1.1.1.1:2 weight 0", "", "-"},

	/* the same address and port twice is no second choice */
	{"1.1.1.1:1, 1.1.1.1:1", "", "1/- 1/-"},
	{"1.1.1.1:1, 1.1.1.1:1, 1.1.1.1:2", "", "1/2 1/2 2/1"},
	{"1.1.1.1:1, 1.1.1.1:1, 1.1.1.1:2 backup", "", "1/2 1/2"},
	{"1.1.1.1:1 backup, 1.1.1.1:1", "", "1/- 1/-"},

	/* one that is down is passed over, and no second choice either */
	{"1.1.1.1:1, 1.1.1.1:2", "1", "2/- 2/-"},
	{"1.1.1.1:1, 1.1.1.1:2, 1.1.1.1:3", "01", "1/3 3/1 1/3"},

	/* a backup serves when no other is up, and only the first that is */
	{"1.1.1.1:1, 1.1.1.1:2 backup", "", "1/2 1/2"},
	{"1.1.1.1:1 backup, 1.1.1.1:2", "", "2/1 2/1"},
	{"1.1.1.1:1, 1.1.1.1:2 backup, 1.1.1.1:3 backup", "", "1/2 1/2"},
	{"1.1.1.1:1, 1.1.1.1:2 backup, 1.1.1.1:3 backup", "1", "2/3 2/3"},
	{"1.1.1.1:1, 1.1.1.1:2 backup, 1.1.1.1:3 backup", "11", "3/- 3/-"},
	{"1.1.1.1:1, 1.1.1.1:2 backup", "01", "1/- 1/-"},
	{"1.1.1.1:1, 1.1.1.1:2, 1.1.1.1:3 backup", "", "1/2 2/1"},
	{"1.1.1.1:1, 1.1.1.1:2, 1.1.1.1:3 backup", "1", "2/3 2/3"},
	{"1.1.1.1:1, 1.1.1.1:2, 1.1.1.1:3 backup", "11", "3/- 3/-"},
	{"1.1.1.1:1 weight 0, 1.1.1.1:2 backup", "", "2/- 2/-"},
	{"1.1.1.1:1, 1.1.1.1:2 backup weight 0", "1", "1/-"},

	/* none is up: the best serve, unless the route wants to be down */
	{"1.1.1.1:1, 1.1.1.1:2", "11", "1/2 2/1"},
	{"1.1.1.1:1, 1.1.1.1:2", "21", "2/- 2/-"},
	{"1.1.1.1:1, 1.1.1.1:2; check tcp", "22", "-"},
	{"1.1.1.1:1, 1.1.1.1:2; check tcp", "12", "1/- 1/-"},
	{"1.1.1.1:1, 1.1.1.1:2; check tcp", "11", "1/2 2/1"},
	{"1.1.1.1:1, 1.1.1.1:2; check http /", "23", "-"},
	{"1.1.1.1:1, 1.1.1.1:2 backup", "11", "1/2 1/2"},
	{"1.1.1.1:1, 1.1.1.1:2 backup", "21", "1/2"},
	{"1.1.1.1:1, 1.1.1.1:2 backup", "12", "1/-"},
	{"1.1.1.1:1, 1.1.1.1:2 backup; check tcp", "10", "2/-"},
	{"1.1.1.1:1, 1.1.1.1:2 backup; check tcp", "22", "-"},
	{"1.1.1.1:1 weight 0, 1.1.1.1:2; check tcp", "02", "-"},

	{"1.1.1.1:2, 1.1.1.1:1; balance first", "", "2/1 2/1"},
	{"1.1.1.1:2, 1.1.1.1:1; balance first", "1", "1/- 1/-"},
	{"1.1.1.1:1 weight 0, 1.1.1.1:2, 1.1.1.1:3; balance first", "",
	 "2/3 2/3"},
	{"1.1.1.1:1 backup, 1.1.1.1:2; balance first", "", "2/1 2/1"},
	/* without a client, in turn */
	{"1.1.1.1:1, 1.1.1.1:2; balance source", "", "1/2 2/1 1/2"},
};

static void test_rows(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct route *route = parse(rows[i].text);
		const char *turn = rows[i].turns;
		char got[256] = "";

		set_states(rows[i].states);
		for (; turn; turn = strchr(turn + 1, ' ')) {
			size_t at = strlen(got);

			snprintf(got + at, sizeof(got) - at, "%s%s",
				 at ? " " : "", choose(route, 0));
		}
		if (strcmp(got, rows[i].turns) != 0)
			fail_msg("'%s' %s: %s", rows[i].text, rows[i].states,
				 got);
	}
}

static void test_no_states_are_up(void **state)
{
	struct route *route = parse("1.1.1.1:1, 1.1.1.1:2; check tcp");
	struct choice choice;

	(void)state;
	assert_true(balance_choose(route, NULL, 1, 0, &choice));
	assert_int_equal(choice.first->port, 1);
	assert_int_equal(choice.second->port, 2);
}

/* Who watches wants to know which states matter; the ranks stay. */
static void test_states_are_marked_as_used(void **state)
{
	struct route *route = parse("1.1.1.1:1, 1.1.1.1:2, 1.1.1.1:3 backup, "
				    "1.1.1.1:4 weight 0");

	(void)state;
	set_states("0300");
	assert_string_equal(choose(route, 0), "1/3");
	assert_int_equal(states[0], 0);
	assert_int_equal(states[1], BALANCE_USED);
	assert_int_equal(states[2], BALANCE_USED | 3);
	assert_int_equal(states[3], BALANCE_USED);
	assert_int_equal(states[4], 0);
	/* A mark that was taken off is only missed with the next version. */
	states[1] = 0;
	assert_string_equal(choose(route, 0), "1/3");
	assert_int_equal(states[1], 0);
	version++;
	assert_string_equal(choose(route, 0), "1/3");
	assert_int_equal(states[1], BALANCE_USED);
	route_slots(route)[0] = 0;
	version++;
	assert_string_equal(choose(route, 0), "1/3");
	assert_int_equal(states[0], 0);
}

static void count_turns(struct route *route, size_t requests, size_t *counts)
{
	struct choice choice;

	while (requests-- > 0) {
		assert_true(balance_choose(route, states, version, 0, &choice));
		counts[choice.first - route->targets]++;
	}
}

static void test_weights_are_shares(void **state)
{
	size_t counts[3] = {0};

	(void)state;
	count_turns(parse("1.1.1.1:1 weight 3, 1.1.1.1:2"), 4000, counts);
	assert_int_equal(counts[0], 3000);
	assert_int_equal(counts[1], 1000);
}

/* So they are in every row of as many requests as the weights add up to, and
 * within one they lie apart. */
static void test_shares_are_exact_and_smooth(void **state)
{
	struct route *route = parse("1.1.1.1:1 weight 13, 1.1.1.1:2 weight 2, "
				    "1.1.1.1:3 weight 29, 1.1.1.1:4");
	size_t i, since = 0, counts[4] = {0};
	struct choice choice;

	(void)state;
	count_turns(route, 7, counts);
	memset(counts, 0, sizeof(counts));
	count_turns(route, 45, counts);
	assert_int_equal(counts[0], 13);
	assert_int_equal(counts[1], 2);
	assert_int_equal(counts[2], 29);
	assert_int_equal(counts[3], 1);
	for (i = 0; i < 1000; i++) {
		assert_true(balance_choose(route, states, version, 0, &choice));
		since = choice.first->port == 1 ? 0 : since + 1;
		assert_in_range(since, 0, 7);
	}
}

/* Shares stay right whatever goes up and down. */
static void test_shares_hold_while_states_change(void **state)
{
	struct route *route = parse("1.1.1.1:1 weight 200, 1.1.1.1:2 weight 3, "
				    "1.1.1.1:3 weight 256, 1.1.1.1:4");
	size_t i, counts[4] = {0};

	(void)state;
	for (i = 0; i < 100000; i++) {
		struct choice choice;

		if (i % 7 == 0) {
			states[1 + kit_random() % 4] ^= 1;
			version++;
		}
		assert_true(balance_choose(route, states, version, 0, &choice));
		assert_false(states[choice.first->port] & BALANCE_RANK &&
			     choice.second &&
			     !(states[choice.second->port] & BALANCE_RANK));
	}
	set_states("");
	count_turns(route, 46000, counts);
	assert_int_equal(counts[0], 20000);
	assert_int_equal(counts[1], 300);
	assert_int_equal(counts[2], 25600);
	assert_int_equal(counts[3], 100);
}

/* A version that is noted anew changes no turn. */
static void test_turns_go_on_with_each_version(void **state)
{
	struct route *route = parse("1.1.1.1:1 weight 2, 1.1.1.1:2 weight 7, "
				    "1.1.1.1:3");
	size_t counts[3] = {0};
	size_t i;

	(void)state;
	for (i = 0; i < 10; i++) {
		version++;
		count_turns(route, 1, counts);
	}
	assert_int_equal(counts[0], 2);
	assert_int_equal(counts[1], 7);
	assert_int_equal(counts[2], 1);
}

/* The largest sum of weights there can be. */
static void test_most_turns(void **state)
{
	static char text[ROUTE_TEXT_MAX];
	size_t i, counts[ROUTE_TARGETS_MAX] = {0};
	struct route *route;

	(void)state;
	for (i = 0; i < ROUTE_TARGETS_MAX; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "%s10.0.0.1:%zu weight %d", i ? "," : "", i + 1,
			 i == 7 ? 255 : 256);
	route = parse(text);
	count_turns(route, 65535, counts);
	for (i = 0; i < ROUTE_TARGETS_MAX; i++)
		assert_int_equal(counts[i], i == 7 ? 255 : 256);
}

/* A client as balance_client makes one. */
static uint64_t client(size_t i)
{
	return (i + 1) * 0x9e3779b97f4a7c15U;
}

enum { CLIENTS = 20000 };

static unsigned int served_by[CLIENTS];

/* Lets all clients ask; returns how many got another target than before. */
static size_t ask_all(struct route *route)
{
	size_t i, moved = 0;

	for (i = 0; i < CLIENTS; i++) {
		struct choice choice;
		unsigned int port;

		assert_true(balance_choose(route, states, version, client(i),
					   &choice));
		port = choice.first->port;
		moved += port != served_by[i];
		served_by[i] = port;
	}
	return moved;
}

/* A route of targets with the ports `from` to `to`. */
static struct route *parse_ports(int from, int to, const char *end)
{
	char text[4096] = "";

	for (; from <= to; from++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "%s10.0.0.%d:%d", text[0] ? "," : "", from, from);
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s", end);
	return parse(text);
}

static void test_a_client_stays(void **state)
{
	struct route *route = parse_ports(1, 10, ";balance source");

	(void)state;
	ask_all(route);
	assert_int_equal(ask_all(route), 0);
	/* and where it does not matter how the value is written */
	route = parse("10.0.0.10:10, 10.0.0.9:9, 10.0.0.8:8, 10.0.0.7:7, "
		      "10.0.0.6:6, 10.0.0.5:5, 10.0.0.4:4, 10.0.0.3:3, "
		      "10.0.0.2:2 weight 1, 10.0.0.1:1; balance source");
	assert_int_equal(ask_all(route), 0);
}

/* One target goes, comes, is down, up again, or is drained: a tenth of the
 * clients moves, more or less. In the place of one another: its tenth, and the
 * tenth that the new one draws from the others. */
static void test_a_tenth_moves(void **state)
{
	struct route *route = parse_ports(1, 10, ";balance source");
	size_t i, counts[16] = {0};

	(void)state;
	ask_all(route);
	for (i = 0; i < CLIENTS; i++)
		counts[served_by[i]]++;
	for (i = 1; i <= 10; i++)
		assert_in_range(counts[i], CLIENTS / 10 * 0.9,
				CLIENTS / 10 * 1.1);
	route = parse_ports(1, 9, ",10.0.0.11:11;balance source");
	assert_in_range(ask_all(route), CLIENTS * 0.17, CLIENTS * 0.21);
	route = parse_ports(1, 9, ";balance source");
	assert_in_range(ask_all(route), CLIENTS * 0.08, CLIENTS * 0.12);
	route = parse_ports(1, 10, ";balance source");
	assert_in_range(ask_all(route), CLIENTS * 0.08, CLIENTS * 0.12);
	route = parse_ports(1, 9, ";balance source");
	assert_in_range(ask_all(route), CLIENTS * 0.08, CLIENTS * 0.12);
	set_states("001");
	assert_in_range(ask_all(route), CLIENTS * 0.09, CLIENTS * 0.13);
	set_states("");
	assert_in_range(ask_all(route), CLIENTS * 0.09, CLIENTS * 0.13);
	route = parse_ports(1, 8, ",10.0.0.9:9 weight 0;balance source");
	assert_in_range(ask_all(route), CLIENTS * 0.09, CLIENTS * 0.13);
}

static void test_clients_follow_weights(void **state)
{
	struct route *route = parse("10.0.0.1:1 weight 30, 10.0.0.2:2 weight "
				    "10; balance source");
	size_t i, first = 0;

	(void)state;
	ask_all(route);
	for (i = 0; i < CLIENTS; i++)
		first += served_by[i] == 1;
	assert_in_range(first, CLIENTS * 0.735, CLIENTS * 0.765);
	/* a larger weight only draws clients, it sends none elsewhere */
	route = parse("10.0.0.1:1 weight 40, 10.0.0.2:2 weight 10; "
		      "balance source");
	for (i = 0; i < CLIENTS; i++) {
		struct choice choice;

		assert_true(balance_choose(route, states, version, client(i),
					   &choice));
		if (served_by[i] == 1)
			assert_int_equal(choice.first->port, 1);
	}
}

/* The second choice of a client is where it goes when the first is down. */
static void test_second_choice_of_a_client(void **state)
{
	struct route *route = parse_ports(1, 10, ";balance source");
	size_t i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		struct choice before, after;

		assert_true(balance_choose(route, states, version, client(i),
					   &before));
		states[before.first->port] = 1;
		version++;
		assert_true(balance_choose(route, states, version, client(i),
					   &after));
		assert_ptr_equal(after.first, before.second);
		states[before.first->port] = 0;
		version++;
	}
}

/* Lets clients ask, puts down all that is where the first choice is, and asks
 * again. */
static void expect_second_choices(struct route *route)
{
	size_t i, k;

	for (i = 0; i < 1000; i++) {
		struct choice before, after;

		set_states("");
		assert_true(balance_choose(route, states, version, client(i),
					   &before));
		for (k = 0; k < route->target_count; k++)
			if (route->targets[k].port == before.first->port)
				states[k + 1] = 1;
		version++;
		assert_true(balance_choose(route, states, version, client(i),
					   &after));
		assert_int_equal(after.first->port, before.second->port);
		assert_true(route_is_same_place(after.first, before.second));
	}
}

/* Targets at one place are one, with weights and without. */
static void test_second_choice_is_elsewhere(void **state)
{
	(void)state;
	expect_second_choices(
		parse("10.0.0.1:1 weight 9, 10.0.0.2:2 weight 90, 10.0.0.2:2, "
		      "10.0.0.3:3 weight 30, 10.0.0.4:4 weight 2, 10.0.0.1:1 "
		      "weight 11; balance source"));
	expect_second_choices(
		parse("10.0.0.1:1, 10.0.0.2:2, 10.0.0.2:2, 10.0.0.3:3, "
		      "10.0.0.4:4, 10.0.0.1:1; balance source"));
}

static void test_clients_of_many_targets(void **state)
{
	static size_t counts[ROUTE_TARGETS_MAX + 1];
	size_t i;

	(void)state;
	ask_all(parse_ports(1, ROUTE_TARGETS_MAX - 1,
			    ",10.0.1.0:256;balance source"));
	memset(counts, 0, sizeof(counts));
	for (i = 0; i < CLIENTS; i++)
		counts[served_by[i]]++;
	for (i = 1; i <= ROUTE_TARGETS_MAX; i++)
		assert_in_range(counts[i], CLIENTS / ROUTE_TARGETS_MAX / 3,
				CLIENTS / ROUTE_TARGETS_MAX * 3);
}

/* The numbers stand: another hash would send every client elsewhere. */
static void test_clients_have_numbers(void **state)
{
	static const char address[] = {10, 0, 0, 1};
	static const char text[] = "a client with a long name";
	size_t i;

	(void)state;
	assert_true(balance_client((struct span){0}) == 0);
	assert_true(balance_client((struct span){address, 4}) ==
		    0xc12c937e626311b1U);
	assert_true(balance_client(span_of(text)) == 0x37a774b11fd89f94U);
	for (i = 1; i < sizeof(text); i++) {
		struct span client = {kit_guarded(text, i), i};

		assert_true(balance_client(client) != 0);
		assert_true(balance_client(client) !=
			    balance_client((struct span){text, i - 1}));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_no_states_are_up),
		cmocka_unit_test(test_states_are_marked_as_used),
		cmocka_unit_test(test_weights_are_shares),
		cmocka_unit_test(test_shares_are_exact_and_smooth),
		cmocka_unit_test(test_shares_hold_while_states_change),
		cmocka_unit_test(test_turns_go_on_with_each_version),
		cmocka_unit_test(test_most_turns),
		cmocka_unit_test(test_a_client_stays),
		cmocka_unit_test(test_a_tenth_moves),
		cmocka_unit_test(test_clients_follow_weights),
		cmocka_unit_test(test_second_choice_of_a_client),
		cmocka_unit_test(test_second_choice_is_elsewhere),
		cmocka_unit_test(test_clients_of_many_targets),
		cmocka_unit_test(test_clients_have_numbers),
	};

	return cmocka_run_group_tests_name("balance", tests, NULL, NULL);
}
