/* SPDX-License-Identifier: MIT */
/*
 * route: whatever the text, the cursor never passes its end, and a text that is
 * accepted was read whole; what comes of it can be printed, and is read again
 * as the same.
 *
 * As with session each proof takes what the others show in place of what they
 * are about (any_...). inet_pton and inet_ntop are the C library's: here an
 * address has any text of an address's bytes, by which it is known again.
 */
#include "../../spoa/route.c"

#include "proof.h"

#include <stdarg.h>

enum {
	WORD_MAX = 6,
	TEXT_MAX = 8,
	ADDRESS_LEN = 3, /* bytes of an address, as it is written */
	PORT_LEN = 2,
};

/* A parser at any place in any text, which ends with its object. */
static struct parser any_parser(char *room, size_t size)
{
	struct parser in;

	in.p = in.wrong = room + any_length(size);
	in.end = room + size;
	in.error = ROUTE_GOOD;
	return in;
}

static void prove_parser(const struct parser *in, const char *from)
{
	prove(in->p >= from && in->p <= in->end, "the cursor is inside");
	prove(in->error == ROUTE_GOOD || in->p == in->end,
	      "it is at the end after an error");
	prove(in->wrong >= from && in->wrong <= in->end, "which is inside");
}

static bool at_word_end(const struct parser *in)
{
	return in->p == in->end || *in->p == ' ' || *in->p == ',' ||
	       *in->p == ';';
}

/* The cursor takes some bytes, or there is an error. */
static void go_on(struct parser *in, enum route_error error)
{
	in->p += any_length((size_t)(in->end - in->p));
	if (nondet_bool())
		fail(in, error, in->p);
}

int memcmp(const void *a, const void *b, size_t len)
{
	prove(__CPROVER_r_ok(a, len) && __CPROVER_r_ok(b, len),
	      "both can be read");
	return nondet_bool();
}

/* Any word as a number, without overflow. Read is what it is, digit by digit.
 */
void prove_number(void)
{
	char bytes[WORD_MAX];
	size_t len = any_length(sizeof(bytes));
	struct span digits = {bytes + sizeof(bytes) - len, len};
	int max = nondet_bool() ? ROUTE_WEIGHT_MAX : 65535;
	int n = read_number(digits, max);
	int left = n;

	prove(n >= -1 && n <= max, "it is within its bound");
	if (n < 0)
		return;
	do {
		prove(len > 0 && digits.p[--len] == '0' + left % 10,
		      "printed it is the same");
		left /= 10;
	} while (left > 0);
	prove(len == 0, "and as long");
}

/* Any word as a name. */
void prove_name(void)
{
	char bytes[WORD_MAX];
	size_t len = any_length(sizeof(bytes));
	struct span name = {bytes + sizeof(bytes) - len, len};
	size_t i = nondet_size();

	if (!is_dns_name(name))
		return;
	prove(len > 0, "it is not empty");
	assume(i < len);
	prove(is_label_byte(name.p[i]) || name.p[i] == '.',
	      "of the bytes of a name");
	prove(name.p[i] != '.' || (i > 0 && name.p[i - 1] != '.'),
	      "without an empty label");
}

bool any_name(struct span name)
{
	prove(name.len == 0 || __CPROVER_r_ok(name.p, name.len), "it is there");
	return name.len > 0 && nondet_bool();
}

bool any_address(struct span text, int family, uint8_t *address)
{
	(void)family;
	prove(text.len == 0 || __CPROVER_r_ok(text.p, text.len), "it is there");
	address[nondet_bool()] = nondet_byte();
	return nondet_bool();
}

static bool allow_any(void *context, const struct target *target)
{
	(void)context;
	prove(target->port > 0, "who judges is told a port");
	return nondet_bool();
}

/* An address and a port, of any bytes. */
void prove_place(void)
{
	const struct route_reader reader = {.allows = allow_any};
	char text[TEXT_MAX];
	struct parser in = any_parser(text, sizeof(text));
	const char *from = in.p;
	struct written written = {.target.weight = 1};

	in.reader = &reader;
	take_place(&in, &written);
	prove_parser(&in, from);
	if (in.error != ROUTE_GOOD)
		return;
	prove(written.target.port > 0, "it has a port");
	prove(written.name.len == 0 ||
		      (written.name.p >= from &&
		       written.name.p + written.name.len <= in.p),
	      "its name is inside");
	prove(at_word_end(&in), "the word was read whole");
}

void any_place(struct parser *in, struct written *written)
{
	const char *from = in->p;

	go_on(in, ROUTE_NO_ADDRESS);
	assume(at_word_end(in));
	written->target.port = (uint16_t)nondet_uint64();
	assume(written->target.port > 0);
	written->name.p = from;
	written->name.len = any_length((size_t)(in->p - from));
}

void any_added(struct parser *in, const struct target *target)
{
	prove(target->weight <= ROUTE_WEIGHT_MAX, "its weight is a weight");
	prove(target->port > 0, "its port is a port");
	prove(in->error == ROUTE_GOOD, "nothing is added after an error");
}

void any_named(struct parser *in, const struct written *written)
{
	any_added(in, &written->target);
}

struct span any_word(struct parser *in)
{
	struct span word = {in->p, any_length((size_t)(in->end - in->p))};

	in->p += word.len;
	assume(at_word_end(in));
	return word;
}

/* A target and its keywords, of any bytes. */
void prove_target(void)
{
	char text[TEXT_MAX];
	struct parser in = any_parser(text, sizeof(text));
	const char *from = in.p;

	take_target(&in);
	prove_parser(&in, from);
	prove(in.p == in.end || *in.p == ',' || *in.p == ';',
	      "the blanks behind it are its own");
}

void any_target(struct parser *in)
{
	go_on(in, ROUTE_NO_PORT);
}

/* What follows an option's name, of any bytes. */
static void prove_argument(void (*take)(struct parser *, struct route *,
					const char *))
{
	struct route route = {0};
	char text[TEXT_MAX];
	struct parser in = any_parser(text, sizeof(text));
	const char *from = in.p;

	assume(from > text); /* the name stands before it */
	take(&in, &route, text);
	prove_parser(&in, from);
	if (in.error != ROUTE_GOOD)
		return;
	prove(route.path_at == 0 ||
		      (text + route.path_at >= from &&
		       route.path_at < TEXT_MAX && text[route.path_at] == '/'),
	      "the path is inside");
	prove(route.backend_at == 0 || (text + route.backend_at >= from &&
					route.backend_at < TEXT_MAX &&
					is_name_byte(text[route.backend_at])),
	      "so is the backend");
}

static void take_balance_of(struct parser *in, struct route *route,
			    const char *text)
{
	(void)text;
	take_balance(in, route);
}

void prove_balance(void)
{
	prove_argument(take_balance_of);
}

void prove_check(void)
{
	prove_argument(take_check);
}

void prove_backend(void)
{
	prove_argument(take_backend);
}

void any_argument(struct parser *in, struct route *route, const char *text)
{
	(void)route;
	prove(in->p > text, "the option's name stands before it");
	go_on(in, ROUTE_NO_WORD);
}

void any_balance(struct parser *in, struct route *route)
{
	(void)route;
	go_on(in, ROUTE_NO_WORD);
}

/* The options, of any bytes. */
void prove_options(void)
{
	struct route route = {0};
	char text[TEXT_MAX];
	struct parser in = any_parser(text, sizeof(text));
	const char *from = in.p;

	take_options(&in, &route, text);
	prove_parser(&in, from);
}

void any_options(struct parser *in, struct route *route, const char *text)
{
	prove(in->p > text, "a semicolon stands before them");
	route->balance = nondet_byte() % (ROUTE_FIRST + 1);
	in->p = in->end;
	if (nondet_bool())
		fail(in, ROUTE_NO_WORD, in->end);
}

/* Targets and options in a row, of any bytes. */
void prove_row(void)
{
	struct route route = {0};
	char text[TEXT_MAX];
	struct parser in = any_parser(text, sizeof(text));
	const char *from = in.p;

	in.route = &route;
	in.target_count = ROUTE_TARGETS_MAX - any_length(ROUTE_TARGETS_MAX);
	take_route(&in, text);
	prove_parser(&in, from);
	prove(in.p == in.end, "it was read whole");
	prove(in.error != ROUTE_GOOD || in.target_count <= ROUTE_TARGETS_MAX,
	      "there are not too many");
}

void *any_set(void *to, int byte, size_t len)
{
	(void)byte;
	prove(__CPROVER_w_ok(to, len), "what is set has room");
	return to;
}

void *any_copy(void *to, const void *from, size_t len)
{
	prove(__CPROVER_r_ok(from, len) && __CPROVER_w_ok(to, len),
	      "what is copied has room");
	return to;
}

/* The largest route has room, and each part of it is inside. */
void prove_finish(void)
{
	union route_room room;
	struct route *route = &room.route;
	struct parser in = {.route = route};
	char *text = malloc(ROUTE_TEXT_MAX);

	assume(text != NULL);
	route->balance = nondet_byte() % (ROUTE_FIRST + 1);
	route->check = nondet_byte() % (ROUTE_CHECK_HTTP + 1);
	route->target_count = (uint16_t)any_length(ROUTE_TARGETS_MAX);
	route->name_count = (uint16_t)any_length(ROUTE_TARGETS_MAX);
	finish_route(&in, (struct span){text, any_length(ROUTE_TEXT_MAX)});
	prove(route_size(route) <= sizeof(room), "it has room");
	prove(__CPROVER_w_ok(route_text(route).p, route->text_len),
	      "so has its text");
	if (!route->has_plan)
		return;
	prove((char *)(route_shares(route) + route->target_count) <=
		      (const char *)route_names(route),
	      "so have its shares");
	prove(route->balance != ROUTE_SOURCE ||
		      (char *)(route_marks(route) + route->target_count) ==
			      (const char *)route_names(route),
	      "and its marks");
}

/* The text of an address, and what it was made of. */
static char printed[ADDRESS_LEN + 1];
static uint8_t printed_address[16];

const char *inet_ntop(int family, const void *address, char *text,
		      socklen_t size)
{
	size_t i;

	prove(size >= INET6_ADDRSTRLEN, "any address has room");
	for (i = 0; i < ADDRESS_LEN; i++) {
		char c = (char)nondet_byte();

		assume((c >= '0' && c <= '9') || c == '.' ||
		       (family == AF_INET6 &&
			(c == ':' || (c >= 'a' && c <= 'f'))));
		text[i] = printed[i] = c;
	}
	text[ADDRESS_LEN] = printed[ADDRESS_LEN] = '\0';
	for (i = 0; i < (family == AF_INET6 ? 16u : 4u); i++)
		printed_address[i] = ((const uint8_t *)address)[i];
	return text;
}

int inet_pton(int family, const char *text, void *address)
{
	size_t i;

	for (i = 0; i <= ADDRESS_LEN && text[i] == printed[i] && text[i]; i++)
		;
	prove(text[i] == printed[i], "the text that was printed");
	for (i = 0; i < (family == AF_INET6 ? 16u : 4u); i++)
		((uint8_t *)address)[i] = printed_address[i];
	return 1;
}

/* The same of a port: prove_number says what is read of its digits. */
static char printed_digits[PORT_LEN];
static unsigned int printed_port;

int any_number(struct span digits, int max)
{
	prove(digits.len == PORT_LEN && max == 65535 &&
		      digits.p[0] == printed_digits[0] &&
		      digits.p[1] == printed_digits[1],
	      "the digits that were printed");
	return (int)printed_port;
}

/* As route_print_place calls it. */
int print_place(char *to, size_t size, const char *format, ...)
{
	va_list words;
	const char *text;
	unsigned int port;
	size_t i;
	size_t at = 0;

	va_start(words, format);
	text = va_arg(words, const char *);
	port = va_arg(words, uint16_t); /* CBMC does not promote it */
	va_end(words);
	if (*format == '[')
		to[at++] = '[';
	while (*text)
		to[at++] = *text++;
	if (*format == '[')
		to[at++] = ']';
	to[at++] = ':';
	printed_port = port;
	for (i = 0; i < PORT_LEN; i++) {
		printed_digits[i] = (char)nondet_byte();
		assume(printed_digits[i] >= '0' && printed_digits[i] <= '9');
		to[at++] = printed_digits[i];
	}
	to[at] = '\0';
	prove(at < size, "it has room");
	return (int)at;
}

static bool allow_all(void *context, const struct target *target)
{
	(void)context;
	(void)target;
	return true;
}

static void prove_printed(bool is_ipv6)
{
	const struct route_reader reader = {.allows = allow_all};
	uint8_t address[16];
	uint16_t port = (uint16_t)nondet_uint64();
	char place[ROUTE_PLACE_MAX];
	struct written written = {.target.weight = 1};
	struct parser in = {.reader = &reader, .p = place};
	size_t i = any_length(is_ipv6 ? 15 : 3);

	assume(port > 0);
	route_print_place(address, is_ipv6, port, place);
	in.wrong = place;
	in.end = place + strlen(place);
	take_place(&in, &written);
	prove(in.error == ROUTE_GOOD && in.p == in.end, "it is accepted");
	prove(written.name.len == 0, "as an address");
	prove(written.target.is_ipv6 == is_ipv6 &&
		      written.target.port == port &&
		      written.target.address[i] == address[i],
	      "the same");
}

/* Any address and port, printed and read again. */
void prove_ipv4(void)
{
	prove_printed(false);
}

void prove_ipv6(void)
{
	prove_printed(true);
}
