/* SPDX-License-Identifier: MIT */
/*
 * admin: what can be seen and steered over HTTP.
 *
 *   GET  /          a page for people
 *   GET  /healthz   the loop turns
 *   GET  /readyz    it can answer: Redis did once, or there was a snapshot
 *   GET  /metrics   for Prometheus
 *   GET  /config    the options in force, and whence
 *   GET  /explain?host=        what would be answered, and why
 *   GET  /routes?after=&limit= what the cache knows, by name; with
 *                              order=uses the most used
 *   POST /flush[?host=]        believe nothing until Redis was asked again
 *   POST /expire?host=&ttl=    the same in that many seconds
 *
 * Errors are JSON: {"error": reason}.
 */
#ifndef SPOA_ADMIN_H
#define SPOA_ADMIN_H

#include "http.h"
#include "view.h"

struct admin;

/* NULL when there is no memory. The view stays the caller's. */
struct admin *admin_new(const struct view *view);
void admin_free(struct admin *admin);

/* Accepts on `fd`, which becomes its own. */
bool admin_listen(struct admin *admin, int fd,
		  const struct listener_address *address) MUST_CHECK;

#endif
