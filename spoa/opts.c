/* SPDX-License-Identifier: MIT */
/*
 * opts: the command line and the file go through the same setters.
 */
#include "opts.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>

#include "opts_table.h"

/* Whence a value comes; a later one wins. */
enum origin { FROM_DEFAULT, FROM_FILE, FROM_COMMAND_LINE };

struct parser {
	struct config *config;
	char *error;
	enum origin origin;
	char where[OPTS_ERROR_MAX];	    /* where the value at hand stands */
	unsigned char seen[OPTS_COUNT_MAX]; /* the origin of each value */
};

static bool complain(struct parser *in, const char *where, const char *what,
		     const char *value)
{
	snprintf(in->error, OPTS_ERROR_MAX, "%.200s: %s%s%.100s%s", where, what,
		 value ? ": '" : "", value ? value : "", value ? "'" : "");
	return false;
}

static void *place(const struct parser *in, const struct opts_option *option)
{
	return (char *)in->config + option->offset;
}

static void clear_item(struct opts_item *item)
{
	free(item->text);
	free(item->where);
	*item = (struct opts_item){0};
}

/* Puts the value in place of what the item holds. */
static bool set_item(struct parser *in, struct opts_item *item,
		     const char *value)
{
	clear_item(item);
	item->text = strdup(value);
	item->where = strdup(in->where);
	if (!item->text || !item->where)
		return complain(in, in->where, "out of memory", NULL);
	return true;
}

static void clear_list(struct opts_list *list)
{
	while (list->count > 0)
		clear_item(&list->items[--list->count]);
}

static bool add_item(struct parser *in, const struct opts_option *option,
		     const char *value)
{
	struct opts_list *list = place(in, option);

	if (in->seen[option - opts_table] < in->origin)
		clear_list(list);
	if (list->count == OPTS_LIST_MAX)
		return complain(in, in->where, "used more than 64 times", NULL);
	return set_item(in, &list->items[list->count++], value);
}

/* A number without sign, blanks or fraction; -1 when it is none or too large.
 * `*rest` is what follows it. */
static int64_t read_number(const char *text, const char **rest)
{
	char *end;
	long long n;

	if (!isdigit((unsigned char)*text))
		return -1;
	errno = 0;
	n = strtoll(text, &end, 10);
	*rest = end;
	return errno ? -1 : n;
}

/* HAProxy's suffixes: us, ms, s, m, h, d. */
static int64_t read_duration(const char *text, int64_t unit_ms)
{
	static const struct {
		const char *suffix;
		int64_t ms;
	} units[] = {{"ms", 1},
		     {"s", SECOND_MS},
		     {"m", 60 * SECOND_MS},
		     {"h", 3600 * SECOND_MS},
		     {"d", DAY_MS}};
	const char *rest;
	int64_t n = read_number(text, &rest);
	size_t i;

	if (n < 0)
		return -1;
	if (!strcmp(rest, "us"))
		return n / 1000 + (n % 1000 > 0);
	for (i = 0; *rest != '\0' && i < ARRAY_LEN(units); i++) {
		if (strcmp(rest, units[i].suffix) != 0)
			continue;
		unit_ms = units[i].ms;
		rest = "";
	}
	if (*rest != '\0' || n > INT64_MAX / DAY_MS)
		return -1;
	return n * unit_ms;
}

static bool set_number(struct parser *in, const struct opts_option *option,
		       const char *value)
{
	int64_t *number = place(in, option);
	const char *rest = "";
	char what[100];

	if (option->kind == OPTS_DURATION)
		*number = read_duration(value, option->unit_ms);
	else
		*number = read_number(value, &rest);
	if (*number >= option->min && *number <= option->max && *rest == '\0')
		return true;
	if (option->kind == OPTS_DURATION)
		snprintf(what, sizeof(what),
			 "not a time of %lld ms to %lld days",
			 (long long)option->min,
			 (long long)(option->max / DAY_MS));
	else
		snprintf(what, sizeof(what), "not a number from %lld to %lld",
			 (long long)option->min, (long long)option->max);
	if (option->max == 60 * SECOND_MS)
		snprintf(what, sizeof(what), "not a time of 1 ms to 60 s");
	return complain(in, in->where, what, value);
}

static bool set_choice(struct parser *in, const struct opts_option *option,
		       const char *value)
{
	const char *const *words = opts_words(option);
	int64_t i;

	for (i = 0; words[i]; i++) {
		if (strcmp(value, words[i]) != 0)
			continue;
		*(int64_t *)place(in, option) = i;
		return true;
	}
	return complain(in, in->where,
			option->kind == OPTS_FLAG ? "not on or off"
						  : option->help,
			value);
}

static bool note_where(struct parser *in, const struct opts_option *option)
{
	char **where = &in->config->where[option - opts_table];

	free(*where);
	*where = strdup(in->origin == FROM_DEFAULT ? "default" : in->where);
	return *where || complain(in, in->where, "out of memory", NULL);
}

static bool set_option(struct parser *in, const struct opts_option *option,
		       const char *value)
{
	bool done = false;

	if (*value == '\0')
		return complain(in, in->where, "needs a value", NULL);
	switch (option->kind) {
	case OPTS_TEXT:
		done = set_item(in, place(in, option), value);
		break;
	case OPTS_LIST:
		done = add_item(in, option, value);
		break;
	case OPTS_NUMBER:
	case OPTS_DURATION:
		done = set_number(in, option, value);
		break;
	case OPTS_FLAG:
	case OPTS_CHOICE:
		done = set_choice(in, option, value);
		break;
	}
	in->seen[option - opts_table] = (unsigned char)in->origin;
	return done && note_where(in, option);
}

static const struct opts_option *find_option(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < opts_count; i++)
		if (strlen(opts_table[i].name) == len &&
		    !memcmp(opts_table[i].name, name, len))
			return &opts_table[i];
	return NULL;
}

static bool set_defaults(struct parser *in)
{
	size_t i;

	in->origin = FROM_DEFAULT;
	for (i = 0; i < opts_count; i++) {
		snprintf(in->where, sizeof(in->where), "--%s",
			 opts_table[i].name);
		if (opts_table[i].initial &&
		    !set_option(in, &opts_table[i], opts_table[i].initial))
			return false;
	}
	return true;
}

/* The command line's option at argv[*i]; moves *i over its value. Sets it when
 * it is `local` or not, as asked. */
static bool take_argument(struct parser *in, int argc, char *const *argv,
			  int *i, bool local)
{
	const char *name = argv[*i] + 2;
	const struct opts_option *option;
	const char *value = "on";
	size_t len;

	snprintf(in->where, sizeof(in->where), "argument %d", *i);
	/* The argument itself may be a password that lost its option. */
	if (strncmp(argv[*i], "--", 2) != 0)
		return complain(in, in->where, "not an option; see --help",
				NULL);
	len = strcspn(name, "=");
	snprintf(in->where, sizeof(in->where), "--%.*s", (int)len, name);
	option = find_option(name, len);
	if (!option)
		return complain(in, in->where, "no such option; see --help",
				NULL);
	if (option->kind == OPTS_FLAG && name[len] == '=')
		return complain(in, in->where, "takes no value", NULL);
	if (option->kind != OPTS_FLAG) {
		value = name[len] == '=' ? name + len + 1
			: *i + 1 < argc	 ? argv[++*i]
					 : "";
	}
	if (local != option->is_local)
		return true;
	return set_option(in, option, value);
}

static bool parse_arguments(struct parser *in, int argc, char *const *argv,
			    bool local)
{
	int i;

	in->origin = FROM_COMMAND_LINE;
	for (i = 1; i < argc; i++)
		if (!take_argument(in, argc, argv, &i, local))
			return false;
	return true;
}

/* What the reader of lines and the handler of pairs share. inih cuts long
 * lines, continues indented ones, takes ` ;` for a comment and tells its
 * handler no line number: so it gets each line checked, unindented and with
 * its semicolons hidden. */
struct file {
	struct parser *in;
	FILE *stream;
	char *line; /* owned, getline's */
	size_t size;
	unsigned int number;
	bool failed;
};

enum { HIDDEN_SEMICOLON = '\x01' };

static bool complain_line(struct file *file, const char *what)
{
	char where[OPTS_ERROR_MAX];

	if (!file->failed) {
		snprintf(where, sizeof(where), "%.150s:%u",
			 file->in->config->config.text, file->number);
		complain(file->in, where, what, NULL);
	}
	file->failed = true;
	return false;
}

static char *swap_bytes(char *text, char from, char to)
{
	char *p;

	for (p = text; *p != '\0'; p++)
		if (*p == from)
			*p = to;
	return text;
}

/* Is the line a pair or a comment that inih will read as we do? */
static bool check_line(struct file *file, const char *line, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ' && line[i] != '\t')
			return complain_line(file, "control character");
	if (*line == '\0' || *line == '#' || *line == ';')
		return true;
	if (*line == '[')
		return complain_line(file, "there are no sections");
	if (line[strcspn(line, "=:")] != '=')
		return complain_line(file, "not `name = value`");
	return true;
}

/* inih's reader, in the manner of fgets. */
static char *read_line(char *to, int size, void *stream)
{
	struct file *file = stream;
	ssize_t got;
	size_t len;
	char *line;

	if (file->failed)
		return NULL;
	got = getline(&file->line, &file->size, file->stream);
	if (got < 0)
		return NULL;
	file->number++;
	len = (size_t)got;
	while (len > 0 &&
	       (file->line[len - 1] == '\n' || file->line[len - 1] == '\r'))
		file->line[--len] = '\0';
	line = file->line + strspn(file->line, " \t");
	len -= (size_t)(line - file->line);
	if (!check_line(file, line, len))
		return NULL;
	if (*line == '#' || *line == ';')
		*line = '\0';
	if (strlen(line) + 2 > (size_t)size) {
		complain_line(file, "line is too long");
		return NULL;
	}
	snprintf(to, (size_t)size, "%s\n",
		 swap_bytes(line, ';', HIDDEN_SEMICOLON));
	return to;
}

/* inih's handler of a pair. */
static int take_pair(void *user, const char *section, const char *name,
		     const char *value)
{
	struct file *file = user;
	const struct opts_option *option = find_option(name, strlen(name));
	char copy[1024];

	(void)section;
	if (file->failed)
		return 0;
	if (!option || option->is_local)
		return complain_line(file, "no such option");
	snprintf(file->in->where, sizeof(file->in->where), "%.150s:%u: %s",
		 file->in->config->config.text, file->number, option->name);
	snprintf(copy, sizeof(copy), "%s", value);
	if (option->kind != OPTS_LIST &&
	    file->in->seen[option - opts_table] == FROM_FILE) {
		file->failed = true;
		return complain(file->in, file->in->where,
				"set for the second time", NULL);
	}
	file->failed = !set_option(file->in, option,
				   swap_bytes(copy, HIDDEN_SEMICOLON, ';'));
	return !file->failed;
}

static bool parse_file(struct parser *in)
{
	const char *path = in->config->config.text;
	struct file file = {.in = in};
	int wrong;

	in->origin = FROM_FILE;
	file.stream = fopen(path, "re");
	if (!file.stream)
		return complain(in, path, strerror(errno), NULL);
	wrong = ini_parse_stream(read_line, &file, take_pair, &file);
	if (wrong > 0 && !file.failed) {
		file.number = (unsigned int)wrong;
		complain_line(&file, "not `name = value`");
	}
	if (ferror(file.stream) && !file.failed) {
		complain(in, path, "cannot be read", NULL);
		file.failed = true;
	}
	free(file.line);
	fclose(file.stream);
	return !file.failed;
}

bool opts_parse(int argc, char *const *argv, struct config *config,
		char error[OPTS_ERROR_MAX])
{
	struct parser in = {.config = config, .error = error};

	memset(config, 0, sizeof(*config));
	if (!set_defaults(&in) || !parse_arguments(&in, argc, argv, true))
		return false;
	if (config->help || config->version)
		return true;
	if (config->config.text && !parse_file(&in))
		return false;
	return parse_arguments(&in, argc, argv, false);
}

void opts_free(struct config *config)
{
	size_t i;

	for (i = 0; i < opts_count; i++) {
		void *place = (char *)config + opts_table[i].offset;

		if (opts_table[i].kind == OPTS_LIST)
			clear_list(place);
		else if (opts_table[i].kind == OPTS_TEXT)
			clear_item(place);
		free(config->where[i]);
		config->where[i] = NULL;
	}
}
