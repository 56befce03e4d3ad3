/* SPDX-License-Identifier: MIT */
/*
 * route: the value of a field, as people write it in Redis.
 *
 * Text goes in, a route comes out: targets, options and the text itself, in
 * one flat block that can be copied with memcpy and kept in the cache. Text
 * that breaks the grammar makes a route without targets that says why and
 * where. It resolves nothing: whoever reads says which addresses a name has,
 * and each makes a target with the words of the name's.
 *
 *   route  = OWS target *( OWS "," OWS target )
 *            [ OWS ";" OWS option *( 1*SP option ) ] OWS        OWS = *SP
 *   target = ( IPv4 / "[" IPv6 "]" / name ) ":" port *( 1*SP keyword )
 *   keyword = "weight" SP 0..256 / "backup"
 *   option = "balance" SP ( "roundrobin" / "source" / "first" )
 *          / "check" SP ( "none" / "tcp" / "http" SP path )
 *          / "backend" SP name
 */
#ifndef SPOA_ROUTE_H
#define SPOA_ROUTE_H

#include "base.h"

enum {
	ROUTE_TEXT_MAX = 16384,	 /* bytes of a value */
	ROUTE_TARGETS_MAX = 256, /* of one route */
	ROUTE_BACKEND_MAX = 64,	 /* bytes of a backend's name */
	ROUTE_WEIGHT_MAX = 256,	 /* HAProxy's own limit */
	ROUTE_PLACE_MAX = 56,	 /* bytes of an address and a port, with NUL */
};

/* What is wrong with a value; ROUTE_GOOD when nothing is. */
enum route_error {
	ROUTE_GOOD,
	ROUTE_NO_ADDRESS, /* no IPv4 address, none in brackets, no DNS name */
	ROUTE_NO_PORT,	  /* not `:` and 1 to 65535 */
	ROUTE_NO_WEIGHT,  /* not a number from 0 to 256 */
	ROUTE_NO_WORD,	  /* a word that the grammar does not have here */
	ROUTE_REPEATED,	  /* a word for the second time */
	ROUTE_FORBIDDEN,  /* an address and port that may not be a target */
	ROUTE_TOO_MANY,	  /* more than ROUTE_TARGETS_MAX targets */
	ROUTE_TOO_LONG,	  /* more than ROUTE_TEXT_MAX bytes */
};

enum route_balance { ROUTE_ROUNDROBIN, ROUTE_SOURCE, ROUTE_FIRST };
enum route_check {
	ROUTE_CHECK_DEFAULT,
	ROUTE_CHECK_NONE,
	ROUTE_CHECK_TCP,
	ROUTE_CHECK_HTTP
};

struct target {
	uint8_t address[16]; /* network order; IPv4 is the first four bytes */
	uint16_t port;
	uint16_t weight : 9; /* 0 takes no new requests */
	uint16_t is_backup : 1;
	uint16_t is_ipv6 : 1;
};

/* Who serves and who is next, for `balance`, which keeps it here. */
struct plan {
	uint32_t version;  /* of the states that it was made for; 0: not yet */
	uint32_t turn;	   /* the next, below `total` */
	uint32_t step;	   /* from a turn to the one after it */
	uint32_t total;	   /* turns of a round */
	uint16_t count;	   /* targets that serve */
	uint16_t spare;	   /* the second choice where there is one place only,
			      from 1; 0 is none */
	bool is_even;	   /* those that serve have equal weights */
	bool is_one_place; /* and one address and port, all of them */
};

/* Of one that serves. */
struct share {
	uint16_t target; /* its number */
	uint16_t last;	 /* of its turns */
};

/* A hash of its address and port, in two halves for the alignment's sake. */
struct mark {
	uint32_t halves[2];
};

/* Which addresses of a name a route was made with. */
struct name_ref {
	uint32_t slot;	  /* where the name's version is; 0: nowhere */
	uint32_t version; /* never 0 of a name that has a slot */
};

struct address {
	uint8_t bytes[16]; /* network order; IPv4 is the first four bytes */
	bool is_ipv6;
};

/* What is known of a name. */
struct name_state {
	struct name_ref ref;
	const struct address *addresses; /* borrowed */
	size_t count;
	bool is_pending; /* it is worth waiting for */
};

/* What a reader of routes knows of the world. */
struct route_reader {
	/* May it be a target? Address and port are filled in. */
	bool (*allows)(void *context, const struct target *target);
	/* Fills in what is known of a DNS name. NULL: nothing is of any. */
	void (*look_up)(void *context, struct span name,
			struct name_state *state);
	void *context;
};

/* Four-byte alignment throughout, so that a route can lie behind other bytes.
 * The plan with slots, shares and marks, if any, follows the targets, then come
 * the names, then the text. */
struct route {
	uint8_t error;	       /* enum route_error */
	uint8_t balance : 4;   /* enum route_balance */
	uint8_t check : 4;     /* enum route_check */
	uint16_t is_plain : 1; /* the one target is always the answer */
	uint16_t has_plan : 1;
	uint16_t is_pending : 1;     /* a name in it is worth waiting for */
	uint16_t has_unresolved : 1; /* or has no address, as far as is known */
	uint16_t has_denied : 1; /* an address of a name may not be a target */
	uint16_t target_count;
	uint16_t name_count;
	uint16_t text_len;
	uint16_t backend_at; /* in the text; 0 is none */
	uint16_t path_at;    /* of `check http`; 0 is none */
	uint16_t rules; /* by which its targets were judged: the reader's */
	_Alignas(4) struct target targets[];
};

/* Room for the largest route. */
union route_room {
	struct route route;
	char bytes[sizeof(struct route) + sizeof(struct plan) +
		   ROUTE_TARGETS_MAX *
			   (sizeof(struct target) + sizeof(uint32_t) +
			    sizeof(struct share) + sizeof(struct mark) +
			    sizeof(struct name_ref)) +
		   ROUTE_TEXT_MAX];
};

/* Reads `text` into `room` and returns the error, which `room->route.error`
 * holds too. With an error there are no targets and `*column` is the byte,
 * counted from 1, where the text went wrong. Of the addresses of a name those
 * are left out that may not be a target, and those beyond ROUTE_TARGETS_MAX.
 * Text over ROUTE_TEXT_MAX is not kept. */
enum route_error route_parse(struct span text,
			     const struct route_reader *reader,
			     union route_room *room, unsigned int *column);

/* The bytes of a route, for copying it. */
size_t route_size(const struct route *route);

/* The text it was made of, without OWS at its ends cut; lives in the route. */
struct span route_text(const struct route *route);

/* The name after `backend`, or an empty span; lives in the route. */
struct span route_backend(const struct route *route);

/* The names, in their order; `name_count` of them. */
const struct name_ref *route_names(const struct route *route);

/* Have the two the same address and port? */
static inline bool route_is_same_place(const struct target *a,
				       const struct target *b)
{
	return a->port == b->port && a->is_ipv6 == b->is_ipv6 &&
	       !memcmp(a->address, b->address, sizeof(a->address));
}

/* The path after `check http`, or an empty span; lives in the route. */
struct span route_path(const struct route *route);

/* NULL without `has_plan`, as are these: */
struct plan *route_plan(struct route *route);

/* Where the states of the targets are, in their order; 0: it is not watched,
 * and up. */
uint32_t *route_slots(struct route *route);

/* Room for as many as there are targets, in the order of those that serve; the
 * marks for `balance source` alone. */
struct share *route_shares(struct route *route);
struct mark *route_marks(struct route *route);

/* Writes address and port as a route does: 192.0.2.1:80 or [2001:db8::1]:80. */
void route_print_place(const uint8_t *address, bool is_ipv6, uint16_t port,
		       char place[ROUTE_PLACE_MAX]);

/* An error in words for a log line. */
const char *route_error_text(enum route_error error);

#endif
