/* SPDX-License-Identifier: MIT */
/*
 * fuzz_writer: the input is a story of a writer and the HAProxy that it writes
 * to, a byte for each step: what is lent and taken back, what HAProxy says,
 * usual replies or any bytes, when it goes away, and time. What is said to
 * HAProxy are whole lines of commands without a control character; the counters
 * hold, and the writer is open or it is not.
 */
#include "fuzz.h"

#include "../../spoa/log.h"
#include "../../spoa/loop.h"
#include "../../spoa/runtime_api.h"
#include "../../spoa/writer.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The key that a writer probes a table with, as a table shows it. */
#define DOTS "................................"
#define KEY DOTS DOTS DOTS DOTS DOTS DOTS DOTS "............................."

/* What HAProxy says of use; a byte of the input chooses. */
static const char *const replies[] = {
	"\n> ",
	"# table: routes, type: string, size:100, used:1\n0x1: key=" KEY
	" use=0 exp=4900 gpt0=1 gpc0=2\n\n> ",
	"# table: routes, type: string, size:100, used:0\n\n> ",
	"# table: routes, type: string, size:100, used:7\n\n> ",
	"# table: routes, type: ip, size:1, used:0\n\n> ",
	"# table: routes, type: string, size:99999999999999999999, used:1\n"
	"0x1: key=" KEY " use=0 exp=99999999999999999999 gpt0=1 gpc0=2\n\n> ",
	"Name: HAProxy\nStopping: 1\n\n> ",
	"Name: HAProxy\nStopping: 0\n\n> ",
	"Entry currently in use, cannot remove\n\n> ",
	"Unknown command\n\n> ",
	"Permission denied\n> ",
};

static struct {
	struct loop loop;
	struct writer *writer;
	struct writer_counters counters;
	int listener, peer;
	struct event *timer; /* of the writer; NULL: not armed */
	int64_t due_ms;
} test;

/* The loop, in the place of loop.c: its clock is the story's. */
int64_t loop_now(struct loop *loop)
{
	return loop->now_ms;
}

void loop_arm(struct event *timer, int64_t delay_ms)
{
	test.timer = timer;
	test.due_ms = test.loop.now_ms + delay_ms;
}

static void on_changed(void *context)
{
	MUST(context == &test && test.counters.open <= 1);
}

static void on_slow(void *context)
{
	MUST(context == &test);
}

/* Where the socket lies; made once. */
static const char *place(void)
{
	static char path[100];
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (path[0] != '\0')
		return path;
	snprintf(path, sizeof(path), "/tmp/fuzz-writer-%d", (int)getpid());
	memcpy(address.sun_path, path, strlen(path));
	test.listener =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unlink(path);
	MUST(bind(test.listener, (struct sockaddr *)&address,
		  sizeof(address)) == 0);
	MUST(listen(test.listener, 8) == 0);
	return path;
}

/* HAProxy reads what it was told, and lets who comes in. */
static void hear(void)
{
	char line[4096];
	ssize_t got, i;
	int fd = accept4(test.listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0) {
		close(test.peer);
		test.peer = fd;
	}
	while ((got = recv(test.peer, line, sizeof(line), MSG_DONTWAIT)) > 0)
		for (i = 0; i < got; i++)
			MUST(line[i] == '\n' || (uint8_t)line[i] >= ' ');
}

/* The loop runs for as long as it has something to do, and so does HAProxy. */
static void run(void)
{
	size_t i;

	for (i = 0; i < 4; i++) {
		event_base_loop(test.loop.base, EVLOOP_NONBLOCK);
		writer_work(test.writer);
		MUST(test.counters.open == writer_is_open(test.writer));
		hear();
	}
}

static void pass_time(int64_t ms)
{
	test.loop.now_ms += ms;
	if (test.timer && test.due_ms <= test.loop.now_ms) {
		event_active(test.timer, EV_TIMEOUT, 0);
		test.timer = NULL;
	}
	run();
}

static void say(struct span bytes)
{
	ssize_t sent = send(test.peer, bytes.p, bytes.len,
			    MSG_NOSIGNAL | MSG_DONTWAIT);

	MUST(sent >= 0 || errno == EPIPE || errno == ECONNRESET ||
	     errno == EAGAIN || errno == EBADF || errno == ENOTCONN);
	run();
}

static void lend(size_t count)
{
	char host[16];

	while (count-- > 0) {
		int len = snprintf(host, sizeof(host), "h%zu.test", count);
		struct span span = {host, (size_t)len};

		if (writer_lend(test.writer, span, 0x0a000001, 80))
			MUST(writer_is_open(test.writer) &&
			     writer_hosts_max(test.writer) > 0 &&
			     writer_expire_ms(test.writer) > 0);
	}
}

/* One step; returns how many bytes of the story it took besides its own. */
static size_t step(uint8_t how, struct span in)
{
	size_t len = in.len > 0 ? (uint8_t)in.p[0] : 0;

	switch (how % 8) {
	case 0:
		pass_time((int64_t)(how >> 3) * 200);
		return 0;
	case 1:
		lend(how < 128 ? how / 8 : 3000);
		return 0;
	case 2:
		writer_take_back(test.writer, span_of("h1.test"));
		return 0;
	case 3:
		if (how & 8)
			writer_take_back_all(test.writer);
		else
			writer_look(test.writer);
		run();
		return 0;
	case 4:
		shutdown(test.peer, SHUT_RDWR);
		run();
		return 0;
	case 5:
		len = len < in.len ? len : in.len - (in.len > 0);
		say((struct span){in.p + (in.len > 0), len});
		return in.len > 0 ? 1 + len : 0;
	default:
		say(span_of(replies[how / 8 % ARRAY_LEN(replies)]));
		return 0;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct writer_options options = {.loop = &test.loop,
					 .path = place(),
					 .table = "routes",
					 .counters = &test.counters,
					 .changed = on_changed,
					 .slow = on_slow,
					 .context = &test};
	struct span in = {(const char *)bytes, len};

	log_setup(LOG_ERROR, LOG_TEXT);
	test.loop = (struct loop){.base = event_base_new(), .now_ms = 1};
	MUST(test.loop.base != NULL);
	test.timer = NULL;
	memset(&test.counters, 0, sizeof(test.counters));
	test.peer = -1;
	test.writer = writer_new(&options);
	MUST(test.writer != NULL);
	pass_time(0);
	while (in.len > 0) {
		size_t used;

		used = 1 + step((uint8_t)in.p[0],
				(struct span){in.p + 1, in.len - 1});
		in.p += used;
		in.len -= used;
	}
	writer_free(test.writer);
	close(test.peer);
	/* Who connected last is not there any more. */
	while ((test.peer = accept4(test.listener, NULL, NULL, SOCK_CLOEXEC)) >=
	       0)
		close(test.peer);
	event_base_free(test.loop.base);
	return 0;
}

/* The socket's file goes with the process. */
__attribute__((destructor)) static void remove_socket(void)
{
	unlink(place());
}
