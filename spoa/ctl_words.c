/* SPDX-License-Identifier: MIT */
/*
 * ctl_words: puts a comma before each target, a semicolon before the first
 * option and a blank before everything else.
 */
#include "ctl_words.h"

#include <stdio.h>

enum place { AT_START, IN_TARGETS, IN_OPTIONS };

/* Does the word begin with this one? */
static bool begins_with(const char *word, const char *first)
{
	size_t len = strlen(first);

	return !strncmp(word, first, len) &&
	       (word[len] == '\0' || word[len] == ' ');
}

static bool is_option(const char *word)
{
	return begins_with(word, "balance") || begins_with(word, "check") ||
	       begins_with(word, "backend");
}

/* What stands between the text so far and the word; `last` is its last byte. */
static const char *separator(enum place place, char last, const char *before,
			     const char *word)
{
	bool continues = begins_with(word, "weight") ||
			 begins_with(word, "backup") ||
			 !strcmp(before, "weight");

	if (place == AT_START || *word == ',' || *word == ';')
		return "";
	if (place == IN_OPTIONS || last == ',' || last == ';' || continues)
		return " ";
	return is_option(word) ? "; " : ", ";
}

bool ctl_words_join(char *const *words, size_t count, char *to, size_t size)
{
	enum place place = AT_START;
	const char *before = "";
	size_t len = 0;
	size_t i;

	to[0] = '\0';
	for (i = 0; i < count; i++) {
		const char *last = to + (len > 0 ? len - 1 : 0);
		const char *gap = separator(place, *last, before, words[i]);
		int added =
			snprintf(to + len, size - len, "%s%s", gap, words[i]);

		if (added < 0 || (size_t)added >= size - len)
			return false;
		if (place != IN_OPTIONS)
			place = IN_TARGETS;
		if (strchr(words[i], ';') || is_option(words[i]))
			place = IN_OPTIONS;
		len += (size_t)added;
		before = words[i];
	}
	return true;
}
