/* SPDX-License-Identifier: MIT */
/*
 * ctl_admin: questions to a running agent, at its --admin address.
 *
 * One request a connection, with time limits. What the agent answers is shown
 * as it is, but for bytes that a terminal could obey.
 */
#ifndef SPOA_CTL_ADMIN_H
#define SPOA_CTL_ADMIN_H

#include "base.h"

enum {
	CTL_ADMIN_ERROR_MAX = 256,
	CTL_ADMIN_BODY_MAX = 64 * 1024 * 1024, /* bytes of an answer */
};

struct ctl_admin_reply {
	int status; /* of HTTP */
	struct span body;
	char *bytes; /* owned: all of the answer */
};

/* Asks the agent at `address`, IP:PORT or unix:/path. `target` is the path
 * with its query. False with one line in `error`. The reply is to be freed
 * either way. */
bool ctl_admin_ask(const char *address, const char *method, const char *target,
		   struct ctl_admin_reply *reply,
		   char error[CTL_ADMIN_ERROR_MAX]) MUST_CHECK;

void ctl_admin_free(struct ctl_admin_reply *reply);

/* Writes `PATH?host=HOST` with the host percent-encoded. False when it does
 * not fit. */
bool ctl_admin_target(const char *path, struct span host, char *to,
		      size_t size) MUST_CHECK;

#endif
