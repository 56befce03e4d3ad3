/* SPDX-License-Identifier: MIT */
/*
 * sockets: binds what --listen, --admin and --feedback name.
 */
#include "sockets.h"

#include <stdio.h>

#include "log.h"

/* What opens a socket: listener_open or listener_open_datagram. */
typedef int open_at(const struct listener_address *address, bool reuse_port,
		    char error[LISTENER_ERROR_MAX]);

void sockets_init(struct sockets *sockets)
{
	size_t i;

	memset(sockets, 0, sizeof(*sockets));
	for (i = 0; i < ARRAY_LEN(sockets->listen); i++)
		sockets->listen[i].fd = -1;
	sockets->admin.fd = -1;
	sockets->feedback.fd = -1;
}

static bool bind_one(struct bound_socket *socket, open_at *open,
		     const struct listener_address *address, bool reuse_port,
		     const struct opts_item *item, char error[OPTS_ERROR_MAX])
{
	char why[LISTENER_ERROR_MAX];

	socket->address = *address;
	socket->fd = open(address, reuse_port, why);
	if (socket->fd < 0)
		snprintf(error, OPTS_ERROR_MAX, "%.140s: %.140s: %.200s",
			 item->where, item->text, why);
	return socket->fd >= 0;
}

static bool bind_listeners(struct sockets *sockets,
			   const struct settings *settings,
			   char error[OPTS_ERROR_MAX])
{
	const struct opts_list *list = &settings->config.listen;
	size_t i;

	for (i = 0; i < list->count; i++) {
		struct bound_socket *one =
			&sockets->listen[sockets->listen_count++];

		if (!bind_one(one, listener_open, &settings->listen[i],
			      settings->config.reuse_port, &list->items[i],
			      error))
			return false;
	}
	for (i = 0; i < list->count; i++)
		log_info("listening", log_text("address", list->items[i].text));
	return true;
}

bool sockets_open(struct sockets *sockets, const struct settings *settings,
		  char error[OPTS_ERROR_MAX])
{
	const struct config *config = &settings->config;

	if (config->feedback.text &&
	    !bind_one(&sockets->feedback, listener_open_datagram,
		      &settings->feedback, config->reuse_port,
		      &config->feedback, error))
		return false;
	if (config->admin.text &&
	    !bind_one(&sockets->admin, listener_open, &settings->admin, false,
		      &config->admin, error))
		return false;
	if (config->admin.text)
		log_info("admin listening",
			 log_text("address", config->admin.text));
	return bind_listeners(sockets, settings, error);
}

int sockets_take(struct bound_socket *socket)
{
	int fd = socket->fd;

	socket->fd = -1;
	return fd;
}

static void close_one(struct bound_socket *socket)
{
	if (socket->fd >= 0)
		listener_close(sockets_take(socket), &socket->address);
}

void sockets_close(struct sockets *sockets)
{
	size_t i;

	for (i = 0; i < sockets->listen_count; i++)
		close_one(&sockets->listen[i]);
	close_one(&sockets->admin);
	close_one(&sockets->feedback);
}
