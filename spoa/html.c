/* SPDX-License-Identifier: MIT */
/*
 * html: every byte of a text passes put_byte.
 */
#include "html.h"

#include <inttypes.h>

static void put_byte(FILE *out, unsigned char c)
{
	if (c == '&')
		fputs("&amp;", out);
	else if (c == '<')
		fputs("&lt;", out);
	else if (c == '>')
		fputs("&gt;", out);
	else if (c == '"')
		fputs("&quot;", out);
	else if (c == '\'')
		fputs("&#39;", out);
	else if (c >= ' ' && c <= '~')
		fputc(c, out);
	else
		fprintf(out, "\\x%02x", c);
}

void html_text(FILE *out, struct span text)
{
	size_t i;

	for (i = 0; i < text.len; i++)
		put_byte(out, (unsigned char)text.p[i]);
}

void html_start(FILE *out, struct span text, size_t max)
{
	bool is_cut = text.len > max;

	if (is_cut)
		text.len = max;
	html_text(out, text);
	if (is_cut)
		fputs("&hellip;", out);
}

void html_number(FILE *out, uint64_t number)
{
	char digits[24];
	int count = snprintf(digits, sizeof(digits), "%" PRIu64, number);
	int i;

	for (i = 0; i < count; i++) {
		if (i > 0 && (count - i) % 3 == 0)
			fputc(',', out);
		fputc(digits[i], out);
	}
}

struct unit {
	const char *name;
	double size; /* in the smallest one */
};

/* In the largest unit that the amount has one of. */
static void put_amount(FILE *out, double amount, const struct unit *units,
		       size_t count)
{
	size_t i = 0;

	while (i + 1 < count && amount >= units[i + 1].size)
		i++;
	amount /= units[i].size;
	fprintf(out, amount < 9.95 && i > 0 ? "%.1f&nbsp;%s" : "%.0f&nbsp;%s",
		amount, units[i].name);
}

void html_time(FILE *out, int64_t us)
{
	static const struct unit units[] = {
		{"&micro;s", 1}, {"ms", 1e3},	{"s", 1e6},
		{"min", 60e6},	 {"h", 3600e6}, {"days", 86400e6},
	};

	if (us < 0)
		fputs("&ndash;", out);
	else
		put_amount(out, (double)us, units, ARRAY_LEN(units));
}

void html_bytes(FILE *out, uint64_t bytes)
{
	static const struct unit units[] = {
		{"B", 1}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}};

	put_amount(out, (double)bytes, units, ARRAY_LEN(units));
}
