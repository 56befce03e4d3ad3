/* SPDX-License-Identifier: MIT */
/*
 * json: no tree is built; the caller keeps brackets in order.
 */
#include "json.h"

#include <inttypes.h>

static void put_quoted(struct json *json, struct span text)
{
	size_t i;

	fputc('"', json->out);
	for (i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c == '"' || c == '\\')
			fprintf(json->out, "\\%c", c);
		else if (c >= ' ' && c <= '~')
			fputc(c, json->out);
		else
			fprintf(json->out, "\\u%04x", c);
	}
	fputc('"', json->out);
}

static void begin_value(struct json *json, const char *key)
{
	if (json->needs_comma)
		fputc(',', json->out);
	json->needs_comma = true;
	if (!key)
		return;
	put_quoted(json, span_of(key));
	fputc(':', json->out);
}

void json_open(struct json *json, const char *key, char bracket)
{
	begin_value(json, key);
	fputc(bracket, json->out);
	json->needs_comma = false;
}

void json_close(struct json *json, char bracket)
{
	fputc(bracket, json->out);
	json->needs_comma = true;
}

void json_text(struct json *json, const char *key, struct span text)
{
	begin_value(json, key);
	put_quoted(json, text);
}

void json_number(struct json *json, const char *key, int64_t number)
{
	begin_value(json, key);
	fprintf(json->out, "%" PRId64, number);
}

void json_bool(struct json *json, const char *key, bool value)
{
	begin_value(json, key);
	fputs(value ? "true" : "false", json->out);
}

void json_null(struct json *json, const char *key)
{
	begin_value(json, key);
	fputs("null", json->out);
}
