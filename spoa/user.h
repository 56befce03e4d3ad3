/* SPDX-License-Identifier: MIT */
/*
 * user: who the program is once its sockets are open.
 *
 *   NAME[:GROUP]
 */
#ifndef SPOA_USER_H
#define SPOA_USER_H

#include "base.h"

#include <sys/types.h>

enum { USER_NAME_LIMIT = 64, USER_WHY_MAX = 200 };

struct user {
	char name[USER_NAME_LIMIT]; /* empty: nobody else */
	uid_t uid;
	gid_t gid;
};

/* Looks the names up; without GROUP it is the user's own. False with the
 * `*problem` in words. */
bool user_parse(const char *text, struct user *user,
		const char **problem) MUST_CHECK;

/* Becomes that user, for good: with the groups that it is in, no others, and
 * without any way back. False with `why`; then the program must not go on, for
 * part of it may be done. */
bool user_become(const struct user *user, char why[USER_WHY_MAX]) MUST_CHECK;

#endif
