/* SPDX-License-Identifier: MIT */
/*
 * route: the grammar, line by line, with the column of what is wrong.
 */
#include "kit.h"

#include "../../spoa/route.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#define BYTES(text) ((struct span){text, sizeof(text) - 1})

static union route_room room;

/* Denies 6.6.6.6 and [6::6], and port 666. */
static bool allows(void *context, const struct target *target)
{
	static const uint8_t ipv4[4] = {6, 6, 6, 6};
	static const uint8_t ipv6[16] = {0, 6, [15] = 6};

	assert_ptr_equal(context, &room);
	if (target->port == 666)
		return false;
	return memcmp(target->address, target->is_ipv6 ? ipv6 : ipv4,
		      target->is_ipv6 ? 16 : 4) != 0;
}

/* `one` has an address, `two` an IPv4 and an IPv6 one, `none` none, `bad` two
 * of which one is denied, `worse` only such; others have not been heard of. */
static void look_up(void *context, struct span name, struct name_state *state)
{
	static const struct address addresses[] = {
		{{6, 6, 6, 6}, false}, {{10, 1, 1, 1}, false}, {{1}, true}};

	assert_ptr_equal(context, &room);
	*state = (struct name_state){.ref = {(uint32_t)name.len, 9},
				     .addresses = addresses + 1};
	if (span_is(name, "one"))
		state->count = 1;
	else if (span_is(name, "two"))
		state->count = 2;
	else if (span_is(name, "bad") || span_is(name, "worse"))
		state->addresses = addresses;
	else
		state->is_pending = !span_is(name, "none");
	if (span_is(name, "worse"))
		state->count = 1;
	if (span_is(name, "bad"))
		state->count = 2;
}

static const struct route_reader reader = {allows, look_up, &room};

static enum route_error parse(struct span text, unsigned int *column)
{
	memset(&room, 0xa5, sizeof(room));
	return route_parse(
		(struct span){kit_guarded(text.p, text.len), text.len}, &reader,
		&room, column);
}

/* Writes a route so that it can be compared: `address:port wWEIGHT[ backup]`
 * for each target, then the options. */
static void print_route(const struct route *route, char *text, size_t size)
{
	static const char *const balances[] = {"", " roundrobin", " source",
					       " first"};
	static const char *const checks[] = {"", " none", " tcp", " http"};
	struct span backend = route_backend(route);
	struct span path = route_path(route);
	size_t i, at = 0;

	for (i = 0; i < route->target_count; i++) {
		const struct target *target = &route->targets[i];
		char address[INET6_ADDRSTRLEN];

		inet_ntop(target->is_ipv6 ? AF_INET6 : AF_INET, target->address,
			  address, sizeof(address));
		at += (size_t)snprintf(text + at, size - at, "%s%s:%u w%u%s",
				       i ? ", " : "", address, target->port,
				       target->weight,
				       target->is_backup ? " backup" : "");
	}
	at += (size_t)snprintf(text + at, size - at, ";%s%s",
			       route->balance == ROUTE_ROUNDROBIN
				       ? ""
				       : balances[route->balance + 1],
			       checks[route->check]);
	if (route->check == ROUTE_CHECK_HTTP)
		at += (size_t)snprintf(text + at, size - at, " @%u",
				       route->path_at);
	else
		assert_int_equal(path.len, 0);
	if (path.len > 0)
		at += (size_t)snprintf(text + at, size - at, "%.*s",
				       (int)path.len, path.p);
	if (backend.len > 0)
		snprintf(text + at, size - at, " backend %.*s",
			 (int)backend.len, backend.p);
}

static const struct {
	struct span text;
	const char *route;
} good[] = {
	{BYTES("192.168.1.1:9000"), "192.168.1.1:9000 w1;"},
	{BYTES("0.0.0.1:1"), "0.0.0.1:1 w1;"},
	{BYTES("255.255.255.254:65535"), "255.255.255.254:65535 w1;"},
	{BYTES("[::1]:80"), "::1:80 w1;"},
	{BYTES("[2001:DB8::A]:443"), "2001:db8::a:443 w1;"},
	{BYTES("[::ffff:1.2.3.4]:1"), "::ffff:1.2.3.4:1 w1;"},
	{BYTES("[1:2:3:4:5:6:7:8]:9"), "1:2:3:4:5:6:7:8:9 w1;"},

	{BYTES("1.2.3.4:80 weight 0"), "1.2.3.4:80 w0;"},
	{BYTES("1.2.3.4:80 weight 1"), "1.2.3.4:80 w1;"},
	{BYTES("1.2.3.4:80 weight 255"), "1.2.3.4:80 w255;"},
	{BYTES("1.2.3.4:80 weight 256"), "1.2.3.4:80 w256;"},
	{BYTES("1.2.3.4:80 backup"), "1.2.3.4:80 w1 backup;"},
	{BYTES("1.2.3.4:80 weight 5 backup"), "1.2.3.4:80 w5 backup;"},
	{BYTES("1.2.3.4:80 backup weight 5"), "1.2.3.4:80 w5 backup;"},

	/* blanks: any number around a route, a comma, a semicolon, and before
	 * a keyword or option */
	{BYTES(" 1.2.3.4:80"), "1.2.3.4:80 w1;"},
	{BYTES("   1.2.3.4:80   "), "1.2.3.4:80 w1;"},
	{BYTES("1.2.3.4:80   weight 5   backup  "), "1.2.3.4:80 w5 backup;"},
	{BYTES("1.2.3.4:80,5.6.7.8:90"), "1.2.3.4:80 w1, 5.6.7.8:90 w1;"},
	{BYTES("1.2.3.4:80  ,  5.6.7.8:90"), "1.2.3.4:80 w1, 5.6.7.8:90 w1;"},
	{BYTES("1.2.3.4:80 weight 2,[::1]:1 backup ,5.6.7.8:90"),
	 "1.2.3.4:80 w2, ::1:1 w1 backup, 5.6.7.8:90 w1;"},
	{BYTES("1.2.3.4:80;balance first"), "1.2.3.4:80 w1; first"},
	{BYTES("1.2.3.4:80  ;  balance first  "), "1.2.3.4:80 w1; first"},
	{BYTES("1.2.3.4:80 backup;check tcp   balance source"),
	 "1.2.3.4:80 w1 backup; source tcp"},
	{BYTES("1.2.3.4:80 weight 3;check none"), "1.2.3.4:80 w3; none"},

	{BYTES("1.2.3.4:80;balance roundrobin"), "1.2.3.4:80 w1;"},
	{BYTES("1.2.3.4:80;balance source"), "1.2.3.4:80 w1; source"},
	{BYTES("1.2.3.4:80;check none"), "1.2.3.4:80 w1; none"},
	{BYTES("1.2.3.4:80;check tcp"), "1.2.3.4:80 w1; tcp"},
	{BYTES("1.2.3.4:80;check http /"), "1.2.3.4:80 w1; http @22/"},
	{BYTES("1.2.3.4:80;check http /a?b=c,d;e balance first"),
	 "1.2.3.4:80 w1; first http @22/a?b=c,d;e"},
	{BYTES("1.2.3.4:80;check http /~!"), "1.2.3.4:80 w1; http @22/~!"},
	{BYTES("1.2.3.4:80;backend azAZ09"), "1.2.3.4:80 w1; backend azAZ09"},
	{BYTES("1.2.3.4:80;backend a"), "1.2.3.4:80 w1; backend a"},
	{BYTES("1.2.3.4:80;backend Be-_.:09 check tcp"),
	 "1.2.3.4:80 w1; tcp backend Be-_.:09"},
	{BYTES("1.2.3.4:80;balance first check http /x backend b"),
	 "1.2.3.4:80 w1; first http @36/x backend b"},
	{BYTES("1.2.3.4:80;backend balance balance first"),
	 "1.2.3.4:80 w1; first backend balance"},
};

static void test_good(void **state)
{
	char text[256];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(good); i++) {
		unsigned int column;
		enum route_error error = parse(good[i].text, &column);

		if (error != ROUTE_GOOD)
			fail_msg("'%s': %s at %u", good[i].text.p,
				 route_error_text(error), column);
		assert_int_equal(room.route.error, ROUTE_GOOD);
		print_route(&room.route, text, sizeof(text));
		if (strcmp(text, good[i].route) != 0)
			fail_msg("'%s': %s", good[i].text.p, text);
		assert_true(span_equal(route_text(&room.route), good[i].text));
	}
}

static const struct {
	struct span text;
	enum route_error error;
	unsigned int column;
} bad[] = {
	{BYTES(""), ROUTE_NO_ADDRESS, 1},
	{BYTES(" "), ROUTE_NO_ADDRESS, 2},
	{BYTES(","), ROUTE_NO_ADDRESS, 1},
	{BYTES(";"), ROUTE_NO_ADDRESS, 1},
	{BYTES(";balance first"), ROUTE_NO_ADDRESS, 1},
	{BYTES(":80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("http://1.2.3.4:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("1.2.3:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("1.2.3.4.5:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("1.2.3.256:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("1.2.3.04:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("01.2.3.4:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("1.2.3.4\0:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("0x7f000001:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("16909060:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("\t1.2.3.4:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("::1:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("[::1:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("[1.2.3.4]:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("[]:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("[fe80::1%eth0]:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("[0000:0000:0000:0000:0000:0ffff:255.255.255.255]:80"),
	 ROUTE_NO_ADDRESS, 1},
	{BYTES("1.2.3.4:80,"), ROUTE_NO_ADDRESS, 12},
	{BYTES("1.2.3.4:80,,1.2.3.4:80"), ROUTE_NO_ADDRESS, 12},
	{BYTES(",1.2.3.4:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("1.2.3.4:80, ;check tcp"), ROUTE_NO_ADDRESS, 13},
	{BYTES("1.2.3.4:80,  ho+st:80"), ROUTE_NO_ADDRESS, 14},
	{BYTES("1.2.3.4 :80"), ROUTE_NO_PORT, 8},

	{BYTES("1.2.3.4"), ROUTE_NO_PORT, 8},
	{BYTES("1.2.3.4:"), ROUTE_NO_PORT, 9},
	{BYTES("1.2.3.4:0"), ROUTE_NO_PORT, 9},
	{BYTES("1.2.3.4:65536"), ROUTE_NO_PORT, 9},
	{BYTES("1.2.3.4:99999999999999999999"), ROUTE_NO_PORT, 9},
	{BYTES("1.2.3.4:4294967376"), ROUTE_NO_PORT, 9},
	{BYTES("1.2.3.4:080"), ROUTE_NO_PORT, 9},
	{BYTES("1.2.3.4:-80"), ROUTE_NO_PORT, 9},
	{BYTES("1.2.3.4:+80"), ROUTE_NO_PORT, 9},
	{BYTES("1.2.3.4:8 0"), ROUTE_NO_WORD, 11},
	{BYTES("1.2.3.4: 80"), ROUTE_NO_PORT, 9},
	{BYTES("1.2.3.4:80x"), ROUTE_NO_PORT, 9},
	{BYTES("1.2.3.4:http"), ROUTE_NO_PORT, 9},
	{BYTES("1.2.3.4:80\n"), ROUTE_NO_PORT, 9},
	{BYTES("1.2.3.4:80\0"), ROUTE_NO_PORT, 9},
	{BYTES("[::1]"), ROUTE_NO_PORT, 6},
	{BYTES("[::1]80"), ROUTE_NO_PORT, 6},
	{BYTES("[::1]:"), ROUTE_NO_PORT, 7},
	{BYTES("[::1]:x"), ROUTE_NO_PORT, 7},
	{BYTES("[::1]]:80"), ROUTE_NO_PORT, 6},

	{BYTES("1.2.3.4:80 weight"), ROUTE_NO_WEIGHT, 18},
	{BYTES("1.2.3.4:80 weight "), ROUTE_NO_WEIGHT, 19},
	{BYTES("1.2.3.4:80 weight  5"), ROUTE_NO_WEIGHT, 19},
	{BYTES("1.2.3.4:80 weight 257"), ROUTE_NO_WEIGHT, 19},
	{BYTES("1.2.3.4:80 weight -1"), ROUTE_NO_WEIGHT, 19},
	{BYTES("1.2.3.4:80 weight 05"), ROUTE_NO_WEIGHT, 19},
	{BYTES("1.2.3.4:80 weight 1.5"), ROUTE_NO_WEIGHT, 19},
	{BYTES("1.2.3.4:80 weight x"), ROUTE_NO_WEIGHT, 19},
	{BYTES("1.2.3.4:80 weight backup"), ROUTE_NO_WEIGHT, 19},
	{BYTES("1.2.3.4:80 weight,1.2.3.4:1"), ROUTE_NO_WEIGHT, 18},
	{BYTES("1.2.3.4:80 weight 9999999999"), ROUTE_NO_WEIGHT, 19},

	{BYTES("1.2.3.4:80 weight 1 weight 1"), ROUTE_REPEATED, 21},
	{BYTES("1.2.3.4:80 weight 1 weight 2"), ROUTE_REPEATED, 21},
	{BYTES("1.2.3.4:80 backup backup"), ROUTE_REPEATED, 19},
	{BYTES("1.2.3.4:80;balance first balance first"), ROUTE_REPEATED, 26},
	{BYTES("1.2.3.4:80;check tcp check none"), ROUTE_REPEATED, 22},
	{BYTES("1.2.3.4:80;backend a backend b"), ROUTE_REPEATED, 22},

	{BYTES("1.2.3.4:80 drain"), ROUTE_NO_WORD, 12},
	{BYTES("1.2.3.4:80  Backup"), ROUTE_NO_WORD, 13},
	{BYTES("1.2.3.4:80 WEIGHT 5"), ROUTE_NO_WORD, 12},
	{BYTES("1.2.3.4:80 weight5"), ROUTE_NO_WORD, 12},
	{BYTES("1.2.3.4:80 backups"), ROUTE_NO_WORD, 12},
	{BYTES("1.2.3.4:80\tbackup"), ROUTE_NO_PORT, 9},
	{BYTES("1.2.3.4:80 5.6.7.8:90"), ROUTE_NO_WORD, 12},
	{BYTES("1.2.3.4:80;"), ROUTE_NO_WORD, 12},
	{BYTES("1.2.3.4:80; "), ROUTE_NO_WORD, 13},
	{BYTES("1.2.3.4:80;;"), ROUTE_NO_WORD, 12},
	{BYTES("1.2.3.4:80;weight 5"), ROUTE_NO_WORD, 12},
	{BYTES("1.2.3.4:80;Balance first"), ROUTE_NO_WORD, 12},
	{BYTES("1.2.3.4:80;balance"), ROUTE_NO_WORD, 19},
	{BYTES("1.2.3.4:80;balance "), ROUTE_NO_WORD, 20},
	{BYTES("1.2.3.4:80;balance  first"), ROUTE_NO_WORD, 20},
	{BYTES("1.2.3.4:80;balance leastconn"), ROUTE_NO_WORD, 20},
	{BYTES("1.2.3.4:80;balance First"), ROUTE_NO_WORD, 20},
	{BYTES("1.2.3.4:80;balance first,"), ROUTE_NO_WORD, 25},
	{BYTES("1.2.3.4:80;balance first;check tcp"), ROUTE_NO_WORD, 25},
	{BYTES("1.2.3.4:80;balance first, 1.2.3.4:80"), ROUTE_NO_WORD, 25},
	{BYTES("1.2.3.4:80;check"), ROUTE_NO_WORD, 17},
	{BYTES("1.2.3.4:80;check udp"), ROUTE_NO_WORD, 18},
	{BYTES("1.2.3.4:80;check http"), ROUTE_NO_WORD, 22},
	{BYTES("1.2.3.4:80;check http "), ROUTE_NO_WORD, 23},
	{BYTES("1.2.3.4:80;check http  /"), ROUTE_NO_WORD, 23},
	{BYTES("1.2.3.4:80;check http x"), ROUTE_NO_WORD, 23},
	{BYTES("1.2.3.4:80;check http/"), ROUTE_NO_WORD, 18},
	{BYTES("1.2.3.4:80;check http /\r\nHost:x"), ROUTE_NO_WORD, 24},
	{BYTES("1.2.3.4:80;check http /\x7f"), ROUTE_NO_WORD, 24},
	{BYTES("1.2.3.4:80;check http /\xc3\xa9"), ROUTE_NO_WORD, 24},
	{BYTES("1.2.3.4:80;backend"), ROUTE_NO_WORD, 19},
	{BYTES("1.2.3.4:80;backend "), ROUTE_NO_WORD, 20},
	{BYTES("1.2.3.4:80;backend a/b"), ROUTE_NO_WORD, 21},
	{BYTES("1.2.3.4:80;backend a\0"), ROUTE_NO_WORD, 21},
	{BYTES("1.2.3.4:80;backend \xc3\xa9"), ROUTE_NO_WORD, 20},
	{BYTES("1.2.3.4:80;backend a,b"), ROUTE_NO_WORD, 21},

	{BYTES("app"), ROUTE_NO_PORT, 4},
	{BYTES("app:"), ROUTE_NO_PORT, 5},
	{BYTES("app:80:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("app:http"), ROUTE_NO_PORT, 5},
	{BYTES("one:80,"), ROUTE_NO_ADDRESS, 8},
	{BYTES("-app:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("app-:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES(".app:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("app..:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("a..b:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES(".:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("*.app:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("a.1:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("a.1.:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("1.2.3.4x.5:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("[app]:80"), ROUTE_NO_ADDRESS, 1},
	{BYTES("a\xc3\xa9:80"), ROUTE_NO_ADDRESS, 1},

	{BYTES("10.0.0.1:666"), ROUTE_FORBIDDEN, 1},
	{BYTES("6.6.6.6:80"), ROUTE_FORBIDDEN, 1},
	{BYTES("[6::6]:80"), ROUTE_FORBIDDEN, 1},
	{BYTES("1.2.3.4:80, 6.6.6.6:80"), ROUTE_FORBIDDEN, 13},
};

static void test_bad(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		unsigned int column = 0;
		enum route_error error = parse(bad[i].text, &column);

		if (error != bad[i].error || column != bad[i].column)
			fail_msg("'%s': %s at %u", bad[i].text.p,
				 route_error_text(error), column);
		assert_int_equal(room.route.error, error);
		assert_int_equal(room.route.target_count, 0);
		assert_int_equal(route_backend(&room.route).len, 0);
		assert_true(span_equal(route_text(&room.route), bad[i].text));
	}
}

static const struct {
	struct span text;
	const char *route;
	const char *flags; /* names, pending, unresolved, denied */
} named[] = {
	{BYTES("one:80"), "10.1.1.1:80 w1;", "1"},
	{BYTES("two:80 weight 7"), "10.1.1.1:80 w7, 100:::80 w7;", "1"},
	{BYTES("two:80 backup, 1.2.3.4:5; balance first"),
	 "10.1.1.1:80 w1 backup, 100:::80 w1 backup, 1.2.3.4:5 w1; first", "1"},
	{BYTES("one:80, none:81, one:82"), "10.1.1.1:80 w1, 10.1.1.1:82 w1;",
	 "3u"},
	{BYTES("none:80"), ";", "1u"},
	{BYTES("App_1.a-b.Test.:80"), ";", "1pu"},
	{BYTES("one:80, unknown:80"), "10.1.1.1:80 w1;", "2pu"},
	{BYTES("bad:80"), "10.1.1.1:80 w1;", "1d"},
	{BYTES("worse:80"), ";", "1d"},
	{BYTES("worse:80, 1.2.3.4:5"), "1.2.3.4:5 w1;", "1d"},
	{BYTES("two:666"), ";", "1d"},
};

static void test_names(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(named); i++) {
		const struct route *route = &room.route;
		unsigned int column;
		char text[256], flags[16];

		assert_int_equal(parse(named[i].text, &column), ROUTE_GOOD);
		print_route(route, text, sizeof(text));
		assert_string_equal(text, named[i].route);
		snprintf(flags, sizeof(flags), "%u%s%s%s", route->name_count,
			 route->is_pending ? "p" : "",
			 route->has_unresolved ? "u" : "",
			 route->has_denied ? "d" : "");
		assert_string_equal(flags, named[i].flags);
		assert_false(route->is_plain);
		assert_int_equal((uintptr_t)route_names(route) % 4, 0);
		assert_int_equal(route_names(route)[0].version, 9);
		assert_int_equal(route_names(route)[0].slot,
				 strcspn(named[i].text.p, ":"));
		assert_true(span_equal(route_text(route), named[i].text));
	}
}

/* A label has 63 bytes, a name 253 and perhaps a final dot. */
static void test_long_names(void **state)
{
	char text[300];
	unsigned int column;
	size_t i;

	(void)state;
	memset(text, 'a', sizeof(text));
	for (i = 63; i < 253; i += 64)
		text[i] = '.';
	memcpy(text + 253, ":80", 3);
	assert_int_equal(parse((struct span){text, 256}, &column), ROUTE_GOOD);
	memcpy(text + 253, ".:80", 4);
	assert_int_equal(parse((struct span){text, 257}, &column), ROUTE_GOOD);
	memcpy(text + 253, "a:80", 4);
	assert_int_equal(parse((struct span){text, 257}, &column),
			 ROUTE_NO_ADDRESS);
	memset(text, 'a', 64);
	memcpy(text + 63, ":80", 3);
	assert_int_equal(parse((struct span){text, 66}, &column), ROUTE_GOOD);
	memcpy(text + 63, "a:80", 4);
	assert_int_equal(parse((struct span){text, 67}, &column),
			 ROUTE_NO_ADDRESS);
}

/* Addresses beyond the bound are left out, and no name but counts. */
static void test_256_names(void **state)
{
	static char text[257 * 7];
	unsigned int column;
	size_t i;

	(void)state;
	for (i = 0; i < 257; i++)
		memcpy(text + 7 * i, "two:80,", 7);
	assert_int_equal(parse((struct span){text, 256 * 7 - 1}, &column),
			 ROUTE_GOOD);
	assert_int_equal(room.route.target_count, 256);
	assert_int_equal(room.route.name_count, 256);
	assert_int_equal(route_names(&room.route)[255].slot, 3);
	assert_true(route_size(&room.route) <= sizeof(room));
	assert_true(span_equal(route_text(&room.route),
			       (struct span){text, 256 * 7 - 1}));
	assert_int_equal(parse((struct span){text, 257 * 7 - 1}, &column),
			 ROUTE_TOO_MANY);
	assert_int_equal(room.route.name_count, 0);
}

static void test_no_bytes_at_all(void **state)
{
	unsigned int column = 0;

	(void)state;
	assert_int_equal(route_parse((struct span){0}, &reader, &room, &column),
			 ROUTE_NO_ADDRESS);
	assert_int_equal(column, 1);
	assert_int_equal(route_text(&room.route).len, 0);
}

static void test_long_address(void **state)
{
	char text[8192];
	unsigned int column;

	(void)state;
	memset(text, '1', sizeof(text));
	memcpy(text + sizeof(text) - 3, ":80", 3);
	assert_int_equal(parse((struct span){text, sizeof(text)}, &column),
			 ROUTE_NO_ADDRESS);
	text[0] = '[';
	text[sizeof(text) - 4] = ']';
	assert_int_equal(parse((struct span){text, sizeof(text)}, &column),
			 ROUTE_NO_ADDRESS);
}

static void test_256_targets(void **state)
{
	static char text[257 * 12];
	unsigned int column;
	size_t i;

	(void)state;
	for (i = 0; i < 257; i++)
		memcpy(text + 12 * i, "10.0.0.1:80,", 12);
	assert_int_equal(parse((struct span){text, 256 * 12 - 1}, &column),
			 ROUTE_GOOD);
	assert_int_equal(room.route.target_count, 256);
	assert_int_equal(room.route.targets[255].port, 80);
	assert_int_equal(parse((struct span){text, 257 * 12 - 1}, &column),
			 ROUTE_TOO_MANY);
	assert_int_equal(column, 256 * 12 + 1);
	assert_int_equal(room.route.target_count, 0);
}

static void test_16384_bytes(void **state)
{
	static char text[ROUTE_TEXT_MAX + 1];
	unsigned int column;

	(void)state;
	memset(text, ' ', sizeof(text));
	memcpy(text, "10.0.0.1:80", 11);
	assert_int_equal(parse((struct span){text, ROUTE_TEXT_MAX}, &column),
			 ROUTE_GOOD);
	assert_int_equal(route_text(&room.route).len, 16384);
	assert_int_equal(parse((struct span){text, sizeof(text)}, &column),
			 ROUTE_TOO_LONG);
	assert_int_equal(route_text(&room.route).len, 0);
	assert_int_equal(room.route.target_count, 0);
}

/* The longest of all: 256 targets in 16384 bytes, with a name at the end. */
static void test_largest_route(void **state)
{
	static char text[ROUTE_TEXT_MAX];
	static union route_room copy;
	unsigned int column;
	size_t i, size;

	(void)state;
	memset(text, ' ', sizeof(text));
	for (i = 0; i < 256; i++)
		memcpy(text + 60 * i, ",10.0.0.1:80", 12);
	text[0] = ' ';
	memcpy(text + 256 * 60, ";check http /p backend b", 24);
	assert_int_equal(parse((struct span){text, sizeof(text)}, &column),
			 ROUTE_GOOD);
	size = route_size(&room.route);
	assert_true(size <= sizeof(room));
	memcpy(&copy, &room, size);
	memset(&room, 0, sizeof(room));
	assert_int_equal(copy.route.target_count, 256);
	assert_int_equal(route_text(&copy.route).len, sizeof(text));
	assert_memory_equal(route_text(&copy.route).p, text, sizeof(text));
	assert_true(span_is(route_backend(&copy.route), "b"));
	assert_int_equal(copy.route.path_at, 256 * 60 + 12);
	assert_int_equal(text[copy.route.path_at], '/');
}

static void test_backend_of_64_bytes(void **state)
{
	char text[128] = "10.0.0.1:80;backend ";
	size_t from = strlen(text);
	unsigned int column;

	(void)state;
	memset(text + from, 'b', 65);
	assert_int_equal(parse((struct span){text, from + 64}, &column),
			 ROUTE_GOOD);
	assert_int_equal(route_backend(&room.route).len, 64);
	assert_int_equal(parse((struct span){text, from + 65}, &column),
			 ROUTE_NO_WORD);
	assert_int_equal(column, from + 1);
}

/* A route lies behind other bytes in the cache: four-byte alignment does. */
static void test_copies_are_equal(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(good); i++) {
		uint32_t place[256];
		const struct route *copy = (const struct route *)(place + 1);
		char before[256], after[256];
		unsigned int column;

		assert_int_equal(parse(good[i].text, &column), ROUTE_GOOD);
		print_route(&room.route, before, sizeof(before));
		assert_true(route_size(&room.route) < sizeof(place) - 4);
		memcpy(place + 1, &room, route_size(&room.route));
		memset(&room, 0xff, sizeof(room));
		print_route(copy, after, sizeof(after));
		assert_string_equal(before, after);
		assert_true(span_equal(route_text(copy), good[i].text));
	}
}

static void test_places(void **state)
{
	static const uint8_t v4[16] = {192, 0, 2, 1};
	static const uint8_t v6[16] = {0x20, 1, 0xd, 0xb8, [15] = 1};
	uint8_t longest[16];
	char place[ROUTE_PLACE_MAX];

	(void)state;
	route_print_place(v4, false, 80, place);
	assert_string_equal(place, "192.0.2.1:80");
	route_print_place(v6, true, 65535, place);
	assert_string_equal(place, "[2001:db8::1]:65535");
	memset(longest, 0xff, sizeof(longest));
	route_print_place(longest, true, 65535, place);
	assert_string_equal(place,
			    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

static void test_errors_have_words(void **state)
{
	int error;

	(void)state;
	for (error = ROUTE_GOOD; error <= ROUTE_TOO_LONG; error++)
		assert_in_range(
			strlen(route_error_text((enum route_error)error)), 5,
			60);
}

/* One random change of a text; returns its new length. */
static size_t mutate(char *text, size_t len)
{
	static const char bytes[] = " ,;:.[]09abw/\x00\xff";
	char byte = bytes[kit_random() % (sizeof(bytes) - 1)];
	size_t at = (size_t)kit_random() % (len + 1);

	switch (kit_random() % 3) {
	case 0:
		memmove(text + at + 1, text + at, len - at);
		text[at] = byte;
		return len + 1;
	case 1:
		if (at == len)
			return len;
		memmove(text + at, text + at + 1, len - at - 1);
		return len - 1;
	default:
		if (at < len)
			text[at] = byte;
		return len;
	}
}

/* What is good is made again by its own text, what is bad says where. */
static void check_parsed(struct span text, enum route_error error,
			 unsigned int column)
{
	static union route_room again;
	unsigned int column_again;

	assert_int_equal(room.route.error, error);
	assert_true(span_equal(route_text(&room.route), text));
	if (error != ROUTE_GOOD) {
		assert_in_range(column, 1, text.len + 1);
		assert_int_equal(room.route.target_count, 0);
		return;
	}
	assert_in_range(room.route.target_count + room.route.name_count, 1,
			ROUTE_TARGETS_MAX * 2);
	assert_int_equal(route_parse(route_text(&room.route), &reader, &again,
				     &column_again),
			 ROUTE_GOOD);
	assert_int_equal(route_size(&again.route), route_size(&room.route));
	assert_memory_equal(&again, &room, route_size(&room.route));
}

static void test_mutations_do_no_harm(void **state)
{
	int i, still_good = 0;

	(void)state;
	for (i = 0; i < 50000; i++) {
		const struct span *from =
			&good[kit_random() % ARRAY_LEN(good)].text;
		unsigned int column = 0;
		enum route_error error;
		char text[256];
		size_t len = from->len, k;

		memcpy(text, from->p, len);
		for (k = kit_random() % 4; k > 0; k--)
			len = mutate(text, len);
		error = parse((struct span){text, len}, &column);
		check_parsed((struct span){text, len}, error, column);
		still_good += error == ROUTE_GOOD;
	}
	assert_true(still_good > 5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_256_names),
		cmocka_unit_test(test_no_bytes_at_all),
		cmocka_unit_test(test_long_address),
		cmocka_unit_test(test_256_targets),
		cmocka_unit_test(test_16384_bytes),
		cmocka_unit_test(test_largest_route),
		cmocka_unit_test(test_backend_of_64_bytes),
		cmocka_unit_test(test_copies_are_equal),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_errors_have_words),
		cmocka_unit_test(test_mutations_do_no_harm),
	};

	return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
