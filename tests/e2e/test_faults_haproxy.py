# SPDX-License-Identifier: MIT
"""HAProxy reloads, dies, floods and leaves: the agent gives each request its
answer and keeps nothing of those who went."""

import contextlib
import os
import pathlib
import socket
import subprocess
from collections import Counter

import pytest

import flood
import kit
from faults import PATIENCE, Level, Load as Questions
from resp import Relay, until
from spop import ACK, Peer, hello, notify, question, route
from test_haproxy_agent import Load

HOST = "app1.example"
KNOWN = [HOST] + [f"known{i}.example" for i in range(20)]
RELOADS = 50
ABORT = 2  # a flag of a frame
RATE = 2000  # requests a second meanwhile
HERE = pathlib.Path(__file__).parent
KEPT = 32 << 20  # bytes that malloc may keep of a thousand connections at once


@pytest.fixture
def site(redis, start_agent, worker):
    """An agent that knows KNOWN, by a relay to Redis, and its level."""
    class Site:
        way = Relay(redis.where)
    redis.cmd("HSET", "routes", *(word for host in KNOWN
                                  for word in (host, worker.target)))
    port = kit.free_port()
    Site.agent = start_agent(
        "--redis", Site.way.url, "--admin", f"127.0.0.1:{port}",
        "--lookup-timeout", "2s", "--negative-ttl", "0",
        "--max-connections", "2000")
    Site.level = Level(Site.agent, port)
    with Peer(Site.agent.where) as peer:
        assert {a.status for a in peer.ask_all(KNOWN)} == {"ok"}
    Site.level.note(0)
    yield Site
    Site.level.check()
    until(lambda: Site.level.metrics()["spoa_router_connections"] == 0,
          "all connections to end", PATIENCE)
    assert Site.agent.stop() == 0
    Site.agent.close()
    Site.way.close()


class Paced:
    """RATE requests a second, each over a connection of its own (paced.c):
    .ok, .failed, .worst in ms and .rate once it has ended."""

    def __init__(self, haproxy, host, folder):
        program = folder / "paced"
        subprocess.run([os.environ.get("CC", "cc"), "-O1", "-o", program,
                        HERE / "paced.c"], check=True)
        self.process = subprocess.Popen(
            [program, str(haproxy.port), host, str(RATE)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        out, self.strange = self.process.communicate(timeout=60)
        self.ok, self.failed, self.worst, self.rate = map(int, out.split())


def test_fifty_reloads_under_load(haproxy_binary, redis, site, tmp_path):
    """Each as soon as the last one's old process has left: a signal before
    that may be lost. (Patient with the agent, for a machine that is busy.)"""
    with kit.Target(haproxy_binary) as target, \
            kit.HAProxy(haproxy_binary, site.agent, master=True,
                        env=kit.haproxy.patient(tmp_path)) as haproxy:
        redis.cmd("HSET", "routes", "quick.example", target.target)
        with Paced(haproxy, "quick.example", tmp_path) as load:
            for done in range(RELOADS):
                until(lambda done=done: haproxy.said().count(
                    "Former worker") >= done, "the old process", PATIENCE)
                haproxy.reload()
        print(f"{load.ok} of {load.ok + load.failed} requests, {load.rate} a "
              f"second, the longest {load.worst} ms")
        failed = [line for line in haproxy.log().splitlines()
                  if " host=" in line and 'status="ok"' not in line
                  and "status=ok" not in line]
        site.level.rss += KEPT  # the same for 50 and for 100 reloads
        assert load.failed == 0, (load.strange[-500:], failed)
        assert load.ok > 1000
        until(lambda: haproxy.said().count("Former worker") == RELOADS,
              "old processes to leave", PATIENCE)


def test_killed_with_questions_open(haproxy_binary, site):
    """Nobody is left to hear the answers; the next one is served."""
    site.way.delay = 0.2
    with kit.HAProxy(haproxy_binary, site.agent) as haproxy:
        socks = []
        for i in range(50):
            socks.append(socket.create_connection(haproxy.where, 10))
            socks[-1].sendall(b"GET / HTTP/1.1\r\nHost: x%d.example\r\n\r\n"
                              % i)
        until(lambda: site.level.metrics()["spoa_router_waiting"] > 20,
              "questions that wait", PATIENCE)
        haproxy.kill()
        for sock in socks:
            sock.close()
        site.level.check()
        site.way.delay = 0
        haproxy.start()
        assert haproxy.ask(HOST).status == 200


def test_floods_at_its_side(haproxy_binary, site, tmp_path):
    """Strangers who reach the agent do not cost HAProxy an answer. (Patient
    with it, as all of them share the processors.)"""
    with kit.HAProxy(haproxy_binary, site.agent,
                     env=kit.haproxy.patient(tmp_path)) as haproxy:
        with Load(haproxy, HOST) as load:
            with flood.Flooders(site.agent.where, flood.KINDS):
                spent = site.agent.cpu()
                until(lambda: site.agent.cpu() - spent > 1, "floods", 60)
                load.more(300)
        print(f"{load.total} requests, the longest {load.worst:.3f} s")
        assert load.seen == {200: load.total}


def test_clients_that_do_not_wait(haproxy_binary, site):
    """They leave while their hosts are looked up, again and again."""
    site.way.delay = 0.1
    with kit.HAProxy(haproxy_binary, site.agent) as haproxy:
        with Load(haproxy, HOST) as load:
            for i in range(300):
                with socket.create_connection(haproxy.where, 10) as sock:
                    sock.sendall(b"GET / HTTP/1.1\r\nHost: x%d.example\r\n\r\n"
                                 % i)
            load.more(200)
        assert load.seen == {200: load.total}
        until(lambda: haproxy.stat("router", "FRONTEND", "scur") == "0",
              "all clients to be gone", PATIENCE)


def test_maxconn_is_reached(haproxy_binary, site):
    """Clients that keep all of HAProxy's connections busy; as they leave, the
    others are served."""
    with kit.HAProxy(haproxy_binary, site.agent,
                     before="global\n    maxconn 40\n") as haproxy:
        slow = [haproxy.client(timeout=60) for _ in range(60)]
        for client in slow:
            client.link.connect()
            client.link.sock.sendall(b"GET / HTTP/1.1\r\n")  # and no more
        until(lambda: int(haproxy.stat("router", "FRONTEND", "scur")) >= 38,
              "maxconn", PATIENCE)
        for client in slow:
            client.close()
        until(lambda: haproxy.ask(HOST).status == 200, "room", PATIENCE)


def test_a_thousand_connections_at_once(site):
    """All are answered, also those who have no patience: half end by a reset,
    with questions open, and one in ten does not read."""
    site.level.rss += KEPT
    with Questions(site.agent, KNOWN) as load:
        peers = [Peer(site.agent.where, greet=False, timeout=30)
                 for _ in range(1000)]
        for i, peer in enumerate(peers):
            peer.send(hello() + question(HOST, i + 1) +
                      question(f"new{i}.example", i + 1001))
        for peer in peers[::2]:
            peer.reset()
        seen = Counter()
        for i, peer in enumerate(peers):
            if i % 2 and i % 10 != 1:
                seen.update(frame.answer().status for frame
                            in peer.frames(3) if frame.kind == ACK)
                peer.close()
        assert seen == {"ok": 400, "not_found": 400}
        for peer in peers[1::10]:
            peer.close()
        load.more(200)
        load.check()


def test_half_open_connections(site):
    """A part of a HELLO, or of a frame, and then nothing: nobody waits."""
    whole = hello() + question(HOST, 1)
    with Questions(site.agent, KNOWN) as load:
        peers = [Peer(site.agent.where, greet=False, timeout=30)
                 for _ in range(300)]
        for i, peer in enumerate(peers):
            peer.send(whole[:i % len(whole)])
        load.more(300)
        for i, peer in enumerate(peers):
            peer.send(whole[i % len(whole):])
        for peer in peers[::2]:
            assert peer.frames(2)[1].answer().status == "ok"
        for peer in peers:
            peer.close()
        load.more(100)
        load.check()


def test_slow_readers(site):
    """Fifty peers ask much and read nothing, then a little, then leave: nobody
    waits for them."""
    asked = hello() + b"".join(question(HOST, i + 1) for i in range(20000))
    with Questions(site.agent, KNOWN) as load:
        peers = [Peer(site.agent.where, greet=False, timeout=30, rcvbuf=4096)
                 for _ in range(50)]
        for peer in peers:
            peer.sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                at = 0
                while at < len(asked):
                    at += peer.sock.send(asked[at:])
            peer.sock.settimeout(30)
        load.more(300)
        for peer in peers:
            assert peer.frames(50)[-1].answer().status == "ok"
        load.more(300)
        for peer in peers[::2]:
            peer.reset()
        for peer in peers[1::2]:
            peer.close()
        load.more(100)
        load.check()
    site.level.rss += KEPT  # what waited to be read


@pytest.mark.parametrize("flags", [0, ABORT])
def test_frames_that_are_given_up(site, flags):
    """A part of a frame, and ABORT or that others are to follow: what was asked
    before has its answer, then the connection ends, a hundred times."""
    with Questions(site.agent, KNOWN) as load:
        for _ in range(100):
            with Peer(site.agent.where, timeout=30) as peer:
                peer.send(question(HOST, 1) +
                          notify(route(HOST), 2, flags=flags))
                assert peer.frame().answer().status == "ok"
                assert peer.code() > 0
        load.more(100)
        load.check()


def test_the_agent_is_killed_again_and_again(haproxy_binary, redis, start_agent,
                                             worker, tmp_path):
    """With a snapshot and without Redis: as soon as it listens, all is known.
    In between 503, never another page, never another target."""
    redis.cmd("HSET", "routes", HOST, worker.target)
    agent = start_agent("--redis", redis.url, "--snapshot",
                        tmp_path / "snapshot", "--lookup-timeout", "1s")
    with kit.HAProxy(haproxy_binary, agent) as haproxy:
        assert haproxy.ask(HOST).status == 200
        assert agent.stop() == 0  # writes the snapshot
        redis.kill()
        agent.start()
        with Load(haproxy, HOST) as load:
            for _ in range(5):
                agent.kill()
                agent.start()
                until(lambda: haproxy.ask(HOST).status == 200, "service",
                      PATIENCE)
                load.more(50)
        assert set(load.seen) <= {200, 503}, load.seen
        assert haproxy.alerts() == []
    assert agent.stop() == 0
    agent.close()
