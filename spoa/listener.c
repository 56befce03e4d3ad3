/* SPDX-License-Identifier: MIT */
/*
 * listener: parses, binds and prints addresses.
 */
#include "listener.h"

#include <errno.h>
#include <event2/util.h>
#include <grp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *parse_mode(const char *text, int *mode)
{
	char *end;
	unsigned long n = strtoul(text, &end, 8);

	if (*text < '0' || *text > '7' || *end != '\0' || n > 0777)
		return "mode must be octal, such as mode=0660";
	*mode = (int)n;
	return NULL;
}

static const char *parse_unix_option(char *option,
				     struct listener_address *address)
{
	const struct group *group;

	if (!strncmp(option, "mode=", 5))
		return parse_mode(option + 5, &address->mode);
	if (strncmp(option, "group=", 6) != 0)
		return "after the path only mode= and group= may follow";
	group = getgrnam(option + 6);
	if (!group)
		return "no such group";
	address->group = group->gr_gid;
	return NULL;
}

static const char *parse_unix(const char *text,
			      struct listener_address *address)
{
	struct sockaddr_un *sun = &address->address.unix_path;
	char copy[256];
	char *rest = copy, *path, *option;
	const char *problem = NULL;

	if (strlen(text) >= sizeof(copy))
		return "is too long";
	memcpy(copy, text, strlen(text) + 1);
	path = strsep(&rest, ",");
	if (path[0] != '/')
		return "must be an absolute path: unix:/path";
	if (strlen(path) >= sizeof(sun->sun_path))
		return "has a path of more than 107 bytes";
	sun->sun_family = AF_UNIX;
	memcpy(sun->sun_path, path, strlen(path) + 1);
	/* as the kernel says it of a socket that is bound to it */
	address->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				   strlen(path) + 1);
	while (!problem && (option = strsep(&rest, ",")) != NULL)
		problem = parse_unix_option(option, address);
	return problem;
}

/* libevent's parser takes any text that begins with a number, and blanks and
 * signs within an IPv4 address. */
static bool is_port(const char *text)
{
	return text[0] != '\0' && strlen(text) <= 5 &&
	       text[strspn(text, "0123456789")] == '\0' && atoi(text) > 0;
}

bool listener_parse(const char *text, struct listener_address *address,
		    const char **problem)
{
	int len = sizeof(address->address.storage);
	const char *colon = strrchr(text, ':');

	memset(address, 0, sizeof(*address));
	address->mode = LISTENER_MODE;
	address->group = (gid_t)-1;
	if (!strncmp(text, "unix:", 5)) {
		*problem = parse_unix(text + 5, address);
		return !*problem;
	}
	*problem = "must be IP:PORT, [IP6]:PORT or unix:/path";
	if (!colon || !is_port(colon + 1) ||
	    (text[0] == '[' ? colon[-1] != ']'
			    : text + strspn(text, "0123456789.") != colon) ||
	    evutil_parse_sockaddr_port(text, &address->address.any, &len) != 0)
		return false;
	address->len = (socklen_t)len;
	return true;
}

bool listener_is_private(const struct listener_address *address)
{
	const struct sockaddr *any = &address->address.any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (any->sa_family == AF_UNIX)
		return true;
	if (any->sa_family == AF_INET) {
		memcpy(&v4, any, sizeof(v4));
		return ntohl(v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	}
	memcpy(&v6, any, sizeof(v6));
	return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
}

static int say(char error[LISTENER_ERROR_MAX], int fd, const char *what)
{
	snprintf(error, LISTENER_ERROR_MAX, "%s: %s", what, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Is the path a socket of this type that nobody listens on any more? */
static bool is_abandoned(const struct listener_address *address, int type)
{
	struct stat status;
	int fd, result;

	if (lstat(address->address.unix_path.sun_path, &status) != 0 ||
	    !S_ISSOCK(status.st_mode))
		return false;
	fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	result = connect(fd, &address->address.any, address->len);
	close(fd);
	return result != 0 && errno == ECONNREFUSED;
}

/* Sets group and mode of the socket's file; NULL when all went well. */
static const char *set_file(const struct listener_address *address)
{
	const char *path = address->address.unix_path.sun_path;

	if (address->group != (gid_t)-1 &&
	    chown(path, (uid_t)-1, address->group) != 0)
		return "chown";
	if (chmod(path, (mode_t)address->mode) != 0)
		return "chmod";
	return NULL;
}

static int open_unix(const struct listener_address *address, int fd, int type,
		     char error[LISTENER_ERROR_MAX])
{
	const char *failed;
	mode_t mask;
	int result;

	if (is_abandoned(address, type))
		unlink(address->address.unix_path.sun_path);
	/* Nobody else may connect before group and mode are set. */
	mask = umask(0177);
	result = bind(fd, &address->address.any, address->len);
	umask(mask);
	if (result != 0)
		return say(error, fd, "bind");
	failed = set_file(address);
	if (failed) {
		say(error, fd, failed);
		unlink(address->address.unix_path.sun_path);
		return -1;
	}
	return fd;
}

static int open_ip(const struct listener_address *address, int fd,
		   bool reuse_port, char error[LISTENER_ERROR_MAX])
{
	int on = 1;

	if (reuse_port &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0)
		return say(error, fd, "SO_REUSEPORT");
	if (address->address.any.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, &address->address.any, address->len) != 0)
		return say(error, fd, "bind");
	return fd;
}

static int open_socket(const struct listener_address *address, int type,
		       bool reuse_port, char error[LISTENER_ERROR_MAX])
{
	int family = address->address.any.sa_family;
	int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		return say(error, fd, "socket");
	if (family == AF_UNIX)
		return open_unix(address, fd, type, error);
	/* Of datagrams it would let two have one address. */
	if (type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	return open_ip(address, fd, reuse_port, error);
}

int listener_open_datagram(const struct listener_address *address,
			   bool reuse_port, char error[LISTENER_ERROR_MAX])
{
	return open_socket(address, SOCK_DGRAM, reuse_port, error);
}

int listener_open(const struct listener_address *address, bool reuse_port,
		  char error[LISTENER_ERROR_MAX])
{
	int fd = open_socket(address, SOCK_STREAM, reuse_port, error);

	if (fd < 0)
		return -1;
	if (listen(fd, LISTENER_BACKLOG) != 0)
		return say(error, fd, "listen");
	return fd;
}

void listener_remove(const struct listener_address *address)
{
	if (address->address.any.sa_family == AF_UNIX && !address->is_foreign)
		unlink(address->address.unix_path.sun_path);
}

void listener_close(int fd, const struct listener_address *address)
{
	close(fd);
	listener_remove(address);
}

static int socket_option(int fd, int option)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value
								     : -1;
}

bool listener_adopt(int fd, int type, struct listener_address *address,
		    const char **problem)
{
	memset(address, 0, sizeof(*address));
	address->is_foreign = true;
	address->len = sizeof(address->address.storage);
	*problem = "not a socket of the Internet or of Unix";
	if (getsockname(fd, &address->address.any, &address->len) != 0 ||
	    (address->address.any.sa_family != AF_INET &&
	     address->address.any.sa_family != AF_INET6 &&
	     address->address.any.sa_family != AF_UNIX))
		return false;
	*problem = type == SOCK_STREAM ? "must be a stream that listens"
				       : "must take datagrams";
	if (socket_option(fd, SO_TYPE) != type ||
	    (type == SOCK_STREAM && socket_option(fd, SO_ACCEPTCONN) != 1))
		return false;
	*problem = "cannot be used without blocking";
	return evutil_make_socket_nonblocking(fd) == 0 &&
	       evutil_make_socket_closeonexec(fd) == 0;
}

void listener_print(const struct listener_address *address,
		    char text[LISTENER_TEXT_MAX])
{
	const struct sockaddr *any = &address->address.any;
	char ip[INET6_ADDRSTRLEN] = "";
	struct sockaddr_in6 v6;
	struct sockaddr_in v4;

	if (any->sa_family == AF_UNIX) {
		snprintf(text, LISTENER_TEXT_MAX, "unix:%s",
			 address->address.unix_path.sun_path);
	} else if (any->sa_family == AF_INET) {
		memcpy(&v4, any, sizeof(v4));
		evutil_inet_ntop(AF_INET, &v4.sin_addr, ip, sizeof(ip));
		snprintf(text, LISTENER_TEXT_MAX, "%s:%u", ip,
			 ntohs(v4.sin_port));
	} else {
		memcpy(&v6, any, sizeof(v6));
		evutil_inet_ntop(AF_INET6, &v6.sin6_addr, ip, sizeof(ip));
		snprintf(text, LISTENER_TEXT_MAX, "[%s]:%u", ip,
			 ntohs(v6.sin6_port));
	}
}
