/* SPDX-License-Identifier: MIT */
/*
 * ctl_report: columns are as wide as their widest cell, so rows are kept until
 * the end; as JSON they go out at once, one a line.
 */
#include "ctl_report.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>

#include "json.h"

enum { WIDTH_MAX = 64, GAP = 2 };

struct ctl_report {
	FILE *out; /* the caller's */
	bool is_json;
	bool failed; /* out of memory */
	const char *const *columns;
	size_t column_count;
	size_t widths[CTL_REPORT_COLUMNS];
	char **cells; /* owned, escaped, row after row */
	size_t count;
	size_t room;
};

void ctl_report_escape(FILE *out, struct span text)
{
	size_t i;

	for (i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c == '\\')
			fputs("\\\\", out);
		else if (c >= ' ' && c <= '~')
			fputc(c, out);
		else
			fprintf(out, "\\x%02x", c);
	}
}

struct ctl_report *ctl_report_new(FILE *out, bool json,
				  const char *const *columns, size_t count)
{
	struct ctl_report *report = calloc(1, sizeof(*report));
	size_t i;

	if (!report)
		return NULL;
	report->out = out;
	report->is_json = json;
	report->columns = columns;
	report->column_count = count;
	for (i = 0; i < count; i++)
		report->widths[i] = strlen(columns[i]);
	if (json)
		fputc('[', out);
	return report;
}

/* The cell as people read it; to be freed. NULL without memory. */
static char *write_cell(const struct ctl_cell *cell, size_t *len)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, len);

	if (!out)
		return NULL;
	if (cell->kind == CTL_TEXT)
		ctl_report_escape(out, cell->text);
	else if (cell->kind == CTL_NUMBER)
		fprintf(out, "%" PRId64, cell->number);
	else
		fputc('-', out);
	return fclose(out) == 0 ? text : NULL;
}

static bool make_room(struct ctl_report *report)
{
	size_t room = report->room ? 2 * report->room : 64;
	char **cells;

	if (report->count < report->room)
		return true;
	cells = realloc(report->cells, room * sizeof(char *));
	if (!cells)
		return false;
	report->cells = cells;
	report->room = room;
	return true;
}

static void add_cell(struct ctl_report *report, const struct ctl_cell *cell,
		     size_t *width)
{
	size_t len = 0;
	char *text = make_room(report) ? write_cell(cell, &len) : NULL;

	if (!text) {
		report->failed = true;
		return;
	}
	report->cells[report->count++] = text;
	if (len > *width)
		*width = len < WIDTH_MAX ? len : WIDTH_MAX;
}

static void write_object(struct ctl_report *report,
			 const struct ctl_cell *cells)
{
	struct json json = {.out = report->out};
	size_t i;

	fputs(report->count++ > 0 ? ",\n" : "\n", report->out);
	json_open(&json, NULL, '{');
	for (i = 0; i < report->column_count; i++) {
		const char *key = report->columns[i];

		if (cells[i].kind == CTL_TEXT)
			json_text(&json, key, cells[i].text);
		else if (cells[i].kind == CTL_NUMBER)
			json_number(&json, key, cells[i].number);
		else
			json_null(&json, key);
	}
	json_close(&json, '}');
}

void ctl_report_row(struct ctl_report *report, const struct ctl_cell *cells)
{
	size_t i;

	if (report->is_json) {
		write_object(report, cells);
		return;
	}
	for (i = 0; i < report->column_count && !report->failed; i++)
		add_cell(report, &cells[i], &report->widths[i]);
}

/* A cell and the blanks up to the next; the last of a row has none. */
static void write_padded(struct ctl_report *report, size_t column,
			 const char *text)
{
	size_t len = strlen(text);
	size_t width = report->widths[column];

	fputs(text, report->out);
	if (column + 1 == report->column_count)
		fputc('\n', report->out);
	else
		fprintf(report->out, "%*s",
			(int)(GAP + (len < width ? width - len : 0)), "");
}

static void write_head(struct ctl_report *report)
{
	char name[32];
	size_t i, j;

	for (i = 0; i < report->column_count; i++) {
		snprintf(name, sizeof(name), "%s", report->columns[i]);
		for (j = 0; name[j] != '\0'; j++)
			name[j] = (char)toupper((unsigned char)name[j]);
		write_padded(report, i, name);
	}
}

bool ctl_report_end(struct ctl_report *report)
{
	bool good = !report->failed;
	size_t i;

	if (report->is_json) {
		fputs(report->count > 0 ? "\n]\n" : "]\n", report->out);
	} else {
		if (report->count > 0)
			write_head(report);
		for (i = 0; i < report->count; i++) {
			write_padded(report, i % report->column_count,
				     report->cells[i]);
			free(report->cells[i]);
		}
	}
	good = fflush(report->out) == 0 && !ferror(report->out) && good;
	free(report->cells);
	free(report);
	return good;
}
