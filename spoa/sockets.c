/* SPDX-License-Identifier: MIT */
/*
 * sockets: takes what systemd has opened, then binds what --listen, --admin and
 * --feedback name besides.
 */
#include "sockets.h"

#include <stdio.h>

#include "log.h"
#include "systemd.h"

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

static void say_listening(const struct bound_socket *socket, const char *what)
{
	char text[LISTENER_TEXT_MAX];

	listener_print(&socket->address, text);
	log_info(what, log_text("address", text),
		 log_text("opened_by",
			  socket->address.is_foreign ? "systemd" : "us"));
}

/* Does another keep a socket open for us that has this address? */
static bool is_given(const struct sockets *sockets,
		     const struct listener_address *address)
{
	size_t i;

	for (i = 0; i < sockets->listen_count; i++) {
		const struct listener_address *given =
			&sockets->listen[i].address;

		if (given->is_foreign && given->len == address->len &&
		    !memcmp(&given->address, &address->address, given->len))
			return true;
	}
	return false;
}

/* Where systemd opened sockets, the default address gives way, as does one that
 * is among them. */
static bool bind_listeners(struct sockets *sockets,
			   const struct settings *settings,
			   char error[OPTS_ERROR_MAX])
{
	const struct opts_list *list = &settings->config.listen;
	bool is_default = opts_is_default(&settings->config, "listen");
	size_t i;

	for (i = 0; i < list->count; i++) {
		struct bound_socket *one =
			&sockets->listen[sockets->listen_count];

		if ((is_default && sockets->listen_count > 0) ||
		    is_given(sockets, &settings->listen[i]))
			continue;
		if (sockets->listen_count == ARRAY_LEN(sockets->listen)) {
			snprintf(error, OPTS_ERROR_MAX, "too many sockets");
			return false;
		}
		if (!bind_one(one, listener_open, &settings->listen[i],
			      settings->config.reuse_port, &list->items[i],
			      error))
			return false;
		sockets->listen_count++;
	}
	for (i = 0; i < sockets->listen_count; i++)
		say_listening(&sockets->listen[i], "listening");
	return true;
}

/* What a socket of this name is for; NULL: there is no room for it. */
static struct bound_socket *place_for(struct sockets *sockets, const char *name)
{
	if (!strcmp(name, "admin"))
		return &sockets->admin;
	if (!strcmp(name, "feedback"))
		return &sockets->feedback;
	if (sockets->listen_count == ARRAY_LEN(sockets->listen))
		return NULL;
	return &sockets->listen[sockets->listen_count++];
}

static bool take_given(struct sockets *sockets,
		       const struct systemd_socket *given,
		       char error[OPTS_ERROR_MAX])
{
	struct bound_socket *one = place_for(sockets, given->name);
	bool is_feedback = one == &sockets->feedback;
	const char *problem = "one too many";

	if (one && one->fd < 0) {
		one->fd = given->fd;
		if (listener_adopt(given->fd,
				   is_feedback ? SOCK_DGRAM : SOCK_STREAM,
				   &one->address, &problem))
			return true;
	}
	snprintf(error, OPTS_ERROR_MAX, "socket %s of systemd: %s", given->name,
		 problem);
	return false;
}

static bool take_all_given(struct sockets *sockets,
			   const struct settings *settings,
			   char error[OPTS_ERROR_MAX])
{
	struct systemd_socket given[OPTS_LIST_MAX];
	char why[SYSTEMD_WHY_MAX];
	int count = systemd_take_sockets(given, ARRAY_LEN(given), why);
	int i;

	if (count < 0)
		snprintf(error, OPTS_ERROR_MAX, "sockets of systemd: %s", why);
	for (i = 0; i < count; i++)
		if (!take_given(sockets, &given[i], error))
			return false;
	if (sockets->admin.fd >= 0 && !settings->config.admin_public &&
	    !listener_is_private(&sockets->admin.address)) {
		snprintf(error, OPTS_ERROR_MAX,
			 "socket admin of systemd: other machines reach this "
			 "address: if they shall, add --admin-public");
		return false;
	}
	return count >= 0;
}

bool sockets_open(struct sockets *sockets, const struct settings *settings,
		  char error[OPTS_ERROR_MAX])
{
	const struct config *config = &settings->config;

	if (!take_all_given(sockets, settings, error))
		return false;
	if (config->feedback.text && sockets->feedback.fd < 0 &&
	    !bind_one(&sockets->feedback, listener_open_datagram,
		      &settings->feedback, config->reuse_port,
		      &config->feedback, error))
		return false;
	if (config->admin.text && sockets->admin.fd < 0 &&
	    !bind_one(&sockets->admin, listener_open, &settings->admin, false,
		      &config->admin, error))
		return false;
	if (sockets->admin.fd >= 0)
		say_listening(&sockets->admin, "admin listening");
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
