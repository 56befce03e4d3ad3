/* SPDX-License-Identifier: MIT */
/*
 * sockets: all addresses that the program serves, bound before anything else
 * begins.
 *
 * systemd may have opened some before: those named "admin" and "feedback" are
 * for these, all others for HAProxy. Whoever serves one takes its descriptor;
 * the others are closed at the end.
 */
#ifndef SPOA_SOCKETS_H
#define SPOA_SOCKETS_H

#include "settings.h"

struct bound_socket {
	int fd; /* -1: there is none, or it was taken */
	struct listener_address address;
};

struct sockets {
	struct bound_socket listen[OPTS_LIST_MAX];
	size_t listen_count;
	struct bound_socket admin;
	struct bound_socket feedback;
};

/* No socket yet: what sockets_close may be called with. */
void sockets_init(struct sockets *sockets);

/* Binds all, or says in `error` which one could not be. */
bool sockets_open(struct sockets *sockets, const struct settings *settings,
		  char error[OPTS_ERROR_MAX]) MUST_CHECK;

/* The descriptor becomes the caller's. */
int sockets_take(struct bound_socket *socket);

/* Closes those that nobody took. */
void sockets_close(struct sockets *sockets);

#endif
