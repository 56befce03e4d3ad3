/* SPDX-License-Identifier: MIT */
/*
 * writer: one line of commands under way at a time.
 */
#include "writer.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"
#include "runtime_api.h"

enum {
	HOST_MAX = 253,		/* bytes of a host */
	QUEUE_MAX = 256 * 1024, /* bytes of commands that wait */
	LEND_ROOM = 64 * 1024,	/* no more of them for lending */
	COMMAND_MAX = 512,	/* bytes of one command */
	RETRY_MIN_MS = 50,	/* after a loss; doubles */
	RETRY_MAX_MS = 5000,
	PATIENCE_MS = 5000,  /* with a reply */
	SLOW_MS = 500,	     /* after this a table counts as slow */
	INFO_MS = 1000,	     /* between two looks at the process */
	MISSED_MS = 100,     /* the same when it asked what it was lent */
	EMPTY_TRIES = 50,    /* others may write the table, too */
	WARN_MS = 60 * 1000, /* at most one warning of a kind */
};

enum writer_state {
	WRITER_DOWN,	 /* not connected, or connecting */
	WRITER_GREETING, /* `prompt` */
	WRITER_PROBING,	 /* is the table what it must be? */
	WRITER_EMPTYING, /* until nothing is in it */
	WRITER_OPEN,	 /* takes commands */
	WRITER_LEAVING,	 /* a process that ends: its table is emptied */
};

struct writer {
	struct writer_options options;
	struct runtime_api api;
	struct event *timer; /* the next try, patience, or a look */
	enum writer_state state;
	bool is_info;	  /* the line under way asks for the process */
	bool was_missed;  /* it asked for what it was lent */
	bool must_empty;  /* take-backs were lost in an overflow */
	bool is_refused;  /* this line was answered with a complaint */
	int tries;	  /* of emptying */
	bool is_stopping; /* the process said so */
	int64_t used;	  /* what the table said it holds */
	int64_t retry_ms; /* the next delay */
	int64_t sent_ms;  /* the line under way */
	int64_t busy_ms;  /* since then something is unreplied; 0 is nothing */
	int64_t info_ms;  /* the last look at the process */
	size_t hosts_max; /* size of the table */
	int64_t expire_ms;
	char problem[64]; /* the last that was said */
	struct log_limit warned;
	struct log_limit complained;
	char line[RUNTIME_API_LINE_MAX]; /* under way; commands end with `;` */
	size_t line_len;
	char *queue; /* QUEUE_MAX bytes; commands end with `;` */
	size_t queue_at;
	size_t queue_len;
};

static int64_t now(const struct writer *writer)
{
	return loop_now(writer->options.loop);
}

static void set_state(struct writer *writer, enum writer_state state)
{
	bool was_open = writer->state == WRITER_OPEN;

	writer->state = state;
	if (was_open != (state == WRITER_OPEN)) {
		if (was_open)
			writer->options.counters->open--;
		else
			writer->options.counters->open++;
		writer->options.changed(writer->options.context);
	}
	if (state != WRITER_OPEN) {
		writer->queue_at = writer->queue_len = 0;
		writer->must_empty = false;
		writer->busy_ms = 0;
	}
}

/* Sends what is in `line`: commands that end with `;`. */
static void send_line(struct writer *writer)
{
	struct writer_counters *counters = writer->options.counters;
	struct span line = {writer->line, writer->line_len - 1};
	size_t count = 0;
	size_t i;

	for (i = 0; i < writer->line_len; i++)
		count += writer->line[i] == ';';
	counters->commands += count;
	writer->sent_ms = now(writer);
	writer->is_refused = false;
	runtime_api_send(&writer->api, line, count);
	loop_arm(writer->timer, PATIENCE_MS);
}

/* A key as long as a host can be. None is made of dots alone. */
static struct span probe_key(void)
{
	static char key[HOST_MAX];

	memset(key, '.', sizeof(key));
	return (struct span){key, sizeof(key)};
}

/* Sends commands; `@` stands for the table, `#` for the key above. */
static void send_text(struct writer *writer, const char *text)
{
	const struct span table = span_of(writer->options.table);
	const struct span key = probe_key();

	for (writer->line_len = 0; *text != '\0'; text++) {
		struct span part = {text, 1};

		if (*text == '@')
			part = table;
		else if (*text == '#')
			part = key;
		memcpy(writer->line + writer->line_len, part.p, part.len);
		writer->line_len += part.len;
	}
	send_line(writer);
}

/* May it be said now? What is new may, and once a minute what is not. */
static bool may_warn(struct writer *writer, const char *why, uint64_t *held)
{
	if (strncmp(writer->problem, why, sizeof(writer->problem) - 1) != 0)
		writer->warned.next_ms = 0;
	snprintf(writer->problem, sizeof(writer->problem), "%s", why);
	return log_limit_pass(&writer->warned, now(writer), WARN_MS, held);
}

static void give_up(struct writer *writer, const char *why, struct span said)
{
	uint64_t held;

	runtime_api_close(&writer->api);
	set_state(writer, WRITER_DOWN);
	writer->options.counters->losses++;
	if (may_warn(writer, why, &held))
		log_warn("haproxy socket cannot be used",
			 log_text("socket", writer->options.path),
			 log_text("table", writer->options.table),
			 log_text("error", why), log_span("said", said),
			 log_number("held_back", (int64_t)held));
	loop_arm(writer->timer, writer->retry_ms);
	writer->retry_ms *= 2;
	if (writer->retry_ms > RETRY_MAX_MS)
		writer->retry_ms = RETRY_MAX_MS;
}

static void send_emptying(struct writer *writer)
{
	/* What is being read by another thread just then stays: so look. */
	send_text(writer, "clear table @;show table @ data.gpc0 lt 0;");
}

static void begin_emptying(struct writer *writer)
{
	set_state(writer, WRITER_EMPTYING);
	writer->tries = 0;
	writer->used = -1;
	send_emptying(writer);
}

/* The number after `name` in what a table or HAProxy says of itself; -1 when
 * there is none. */
static int64_t find_number(struct span text, const char *name)
{
	const char *at = memmem(text.p, text.len, name, strlen(name));
	const char *end = text.p + text.len;
	int64_t number = 0;

	if (!at)
		return -1;
	at += strlen(name);
	if (at == end || !isdigit((unsigned char)*at))
		return -1;
	for (; at < end && isdigit((unsigned char)*at); at++)
		if (number < INT64_MAX / 100)
			number = number * 10 + (*at - '0');
	return number;
}

/* What the table says of a key that is as long as a host can be. */
static const char *judge_table(struct writer *writer, struct span text)
{
	int64_t size = find_number(text, "size:");
	int64_t exp_ms = find_number(text, " exp=");
	const struct span key = probe_key();

	if (!memmem(text.p, text.len, "type: string", 12))
		return "the table is not of type string";
	if (!memmem(text.p, text.len, key.p, key.len))
		return "the table cuts its keys: it needs len 254";
	if (find_number(text, "gpt0=") != 1 || find_number(text, "gpc0=") != 2)
		return "the table does not store gpt0,gpc0";
	if (exp_ms <= 0)
		return "the table has no expire";
	writer->hosts_max = size > 0 ? (size_t)size : 1;
	/* Some of it has passed when it is told. */
	writer->expire_ms = (exp_ms + 99) / 100 * 100;
	return NULL;
}

static void take_probe(struct writer *writer, size_t n, struct span text)
{
	const char *problem = NULL;

	if (n == 1)
		problem = judge_table(writer, text);
	else if (text.len > 0)
		problem = "it refuses";
	if (problem)
		give_up(writer, problem, text);
}

static void leave(struct writer *writer)
{
	log_info("haproxy process ends: its table is emptied",
		 log_text("socket", writer->options.path));
	set_state(writer, WRITER_LEAVING);
	send_text(writer, "clear table @;");
}

static void append(struct writer *writer, const char *command, size_t len)
{
	if (writer->queue_at > 0 &&
	    writer->queue_at + writer->queue_len + len > QUEUE_MAX) {
		memmove(writer->queue, writer->queue + writer->queue_at,
			writer->queue_len);
		writer->queue_at = 0;
	}
	if (writer->queue_len + len > QUEUE_MAX) {
		writer->queue_at = writer->queue_len = 0;
		writer->must_empty = true;
		writer->options.counters->overflows++;
		return;
	}
	memcpy(writer->queue + writer->queue_at + writer->queue_len, command,
	       len);
	writer->queue_len += len;
	if (writer->busy_ms == 0)
		writer->busy_ms = now(writer);
}

/* The n-th command of the line under way, without its `;`. */
static struct span find_command(const struct writer *writer, size_t n)
{
	struct span rest = {writer->line, writer->line_len};
	const char *end = memchr(rest.p, ';', rest.len);

	for (; end && n > 0; n--) {
		rest.len -= (size_t)(end + 1 - rest.p);
		rest.p = end + 1;
		end = memchr(rest.p, ';', rest.len);
	}
	if (end)
		rest.len = (size_t)(end - rest.p);
	return rest;
}

/* Another thread reads the entry just now, so it stays. Without a port it says
 * nothing, and then it is removed again. */
static void take_back_again(struct writer *writer, struct span clear)
{
	char command[2 * COMMAND_MAX];
	const char *key = memrchr(clear.p, ' ', clear.len);
	int len;

	if (!key)
		return;
	len = snprintf(command, sizeof(command),
		       "set table %s key%.*s data.gpc0 0;%.*s;",
		       writer->options.table, (int)(clear.p + clear.len - key),
		       key, (int)clear.len, clear.p);
	append(writer, command, (size_t)len);
}

static void take_complaint(struct writer *writer, size_t n, struct span text)
{
	struct span command = find_command(writer, n);
	bool is_clear = span_starts(command, "clear ");
	uint64_t held;

	if (is_clear && memmem(text.p, text.len, "in use", 6)) {
		take_back_again(writer, command);
		return;
	}
	writer->options.counters->errors++;
	if (log_limit_pass(&writer->complained, now(writer), WARN_MS, &held))
		log_warn("haproxy refused a command",
			 log_text("socket", writer->options.path),
			 log_span("command", command), log_span("said", text),
			 log_number("held_back", (int64_t)held));
	if (is_clear)
		writer->is_refused = true;
}

static void on_replied(void *context, size_t n, struct span text)
{
	struct writer *writer = context;

	switch (writer->state) {
	case WRITER_PROBING:
		take_probe(writer, n, text);
		break;
	case WRITER_EMPTYING:
		if (n == 1)
			writer->used = find_number(text, "used:");
		else if (text.len > 0)
			give_up(writer, "it refuses", text);
		break;
	case WRITER_OPEN:
		if (writer->is_info)
			writer->is_stopping =
				find_number(text, "Stopping: ") == 1;
		else if (text.len > 0)
			take_complaint(writer, n, text);
		break;
	case WRITER_GREETING:
	case WRITER_LEAVING:
	case WRITER_DOWN:
		break;
	}
}

static void go_open(struct writer *writer)
{
	set_state(writer, WRITER_OPEN);
	writer->options.counters->connects++;
	writer->retry_ms = RETRY_MIN_MS;
	writer->info_ms = now(writer);
	loop_arm(writer->timer, INFO_MS);
	log_info("haproxy socket is open",
		 log_text("socket", writer->options.path),
		 log_text("table", writer->options.table),
		 log_number("size", (int64_t)writer->hosts_max),
		 log_number("expire_ms", writer->expire_ms));
}

/* The line under way was replied to, in a writer that takes commands. */
static void finish_line(struct writer *writer)
{
	bool was_info = writer->is_info;

	writer->is_info = false;
	loop_arm(writer->timer, INFO_MS);
	if (now(writer) - writer->busy_ms > SLOW_MS && writer->busy_ms != 0)
		writer->options.slow(writer->options.context);
	if (writer->queue_len == 0)
		writer->busy_ms = 0;
	if (was_info && writer->is_stopping)
		leave(writer);
	else if (writer->is_refused)
		give_up(writer, "it does not take back", (struct span){0});
}

static void go_on_emptying(struct writer *writer)
{
	if (writer->used > 0 && writer->tries++ < EMPTY_TRIES)
		send_emptying(writer);
	else if (writer->used < 0)
		give_up(writer, "it says nothing of the table",
			(struct span){0});
	else
		go_open(writer);
}

static void connect_to(struct writer *writer)
{
	loop_arm(writer->timer, PATIENCE_MS);
	runtime_api_open(&writer->api, writer->options.path);
}

static void on_ready(void *context)
{
	struct writer *writer = context;

	switch (writer->state) {
	case WRITER_DOWN:
		set_state(writer, WRITER_GREETING);
		send_text(writer, "prompt;");
		break;
	case WRITER_GREETING:
		set_state(writer, WRITER_PROBING);
		send_text(writer, "set table @ key # data.gpt0 1 data.gpc0 2;"
				  "show table @ key #;clear table @ key #;");
		break;
	case WRITER_PROBING:
		begin_emptying(writer);
		break;
	case WRITER_EMPTYING:
		go_on_emptying(writer);
		break;
	case WRITER_OPEN:
		finish_line(writer);
		break;
	case WRITER_LEAVING:
		runtime_api_close(&writer->api);
		set_state(writer, WRITER_DOWN);
		connect_to(writer);
		break;
	}
}

static void on_lost(void *context, const char *why)
{
	give_up(context, why, (struct span){0});
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct writer *writer = context;

	(void)fd;
	(void)what;
	if (!writer->api.wire)
		connect_to(writer);
	else if (writer->state != WRITER_OPEN ||
		 !runtime_api_is_ready(&writer->api))
		give_up(writer, "it does not answer", (struct span){0});
	/* Else the end of the turn looks at the process. */
}

/* Puts whole commands of the queue into the line, as many as it can take. */
static void fill_line(struct writer *writer)
{
	const char *queue = writer->queue + writer->queue_at;
	size_t len = writer->queue_len;

	if (len > sizeof(writer->line)) {
		const char *end = memrchr(queue, ';', sizeof(writer->line));

		len = end ? (size_t)(end + 1 - queue) : len;
	}
	memcpy(writer->line, queue, len);
	writer->line_len = len;
	writer->queue_len -= len;
	writer->queue_at = writer->queue_len > 0 ? writer->queue_at + len : 0;
}

void writer_work(struct writer *writer)
{
	int64_t now_ms = now(writer);
	int64_t look_ms = writer->was_missed ? MISSED_MS : INFO_MS;

	if (writer->state != WRITER_OPEN || !runtime_api_is_ready(&writer->api))
		return;
	if (writer->must_empty) {
		begin_emptying(writer);
	} else if (now_ms - writer->info_ms >= look_ms) {
		writer->info_ms = now_ms;
		writer->was_missed = false;
		writer->is_info = true;
		send_text(writer, "show info;");
	} else if (writer->queue_len > 0) {
		fill_line(writer);
		send_line(writer);
	}
}

bool writer_is_open(const struct writer *writer)
{
	return writer->state == WRITER_OPEN;
}

size_t writer_hosts_max(const struct writer *writer)
{
	return writer->hosts_max;
}

int64_t writer_expire_ms(const struct writer *writer)
{
	return writer->expire_ms;
}

bool writer_lend(struct writer *writer, struct span host, uint32_t address,
		 uint16_t port)
{
	char command[COMMAND_MAX];
	int len;

	if (writer->state != WRITER_OPEN)
		return false;
	if (writer->queue_len > LEND_ROOM || writer->must_empty ||
	    (writer->busy_ms != 0 && now(writer) - writer->busy_ms > SLOW_MS)) {
		writer->options.counters->skips++;
		return false;
	}
	len = snprintf(command, sizeof(command),
		       "set table %s key %.*s data.gpt0 %u data.gpc0 %u;",
		       writer->options.table, (int)host.len, host.p, address,
		       port);
	append(writer, command, (size_t)len);
	return true;
}

void writer_take_back(struct writer *writer, struct span host)
{
	char command[COMMAND_MAX];
	int len;

	if (writer->state != WRITER_OPEN || writer->must_empty)
		return;
	len = snprintf(command, sizeof(command), "clear table %s key %.*s;",
		       writer->options.table, (int)host.len, host.p);
	append(writer, command, (size_t)len);
}

void writer_take_back_all(struct writer *writer)
{
	if (writer->state == WRITER_OPEN)
		writer->must_empty = true;
}

void writer_look(struct writer *writer)
{
	writer->was_missed = true;
}

struct writer *writer_new(const struct writer_options *options)
{
	struct writer *writer = calloc(1, sizeof(*writer));

	if (!writer)
		return NULL;
	writer->options = *options;
	writer->retry_ms = RETRY_MIN_MS;
	writer->api = (struct runtime_api){.loop = options->loop,
					   .replied = on_replied,
					   .ready = on_ready,
					   .lost = on_lost,
					   .context = writer};
	writer->queue = malloc(QUEUE_MAX);
	writer->timer = evtimer_new(options->loop->base, on_timer, writer);
	if (writer->queue && writer->timer) {
		loop_arm(writer->timer, 0);
		return writer;
	}
	writer_free(writer);
	return NULL;
}

void writer_free(struct writer *writer)
{
	if (!writer)
		return;
	runtime_api_close(&writer->api);
	free(writer->queue);
	if (writer->timer)
		event_free(writer->timer);
	free(writer);
}
