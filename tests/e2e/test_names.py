# SPDX-License-Identifier: MIT
"""DNS names as targets: a real resolver, /etc/hosts, changes and failures."""

import time
from collections import Counter

import pytest

import kit
from kit.admin import Admin
from resp import until
from spop import Peer

HOST = "app.example"


@pytest.fixture
def dns():
    with kit.DNS({"one.test": ["10.0.0.1"],
                  "two.test": ["10.0.0.1", "10.0.0.2"],
                  "both.test": ["10.0.0.1", "2001:db8::1"],
                  "short.in.test": ["10.0.0.3"],
                  "mixed.test": ["10.0.0.1", "169.254.169.254"],
                  "denied.test": ["169.254.169.254", "fe80::1"]}) as found:
        yield found


@pytest.fixture
def site(redis, ask, dns, hosts_file):
    """site(value): the answers to a host with that value."""
    def start(*options, hosts=()):
        ask.start(redis.url, options=("--lookup-timeout", "1s", *options),
                  prefix=hosts_file(*hosts, resolver=dns.resolv_conf))

    def put(value, number=1, host=HOST):
        if not ask.agent:
            start()
        redis.cmd("HSET", "routes", host, value)
        return [ask(host) for _ in range(number)]
    put.start, put.ask, put.redis, put.dns = start, ask, redis, dns
    return put


def targets(answers):
    assert {answer.status for answer in answers} == {"ok"}, answers
    return Counter(answer.target for answer in answers)


def test_the_first_answer_waits_for_the_name(site):
    answer, = site("one.test:80")
    assert answer.target == "10.0.0.1:80" and answer.source == "redis"
    assert answer.second is None and answer.route == HOST
    assert site.ask(HOST).source == "cache"


@pytest.mark.parametrize("value, expected", [
    ("two.test:80", {"10.0.0.1:80": 10, "10.0.0.2:80": 10}),
    ("both.test:80", {"10.0.0.1:80": 10, "2001:db8::1:80": 10}),
    ("one.test:80 weight 3, 10.0.0.9:80", {"10.0.0.1:80": 15,
                                           "10.0.0.9:80": 5}),
    ("two.test:80 weight 2, 10.0.0.9:80", {
        "10.0.0.1:80": 8, "10.0.0.2:80": 8, "10.0.0.9:80": 4}),
    ("10.0.0.9:80, two.test:80 backup", {"10.0.0.9:80": 20}),
    ("one.test:80 weight 0, 10.0.0.9:80", {"10.0.0.9:80": 20}),
    ("ONE.Test.:80", {"10.0.0.1:80": 20}),
    ("short:80", {"10.0.0.3:80": 20}),
    ("gone.test:80, 10.0.0.9:80", {"10.0.0.9:80": 20}),
    ("mixed.test:80", {"10.0.0.1:80": 20})])
def test_addresses_are_targets(site, value, expected):
    assert targets(site(value, 20)) == expected


def test_hosts_file_counts(site):
    site.start(hosts=["10.0.0.7 one.test seven", "2001:db8::7 seven"])
    assert targets(site("one.test:80", 4)) == {"10.0.0.7:80": 4}
    assert targets(site("seven:80", 4, "seven.example")) == {
        "10.0.0.7:80": 2, "2001:db8::7:80": 2}
    assert site.dns.asked("one.test") == (0, 0)


def test_a_name_that_is_not_there(site):
    answer, = site("gone.test:80")
    assert answer.status == "unavailable" and answer.source == "none"
    assert "name cannot be resolved" in site.ask.agent.log()
    site.dns.put({"gone.test": ["10.0.0.4"]})
    until(lambda: site.ask(HOST).target == "10.0.0.4:80", seconds=10)


def test_denied_addresses(site):
    answer, = site("denied.test:80")
    assert answer.status == "bad_route"
    assert "rule=link-local" in site.ask.agent.log()
    assert targets(site("denied.test:80, 10.0.0.9:80", 4, "b.example")) == {
        "10.0.0.9:80": 4}
    # what a name comes to mean later is judged as well
    assert targets(site("one.test:80", host="c.example")) == {"10.0.0.1:80": 1}
    site.dns.put({"one.test": ["169.254.169.254"]})
    until(lambda: site.ask("c.example").status == "bad_route", seconds=10)


def test_changes_are_followed(site):
    assert targets(site("one.test:80", 3)) == {"10.0.0.1:80": 3}
    site.dns.put({"one.test": ["10.0.0.5", "10.0.0.6"]})
    until(lambda: site.ask(HOST).target == "10.0.0.5:80", seconds=10)
    assert targets([site.ask(HOST) for _ in range(4)]) == {
        "10.0.0.5:80": 2, "10.0.0.6:80": 2}
    # known hosts did not wait, and Redis was not asked for it
    assert site.ask(HOST).source == "cache"


@pytest.mark.parametrize("end", ["kill", "pause"])
def test_known_addresses_outlive_the_resolver(site, end):
    assert targets(site("one.test:80")) == {"10.0.0.1:80": 1}
    getattr(site.dns, end)()
    until(lambda: "name cannot be resolved" in site.ask.agent.log()
          and targets([site.ask(HOST)]), seconds=20)
    assert targets([site.ask(HOST) for _ in range(20)]) == {"10.0.0.1:80": 20}
    if end == "kill":
        site.dns.put({"one.test": ["10.0.0.8"]})
        site.dns.start()
        until(lambda: site.ask(HOST).target == "10.0.0.8:80", seconds=20)
        assert "name is resolved again" in site.ask.agent.log()


def test_a_resolver_that_is_silent_from_the_start(site):
    site.start("--lookup-timeout", "100ms")
    site.dns.pause()
    began = time.monotonic()
    assert site("one.test:80")[0].status == "unavailable"
    assert 0.09 < time.monotonic() - began < 0.8
    # after a second nobody waits for it any more
    until(lambda: fast(lambda: site.ask(HOST)), seconds=10)
    assert targets(site("one.test:80, 10.0.0.9:80", 3, "b.example")) == {
        "10.0.0.9:80": 3}
    site.dns.resume()
    until(lambda: site.ask(HOST).status == "ok", seconds=30)


def fast(call):
    began = time.monotonic()
    call()
    return time.monotonic() - began < 0.05


def test_one_resolution_for_many_routes(site, dns):
    dns.stop()
    dns.ttl = 60
    dns.start()
    site.start()
    words = [word for i in range(200)
             for word in (f"h{i}.example", "two.test:80")]
    site.redis.cmd("HSET", "routes", *words)
    answers = site.ask.peer.ask_all([f"h{i}.example" for i in range(200)])
    assert targets(answers) == {"10.0.0.1:80": 200}
    assert dns.asked("two.test") == (1, 1)


def test_nobody_asks_for_a_name_that_is_not_used(site, dns):
    assert targets(site("one.test:80")) == {"10.0.0.1:80": 1}
    site.redis.cmd("HDEL", "routes", HOST)
    time.sleep(12)  # ten seconds after it was last used
    before = dns.asked("one.test")
    time.sleep(3)
    assert dns.asked("one.test") == before
    assert before[0] > 3  # but it was refreshed ahead until then
    # and who comes after that waits for what is so now
    dns.put({"one.test": ["10.0.0.2"]})
    answer, = site("one.test:80")
    until(lambda: site.ask(HOST).status != "not_found")
    assert targets([site.ask(HOST)]) == {"10.0.0.2:80": 1}


def test_names_without_redis(site, redis, tmp_path, dns, hosts_file):
    """What the snapshot holds is resolved as well, and waited for."""
    snapshot = tmp_path / "snapshot"
    site.start("--snapshot", snapshot)
    assert targets(site("one.test:80")) == {"10.0.0.1:80": 1}
    assert site.ask.agent.stop() == 0
    redis.stop()
    site.ask.agent.start()
    with Peer(site.ask.agent.where) as peer:
        answer = peer.ask(HOST)
    assert answer.target == "10.0.0.1:80" and answer.source == "stale"


NAMES_MAX = 4096


def test_names_are_bounded(site):
    """Those beyond the bound have no address; the others are served on."""
    port = kit.free_port()
    names = [f"n{i}.test" for i in range(NAMES_MAX + 4)]
    site.start("--admin", f"127.0.0.1:{port}",
               hosts=[f"10.0.0.1 {name}" for name in names])
    hosts = [f"{name}.example" for name in names]
    site.redis.cmd("HSET", "routes", *(word for name in names for word
                                       in (f"{name}.example", f"{name}:80")))
    seen = Counter()
    for i in range(0, len(hosts), 100):
        seen.update(answer.status for answer
                    in site.ask.peer.ask_all(hosts[i:i + 100]))
    assert seen == {"ok": NAMES_MAX, "unavailable": 4}
    assert site.ask.agent.log().count(
        f'"too many names to resolve" max={NAMES_MAX}') == 1
    assert site.ask(hosts[0]).target == "10.0.0.1:80"
    found = Admin(("127.0.0.1", port)).metrics()
    assert found["spoa_router_names"] == NAMES_MAX
    assert found["spoa_router_names_refused_total"] >= 4
    assert found["spoa_router_names_unresolved_total"] == 4


def test_what_is_counted(site):
    port = kit.free_port()
    site.start("--admin", f"127.0.0.1:{port}")
    admin = Admin(("127.0.0.1", port))
    assert targets(site("mixed.test:80")) == {"10.0.0.1:80": 1}
    assert site("gone.test:80", host="gone.example")[0].status == "unavailable"
    assert site("10.0.0.1", host="bad.example")[0].status == "bad_route"
    found = admin.metrics()
    assert found["spoa_router_bad_routes_total"] == 1
    assert found["spoa_router_targets_denied_total"] >= 1
    assert found["spoa_router_names_unresolved_total"] == 1
    assert found["spoa_router_names"] == 2
    assert found["spoa_router_names_failures_total"] >= 1
    before = found["spoa_router_names_changed_total"]
    site.dns.put({"mixed.test": ["10.0.0.7"]})
    until(lambda: site.ask(HOST).target == "10.0.0.7:80", "the change")
    assert admin.metrics()["spoa_router_names_changed_total"] == before + 1
    why = admin.json("/explain?host=gone.example")["candidates"][0]
    assert why["unresolved"] is True and why["targets"] == []
