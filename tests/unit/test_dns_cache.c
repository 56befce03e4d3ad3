/* SPDX-License-Identifier: MIT */
/*
 * dns_cache: lives, refreshes and failures of names, by a clock of the test's
 * own and a resolver that answers when it is told to. (The real one is tested
 * end to end.)
 */
#include "clock.h"

#include <event2/dns.h>
#include <event2/util.h>
#include <stdio.h>

#include "../../spoa/dns_cache.h"

enum { REQUESTS = 2, IPV4 = 0, IPV6 = 1, TTL = 100 };

/* The questions that are open, by family. */
struct evdns_request {
	evdns_callback_type callback;
	void *context;
};

static struct {
	struct loop loop;
	struct dns_cache *cache;
	struct dns *dns;
	struct evdns_request requests[REQUESTS];
	bool is_broken; /* asks nobody */
	int asked;	/* for IPv4 */
	int changed;	/* how often that was told */
	char asked_for[300];
	const char *in_hosts; /* a name of the hosts file, at 10.9.9.9 */
} test;

/* -- the resolver, in place of libevent's --------------------------------- */

struct evdns_base *evdns_base_new(struct event_base *base, int flags)
{
	(void)base;
	(void)flags;
	return (struct evdns_base *)(void *)&test;
}

void evdns_base_free(struct evdns_base *base, int fail)
{
	(void)base;
	(void)fail;
}

int evdns_base_resolv_conf_parse(struct evdns_base *base, int flags,
				 const char *const path)
{
	(void)base;
	(void)flags;
	(void)path;
	return 0;
}

int evdns_base_load_hosts(struct evdns_base *base, const char *path)
{
	(void)base;
	(void)path;
	return 0;
}

int evdns_base_set_option(struct evdns_base *base, const char *option,
			  const char *value)
{
	(void)base;
	(void)option;
	(void)value;
	return 0;
}

int evdns_base_clear_nameservers_and_suspend(struct evdns_base *base)
{
	(void)base;
	return 0;
}

int evdns_base_resume(struct evdns_base *base)
{
	(void)base;
	return 0;
}

static struct evdns_request *ask(int family, const char *name,
				 evdns_callback_type callback, void *context)
{
	struct evdns_request *request = &test.requests[family];

	if (test.is_broken)
		return NULL;
	assert_null(request->callback); /* one at a time */
	request->callback = callback;
	request->context = context;
	test.asked += family == IPV4;
	snprintf(test.asked_for, sizeof(test.asked_for), "%s", name);
	return request;
}

struct evdns_request *evdns_base_resolve_ipv4(struct evdns_base *base,
					      const char *name, int flags,
					      evdns_callback_type callback,
					      void *context)
{
	(void)base;
	(void)flags;
	return ask(IPV4, name, callback, context);
}

struct evdns_request *evdns_base_resolve_ipv6(struct evdns_base *base,
					      const char *name, int flags,
					      evdns_callback_type callback,
					      void *context)
{
	(void)base;
	(void)flags;
	return ask(IPV6, name, callback, context);
}

/* Ends the question of a family. */
static void end(int family, int error, char type, int count, int ttl,
		void *addresses)
{
	struct evdns_request request = test.requests[family];

	assert_non_null(request.callback);
	test.requests[family].callback = NULL;
	request.callback(error, type, count, ttl, addresses, request.context);
}

void evdns_cancel_request(struct evdns_base *base,
			  struct evdns_request *request)
{
	(void)base;
	end((int)(request - test.requests), DNS_ERR_CANCEL, 0, 0, 0, NULL);
}

struct evdns_getaddrinfo_request *
evdns_getaddrinfo(struct evdns_base *base, const char *name,
		  const char *service, const struct evutil_addrinfo *hints,
		  evdns_getaddrinfo_cb callback, void *context)
{
	struct evutil_addrinfo *found = NULL;

	(void)base;
	if (test.in_hosts && !strcmp(name, test.in_hosts) &&
	    evutil_getaddrinfo("10.9.9.9", service, hints, &found) == 0)
		callback(0, found, context);
	return NULL;
}

void evdns_getaddrinfo_cancel(struct evdns_getaddrinfo_request *request)
{
	(void)request;
}

/* -- what the tests say ---------------------------------------------------- */

static void on_changed(void *context)
{
	assert_ptr_equal(context, &test);
	test.changed++;
}

static int set_up(void **state)
{
	static const struct hash_secret secret = {1, 2};

	(void)state;
	memset(&test, 0, sizeof(test));
	clock_open(&test.loop);
	clock_hush();
	test.cache = dns_cache_new(&test.loop, &secret);
	assert_non_null(test.cache);
	test.dns = dns_cache_face(test.cache);
	test.dns->changed = on_changed;
	test.dns->context = &test;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	dns_cache_free(test.cache);
	clock_close(&test.loop);
	return 0;
}

/* Somebody asks; "4 addresses" as "1.2": their last bytes, and "?" while they
 * are worth waiting for. */
static const char *look(const char *name)
{
	static char text[512];
	struct name_state state;
	size_t i;

	test.dns->look_up(test.dns, span_of(name), true, &state);
	snprintf(text, sizeof(text), "%s", state.is_pending ? "?" : "");
	for (i = 0; i < state.count; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "%s%s%u", i ? "." : "",
			 state.addresses[i].is_ipv6 ? ":" : "",
			 state.addresses[i].bytes[3]);
	return text;
}

static uint32_t version_of(const char *name)
{
	struct name_state state;

	test.dns->look_up(test.dns, span_of(name), false, &state);
	return state.ref.slot ? test.dns->versions[state.ref.slot] : 0;
}

/* So many addresses, from N on; none is that there are none of the family. */
static void tell(int family, int count, int n, int ttl)
{
	uint8_t addresses[64 * 16] = {0};
	size_t size = family == IPV4 ? 4 : 16;
	int i;

	for (i = 0; i < count; i++)
		addresses[(size_t)i * size + 3] = (uint8_t)(n + i);
	if (count > 0)
		end(family, DNS_ERR_NONE,
		    family == IPV4 ? DNS_IPv4_A : DNS_IPv6_AAAA, count, ttl,
		    addresses);
	else
		end(family, DNS_ERR_NODATA, 0, 0, 0, NULL);
}

static void fail_both(int error)
{
	end(IPV4, error, 0, 0, 0, NULL);
	end(IPV6, error, 0, 0, 0, NULL);
}

/* The name is known, by one IPv4 address. */
static void know(const char *name, int ttl)
{
	assert_string_equal(look(name), "?");
	tell(IPV4, 1, 1, ttl);
	tell(IPV6, 0, 0, 0);
	assert_string_equal(look(name), "1");
}

/* Time passes while it is used. */
static void pass_used(const char *name, int64_t ms)
{
	for (; ms > 0; ms -= 500) {
		look(name);
		clock_pass(&test.loop, ms < 500 ? ms : 500);
	}
}

static bool is_open(int family)
{
	return test.requests[family].callback != NULL;
}

static void test_a_name(void **state)
{
	struct name_state known;
	uint32_t version;

	(void)state;
	test.dns->look_up(test.dns, span_of("a.test"), false, &known);
	assert_true(known.is_pending && known.count == 0);
	assert_int_equal(test.asked, 0); /* nobody wants it */
	assert_string_equal(look("A.Test"), "?");
	assert_string_equal(test.asked_for, "a.test");
	assert_string_equal(look("a.test"), "?");
	assert_int_equal(test.asked, 1);
	version = version_of("a.test");
	tell(IPV4, 3, 7, TTL);
	assert_int_equal(test.changed, 0);
	tell(IPV6, 1, 2, TTL);
	assert_int_equal(test.changed, 1);
	assert_int_not_equal(version_of("a.test"), version);
	assert_string_equal(look("a.TEST"), ":2.7.8.9");
	assert_int_equal(dns_cache_count(test.cache)->names, 1);
	assert_int_equal(dns_cache_count(test.cache)->resolutions, 1);
	assert_int_equal(dns_cache_count(test.cache)->changes, 1);
}

/* The order in which a server says them, or says them again, is no change. */
static void test_the_same_is_no_change(void **state)
{
	uint32_t version;

	(void)state;
	know("a.test", TTL);
	version = version_of("a.test");
	pass_used("a.test", TTL * 800 + 100);
	assert_int_equal(test.asked, 2);
	tell(IPV4, 1, 1, TTL);
	tell(IPV6, 0, 0, 0);
	assert_int_equal(version_of("a.test"), version);
	assert_int_equal(test.changed, 1);
}

static void test_one_family_does_not_hold_up_the_other(void **state)
{
	(void)state;
	look("a.test");
	tell(IPV4, 1, 1, TTL);
	clock_pass(&test.loop, 20);
	assert_string_equal(look("a.test"), "?");
	clock_pass(&test.loop, 10);
	assert_string_equal(look("a.test"), "1");
	tell(IPV6, 1, 2, TTL);
	assert_string_equal(look("a.test"), "1.:2");
}

/* Before a record's life ends it is asked for again, within bounds. */
static void test_refreshes(void **state)
{
	static const struct {
		int ttl;
		int64_t ms;
	} rows[] = {{100, 80 * 1000}, {0, 800}, {86400, 240 * 1000}};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		tear_down(NULL);
		set_up(NULL);
		know("a.test", rows[i].ttl);
		pass_used("a.test", rows[i].ms - 50);
		assert_int_equal(test.asked, 1);
		pass_used("a.test", 100);
		assert_int_equal(test.asked, 2);
		tell(IPV4, 1, 5, TTL);
		tell(IPV6, 0, 0, 0);
		assert_string_equal(look("a.test"), "5");
	}
}

static void test_unused_names_sleep(void **state)
{
	int before;

	(void)state;
	know("a.test", 1);
	for (before = 0; before != test.asked;) {
		before = test.asked;
		clock_pass(&test.loop, 1000);
		if (is_open(IPV4)) {
			tell(IPV4, 1, 1, 1);
			tell(IPV6, 0, 0, 0);
		}
	}
	assert_in_range(test.asked, 2, 14);
	clock_pass(&test.loop, 60 * 1000);
	assert_int_equal(test.asked, before);
	assert_string_equal(look("a.test"), "?1");
	assert_int_equal(test.asked, before + 1);
	tell(IPV4, 1, 2, 1);
	tell(IPV6, 0, 0, 0);
	assert_string_equal(look("a.test"), "2");
}

static void test_what_was_known_outlives_the_servers(void **state)
{
	int64_t ms;

	(void)state;
	know("a.test", TTL);
	pass_used("a.test", TTL * 800);
	for (ms = 0; ms < 600 * 1000; ms += 1000) {
		if (is_open(IPV4))
			fail_both(DNS_ERR_SERVERFAILED);
		pass_used("a.test", 1000);
		assert_string_equal(look("a.test"), "1");
	}
	assert_in_range(dns_cache_count(test.cache)->failures, 20, 40);
	while (!is_open(IPV4))
		pass_used("a.test", 1000);
	tell(IPV4, 1, 3, TTL);
	tell(IPV6, 0, 0, 0);
	assert_string_equal(look("a.test"), "3");
}

/* A name that is said to be gone is believed after a while. */
static void test_gone(void **state)
{
	int64_t ms;

	(void)state;
	know("a.test", 10);
	pass_used("a.test", 8100);
	fail_both(DNS_ERR_NOTEXIST);
	assert_string_equal(look("a.test"), "1");
	for (ms = 8100; ms < 29000; ms += 500) {
		if (is_open(IPV4))
			fail_both(DNS_ERR_NOTEXIST);
		pass_used("a.test", 500);
		assert_string_equal(look("a.test"), "1");
	}
	for (; ms < 60000 && strcmp(look("a.test"), "") != 0; ms += 500) {
		if (is_open(IPV4))
			fail_both(DNS_ERR_NOTEXIST);
		pass_used("a.test", 500);
	}
	assert_string_equal(look("a.test"), "");
}

/* One family fails: its last addresses stay beside what the other says. */
static void test_half_a_failure(void **state)
{
	(void)state;
	look("a.test");
	tell(IPV4, 1, 1, TTL);
	tell(IPV6, 1, 2, TTL);
	pass_used("a.test", TTL * 800 + 100);
	tell(IPV4, 1, 3, TTL);
	end(IPV6, DNS_ERR_TIMEOUT, 0, 0, 0, NULL);
	assert_string_equal(look("a.test"), ":2.3");
}

/* Nobody waits longer than a second, but what comes late is taken. */
static void test_silent_servers(void **state)
{
	(void)state;
	assert_string_equal(look("a.test"), "?");
	clock_pass(&test.loop, 900);
	assert_string_equal(look("a.test"), "?");
	clock_pass(&test.loop, 200);
	assert_int_equal(test.changed, 1);
	assert_string_equal(look("a.test"), "");
	tell(IPV4, 1, 1, TTL);
	tell(IPV6, 0, 0, 0);
	assert_string_equal(look("a.test"), "1");
	assert_string_equal(look("b.test"), "?");
	pass_used("b.test", 21500); /* given up */
	assert_int_equal(dns_cache_count(test.cache)->failures, 1);
	assert_int_equal(test.asked, 2);
	pass_used("b.test", 2000);
	assert_int_equal(test.asked, 3);
	tell(IPV4, 1, 4, TTL);
	tell(IPV6, 0, 0, 0);
	assert_string_equal(look("b.test"), "4");
}

static void test_no_resolver_at_all(void **state)
{
	(void)state;
	test.is_broken = true;
	assert_string_equal(look("a.test"), "");
	assert_int_equal(dns_cache_count(test.cache)->failures, 1);
	test.is_broken = false;
	pass_used("a.test", 1500);
	tell(IPV4, 1, 1, TTL);
	tell(IPV6, 0, 0, 0);
	assert_string_equal(look("a.test"), "1");
}

static void test_the_hosts_file_goes_first(void **state)
{
	(void)state;
	test.in_hosts = "a.test";
	assert_string_equal(look("a.test."), "9");
	assert_int_equal(test.asked, 0);
	test.in_hosts = NULL; /* it was changed */
	pass_used("a.test.", 5000);
	tell(IPV4, 1, 1, TTL);
	tell(IPV6, 0, 0, 0);
	assert_string_equal(look("a.test."), "1");
}

static void test_bounds(void **state)
{
	char name[300];
	size_t i;

	(void)state;
	look("a.test");
	tell(IPV4, 40, 1, TTL);
	tell(IPV6, 40, 1, TTL);
	test.dns->used[0] = 0;
	assert_int_equal(strlen(look("a.test")) > 0, 1);
	for (i = 0; i < 2; i++) { /* 32 of each, no more */
		struct name_state known;

		test.dns->look_up(test.dns, span_of("a.test"), true, &known);
		assert_int_equal(known.count, 64);
	}
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	look(name);
	assert_int_equal(dns_cache_count(test.cache)->names, 1);
	test.is_broken = true;
	for (i = 1; i < DNS_CACHE_NAMES_MAX; i++) {
		snprintf(name, sizeof(name), "n%zu.test", i);
		look(name);
	}
	assert_int_equal(dns_cache_count(test.cache)->refused, 0);
	assert_string_equal(look("more.test"), "");
	assert_int_equal(dns_cache_count(test.cache)->refused, 1);
	assert_int_equal(dns_cache_count(test.cache)->names,
			 DNS_CACHE_NAMES_MAX);
	/* Those that nobody uses make room in the end. */
	clock_pass(&test.loop, (3600 + 120) * 1000);
	assert_in_range(dns_cache_count(test.cache)->names, 0, 1);
	look("more.test");
	assert_int_equal(dns_cache_count(test.cache)->refused, 1);
}

static void test_without_memory(void **state)
{
	(void)state;
	kit_fail_allocation(1);
	assert_string_equal(look("a.test"), "");
	kit_fail_allocation(0);
	assert_int_equal(dns_cache_count(test.cache)->refused, 1);
	know("a.test", TTL);
}

int main(void)
{
#define NAMES(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		NAMES(test_a_name),
		NAMES(test_the_same_is_no_change),
		NAMES(test_one_family_does_not_hold_up_the_other),
		NAMES(test_refreshes),
		NAMES(test_unused_names_sleep),
		NAMES(test_what_was_known_outlives_the_servers),
		NAMES(test_gone),
		NAMES(test_half_a_failure),
		NAMES(test_silent_servers),
		NAMES(test_no_resolver_at_all),
		NAMES(test_the_hosts_file_goes_first),
		NAMES(test_bounds),
		NAMES(test_without_memory),
	};

	return cmocka_run_group_tests_name("dns_cache", tests, NULL, NULL);
}
