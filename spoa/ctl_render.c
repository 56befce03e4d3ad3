/* SPDX-License-Identifier: MIT */
/*
 * ctl_render: jansson reads, ctl_report writes.
 */
#include "ctl_render.h"

#include <stdlib.h>

#include "ctl_report.h"

/* A value as a cell. `*text` is what it needs, to be freed. */
static struct ctl_cell make_cell(const json_t *value, char **text)
{
	*text = NULL;
	if (!value || json_is_null(value))
		return (struct ctl_cell){.kind = CTL_NOTHING};
	if (json_is_integer(value))
		return ctl_number(json_integer_value(value));
	if (json_is_boolean(value))
		return ctl_text(json_is_true(value) ? "yes" : "no");
	if (json_is_string(value))
		return ctl_span((struct span){json_string_value(value),
					      json_string_length(value)});
	*text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
	return ctl_text(*text ? *text : "");
}

static void add_row(struct ctl_report *report, const json_t *object,
		    const char *const *columns, size_t count)
{
	struct ctl_cell cells[CTL_REPORT_COLUMNS];
	char *texts[CTL_REPORT_COLUMNS];
	size_t i;

	for (i = 0; i < count; i++)
		cells[i] = make_cell(json_object_get(object, columns[i]),
				     &texts[i]);
	ctl_report_row(report, cells);
	for (i = 0; i < count; i++)
		free(texts[i]);
}

/* The columns are the names that any of the objects has. */
static size_t list_columns(const json_t *list,
			   const char *columns[CTL_REPORT_COLUMNS])
{
	size_t count = 0;
	size_t i, j;

	for (i = 0; i < json_array_size(list); i++) {
		json_t *object = json_array_get(list, i);
		void *at = json_object_iter(object);

		for (; at; at = json_object_iter_next(object, at)) {
			const char *name = json_object_iter_key(at);

			for (j = 0; j < count; j++)
				if (!strcmp(columns[j], name))
					break;
			if (j == count && count < CTL_REPORT_COLUMNS)
				columns[count++] = name;
		}
	}
	return count;
}

static bool write_list(FILE *out, const json_t *list)
{
	const char *columns[CTL_REPORT_COLUMNS];
	size_t count = list_columns(list, columns);
	struct ctl_report *report;
	size_t i;

	if (count == 0)
		return true;
	report = ctl_report_new(out, false, columns, count);
	for (i = 0; report && i < json_array_size(list); i++)
		add_row(report, json_array_get(list, i), columns, count);
	return report && ctl_report_end(report);
}

static bool is_table(const json_t *value)
{
	return json_is_array(value) && json_is_object(json_array_get(value, 0));
}

static bool write_object(FILE *out, json_t *object)
{
	static const char *const columns[] = {"name", "value"};
	struct ctl_report *report =
		ctl_report_new(out, false, columns, ARRAY_LEN(columns));
	void *at = json_object_iter(object);
	bool good = report != NULL;

	for (; report && at; at = json_object_iter_next(object, at)) {
		const json_t *value = json_object_iter_value(at);
		struct ctl_cell cells[2] = {ctl_text(json_object_iter_key(at))};
		char *text;

		if (is_table(value))
			continue;
		cells[1] = make_cell(value, &text);
		ctl_report_row(report, cells);
		free(text);
	}
	good = good && ctl_report_end(report);
	at = json_object_iter(object);
	for (; good && at; at = json_object_iter_next(object, at)) {
		if (!is_table(json_object_iter_value(at)))
			continue;
		fputc('\n', out);
		good = write_list(out, json_object_iter_value(at));
	}
	return good;
}

bool ctl_render(FILE *out, json_t *value)
{
	struct ctl_cell cell;
	char *text;

	if (json_is_object(value))
		return write_object(out, value);
	if (is_table(value))
		return write_list(out, value);
	cell = make_cell(value, &text);
	ctl_report_escape(out, cell.text);
	fputc('\n', out);
	free(text);
	return fflush(out) == 0;
}
