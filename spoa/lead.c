/* SPDX-License-Identifier: MIT */
/*
 * lead: remembers where a URL leads.
 */
#include "lead.h"

enum { HOPS_MAX = 5 }; /* from node to node before one could be used */

static const struct redis_url *origin(const struct lead *lead)
{
	return lead->options.place.url;
}

static bool turn(struct lead *lead, struct span host, uint16_t port)
{
	size_t next = 1 - lead->at;

	if (!redis_url_lead(origin(lead), host, port, &lead->urls[next]))
		return false;
	lead->at = next;
	lead->is_known = true;
	return true;
}

static void on_named(void *context, const struct redis_address *at,
		     bool is_replica)
{
	struct lead *lead = context;

	lead->hops = 0;
	lead->role = is_replica ? REDIS_REPLICA : REDIS_MASTER;
	if (turn(lead, span_of(at->host), at->port))
		lead->options.turned(lead->options.context,
				     lead->options.number);
}

void lead_reread(struct lead *lead)
{
	const struct redis_url *from = origin(lead);
	size_t i;

	for (i = 0; i < ARRAY_LEN(lead->urls); i++)
		memcpy(lead->urls[i].password, from->password,
		       sizeof(from->password));
	if (lead->sentinel)
		sentinel_reread(lead->sentinel);
}

const struct redis_url *lead_url(struct lead *lead)
{
	if (lead->sentinel)
		sentinel_ask(lead->sentinel);
	return lead->is_known ? &lead->urls[lead->at] : NULL;
}

const char *lead_name(const struct lead *lead)
{
	return lead->is_known ? lead->urls[lead->at].name : origin(lead)->name;
}

bool lead_follow(struct lead *lead, const struct redis_redirect *redirect)
{
	/* A node that does not know its own address leaves the host out. */
	const char *host = redirect->host[0] != '\0'
				   ? redirect->host
				   : lead->urls[lead->at].host;

	if (++lead->hops > HOPS_MAX ||
	    !turn(lead, span_of(host), redirect->port))
		return false;
	lead->is_asking = redirect->is_asking;
	return true;
}

void lead_arrive(struct lead *lead)
{
	lead->hops = 0;
}

void lead_return(struct lead *lead)
{
	lead->hops = 0;
	lead->is_asking = false;
	if (lead->sentinel) {
		sentinel_refuse(lead->sentinel);
		return;
	}
	lead->at = 1 - lead->at;
	lead->urls[lead->at] = *origin(lead);
	lead->is_known = true;
}

bool lead_init(struct lead *lead, const struct lead_options *options)
{
	const struct sentinel_options sentinel = {
		.place = options->place, .named = on_named, .context = lead};

	*lead = (struct lead){.options = *options};
	if (origin(lead)->master[0] == '\0') {
		lead_return(lead);
		return true;
	}
	lead->sentinel = sentinel_new(&sentinel);
	return lead->sentinel != NULL;
}

void lead_fini(struct lead *lead)
{
	sentinel_free(lead->sentinel);
	lead->sentinel = NULL;
}
