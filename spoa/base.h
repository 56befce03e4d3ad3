/* SPDX-License-Identifier: MIT */
/*
 * base: the few words that every room uses.
 *
 * A span is how text travels here: borrowed bytes with a length, not ended by
 * NUL, never freed through the span. Who lends it says how long it lives.
 */
#ifndef SPOA_BASE_H
#define SPOA_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The result says what happened: the caller must look at it. */
#define MUST_CHECK __attribute__((warn_unused_result))

/* Stays out of its caller, whose common path would pay for it. */
#define APART __attribute__((noinline))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Borrowed bytes. `p` may be NULL when `len` is 0. */
struct span {
	const char *p;
	size_t len;
};

/* A span over the bytes of a C string, without its NUL. */
static inline struct span span_of(const char *text)
{
	return (struct span){.p = text, .len = strlen(text)};
}

/* Same length and same bytes. */
static inline bool span_equal(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || !memcmp(a.p, b.p, a.len));
}

/* Below 0 when `a` comes first by its bytes, 0 when they are equal. */
static inline int span_compare(struct span a, struct span b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len > 0 ? memcmp(a.p, b.p, len) : 0;

	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* Same bytes as the C string `text`. */
static inline bool span_is(struct span a, const char *text)
{
	return span_equal(a, span_of(text));
}

/* Does it begin with the C string `text`? */
static inline bool span_starts(struct span a, const char *text)
{
	size_t len = strlen(text);

	return a.len >= len && (len == 0 || !memcmp(a.p, text, len));
}

/* Without the blanks at both its ends. */
static inline struct span span_trim(struct span a)
{
	for (; a.len > 0 && a.p[0] == ' '; a.p++)
		a.len--;
	while (a.len > 0 && a.p[a.len - 1] == ' ')
		a.len--;
	return a;
}

/* The next number after `*state`, which is never 0 (xorshift: Marsaglia, 2003).
 * For what must spread, not for what nobody may guess. */
static inline uint64_t draw_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*state = x;
	return x;
}

#endif
