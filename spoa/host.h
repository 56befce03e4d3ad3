/* SPDX-License-Identifier: MIT */
/*
 * host: the Host of a request, and the fields that could serve it.
 *
 * What a client wrote goes in; a normalised host comes out, or the verdict
 * that it cannot be one. From a host come its candidates, the fields of the
 * Redis hash in order of match. A `*` never leaves host_normalise: no client
 * can name a wildcard field.
 */
#ifndef SPOA_HOST_H
#define SPOA_HOST_H

#include "base.h"

enum {
	HOST_MAX = 253,	      /* bytes of a normalised host */
	HOST_CANDIDATES = 10, /* exact, 4 longest and 4 shortest wildcards, * */
};

struct host {
	uint8_t len;
	char name[HOST_MAX]; /* not ended by NUL */
};

/* Where in the host each candidate's suffix starts: 0 is the exact host, a
 * dot's place is the wildcard before it, the length is `*`. */
struct host_candidates {
	uint8_t count; /* 2 to HOST_CANDIDATES */
	uint8_t start[HOST_CANDIDATES];
};

/* Room for the text of one candidate. */
struct host_field {
	char text[HOST_MAX + 1];
};

/* Normalises `raw` by the table of the design: port off, one final dot off,
 * lower case; then 1 to 253 bytes of a-z 0-9 - _ . without an empty label, or
 * an IPv6 literal in brackets. False when it cannot be a host (`bad_host`). */
bool host_normalise(struct span raw, struct host *host) MUST_CHECK;

/* The host as a span that lives as long as `host`. */
static inline struct span host_span(const struct host *host)
{
	return (struct span){host->name, host->len};
}

/* The candidates in order of match. Addresses have but themselves and `*`. */
void host_list_candidates(const struct host *host,
			  struct host_candidates *list);

/* The i-th candidate's field. The span lives in `host` or in `*room`. */
struct span host_candidate(const struct host *host,
			   const struct host_candidates *list, size_t i,
			   struct host_field *room);

/* Brings what a person wrote for a field into the form that fields have: a
 * host is normalised, so is what follows `*.`, and `*` stays. False when it
 * cannot be a field. `*field` lives in `*room`. */
bool host_read_field(struct span raw, struct host_field *room,
		     struct span *field) MUST_CHECK;

#endif
