/* SPDX-License-Identifier: MIT */
/*
 * log: what one line looks like in both formats, whatever is in its values,
 * and that a reader who does not read stops nobody. Standard error is a pipe
 * here while a line is written.
 */
#include "kit.h"

#include "../../spoa/log.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define BYTES(text) ((struct span){text, sizeof(text) - 1})

static struct {
	int ends[2]; /* of the pipe */
	int stderr_copy;
	char text[128 * 1024]; /* what was read */
	size_t len;
} captured;

static void begin_capture(void)
{
	assert_int_equal(pipe(captured.ends), 0);
	assert_int_equal(fcntl(captured.ends[0], F_SETFL, O_NONBLOCK), 0);
	captured.stderr_copy = dup(STDERR_FILENO);
	assert_true(dup2(captured.ends[1], STDERR_FILENO) >= 0);
	captured.len = 0;
}

static void read_pipe(void)
{
	ssize_t got;

	captured.len = 0;
	while ((got = read(captured.ends[0], captured.text + captured.len,
			   sizeof(captured.text) - 1 - captured.len)) > 0)
		captured.len += (size_t)got;
	captured.text[captured.len] = '\0';
}

static void end_capture(void)
{
	dup2(captured.stderr_copy, STDERR_FILENO);
	close(captured.stderr_copy);
	read_pipe();
	close(captured.ends[0]);
	close(captured.ends[1]);
}

/* Writes one line and gives what came out behind the time. */
static const char *capture(enum log_format format,
			   const struct log_field *fields, size_t count)
{
	const char *rest;

	log_setup(LOG_INFO, format);
	begin_capture();
	log_write(LOG_INFO, "it happened", fields, count);
	end_capture();
	assert_true(captured.len > 0 && captured.len <= PIPE_BUF);
	assert_int_equal(captured.text[captured.len - 1], '\n');
	assert_ptr_equal(strchr(captured.text, '\n'),
			 captured.text + captured.len - 1);
	rest = strstr(captured.text, format == LOG_JSON ? "," : " ");
	assert_non_null(rest);
	return rest + 1;
}

static void test_time_comes_first(void **state)
{
	static const char *const shapes[] = {
		"ts=dddd-dd-ddTdd:dd:dd.dddZ ",
		"{\"ts\":\"dddd-dd-ddTdd:dd:dd.dddZ\",",
	};
	int format;
	size_t i;

	(void)state;
	for (format = LOG_TEXT; format <= LOG_JSON; format++) {
		const char *shape = shapes[format];

		capture((enum log_format)format, NULL, 0);
		for (i = 0; shape[i] != '\0'; i++) {
			char c = captured.text[i];

			if (c >= '0' && c <= '9')
				c = 'd';
			if (c != shape[i])
				fail_msg("%s", captured.text);
		}
	}
}

/* The time is now, in UTC. */
static void test_time_is_now(void **state)
{
	time_t before = time(NULL), after;
	struct tm utc = {0};

	(void)state;
	capture(LOG_TEXT, NULL, 0);
	after = time(NULL);
	assert_non_null(strptime(captured.text, "ts=%Y-%m-%dT%H:%M:%S", &utc));
	assert_in_range(timegm(&utc), before, after);
}

static const struct {
	struct span value;
	const char *text; /* as logfmt */
	const char *json;
} rows[] = {
	{BYTES("a"), "a", "\"a\""},
	{BYTES("10.0.0.1:80"), "10.0.0.1:80", "\"10.0.0.1:80\""},
	{BYTES("*.cloud.com"), "*.cloud.com", "\"*.cloud.com\""},
	{BYTES(""), "\"\"", "\"\""},
	{BYTES("~a!"), "~a!", "\"~a!\""},
	{BYTES("a b"), "\"a b\"", "\"a b\""},
	{BYTES("a=b"), "\"a=b\"", "\"a=b\""},
	{BYTES("a\"b"), "\"a\\\"b\"", "\"a\\\"b\""},
	{BYTES("a\\b"), "\"a\\\\b\"", "\"a\\\\b\""},
	{BYTES("a\nb"), "\"a\\x0ab\"", "\"a\\u000ab\""},
	{BYTES("\r\n"), "\"\\x0d\\x0a\"", "\"\\u000d\\u000a\""},
	{BYTES("\t"), "\"\\x09\"", "\"\\u0009\""},
	{BYTES("\0"), "\"\\x00\"", "\"\\u0000\""},
	{BYTES("\x1b[31m"), "\"\\x1b[31m\"", "\"\\u001b[31m\""},
	{BYTES("\x1f\x20\x7e\x7f"), "\"\\x1f ~\\x7f\"", "\"\\u001f ~\\u007f\""},
	{BYTES("\xc3\xa9"), "\"\\xc3\\xa9\"", "\"\\u00c3\\u00a9\""},
	{BYTES("\x80\xff"), "\"\\x80\\xff\"", "\"\\u0080\\u00ff\""},
	{BYTES("level=error msg=\"x\""), "\"level=error msg=\\\"x\\\"\"",
	 "\"level=error msg=\\\"x\\\"\""},
};

static void test_values_are_escaped(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct span value = {
			kit_guarded(rows[i].value.p, rows[i].value.len),
			rows[i].value.len};
		const struct log_field field = log_span("key", value);
		char expected[200];

		snprintf(expected, sizeof(expected),
			 "level=info msg=\"it happened\" key=%s\n",
			 rows[i].text);
		assert_string_equal(capture(LOG_TEXT, &field, 1), expected);
		snprintf(expected, sizeof(expected),
			 "\"level\":\"info\",\"msg\":\"it happened\","
			 "\"key\":%s}\n",
			 rows[i].json);
		assert_string_equal(capture(LOG_JSON, &field, 1), expected);
	}
}

static void test_numbers_and_left_out(void **state)
{
	const struct log_field fields[] = {
		{0},
		log_number("a", 0),
		log_number("b", INT64_MIN),
		{.text = span_of("left out")},
		log_number("c", INT64_MAX),
		log_text("d", "5"),
	};

	(void)state;
	assert_string_equal(capture(LOG_TEXT, fields, ARRAY_LEN(fields)),
			    "level=info msg=\"it happened\" a=0 "
			    "b=-9223372036854775808 c=9223372036854775807 "
			    "d=5\n");
	assert_string_equal(
		capture(LOG_JSON, fields, ARRAY_LEN(fields)),
		"\"level\":\"info\",\"msg\":\"it happened\",\"a\":0,"
		"\"b\":-9223372036854775808,"
		"\"c\":9223372036854775807,\"d\":\"5\"}\n");
}

static void test_levels(void **state)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};
	int least, level;

	(void)state;
	for (least = LOG_DEBUG; least <= LOG_ERROR; least++) {
		for (level = LOG_DEBUG; level <= LOG_ERROR; level++) {
			char word[32];

			log_setup((enum log_level)least, LOG_TEXT);
			begin_capture();
			log_write((enum log_level)level, "x", NULL, 0);
			end_capture();
			assert_int_equal(captured.len > 0, level >= least);
			snprintf(word, sizeof(word), " level=%s", names[level]);
			if (captured.len > 0)
				assert_non_null(strstr(captured.text, word));
		}
	}
}

static void test_macros(void **state)
{
	(void)state;
	log_setup(LOG_INFO, LOG_TEXT);
	begin_capture();
	log_info("none");
	log_warn("two", log_text("a", "b"), log_number("n", 3));
	end_capture();
	assert_non_null(strstr(captured.text, "level=info msg=\"none\"\n"));
	assert_non_null(strstr(captured.text, "msg=\"two\" a=b n=3\n"));
}

/* Long values */

/* Reads a JSON string at `p` and returns what follows; NULL: it is none. */
static const char *skip_string(const char *p)
{
	if (*p++ != '"')
		return NULL;
	while (*p != '"') {
		if ((unsigned char)*p < ' ')
			return NULL;
		if (*p++ != '\\')
			continue;
		if (*p == '"' || *p == '\\')
			p++;
		else if (*p == 'u' && strspn(p + 1, "0123456789abcdef") >= 4)
			p += 5;
		else
			return NULL;
	}
	return p + 1;
}

/* Is the text one flat object of strings and numbers, and a line end? */
static bool is_json_line(const char *p)
{
	if (*p != '{')
		return false;
	do {
		p = skip_string(p + 1);
		if (!p || *p++ != ':')
			return false;
		p = *p == '"' ? skip_string(p) : p + strspn(p, "-0123456789");
		if (!p)
			return false;
	} while (*p == ',');
	return !strcmp(p, "}\n");
}

/* Are all quotes of a logfmt line closed? */
static bool is_text_line(const char *p)
{
	bool quoted = false;

	for (; *p != '\0' && *p != '\n'; p++) {
		if (*p == '\\' && p[1] != '\0')
			p++;
		else if (*p == '"')
			quoted = !quoted;
	}
	return !quoted && !strcmp(p, "\n");
}

/* One value is cut, and says so. */
static void test_long_value_is_cut(void **state)
{
	static char value[100000];
	const struct log_field fields[] = {
		log_span("a", (struct span){value, sizeof(value)}),
		log_text("b", "behind")};
	const char *text;

	(void)state;
	memset(value, 'x', sizeof(value));
	text = capture(LOG_TEXT, fields, 2);
	assert_non_null(strstr(text, "xxx... b=behind\n"));
	text = capture(LOG_JSON, fields, 2);
	assert_non_null(strstr(text, "xxx...\",\"b\":\"behind\"}\n"));
}

/* Up to twelve values of `len` times one byte. */
static void log_many(enum log_format format, char byte, size_t count,
		     size_t len)
{
	static char value[2000];
	struct log_field fields[12];
	size_t i;

	memset(value, byte, sizeof(value));
	for (i = 0; i < count; i++)
		fields[i] = log_span("key", (struct span){value, len});
	capture(format, fields, count);
}

/* However much there is to say, a line stays a line that a machine reads. */
static void test_full_lines_stay_valid(void **state)
{
	static const char bytes[] = "x\n\"\\=";
	size_t b, count, len;

	(void)state;
	for (b = 0; b < sizeof(bytes) - 1; b++) {
		for (count = 1; count <= 12; count++) {
			for (len = 1; len < 1000; len += 83) {
				log_many(LOG_JSON, bytes[b], count, len);
				if (!is_json_line(captured.text))
					fail_msg("%s", captured.text);
				log_many(LOG_TEXT, bytes[b], count, len);
				if (!is_text_line(captured.text))
					fail_msg("%s", captured.text);
			}
		}
	}
}

/* Each length near the end of a line: one byte more or less is where it
 * breaks. */
static void test_every_end_of_a_line(void **state)
{
	size_t len;

	(void)state;
	for (len = 0; len <= 600; len++) {
		log_many(LOG_JSON, '\n', 2, len);
		if (!is_json_line(captured.text))
			fail_msg("%zu: %s", len, captured.text);
		log_many(LOG_JSON, 'x', 7, len);
		if (!is_json_line(captured.text))
			fail_msg("%zu: %s", len, captured.text);
		log_many(LOG_TEXT, '"', 4, len);
		if (!is_text_line(captured.text))
			fail_msg("%zu: %s", len, captured.text);
	}
}

/* A reader who does not read */

static void fill_pipe(void)
{
	static const char filler[4096];
	int flags = fcntl(captured.ends[1], F_GETFL);

	assert_int_equal(fcntl(captured.ends[1], F_SETFL, flags | O_NONBLOCK),
			 0);
	while (write(captured.ends[1], filler, sizeof(filler)) > 0)
		;
	assert_int_equal(fcntl(captured.ends[1], F_SETFL, flags), 0);
}

/* Loses `count` lines, then writes two more. */
static void lose_lines(int count)
{
	int i;

	log_setup(LOG_INFO, LOG_TEXT);
	begin_capture();
	fill_pipe();
	alarm(10); /* a line that waits ends the test */
	for (i = 0; i < count; i++)
		log_info("lost");
	alarm(0);
	read_pipe();
	log_info("back");
	log_info("again");
	end_capture();
}

static void test_full_pipe_drops_and_counts(void **state)
{
	int count;

	(void)state;
	for (count = 1; count < 5; count++) {
		char expected[60];

		lose_lines(count);
		snprintf(expected, sizeof(expected),
			 "msg=\"back\" lines_dropped=%d\n", count);
		assert_non_null(strstr(captured.text, expected));
		assert_non_null(strstr(captured.text, "msg=\"again\"\n"));
		assert_null(strstr(captured.text, "lost"));
	}
}

/* The limiter */

static void test_limit(void **state)
{
	static const struct {
		int64_t now_ms;
		bool passes;
		uint64_t held;
	} steps[] = {
		{1000, true, 0},  {1000, false, 0}, {1001, false, 0},
		{5999, false, 0}, {6000, true, 3},  {10999, false, 0},
		{20000, true, 1}, {25000, true, 0}, {29999, false, 0},
		{30000, true, 1}, {99999, true, 0},
	};
	struct log_limit limit = {0};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(steps); i++) {
		uint64_t held = 77;
		bool passes =
			log_limit_pass(&limit, steps[i].now_ms, 5000, &held);

		if (passes != steps[i].passes ||
		    (passes && held != steps[i].held))
			fail_msg("step %zu: %d, %d", i, passes, (int)held);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_time_comes_first),
		cmocka_unit_test(test_time_is_now),
		cmocka_unit_test(test_values_are_escaped),
		cmocka_unit_test(test_numbers_and_left_out),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_macros),
		cmocka_unit_test(test_long_value_is_cut),
		cmocka_unit_test(test_full_lines_stay_valid),
		cmocka_unit_test(test_every_end_of_a_line),
		cmocka_unit_test(test_full_pipe_drops_and_counts),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
