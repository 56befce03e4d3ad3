/* SPDX-License-Identifier: MIT */
/*
 * fuzz_sentinel: the input is what three sentinels say, in pieces: a byte for
 * the sentinel (its low bits; 0x80 ends its connection first, 0x40 lets time
 * pass) and the length
 * of the piece, then the piece. Whoever is named is a host with a port.
 * Replicas are read when the input is of odd length.
 */
#include "fuzz.h"

#include "../../spoa/log.h"
#include "../../spoa/sentinel.h"
#include "hasty.h"
#include "wire.h"

static size_t names;

static void on_named(void *context, const struct redis_address *at,
		     bool is_replica)
{
	(void)context;
	(void)is_replica;
	MUST(at->host[0] != '\0' && at->port > 0);
	MUST(memchr(at->host, '\0', sizeof(at->host)));
	names++;
}

static struct redis_wire *wire_of(size_t number)
{
	struct redis_wire *wire = TAILQ_FIRST(&wires);

	while (wire && number-- > 0)
		wire = TAILQ_NEXT(wire, link);
	return wire;
}

/* Timers that are due run; who was found lost by them is reported. */
static void pass_time(struct loop *loop)
{
	struct redis_wire *wire, *next;

	hasty_ms += 10000;
	event_base_loop(loop->base, EVLOOP_NONBLOCK);
	for (wire = TAILQ_FIRST(&wires); wire; wire = next) {
		next = TAILQ_NEXT(wire, link);
		if (wire->is_lost)
			wire_report(wire);
		else if (!wire->is_open)
			wire_open(wire);
	}
}

static void speak(struct loop *loop, struct span in)
{
	while (in.len >= 2) {
		uint8_t how = (uint8_t)in.p[0];
		size_t len = (uint8_t)in.p[1];
		struct redis_wire *wire = wire_of(how % 3);

		in.p += 2;
		in.len -= 2;
		len = len < in.len ? len : in.len;
		if (wire && how & 0x80)
			wire_report(wire);
		else if (wire)
			wire_hear(wire, (struct span){in.p, len});
		wire = how & 0x80 ? NULL : wire_of(how % 3);
		if (wire && wire->is_lost)
			wire_report(wire);
		in.p += len;
		in.len -= len;
		if (how & 0x40)
			pass_time(loop);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct loop loop;
	struct redis_url url;
	struct sentinel_options options = {
		.place = {.loop = &loop, .url = &url, .key = "routes"},
		.named = on_named};
	struct sentinel *sentinel;
	struct redis_wire *wire;
	const char *problem;

	log_setup(LOG_ERROR, LOG_TEXT);
	MUST(loop_init(&loop));
	MUST(redis_url_parse("redis-sentinel://a:1,b:2,c:3/main", &url,
			     &problem));
	url.reads_replica = len % 2 != 0;
	sentinel = sentinel_new(&options);
	MUST(sentinel != NULL);
	loop_turn(&loop);
	TAILQ_FOREACH(wire, &wires, link)
		wire->options.opened(wire->options.context);
	speak(&loop, (struct span){(const char *)bytes, len});
	sentinel_ask(sentinel);
	event_base_loop(loop.base, EVLOOP_NONBLOCK);
	sentinel_free(sentinel);
	MUST(TAILQ_EMPTY(&wires));
	loop_fini(&loop);
	return 0;
}
