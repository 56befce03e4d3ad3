/* SPDX-License-Identifier: MIT */
/*
 * host: the table of what a Host may be, and the fields that could serve it in
 * order of match.
 */
#include "kit.h"

#include "../../spoa/host.h"

#include <stdio.h>

#define BYTES(text) ((struct span){text, sizeof(text) - 1})

static bool normalise(struct span raw, struct host *host)
{
	return host_normalise(
		(struct span){kit_guarded(raw.p, raw.len), raw.len}, host);
}

static const struct {
	struct span raw;
	const char *host; /* NULL: bad_host */
} hosts[] = {
	{BYTES("app1.cloud.com"), "app1.cloud.com"},
	{BYTES("a"), "a"},
	{BYTES("localhost"), "localhost"},
	{BYTES("App1.CLOUD.Com"), "app1.cloud.com"},
	{BYTES("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), "abcdefghijklmnopqrstuvwxyz"},
	{BYTES("abcdefghijklmnopqrstuvwxyz"), "abcdefghijklmnopqrstuvwxyz"},
	{BYTES("0123456789"), "0123456789"},
	{BYTES("-a_b-"), "-a_b-"},
	{BYTES("_acme.a--b"), "_acme.a--b"},
	{BYTES("xn--mnchen-3ya.de"), "xn--mnchen-3ya.de"},

	/* the port */
	{BYTES("a.b:80"), "a.b"},
	{BYTES("a.b:8"), "a.b"},
	{BYTES("a.b:"), "a.b"},
	{BYTES("a.b:65535"), "a.b"},
	{BYTES("a.b:99999"), "a.b"},
	{BYTES("a.b:00000"), "a.b"},
	{BYTES("a.b:000000"), NULL},
	{BYTES("a.b:123456"), NULL},
	{BYTES("a.b:8x"), NULL},
	{BYTES("a.b:x"), NULL},
	{BYTES("a.b:-1"), NULL},
	{BYTES("a.b:+1"), NULL},
	{BYTES("a.b: 80"), NULL},
	{BYTES("a.b:80 "), NULL},
	{BYTES("a.b:80:80"), NULL},
	{BYTES("a.b::"), NULL},
	{BYTES("a.b::80"), NULL},
	{BYTES(":80"), NULL},
	{BYTES(":"), NULL},
	{BYTES("a.b:80."), NULL},
	{BYTES("a.b:/"), NULL},
	{BYTES("a.b:;"), NULL},

	/* the final dot, which stands before the port */
	{BYTES("a.b."), "a.b"},
	{BYTES("a.b.:80"), "a.b"},
	{BYTES("a."), "a"},
	{BYTES("A.B.:"), "a.b"},
	{BYTES("a.b.."), NULL},
	{BYTES("a..:80"), NULL},
	{BYTES("."), NULL},
	{BYTES(".."), NULL},
	{BYTES(".:80"), NULL},

	/* empty labels */
	{BYTES(""), NULL},
	{BYTES(".a"), NULL},
	{BYTES("a..b"), NULL},
	{BYTES("a...b"), NULL},

	/* what no name has */
	{BYTES("*"), NULL},
	{BYTES("*.cloud.com"), NULL},
	{BYTES("a.*"), NULL},
	{BYTES("a b"), NULL},
	{BYTES(" a"), NULL},
	{BYTES("a "), NULL},
	{BYTES("a\t"), NULL},
	{BYTES("a\r\n"), NULL},
	{BYTES("a\0"), NULL},
	{BYTES("a\0b"), NULL},
	{BYTES("\0"), NULL},
	{BYTES("a\x7f"), NULL},
	{BYTES("m\xc3\xbcnchen.de"), NULL},
	{BYTES("a\xff"), NULL},
	{BYTES("a\x80"), NULL},
	{BYTES("user@a.b"), NULL},
	{BYTES("a.b/c"), NULL},
	{BYTES("a,b"), NULL},
	{BYTES("a%2eb"), NULL},
	{BYTES("a?"), NULL},
	{BYTES("a#"), NULL},

	/* addresses */
	{BYTES("192.168.1.1"), "192.168.1.1"},
	{BYTES("192.168.1.1:8080"), "192.168.1.1"},
	{BYTES("[::1]"), "[::1]"},
	{BYTES("[::1]:80"), "[::1]"},
	{BYTES("[::1]:"), "[::1]"},
	{BYTES("[::1]."), "[::1]"},
	{BYTES("[2001:DB8::A]:443"), "[2001:db8::a]"},
	{BYTES("[::FFFF:1.2.3.4]"), "[::ffff:1.2.3.4]"},
	{BYTES("[0000:0000:0000:0000:0000:ffff:255.255.255.255]"),
	 "[0000:0000:0000:0000:0000:ffff:255.255.255.255]"},
	{BYTES("[0000:0000:0000:0000:0000:0ffff:255.255.255.255]"), NULL},
	{BYTES("[::1]:123456"), NULL},
	{BYTES("[::1]:8x"), NULL},
	{BYTES("[::1]:80:80"), NULL},
	{BYTES("[::1]:80."), NULL},
	{BYTES("[::1]x"), NULL},
	{BYTES("[::1]x:80"), NULL},
	{BYTES("[::1]]"), NULL},
	{BYTES("[[::1]]"), NULL},
	{BYTES("[::1"), NULL},
	{BYTES("[::1:80"), NULL},
	{BYTES("::1"), NULL},
	{BYTES("::1]"), NULL},
	{BYTES("x[::1]"), NULL},
	{BYTES("[]"), NULL},
	{BYTES("["), NULL},
	{BYTES("]"), NULL},
	{BYTES("[]:80"), NULL},
	{BYTES("[:]"), NULL},
	{BYTES("[1.2.3.4]"), NULL},
	{BYTES("[a.b]"), NULL},
	{BYTES("[*]"), NULL},
	{BYTES("[::1%eth0]"), NULL},
	{BYTES("[fe80::1%25eth0]"), NULL},
	{BYTES("[::1\0]"), NULL},
	{BYTES("[::1 ]"), NULL},
	{BYTES("[1:2:3:4:5:6:7:8:9]"), NULL},
	{BYTES("[::g]"), NULL},
	{BYTES("[::1].a"), NULL},
};

static void test_table(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(hosts); i++) {
		struct host host;
		bool good = normalise(hosts[i].raw, &host);

		if (good != (hosts[i].host != NULL) ||
		    (good && !span_is(host_span(&host), hosts[i].host)))
			fail_msg("'%.*s': %.*s", (int)hosts[i].raw.len,
				 hosts[i].raw.p, good ? host.len : 3,
				 good ? host.name : "bad");
	}
}

static void test_no_bytes_at_all(void **state)
{
	struct host host;

	(void)state;
	assert_false(host_normalise((struct span){0}, &host));
}

/* Each of the 256 bytes, alone and inside a name. */
static void test_every_byte(void **state)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	int c;

	(void)state;
	for (c = 0; c < 256; c++) {
		const char raw[] = {'a', (char)c, 'b'};
		bool fits = c != 0 && strchr(good, c) != NULL;
		struct host host;

		assert_int_equal(normalise((struct span){raw + 1, 1}, &host),
				 fits);
		assert_int_equal(normalise((struct span){raw, 3}, &host),
				 fits || c == '.');
	}
}

/* 1 to 253 bytes are a host, with port and final dot on top. */
static void test_every_length(void **state)
{
	char raw[320];
	size_t len;

	(void)state;
	memset(raw, 'x', sizeof(raw));
	for (len = 1; len <= 300; len++) {
		struct host host;

		assert_int_equal(normalise((struct span){raw, len}, &host),
				 len <= 253);
		if (len <= 253)
			assert_int_equal(host.len, len);
		memcpy(raw + len, ".:65535", 7);
		assert_int_equal(normalise((struct span){raw, len + 7}, &host),
				 len <= 253);
		memcpy(raw + len, "xxxxxxx", 7);
	}
}

static void test_long_literal(void **state)
{
	char raw[253];
	struct host host;

	(void)state;
	memset(raw, '1', sizeof(raw));
	raw[0] = '[';
	raw[sizeof(raw) - 1] = ']';
	assert_false(normalise((struct span){raw, sizeof(raw)}, &host));
}

/* What a name without port and final dot becomes, byte by byte: the rule in
 * its plainest words. */
static bool spell(const char *raw, size_t len, char *name)
{
	char last = '.';
	size_t i;

	for (i = 0; i < len; i++) {
		char c = raw[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '_' || (c == '.' && last != '.')))
			return false;
		name[i] = last = c;
	}
	return last != '.';
}

static void assert_spelled(const char *raw, size_t len)
{
	char name[300];
	bool fits = spell(raw, len, name);
	struct host host;

	if (normalise((struct span){raw, len}, &host) != fits)
		fail_msg("'%.*s': %d", (int)len, raw, !fits);
	if (!fits)
		return;
	assert_int_equal(host.len, len);
	assert_memory_equal(host.name, name, len);
}

/* Each byte in each place, and each pair of dots: a name may be read several
 * bytes at a time. */
static void test_every_place(void **state)
{
	char raw[40];
	size_t i, k;
	int c;

	(void)state;
	memset(raw, 'x', sizeof(raw));
	for (i = 0; i + 1 < sizeof(raw); i++) {
		for (c = 0; c < 256; c++) {
			raw[i] = (char)(c == ':' ? ';' : c);
			assert_spelled(raw, sizeof(raw));
		}
		raw[i] = '.';
		for (k = i + 1; k + 1 < sizeof(raw); k++) {
			raw[k] = '.';
			assert_spelled(raw, sizeof(raw));
			raw[k] = 'x';
		}
		raw[i] = 'x';
	}
}

static void test_random_names(void **state)
{
	static const char bytes[] = "aZ0-_..mNz9A";
	int i;

	(void)state;
	for (i = 0; i < 100000; i++) {
		char raw[60];
		size_t len = 1 + (size_t)kit_random() % (sizeof(raw) - 1), k;

		for (k = 0; k < len; k++)
			raw[k] = bytes[kit_random() % (sizeof(bytes) - 1)];
		if (kit_random() % 2)
			raw[kit_random() % len] = (char)kit_random();
		if (raw[len - 1] != '.' && !memchr(raw, ':', len) &&
		    raw[0] != '[')
			assert_spelled(raw, len);
	}
}

/* Random bytes of those that come near a host. */
static size_t make_raw(char *raw, size_t size)
{
	static const char bytes[] = "aZ0-_..::[]*  fF1%\x00\xff";
	size_t i, len = (size_t)kit_random() % size;

	for (i = 0; i < len; i++)
		raw[i] = bytes[kit_random() % (sizeof(bytes) - 1)];
	if (kit_random() % 4 == 0 && len > 4)
		memcpy(raw, "[::1]", 5 < len ? 5 : len);
	return len;
}

static void test_normalised_stays_so(void **state)
{
	int i, good = 0;

	(void)state;
	for (i = 0; i < 200000; i++) {
		char raw[12];
		size_t len = make_raw(raw, sizeof(raw));
		struct host host, again;

		if (!normalise((struct span){raw, len}, &host))
			continue;
		good++;
		assert_in_range(host.len, 1, 253);
		assert_null(memchr(host.name, '*', host.len));
		assert_true(normalise(host_span(&host), &again));
		assert_true(span_equal(host_span(&host), host_span(&again)));
	}
	assert_true(good > 100);
}

/* The candidates of `raw`, separated by blanks. */
static void list_candidates(const char *raw, char *text, size_t size)
{
	struct host_candidates list;
	struct host host;
	size_t i, at = 0;

	assert_true(normalise(span_of(raw), &host));
	host_list_candidates(&host, &list);
	assert_in_range(list.count, 2, HOST_CANDIDATES);
	assert_int_equal(list.start[0], 0);
	assert_int_equal(list.start[list.count - 1], host.len);
	text[0] = '\0';
	for (i = 0; i < list.count; i++) {
		struct host_field room;
		struct span field = host_candidate(&host, &list, i, &room);

		assert_true(field.len <= sizeof(room.text));
		at += (size_t)snprintf(text + at, size - at, "%s%.*s",
				       i ? " " : "", (int)field.len, field.p);
		assert_true(at < size);
	}
}

static void test_candidates(void **state)
{
	static const struct {
		const char *raw;
		const char *fields;
	} rows[] = {
		{"a", "a *"},
		{"a.b", "a.b *.b *"},
		{"A.B.c.:80", "a.b.c *.b.c *.c *"},
		{"a.b.c.d", "a.b.c.d *.b.c.d *.c.d *.d *"},
		{"1.2.3.4", "1.2.3.4 *"},
		{"192.168.1.10", "192.168.1.10 *"},
		{"255.255.255.255:80", "255.255.255.255 *"},
		{"[::1]:80", "[::1] *"},
		{"[::ffff:1.2.3.4]", "[::ffff:1.2.3.4] *"},
		/* these are names, not addresses */
		{"1.2.3", "1.2.3 *.2.3 *.3 *"},
		{"1.2.3.256", "1.2.3.256 *.2.3.256 *.3.256 *.256 *"},
		{"1.2.3.4.5", "1.2.3.4.5 *.2.3.4.5 *.3.4.5 *.4.5 *.5 *"},
		{"1.2.3.a", "1.2.3.a *.2.3.a *.3.a *.a *"},
		/* 9 labels: all of them; 10: one in the middle is left out */
		{"1.2.3.4.5.6.7.8.i",
		 "1.2.3.4.5.6.7.8.i *.2.3.4.5.6.7.8.i *.3.4.5.6.7.8.i "
		 "*.4.5.6.7.8.i *.5.6.7.8.i *.6.7.8.i *.7.8.i *.8.i *.i *"},
		{"1.2.3.4.5.6.7.8.9.i",
		 "1.2.3.4.5.6.7.8.9.i *.2.3.4.5.6.7.8.9.i *.3.4.5.6.7.8.9.i "
		 "*.4.5.6.7.8.9.i *.5.6.7.8.9.i *.7.8.9.i *.8.9.i *.9.i *.i "
		 "*"},
		{"1.2.3.4.5.6.7.8.9.a.b.i",
		 "1.2.3.4.5.6.7.8.9.a.b.i *.2.3.4.5.6.7.8.9.a.b.i "
		 "*.3.4.5.6.7.8.9.a.b.i *.4.5.6.7.8.9.a.b.i "
		 "*.5.6.7.8.9.a.b.i *.9.a.b.i *.a.b.i *.b.i *.i *"},
	};
	char text[1024];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		list_candidates(rows[i].raw, text, sizeof(text));
		if (strcmp(text, rows[i].fields) != 0)
			fail_msg("%s: %s", rows[i].raw, text);
	}
}

/* The `skip` first labels of a host of 127, as a wildcard. */
static void assert_wildcard(struct span field, const char *raw, size_t skip)
{
	assert_int_equal(field.len, 1 + 253 - (2 * skip - 1));
	assert_int_equal(field.p[0], '*');
	assert_memory_equal(field.p + 1, raw + 2 * skip - 1, field.len - 1);
}

static void test_candidates_of_127_labels(void **state)
{
	static const size_t skipped[] = {0, 1, 2, 3, 4, 123, 124, 125, 126};
	struct host_candidates list;
	struct host host;
	char raw[254];
	size_t i;

	(void)state;
	for (i = 0; i < 253; i++)
		raw[i] = i % 2 ? '.' : (char)('a' + i / 2 % 26);
	assert_true(normalise((struct span){raw, 253}, &host));
	host_list_candidates(&host, &list);
	assert_int_equal(list.count, 10);
	for (i = 0; i < 10; i++) {
		struct host_field room;
		struct span field = host_candidate(&host, &list, i, &room);

		if (i == 0)
			assert_true(span_equal(field, host_span(&host)));
		else if (i == 9)
			assert_true(span_is(field, "*"));
		else
			assert_wildcard(field, raw, skipped[i]);
	}
}

static const struct {
	const char *raw;
	const char *field; /* NULL: cannot be one */
} fields[] = {
	{"a.example", "a.example"},
	{"A.Example.:8080", "a.example"},
	{"[::1]:80", "[::1]"},
	{"10.0.0.1", "10.0.0.1"},
	{"*", "*"},
	{"*.example", "*.example"},
	{"*.A.Example.:80", "*.a.example"},
	{"*.1.2.3.4", "*.1.2.3.4"},
	{"", NULL},
	{"a b", NULL},
	{"*.", NULL},
	{"*.:80", NULL},
	{"**", NULL},
	{"*a.example", NULL},
	{"*:80", NULL},
	{"*.*", NULL},
	{"*.*.example", NULL},
	{"a.*.example", NULL},
	{"*.[::1]", NULL},
	{"*..example", NULL},
	{"a.example/", NULL},
};

static void test_read_field(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(fields); i++) {
		struct span raw = span_of(fields[i].raw);
		struct host_field room;
		struct span field;
		bool good;

		raw.p = kit_guarded(raw.p, raw.len);
		good = host_read_field(raw, &room, &field);
		if (good != (fields[i].field != NULL))
			fail_msg("%s: %d", fields[i].raw, good);
		if (good && !span_is(field, fields[i].field))
			fail_msg("%s: %.*s", fields[i].raw, (int)field.len,
				 field.p);
	}
}

static void test_longest_field(void **state)
{
	char raw[256] = "*.";
	struct host_field room;
	struct span field;

	(void)state;
	memset(raw + 2, 'a', sizeof(raw) - 2);
	assert_true(host_read_field((struct span){raw, 253}, &room, &field));
	assert_int_equal(field.len, 253);
	assert_false(host_read_field((struct span){raw, 254}, &room, &field));
	assert_false(host_read_field((struct span){raw, 255}, &room, &field));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_no_bytes_at_all),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_every_length),
		cmocka_unit_test(test_every_place),
		cmocka_unit_test(test_random_names),
		cmocka_unit_test(test_long_literal),
		cmocka_unit_test(test_normalised_stays_so),
		cmocka_unit_test(test_candidates),
		cmocka_unit_test(test_candidates_of_127_labels),
		cmocka_unit_test(test_read_field),
		cmocka_unit_test(test_longest_field),
	};

	return cmocka_run_group_tests_name("host", tests, NULL, NULL);
}
