/* SPDX-License-Identifier: MIT */
/*
 * dns_cache: one resolution per name at a time, of IPv4 and IPv6 side by side,
 * and a timer per name for what is next. evdns_getaddrinfo reads the hosts file
 * but tells no life, evdns_base_resolve_ipv4 the other way round: each does its
 * part.
 */
#include "dns_cache.h"

#include <ctype.h>
#include <event2/dns.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "log.h"

enum {
	BUCKETS = 1024,
	NAME_MAX_BYTES = 254,
	FAMILY_MAX = 32, /* addresses that are kept of a family */
	ADDRESSES_MAX = 2 * FAMILY_MAX,
	LIFE_MIN_MS = 1000,
	LIFE_MAX_MS = 5 * 60 * 1000,
	HOSTS_LIFE_MS = 5000, /* of what the hosts file says */
	PARTIAL_MS = 25,      /* one family waits for the other */
	PATIENCE_MS = 1000,   /* after this nobody waits for a name */
	GIVE_UP_MS = 20000,   /* then it is asked for again */
	RETRY_MAX_MS = 30000,
	GONE_MS = 30000, /* a name that is said to be gone is kept so long */
	IDLE_MS = 10000, /* unused so long, and two lives: it sleeps */
	SLEEP_MS = 3600 * 1000, /* then it is forgotten */
	FILES_MS = 1000,	/* between two looks at the files */
	WARN_MS = 60 * 1000,
};

enum verdict { UNHEARD, GOOD, GONE, FAILED };

/* What is heard of one family. */
struct part {
	struct name *name;
	struct evdns_request *request; /* NULL: none is open */
	enum verdict verdict;
	struct address addresses[FAMILY_MAX];
	size_t count;
	int64_t life_ms;
};

struct name {
	struct dns_cache *cache;
	struct name *chain; /* next in the bucket */
	uint32_t slot;
	bool is_pending;  /* it is worth waiting for */
	bool is_asleep;	  /* nothing is done until somebody asks */
	bool is_late;	  /* what is open was lost patience with */
	bool is_failing;  /* and that was said */
	unsigned int bad; /* failures in a row */
	int64_t life_ms;
	int64_t used_ms;
	int64_t good_ms; /* when its addresses were last confirmed */
	struct event *timer;
	struct part parts[2]; /* IPv4, IPv6 */
	struct address addresses[ADDRESSES_MAX];
	size_t count;
	size_t len;
	char text[NAME_MAX_BYTES + 1]; /* in lower case */
};

struct dns_cache {
	struct dns face; /* first: the resolver holds a pointer to it */
	struct loop *loop;
	struct hash_secret secret;
	struct evdns_base *dns;	  /* NULL before the first name */
	struct evdns_base *hosts; /* has no server, only the file */
	struct timespec files[2]; /* when resolv.conf and hosts last changed */
	int64_t files_ms;	  /* when that was last looked at */
	struct name *found;	  /* for on_hosts, while it may find */
	struct name *buckets[BUCKETS];
	struct name *names[DNS_CACHE_NAMES_MAX + 1]; /* by slot */
	uint32_t versions[DNS_CACHE_NAMES_MAX + 1];
	uint8_t used[DNS_CACHE_NAMES_MAX + 1];
	uint32_t version; /* the last that was given */
	struct log_limit refused;
	struct dns_cache_counters counters;
};

static const char *const files[] = {"/etc/resolv.conf", "/etc/hosts"};

static int64_t now(struct dns_cache *cache)
{
	return loop_now(cache->loop);
}

/* The addresses are others, or it is not worth waiting any longer. */
static void set_version(struct name *name)
{
	struct dns_cache *cache = name->cache;

	if (++cache->version == 0)
		cache->version = 1;
	cache->versions[name->slot] = cache->version;
}

static void tell(struct name *name)
{
	struct dns *face = &name->cache->face;

	set_version(name);
	if (face->changed)
		face->changed(face->context);
}

static bool is_open(const struct name *name)
{
	return name->parts[0].request || name->parts[1].request;
}

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct address));
}

/* Takes these addresses; the order in which a server tells them is nothing. */
static void set_addresses(struct name *name, struct address *addresses,
			  size_t count)
{
	bool is_same;

	qsort(addresses, count, sizeof(*addresses), compare);
	is_same = count == name->count &&
		  (count == 0 || !memcmp(addresses, name->addresses,
					 count * sizeof(*addresses)));
	if (is_same && !name->is_pending)
		return;
	if (!is_same) {
		memcpy(name->addresses, addresses, count * sizeof(*addresses));
		name->count = count;
		name->cache->counters.changes++;
	}
	name->is_pending = false;
	tell(name);
}

static void take_good(struct name *name, struct address *addresses,
		      size_t count, int64_t life_ms)
{
	if (life_ms < LIFE_MIN_MS)
		life_ms = LIFE_MIN_MS;
	if (life_ms > LIFE_MAX_MS)
		life_ms = LIFE_MAX_MS;
	if (name->is_failing)
		log_info("name is resolved again",
			 log_text("name", name->text));
	name->is_failing = false;
	name->bad = 0;
	name->life_ms = life_ms;
	name->good_ms = now(name->cache);
	set_addresses(name, addresses, count);
	loop_arm(name->timer, life_ms * 4 / 5);
}

/* Nothing new was heard: what is known stays, but for a name that is said to
 * be gone for a while. */
static void take_nothing(struct name *name, bool is_gone)
{
	int64_t now_ms = now(name->cache);
	int64_t delay_ms = 1000LL << (name->bad < 5 ? name->bad : 5);

	name->cache->counters.failures++;
	name->bad++;
	if (!name->is_failing)
		log_warn("name cannot be resolved",
			 log_text("name", name->text),
			 log_text("error",
				  is_gone ? "no such name" : "no answer"),
			 log_number("known", (int64_t)name->count));
	name->is_failing = true;
	if (is_gone && now_ms - name->good_ms >= GONE_MS)
		set_addresses(name, name->addresses, 0);
	if (name->is_pending) {
		name->is_pending = false;
		tell(name);
	}
	loop_arm(name->timer,
		 delay_ms < RETRY_MAX_MS ? delay_ms : RETRY_MAX_MS);
}

/* Of a family that was not heard of the last addresses stay. */
static size_t keep_family(const struct name *name, bool is_ipv6,
			  struct address *to)
{
	size_t i, count = 0;

	for (i = 0; i < name->count && count < FAMILY_MAX; i++)
		if (name->addresses[i].is_ipv6 == is_ipv6)
			to[count++] = name->addresses[i];
	return count;
}

static void conclude(struct name *name)
{
	struct address addresses[ADDRESSES_MAX];
	size_t i, count = 0;
	int64_t life_ms = LIFE_MAX_MS;
	bool is_good = false;

	for (i = 0; i < 2; i++) {
		const struct part *part = &name->parts[i];

		if (part->verdict == GOOD) {
			is_good = true;
			memcpy(addresses + count, part->addresses,
			       part->count * sizeof(*addresses));
			count += part->count;
			if (part->life_ms < life_ms)
				life_ms = part->life_ms;
		} else if (part->verdict != GONE) {
			count += keep_family(name, i == 1, addresses + count);
		}
	}
	if (is_good)
		take_good(name, addresses, count, life_ms);
	else
		take_nothing(name, name->parts[0].verdict == GONE &&
					   name->parts[1].verdict == GONE);
}

/* evdns' callback, of one family. */
static void on_part(int error, char type, int count, int ttl, void *addresses,
		    void *context)
{
	struct part *part = context;
	struct name *name = part->name;
	bool is_ipv6 = part == &name->parts[1];
	size_t size = is_ipv6 ? 16 : 4;
	size_t i;

	part->request = NULL;
	part->verdict = FAILED;
	part->count = 0;
	if (error == DNS_ERR_NOTEXIST || error == DNS_ERR_NODATA)
		part->verdict = GONE;
	if (error == DNS_ERR_NONE && count <= 0)
		part->verdict = GONE;
	if (error == DNS_ERR_NONE && count > 0 &&
	    type == (is_ipv6 ? DNS_IPv6_AAAA : DNS_IPv4_A)) {
		part->verdict = GOOD;
		part->life_ms = ttl * 1000LL;
		for (i = 0; i < (size_t)count && i < FAMILY_MAX; i++) {
			struct address *to = &part->addresses[part->count++];

			*to = (struct address){.is_ipv6 = is_ipv6};
			memcpy(to->bytes, (char *)addresses + i * size, size);
		}
	}
	if (!is_open(name))
		conclude(name);
	else if (part->verdict == GOOD)
		loop_arm(name->timer, PARTIAL_MS);
}

/* The hosts file is asked through evdns_getaddrinfo, which answers from it at
 * once or not at all. */
static void on_hosts(int error, struct evutil_addrinfo *list, void *context)
{
	struct dns_cache *cache = context;
	struct name *name = cache->found;
	struct evutil_addrinfo *one;
	struct address addresses[ADDRESSES_MAX];
	size_t count = 0;

	for (one = list; one && count < ADDRESSES_MAX; one = one->ai_next) {
		struct address *to = &addresses[count++];

		*to = (struct address){.is_ipv6 = one->ai_family == AF_INET6};
		if (to->is_ipv6)
			memcpy(to->bytes,
			       &((struct sockaddr_in6 *)one->ai_addr)
					->sin6_addr,
			       16);
		else
			memcpy(to->bytes,
			       &((struct sockaddr_in *)one->ai_addr)->sin_addr,
			       4);
	}
	if (list)
		evutil_freeaddrinfo(list);
	if (error != 0 || !name || count == 0)
		return;
	cache->found = NULL;
	take_good(name, addresses, count, HOSTS_LIFE_MS);
}

static bool find_in_hosts(struct name *name)
{
	struct dns_cache *cache = name->cache;
	struct evutil_addrinfo hints = {.ai_socktype = SOCK_STREAM,
					.ai_family = AF_UNSPEC};
	struct evdns_getaddrinfo_request *request;
	char text[NAME_MAX_BYTES + 1];

	memcpy(text, name->text, name->len + 1);
	if (text[name->len - 1] == '.')
		text[name->len - 1] = '\0';
	cache->found = name;
	request = evdns_getaddrinfo(cache->hosts, text, NULL, &hints, on_hosts,
				    cache);
	if (request)
		evdns_getaddrinfo_cancel(request);
	if (cache->found == NULL)
		return true;
	cache->found = NULL;
	return false;
}

static bool is_changed(struct dns_cache *cache, size_t i)
{
	struct stat found = {0};

	if (stat(files[i], &found) != 0)
		found.st_mtim = (struct timespec){.tv_sec = -1};
	if (found.st_mtim.tv_sec == cache->files[i].tv_sec &&
	    found.st_mtim.tv_nsec == cache->files[i].tv_nsec)
		return false;
	cache->files[i] = found.st_mtim;
	return true;
}

/* Reads the files that have changed. False without memory. */
static bool read_files(struct dns_cache *cache)
{
	const int what =
		DNS_OPTION_SEARCH | DNS_OPTION_NAMESERVERS | DNS_OPTION_MISC;
	int64_t now_ms = now(cache);

	if (cache->dns && cache->hosts && now_ms - cache->files_ms < FILES_MS)
		return true;
	cache->files_ms = now_ms;
	if (!cache->dns)
		cache->dns = evdns_base_new(cache->loop->base,
					    EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	if (!cache->dns)
		return false;
	if (is_changed(cache, 0)) {
		evdns_base_clear_nameservers_and_suspend(cache->dns);
		evdns_base_set_option(cache->dns, "timeout:", "2");
		evdns_base_resolv_conf_parse(cache->dns, what, files[0]);
		evdns_base_resume(cache->dns);
	}
	if (is_changed(cache, 1) || !cache->hosts) {
		if (cache->hosts)
			evdns_base_free(cache->hosts, 0);
		cache->hosts = evdns_base_new(cache->loop->base,
					      EVDNS_BASE_DISABLE_WHEN_INACTIVE);
		if (cache->hosts)
			evdns_base_load_hosts(cache->hosts, files[1]);
	}
	return cache->hosts != NULL;
}

static void resolve(struct name *name)
{
	struct dns_cache *cache = name->cache;
	struct part *parts = name->parts;

	cache->counters.resolutions++;
	parts[0].verdict = parts[1].verdict = UNHEARD;
	name->is_late = false;
	if (!read_files(cache)) {
		take_nothing(name, false);
		return;
	}
	if (find_in_hosts(name))
		return;
	loop_arm(name->timer, PATIENCE_MS);
	parts[0].request = evdns_base_resolve_ipv4(cache->dns, name->text, 0,
						   on_part, &parts[0]);
	parts[1].request = evdns_base_resolve_ipv6(cache->dns, name->text, 0,
						   on_part, &parts[1]);
	if (!is_open(name))
		take_nothing(name, false);
}

static void forget(struct name *name)
{
	struct dns_cache *cache = name->cache;
	struct span text = {name->text, name->len};
	struct name **at =
		&cache->buckets[hash_span(&cache->secret, text) % BUCKETS];

	while (*at != name)
		at = &(*at)->chain;
	*at = name->chain;
	cache->names[name->slot] = NULL;
	set_version(name);
	cache->counters.names--;
	event_free(name->timer);
	free(name);
}

/* Somebody must ask before anything is done for it again. */
static void sleep_until_asked(struct name *name)
{
	name->is_asleep = true;
	set_version(name);
	loop_arm(name->timer, SLEEP_MS);
}

/* What is open takes long: what there is will do. The second time it is given
 * up. */
static void lose_patience(struct name *name)
{
	bool is_late = name->is_late;
	size_t i;

	name->is_late = true;
	for (i = 0; i < 2 && is_late; i++)
		if (name->parts[i].request)
			evdns_cancel_request(name->cache->dns,
					     name->parts[i].request);
	if (is_late)
		return;
	if (name->parts[0].verdict == GOOD || name->parts[1].verdict == GOOD) {
		conclude(name);
		return;
	}
	loop_arm(name->timer, GIVE_UP_MS);
	if (name->is_pending) {
		name->is_pending = false;
		tell(name);
	}
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct name *name = context;
	uint8_t *used = &name->cache->used[name->slot];
	int64_t now_ms = now(name->cache);

	(void)fd;
	(void)what;
	if (*used)
		name->used_ms = now_ms;
	*used = 0;
	if (name->is_asleep)
		forget(name);
	else if (is_open(name))
		lose_patience(name);
	else if (now_ms - name->used_ms >= IDLE_MS &&
		 now_ms - name->used_ms >= 2 * name->life_ms)
		sleep_until_asked(name);
	else
		resolve(name);
}

static struct name *find_name(struct dns_cache *cache, struct span text)
{
	struct name *name =
		cache->buckets[hash_span(&cache->secret, text) % BUCKETS];

	while (name && !span_equal((struct span){name->text, name->len}, text))
		name = name->chain;
	return name;
}

/* A free one, or 0. */
static uint32_t find_slot(const struct dns_cache *cache)
{
	uint32_t slot;

	for (slot = 1; slot <= DNS_CACHE_NAMES_MAX; slot++)
		if (!cache->names[slot])
			return slot;
	return 0;
}

static void warn_refused(struct dns_cache *cache)
{
	uint64_t held;

	if (log_limit_pass(&cache->refused, now(cache), WARN_MS, &held))
		log_warn("too many names to resolve",
			 log_number("max", DNS_CACHE_NAMES_MAX),
			 log_number("held_back", (int64_t)held));
}

static struct name *add_name(struct dns_cache *cache, struct span text)
{
	size_t bucket = hash_span(&cache->secret, text) % BUCKETS;
	uint32_t slot = find_slot(cache);
	struct name *name = slot ? calloc(1, sizeof(*name)) : NULL;

	if (name)
		name->timer = evtimer_new(cache->loop->base, on_timer, name);
	if (!name || !name->timer) {
		free(name);
		cache->counters.refused++;
		warn_refused(cache);
		return NULL;
	}
	name->cache = cache;
	name->slot = slot;
	name->parts[0].name = name->parts[1].name = name;
	name->len = text.len;
	memcpy(name->text, text.p, text.len);
	name->good_ms = -GONE_MS;
	name->chain = cache->buckets[bucket];
	cache->buckets[bucket] = name;
	cache->names[slot] = name;
	cache->counters.names++;
	set_version(name);
	return name;
}

/* Begins, or after a sleep begins again; nobody is told from within. */
static void wake(struct name *name)
{
	struct dns *face = &name->cache->face;
	void (*changed)(void *context) = face->changed;

	face->changed = NULL;
	name->is_asleep = false;
	name->is_pending = true;
	name->used_ms = now(name->cache);
	name->bad = 0;
	resolve(name);
	face->changed = changed;
}

static void look_up(struct dns *face, struct span text, bool is_asked,
		    struct name_state *state)
{
	struct dns_cache *cache = (struct dns_cache *)face;
	char lower[NAME_MAX_BYTES];
	struct span key = {lower, text.len};
	struct name *name;
	size_t i;

	*state = (struct name_state){.is_pending = !is_asked};
	if (text.len > sizeof(lower))
		return;
	for (i = 0; i < text.len; i++)
		lower[i] = (char)tolower((unsigned char)text.p[i]);
	name = find_name(cache, key);
	if (!name && is_asked) {
		name = add_name(cache, key);
		if (name)
			wake(name);
	} else if (name && name->is_asleep && is_asked) {
		wake(name);
	}
	if (!name)
		return;
	*state = (struct name_state){
		.ref = {name->slot, cache->versions[name->slot]},
		.addresses = name->addresses,
		.count = name->count,
		.is_pending = name->is_pending};
	if (is_asked)
		cache->used[name->slot] = 1;
	else if (name->is_asleep)
		state->ref = (struct name_ref){0};
}

struct dns_cache *dns_cache_new(struct loop *loop,
				const struct hash_secret *secret)
{
	struct dns_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return NULL;
	cache->loop = loop;
	cache->secret = *secret;
	cache->version = 1;
	cache->versions[0] = 1;
	cache->face = (struct dns){.versions = cache->versions,
				   .used = cache->used,
				   .look_up = look_up};
	return cache;
}

void dns_cache_free(struct dns_cache *cache)
{
	size_t i;

	if (!cache)
		return;
	for (i = 1; i <= DNS_CACHE_NAMES_MAX; i++)
		if (cache->names[i]) {
			event_free(cache->names[i]->timer);
			free(cache->names[i]);
		}
	if (cache->hosts)
		evdns_base_free(cache->hosts, 0);
	if (cache->dns)
		evdns_base_free(cache->dns, 0);
	free(cache);
}

struct dns *dns_cache_face(struct dns_cache *cache)
{
	return &cache->face;
}

const struct dns_cache_counters *dns_cache_count(const struct dns_cache *cache)
{
	return &cache->counters;
}
