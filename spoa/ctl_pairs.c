/* SPDX-License-Identifier: MIT */
/*
 * ctl_pairs: an array of pointers, one allocation a pair.
 */
#include "ctl_pairs.h"

#include <stdlib.h>

enum { FIRST_ROOM = 64 };

void ctl_pairs_fini(struct ctl_pairs *pairs)
{
	size_t i;

	for (i = 0; i < pairs->count; i++)
		free(pairs->list[i]);
	free(pairs->list);
	*pairs = (struct ctl_pairs){0};
}

static bool make_room(struct ctl_pairs *pairs)
{
	size_t room = pairs->room ? 2 * pairs->room : FIRST_ROOM;
	struct ctl_pair **list;

	if (pairs->count < pairs->room)
		return true;
	list = realloc(pairs->list, room * sizeof(struct ctl_pair *));
	if (!list)
		return false;
	pairs->list = list;
	pairs->room = room;
	return true;
}

static struct span copy_span(char *to, struct span from)
{
	if (from.len > 0)
		memcpy(to, from.p, from.len);
	return (struct span){to, from.len};
}

bool ctl_pairs_add(struct ctl_pairs *pairs, struct span field,
		   struct span value, unsigned int line)
{
	struct ctl_pair *pair;

	if (!make_room(pairs))
		return false;
	pair = malloc(sizeof(*pair) + field.len + value.len);
	if (!pair)
		return false;
	pair->field = copy_span(pair->text, field);
	pair->value = copy_span(pair->text + field.len, value);
	pair->line = line;
	pairs->list[pairs->count++] = pair;
	return true;
}

static int compare_pairs(const void *one, const void *other)
{
	const struct ctl_pair *a = *(struct ctl_pair *const *)one;
	const struct ctl_pair *b = *(struct ctl_pair *const *)other;
	int order = span_compare(a->field, b->field);

	return order != 0 ? order : (a->line > b->line) - (a->line < b->line);
}

void ctl_pairs_sort(struct ctl_pairs *pairs)
{
	if (pairs->count > 0)
		qsort(pairs->list, pairs->count, sizeof(struct ctl_pair *),
		      compare_pairs);
}

size_t ctl_pairs_unite(struct ctl_pairs *pairs)
{
	size_t kept = 0;
	size_t i;
	size_t gone;

	for (i = 0; i < pairs->count; i++) {
		struct ctl_pair *pair = pairs->list[i];

		if (i + 1 < pairs->count &&
		    span_equal(pair->field, pairs->list[i + 1]->field))
			free(pair);
		else
			pairs->list[kept++] = pair;
	}
	gone = pairs->count - kept;
	pairs->count = kept;
	return gone;
}

static const struct ctl_pair *peek(const struct ctl_pairs *pairs, size_t at)
{
	return at < pairs->count ? pairs->list[at] : NULL;
}

bool ctl_pairs_next_change(const struct ctl_pairs *before,
			   const struct ctl_pairs *after,
			   struct ctl_pairs_walk *walk,
			   struct ctl_pairs_change *change)
{
	while (walk->before < before->count || walk->after < after->count) {
		const struct ctl_pair *was = peek(before, walk->before);
		const struct ctl_pair *is = peek(after, walk->after);
		int order = 0;

		if (was && is)
			order = span_compare(was->field, is->field);
		if (order < 0)
			is = NULL;
		if (order > 0)
			was = NULL;
		walk->before += was != NULL;
		walk->after += is != NULL;
		if (is)
			change->field = is->field;
		else if (was)
			change->field = was->field;
		change->was = was;
		change->is = is;
		if (!was || !is || !span_equal(was->value, is->value))
			return true;
	}
	return false;
}
