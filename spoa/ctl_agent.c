/* SPDX-License-Identifier: MIT */
/*
 * ctl_agent: questions and answers of --admin, line by line.
 */
#include "ctl_agent.h"

#include <stdio.h>

#include "ctl_admin.h"
#include "ctl_report.h"

enum { TARGET_MAX = 1024 };

/* Prints an answer: its lines stay, what a terminal could obey does not. */
static void print_body(FILE *out, struct span body)
{
	while (body.len > 0) {
		const char *end = memchr(body.p, '\n', body.len);
		size_t len = end ? (size_t)(end - body.p) : body.len;

		ctl_report_escape(out, (struct span){body.p, len});
		fputc('\n', out);
		len += end != NULL;
		body.p += len;
		body.len -= len;
	}
}

enum ctl_status ctl_agent_ask(struct ctl *ctl, const char *method,
			      const char *target)
{
	const char *address = ctl->options.admin;
	enum ctl_status status = CTL_DONE;
	struct ctl_admin_reply reply;
	char error[CTL_ADMIN_ERROR_MAX];

	if (!address)
		return ctl_complain(CTL_MISUSED, "needs --admin ADDR");
	if (!ctl_admin_ask(address, method, target, &reply, error)) {
		status = ctl_complain(CTL_AWAY, "%s", error);
	} else if (reply.status / 100 != 2) {
		status = ctl_complain(
			reply.status == 404 ? CTL_MISSING : CTL_REFUSED,
			"agent %s: status %d", address, reply.status);
		print_body(stderr, reply.body);
	} else {
		print_body(stdout, reply.body);
	}
	ctl_admin_free(&reply);
	return status;
}

enum ctl_status ctl_agent_config(struct ctl *ctl)
{
	return ctl_agent_ask(ctl, "GET", "/config");
}

static enum ctl_status ask_host(struct ctl *ctl, const char *method,
				const char *path, const char *host)
{
	char target[TARGET_MAX];

	if (!ctl_admin_target(path, span_of(host), target, sizeof(target)))
		return ctl_complain(CTL_REFUSED, "the host is too long");
	return ctl_agent_ask(ctl, method, target);
}

enum ctl_status ctl_agent_explain(struct ctl *ctl)
{
	return ask_host(ctl, "GET", "/explain", ctl->options.words[0]);
}

enum ctl_status ctl_agent_flush(struct ctl *ctl)
{
	enum ctl_status status = CTL_DONE;
	size_t i;

	if (ctl->options.word_count == 0)
		return ctl_agent_ask(ctl, "POST", "/flush");
	for (i = 0; i < ctl->options.word_count && status == CTL_DONE; i++)
		status = ask_host(ctl, "POST", "/flush", ctl->options.words[i]);
	return status;
}
