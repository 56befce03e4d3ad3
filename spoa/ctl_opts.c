/* SPDX-License-Identifier: MIT */
/*
 * ctl_opts: sorts the arguments into words, own options and those that opts
 * reads.
 */
#include "ctl_opts.h"

#include <stdio.h>
#include <stdlib.h>

static const struct {
	const char *name;
	const char *words; /* what --help calls them */
	size_t min, max;   /* how many */
	const char *help;
} commands[CTL_COMMANDS] = {
	[CTL_SET] = {"set", "HOST TARGET...", 2, SIZE_MAX,
		     "send a host there: 10.0.0.1:80 weight 3 10.0.0.2:80 "
		     "backup"},
	[CTL_GET] = {"get", "HOST", 1, 1, "print the route of a field"},
	[CTL_DEL] = {"del", "HOST...", 1, SIZE_MAX, "remove routes"},
	[CTL_LS] = {"ls", "[PATTERN]", 0, 1,
		    "list routes; a pattern as in '*.shop.com'"},
	[CTL_IMPORT] = {"import", "FILE", 1, 1,
			"take `host route` lines from a file, - is stdin"},
	[CTL_EXPORT] = {"export", "", 0, 0, "print all routes as such lines"},
	[CTL_DIFF] = {"diff", "FILE", 1, 1, "show what import would change"},
	[CTL_CHECK] = {"check", "", 0, 0, "report what the agent cannot use"},
	[CTL_EXPLAIN] = {"explain", "HOST", 1, 1,
			 "show which route answers a host, and why"},
	[CTL_FLUSH] = {"flush", "[HOST...]", 0, SIZE_MAX,
		       "have all agents read these, or all, again"},
	[CTL_WATCH] = {"watch", "", 0, 0, "show changes as they happen"},
	[CTL_TOP] = {"top", "[N]", 0, 1,
		     "the N most used routes of an agent, 20 or up to 1000"},
	[CTL_CONFIG] = {"config", "", 0, 0, "what is in force in an agent"},
};

#define PLACE(member) offsetof(struct ctl_options, member)
#define SHARED SIZE_MAX /* with the agent: opts reads it */

static const struct option {
	const char *name;
	const char *value; /* what --help calls it; NULL: a flag */
	size_t offset;	   /* of its place, or SHARED */
	const char *help;
} options[] = {
	{"redis", "URL", SHARED,
	 "as the agent's: redis://[user:password@]host[:port][/db], rediss:// "
	 "with TLS, redis-sentinel://host,.../NAME or unix:/path[?db=N] "
	 "(repeatable: the first that answers)"},
	{"redis-password-file", "FILE", SHARED,
	 "password for URLs without one (or environment REDIS_PASSWORD)"},
	{"sentinel-user", "NAME", SHARED, "user at the sentinels"},
	{"sentinel-password-file", "FILE", SHARED,
	 "password for the sentinels (or environment SENTINEL_PASSWORD)"},
	{"redis-ca", "FILE", SHARED,
	 "authorities that may vouch for a rediss:// server"},
	{"redis-cert", "FILE", SHARED,
	 "our certificate, for servers that want one"},
	{"redis-key", "FILE", SHARED, "its key, when in a file of its own"},
	{"routes", "KEY", SHARED, "name of the hash in Redis"},
	{"allow-target", "CIDR", SHARED,
	 "as the agent's: routes may name it although it is denied"},
	{"deny-target", "CIDR", SHARED,
	 "as the agent's: routes may not name it"},
	{"config", "FILE", SHARED,
	 "the agent's file, for what it says of these"},
	{"admin", "ADDR", PLACE(admin),
	 "the agent's --admin: IP:PORT or unix:/path"},
	{"front", "ADDR", PLACE(front),
	 "where HAProxy listens, to warn of loops (or environment "
	 "ROUTER_BIND)"},
	{"from", "hipache", PLACE(from),
	 "import takes the URL of a Redis in place of a file, and what "
	 "Hipache keeps there"},
	{"replace", NULL, PLACE(replace),
	 "import and diff: remove what the file does not name"},
	{"yes", NULL, PLACE(yes), "do not ask before all routes are removed"},
	{"progress", NULL, PLACE(progress),
	 "import: show how far it is, without a terminal too"},
	{"json", NULL, PLACE(json), "write JSON"},
	{"quiet", NULL, PLACE(quiet), "no notes on stderr"},
	{"version", NULL, PLACE(version), "print the version and exit"},
	{"help", NULL, PLACE(help), "print this text and exit"},
};

struct parser {
	struct ctl_options *to;
	char *error;
	char **shared; /* the arguments for opts */
	size_t shared_count;
	char **words; /* the command first */
	size_t word_count;
};

static bool complain(struct parser *in, const char *where, const char *what)
{
	snprintf(in->error, OPTS_ERROR_MAX, "%.200s: %.200s", where, what);
	return false;
}

static const struct option *find_option(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < ARRAY_LEN(options); i++)
		if (strlen(options[i].name) == len &&
		    !memcmp(options[i].name, name, len))
			return &options[i];
	return NULL;
}

/* The option at argv[*i]; moves *i over its value. */
static bool take_option(struct parser *in, int argc, char *const *argv, int *i)
{
	char *argument = argv[*i];
	size_t len = strcspn(argument + 2, "=");
	bool has_value = argument[2 + len] == '=';
	const struct option *option = find_option(argument + 2, len);
	char where[100];
	char *value;

	snprintf(where, sizeof(where), "--%.*s", (int)len, argument + 2);
	if (!option)
		return complain(in, where, "no such option; see --help");
	if (!option->value) {
		if (has_value)
			return complain(in, where, "takes no value");
		*(bool *)((char *)in->to + option->offset) = true;
		return true;
	}
	if (has_value)
		value = argument + 3 + len;
	else if (*i + 1 < argc)
		value = argv[++*i];
	else
		return complain(in, where, "needs a value");
	if (*value == '\0')
		return complain(in, where, "needs a value");
	if (option->offset != SHARED) {
		*(const char **)((char *)in->to + option->offset) = value;
		return true;
	}
	in->shared[in->shared_count++] = argument;
	if (!has_value)
		in->shared[in->shared_count++] = value;
	return true;
}

static bool take_arguments(struct parser *in, int argc, char *const *argv)
{
	bool are_words = false;
	int i;

	in->shared[in->shared_count++] = argv[0];
	for (i = 1; i < argc; i++) {
		if (!are_words && !strcmp(argv[i], "--"))
			are_words = true;
		else if (are_words || argv[i][0] != '-' || argv[i][1] == '\0')
			in->words[in->word_count++] = argv[i];
		else if (argv[i][1] != '-')
			return complain(in, argv[i],
					"no such option; see --help");
		else if (!take_option(in, argc, argv, &i))
			return false;
	}
	return true;
}

static bool take_command(struct parser *in)
{
	struct ctl_options *to = in->to;
	const char *name;
	size_t i = 0;

	if (in->word_count == 0)
		return complain(in, "no command", "see --help");
	name = in->words[0];
	while (i < CTL_COMMANDS && strcmp(name, commands[i].name) != 0)
		i++;
	if (i == CTL_COMMANDS)
		return complain(in, name, "no such command; see --help");
	to->command = (enum ctl_command)i;
	to->word_count = in->word_count - 1;
	memmove(in->words, in->words + 1, to->word_count * sizeof(char *));
	if (to->word_count >= commands[i].min &&
	    to->word_count <= commands[i].max)
		return true;
	snprintf(in->error, OPTS_ERROR_MAX, "usage: routectl %s %s", name,
		 commands[i].words);
	return false;
}

/* Options that only some commands have. */
static bool check_use(struct parser *in)
{
	const struct ctl_options *to = in->to;
	bool is_import = to->command == CTL_IMPORT;

	if (to->replace && !is_import && to->command != CTL_DIFF)
		return complain(in, "--replace", "only with import and diff");
	if (to->from && !is_import && to->command != CTL_DIFF)
		return complain(in, "--from", "only with import and diff");
	if (to->from && strcmp(to->from, "hipache") != 0)
		return complain(in, "--from", "knows only hipache");
	return true;
}

bool ctl_opts_parse(int argc, char *const *argv, struct ctl_options *to,
		    char error[OPTS_ERROR_MAX])
{
	struct parser in = {.to = to, .error = error};
	size_t room = (size_t)argc + 1;
	bool good = false;

	memset(to, 0, sizeof(*to));
	in.shared = calloc(room, sizeof(char *));
	in.words = to->words = calloc(room, sizeof(char *));
	if (!in.shared || !in.words)
		complain(&in, "start", "out of memory");
	else if (take_arguments(&in, argc, argv))
		good = to->help || to->version ||
		       (take_command(&in) && check_use(&in) &&
			opts_parse((int)in.shared_count, in.shared, &to->config,
				   error));
	free(in.shared);
	return good;
}

void ctl_opts_free(struct ctl_options *to)
{
	opts_free(&to->config);
	free(to->words);
}

void ctl_opts_print_help(void)
{
	char name[64];
	size_t i;

	printf("Usage: routectl [--OPTION [VALUE]]... COMMAND [WORD]...\n"
	       "Shows and changes the routes that spoa-router serves.\n\n");
	for (i = 0; i < CTL_COMMANDS; i++) {
		snprintf(name, sizeof(name), "%s %s", commands[i].name,
			 commands[i].words);
		printf("  %-27s %s\n", name, commands[i].help);
	}
	printf("\n");
	for (i = 0; i < ARRAY_LEN(options); i++) {
		snprintf(name, sizeof(name), "--%s %s", options[i].name,
			 options[i].value ? options[i].value : "");
		printf("  %-27s %s\n", name, options[i].help);
	}
	printf("\nExit status: 0 done, 1 refused or something found, 2 wrong "
	       "use, 3 Redis or the\nagent cannot be asked, 4 not found.\n");
}
