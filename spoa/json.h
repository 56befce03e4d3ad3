/* SPDX-License-Identifier: MIT */
/*
 * json: writes JSON to a stream.
 *
 * Values go in one after the other, commas come by themselves. Texts may come
 * from strangers: what is no printable ASCII is escaped, byte by byte, so that
 * the result is valid whatever they hold. A failed stream is its owner's to
 * notice.
 */
#ifndef SPOA_JSON_H
#define SPOA_JSON_H

#include "base.h"

#include <stdio.h>

struct json {
	FILE *out;	  /* the caller's */
	bool needs_comma; /* something stands before at this level */
};

/* Each takes the key of the value, or NULL within an array and at the top. */
void json_open(struct json *json, const char *key, char bracket); /* { or [ */
void json_close(struct json *json, char bracket);		  /* } or ] */
void json_text(struct json *json, const char *key, struct span text);
void json_number(struct json *json, const char *key, int64_t number);
void json_bool(struct json *json, const char *key, bool value);
void json_null(struct json *json, const char *key);

#endif
