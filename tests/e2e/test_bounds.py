# SPDX-License-Identifier: MIT
"""Bounds: whoever asks too much hurts himself alone."""

import struct
import threading
import time

import pytest

import spop
from faults import KEPT
from resp import FakeRedis, until
from spop import Peer, hello, integer, notify, question, route

T = "10.0.0.1:80"
LONG = "l" * 240  # a host that makes ACKs long
MIB = 1 << 20


@pytest.fixture
def fake():
    with FakeRedis({"a.example": T, LONG: T}) as found:
        yield found


@pytest.fixture
def start(start_agent, fake):
    """Starts an agent that knows two hosts."""
    started = []

    def start(*options):
        agent = start_agent("--redis", fake.url, "--ttl", "1h",
                            "--lookup-timeout", "2s", *options)
        with Peer(agent.where) as peer:
            peer.ask_all(["a.example", LONG])
            open_ = agent.fds()
        until(lambda: agent.fds() < open_, "the end of the connection")
        started.append(agent)
        return agent
    yield start
    for agent in started:
        assert agent.stop() == 0
        agent.close()


def slowest(agent, seconds, host="a.example"):
    """The longest that a well-behaved peer waits meanwhile."""
    worst, end = 0, time.monotonic() + seconds
    with Peer(agent.where) as peer:
        while time.monotonic() < end:
            begin = time.monotonic()
            assert peer.ask(host).status == "ok"
            worst = max(worst, time.monotonic() - begin)
            time.sleep(0.002)
    return worst


class Pusher(threading.Thread):
    """Sends count questions without reading an answer."""

    def __init__(self, peer, count, host=LONG):
        super().__init__(daemon=True)
        self.peer, self.count, self.host, self.sent = peer, count, host, 0
        peer.sock.settimeout(30)
        self.start()

    def run(self):
        try:
            for at in range(0, self.count, 100):
                self.peer.send(b"".join(question(self.host, at + i)
                                        for i in range(100)))
                self.sent = at + 100
        except OSError:
            pass  # the test has ended

    def stuck(self):
        before = self.sent
        time.sleep(0.2)
        return 0 < before == self.sent < self.count


def test_a_peer_that_does_not_read(start):
    """Is not read from, takes no memory, slows nobody, loses nothing."""
    agent = start()
    before = agent.rss()
    with Peer(agent.where, rcvbuf=4096) as peer:
        pusher = Pusher(peer, 60000)
        until(pusher.stuck, "the agent to stop reading", 20)
        assert agent.rss() - before < 4 * MIB + KEPT
        spent = agent.cpu()
        assert slowest(agent, 0.5) < 0.25
        assert agent.cpu() - spent < 0.3, "spins"
        held, count = bytearray(), 0
        while count < pusher.count:  # reads at last: all ACKs are there
            held += peer.sock.recv(MIB)
            at = 0
            while len(held) - at >= 4 and len(held) - at >= 4 + (
                    size := struct.unpack_from(">I", held, at)[0]):
                assert held[at + 4] == spop.ACK
                at += 4 + size
                count += 1
            del held[:at]
        assert peer.silent()
    assert agent.rss() - before < 4 * MIB + KEPT


def test_many_peers_that_do_not_read(start):
    agent = start()
    before = agent.rss()
    peers = [Peer(agent.where, rcvbuf=4096) for _ in range(20)]
    pushers = [Pusher(peer, 10**6) for peer in peers]
    until(lambda: sum(p.sent for p in pushers) > 20000, "questions", 20)
    time.sleep(1)
    assert slowest(agent, 0.5) < 0.3
    assert agent.rss() - before < 24 * MIB + KEPT
    for peer in peers:
        peer.reset()
    until(lambda: agent.fds() < 30, "descriptors to be closed")


def test_a_busy_peer_leaves_time_for_others(start):
    agent = start()
    with Peer(agent.where) as peer:
        pusher = Pusher(peer, 100000, "a.example")

        def drain():
            try:
                while peer.sock.recv(MIB):
                    pass
            except OSError:
                pass
        threading.Thread(target=drain, daemon=True).start()
        assert slowest(agent, 1) < 0.3
        pusher.count = 0


@pytest.mark.parametrize("size", [256, 16380, MIB])
def test_half_frames_take_little(start, size):
    """100 connections that stay in the middle of a frame."""
    agent = start()
    before = agent.rss()
    peers = [Peer(agent.where, max_frame_size=integer(size))
             for _ in range(100)]
    for peer in peers:
        peer.send(struct.pack(">I", size) + spop.head(spop.NOTIFY, 1, 1)
                  + bytes(min(size // 2, 100000)))
    assert slowest(agent, 0.3) < 0.25
    assert agent.rss() - before < 100 * min(size, 200000) + 8 * MIB + KEPT
    for peer in peers:
        peer.close()
    until(lambda: agent.fds() < 30, "descriptors to be closed")


def test_announced_frames_take_nothing(start):
    """A length alone reserves no memory."""
    agent = start()
    before = agent.rss()
    peers = [Peer(agent.where, max_frame_size=integer(MIB))
             for _ in range(200)]
    for peer in peers:
        peer.send(struct.pack(">I", MIB))
    assert slowest(agent, 0.3) < 0.25
    assert agent.rss() - before < 16 * MIB + KEPT


def test_memory_returns_to_its_level(start):
    """Connections come and go: no leak."""
    agent = start()

    def storm():
        for _ in range(300):
            with Peer(agent.where) as peer:
                peer.ask_all(["a.example"] * 20)
            Peer(agent.where, greet=False).send(hello()[:30]).close()
            Peer(agent.where).send(notify(b"\xff")).reset()
    storm()
    until(lambda: agent.fds() < 30, "descriptors to be closed")
    before = agent.rss()
    storm()
    until(lambda: agent.fds() < 30, "descriptors to be closed")
    assert agent.rss() - before < MIB + KEPT


@pytest.mark.parametrize("away", [False, True])
def test_idling_costs_nothing(start, fake, away):
    agent = start()
    peers = [Peer(agent.where) for _ in range(20)]
    if away:
        fake.close()
    time.sleep(0.2)
    spent = agent.cpu()
    time.sleep(1)
    assert agent.cpu() - spent < 0.03
    assert all(peer.silent(0) for peer in peers)


# -- connections ------------------------------------------------------------


def greeted(peers, seconds=1.0):
    """Those whose HELLO is answered."""
    found = []
    for peer in peers:
        peer.sock.settimeout(seconds)
        try:
            answer = peer.frame()
            if answer and answer.kind == spop.AGENT_HELLO:
                found.append(peer)
        except OSError:
            seconds = 0.01
    return found


def test_max_connections(start):
    agent = start("--max-connections", "20")
    idle = agent.fds()
    peers = [Peer(agent.where, greet=False).send(hello()) for _ in range(60)]
    served = greeted(peers)
    assert len(served) == 20
    assert agent.fds() <= idle + 22
    for peer in served:
        peer.sock.settimeout(5)
        assert peer.ask("a.example").status == "ok"
    spent = agent.cpu()
    time.sleep(0.3)
    assert agent.cpu() - spent < 0.1, "spins while it is full"
    for peer in peers:
        peer.close()
    until(lambda: greeted([Peer(agent.where, greet=False).send(hello())]),
          "room again")


def test_flood_of_connections(start):
    """1000 at once, each with a question, as after a reload of HAProxy."""
    agent = start()
    peers = [Peer(agent.where, greet=False) for _ in range(1000)]
    for peer in peers:
        peer.send(hello() + question("a.example", 5))
    for peer in peers:
        assert peer.frame().kind == spop.AGENT_HELLO
        assert peer.frame().answer().status == "ok"
    assert agent.rss() < 64 * MIB + KEPT
    for peer in peers:
        peer.close()
    until(lambda: agent.fds() < 30, "descriptors to be closed")


def test_out_of_descriptors(start_agent, fake):
    """Cannot accept: those it has are served, and it does not spin."""
    agent = start_agent("--redis", fake.url, prefix=["prlimit", "--nofile=30"])
    with Peer(agent.where) as first:
        until(lambda: first.ask("a.example").status == "ok", "Redis")
        peers = [Peer(agent.where, greet=False).send(hello())
                 for _ in range(60)]
        assert len(greeted(peers, 0.3)) < 30
        spent = agent.cpu()
        time.sleep(0.5)
        assert agent.cpu() - spent < 0.15, "spins"
        assert agent.log().count("\n") < 30
        assert first.ask("a.example").status == "ok"
        for peer in peers:
            peer.close()
    with Peer(agent.where) as peer:
        assert peer.ask("a.example").status == "ok"


# -- questions --------------------------------------------------------------


@pytest.mark.parametrize("name", ["h{}.example", "same.example"])
def test_max_waiting(start_agent, fake, name):
    """More than so many do not wait: unavailable, at once."""
    agent = start_agent("--redis", fake.url, "--max-waiting", "10",
                        "--lookup-timeout", "3s")
    with Peer(agent.where) as peer:
        until(lambda: peer.ask("a.example").status == "ok", "Redis")
        fake.gate.clear()
        begin = time.monotonic()
        peer.send(b"".join(question(name.format(n), n) for n in range(50)))
        early = [ack.answer().status for ack in peer.frames(40)]
        assert early == ["unavailable"] * 40
        assert time.monotonic() - begin < 0.5
        assert peer.silent(0.2)
        assert peer.ask("a.example").source == "cache"
        fake.gate.set()
        late = [ack.answer().status for ack in peer.frames(10)]
        assert late == ["not_found"] * 10


def test_many_wait_and_all_are_answered(start, fake):
    agent = start()
    fake.gate.clear()
    peers = [Peer(agent.where) for _ in range(10)]
    for n, peer in enumerate(peers):
        peer.send(b"".join(question(f"h{n}x{i}.example", i)
                           for i in range(500)))
    until(lambda: fake.lookups, "questions")
    time.sleep(0.2)
    fake.gate.set()
    for peer in peers:
        found = peer.frames(500)
        assert sorted(ack.stream for ack in found) == list(range(500))


def test_peers_that_leave_while_they_wait(start, fake):
    """The reply comes for nobody: no crash, no leak, the cache learns."""
    agent = start()
    fake.gate.clear()
    for n in range(50):
        peer = Peer(agent.where)
        peer.send(b"".join(question(f"h{n}x{i}.example", i)
                           for i in range(20)))
        time.sleep(0.002)
        if n % 3 == 0:
            peer.send(spop.disconnect())
        peer.reset() if n % 3 == 1 else peer.close()
    fake.gate.set()
    until(lambda: agent.fds() < 30, "descriptors to be closed")
    with Peer(agent.where) as peer:
        assert peer.ask("a.example").status == "ok"
        until(lambda: len(fake.lookups) > 1, "questions")


def test_a_flood_of_invented_hosts(start, fake):
    """Known hosts are answered from the cache throughout."""
    agent = start()
    stop = threading.Event()

    def flood(number):
        with Peer(agent.where) as peer:
            at = 0
            while not stop.is_set():
                peer.ask_all([f"x{number}x{at + i}.test" for i in range(50)])
                at += 50
    floods = [threading.Thread(target=flood, args=(n,)) for n in range(2)]
    for one in floods:
        one.start()
    try:
        assert slowest(agent, 1.5) < 0.4
    finally:
        stop.set()
        for one in floods:
            one.join()
    assert agent.rss() < 96 * MIB + KEPT


def test_huge_frames_are_answered(start):
    """1 MiB of messages in a frame, of which the last is asked."""
    agent = start()
    with Peer(agent.where, max_frame_size=integer(MIB)) as peer:
        filler = spop.message("x", *[("y", spop.NULL)] * 255)
        sent = filler * ((MIB - 100) // len(filler)) + route("a.example")
        for _ in range(5):
            assert peer.send(notify(sent)).frame().answer().status == "ok"
        assert slowest(agent, 0.1) < 0.25
