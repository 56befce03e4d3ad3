#!/bin/bash
# SPDX-License-Identifier: MIT
# use.sh: all of docker-compose.yml from up to down, with the engine that answers
# and an image spoa-router that is built.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/tap.sh
. tests/tap.sh
export ROUTER_PORT=${ROUTER_PORT:-18000} CACHE_PORT=${CACHE_PORT:-18080}
project=spoa-router-test
compose() { docker compose -p $project -f docker/docker-compose.yml "$@"; }
show_logs() { compose logs --tail 4 2>&1 | tail -n 25; }
redis() { compose exec -T redis redis-cli "$@"; }
here() { ${ENGINE_NETNS:+nsenter --net=/run/netns/$ENGINE_NETNS} "$@"; }

# get HOST [PORT [PATH]]: the answer's body; status: its status.
get() { here curl -sf -m 15 -H "Host: $1" "http://127.0.0.1:${2:-$ROUTER_PORT}/${3-}"; }
status() { here curl -s -m 15 -o /dev/null -w '%{http_code}' -H "Host: $1" "http://127.0.0.1:$ROUTER_PORT/"; }
answers() { same "$(status "$1")" "$2"; }
from() { get "$1" | grep -q "^$2 on "; }
agents() { docker ps -q --filter label=com.docker.compose.project=$project --filter label=com.docker.compose.service=agent; }
always() { for _ in $(seq 50); do answers "$1" 200 || return; done; }
inspect() { docker inspect -f "$1" "$2"; }
nothing_left() {
	same "$(docker ps -aq --filter label=com.docker.compose.project=$project)" "" &&
		same "$(docker network ls -q --filter label=com.docker.compose.project=$project)" "" &&
		same "$(docker volume ls -q --filter label=com.docker.compose.project=$project)" ""
}
trap 'compose --profile "*" down -v -t 5 >/dev/null 2>&1' EXIT

# -- the image ----------------------------------------------------------------
echo "# spoa-router is $(($(inspect '{{.Size}}' spoa-router) / 1000000)) MB, on a debian:trixie-slim of $(($(inspect '{{.Size}}' debian:trixie-slim) / 1000000)) MB"
check "it does not run as root" same "$(inspect '{{.Config.User}}' spoa-router)" spoa-router
check "it says how it is" test -n "$(inspect '{{.Config.Healthcheck}}' spoa-router)"
check "the file is valid with all profiles" compose --profile '*' config -q

# -- up, route ------------------------------------------------------------------
start=$SECONDS
compose up -d --no-build --quiet-pull 2>&1 | tail -n 3
until from app1.cloud.com ruby; do
	[ $((SECONDS - start)) -lt 60 ] || break
	sleep 0.2
done
took=$((SECONDS - start))
check "it answers within 30 s of up ($took s)" test $took -le 30
check "a host goes to Ruby" from app1.cloud.com ruby
check "another to PHP" from app2.cloud.com php
check "a wildcard to Python" from any.shop.cloud.com python
check "an unknown host is 404" answers nobody.cloud.com 404
check "one command changes a route" redis HSET routes app1.cloud.com python:9000
check "traffic follows" from app1.cloud.com python
check "one command adds one" redis HSET routes new.cloud.com ruby:9000
check "traffic follows that, too" from new.cloud.com ruby
check "two agents serve" same "$(agents | wc -l)" 2
first=$(agents | head -n 1)
check "its file system cannot be written" not docker exec "$first" touch /tmp/x
check "its health is known" bash -c \
	"docker inspect -f '{{.State.Health.Status}}' $first | grep -qx healthy"

# -- what breaks ------------------------------------------------------------------
check "a route may name two services" redis HSET routes two.cloud.com "ruby:9000, php:9000"
both() { [ "$(for _ in $(seq 10); do get two.cloud.com; done | grep -o '^[a-z]* on ' | sort -u | wc -l)" = 2 ]; }
check "both serve in turn" both
compose kill ruby >/dev/null 2>&1
check "a killed worker is 503" answers new.cloud.com 503
check "unless the route names another" always two.cloud.com
check "which serves alone" from two.cloud.com php
check "until its route changes" redis HSET routes new.cloud.com php:9000
check "and traffic follows" from new.cloud.com php
docker kill "$first" >/dev/null
check "with one agent killed the other answers" always app1.cloud.com
compose kill redis >/dev/null 2>&1
check "without Redis known hosts are served" always app1.cloud.com
check "and others, too" from app2.cloud.com php
compose start redis >/dev/null 2>&1
check "Redis is back with what it knew" redis HEXISTS routes new.cloud.com
check "and routes change again" redis HSET routes app1.cloud.com php:9000
check "and traffic follows again" from app1.cloud.com php

# -- more agents ----------------------------------------------------------------------
compose up -d --no-build --scale agent=4 --no-recreate >/dev/null 2>&1
check "four agents serve" bash -c "[ \$(docker ps -q --filter label=com.docker.compose.project=$project \
	--filter label=com.docker.compose.service=agent --filter health=healthy | wc -l) = 4 ]"
newest=$(agents | head -n 1) # docker ps begins with it
agents | grep -v "$newest" | xargs docker kill >/dev/null
check "HAProxy knows the newest of them, alone" always app1.cloud.com
compose up -d --no-build --scale agent=1 --no-recreate >/dev/null 2>&1
check "one is enough again" always app1.cloud.com

# -- a cache in front ---------------------------------------------------------------------
compose --profile cache up -d --no-build --quiet-pull varnish 2>&1 | tail -n 1
page() { get app2.cloud.com "$CACHE_PORT" page; }
check "a page comes through Varnish" page
made=$(page)
compose kill php >/dev/null 2>&1
check "and from it, when its worker is gone" same "$(page)" "${made:-a page}"

# -- down -----------------------------------------------------------------------------------
compose --profile '*' down -v -t 5 >/dev/null 2>&1
check "down leaves nothing" nothing_left
echo "done"
