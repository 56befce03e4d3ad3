/* SPDX-License-Identifier: MIT */
/*
 * due: a binary heap in an array, and where in it each number is.
 */
#include "due.h"

#include <stdlib.h>

bool due_init(struct due *due, uint32_t max)
{
	size_t count = (size_t)max + 2;

	*due = (struct due){.entries = calloc(count, sizeof(struct due_entry)),
			    .heap = calloc(count, sizeof(uint32_t))};
	if (due->entries && due->heap)
		return true;
	due_fini(due);
	return false;
}

void due_fini(struct due *due)
{
	free(due->entries);
	free(due->heap);
	*due = (struct due){0};
}

static bool is_earlier(const struct due *due, uint32_t a, uint32_t b)
{
	return due->entries[a].at_ms < due->entries[b].at_ms;
}

static void place(struct due *due, uint32_t at, uint32_t number)
{
	due->heap[at] = number;
	due->entries[number].place = at;
}

/* Moves what stands at `at` to where it belongs. */
static void sift(struct due *due, uint32_t at)
{
	uint32_t number = due->heap[at];
	uint32_t child;

	while (at > 1 && is_earlier(due, number, due->heap[at / 2])) {
		place(due, at, due->heap[at / 2]);
		at /= 2;
	}
	while ((child = at * 2) <= due->count) {
		if (child < due->count &&
		    is_earlier(due, due->heap[child + 1], due->heap[child]))
			child++;
		if (!is_earlier(due, due->heap[child], number))
			break;
		place(due, at, due->heap[child]);
		at = child;
	}
	place(due, at, number);
}

void due_set(struct due *due, uint32_t number, int64_t at_ms)
{
	due->entries[number].at_ms = at_ms;
	if (!due_has(due, number))
		place(due, ++due->count, number);
	sift(due, due->entries[number].place);
}

void due_drop(struct due *due, uint32_t number)
{
	uint32_t at = due->entries[number].place;
	uint32_t last;

	if (at == 0)
		return;
	due->entries[number].place = 0;
	last = due->heap[due->count--];
	if (last == number)
		return;
	place(due, at, last);
	sift(due, at);
}

bool due_has(const struct due *due, uint32_t number)
{
	return due->entries[number].place > 0;
}

int64_t due_at(const struct due *due, uint32_t number)
{
	return due->entries[number].at_ms;
}

bool due_first(const struct due *due, uint32_t *number)
{
	if (due->count == 0)
		return false;
	*number = due->heap[1];
	return true;
}
