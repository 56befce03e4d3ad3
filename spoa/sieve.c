/* SPDX-License-Identifier: MIT */
/*
 * sieve: a small automaton over RESP2 that knows where bulk strings begin and
 * end, and nothing else.
 */
#include "sieve.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { LINE_END = 2 /* CR LF */ };

void sieve_init(struct sieve *sieve, size_t limit)
{
	*sieve = (struct sieve){.limit = limit};
}

static struct span cut(struct span *in, size_t len)
{
	struct span front = {in->p, len};

	in->p += len;
	in->len -= len;
	return front;
}

/* The bytes up to and with the next line end, or all there are. */
static size_t line_part(struct span in, bool *is_whole)
{
	const char *end = memchr(in.p, '\n', in.len);

	*is_whole = end != NULL;
	return end ? (size_t)(end - in.p) + 1 : in.len;
}

/* The number in `$123\r\n`; false when it is none. */
static bool read_head(const struct sieve *sieve, int64_t *number)
{
	char digits[SIEVE_HEAD_MAX];
	size_t len = sieve->head_len - 1 - LINE_END;
	char *end;

	if (sieve->head_len < 2 + LINE_END ||
	    sieve->head[sieve->head_len - LINE_END] != '\r')
		return false;
	memcpy(digits, sieve->head + 1, len);
	digits[len] = '\0';
	if (digits[0] != '-' && (digits[0] < '0' || digits[0] > '9'))
		return false;
	*number = strtoll(digits, &end, 10);
	return end == digits + len && *number >= -1 &&
	       *number < INT64_MAX - LINE_END;
}

/* An element has come to its end, and with the last one of an array that. */
static void end_element(struct sieve *sieve)
{
	while (sieve->depth > 0 && --sieve->open[sieve->depth - 1] == 0)
		sieve->depth--;
}

static bool open_array(struct sieve *sieve, int64_t elements)
{
	if (elements > (int64_t)(SIEVE_ARRAY_MAX - sieve->elements) ||
	    sieve->depth == SIEVE_DEPTH_MAX)
		return false;
	if (elements > 0) {
		sieve->elements += (uint32_t)elements;
		sieve->open[sieve->depth++] = (uint32_t)elements;
	} else {
		end_element(sieve);
	}
	return true;
}

/* A whole `$` or `*` line is in `head`: decides what follows it. */
static bool judge_head(struct sieve *sieve)
{
	int64_t number;

	if (!read_head(sieve, &number))
		return false;
	sieve->state = SIEVE_START;
	if (sieve->head[0] == '*')
		return open_array(sieve, number);
	if (number < 0) {
		end_element(sieve);
		return true;
	}
	sieve->left = (uint64_t)number + LINE_END;
	sieve->state = SIEVE_BULK;
	if ((uint64_t)number <= sieve->limit &&
	    (uint64_t)number <= SIEVE_REPLY_MAX - sieve->passed) {
		sieve->passed += (uint64_t)number;
		return true;
	}
	sieve->state = SIEVE_DROP;
	sieve->head_len = (size_t)snprintf(
		sieve->head, sizeof(sieve->head),
		"-" SIEVE_TOO_LARGE " %" PRId64 "\r\n", number);
	return true;
}

/* Collects a `$` or `*` line, which must not reach the parser in pieces, for
 * it may come out as another. */
static enum sieve_result take_head(struct sieve *sieve, struct span *in,
				   struct span *piece)
{
	bool is_whole;
	struct span part = cut(in, line_part(*in, &is_whole));

	if (part.len > sizeof(sieve->head) - sieve->head_len)
		return SIEVE_BROKEN;
	memcpy(sieve->head + sieve->head_len, part.p, part.len);
	sieve->head_len += part.len;
	if (!is_whole)
		return SIEVE_EMPTY;
	if (!judge_head(sieve))
		return SIEVE_BROKEN;
	*piece = (struct span){sieve->head, sieve->head_len};
	return SIEVE_PIECE;
}

static enum sieve_result take_line(struct sieve *sieve, struct span *in,
				   struct span *piece)
{
	bool is_whole;

	*piece = cut(in, line_part(*in, &is_whole));
	sieve->line_len += piece->len;
	if (sieve->line_len > SIEVE_LINE_MAX)
		return SIEVE_BROKEN;
	if (is_whole) {
		sieve->state = SIEVE_START;
		end_element(sieve);
	}
	return SIEVE_PIECE;
}

static struct span take_bulk(struct sieve *sieve, struct span *in)
{
	struct span part =
		cut(in, in->len < sieve->left ? in->len : (size_t)sieve->left);

	sieve->left -= part.len;
	if (sieve->left == 0) {
		sieve->state = SIEVE_START;
		end_element(sieve);
	}
	return part;
}

enum sieve_result sieve_next(struct sieve *sieve, struct span *in,
			     struct span *piece)
{
	while (in->len > 0) {
		switch (sieve->state) {
		case SIEVE_START:
			sieve->head_len = 0;
			sieve->line_len = 0;
			if (sieve->depth == 0)
				sieve->passed = sieve->elements = 0;
			sieve->state = *in->p == '$' || *in->p == '*'
					       ? SIEVE_HEAD
					       : SIEVE_LINE;
			break;
		case SIEVE_HEAD: {
			enum sieve_result result = take_head(sieve, in, piece);

			if (result != SIEVE_EMPTY)
				return result;
			break;
		}
		case SIEVE_LINE:
			return take_line(sieve, in, piece);
		case SIEVE_BULK:
			*piece = take_bulk(sieve, in);
			return SIEVE_PIECE;
		case SIEVE_DROP:
			take_bulk(sieve, in);
			break;
		}
	}
	return SIEVE_EMPTY;
}
