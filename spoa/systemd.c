/* SPDX-License-Identifier: MIT */
/*
 * systemd: a thin layer over libsystemd.
 */
#include "systemd.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { WATCHDOG_SHARE = 3 }; /* signs of life within its patience */

struct systemd {
	struct event *timer; /* NULL: nobody watches */
};

#ifdef WITH_SYSTEMD
#include <systemd/sd-daemon.h>

bool systemd_is_known(void)
{
	return true;
}

int systemd_take_sockets(struct systemd_socket *sockets, int max,
			 char why[SYSTEMD_WHY_MAX])
{
	char **names = NULL;
	int count = sd_listen_fds_with_names(1, &names);
	int i;

	if (count < 0)
		snprintf(why, SYSTEMD_WHY_MAX, "cannot be taken over: %s",
			 strerror(-count));
	if (count > max)
		snprintf(why, SYSTEMD_WHY_MAX, "more than %d", max);
	for (i = 0; i < count && i < max; i++) {
		sockets[i].fd = SD_LISTEN_FDS_START + i;
		snprintf(sockets[i].name, SYSTEMD_NAME_MAX, "%s", names[i]);
	}
	for (i = 0; i < count; i++)
		free(names[i]);
	free(names);
	return count > max ? -1 : count;
}

void systemd_say_ready(const char *status)
{
	sd_notifyf(0, "READY=1\nSTATUS=%s", status);
}

void systemd_say_reloading(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
		   (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
}

void systemd_say_stopping(void)
{
	sd_notify(0, "STOPPING=1\nSTATUS=closing connections");
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	(void)context;
	sd_notify(0, "WATCHDOG=1");
}

static bool watch(struct systemd *systemd, struct loop *loop)
{
	struct timeval every;
	uint64_t usec;

	if (sd_watchdog_enabled(0, &usec) <= 0)
		return true;
	every.tv_sec = (time_t)(usec / WATCHDOG_SHARE / 1000000);
	every.tv_usec = (suseconds_t)(usec / WATCHDOG_SHARE % 1000000);
	systemd->timer = event_new(loop->base, -1, EV_PERSIST, on_timer, NULL);
	return systemd->timer && event_add(systemd->timer, &every) == 0;
}
#else
bool systemd_is_known(void)
{
	return false;
}

int systemd_take_sockets(struct systemd_socket *sockets, int max,
			 char why[SYSTEMD_WHY_MAX])
{
	(void)sockets;
	(void)max;
	if (!getenv("LISTEN_FDS"))
		return 0;
	snprintf(why, SYSTEMD_WHY_MAX, "built without libsystemd");
	return -1;
}

void systemd_say_ready(const char *status)
{
	(void)status;
}

void systemd_say_reloading(void)
{
}

void systemd_say_stopping(void)
{
}

static bool watch(struct systemd *systemd, struct loop *loop)
{
	(void)systemd;
	(void)loop;
	return true;
}
#endif

struct systemd *systemd_new(struct loop *loop)
{
	struct systemd *systemd = calloc(1, sizeof(*systemd));

	if (!systemd || watch(systemd, loop))
		return systemd;
	systemd_free(systemd);
	return NULL;
}

void systemd_free(struct systemd *systemd)
{
	if (!systemd)
		return;
	if (systemd->timer)
		event_free(systemd->timer);
	free(systemd);
}
