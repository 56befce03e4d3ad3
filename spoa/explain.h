/* SPDX-License-Identifier: MIT */
/*
 * explain: what would be answered for a host, and why, in JSON.
 */
#ifndef SPOA_EXPLAIN_H
#define SPOA_EXPLAIN_H

#include "json.h"
#include "session.h"
#include "view.h"

/* Writes an object: the `answer` that the resolver gave for the Host `asked`,
 * and what the cache knows of each candidate. */
void explain_write(const struct view *view, struct span asked,
		   const struct answer *answer, FILE *out);

/* Why an answer has this status, in words. */
const char *explain_status(enum answer_status status);

const char *explain_state(enum cache_state state);

/* up, doubted, down or unwatched; `slot` is that of its turn. */
const char *explain_target(const struct view *view, uint32_t slot);

/* Writes an object about a field that the cache knows. */
void explain_field(const struct view *view, const struct cache_look *look,
		   struct json *json);

#endif
