/* SPDX-License-Identifier: MIT */
/*
 * route: reads the value of a field by the grammar in route.h. The text is
 * never trusted; nothing here keeps state.
 */
#include "route.h"

#include <arpa/inet.h>
#include <stdio.h>

/* A cursor over the value; the first error stays. */
struct parser {
	const char *p;
	const char *end;
	enum route_error error;
	const char *wrong; /* where the error is */
	const struct route_reader *reader;
	struct route *route;
	size_t target_count; /* as they are written */
	struct name_ref names[ROUTE_TARGETS_MAX];
};

/* A target as it is written. */
struct written {
	struct target target;
	struct span name; /* in place of an address, or empty */
};

static const char *const error_texts[] = {
	[ROUTE_GOOD] = "no error",
	[ROUTE_NO_ADDRESS] =
		"not an IPv4 address, an IPv6 one in brackets or a DNS name",
	[ROUTE_NO_PORT] = "not a port from 1 to 65535",
	[ROUTE_NO_WEIGHT] = "not a weight from 0 to 256",
	[ROUTE_NO_WORD] = "unknown word",
	[ROUTE_REPEATED] = "repeated word",
	[ROUTE_FORBIDDEN] = "address may not be a target",
	[ROUTE_TOO_MANY] = "more than 256 targets",
	[ROUTE_TOO_LONG] = "more than 16384 bytes",
};

void route_print_place(const uint8_t *address, bool is_ipv6, uint16_t port,
		       char place[ROUTE_PLACE_MAX])
{
	char text[INET6_ADDRSTRLEN] = "";

	inet_ntop(is_ipv6 ? AF_INET6 : AF_INET, address, text, sizeof(text));
	snprintf(place, ROUTE_PLACE_MAX, is_ipv6 ? "[%s]:%u" : "%s:%u", text,
		 port);
}

const char *route_error_text(enum route_error error)
{
	return error_texts[error];
}

static void fail(struct parser *in, enum route_error error, const char *wrong)
{
	if (in->error != ROUTE_GOOD)
		return;
	in->error = error;
	in->wrong = wrong;
	in->p = in->end;
}

/* Skips blanks and says how many there were. */
static size_t skip_blanks(struct parser *in)
{
	const char *from = in->p;

	while (in->p < in->end && *in->p == ' ')
		in->p++;
	return (size_t)(in->p - from);
}

static bool take_char(struct parser *in, char c)
{
	if (in->p == in->end || *in->p != c)
		return false;
	in->p++;
	return true;
}

/* The bytes up to a blank, a comma, a semicolon or the end. */
static struct span take_word(struct parser *in)
{
	struct span word = {.p = in->p};

	while (in->p < in->end && *in->p != ' ' && *in->p != ',' &&
	       *in->p != ';')
		in->p++;
	word.len = (size_t)(in->p - word.p);
	return word;
}

/* A decimal number without leading zeros, at most `max`; else -1. */
static int read_number(struct span digits, int max)
{
	int n = 0;
	size_t i;

	if (digits.len == 0 || (digits.len > 1 && digits.p[0] == '0'))
		return -1;
	for (i = 0; i < digits.len; i++) {
		if (digits.p[i] < '0' || digits.p[i] > '9')
			return -1;
		n = n * 10 + (digits.p[i] - '0');
		if (n > max)
			return -1;
	}
	return n;
}

/* inet_pton wants a C string: no address is longer than this one. */
static bool read_address(struct span text, int family, uint8_t *address)
{
	char copy[INET6_ADDRSTRLEN];

	if (text.len == 0 || text.len >= sizeof(copy) ||
	    memchr(text.p, '\0', text.len))
		return false;
	memcpy(copy, text.p, text.len);
	copy[text.len] = '\0';
	return inet_pton(family, copy, address) == 1;
}

static bool is_label_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Is it a label of a DNS name? The last one must not look like a number, or a
 * mistyped address would be a name. */
static bool is_label(struct span label, bool is_last)
{
	size_t i;

	if (label.len == 0 || label.len > 63 || label.p[0] == '-' ||
	    label.p[label.len - 1] == '-')
		return false;
	for (i = 0; i < label.len; i++)
		if (!is_label_byte(label.p[i]))
			return false;
	return !is_last || label.p[0] < '0' || label.p[0] > '9';
}

/* One final dot makes a name absolute. */
static bool is_dns_name(struct span name)
{
	if (name.len > 0 && name.p[name.len - 1] == '.')
		name.len--;
	if (name.len == 0 || name.len > 253)
		return false;
	for (;;) {
		const char *dot = memchr(name.p, '.', name.len);
		struct span label = name;

		if (dot)
			label.len = (size_t)(dot - name.p);
		if (!is_label(label, !dot))
			return false;
		if (!dot)
			return true;
		name.p += label.len + 1;
		name.len -= label.len + 1;
	}
}

/* The port behind the colon at the end of the word. */
static void take_port(struct parser *in, struct span word, const char *colon,
		      struct target *target)
{
	struct span digits;
	int port;

	if (!colon || colon == word.p + word.len || *colon != ':') {
		fail(in, ROUTE_NO_PORT, colon ? colon : in->p);
		return;
	}
	digits.p = colon + 1;
	digits.len = (size_t)(word.p + word.len - digits.p);
	port = read_number(digits, 65535);
	if (port < 1)
		fail(in, ROUTE_NO_PORT, digits.p);
	target->port = (uint16_t)(port < 1 ? 0 : port);
}

/* `address:port`; the cursor ends behind it. */
static void take_place(struct parser *in, struct written *written)
{
	struct span word = take_word(in);
	struct target *target = &written->target;
	const char *colon = word.len ? memrchr(word.p, ':', word.len) : NULL;
	struct span host = word;

	target->is_ipv6 = word.len > 0 && word.p[0] == '[';
	if (target->is_ipv6)
		colon = memchr(word.p, ']', word.len);
	if (colon) {
		host.p += target->is_ipv6;
		host.len = (size_t)(colon - host.p);
		colon += target->is_ipv6;
	}
	if (!read_address(host, target->is_ipv6 ? AF_INET6 : AF_INET,
			  target->address)) {
		if (target->is_ipv6 || !is_dns_name(host))
			fail(in, ROUTE_NO_ADDRESS, word.p);
		written->name = host;
	}
	take_port(in, word, colon, target);
	if (in->error == ROUTE_GOOD && written->name.len == 0 &&
	    !in->reader->allows(in->reader->context, target))
		fail(in, ROUTE_FORBIDDEN, word.p);
}

static void take_weight(struct parser *in, struct target *target)
{
	const char *at = in->p;
	int weight = -1;

	if (take_char(in, ' ')) {
		at = in->p;
		weight = read_number(take_word(in), ROUTE_WEIGHT_MAX);
	}
	if (weight < 0)
		fail(in, ROUTE_NO_WEIGHT, at);
	else
		target->weight = (unsigned int)weight & 0x1ff;
}

static void add_target(struct parser *in, const struct target *target)
{
	struct route *route = in->route;

	if (route->target_count < ROUTE_TARGETS_MAX)
		route->targets[route->target_count++] = *target;
}

/* A target for each address of the name. */
static void add_name(struct parser *in, const struct written *written)
{
	const struct route_reader *reader = in->reader;
	struct route *route = in->route;
	struct target target = written->target;
	struct name_state state = {0};
	size_t i;

	if (reader->look_up)
		reader->look_up(reader->context, written->name, &state);
	in->names[route->name_count++] = state.ref;
	route->is_pending |= state.is_pending;
	route->has_unresolved |= state.count == 0;
	for (i = 0; i < state.count; i++) {
		memcpy(target.address, state.addresses[i].bytes,
		       sizeof(target.address));
		target.is_ipv6 = state.addresses[i].is_ipv6;
		if (reader->allows(reader->context, &target))
			add_target(in, &target);
		else
			route->has_denied = true;
	}
}

/* A target, its keywords and the blanks behind it. */
static void take_target(struct parser *in)
{
	struct written written = {.target.weight = 1};
	struct target *target = &written.target;
	bool weighted = false;

	take_place(in, &written);
	while (skip_blanks(in) > 0 && in->p < in->end && *in->p != ',' &&
	       *in->p != ';') {
		struct span word = take_word(in);

		if (span_is(word, "weight")) {
			if (weighted)
				fail(in, ROUTE_REPEATED, word.p);
			weighted = true;
			take_weight(in, target);
		} else if (span_is(word, "backup")) {
			if (target->is_backup)
				fail(in, ROUTE_REPEATED, word.p);
			target->is_backup = true;
		} else {
			fail(in, ROUTE_NO_WORD, word.p);
		}
	}
	if (in->error != ROUTE_GOOD)
		return;
	if (written.name.len > 0)
		add_name(in, &written);
	else
		add_target(in, target);
}

/* The word after an option's name, which exactly one blank parts from it. */
static struct span take_argument(struct parser *in)
{
	if (!take_char(in, ' '))
		return (struct span){.p = in->p};
	return take_word(in);
}

static void take_balance(struct parser *in, struct route *route)
{
	struct span word = take_argument(in);

	if (span_is(word, "roundrobin"))
		route->balance = ROUTE_ROUNDROBIN;
	else if (span_is(word, "source"))
		route->balance = ROUTE_SOURCE;
	else if (span_is(word, "first"))
		route->balance = ROUTE_FIRST;
	else
		fail(in, ROUTE_NO_WORD, word.p);
}

static bool is_visible(char c)
{
	return c > ' ' && c <= '~';
}

/* A path may hold commas and semicolons: it ends at a blank. */
static void take_path(struct parser *in, struct route *route, const char *text)
{
	const char *at;

	if (!take_char(in, ' ')) {
		fail(in, ROUTE_NO_WORD, in->p);
		return;
	}
	at = in->p;
	while (in->p < in->end && is_visible(*in->p))
		in->p++;
	if (in->p == at || *at != '/')
		fail(in, ROUTE_NO_WORD, at);
	route->path_at = (uint16_t)(at - text);
}

static void take_check(struct parser *in, struct route *route, const char *text)
{
	struct span word = take_argument(in);

	if (span_is(word, "none")) {
		route->check = ROUTE_CHECK_NONE;
	} else if (span_is(word, "tcp")) {
		route->check = ROUTE_CHECK_TCP;
	} else if (span_is(word, "http")) {
		route->check = ROUTE_CHECK_HTTP;
		take_path(in, route, text);
	} else {
		fail(in, ROUTE_NO_WORD, word.p);
	}
}

/* The bytes that HAProxy takes in a proxy's name. */
static bool is_name_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("-_.:", c) != NULL);
}

static void take_backend(struct parser *in, struct route *route,
			 const char *text)
{
	struct span word = take_argument(in);
	size_t i;

	if (word.len == 0 || word.len > ROUTE_BACKEND_MAX)
		fail(in, ROUTE_NO_WORD, word.p);
	for (i = 0; i < word.len; i++)
		if (!is_name_byte(word.p[i]))
			fail(in, ROUTE_NO_WORD, word.p + i);
	route->backend_at = (uint16_t)(word.p - text);
}

enum { BALANCE = 1, CHECK = 2, BACKEND = 4 };

/* The option that the word names, or 0. */
static unsigned int read_option(struct span word)
{
	if (span_is(word, "balance"))
		return BALANCE;
	if (span_is(word, "check"))
		return CHECK;
	return span_is(word, "backend") ? BACKEND : 0;
}

/* The options behind the semicolon; there is at least one. */
static void take_options(struct parser *in, struct route *route,
			 const char *text)
{
	unsigned int seen = 0;

	skip_blanks(in);
	do {
		struct span word = take_word(in);
		unsigned int option = read_option(word);

		if (!option)
			fail(in, ROUTE_NO_WORD, word.p);
		else if (seen & option)
			fail(in, ROUTE_REPEATED, word.p);
		else if (option == BALANCE)
			take_balance(in, route);
		else if (option == CHECK)
			take_check(in, route, text);
		else
			take_backend(in, route, text);
		seen |= option;
	} while (skip_blanks(in) > 0 && in->p < in->end);
}

static void take_route(struct parser *in, const char *text)
{
	do {
		skip_blanks(in);
		if (in->target_count++ == ROUTE_TARGETS_MAX) {
			fail(in, ROUTE_TOO_MANY, in->p);
			return;
		}
		take_target(in);
	} while (take_char(in, ','));
	if (take_char(in, ';'))
		take_options(in, in->route, text);
	if (in->p < in->end)
		fail(in, ROUTE_NO_WORD, in->p);
}

static bool has_marks(const struct route *route)
{
	return route->has_plan && route->balance == ROUTE_SOURCE;
}

static size_t names_at(const struct route *route)
{
	size_t plan = route->has_plan ? sizeof(struct plan) : 0;
	size_t each = sizeof(struct target);

	if (route->has_plan)
		each += sizeof(uint32_t) + sizeof(struct share);
	if (has_marks(route))
		each += sizeof(struct mark);
	return sizeof(*route) + plan + route->target_count * each;
}

static size_t text_at(const struct route *route)
{
	return names_at(route) + route->name_count * sizeof(struct name_ref);
}

/* Several targets need a plan; a single one only if a check may say that it is
 * down, or if others may join it. */
static void finish_route(struct parser *in, struct span text)
{
	struct route *route = in->route;
	bool is_checked = route->check == ROUTE_CHECK_TCP ||
			  route->check == ROUTE_CHECK_HTTP;

	route->has_plan =
		route->target_count > 1 || is_checked || route->name_count > 0;
	route->is_plain = route->target_count == 1 && !route->has_plan &&
			  route->targets[0].weight > 0;
	memset(route->targets + route->target_count, 0,
	       names_at(route) - sizeof(*route) -
		       route->target_count * sizeof(struct target));
	if (route->name_count > 0)
		memcpy((char *)route + names_at(route), in->names,
		       route->name_count * sizeof(struct name_ref));
	route->text_len = (uint16_t)text.len;
	if (text.len > 0)
		memcpy((char *)route + text_at(route), text.p, text.len);
}

enum route_error route_parse(struct span text,
			     const struct route_reader *reader,
			     union route_room *room, unsigned int *column)
{
	struct route *route = &room->route;
	struct parser in;

	memset(route, 0, sizeof(*route));
	*column = 1;
	if (text.len > ROUTE_TEXT_MAX) {
		route->error = ROUTE_TOO_LONG;
		return ROUTE_TOO_LONG;
	}
	in.p = in.wrong = text.p;
	in.end = text.len ? text.p + text.len : text.p;
	in.error = ROUTE_GOOD;
	in.reader = reader;
	in.route = route;
	in.target_count = 0;
	take_route(&in, text.p);
	if (in.error != ROUTE_GOOD) {
		memset(route, 0, sizeof(*route));
		route->error = (uint8_t)in.error;
		*column = text.len ? (unsigned int)(in.wrong - text.p) + 1 : 1;
	}
	finish_route(&in, text);
	return in.error;
}

size_t route_size(const struct route *route)
{
	return text_at(route) + route->text_len;
}

struct span route_text(const struct route *route)
{
	return (struct span){(const char *)route + text_at(route),
			     route->text_len};
}

struct plan *route_plan(struct route *route)
{
	if (!route->has_plan)
		return NULL;
	return (struct plan *)(route->targets + route->target_count);
}

uint32_t *route_slots(struct route *route)
{
	if (!route->has_plan)
		return NULL;
	return (uint32_t *)(route_plan(route) + 1);
}

struct share *route_shares(struct route *route)
{
	if (!route->has_plan)
		return NULL;
	return (struct share *)(route_slots(route) + route->target_count);
}

struct mark *route_marks(struct route *route)
{
	if (!has_marks(route))
		return NULL;
	return (struct mark *)(route_shares(route) + route->target_count);
}

const struct name_ref *route_names(const struct route *route)
{
	return (const struct name_ref *)((const char *)route + names_at(route));
}

struct span route_backend(const struct route *route)
{
	struct span name = {0};
	struct span text;

	if (route->backend_at == 0)
		return name;
	text = route_text(route);
	name.p = text.p + route->backend_at;
	while (name.p + name.len < text.p + text.len &&
	       is_name_byte(name.p[name.len]))
		name.len++;
	return name;
}

struct span route_path(const struct route *route)
{
	struct span text = route_text(route);
	struct span path = {0};

	if (route->path_at == 0)
		return path;
	path.p = text.p + route->path_at;
	while (path.p + path.len < text.p + text.len &&
	       is_visible(path.p[path.len]))
		path.len++;
	return path;
}
