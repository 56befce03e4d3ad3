/* SPDX-License-Identifier: MIT */
/*
 * fuzz_runtime_api: the input is what HAProxy's socket says to lines of three
 * commands, in pieces behind a byte of length; one of the greatest length is
 * said again and again. Each reply has its number, in
 * order, and a line may go only when all before it were replied to.
 */
#include "fuzz.h"

#include "../../spoa/runtime_api.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { COMMANDS = 3, LINES_MAX = 20, REPEATED = 255 };

static struct {
	struct loop loop;
	struct runtime_api api;
	int listener, peer;
	size_t lines;
	size_t replied; /* of the line */
	size_t lost;
} test;

static void on_replied(void *context, size_t n, struct span text)
{
	MUST(context == &test && test.lost == 0);
	MUST(n == test.replied && n < COMMANDS);
	MUST(text.len <= RUNTIME_API_REPLY_MAX);
	test.replied++;
}

static void on_ready(void *context)
{
	const char line[] = "a;b;c";

	(void)context;
	MUST(test.lost == 0 && runtime_api_is_ready(&test.api));
	MUST(test.lines == 0 || test.replied == COMMANDS);
	if (test.lines++ == LINES_MAX)
		return;
	test.replied = 0;
	runtime_api_send(&test.api, (struct span){line, sizeof(line) - 1},
			 COMMANDS);
	MUST(!runtime_api_is_ready(&test.api));
}

static void on_lost(void *context, const char *why)
{
	(void)context;
	MUST(*why != '\0' && !runtime_api_is_ready(&test.api));
	test.lost++;
}

/* Where the socket lies; made once. */
static const char *place(void)
{
	static char path[100];
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (path[0] != '\0')
		return path;
	snprintf(path, sizeof(path), "/tmp/fuzz-runtime-%d", (int)getpid());
	memcpy(address.sun_path, path, strlen(path));
	test.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unlink(path);
	MUST(bind(test.listener, (struct sockaddr *)&address,
		  sizeof(address)) == 0);
	MUST(listen(test.listener, 8) == 0);
	return path;
}

static void run(void)
{
	size_t i;

	for (i = 0; i < 4; i++) {
		test.loop.now_ms = 0;
		event_base_loop(test.loop.base, EVLOOP_NONBLOCK);
	}
}

static void say(struct span bytes)
{
	while (bytes.len > 0 && test.lost == 0) {
		ssize_t sent = send(test.peer, bytes.p, bytes.len,
				    MSG_NOSIGNAL | MSG_DONTWAIT);

		MUST(sent > 0 || errno == EPIPE || errno == ECONNRESET ||
		     errno == EAGAIN);
		if (sent > 0) {
			bytes.p += sent;
			bytes.len -= (size_t)sent;
		}
		run();
	}
}

/* More than HAProxy would ever say. */
static void repeat(struct span piece)
{
	static char bytes[300 * 1024];
	size_t i;

	for (i = 0; i + piece.len <= sizeof(bytes); i += piece.len)
		memcpy(bytes + i, piece.p, piece.len);
	say((struct span){bytes, i});
}

static void speak(struct span in)
{
	while (in.len > 0 && test.lost == 0) {
		size_t len = (uint8_t)*in.p;
		bool is_repeated = len == REPEATED;

		in.p++;
		in.len--;
		len = len < in.len ? len : in.len;
		if (is_repeated && len > 0)
			repeat((struct span){in.p, len});
		else
			say((struct span){in.p, len});
		in.p += len;
		in.len -= len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	const char *path = place();

	signal(SIGPIPE, SIG_IGN);

	test.lines = test.replied = test.lost = 0;
	MUST(loop_init(&test.loop));
	test.api = (struct runtime_api){.loop = &test.loop,
					.replied = on_replied,
					.ready = on_ready,
					.lost = on_lost,
					.context = &test};
	runtime_api_open(&test.api, path);
	test.peer = accept4(test.listener, NULL, NULL, SOCK_CLOEXEC);
	MUST(test.peer >= 0);
	run();
	speak((struct span){(const char *)bytes, len});
	close(test.peer);
	run();
	MUST(test.lost == 1);
	runtime_api_close(&test.api);
	loop_fini(&test.loop);
	return 0;
}

/* The socket's file goes with the process. */
__attribute__((destructor)) static void remove_socket(void)
{
	char path[100];

	snprintf(path, sizeof(path), "/tmp/fuzz-runtime-%d", (int)getpid());
	unlink(path);
}
