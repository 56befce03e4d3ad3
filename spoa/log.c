/* SPDX-License-Identifier: MIT */
/*
 * log: builds a line in a buffer on the stack and writes it to stderr at once,
 * or drops it when stderr would block.
 */
#include "log.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum {
	LINE_MAX_BYTES = 4000, /* below PIPE_BUF: lines of a pipe stay whole */
	VALUE_MAX = 600	       /* bytes of a value, the rest is cut */
};

static struct {
	enum log_level level;
	enum log_format format;
	uint64_t dropped; /* lines that found no room */
} log_state = {.level = LOG_INFO};

static const char *const level_names[] = {"debug", "info", "warning", "error"};

struct line {
	char text[LINE_MAX_BYTES];
	size_t len;
	bool is_full; /* something found no room */
};

void log_setup(enum log_level level, enum log_format format)
{
	log_state.level = level;
	log_state.format = format;
}

bool log_limit_pass(struct log_limit *limit, int64_t now_ms, int64_t period_ms,
		    uint64_t *held)
{
	if (now_ms < limit->next_ms) {
		limit->held++;
		return false;
	}
	*held = limit->held;
	limit->held = 0;
	limit->next_ms = now_ms + period_ms;
	return true;
}

/* Room for the line's end is always kept. */
static void put(struct line *line, const char *text, size_t len)
{
	if (len > sizeof(line->text) - 2 - line->len) {
		line->is_full = true;
		return;
	}
	memcpy(line->text + line->len, text, len);
	line->len += len;
}

static void put_text(struct line *line, const char *text)
{
	put(line, text, strlen(text));
}

static void put_escaped(struct line *line, struct span value)
{
	bool is_json = log_state.format == LOG_JSON;
	char code[8];
	size_t i;

	for (i = 0; i < value.len && i < VALUE_MAX; i++) {
		unsigned char c = (unsigned char)value.p[i];

		if (c == '"' || c == '\\') {
			code[0] = '\\';
			code[1] = (char)c;
			put(line, code, 2);
		} else if (c >= ' ' && c <= '~') {
			put(line, &value.p[i], 1);
		} else {
			snprintf(code, sizeof(code),
				 is_json ? "\\u%04x" : "\\x%02x", c);
			put_text(line, code);
		}
	}
	if (value.len > VALUE_MAX)
		put_text(line, "...");
}

static void put_value(struct line *line, struct span value, bool quote)
{
	if (quote)
		put(line, "\"", 1);
	put_escaped(line, value);
	if (quote)
		put(line, "\"", 1);
}

/* logfmt quotes a value that is empty or has a blank, a quote or a `=`. */
static bool needs_quotes(struct span value)
{
	size_t i;

	if (log_state.format == LOG_JSON || value.len == 0)
		return true;
	for (i = 0; i < value.len; i++) {
		char c = value.p[i];

		if (c <= ' ' || c > '~' || c == '"' || c == '=' || c == '\\')
			return true;
	}
	return false;
}

static void put_key(struct line *line, const char *key)
{
	bool is_json = log_state.format == LOG_JSON;

	if (line->len > 1)
		put_text(line, is_json ? "," : " ");
	put_text(line, is_json ? "\"" : "");
	put_text(line, key);
	put_text(line, is_json ? "\":" : "=");
}

/* A field that finds no room is left out whole, so that the line can still be
 * parsed. */
static void put_field(struct line *line, const struct log_field *field)
{
	size_t before = line->len;
	char number[24];

	if (!field->key)
		return;
	put_key(line, field->key);
	if (field->is_number) {
		snprintf(number, sizeof(number), "%" PRId64, field->number);
		put_text(line, number);
	} else {
		put_value(line, field->text, needs_quotes(field->text));
	}
	if (line->is_full)
		line->len = before;
	line->is_full = false;
}

static void put_time(struct line *line)
{
	struct timespec now;
	struct tm utc;
	char day[24], text[40];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(text, sizeof(text), "%s.%03ldZ", day, now.tv_nsec / 1000000);
	put_field(line,
		  &(struct log_field){.key = "ts", .text = span_of(text)});
}

/* Writes the line if stderr takes it now. */
static bool flush(struct line *line)
{
	struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};

	if (log_state.format == LOG_JSON)
		line->text[line->len++] = '}';
	line->text[line->len++] = '\n';
	return poll(&room, 1, 0) == 1 && write(STDERR_FILENO, line->text,
					       line->len) == (ssize_t)line->len;
}

void log_write(enum log_level level, const char *message,
	       const struct log_field *fields, size_t count)
{
	struct line line = {.len = 0};
	uint64_t dropped = log_state.dropped;
	size_t i;

	if (level < log_state.level)
		return;
	if (log_state.format == LOG_JSON)
		put_text(&line, "{");
	put_time(&line);
	put_field(&line,
		  &(struct log_field){.key = "level",
				      .text = span_of(level_names[level])});
	put_key(&line, "msg");
	put_value(&line, span_of(message), true);
	for (i = 0; i < count; i++)
		put_field(&line, &fields[i]);
	if (dropped > 0)
		put_field(&line,
			  &(struct log_field){.key = "lines_dropped",
					      .is_number = true,
					      .number = (int64_t)dropped});
	log_state.dropped = flush(&line) ? 0 : dropped + 1;
}
