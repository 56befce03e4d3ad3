/* SPDX-License-Identifier: MIT */
/*
 * log: one line per event on stderr, as logfmt or as JSON.
 *
 * A line is a level, a message that stays the same for the same event, and
 * fields. Values may come from strangers: what a terminal or a parser could
 * obey is escaped. A reader that is too slow never stops the caller: lines
 * that find no room are dropped and counted.
 */
#ifndef SPOA_LOG_H
#define SPOA_LOG_H

#include "base.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

struct log_field {
	const char *key; /* a literal */
	bool is_number;
	struct span text;
	int64_t number;
};

static inline struct log_field log_span(const char *key, struct span text)
{
	return (struct log_field){.key = key, .text = text};
}

static inline struct log_field log_text(const char *key, const char *text)
{
	return log_span(key, span_of(text));
}

static inline struct log_field log_number(const char *key, int64_t number)
{
	return (struct log_field){
		.key = key, .is_number = true, .number = number};
}

/* Holds back events of one kind: at most one a period. */
struct log_limit {
	int64_t next_ms; /* when one may pass again */
	uint64_t held;	 /* since the last that passed */
};

/* May an event pass at `now_ms`? Then `*held` says how many did not since the
 * last that did. */
bool log_limit_pass(struct log_limit *limit, int64_t now_ms, int64_t period_ms,
		    uint64_t *held) MUST_CHECK;

void log_setup(enum log_level level, enum log_format format);

/* Writes one line. `fields` has `count` elements; one without a key is left
 * out. */
void log_write(enum log_level level, const char *message,
	       const struct log_field *fields, size_t count);

/* log_warn("redis lost", log_text("server", name), log_number("tries", 3)); */
#define LOG_LINE(level, message, ...)                                          \
	log_write(level, message,                                              \
		  (const struct log_field[]){{0}, ##__VA_ARGS__},              \
		  ARRAY_LEN(((const struct log_field[]){{0}, ##__VA_ARGS__})))
#define log_debug(...) LOG_LINE(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) LOG_LINE(LOG_INFO, __VA_ARGS__)
#define log_warn(...) LOG_LINE(LOG_WARN, __VA_ARGS__)
#define log_error(...) LOG_LINE(LOG_ERROR, __VA_ARGS__)

#endif
