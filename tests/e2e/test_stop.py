# SPDX-License-Identifier: MIT
"""Signals: connections end one by one, nobody asked in vain."""

import select
import signal
import socket
import threading
import time

import pytest

import spop
from resp import FakeRedis, until
from spop import Peer, question

T = "10.0.0.1:80"


@pytest.fixture
def fake():
    with FakeRedis({"a.example": T, "b.example": T}) as found:
        yield found


@pytest.fixture
def agent(start_agent, fake):
    with start_agent("--redis", fake.url, "--lookup-timeout", "1s") as found:
        yield found


def send(agent, sign):
    agent.process.send_signal(sign)
    return time.monotonic()


def ended(agent):
    return agent.process.wait(5)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_stop_without_connections(agent, sign):
    start = send(agent, sign)
    assert ended(agent) == 0
    assert time.monotonic() - start < 2
    with pytest.raises(OSError):
        Peer(agent.where)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_connections_are_told_one_after_the_other(agent, sign):
    """All at once makes HAProxy 3.x lose requests."""
    peers = [Peer(agent.where) for _ in range(8)]
    for peer in peers:
        peer.ask("a.example")
    send(agent, sign)
    order, left = [], {peer.sock: peer for peer in peers}
    while left:
        ready, _, _ = select.select(list(left), [], [], 3)
        assert ready, "no connection ends"
        for sock in ready:
            assert left.pop(sock).code() == 0
            order.append(time.monotonic())
    gaps = sorted(b - a for a, b in zip(order, order[1:]))
    assert gaps[len(gaps) // 2] > 0.015, gaps
    assert 0.12 < order[-1] - order[0] < 1.5, gaps
    assert ended(agent) == 0


def test_what_is_in_flight_is_answered_first(agent, fake):
    peers = [Peer(agent.where) for _ in range(3)]
    for peer in peers:
        peer.ask("a.example")
    fake.gate.clear()
    for peer in peers:
        peer.send(question("b.example", 8) + question("c.example", 9))
    until(lambda: len(fake.lookups) >= 2, "the questions")
    send(agent, signal.SIGTERM)
    threading.Timer(0.2, fake.gate.set).start()
    for peer in peers:
        acks = {f.stream: f.answer().status for f in peer.frames(2)}
        assert acks == {8: "ok", 9: "not_found"}
        assert peer.code() == 0
    assert ended(agent) == 0


def test_lookups_that_never_end_do_not_hold_the_stop(agent, fake):
    fake.gate.clear()
    with Peer(agent.where) as peer:
        peer.send(question("b.example", 8))
        start = send(agent, signal.SIGTERM)
        assert peer.frame().answer().status == "unavailable"
        assert peer.code() == 0
    assert ended(agent) == 0
    assert time.monotonic() - start < 5


def test_questions_are_answered_until_the_end(agent):
    """Each of many connections is served up to its own DISCONNECT."""
    peers = [Peer(agent.where) for _ in range(20)]
    send(agent, signal.SIGTERM)
    last, asked = peers[-1], 0
    open_, stream = list(peers), 0
    while open_:
        for peer in list(open_):
            stream += 1
            try:
                peer.send(question("a.example", stream))
                found = peer.frame()
            except OSError:
                found = None
            if found is None or found.kind == spop.AGENT_DISCONNECT:
                open_.remove(peer)
                continue
            assert found.ids == (stream, 1)
            asked += 1
    assert asked > 20 and last is not None
    assert ended(agent) == 0


def test_backlog_is_accepted_and_answered(agent):
    """Connections made while the agent could not look are served."""
    agent.process.send_signal(signal.SIGSTOP)
    peers = [Peer(agent.where, greet=False) for _ in range(20)]
    for peer in peers:
        peer.send(spop.hello() + question("a.example", 5))
    agent.process.send_signal(signal.SIGTERM)
    agent.process.send_signal(signal.SIGCONT)
    for peer in peers:
        assert peer.frame().kind == spop.AGENT_HELLO
        assert peer.frame().answer().status == "ok"
        assert peer.code() == 0
    assert ended(agent) == 0


def test_new_connections_are_welcome_while_others_end(agent):
    """Listeners go last: HAProxy may still be sending requests here."""
    peers = [Peer(agent.where) for _ in range(15)]
    send(agent, signal.SIGTERM)
    peers[0].frame()  # the first is told
    with Peer(agent.where) as late:
        assert late.ask("a.example").status == "ok"
        assert late.code() == 0
    assert ended(agent) == 0


@pytest.mark.parametrize("hurt", ["does not read", "never says HELLO",
                                  "does not close"])
def test_a_bad_peer_does_not_hold_the_stop(agent, hurt):
    with Peer(agent.where, greet=hurt != "never says HELLO",
              rcvbuf=4096) as peer:
        if hurt == "does not read":
            peer.sock.settimeout(0.3)
            with pytest.raises(socket.timeout):
                while True:
                    peer.send(question("a.example") * 100)
        start = send(agent, signal.SIGTERM)
        assert ended(agent) == 0
        assert time.monotonic() - start < 5


def test_many_connections_end_in_time(agent):
    """30 ms for each of 300 would be 9 s."""
    peers = [Peer(agent.where) for _ in range(300)]
    start = send(agent, signal.SIGTERM)
    assert ended(agent) == 0
    assert time.monotonic() - start < 5
    for peer in peers:
        assert peer.code() == 0


def test_second_signal_changes_nothing_or_hurries(agent):
    peers = [Peer(agent.where) for _ in range(10)]
    send(agent, signal.SIGTERM)
    peers[0].frame()
    send(agent, signal.SIGTERM)
    assert ended(agent) == 0


def test_stop_while_redis_is_away(start_agent):
    agent = start_agent("--redis", "redis://127.0.0.1:1")
    with Peer(agent.where) as peer:
        assert peer.ask("a.example").status == "unavailable"
        send(agent, signal.SIGTERM)
        assert peer.code() == 0
    assert ended(agent) == 0


def test_broken_pipe_is_no_signal(agent):
    agent.process.send_signal(signal.SIGPIPE)
    with Peer(agent.where) as peer:
        assert peer.ask("a.example").status == "ok"


def test_unix_listener_ends(start_agent, fake, tmp_path):
    path = str(tmp_path / "agent.sock")
    agent = start_agent("--redis", fake.url, "--listen", f"unix:{path}")
    with Peer(path) as peer:
        assert peer.ask("a.example").status == "ok"
        send(agent, signal.SIGTERM)
        assert peer.code() == 0
    assert ended(agent) == 0
    with pytest.raises(OSError):
        Peer(path)
