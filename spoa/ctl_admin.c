/* SPDX-License-Identifier: MIT */
/*
 * ctl_admin: HTTP/1.0 over a blocking socket: the answer ends where the
 * connection does.
 */
#include "ctl_admin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "listener.h"

enum { SECONDS = 10, PIECE = 64 * 1024 };

static bool fail(char error[CTL_ADMIN_ERROR_MAX], const char *address,
		 const char *what)
{
	snprintf(error, CTL_ADMIN_ERROR_MAX, "agent %.100s: %.100s", address,
		 what);
	return false;
}

/* A connected socket, or -1. */
static int open_socket(const char *address, char error[CTL_ADMIN_ERROR_MAX])
{
	const struct timeval limit = {.tv_sec = SECONDS};
	struct listener_address where;
	const char *problem = "not an address";
	int fd;

	if (!listener_parse(address, &where, &problem)) {
		fail(error, address, problem);
		return -1;
	}
	fd = socket(where.address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		fail(error, address, strerror(errno));
		return -1;
	}
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ==
		    0 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) ==
		    0 &&
	    connect(fd, &where.address.any, where.len) == 0)
		return fd;
	fail(error, address, strerror(errno));
	close(fd);
	return -1;
}

static bool send_all(int fd, const char *text)
{
	size_t len = strlen(text);

	while (len > 0) {
		ssize_t sent = send(fd, text, len, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return false;
		text += sent;
		len -= (size_t)sent;
	}
	return true;
}

/* Reads to the end; a NUL follows the bytes. NULL with errno. */
static char *read_all(int fd, size_t *len)
{
	char *bytes = NULL;
	ssize_t got = 1;

	*len = 0;
	while (got > 0 && *len < CTL_ADMIN_BODY_MAX) {
		char *more = realloc(bytes, *len + PIECE + 1);

		if (!more)
			break;
		bytes = more;
		got = recv(fd, bytes + *len, PIECE, 0);
		if (got > 0)
			*len += (size_t)got;
		else if (got < 0 && errno == EINTR)
			got = 1;
		bytes[*len] = '\0';
	}
	if (got == 0)
		return bytes;
	free(bytes);
	return NULL;
}

/* Finds the status and the body. */
static bool take_apart(struct ctl_admin_reply *reply, size_t len)
{
	const char *end = strstr(reply->bytes, "\r\n\r\n");

	if (!end || strncmp(reply->bytes, "HTTP/1.", 7) != 0)
		return false;
	reply->status = (int)strtol(reply->bytes + 8, NULL, 10);
	reply->body.p = end + 4;
	reply->body.len = len - (size_t)(end + 4 - reply->bytes);
	return reply->status > 0;
}

bool ctl_admin_ask(const char *address, const char *method, const char *target,
		   struct ctl_admin_reply *reply,
		   char error[CTL_ADMIN_ERROR_MAX])
{
	char request[4096];
	size_t len = 0;
	int fd;

	*reply = (struct ctl_admin_reply){0};
	if ((size_t)snprintf(request, sizeof(request),
			     "%s %s HTTP/1.0\r\nHost: agent\r\n"
			     "Content-Length: 0\r\n\r\n",
			     method, target) >= sizeof(request))
		return fail(error, address, "the question is too long");
	fd = open_socket(address, error);
	if (fd < 0)
		return false;
	errno = 0;
	if (send_all(fd, request))
		reply->bytes = read_all(fd, &len);
	if (!reply->bytes)
		fail(error, address,
		     errno == EAGAIN ? "no answer" : strerror(errno));
	close(fd);
	if (!reply->bytes)
		return false;
	return take_apart(reply, len) ||
	       fail(error, address, "the answer is not HTTP");
}

void ctl_admin_free(struct ctl_admin_reply *reply)
{
	free(reply->bytes);
	*reply = (struct ctl_admin_reply){0};
}

bool ctl_admin_target(const char *path, struct span host, char *to, size_t size)
{
	size_t len = (size_t)snprintf(to, size, "%s?host=", path);
	size_t i;

	for (i = 0; i < host.len && len < size; i++) {
		unsigned char c = (unsigned char)host.p[i];
		bool is_plain = (c >= 'a' && c <= 'z') ||
				(c >= 'A' && c <= 'Z') ||
				(c >= '0' && c <= '9') || c == '-' ||
				c == '.' || c == '_';

		len += (size_t)snprintf(to + len, size - len,
					is_plain ? "%c" : "%%%02X", c);
	}
	return len < size;
}
