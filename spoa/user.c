/* SPDX-License-Identifier: MIT */
/*
 * user: groups first, while that is still allowed, then the user.
 */
#include "user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

bool user_parse(const char *text, struct user *user, const char **problem)
{
	const char *colon = strchr(text, ':');
	size_t len = colon ? (size_t)(colon - text) : strlen(text);
	const struct passwd *passwd;
	const struct group *group;

	*user = (struct user){.name = ""};
	*problem = "no such user";
	if (len == 0 || len >= sizeof(user->name))
		return false;
	memcpy(user->name, text, len);
	passwd = getpwnam(user->name);
	if (!passwd)
		return false;
	user->uid = passwd->pw_uid;
	user->gid = passwd->pw_gid;
	if (!colon)
		return true;
	*problem = "no such group";
	group = getgrnam(colon + 1);
	if (group)
		user->gid = group->gr_gid;
	return group != NULL;
}

static bool say(char why[USER_WHY_MAX], const char *what)
{
	snprintf(why, USER_WHY_MAX, "%s: %s", what, strerror(errno));
	return false;
}

static bool is_already(const struct user *user)
{
	return geteuid() == user->uid && getuid() == user->uid &&
	       getegid() == user->gid && user->uid != 0;
}

bool user_become(const struct user *user, char why[USER_WHY_MAX])
{
	if (is_already(user))
		return true;
	if (initgroups(user->name, user->gid) != 0)
		return say(why, "initgroups");
	if (setresgid(user->gid, user->gid, user->gid) != 0)
		return say(why, "setresgid");
	if (setresuid(user->uid, user->uid, user->uid) != 0)
		return say(why, "setresuid");
	errno = EPERM;
	if (user->uid != 0 && setuid(0) == 0)
		return say(why, "root can be had back");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return say(why, "PR_SET_NO_NEW_PRIVS");
	/* Else our own figures below /proc/self are root's alone. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	return true;
}
