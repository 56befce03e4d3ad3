/* SPDX-License-Identifier: MIT */
/*
 * fuzz_push: the input is what Redis sends to the subscriber. A subscriber
 * that says it listens has heard two confirmations each
 * name is a part of a message, and nothing is reported after the end.
 */
#include "fuzz.h"

#include "../../spoa/redis_push.h"
#include "hasty.h"
#include "wire.h"

static struct {
	size_t subscribed;
	size_t changed;
	size_t named;
	size_t lost;
} heard;

static void on_subscribed(void *context, int64_t client)
{
	(void)context;
	(void)client;
	heard.subscribed++;
}

static void on_changed(void *context)
{
	(void)context;
	heard.changed++;
}

static void on_named(void *context, struct span field)
{
	(void)context;
	MUST(field.len > 0 && memchr(field.p, ' ', field.len) == NULL);
	heard.named++;
}

static void on_lost(void *context, const char *why, bool refused)
{
	(void)context;
	(void)refused;
	MUST(why != NULL);
	heard.lost++;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct loop loop;
	struct redis_push_options options = {
		.place = {.loop = &loop, .key = "routes", .value_max = 256},
		.interval_ms = 0,
		.subscribed = on_subscribed,
		.changed = on_changed,
		.named = on_named,
		.lost = on_lost};
	struct redis_push *push;
	struct redis_wire *wire;

	MUST(loop_init(&loop));
	memset(&heard, 0, sizeof(heard));
	push = redis_push_new(&options);
	MUST(push != NULL);
	wire = TAILQ_FIRST(&wires);
	wire_open(wire);
	wire_hear(wire, (struct span){(const char *)bytes, len});
	MUST(heard.subscribed <= 1);
	/* The probe; without an answer to the one before it is the end. */
	loop_turn(&loop);
	loop_turn(&loop);
	if (wire->is_lost)
		wire_report(wire);
	MUST(heard.lost == wire->is_lost);
	redis_push_free(push);
	loop_fini(&loop);
	return 0;
}
