# SPDX-License-Identifier: MIT
"""Attacks that hold out: what an agent must bear without harm to others.

HOSTS=10000000 takes as many invented hosts as a real flood would bring."""

import os
import random
import struct
import threading
import time

import pytest

import flood
import kit
import spop
from faults import KEPT
from kit.admin import Admin
from resp import Speaker, until
from spop import Peer, integer, question

HOSTS = int(os.environ.get("HOSTS", 300000))
REAL, BATCH = 1000, 200
MIB = 1 << 20


@pytest.fixture
def redis():
    with kit.Redis() as found:
        with Speaker(found.where) as say:
            pairs = [word for i in range(REAL)
                     for word in (f"real{i}.example", "10.0.0.1:80")]
            say("HSET", "routes", *pairs, "*.wild.example", "10.0.0.2:80")
        yield found


def ratio_of_hits(peer, hosts):
    """How many of these are answered from the cache."""
    found = peer.ask_all(hosts)
    assert all(answer.status == "ok" for answer in found)
    return sum(answer.source == "cache" for answer in found) / len(found)


class Flood(threading.Thread):
    """Asks for invented hosts on a connection of its own."""

    def __init__(self, where, count, form):
        super().__init__(daemon=True)
        self.where, self.count, self.asked, self.error = where, count, 0, None
        mark = "0" * 16
        self.parts = question(form.format(mark)).split(mark.encode())
        self.start()

    def questions(self):
        """BATCH of them, each for a host that nobody has; all ids are 1."""
        drawn = os.urandom(8 * BATCH).hex().encode()
        begin, end = self.parts
        return b"".join(begin + drawn[at:at + 16] + end
                        for at in range(0, len(drawn), 16))

    def run(self):
        try:
            with Peer(self.where, timeout=60) as peer:
                while self.asked < self.count:
                    peer.send(self.questions())
                    self.skip_answers(peer)
                    self.asked += BATCH
        except Exception as error:  # shown by the one who waits
            self.error = error

    @staticmethod
    def skip_answers(peer, expected=BATCH):
        held, at, count = bytearray(), 0, 0
        while count < expected:
            held += peer.sock.recv(1 << 18)
            while len(held) - at >= 4:
                size, = struct.unpack_from(">I", held, at)
                if len(held) - at < 4 + size:
                    break
                assert held[at + 4] == spop.ACK
                at, count = at + 4 + size, count + 1


@pytest.mark.parametrize("real, form", [
    ("real{}.example", "{}.net"),
    ("real{}.example", "{}" + ".x" * 100),
    ("h{}.wild.example", "{}.example"),
    ("h{}.wild.example", "{}.a.b.c.d.e.f.g.h.i"),
])
def test_invented_hosts_do_not_hurt_real_ones(start_agent, redis, real, form):
    """Memory stays within its bound, real hosts, behind a wildcard too, are
    answered from the cache, and Redis is asked once for an invented one."""
    agent = start_agent("--redis", redis.url, "--ttl", "1m", "--negative-ttl",
                        "1m", "--cache-size", "100000",
                        "--lookup-timeout", "10s")
    real = [real.format(i) for i in range(REAL)]
    with Peer(agent.where, timeout=60) as peer, Speaker(redis.where) as say:
        until(lambda: peer.ask("real0.example").status == "ok", "Redis")
        ratio_of_hits(peer, real)
        assert ratio_of_hits(peer, real) == 1
        rest, calls = agent.rss(), say.calls("hmget")
        flood = Flood(agent.where, HOSTS // 4, form)
        ratios, worst = [], 0
        while flood.is_alive():
            ratios.append(ratio_of_hits(peer, random.sample(real, 200)))
            worst = max(worst, agent.rss())
        flood.join()
        calls = say.calls("hmget") - calls
        assert not flood.error
        mean = sum(ratios) / len(ratios)
        print(f"{flood.asked} invented hosts, {len(ratios) * 200} real ones "
              f"{100 * mean:.3f} % from the cache, {calls} HMGETs, memory "
              f"{rest >> 10} to {worst >> 10} KiB")
        assert mean >= 0.99
        assert worst - rest < 12 * MIB + KEPT
        assert calls <= flood.asked + len(ratios) * 2 + REAL
    assert agent.stop() == 0


def test_frames_of_the_greatest_size_that_nobody_finishes(start_agent, redis):
    """They share a bound; beyond it a peer is sent away with a word, those
    with frames of the usual size are served, and the memory comes back."""
    agent = start_agent("--redis", redis.url)
    with Peer(agent.where, timeout=60) as good:
        until(lambda: good.ask("real0.example").status == "ok", "Redis")
        idle, rest = agent.fds(), agent.rss()
        peers = [Peer(agent.where, timeout=60, max_frame_size=integer(MIB))
                 for _ in range(200)]
        codes, frame = [], struct.pack(">I", MIB) + spop.head(
            spop.NOTIFY, 1, 1) + bytes(900 * 1024)
        for peer in peers:
            try:
                peer.send(frame)
            except OSError:  # it was sent away meanwhile
                pass
            if not peer.silent(0):
                codes.append(peer.code())
            assert good.ask("real1.example").status == "ok"
        until(lambda: len([p for p in peers if not p.silent(0)]) >= 100,
              "some to be sent away", 20)
        print(f"memory {rest >> 10} to {agent.rss() >> 10} KiB")
        assert agent.rss() - rest < 80 * MIB + KEPT
        assert set(codes) <= {13}
        assert agent.log().count("too many large frames at once") == 1
        for peer in peers:
            peer.close()
        until(lambda: agent.fds() <= idle, "descriptors to be closed", 20)
        until(lambda: agent.rss() - rest < 8 * MIB + KEPT, "memory", 20)
        with Peer(agent.where, max_frame_size=integer(MIB)) as peer:
            peer.send(frame + bytes(124 * 1024 - 7))
            assert peer.frame() is not None  # there is room again
    assert agent.stop() == 0

def latencies(peer, count):
    """How long each of so many questions took, in ms, sorted."""
    found = []
    for i in range(count):
        begin = time.monotonic()
        assert peer.ask(f"real{i % REAL}.example").status == "ok"
        found.append(1000 * (time.monotonic() - begin))
    return sorted(found)


@pytest.mark.parametrize("kind", flood.KINDS)
def test_a_flood_starves_nobody(start_agent, redis, kind):
    """Who has a connection is answered beside the flood, and what the flood
    took comes back."""
    agent = start_agent("--redis", redis.url, "--ttl", "1h",
                        "--lookup-timeout", "10s")
    with Peer(agent.where, timeout=60) as good:
        until(lambda: good.ask("real0.example").status == "ok", "Redis")
        latencies(good, REAL)
        alone = latencies(good, 300)
        idle, rest = agent.fds(), agent.rss()
        with flood.Flooders(agent.where, [kind] * 3):
            spent = agent.cpu()
            until(lambda: agent.cpu() - spent > 0.2, "the flood", 30)
            beside = latencies(good, 300)
            worst = agent.rss()
        print(f"{kind}: median {alone[150]:.2f} ms alone, {beside[150]:.2f} "
              f"ms beside it ({beside[150] / alone[150]:.1f} times), worst "
              f"{beside[-1]:.1f} ms; {(worst - rest) >> 10} KiB more")
        assert beside[150] < 50 + 20 * alone[150]
        assert worst - rest < 32 * MIB + KEPT
        until(lambda: agent.fds() <= idle, "descriptors to be closed", 30)
        assert good.ask("real1.example").source == "cache"
    assert agent.log().count("\n") < 40
    assert agent.stop() == 0


def test_many_peers_that_do_not_read_share_a_bound(start_agent, redis,
                                                    tmp_path):
    """600 peers would hold 150 MiB of answers; a good one is served beside
    them, and whoever reads at last loses nothing."""
    with Speaker(redis.where) as say:
        say("HSET", "routes", "l" * 240, "10.0.0.1:80")
    # A Unix socket's buffer in the kernel does not grow.
    path, admin = str(tmp_path / "spoa"), Admin(str(tmp_path / "admin"))
    agent = start_agent("--redis", redis.url, "--ttl", "1h", "--listen",
                        f"unix:{path}", "--admin", f"unix:{admin.where}")
    one = question("l" * 240)
    said = memoryview(one * 4000)
    with Peer(path, timeout=60) as good:
        until(lambda: good.ask("l" * 240).status == "ok", "Redis")
        rest = agent.rss()
        peers = [Peer(path, timeout=60) for _ in range(600)]
        sent = dict.fromkeys(peers, 0)
        for peer in peers:
            peer.sock.setblocking(False)

        def unread():
            return admin.metrics()["spoa_router_unread_bytes"]

        def push():
            """False when nobody takes any more."""
            before = sum(sent.values())
            for peer in peers:
                try:
                    sent[peer] += peer.sock.send(said[sent[peer]:])
                except BlockingIOError:
                    pass
            assert good.ask("l" * 240).source == "cache"
            return sum(sent.values()) > before

        until(lambda: not push() and not time.sleep(0.1) and not push(),
              "all to be stuck", 60)
        worst = agent.rss()
        print(f"{len(peers)} slow readers, {sum(sent.values()) // MIB} MiB "
              f"asked, memory {rest >> 10} to {worst >> 10} KiB")
        assert unread() < 66 * MIB
        assert worst - rest < 110 * MIB + KEPT
        assert agent.log().count("too many answers are not read") == 1
        for peer in peers[:20] + peers[-20:]:
            peer.sock.setblocking(True)
            threading.Thread(target=peer.send, daemon=True,
                             args=(said[sent[peer]:],)).start()
            Flood.skip_answers(peer, 4000)
            assert peer.silent(0)
        for peer in peers:
            peer.close()
        until(lambda: unread() == 0, "memory to be free", 20)
        print(f"then {agent.rss() >> 10} KiB")
    assert agent.stop() == 0
