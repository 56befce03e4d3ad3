# SPDX-License-Identifier: MIT
"""Redis away, back, and written to like mad: known hosts do not notice.

The figures are printed (pytest -s shows those of tests that pass):

    CHANGES=1000 REDIS_SERVERS=/usr/bin/redis-server make test \\
        TESTS='-s -k figures'
"""

import bisect
import collections
import os
import random
import select
import threading
import time

import pytest

import kit
from resp import FakeRedis, Relay, Speaker, until
from spop import Frame, Peer, question

T, U = "10.0.0.1:80", "10.0.0.2:80"
UP = "redis tells of changes"
CHANGES = int(os.environ.get("CHANGES") or 250)  # of each figure


def up(ask, times=1):
    until(lambda: ask.agent.log().count(UP) >= times, UP)


def comes(ask, host, target, seconds=5):
    until(lambda: ask(host).target == target, f"{host} -> {target}", seconds)


def target(version):
    return f"10.{version >> 8}.{version & 255}.1:80"


def fill(say, hosts, value=T):
    for at in range(0, len(hosts), 500):
        say("HSET", "routes", *(word for host in hosts[at:at + 500]
                                for word in (host, value)))


def shares(times):
    """"p50 0.1 p99 0.3 max 2.0 ms" of seconds."""
    times = sorted(times)
    at = [times[min(len(times) - 1, int(len(times) * share))] * 1000
          for share in (0.5, 0.99, 1)]
    return "p50 %.2f p99 %.2f max %.2f ms" % tuple(at)


def p99(times):
    return sorted(times)[int(len(times) * 0.99)]


class Load(threading.Thread):
    """Asks at a steady rate for hosts in turn, whatever the answers do.

    `done` holds (when it was asked, how long it took, host, answer).
    """

    def __init__(self, where, hosts, rate):
        super().__init__(daemon=True)
        self.peer, self.hosts, self.rate = Peer(where), hosts, rate
        self.done, self.halt = [], False
        self.open = {}  # stream -> (when, host)
        self.start()

    def run(self):
        begin, sent = time.perf_counter(), 0
        while not self.halt or self.open:
            now = time.perf_counter()
            due = 0 if self.halt else int((now - begin) * self.rate) - sent
            out = b""
            for _ in range(due):
                sent += 1
                host = self.hosts[sent * 7919 % len(self.hosts)]
                self.open[sent] = now, host
                out += question(host, sent)
            if out:
                self.peer.send(out)
            self.read(0.0005 if self.halt else max(
                0, begin + (sent + 1) / self.rate - time.perf_counter()))

    def read(self, wait):
        """Takes what comes in this time."""
        if not select.select([self.peer.sock], [], [], wait)[0]:
            return
        self.peer.held += self.peer.sock.recv(1 << 18)
        now, held = time.perf_counter(), self.peer.held
        while len(held) >= 4 and \
                len(held) >= (size := 4 + int.from_bytes(held[:4], "big")):
            ack = Frame.read(bytes(held[4:size]))
            del held[:size]
            when, host = self.open.pop(ack.stream)
            self.done.append((when, now - when, host, ack.answer()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.halt = True
        self.join(10)
        assert not self.open, f"{len(self.open)} questions without an answer"
        return self

    def times(self, since=0.0, to=float("inf")):
        return [took for when, took, _, _ in self.done if since <= when < to]


# -- away -------------------------------------------------------------------

HOSTS = [f"h{n}.example" for n in range(100)]
BRIEF = ("--ttl", "200ms", "--negative-ttl", "100ms", "--lookup-timeout",
         "200ms")


def leave(server, say, way):
    """Takes Redis away; returns what brings it back."""
    if way == "SIGSTOP":
        server.pause()
        return server.resume
    if way == "CLIENT PAUSE":
        say("CLIENT", "PAUSE", 1600, "ALL")
        return lambda: None
    say("SAVE")  # so that the routes are there again
    server.kill()
    return server.start


@pytest.mark.parametrize("way", ["SIGSTOP", "CLIENT PAUSE", "SIGKILL"])
def test_known_hosts_do_not_wait(ask, server, say, way):
    """The first of them may, for --lookup-timeout, and once more when the
    silent connection is left; then nobody asks Redis any more. Unknown ones
    are unavailable, as quickly."""
    fill(say, HOSTS)
    ask.start(server.url, options=BRIEF)
    up(ask)
    assert {a.target for a in ask.peer.ask_all(HOSTS)} == {T}
    back = leave(server, say, way)
    slow, sources, end = [], set(), time.monotonic() + 1.3
    while time.monotonic() < end:
        for host in random.choice(HOSTS), f"new{len(slow)}{end}.example":
            start = time.monotonic()
            answer = ask(host)
            took = time.monotonic() - start
            assert took < 0.5
            slow += [took] if took > 0.1 else []
            if host in HOSTS:
                assert answer.target == T
                sources.add(answer.source)
            else:
                assert answer.status == "unavailable"
    assert len(slow) <= 3, slow
    assert "stale" in sources
    back()
    with Speaker(server.where) as again:
        again("HSET", "routes", HOSTS[0], U)
    comes(ask, HOSTS[0], U, 3)
    until(lambda: {a.source for a in ask.peer.ask_all(HOSTS)} == {"cache"},
          "all is well")
    assert ask("new.example").status == "not_found"


@pytest.mark.parametrize("way", ["LOADING", "silent", "black hole",
                                 "refused"])
def test_one_probe_at_a_time(ask, way):
    """However many ask: one connection tries, more and more rarely."""
    def busy(seconds):
        most, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            new = f"n{end - time.monotonic()}.example"
            for answer in ask.peer.ask_all([*HOSTS[:5], new])[:5]:
                assert answer.target == T
            most = max(most, len(relay.links))
            time.sleep(0.003)
        return most

    with FakeRedis({host: T for host in HOSTS}) as fake, \
            Relay(fake.where) as relay:
        ask.start(relay.url, options=("--ttl", "100ms"))
        until(lambda: ask(HOSTS[0]).target == T, "Redis")
        ask.peer.ask_all(HOSTS)
        if way == "LOADING":
            fake.on("HMGET", b"-LOADING Redis is loading\r\n")
        elif way == "silent":
            fake.on("HMGET")
        elif way == "black hole":
            relay.hole = True
        else:
            relay.close()
        busy(1)
        asked, came = len(fake.named("HMGET")), relay.accepted
        lines = ask.agent.log().count("\n")
        assert busy(1.2) <= 1
        assert ask(HOSTS[0]).source == "stale"
        assert len(fake.named("HMGET")) - asked <= 6
        assert relay.accepted - came <= 6
        assert ask.agent.log().count("\n") - lines <= 4
        fake.forget("HMGET")
        relay.hole = False
        if way == "refused":
            relay.open()
        until(lambda: ask(HOSTS[0]).source in ("redis", "cache"), "back", 4)


def test_no_herd_when_it_is_back(ask, server, say):
    """Many ask for the same hosts at once, all of them past their life."""
    hosts = [f"h{n}.example" for n in range(2000)]
    fill(say, hosts)
    ask.start(server.url, options=BRIEF)
    up(ask)
    for at in range(0, 2000, 200):
        ask.peer.ask_all(hosts[at:at + 200])
    say("SAVE")
    server.kill()
    until(lambda: ask(hosts[0]).source == "stale", "stale")
    loads = [Load(ask.agent.where, hosts[:50], 300) for _ in range(8)]
    time.sleep(0.3)
    server.start()
    with Speaker(server.where) as again:
        up(ask, 2)
        time.sleep(0.6)
        assert ask(hosts[1999]).source == "cache", "not read again"
        calls = again.calls("hmget")
        info = again("INFO")
        for load in loads:
            load.stop()
    answers = [answer for load in loads for *_, answer in load.done]
    assert {answer.target for answer in answers} == {T}
    # a probe, one flight a host that is asked for, and the paced batches
    assert 2000 // 64 < calls <= 1 + 51 + 2000 // 64 + 1 + 10, calls
    received = next(int(line.split(":")[1]) for line in info.splitlines()
                    if line.startswith("total_connections_received:"))
    assert received <= 2 + 3, "two of the agent, the rest are the test's"
    print(f"{len(answers)} requests, {calls} HMGETs")


def test_figures_killed_under_load(ask, server, say):
    """kill -9 under 1,000 requests a second to 100 known hosts."""
    fill(say, HOSTS)
    ask.start(server.url, options=("--ttl", "300ms", "--lookup-timeout",
                                   "300ms"))
    up(ask)
    ask.peer.ask_all(HOSTS)
    with Load(ask.agent.where, HOSTS, 1000) as load:
        first = time.perf_counter()
        time.sleep(1)
        killed = time.perf_counter()
        server.kill()
        time.sleep(2)
        load.stop()
    assert len(load.done) > 2000
    assert all(answer.target == T for *_, answer in load.done)
    calm, away = load.times(first, killed), load.times(killed)
    print(f"undisturbed {shares(calm)}; Redis gone {shares(away)}; "
          f"0 of {len(load.done)} failed")
    assert p99(away) < 0.2, "--lookup-timeout again and again"


# -- written to like mad ----------------------------------------------------


def test_figures_storm(ask, server, say):
    """1,000 HSETs a second with 10,000 cached hosts: answers are right and
    quick, and Redis is not asked more than the requests and the paced
    batches need."""
    hosts = [f"h{n}.example" for n in range(10000)]
    fill(say, hosts, target(0))
    ask.start(server.url, options=("--ttl", "1h", "--lookup-timeout", "1s"))
    up(ask)
    for at in range(0, 10000, 500):
        ask.peer.ask_all(hosts[at:at + 500])
    until(lambda: ask(hosts[5]).source == "cache", "calm")
    written = collections.defaultdict(lambda: ([0.0], [0]))  # acknowledged
    draw = random.Random(7)
    calls, seconds, version = say.calls("hmget"), 2, 0
    with Load(ask.agent.where, hosts[:2000], 2000) as load:
        begin = time.perf_counter()
        while (now := time.perf_counter()) < begin + seconds:
            while version < (now - begin) * 1000:
                version += 1
                host = hosts[draw.randrange(2000 if version % 2 else 10000)]
                say("HSET", "routes", host, target(version))
                written[host][0].append(time.perf_counter())
                written[host][1].append(version)
            time.sleep(0.0005)
        load.stop()
    calls = say.calls("hmget") - calls
    late = 0
    for when, took, host, answer in load.done:
        times, versions = written[host]
        have = [target(v) for v in versions].index(answer.target)
        # what was acknowledged 250 ms before the question must be known
        need = bisect.bisect(times, when - 0.25) - 1
        assert have >= need, (host, answer)
        late += have < bisect.bisect(times, when - 0.01) - 1
    print(f"{version} HSETs, {len(load.done)} requests {shares(load.times())}"
          f", {calls} HMGETs, {late} answers older than 10 ms")
    assert calls <= len(load.done) + seconds / 0.005 * 1.2 + 10, calls
    assert p99(load.times()) < 0.5
    want = [target(written[host][1][-1]) for host in hosts]
    until(lambda: [answer.target for at in range(0, 10000, 500) for answer in
                   ask.peer.ask_all(hosts[at:at + 500])] == want,
          "the end state")
    until(lambda: all(answer.source == "cache" for at in range(0, 10000, 500)
                      for answer in ask.peer.ask_all(hosts[at:at + 500])),
          "the sweep to end", 5)


# -- figures ------------------------------------------------------------------


def test_figures_change_over_spop(ask, server, say):
    """HSET to the first answer with the new target."""
    hosts = [f"h{n}.example" for n in range(1000)]
    fill(say, hosts, target(0))
    ask.start(server.url, options=("--ttl", "1h", "--lookup-timeout", "1s"))
    up(ask)
    ask.peer.ask_all(hosts)
    took, tries = [], 0
    with Load(ask.agent.where, hosts, 500) as load:
        for n in range(1, CHANGES + 1):
            host, start = hosts[n * 31 % 1000], time.perf_counter()
            say("HSET", "routes", host, target(n))
            end = start + 1
            while ask(host).target != target(n):
                tries += 1
                assert time.perf_counter() < end, f"{host} after 1 s"
            took.append(time.perf_counter() - start)
            time.sleep(0.002)
        load.stop()
    print(f"{CHANGES} changes over SPOP: {shares(took)}, "
          f"{tries} answers still old; requests {shares(load.times())}")


def test_figures_change_through_haproxy(ask, redis, start_haproxy,
                                        start_worker):
    """The same over HTTP, with the HAProxy that is found first."""
    hosts = [f"h{n}.example" for n in range(1000)]
    workers = [start_worker("blue"), start_worker("green")]
    took, tries = [], 0
    with Speaker(redis.where) as say:
        fill(say, hosts, workers[0].target)
        ask.start(redis.url, options=("--ttl", "1h"))
        up(ask)
        proxy = start_haproxy(kit.binaries()[0], ask.agent)
        until(lambda: proxy.ask(hosts[0]).status == 200, "HAProxy")
        with Load(ask.agent.where, hosts, 500), proxy.client() as client:
            for n in range(CHANGES):
                host = hosts[n * 31 % 1000]
                worker = workers[1 - n // 1000 % 2]
                client.ask(host)
                start = time.perf_counter()
                say("HSET", "routes", host, worker.target)
                end = start + 1
                while client.ask(host).worker != worker.name:
                    tries += 1
                    assert time.perf_counter() < end, f"{host} after 1 s"
                took.append(time.perf_counter() - start)
    print(f"{CHANGES} changes through HAProxy: {shares(took)}, "
          f"{tries} answers still old")
