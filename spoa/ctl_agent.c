/* SPDX-License-Identifier: MIT */
/*
 * ctl_agent: questions to --admin, and what its answers mean.
 */
#include "ctl_agent.h"

#include <jansson.h>
#include <stdio.h>

#include "ctl_admin.h"
#include "ctl_render.h"

enum { TARGET_MAX = 1024 };

static const char *find_address(const struct ctl *ctl)
{
	return ctl->options.admin ? ctl->options.admin
				  : ctl->options.config.admin.text;
}

bool ctl_agent_is_named(const struct ctl *ctl)
{
	return find_address(ctl) != NULL;
}

/* Says what the agent refused, by the reason that it gives. */
static enum ctl_status refuse(const char *address, int code,
			      const json_t *answer)
{
	const char *reason =
		json_string_value(json_object_get(answer, "error"));
	struct ctl_shown shown;

	return ctl_complain(code == 404 ? CTL_MISSING : CTL_REFUSED,
			    "agent %s: %d %s", address, code,
			    ctl_show(span_of(reason ? reason : ""), &shown));
}

/* Asks; the answer, which may be NULL when it has no body, is to be given
 * back with json_decref. */
static enum ctl_status ask(const struct ctl *ctl, const char *method,
			   const char *target, json_t **answer)
{
	const char *address = find_address(ctl);
	enum ctl_status status = CTL_DONE;
	struct ctl_admin_reply reply;
	char error[CTL_ADMIN_ERROR_MAX];

	*answer = NULL;
	if (!address)
		return ctl_complain(CTL_MISUSED, "needs --admin ADDR");
	if (!ctl_admin_ask(address, method, target, &reply, error)) {
		ctl_admin_free(&reply);
		return ctl_complain(CTL_AWAY, "%s", error);
	}
	*answer = json_loadb(reply.body.p, reply.body.len,
			     JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	if (reply.status / 100 != 2)
		status = refuse(address, reply.status, *answer);
	else if (!*answer && reply.body.len > 0)
		status = ctl_complain(CTL_AWAY, "agent %s: no JSON", address);
	ctl_admin_free(&reply);
	return status;
}

static enum ctl_status print_answer(const struct ctl *ctl, json_t *answer)
{
	bool good = true;

	if (!answer)
		return CTL_DONE;
	if (ctl->options.json) {
		good = json_dumpf(answer, stdout,
				  JSON_ENSURE_ASCII | JSON_ENCODE_ANY) == 0;
		good = putchar('\n') != EOF && fflush(stdout) == 0 && good;
	} else {
		good = ctl_render(stdout, answer);
	}
	return good ? CTL_DONE
		    : ctl_complain(CTL_REFUSED, "the output cannot be written");
}

static enum ctl_status ask_and_print(struct ctl *ctl, const char *method,
				     const char *target)
{
	json_t *answer;
	enum ctl_status status = ask(ctl, method, target, &answer);

	if (status == CTL_DONE)
		status = print_answer(ctl, answer);
	json_decref(answer);
	return status;
}

enum ctl_status ctl_agent_config(struct ctl *ctl)
{
	return ask_and_print(ctl, "GET", "/config");
}

static enum ctl_status name_target(const char *path, const char *host,
				   char target[TARGET_MAX])
{
	if (ctl_admin_target(path, span_of(host), target, TARGET_MAX))
		return CTL_DONE;
	return ctl_complain(CTL_REFUSED, "the host is too long");
}

/* The status that the agent would give is the exit status, as it is when
 * Redis is asked. */
enum ctl_status ctl_agent_explain(struct ctl *ctl)
{
	char target[TARGET_MAX];
	const char *said;
	json_t *answer = NULL;
	enum ctl_status status =
		name_target("/explain", ctl->options.words[0], target);

	if (status == CTL_DONE)
		status = ask(ctl, "GET", target, &answer);
	if (status == CTL_DONE)
		status = print_answer(ctl, answer);
	said = json_string_value(json_object_get(answer, "status"));
	if (status == CTL_DONE && said && !strcmp(said, "not_found"))
		status = CTL_MISSING;
	else if (status == CTL_DONE && said && strcmp(said, "ok") != 0)
		status = CTL_REFUSED;
	json_decref(answer);
	return status;
}

enum ctl_status ctl_agent_top(struct ctl *ctl)
{
	const char *count = "20";
	char target[TARGET_MAX];
	size_t len;

	if (ctl->options.word_count > 0)
		count = ctl->options.words[0];
	len = strlen(count);
	if (len == 0 || len > 4 || strspn(count, "0123456789") != len)
		return ctl_complain(CTL_MISUSED, "top: not a number");
	snprintf(target, sizeof(target), "/routes?order=uses&limit=%s", count);
	return ask_and_print(ctl, "GET", target);
}

enum ctl_status ctl_agent_flush(struct ctl *ctl)
{
	enum ctl_status status = CTL_DONE;
	char target[TARGET_MAX];
	size_t i;

	if (ctl->options.word_count == 0)
		return ask_and_print(ctl, "POST", "/flush");
	for (i = 0; i < ctl->options.word_count && status == CTL_DONE; i++) {
		status = name_target("/flush", ctl->options.words[i], target);
		if (status == CTL_DONE)
			status = ask_and_print(ctl, "POST", target);
	}
	return status;
}
