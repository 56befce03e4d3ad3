/* SPDX-License-Identifier: MIT */
/*
 * writer: writes what it is told into a table of one HAProxy.
 *
 * It connects to a socket of HAProxy's Runtime API, looks whether the table is
 * what it must be, empties it and from then on takes commands, which reach
 * HAProxy in order. A socket that is absent, slow, full or not HAProxy's costs
 * a warning and a new try. Nothing that is to be taken back is lost: beyond its
 * bound a queue becomes "empty the table".
 */
#ifndef SPOA_WRITER_H
#define SPOA_WRITER_H

#include "base.h"
#include "loop.h"

struct writer;

/* Of all writers together. Counts since the start, but for the first. */
struct writer_counters {
	size_t open;	    /* sockets that can be written to */
	uint64_t commands;  /* sent to HAProxy */
	uint64_t errors;    /* complaints about commands */
	uint64_t connects;  /* sockets that became usable */
	uint64_t losses;    /* connections that ended or were given up */
	uint64_t overflows; /* queues that became too long */
	uint64_t skips;	    /* answers not lent to a table that is slow */
};

struct writer_options {
	struct loop *loop;
	const char *path;		  /* of the socket; the caller's */
	const char *table;		  /* its name; the caller's */
	struct writer_counters *counters; /* shared; the caller's */
	/* It can be written to from now on, and its table is empty, or no
	 * longer. */
	void (*changed)(void *context);
	/* It took what it was told later than it should have. */
	void (*slow)(void *context);
	void *context;
};

/* NULL when there is no memory. It connects at once. */
struct writer *writer_new(const struct writer_options *options);
void writer_free(struct writer *writer);

/* Ends a turn: sends what waits. */
void writer_work(struct writer *writer);

/* Can it be written to? Then the table holds at most so many hosts, each for so
 * long. */
bool writer_is_open(const struct writer *writer);
size_t writer_hosts_max(const struct writer *writer);
int64_t writer_expire_ms(const struct writer *writer);

/* The host, which holds nothing that ends a command, is to be answered so;
 * false when that cannot be told now. */
bool writer_lend(struct writer *writer, struct span host, uint32_t address,
		 uint16_t port);

/* The host, or all, are to be asked for again. */
void writer_take_back(struct writer *writer, struct span host);
void writer_take_back_all(struct writer *writer);

/* HAProxy asks for what it should know: has it another process by now? */
void writer_look(struct writer *writer);

#endif
