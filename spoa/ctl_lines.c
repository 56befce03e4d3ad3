/* SPDX-License-Identifier: MIT */
/*
 * ctl_lines: no state, one line at a time.
 */
#include "ctl_lines.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct span cut_end(struct span line)
{
	if (line.len > 0 && line.p[line.len - 1] == '\n')
		line.len--;
	if (line.len > 0 && line.p[line.len - 1] == '\r')
		line.len--;
	return line;
}

static struct span skip_blanks(struct span text)
{
	while (text.len > 0 && is_blank(*text.p)) {
		text.p++;
		text.len--;
	}
	return text;
}

enum ctl_line ctl_lines_read(struct span line, struct span *field,
			     struct span *value)
{
	struct span rest = skip_blanks(cut_end(line));

	if (rest.len == 0 || *rest.p == '#')
		return CTL_LINE_BLANK;
	*field = (struct span){.p = rest.p};
	while (field->len < rest.len && !is_blank(rest.p[field->len]))
		field->len++;
	rest.p += field->len;
	rest.len -= field->len;
	if (rest.len > 0 && *rest.p == '\t') {
		*value = (struct span){rest.p + 1, rest.len - 1};
		rest = skip_blanks(rest);
		/* More TABs align columns: no route holds one. */
		while (value->len > 0 && *value->p == '\t') {
			value->p++;
			value->len--;
		}
	} else {
		rest = skip_blanks(rest);
		while (rest.len > 0 && is_blank(rest.p[rest.len - 1]))
			rest.len--;
		*value = rest;
	}
	return rest.len > 0 ? CTL_LINE_PAIR : CTL_LINE_NO_ROUTE;
}

static bool is_printable(struct span text)
{
	size_t i;

	for (i = 0; i < text.len; i++)
		if (text.p[i] < ' ' || text.p[i] > '~')
			return false;
	return true;
}

bool ctl_lines_can_hold(struct span field, struct span value)
{
	return field.len > 0 && *field.p != '#' &&
	       !memchr(field.p, ' ', field.len) && skip_blanks(value).len > 0 &&
	       is_printable(field) && is_printable(value);
}
