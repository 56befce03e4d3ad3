/* SPDX-License-Identifier: MIT */
/*
 * lent: the hosts whose answers HAProxy holds in a table of its own.
 *
 * Who was lent what, until when, and which of it was not yet read again since
 * the last change. A ring of wishes says who is to be lent next, and a small
 * filter which hosts are asked often enough. Memory is bounded; noting a
 * question allocates nothing. The time is passed in; nothing here does I/O.
 */
#ifndef SPOA_LENT_H
#define SPOA_LENT_H

#include <sys/queue.h>

#include "base.h"
#include "hash.h"

enum {
	LENT_HOST_MAX = 253,	/* bytes of a host */
	LENT_WISHES_MAX = 4096, /* hosts that may wait to be lent */
};

/* What a host was lent. */
struct lent_host {
	struct lent_host *chain; /* next in the bucket */
	TAILQ_ENTRY(lent_host) by_age;
	LIST_ENTRY(lent_host) by_wildcard; /* if a wildcard or `*` serves it */
	int64_t lent_ms;
	uint32_t epoch;	    /* in which what it rests on was read */
	uint32_t address;   /* IPv4, the first byte highest */
	uint32_t wished_ms; /* the last wish for it anew; 0 is none */
	uint16_t port;
	uint8_t start; /* of the field's suffix in the host; 0 is the host */
	uint8_t len;
	char name[]; /* not ended by NUL */
};

LIST_HEAD(lent_list, lent_host);

/* A host that was asked for often enough. */
struct lent_wish {
	uint8_t len;
	char name[LENT_HOST_MAX];
};

struct lent;

/* NULL when there is no memory. */
struct lent *lent_new(const struct hash_secret *secret);
void lent_free(struct lent *lent);

/* At most so many hosts at a time, each for so long. */
void lent_set_bounds(struct lent *lent, size_t hosts_max, int64_t expire_ms);

size_t lent_count(const struct lent *lent);

/* How long HAProxy keeps what it is lent. */
int64_t lent_expire_ms(const struct lent *lent);

/* What became of a question that was noted. */
enum lent_note {
	LENT_RARE,    /* not asked for often enough */
	LENT_WISHED,  /* it is to be lent */
	LENT_DROPPED, /* it would be, but too many wait for that */
	LENT_HELD,    /* it is lent: whoever asks does not hold it */
};

/* A host that could be lent was asked for. */
enum lent_note lent_note(struct lent *lent, struct span host, int64_t now_ms);

/* The oldest wish, or NULL; valid until the next call of lent_note. */
const struct lent_wish *lent_next_wish(struct lent *lent);
size_t lent_wishes(const struct lent *lent);

/* What `host` was lent, or NULL. */
struct lent_host *lent_find(struct lent *lent, struct span host);

/* The host is lent from `now_ms` on, be it anew; NULL when there is no room.
 * The caller fills in what it is lent. `start` 0 says that its own field
 * serves it. */
struct lent_host *lent_add(struct lent *lent, struct span host, uint8_t start,
			   int64_t now_ms);

/* It is lent no longer; the memory is gone. */
void lent_remove(struct lent *lent, struct lent_host *host);

/* Forgets what HAProxy has forgotten before `before_ms`. */
void lent_forget_old(struct lent *lent, int64_t before_ms);

/* Forgets all, wishes too. */
void lent_forget_all(struct lent *lent);

static inline struct span lent_name(const struct lent_host *host)
{
	return (struct span){host->name, host->len};
}

/* The hosts that a wildcard or `*` serves. */
struct lent_list *lent_by_wildcard(struct lent *lent);

/* The oldest host, and the next younger one; NULL at the end. */
struct lent_host *lent_first(struct lent *lent);
struct lent_host *lent_next(struct lent_host *host);

/* Begins a round over all that is lent. */
void lent_begin_round(struct lent *lent);

/* The next host of the round that was not read in `epoch`; NULL when the round
 * is over, or after so many steps, and then `*is_over` is false. */
struct lent_host *lent_next_unread(struct lent *lent, uint32_t epoch,
				   bool *is_over);

#endif
