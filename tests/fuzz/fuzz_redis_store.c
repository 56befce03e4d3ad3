/* SPDX-License-Identifier: MIT */
/*
 * fuzz_redis_store: the input is a story of a store and its two servers, or
 * sentinels and who they name: what is asked, what servers say on each wire,
 * whole replies or any bytes, when wires open and are lost, and time. The first
 * byte chooses what the store is for.
 *
 * Each question that was taken is answered once, at the latest by the end, with
 * as many values as it has fields; nothing is told from within a question.
 */
#include "fuzz.h"

#include "../../spoa/log.h"
#include "../../spoa/redis_store.h"
#include "hasty.h"
#include "wire.h"

#include <stdio.h>

enum {
	WITH_GUARD = 0x01,
	WITH_SENTINELS = 0x02,
	WITH_REPLICA = 0x04,
	ASKS = 64,
	WIRES = 4, /* that the story speaks of */
};

/* What servers say of use; a byte of the input chooses. */
static const char *const replies[] = {
	"*1\r\n$-1\r\n",
	"*1\r\n$4\r\na:80\r\n",
	"*2\r\n$4\r\na:80\r\n$-1\r\n",
	"+OK\r\n",
	":0\r\n",
	":20\r\n",
	"*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n",
	"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n"
	"*1\r\n$6\r\nroutes\r\n",
	"*3\r\n$7\r\nmessage\r\n$14\r\nroutes:changed\r\n$5\r\na b *\r\n",
	"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n",
	"*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:6379\r\n$9\r\nconnected\r\n:9\r\n",
	"*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:6379\r\n$7\r\nconnect\r\n:9\r\n",
	"*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$4\r\na:80\r\n",
	"*2\r\n$1\r\n7\r\n*0\r\n",
	"*4\r\n$5\r\nflags\r\n*1\r\n$15\r\nbroken_redirect\r\n"
	"$8\r\nredirect\r\n:1\r\n",
	"*2\r\n$5\r\nflags\r\n*1\r\n$2\r\non\r\n",
	"-MOVED 7 10.0.0.9:7000\r\n",
	"-ASK 7 :7001\r\n",
	"-LOADING Redis is loading\r\n",
	"-WRONGTYPE no hash\r\n",
	"-NOPERM no\r\n",
	"-ERR unknown\r\n",
	"*2\r\n$1\r\nm\r\n$4\r\n6379\r\n",
};

struct ask {
	struct lookup lookup; /* first */
	struct span fields[3];
	bool is_open;
};

static struct {
	struct ask asks[ASKS];
	size_t count;
	struct scan scan;
	bool is_scanning;
	bool is_within; /* a question is being asked */
	size_t known;
} story;

static void on_sent(struct lookup *lookup, int64_t now_ms)
{
	MUST(((struct ask *)lookup)->is_open && now_ms == hasty_ms);
}

static void on_done(struct lookup *lookup, enum store_status status,
		    const struct store_value *values, int64_t now_ms)
{
	struct ask *ask = (struct ask *)lookup;
	size_t i;

	MUST(ask->is_open && !story.is_within && now_ms == hasty_ms);
	MUST((values != NULL) == (status == STORE_ANSWERED));
	ask->is_open = false;
	for (i = 0; values && i < lookup->count; i++)
		MUST(values[i].kind <= STORE_TOO_LARGE &&
		     (values[i].text.len == 0 || values[i].text.p));
}

static void on_take(struct scan *scan, struct span field,
		    const struct store_value *value)
{
	MUST(scan == &story.scan && story.is_scanning);
	MUST(value != NULL && (field.len == 0 || field.p));
}

static void on_scanned(struct scan *scan, enum store_status status,
		       int64_t now_ms)
{
	MUST(scan == &story.scan && story.is_scanning && !story.is_within);
	MUST(status <= STORE_FAILED && now_ms == hasty_ms);
	story.is_scanning = false;
}

static void on_news(void *context, enum store_news news, struct span field,
		    int64_t now_ms)
{
	MUST(context == &story && !story.is_within && now_ms == hasty_ms);
	MUST((field.len > 0) == (news == STORE_NAMED));
}

static size_t on_known(void *context)
{
	MUST(context == &story);
	return story.known;
}

static void ask(struct store *store, size_t fields)
{
	struct ask *ask = &story.asks[story.count];
	size_t i;

	if (story.count == ASKS)
		return;
	for (i = 0; i < fields; i++)
		ask->fields[i] = span_of("a.test");
	ask->lookup = (struct lookup){.fields = ask->fields,
				      .count = fields,
				      .sent = on_sent,
				      .done = on_done};
	story.is_within = ask->is_open = true;
	ask->is_open = store->ask(store, &ask->lookup, hasty_ms);
	story.is_within = false;
	story.count += ask->is_open;
}

static void scan(struct store *store, unsigned int count)
{
	if (story.is_scanning)
		return;
	story.scan = (struct scan){
		.count = count, .take = on_take, .done = on_scanned};
	story.is_scanning = story.is_within = true;
	story.is_scanning = store->scan(store, &story.scan, hasty_ms);
	story.is_within = false;
}

static struct redis_wire *wire_of(size_t number)
{
	struct redis_wire *wire = TAILQ_FIRST(&wires);

	while (wire && number-- > 0)
		wire = TAILQ_NEXT(wire, link);
	return wire;
}

/* The loop tells owners of what they lost, which may open others. */
static void report_lost(void)
{
	struct redis_wire *wire = TAILQ_FIRST(&wires);

	while (wire && !wire->is_lost)
		wire = TAILQ_NEXT(wire, link);
	if (!wire)
		return;
	wire_report(wire);
	report_lost();
}

static void pass_time(struct loop *loop, int64_t ms)
{
	hasty_ms += ms;
	event_base_loop(loop->base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
}

/* Takes bytes off the story: a piece behind its length. */
static struct span take_piece(struct span *in)
{
	struct span piece = {in->p, 0};

	if (in->len == 0)
		return piece;
	piece.len = (uint8_t)in->p[0];
	piece.p++;
	if (piece.len > in->len - 1)
		piece.len = in->len - 1;
	in->p += 1 + piece.len;
	in->len -= 1 + piece.len;
	return piece;
}

static void ask_store(struct redis_store *store, size_t what)
{
	struct store *face = redis_store_face(store);

	if (what < 3)
		ask(face, 1 + what);
	else if (what < 5)
		scan(face, (unsigned int)what - 3);
	else if (what < 6 &&
		 redis_store_publish(store, span_of("c"), span_of("m")))
		MUST(redis_store_count(store)->is_connected);
	else if (what < 7)
		redis_store_set_times(store, 20, 1000);
	else
		redis_store_reread(store);
	(void)face->is_up(face, hasty_ms);
	MUST(redis_store_server(store)[0] != '\0');
	MUST(redis_store_count(store) && redis_store_count_channel(store));
}

/* One step; what follows it in the story is its own. */
static void step(struct loop *loop, struct redis_store *store, uint8_t how,
		 struct span *in)
{
	struct redis_wire *wire = wire_of((how >> 3) % WIRES);

	switch (how % 8) {
	case 0:
		ask_store(store, (how >> 3) % 8);
		break;
	case 1:
		pass_time(loop, (how >> 3) * 100);
		break;
	case 2:
		story.known = (how >> 3) * 10;
		break;
	case 3:
		if (wire)
			wire->is_lost = true;
		break;
	case 4:
		if (wire && !wire->is_open && !wire->is_lost)
			wire_open(wire);
		break;
	case 5:
		if (wire && wire->is_open)
			wire_hear(wire, take_piece(in));
		break;
	default:
		if (!wire || !wire->is_open || in->len == 0)
			break;
		wire_hear(wire, span_of(replies[(uint8_t)in->p[0] %
						ARRAY_LEN(replies)]));
		in->p++;
		in->len--;
	}
	report_lost();
}

static void tell(struct loop *loop, struct redis_store *store, struct span in)
{
	while (in.len > 0) {
		uint8_t how = (uint8_t)in.p[0];

		in.p++;
		in.len--;
		step(loop, store, how, &in);
	}
}

static struct redis_store *open_store(struct loop *loop, uint8_t how)
{
	static struct redis_url urls[2];
	const struct hash_secret secret = {1, 2};
	const struct redis_store_options options = {
		.loop = loop,
		.urls = urls,
		.url_count = 2,
		.key = "routes",
		.value_max = 256,
		.lookup_timeout_ms = 50,
		.ttl_ms = 10000,
		.known = how & WITH_GUARD ? on_known : NULL,
		.context = &story};
	const char *problem;
	struct redis_store *store;

	MUST(redis_url_parse(how & WITH_SENTINELS ? "redis-sentinel://a:1/main"
						  : "unix:/a",
			     &urls[0], &problem));
	MUST(redis_url_parse("unix:/b", &urls[1], &problem));
	urls[0].reads_replica = (how & WITH_SENTINELS) && (how & WITH_REPLICA);
	store = redis_store_new(&options, &secret);
	MUST(store != NULL);
	redis_store_face(store)->news = on_news;
	redis_store_face(store)->context = &story;
	return store;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct redis_store *store;
	struct loop loop;
	size_t i;

	if (len == 0)
		return 0;
	log_setup(LOG_ERROR, LOG_TEXT);
	MUST(loop_init(&loop));
	memset(&story, 0, sizeof(story));
	store = open_store(&loop, bytes[0]);
	tell(&loop, store, (struct span){(const char *)bytes + 1, len - 1});
	redis_store_free(store);
	for (i = 0; i < story.count; i++)
		MUST(!story.asks[i].is_open);
	MUST(!story.is_scanning && TAILQ_EMPTY(&wires));
	loop_fini(&loop);
	return 0;
}
