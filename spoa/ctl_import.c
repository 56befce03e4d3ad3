/* SPDX-License-Identifier: MIT */
/*
 * ctl_import: compares the source with the hash and writes what differs.
 */
#include "ctl_import.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ctl_report.h"
#include "ctl_source.h"
#include "json.h"

enum { NAMES_MAX = 1000 }; /* changes that are named one by one */

struct import {
	struct ctl *ctl;
	struct ctl_pairs before; /* what the hash holds */
	struct ctl_pairs after;	 /* what the source says */
	size_t added, changed, removed, left_out;
	size_t written;
	struct ctl_redis_change chunk[CTL_REDIS_CHUNK];
	size_t chunk_count;
};

/* The next thing to be done; without --replace nothing is removed. */
static bool next_change(struct import *import, struct ctl_pairs_walk *walk,
			struct ctl_pairs_change *change)
{
	while (ctl_pairs_next_change(&import->before, &import->after, walk,
				     change))
		if (change->is || import->ctl->options.replace)
			return true;
	return false;
}

static void count_changes(struct import *import)
{
	struct ctl_pairs_walk walk = {0};
	struct ctl_pairs_change change;

	while (next_change(import, &walk, &change)) {
		import->added += !change.was;
		import->removed += !change.is;
		import->changed += change.was && change.is;
	}
}

static size_t total(const struct import *import)
{
	return import->added + import->changed + import->removed;
}

static enum ctl_status load(struct import *import)
{
	enum ctl_status status =
		ctl_source_read(import->ctl, &import->after, &import->left_out);

	if (status == CTL_DONE)
		status = ctl_load(import->ctl, NULL, &import->before);
	if (status == CTL_DONE)
		count_changes(import);
	return status;
}

/* The names of the chunk's fields, or `*` at the end of what has too many for
 * that; the agents hear of every write anyhow, if not by name. To be freed. */
static char *name_chunk(const struct import *import, bool is_last, size_t *len)
{
	/* An agent may take an empty hash for an accident: `*` says no. */
	bool by_name = total(import) <= NAMES_MAX && import->after.count > 0;
	char *text = NULL;
	FILE *out = open_memstream(&text, len);
	size_t i;

	if (!out)
		return NULL;
	for (i = 0; by_name && i < import->chunk_count; i++)
		fprintf(out, "%s%.*s", i > 0 ? " " : "",
			(int)import->chunk[i].field.len,
			import->chunk[i].field.p);
	if (!by_name && is_last)
		fputc('*', out);
	return fclose(out) == 0 ? text : NULL;
}

static void show_progress(const struct import *import)
{
	const struct ctl_options *options = &import->ctl->options;
	bool is_terminal = isatty(STDERR_FILENO) && !options->quiet;

	if (!options->progress && !is_terminal)
		return;
	fprintf(stderr, "%s%zu of %zu%s", is_terminal ? "\r" : "",
		import->written, total(import),
		is_terminal && import->written < total(import) ? "" : "\n");
}

static enum ctl_status write_chunk(struct import *import, bool is_last)
{
	int64_t heard, gone;
	size_t len = 0;
	char *names = name_chunk(import, is_last, &len);
	bool good;

	if (!names)
		return ctl_complain(CTL_REFUSED, "out of memory");
	good = ctl_redis_write(&import->ctl->redis, import->chunk,
			       import->chunk_count, (struct span){names, len},
			       &heard, &gone);
	free(names);
	if (!good) {
		ctl_complain(CTL_AWAY, "stopped after %zu of %zu changes",
			     import->written, total(import));
		return ctl_complain_redis(import->ctl);
	}
	import->written += import->chunk_count;
	import->chunk_count = 0;
	show_progress(import);
	return CTL_DONE;
}

/* What is set goes out first, what is removed last: a host that moves to a
 * wildcard is never without a route. */
static enum ctl_status write_changes(struct import *import, bool removals)
{
	enum ctl_status status = CTL_DONE;
	struct ctl_pairs_walk walk = {0};
	struct ctl_pairs_change change;

	while (status == CTL_DONE && next_change(import, &walk, &change)) {
		struct ctl_redis_change *next =
			&import->chunk[import->chunk_count];

		if (removals != !change.is)
			continue;
		next->field = change.field;
		next->value = change.is ? change.is->value : (struct span){0};
		import->chunk_count++;
		if (import->chunk_count == CTL_REDIS_CHUNK)
			status = write_chunk(
				import, import->written + CTL_REDIS_CHUNK ==
						total(import));
	}
	return status;
}

/* Whoever is there to be asked is asked; a script must say --yes. */
static bool may_empty(const struct import *import)
{
	int answer;

	if (import->ctl->options.yes)
		return true;
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
		ctl_complain(CTL_REFUSED,
			     "this removes all %zu routes: needs "
			     "--yes",
			     import->removed);
		return false;
	}
	fprintf(stderr, "This removes all %zu routes. Go on? [y/N] ",
		import->removed);
	answer = getchar();
	return answer == 'y' || answer == 'Y';
}

static void print_summary(const struct import *import)
{
	struct json json = {.out = stdout};
	size_t unchanged =
		import->after.count - import->added - import->changed;

	if (import->ctl->options.json) {
		json_open(&json, NULL, '{');
		json_number(&json, "added", (int64_t)import->added);
		json_number(&json, "changed", (int64_t)import->changed);
		json_number(&json, "removed", (int64_t)import->removed);
		json_number(&json, "unchanged", (int64_t)unchanged);
		json_number(&json, "left_out", (int64_t)import->left_out);
		json_close(&json, '}');
		putchar('\n');
		return;
	}
	printf("%zu added, %zu changed, %zu removed, %zu unchanged",
	       import->added, import->changed, import->removed, unchanged);
	if (import->left_out > 0)
		printf(", %zu left out", import->left_out);
	printf("\n");
}

static enum ctl_status write_all(struct import *import)
{
	enum ctl_status status;

	if (import->after.count == 0 && import->removed > 0 &&
	    !may_empty(import))
		return CTL_REFUSED;
	status = write_changes(import, false);
	if (status == CTL_DONE)
		status = write_changes(import, true);
	if (status == CTL_DONE && import->chunk_count > 0)
		status = write_chunk(import, true);
	if (status == CTL_DONE)
		print_summary(import);
	return status == CTL_DONE && import->left_out > 0 ? CTL_REFUSED
							  : status;
}

static enum ctl_status print_diff(struct import *import)
{
	static const char *const columns[] = {"change", "field", "was", "is"};
	struct ctl_report *report = ctl_report_new(
		stdout, import->ctl->options.json, columns, ARRAY_LEN(columns));
	struct ctl_pairs_walk walk = {0};
	struct ctl_pairs_change change;

	while (report && next_change(import, &walk, &change)) {
		struct ctl_cell cells[4] = {{.kind = CTL_NOTHING}};

		cells[0] = ctl_text("change");
		if (!change.was)
			cells[0] = ctl_text("add");
		if (!change.is)
			cells[0] = ctl_text("remove");
		cells[1] = ctl_span(change.field);
		if (change.was)
			cells[2] = ctl_span(change.was->value);
		if (change.is)
			cells[3] = ctl_span(change.is->value);
		ctl_report_row(report, cells);
	}
	if (!report || !ctl_report_end(report))
		return ctl_complain(CTL_REFUSED,
				    "the output cannot be written");
	return total(import) + import->left_out > 0 ? CTL_REFUSED : CTL_DONE;
}

static enum ctl_status run(struct ctl *ctl,
			   enum ctl_status (*act)(struct import *import))
{
	struct import *import = calloc(1, sizeof(*import));
	enum ctl_status status;

	if (!import)
		return ctl_complain(CTL_REFUSED, "out of memory");
	import->ctl = ctl;
	status = load(import);
	if (status == CTL_DONE)
		status = act(import);
	ctl_pairs_fini(&import->before);
	ctl_pairs_fini(&import->after);
	free(import);
	return status;
}

enum ctl_status ctl_import(struct ctl *ctl)
{
	return run(ctl, write_all);
}

enum ctl_status ctl_import_diff(struct ctl *ctl)
{
	return run(ctl, print_diff);
}
