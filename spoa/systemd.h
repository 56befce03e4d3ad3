/* SPDX-License-Identifier: MIT */
/*
 * systemd: the sockets that it has opened for us, and what it is told.
 *
 * Under another supervisor, or none, there are no such sockets and nobody is
 * told. Nothing else in the program knows libsystemd; built without it
 * (`make SYSTEMD=0`) sockets that are handed over are refused.
 */
#ifndef SPOA_SYSTEMD_H
#define SPOA_SYSTEMD_H

#include "loop.h"

enum { SYSTEMD_NAME_MAX = 64, SYSTEMD_WHY_MAX = 200 };

struct systemd_socket {
	int fd;
	char name[SYSTEMD_NAME_MAX]; /* FileDescriptorName= of the unit */
};

/* Fills in up to `max` sockets, which become the caller's, and returns how many
 * there are: 0 without socket activation, -1 with `why` in words. For the
 * start, once. */
int systemd_take_sockets(struct systemd_socket *sockets, int max,
			 char why[SYSTEMD_WHY_MAX]) MUST_CHECK;

/* It serves, as after a reload, too; the status is for `systemctl status`. */
void systemd_say_ready(const char *status);
void systemd_say_reloading(void);
void systemd_say_stopping(void);

struct systemd;

/* Shows the watchdog from the loop that it turns, when systemd wants to see
 * that. NULL when there is no memory. */
struct systemd *systemd_new(struct loop *loop);
void systemd_free(struct systemd *systemd);

/* Is it built in? */
bool systemd_is_known(void);

#endif
