# SPDX-License-Identifier: MIT
"""What the agent remembers: fresh, refreshed, stale, absent, bounded."""

import threading
import time

import pytest

from resp import FakeRedis, array, bulk, sanitized, until
from spop import Peer, question

T = "10.0.0.1:80"
PATIENT = ("--lookup-timeout", "2s")


@pytest.fixture
def fake():
    with FakeRedis({"a.example": T, "*.wild.example": "10.0.0.2:80",
                    "bad.example": "nonsense"}) as found:
        yield found


@pytest.fixture
def asker(start_agent, fake):
    """Starts an agent on the fake with options; the peer that asks it."""
    peers = []

    def start(*options):
        agent = start_agent("--redis", fake.url, *(
            options if "--lookup-timeout" in options else PATIENT + options))
        until(lambda: "redis connected" in agent.log(), "the link")
        peers.append(Peer(agent.where))
        peers[-1].agent = agent
        return peers[-1]
    yield start
    for peer in peers:
        peer.close()
        assert peer.agent.stop() == 0
        peer.agent.close()


def brief(answer):
    return answer.status, answer.source


# -- fresh ------------------------------------------------------------------


@pytest.mark.parametrize("host, status", [
    ("a.example", "ok"), ("A.Example:80", "ok"), ("x.wild.example", "ok"),
    ("bad.example", "bad_route"), ("none.example", "not_found")])
def test_fresh_answers_come_from_the_cache(asker, fake, host, status):
    peer = asker("--negative-ttl", "1h")
    assert brief(peer.ask(host)) == (status, "redis")
    for _ in range(3):
        assert brief(peer.ask(host)) == (status, "cache")
    assert len(fake.lookups) == 1


def test_connections_share_the_cache(asker, fake):
    peer = asker()
    peer.ask("a.example")
    with Peer(peer.agent.where) as other:
        assert other.ask("a.example").source == "cache"


def test_only_unknown_fields_are_asked_for(asker, fake):
    peer = asker("--negative-ttl", "1h")
    for host, fields in [
            ("a.b.example", ["a.b.example", "*.b.example", "*.example", "*"]),
            ("c.b.example", ["c.b.example"]),
            ("c.d.example", ["c.d.example", "*.d.example"]),
            ("a.example", ["a.example"]),
            ("b.test", ["b.test", "*.test"]),
            ("x.wild.example", ["x.wild.example", "*.wild.example"]),
            ("y.wild.example", ["y.wild.example"])]:
        fake.lookups.clear()
        peer.ask(host)
        assert fake.lookups == [fields], host


def test_a_matching_field_ends_the_question(asker, fake):
    """What comes after a known match need not be known."""
    peer = asker("--negative-ttl", "100ms", "--ttl", "1h")
    assert peer.ask("a.example").source == "redis"
    time.sleep(0.3)  # the absent fields have ended
    assert brief(peer.ask("a.example")) == ("ok", "cache")
    assert len(fake.lookups) == 1


def test_a_change_is_seen_after_ttl(asker, fake):
    peer = asker("--ttl", "300ms")
    assert peer.ask("a.example").port == 80
    fake.routes["a.example"] = "10.0.0.1:81"
    assert peer.ask("a.example").port == 80
    until(lambda: peer.ask("a.example").port == 81, "the change", 1)
    del fake.routes["a.example"]
    until(lambda: peer.ask("a.example").status == "not_found", "the end", 1)


def test_a_new_exact_field_wins_over_a_wildcard(asker, fake):
    peer = asker("--ttl", "1h", "--negative-ttl", "200ms")
    assert peer.ask("x.wild.example").route == "*.wild.example"
    fake.routes["x.wild.example"] = T
    until(lambda: peer.ask("x.wild.example").route == "x.wild.example",
          "the exact field", 1)


@pytest.mark.parametrize("option, host", [("--ttl", "a.example"),
                                          ("--negative-ttl", "none.example")])
def test_zero_asks_each_time(asker, fake, option, host):
    peer = asker(option, "0")
    for count in range(1, 6):
        assert peer.ask(host).source == "redis"
        assert len(fake.lookups) == count


def test_negative_ttl(asker, fake):
    peer = asker("--negative-ttl", "400ms")
    peer.ask("none.example")
    fake.routes["none.example"] = T
    assert brief(peer.ask("none.example")) == ("not_found", "cache")
    time.sleep(0.6)
    assert brief(peer.ask("none.example")) == ("ok", "redis")


# -- refresh ahead, single flight -------------------------------------------


def test_a_busy_host_never_waits(asker, fake):
    """Refreshed from 80 % of its life on, in the background."""
    fake.on("HMGET", lambda words: [0.2, fake.honest(words)])
    peer = asker("--ttl", "1500ms", "--negative-ttl", "1500ms")
    assert peer.ask("a.example").source == "redis"
    asked, slowest, end = 0, 0, time.monotonic() + 3.5
    while time.monotonic() < end:
        start = time.monotonic()
        assert brief(peer.ask("a.example")) == ("ok", "cache")
        slowest = max(slowest, time.monotonic() - start)
        asked += 1
        time.sleep(0.01)
    assert slowest < 0.15
    assert 3 <= len(fake.lookups) <= 5, "refreshed once per life"


def test_an_idle_host_is_not_refreshed(asker, fake):
    peer = asker("--ttl", "300ms")
    peer.ask("a.example")
    time.sleep(1)
    assert len(fake.lookups) == 1
    assert peer.ask("a.example").source == "redis"


def test_one_flight_per_host(asker, fake):
    peer = asker("--negative-ttl", "1h")
    fake.gate.clear()
    others = [Peer(peer.agent.where) for _ in range(4)]
    ready = threading.Timer(0.15, fake.gate.set)
    ready.start()
    results = []

    def ask(one):
        results.extend(one.ask_all(["a.example", "A.EXAMPLE.:80"] * 10))
    askers = [threading.Thread(target=ask, args=(o,)) for o in [peer, *others]]
    for one in askers:
        one.start()
    for one in askers:
        one.join()
    assert [brief(a) for a in results] == [("ok", "redis")] * 100
    assert fake.lookups == [["a.example", "*.example", "*"]]


def test_flights_of_different_hosts(asker, fake):
    """Each host has one flight, and no answer goes to another's question."""
    hosts = [f"h{n}.example" for n in range(100)]
    fake.routes.update((host, f"10.0.0.1:{n + 1}")
                       for n, host in enumerate(hosts))
    peer = asker()
    fake.gate.clear()
    threading.Timer(0.1, fake.gate.set).start()
    answers = peer.ask_all(hosts * 3)
    assert [a.port for a in answers] == list(range(1, 101)) * 3
    assert sorted(f[0] for f in fake.lookups) == sorted(hosts)


def test_answers_that_are_known_overtake(asker, fake):
    peer = asker()
    peer.ask("a.example")
    fake.gate.clear()
    peer.send(question("b.example", 90) + question("a.example", 91))
    assert peer.frame().stream == 91
    assert peer.silent(0.05)
    fake.gate.set()
    assert peer.frame().stream == 90


def test_lives_get_jitter(asker, fake):
    """Entries made together do not end together."""
    peer = asker("--ttl", "1s", "--negative-ttl", "1h")
    hosts = [f"h{n}.example" for n in range(100)]
    fake.routes.update((host, T) for host in hosts)
    peer.ask_all(hosts)
    fake.lookups.clear()
    times, end = {}, time.monotonic() + 2.5
    while len(times) < len(hosts) and time.monotonic() < end:
        assert {a.source for a in peer.ask_all(hosts)} == {"cache"}
        for fields in list(fake.lookups):
            times.setdefault(fields[0], time.monotonic())
        time.sleep(0.002)
    assert len(times) == len(hosts), "all are refreshed"
    assert 0.02 < max(times.values()) - min(times.values()) < 0.4


# -- stale ------------------------------------------------------------------

BRIEF = ("--ttl", "200ms", "--negative-ttl", "200ms", "--lookup-timeout",
         "100ms")
LATER = 0.35  # past both lives, jitter included


def test_stale_while_redis_is_away(asker, fake):
    peer = asker(*BRIEF)
    hosts = ["a.example", "x.wild.example", "bad.example"]
    before = peer.ask_all(hosts)
    fake.close()
    time.sleep(LATER)
    after = peer.ask_all(hosts)
    assert {a.source for a in after} == {"stale"}
    assert [{**a, "source": 0} for a in after] == [
        {**a, "source": 0} for a in before]
    fake.open()
    until(lambda: peer.ask("a.example").source in ("redis", "cache"),
          "Redis to be used again")


def test_nothing_known_is_unavailable(asker, fake):
    peer = asker(*BRIEF)
    peer.ask("a.example")
    fake.close()
    assert peer.ask("new.example") == {"status": "unavailable",
                                       "source": "none"}


def test_absent_is_never_stale(asker, fake):
    """not_found may not outlive its life: it would be a wrong 404."""
    peer = asker(*BRIEF)
    assert peer.ask("none.example").status == "not_found"
    fake.close()
    time.sleep(LATER)
    assert peer.ask("none.example").status == "unavailable"


def test_absent_is_served_within_its_life(asker, fake):
    peer = asker("--negative-ttl", "1h", "--lookup-timeout", "100ms")
    peer.ask("none.example")
    fake.close()
    assert brief(peer.ask("none.example")) == ("not_found", "cache")


def test_stale_wildcard_where_exact_was_absent(asker, fake):
    peer = asker(*BRIEF)
    assert peer.ask("x.wild.example").route == "*.wild.example"
    fake.close()
    time.sleep(LATER)
    answer = peer.ask("x.wild.example")
    assert (answer.route, answer.source) == ("*.wild.example", "stale")


def test_stale_wildcard_needs_known_absence_of_exact(asker, fake):
    """A host never asked for may have a route of its own: not the
    wildcard's target, which its Host might not name."""
    peer = asker(*BRIEF)
    peer.ask("x.wild.example")
    fake.close()
    time.sleep(LATER)
    assert peer.ask("new.wild.example").status == "unavailable"


@pytest.mark.parametrize("stale, wait, status", [
    ("0", LATER, "unavailable"), ("300ms", LATER, "ok"),
    ("300ms", 0.8, "unavailable"), ("1h", 0.8, "ok")])
def test_stale_option(asker, fake, stale, wait, status):
    peer = asker(*BRIEF, "--stale", stale)
    peer.ask("a.example")
    fake.close()
    time.sleep(wait)
    assert peer.ask("a.example").status == status


def test_ttl_zero_still_serves_stale(asker, fake):
    peer = asker("--ttl", "0", "--lookup-timeout", "100ms")
    peer.ask("a.example")
    fake.close()
    until(lambda: brief(peer.ask("a.example")) == ("ok", "stale"), "stale", 1)


def test_a_deleted_route_is_not_stale(asker, fake):
    """What Redis said is gone does not come back when Redis goes."""
    peer = asker(*BRIEF)
    assert peer.ask("a.example").status == "ok"
    del fake.routes["a.example"]
    time.sleep(LATER)
    assert peer.ask("a.example").status == "not_found"
    fake.close()
    time.sleep(LATER)
    assert peer.ask("a.example").status == "unavailable"


def test_slow_redis_gives_stale_in_time(asker, fake):
    """--lookup-timeout bounds the wait; the late reply fills the cache."""
    peer = asker("--ttl", "200ms", "--lookup-timeout", "200ms")
    peer.ask("a.example")
    time.sleep(LATER)
    fake.routes["a.example"] = "10.0.0.9:80"
    fake.on("HMGET", lambda words: [0.6, fake.honest(words)])
    start = time.monotonic()
    answer = peer.ask("a.example")
    assert 0.18 < time.monotonic() - start < 0.38
    assert (answer.target, answer.source) == (T, "stale")
    until(lambda: peer.ask("a.example").target == "10.0.0.9:80",
          "the late reply", 2)


# -- bounds -----------------------------------------------------------------


def test_cache_size_is_held(asker, fake):
    """The least recently used go, the others stay."""
    fake.on("HMGET", lambda words: [array(
        bulk(T), *[bulk(None)] * len(words[3:]))])
    peer = asker("--cache-size", "1000", "--ttl", "1h")
    hosts = [f"h{n}.example" for n in range(5000)]
    for at in range(0, 5000, 100):
        assert {a.status for a in peer.ask_all(hosts[at:at + 100])} == {"ok"}
    recent = peer.ask_all(hosts[-500:])
    assert {a.source for a in recent} == {"cache"}
    old = peer.ask_all(hosts[:500])
    assert [a.source for a in old].count("redis") >= 490


def test_invented_hosts_do_not_push_out_routes(asker, fake):
    fake.routes.update((f"h{n}.example", T) for n in range(500))
    peer = asker("--cache-size", "1000", "--ttl", "1h", "--negative-ttl", "1h")
    known = [f"h{n}.example" for n in range(500)]
    peer.ask_all(known)
    for at in range(0, 10000, 200):
        peer.ask_all([f"none{n}.test" for n in range(at, at + 200)])
    fake.lookups.clear()
    assert {brief(a) for a in peer.ask_all(known)} == {("ok", "cache")}
    assert not fake.lookups
    assert peer.ask("none0.test").source == "redis"  # their own bound


def test_memory_is_bounded(asker, fake, agent_binary):
    """Ten times as many long hosts as the cache holds."""
    if sanitized(agent_binary):
        pytest.skip("memory is not measured under a sanitizer")
    peer = asker("--cache-size", "5000", "--negative-ttl", "1h")
    pad = ".".join(["x" * 60] * 3)

    def flood(first):
        for at in range(first, first + 25000, 250):
            peer.ask_all([f"{n}.{pad}.example" for n in range(at, at + 250)])
    flood(0)
    before = peer.agent.rss()
    flood(25000)
    assert peer.agent.rss() - before < 2 << 20
    assert peer.agent.rss() < 64 << 20
