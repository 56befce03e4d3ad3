/* SPDX-License-Identifier: MIT */
/*
 * main: reads the settings, opens the sockets, has the agent serve them and
 * stops it on a signal.
 */
#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "fence.h"
#include "log.h"
#include "reload.h"
#include "reserve.h"
#include "systemd.h"

#ifndef VERSION
#define VERSION "unknown"
#endif

#define SERVING "serving"

enum { LIBRARY_MS = 10 * 1000 }; /* at most one warning of libevent */

struct app {
	struct settings settings;
	struct sockets sockets;
	struct loop loop;
	struct agent agent;
	struct systemd *systemd;
	struct event *signals[3];
	bool is_cut; /* a second signal: stop at once */
	int argc;
	char **argv;
	char error[OPTS_ERROR_MAX];
};

/* What libevent says by itself, of name servers above all: else it would go to
 * stderr as it is. It hands over nothing to find the app by. */
static void log_library(int severity, const char *message)
{
	static struct log_limit limit;
	struct timespec now;
	uint64_t held;

	if (severity == EVENT_LOG_DEBUG) {
		log_debug("libevent", log_text("said", message));
		return;
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (log_limit_pass(&limit, (int64_t)now.tv_sec * 1000, LIBRARY_MS,
			   &held))
		log_warn("libevent", log_text("said", message),
			 log_number("held_back", (int64_t)held));
}

static void reload(struct app *app)
{
	bool done;

	systemd_say_reloading();
	done = reload_settings(&app->agent, app->argc, app->argv);
	systemd_say_ready(done ? SERVING
			       : "serving; the last reload was refused");
}

static void on_signal(evutil_socket_t number, short what, void *context)
{
	struct app *app = context;

	(void)what;
	if (number == SIGHUP) {
		/* It would tell systemd that we are ready again. */
		if (!conns_are_stopping(app->agent.conns))
			reload(app);
		return;
	}
	log_info("stopping", log_number("signal", number));
	systemd_say_stopping();
	app->is_cut = conns_are_stopping(app->agent.conns);
	conns_stop(app->agent.conns);
}

/* The loop is ours, so that no signal ends us while the rooms are made. */
static bool watch_signals(struct app *app)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
	bool done = loop_init(&app->loop);
	size_t i;

	signal(SIGPIPE, SIG_IGN);
	for (i = 0; done && i < ARRAY_LEN(numbers); i++) {
		app->signals[i] = evsignal_new(app->loop.base, numbers[i],
					       on_signal, app);
		done = app->signals[i] && event_add(app->signals[i], NULL) == 0;
	}
	if (!done)
		snprintf(app->error, sizeof(app->error),
			 "start: cannot make the event loop");
	return done;
}

static void close_loop(struct app *app)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(app->signals); i++)
		if (app->signals[i])
			event_free(app->signals[i]);
	if (app->loop.base)
		loop_fini(&app->loop);
}

static bool drop_privileges(struct app *app)
{
	const struct user *user = &app->settings.user;
	char why[USER_WHY_MAX];

	if (user->name[0] == '\0')
		return true;
	if (!user_become(user, why)) {
		snprintf(app->error, sizeof(app->error), "%.200s: %.200s",
			 app->settings.config.user.where, why);
		return false;
	}
	log_info("privileges dropped", log_text("user", user->name),
		 log_number("uid", user->uid), log_number("gid", user->gid));
	return true;
}

static bool raise_fence(struct app *app)
{
	char why[FENCE_WHY_MAX];

	if (!app->settings.config.seccomp)
		return true;
	if (!fence_raise(why)) {
		snprintf(app->error, sizeof(app->error), "--seccomp: %s", why);
		return false;
	}
	log_info("seccomp is on");
	return true;
}

static bool open_systemd(struct app *app)
{
	app->systemd = systemd_new(&app->loop);
	if (!app->systemd)
		snprintf(app->error, sizeof(app->error),
			 "start: out of memory");
	return app->systemd != NULL;
}

static bool serve(struct app *app)
{
	struct agent *agent = &app->agent;

	if (!watch_signals(app) ||
	    !sockets_open(&app->sockets, &app->settings, app->error) ||
	    !drop_privileges(app) ||
	    !agent_open(agent, &app->loop, &app->settings, &app->sockets,
			app->error) ||
	    !raise_fence(app) || !open_systemd(app))
		return false;
	systemd_say_ready(SERVING);
	log_info("started", log_text("version", VERSION),
		 log_number("pid", getpid()));
	while (!app->is_cut && !conns_are_stopped(agent->conns))
		agent_turn(agent);
	if (agent->snapshot)
		snapshot_write(agent->snapshot);
	log_info("stopped");
	return true;
}

static void print_version(void)
{
	printf("spoa-router %s (libevent %s, hiredis %d.%d.%d, %s systemd, "
	       "%s seccomp)\n",
	       VERSION, event_get_version(), HIREDIS_MAJOR, HIREDIS_MINOR,
	       HIREDIS_PATCH, systemd_is_known() ? "with" : "without",
	       fence_is_known() ? "with" : "without");
}

static bool run(struct app *app)
{
	const struct config *config = &app->settings.config;

	if (!settings_read(&app->settings, app->argc, app->argv, app->error))
		return false;
	if (config->help) {
		opts_print_help();
		return true;
	}
	if (config->version) {
		print_version();
		return true;
	}
	if (config->check) {
		printf("spoa-router: the configuration is valid\n");
		return true;
	}
	log_setup((enum log_level)config->log_level,
		  (enum log_format)config->log_format);
	reserve_lend();
	event_set_log_callback(log_library);
	return serve(app);
}

int main(int argc, char **argv)
{
	struct app *app = calloc(1, sizeof(*app));
	bool done;

	if (!app) {
		fprintf(stderr, "spoa-router: start: out of memory\n");
		return EXIT_FAILURE;
	}
	app->argc = argc;
	app->argv = argv;
	sockets_init(&app->sockets);
	done = run(app);
	if (!done)
		fprintf(stderr, "spoa-router: %s\n", app->error);
	agent_close(&app->agent);
	systemd_free(app->systemd);
	close_loop(app);
	sockets_close(&app->sockets);
	settings_free(&app->settings);
	free(app);
	return done ? EXIT_SUCCESS : EXIT_FAILURE;
}
