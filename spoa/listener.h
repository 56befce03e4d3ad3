/* SPDX-License-Identifier: MIT */
/*
 * listener: the addresses where HAProxy, and who looks at us, connect.
 *
 *   IP:PORT   [IP6]:PORT   unix:/path[,mode=0660][,group=NAME]
 */
#ifndef SPOA_LISTENER_H
#define SPOA_LISTENER_H

#include "base.h"

#include <sys/socket.h>
#include <sys/un.h>

enum {
	LISTENER_BACKLOG = 1024,
	LISTENER_MODE = 0660, /* of a Unix socket, unless mode= says it */
	LISTENER_ERROR_MAX = 256,
};

struct listener_address {
	union {
		struct sockaddr any;
		struct sockaddr_un unix_path;
		struct sockaddr_storage storage;
	} address;
	socklen_t len;
	int mode;	 /* of a Unix socket's file */
	gid_t group;	 /* of a Unix socket's file, or -1 */
	bool is_foreign; /* another opened the socket, and keeps it open */
};

/* Reads `text`; on failure `*problem` says what is wrong. */
bool listener_parse(const char *text, struct listener_address *address,
		    const char **problem) MUST_CHECK;

/* Can only this machine reach it? */
bool listener_is_private(const struct listener_address *address);

/* Opens a listening socket that does not block, or returns -1 and writes to
 * `error` what failed. A Unix socket that nobody listens on is replaced. */
int listener_open(const struct listener_address *address, bool reuse_port,
		  char error[LISTENER_ERROR_MAX]) MUST_CHECK;

/* The same for a socket that takes datagrams. */
int listener_open_datagram(const struct listener_address *address,
			   bool reuse_port,
			   char error[LISTENER_ERROR_MAX]) MUST_CHECK;

enum { LISTENER_TEXT_MAX = 128 };

/* Takes over a socket of this type that another opened; `stream` ones must
 * listen. False with what is wrong with it. */
bool listener_adopt(int fd, int type, struct listener_address *address,
		    const char **problem) MUST_CHECK;

/* Writes the address as an option has it. */
void listener_print(const struct listener_address *address,
		    char text[LISTENER_TEXT_MAX]);

/* Removes a Unix socket's file, unless it is foreign. */
void listener_remove(const struct listener_address *address);

/* Closes it, and removes the file. */
void listener_close(int fd, const struct listener_address *address);

#endif
