# SPDX-License-Identifier: MIT
"""Redis as it is on a bad day: away, slow, wrong, locked, replaced."""

import json
import os
import random
import shutil
import subprocess
import signal
import socket
import time

import pytest

from faults import KEPT
from resp import (CLOSE, RESET, FakeRedis, Relay, array, bulk, sanitized,
                  until)
from spop import Peer, question

T, U, V = "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"
BRIEF = ("--ttl", "200ms", "--negative-ttl", "100ms")
HMGET_ERRORS = [
    "LOADING Redis is loading the dataset in memory",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is no",
    "NOAUTH Authentication required.",
    "NOPERM this user has no permissions to run the 'hmget' command",
    "BUSY Redis is busy running a script.",
    "ERR unknown command 'HMGET'",
    "MOVED 3999 127.0.0.1:6381",
    "CLUSTERDOWN The cluster is down",
    "UNKNOWNWORD of a later version",
]


@pytest.fixture
def fake():
    with FakeRedis({"a.example": T, "*.wild.example": T}) as found:
        yield found


@pytest.fixture
def second():
    with FakeRedis({"a.example": U, "*.wild.example": U}) as found:
        yield found


def comes(ask, host, target, seconds=5):
    """Asks until the target is the answer of a Redis."""
    return until(lambda: ask(host).target == target, f"{host} -> {target}",
                 seconds)


# -- away and back ----------------------------------------------------------


def test_start_without_redis_and_recover(ask, fake):
    fake.close()
    ask.start(fake.url)
    assert ask("a.example") == {"status": "unavailable", "source": "none"}
    fake.open()
    comes(ask, "a.example", T)


def test_unavailable_is_said_at_once(ask, fake):
    """Known to be down: nobody waits for --lookup-timeout."""
    fake.close()
    ask.start(fake.url, options=("--lookup-timeout", "2s"))
    ask("x.example")  # while the first attempt may still be under way
    start = time.monotonic()
    for n in range(50):
        assert ask(f"h{n}.example").status == "unavailable"
    assert time.monotonic() - start < 0.5


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL])
def test_restart(ask, redis, sign):
    redis.cmd("HSET", "routes", "a.example", T)
    ask.start(redis.url, options=BRIEF)
    comes(ask, "a.example", T)
    redis.stop(sign)
    until(lambda: ask("a.example").source == "stale", "stale")
    assert ask("new.example").status == "unavailable"
    redis.start()
    redis.cmd("HSET", "routes", "a.example", U)
    comes(ask, "a.example", U)


def test_client_kill(ask, redis):
    """A connection that ends between questions costs none of them."""
    redis.cmd("HSET", "routes", "a.example", T)
    ask.start(redis.url, options=("--ttl", "0", "--lookup-timeout", "1s"))
    for _ in range(5):
        assert ask("a.example").status == "ok"
        redis.cmd("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert ask("a.example").status == "ok"
        comes(ask, "a.example", T)


def test_reconnects_are_spaced(ask, fake):
    """Backoff: a server that refuses is not hammered."""
    fake.on("HMGET", RESET)
    ask.start(fake.url, options=("--lookup-timeout", "20ms"))
    end = time.monotonic() + 2
    while time.monotonic() < end:
        assert ask("a.example").status == "unavailable"
    assert fake.accepted < 40
    assert ask.agent.log().count("\n") < 60
    fake.forget("HMGET")
    comes(ask, "a.example", T)


def test_one_connection(ask, fake):
    ask.start(fake.url)
    for n in range(50):
        ask(f"h{n}.example")
    assert len(fake.links) <= 2  # one for questions, perhaps one to probe


def test_frozen(ask, redis):
    """SIGSTOP: connected, and silent for ever."""
    redis.cmd("HSET", "routes", "a.example", T)
    ask.start(redis.url, options=(*BRIEF, "--lookup-timeout",
                                  "300ms"))
    comes(ask, "a.example", T)
    redis.pause()
    try:
        time.sleep(0.4)
        start = time.monotonic()
        answers = ask.peer.ask_all(["a.example", "new.example"] * 20)
        assert time.monotonic() - start < 0.6
        assert {(a.status, a.source) for a in answers} == {
            ("ok", "stale"), ("unavailable", "none")}
        start = time.monotonic()
        ask.peer.ask_all([f"h{n}.example" for n in range(20)])
        assert time.monotonic() - start < 0.25, "the circuit is open"
    finally:
        redis.resume()
    until(lambda: ask("a.example").source != "stale", "Redis again")


@pytest.mark.parametrize("delay_ms, timeout_ms", [
    (10, 2000), (100, 2000), (250, 100), (500, 100)])
def test_slow(ask, fake, delay_ms, timeout_ms):
    """Either Redis is faster than --lookup-timeout or nobody waits for it."""
    with Relay(fake.where, delay=delay_ms / 2000) as relay:
        fake.routes.update((f"h{n}.example", T) for n in range(10))
        ask.start(relay.url, options=("--lookup-timeout", f"{timeout_ms}ms"))
        until(lambda: "redis connected" in ask.agent.log(), "the link")
        for n in range(10):
            start = time.monotonic()
            answer = ask(f"h{n}.example")
            assert time.monotonic() - start < timeout_ms / 1000 + 0.2
            assert answer.status == "ok" or (
                delay_ms > timeout_ms and answer.status == "unavailable")
        # Late replies fill the cache.
        until(lambda: ask("h0.example").status == "ok", "the late reply")


def test_circuit(ask, fake):
    """One question waits out --lookup-timeout, the others do not wait."""
    ask.start(fake.url, options=("--lookup-timeout", "200ms"))
    until(lambda: "redis connected" in ask.agent.log(), "the link")
    fake.gate.clear()
    start = time.monotonic()
    assert ask("a.example").status == "unavailable"
    assert 0.18 < time.monotonic() - start < 0.38
    for n in range(20):
        assert ask(f"h{n}.example").status == "unavailable"
    assert time.monotonic() - start < 1
    fake.gate.set()
    until(lambda: ask("a.example").status == "ok", "the late reply", 1)
    assert [f[0] for f in fake.lookups].count("a.example") == 1


def test_a_silent_server_is_left(ask, fake):
    """Half a second after --lookup-timeout the link is given up."""
    ask.start(fake.url)
    comes(ask, "a.example", T)
    fake.gate.clear()
    start = time.monotonic()
    assert ask("b.example").status == "unavailable"
    until(lambda: "no answer" in ask.agent.log(), "the link is left", 2)
    assert time.monotonic() - start > 0.4
    fake.gate.set()


def test_asked_again_once(ask, fake):
    """A question that breaks each link does not break links for ever."""
    fake.on("HMGET", lambda words: [RESET] if "b.example" in words
            else [fake.honest(words)])
    ask.start(fake.url, options=("--lookup-timeout", "2s"))
    comes(ask, "a.example", T)
    assert ask("b.example").status == "unavailable"
    assert [f[0] for f in fake.lookups].count("b.example") <= 2
    comes(ask, "x.wild.example", T)


def test_black_hole(ask, fake):
    """Packets vanish: no FIN, no RST, no answer."""
    with Relay(fake.where) as relay:
        ask.start(relay.url, options=BRIEF)
        comes(ask, "a.example", T)
        relay.hole = True
        until(lambda: ask("a.example").source == "stale", "stale")
        fake.routes["a.example"] = U
        time.sleep(1)
        relay.hole = False
        relay.drop()
        comes(ask, "a.example", U)


# -- broken replies ---------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 50])
def test_split_packets(ask, fake, chunk):
    with Relay(fake.where, chunk=chunk) as relay:
        ask.start(relay.url, options=("--lookup-timeout", "2s"))
        hosts = [f"h{n}.example" for n in range(30)]
        fake.routes.update((h, f"10.0.0.{n}:80") for n, h in enumerate(hosts))
        assert [a.target for a in ask.peer.ask_all(hosts)] == [
            f"10.0.0.{n}:80" for n in range(30)]


def test_merged_packets(ask, fake):
    ask.start(fake.url, options=("--lookup-timeout", "2s"))
    comes(ask, "a.example", T)
    fake.gate.clear()
    hosts = [f"h{n}.example" for n in range(200)]
    fake.routes.update((h, f"10.0.0.{n}:80") for n, h in enumerate(hosts))
    ask.peer.send(b"".join(question(h, n) for n, h in enumerate(hosts)))
    until(lambda: len(fake.lookups) > 1, "the questions")
    time.sleep(0.05)
    fake.gate.set()
    assert [a.target for a in ask.peer.answers(range(200))] == [
        f"10.0.0.{n}:80" for n in range(200)]


REPLY = array(bulk(T), bulk(None), bulk(None))
BROKEN = {
    "reset": [RESET],
    "close": [CLOSE],
    "reset in mid-reply": [REPLY[:15], 0.02, RESET],
    "close in mid-reply": [REPLY[:15], 0.02, CLOSE],
    "close after the header": [b"*3\r\n", 0.02, CLOSE],
    "http": [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
    "zeros": [bytes(100)],
    "too few": [array(bulk(T))],
    "too many": [array(*[bulk(T)] * 9)],
    "empty array": [b"*0\r\n"],
    "nil array": [b"*-1\r\n"],
    "status": [b"+OK\r\n"],
    "integer": [b":1\r\n"],
    "bulk": [bulk(T)],
    "nil": [b"$-1\r\n"],
    "integers inside": [b"*3\r\n:1\r\n:2\r\n:3\r\n"],
    "array inside": [array(array(bulk(T)), bulk(T), bulk(T))],
    "negative array": [b"*-7\r\n"],
    "negative bulk": [b"*3\r\n$-7\r\n"],
    "endless array": [b"*2147483647\r\n"],
    "huge array": [b"*9223372036854775807\r\n"],
    "huge bulk": [b"*3\r\n$9223372036854775807\r\n"],
    "wrong bulk end": [b"*3\r\n$2\r\nabcdefgh\r\n"],
    "deep": [b"*1\r\n" * 1000],
    "endless line": [b"+" + b"x" * 500000],
}


# What may be the beginning of something: it ends with --lookup-timeout.
UNENDED = {"endless array", "huge array", "huge bulk", "endless line"}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_reply_is_asked_again(ask, fake, name):
    """Once broken, the next link answers: the request is saved."""
    left = [BROKEN[name]]
    fake.on("HMGET", lambda words: left.pop() if left
            and "a.example" in words else [fake.honest(words)])
    ask.start(fake.url, options=("--lookup-timeout", "1s"))
    until(lambda: ask("b.example").status == "not_found", "the link")
    answer = ask("a.example")
    assert answer.target == T or (answer.status == "unavailable"
                                  and name in UNENDED)
    comes(ask, "a.example", T, 3)
    assert ask.agent.rss() < KEPT + (64 << 20)


@pytest.mark.parametrize("name", BROKEN)
def test_reply_broken_for_ever(ask, fake, name):
    """Never a wrong answer: stale, or unavailable."""
    ask.start(fake.url, options=("--ttl", "50ms", "--negative-ttl", "50ms"))
    comes(ask, "a.example", T)
    fake.on("HMGET", *BROKEN[name])
    time.sleep(0.1)
    start = time.monotonic()
    for host in ["a.example", "new.example"] * 5:
        answer = ask(host)
        assert (answer.target, answer.source) in [(T, "stale"), (None, "none")]
        assert answer.status in ("ok", "unavailable")
    assert time.monotonic() - start < 2
    fake.forget("HMGET")
    until(lambda: ask("new.example").status == "not_found", "Redis again")


def test_a_dribbling_server_is_left(ask, fake, second):
    """A byte now and then is no answer: after 5 s the next server serves."""
    def dribble(words):
        if "a.example" not in words:
            return [fake.honest(words)]
        return [piece for byte in fake.honest(words)
                for piece in (bytes([byte]), 0.3)]
    fake.on("HMGET", dribble)
    ask.start(fake.url, second.url)
    start = time.monotonic()
    until(lambda: ask("a.example").target == U, "the second server", 9)
    assert time.monotonic() - start > 4


def test_half_a_reply_for_ever(ask, fake):
    fake.on("HMGET", REPLY[:12], 30.0)
    ask.start(fake.url)
    start = time.monotonic()
    for n in range(5):
        assert ask(f"h{n}.example").status == "unavailable"
    assert time.monotonic() - start < 1
    fake.forget("HMGET")
    until(lambda: ask("a.example").target == T, "a new link", 8)


def test_an_unasked_reply_does_not_shift_the_others(ask, fake):
    """A reply too many must not become the answer of another host."""
    fake.routes.update({"b.example": U, "c.example": V})
    fake.on("HMGET", lambda words: [fake.honest(words) + array(
        bulk(T), bulk(None), bulk(None))])
    ask.start(fake.url, options=("--lookup-timeout", "300ms", "--ttl", "0"))
    for _ in range(10):
        for host, target in (("b.example", U), ("c.example", V)):
            assert ask(host).target in (target, None), host


def test_damaged_replies(ask, fake):
    """Any bytes instead of a reply: no crash, no hang; SEED= replays."""
    seed = int(os.environ.get("SEED") or random.randrange(2**32))
    print(f"SEED={seed}")
    dice = random.Random(seed)

    def damaged(words):
        reply = bytearray(fake.honest(words))
        for _ in range(dice.randrange(3)):
            at = dice.randrange(len(reply))
            reply[at:at + dice.choice([0, 1, 5])] = dice.choice([
                b"", b"\r\n", b"$", b"*", b"-", b"9", b"\0",
                dice.randbytes(3)])
        return [bytes(reply)]
    fake.on("HMGET", damaged)
    ask.start(fake.url, options=("--ttl", "0", "--lookup-timeout", "20ms"))
    end = time.monotonic() + 3
    while time.monotonic() < end:
        start = time.monotonic()
        answers = ask.peer.ask_all(["a.example", "x.wild.example", "b.test"])
        assert time.monotonic() - start < 0.5
        assert {a.status for a in answers} <= {
            "ok", "not_found", "unavailable", "bad_route"}
        time.sleep(0.005)
    fake.forget("HMGET")
    comes(ask, "a.example", T, 10)


# -- what Redis says --------------------------------------------------------


@pytest.mark.parametrize("error", HMGET_ERRORS)
def test_error_reply(ask, fake, error):
    """Logged, never a 404, over when it is over."""
    fake.on("HMGET", f"-{error}\r\n".encode())
    ask.start(fake.url)
    for n in range(20):
        assert ask(f"h{n}.example").status == "unavailable"
    until(lambda: error.split()[0] in ask.agent.log(), "a log line")
    assert ask.agent.log().count(error.split()[0]) < 10, "rate-limited"
    fake.forget("HMGET")
    comes(ask, "a.example", T)


@pytest.mark.parametrize("error", HMGET_ERRORS)
def test_error_reply_means_the_next_server(ask, fake, second, error):
    fake.on("HMGET", f"-{error}\r\n".encode())
    ask.start(fake.url, second.url, options=("--lookup-timeout", "1s"))
    comes(ask, "a.example", U)
    fake.forget("HMGET")


def test_error_keeps_stale(ask, fake):
    ask.start(fake.url, options=BRIEF)
    comes(ask, "a.example", T)
    fake.on("HMGET", b"-LOADING Redis is loading\r\n")
    until(lambda: ask("a.example").source == "stale", "stale")
    assert ask("a.example").target == T


def test_wrong_type(ask, redis, second):
    """The key is not a hash: this server is asked all the same."""
    redis.cmd("SET", "routes", "x")
    ask.start(redis.url, second.url)
    for n in range(5):
        assert ask(f"h{n}.example").status == "unavailable"
    until(lambda: "not a hash" in ask.agent.log(), "a log line")
    assert not second.lookups
    redis.cmd("DEL", "routes")
    redis.cmd("HSET", "routes", "a.example", T)
    comes(ask, "a.example", T)


def test_wrong_type_keeps_stale(ask, redis):
    redis.cmd("HSET", "routes", "a.example", T)
    ask.start(redis.url, options=BRIEF)
    comes(ask, "a.example", T)
    redis.cmd("SET", "routes", "x")
    until(lambda: ask("a.example").source == "stale", "stale")


def test_missing_key_is_not_found(ask, redis):
    ask.start(redis.url)
    assert ask("a.example").status == "not_found"


def test_routes_option(ask, redis):
    redis.cmd("HSET", "my:routes", "a.example", T)
    redis.cmd("HSET", "routes", "a.example", U)
    ask.start(redis.url, options=("--routes", "my:routes"))
    comes(ask, "a.example", T)


def test_masterdown(ask, redis, second):
    """A replica whose master is away and which may not serve."""
    redis.cmd("CONFIG", "SET", "replica-serve-stale-data", "no")
    redis.cmd("REPLICAOF", "127.0.0.1", "1")
    ask.start(redis.url, second.url)
    comes(ask, "a.example", U)
    assert "MASTERDOWN" in ask.agent.log()


def test_lost_permission(ask, redis, second):
    """NOPERM in the middle of the day: the next server, then back."""
    redis.cmd("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all")
    redis.cmd("HSET", "routes", "a.example", T)
    url = f"redis://app:pw@127.0.0.1:{redis.port}"
    ask.start(url, second.url, options=BRIEF)
    comes(ask, "a.example", T)
    redis.cmd("ACL", "SETUSER", "app", "-hmget")
    comes(ask, "a.example", U)
    redis.cmd("ACL", "SETUSER", "app", "+hmget")
    comes(ask, "a.example", T, 10)


# -- values too large -------------------------------------------------------


@pytest.mark.parametrize("size, status", [
    (16384, "ok"), (16385, "bad_route"), (100000, "bad_route"),
    (5 << 20, "bad_route")])
def test_oversized_value(ask, redis, size, status):
    """Of all values a bad one hurts itself alone."""
    redis.cmd("EVAL", "redis.call('HSET', 'routes', 'big.example', ARGV[1] .."
              " string.rep(' ', ARGV[2]))", "0", T, str(size - len(T)))
    redis.cmd("HSET", "routes", "a.example", T)
    ask.start(redis.url, options=("--lookup-timeout", "2s"))
    answers = ask.peer.ask_all(["a.example", "big.example", "b.example"])
    assert [a.status for a in answers] == ["ok", status, "not_found"]
    if status == "bad_route":
        assert answers[1].route == "big.example"
        until(lambda: str(size) in ask.agent.log(), "a log line with the size")
    assert int(redis.info("total_connections_received")) < 20


def test_oversized_wildcard(ask, redis):
    redis.cmd("HSET", "routes", "*.example", "x" * 50000, "a.example", T)
    ask.start(redis.url, options=("--lookup-timeout", "2s"))
    answers = ask.peer.ask_all(["a.example", "b.example"])
    assert [a.status for a in answers] == ["ok", "bad_route"]


@pytest.mark.parametrize("size, status", [(16384, "ok"), (16385, "bad_route"),
                                          (1 << 20, "bad_route")])
def test_ten_large_values(ask, fake, size, status):
    """Every candidate at the limit at once is still an answer."""
    host = "a.b.c.d.e.f.g.h.i.j.k"
    fake.on("HMGET", lambda words: [array(*[bulk(
        T + " " * (size - len(T)))] * len(words[2:]))])
    ask.start(fake.url, options=("--lookup-timeout", "2s"))
    until(lambda: "redis connected" in ask.agent.log(), "the link")
    answer = ask(host)
    assert (answer.status, answer.route) == (status, host)
    assert len(fake.lookups) == 1 and len(fake.lookups[0]) == 10
    assert len(fake.named("HMGET")) <= 2, "the link is kept"


def test_memory_while_a_monster_arrives(ask, fake, agent_binary):
    """500 MB announced, and sent for as long as the agent takes it."""
    if sanitized(agent_binary):
        pytest.skip("memory is not measured under a sanitizer")
    megabyte = b"x" * (1 << 20)
    fake.on("HMGET", lambda words: [b"*4\r\n$500000000\r\n"] + [
        megabyte, 0.001] * 500 + [b"\r\n" + bulk(None) * 3])
    ask.start(fake.url)
    before, most = ask.agent.rss(), 0
    ask.peer.send(question("a.b.example"))
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        most = max(most, ask.agent.rss())
        time.sleep(0.01)
    assert ask.peer.frame().answer().status in ("unavailable", "bad_route")
    assert most - before < 8 << 20
    with Peer(ask.agent.where) as other:
        assert other.ask("b..d").status == "bad_host"
    fake.forget("HMGET")
    fake.drop()
    comes(ask, "a.example", T, 10)


@pytest.mark.parametrize("one", [b"+\r\n", b"$-1\r\n", b"*0\r\n"])
def test_memory_for_a_reply_of_many_elements(ask, fake, agent_binary, one):
    """An element of three bytes takes a hundred: all arrays of a reply have
    one bound."""
    if sanitized(agent_binary):
        pytest.skip("memory is not measured under a sanitizer")
    bomb = b"*20\r\n" + 20 * (b"*60000\r\n" + 60000 * one)
    fake.on("HMGET", lambda words: [bomb] if "bomb.example" in words
            else [fake.honest(words)])
    ask.start(fake.url, options=("--lookup-timeout", "5s"))
    comes(ask, "a.example", T, 3)
    ask.peer.sock.settimeout(30)
    before, most = ask.agent.rss(), 0
    ask.peer.send(question("bomb.example"))
    while ask.peer.silent(0.001):
        most = max(most, ask.agent.rss())
    assert ask.peer.frame().answer().status == "unavailable"
    assert most - before < 16 << 20


# -- AUTH, SELECT, ways to connect ------------------------------------------

ODD = "p@ss:w/o?r#d %é"
CODED = "p%40ss%3Aw%2Fo%3Fr%23d%20%25%C3%A9"


@pytest.fixture
def locked(redis):
    """requirepass ODD, a user app with the same, a route."""
    redis.cmd("HSET", "routes", "a.example", T)
    redis.cmd("ACL", "SETUSER", "app:1", "on", f">{ODD}", "~routes*",
              "+hmget", "+select", "+ping", "+client")
    redis.cmd("CONFIG", "SET", "requirepass", ODD)
    redis.password = ODD
    return redis


WAYS = {
    # userinfo, password file, environment: works
    "no password": ("", None, None, False),
    "password in the URL": (f":{CODED}@", None, None, True),
    "default user": (f"default:{CODED}@", None, None, True),
    "ACL user": (f"app%3A1:{CODED}@", None, None, True),
    "lower-case escapes": (f":{CODED.lower()}@", None, None, True),
    "wrong in the URL": (":wrong@", None, None, False),
    "file": ("", ODD, None, True),
    "file with a newline": ("", ODD + "\n", None, True),
    "file for the user of the URL": ("app%3A1@", ODD, None, True),
    "wrong file": ("", "wrong", None, False),
    "environment": ("", None, ODD, True),
    "environment for the user": ("app%3A1@", None, ODD, True),
    "wrong environment": ("", None, "wrong", False),
    "the URL before the file": (f":{CODED}@", "wrong", "wrong", True),
    "wrong URL before the file": (":wrong@", ODD, ODD, False),
    "the file before the environment": ("", ODD, "wrong", True),
    "wrong file before the environment": ("", "wrong", ODD, False),
}


@pytest.mark.parametrize("name", WAYS)
def test_password(ask, locked, tmp_path, name):
    user, file, environment, works = WAYS[name]
    options = ["--lookup-timeout", "500ms"]
    if file is not None:
        (tmp_path / "password").write_text(file)
        options += ["--redis-password-file", str(tmp_path / "password")]
    env = {} if environment is None else {"REDIS_PASSWORD": environment}
    agent = ask.start(f"redis://{user}127.0.0.1:{locked.port}",
                      options=options, env=env)
    if works:
        comes(ask, "a.example", T)
    else:
        assert ask("a.example").status == "unavailable"
        until(lambda: any(word in agent.log() for word in
                          ("NOAUTH", "WRONGPASS")), "a log line")
        assert ask("a.example").status == "unavailable"
    for secret in (ODD, CODED, "wrong@"):
        assert secret not in agent.log()


def test_password_changed_back(ask, locked):
    """WRONGPASS is no reason to give up."""
    locked.cmd("CONFIG", "SET", "requirepass", "other")
    locked.password = "other"
    ask.start(f"redis://:{CODED}@127.0.0.1:{locked.port}")
    assert ask("a.example").status == "unavailable"
    locked.cmd("CONFIG", "SET", "requirepass", ODD)
    locked.password = ODD
    comes(ask, "a.example", T, 10)


def test_password_for_a_server_without_one(ask, redis):
    """Redis answers AUTH with an error then: as good as a wrong password."""
    redis.cmd("HSET", "routes", "a.example", T)
    ask.start(f"redis://:secret@127.0.0.1:{redis.port}")
    assert ask("a.example").status in ("ok", "unavailable")
    until(lambda: "AUTH" in ask.agent.log() or ask("a.example").status == "ok",
          "a log line")
    assert "secret" not in ask.agent.log()


@pytest.mark.parametrize("url, database", [
    ("redis://127.0.0.1:{port}", 0), ("redis://127.0.0.1:{port}/", 0),
    ("redis://127.0.0.1:{port}/0", 0), ("redis://127.0.0.1:{port}/5", 5),
    ("redis://localhost:{port}/15", 15), ("unix:{socket}", 0),
    ("unix:{socket}?db=0", 0), ("unix:{socket}?db=7", 7)])
def test_urls(ask, redis, url, database):
    redis.cmd("HSET", "routes", "a.example", "10.0.1.99:1")
    redis.cmd("-n", str(database), "HSET", "routes", "a.example",
              f"10.0.0.{database + 1}:80")
    ask.start(url.format(port=redis.port, socket=redis.socket))
    comes(ask, "a.example", f"10.0.0.{database + 1}:80")


def test_database_is_selected_again(ask, redis):
    """Each new connection, or a restart would change the map."""
    redis.cmd("HSET", "routes", "a.example", T)
    redis.cmd("-n", "3", "HSET", "routes", "a.example", U)
    ask.start(f"{redis.url}/3", options=("--ttl", "0"))
    for _ in range(5):
        comes(ask, "a.example", U)
        redis.cmd("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert ask("a.example").target in (U, None)


def test_database_out_of_range(ask, redis, second):
    ask.start(f"redis://127.0.0.1:{redis.port}/99", second.url)
    comes(ask, "a.example", U)
    assert "DB index" in ask.agent.log()


def test_auth_and_select_come_first(ask, fake):
    ask.start(f"redis://me:pw@127.0.0.1:{fake.port}/4")
    comes(ask, "a.example", T)
    words = [w for w in fake.commands if w[0] in ("AUTH", "SELECT", "HMGET")]
    assert words[:2] == [["AUTH", "me", "pw"], ["SELECT", "4"]]
    assert words[2][:2] == ["HMGET", "routes"]


@pytest.mark.parametrize("lines", [
    ["127.0.0.1 redis.test"], ["::1 redis.test", "127.0.0.1 redis.test"],
    ["127.0.0.9 redis.test", "127.0.0.1 redis.test"]])
def test_names(ask, fake, hosts_file, lines):
    """Every address of a name is tried."""
    ask.start(f"redis://redis.test:{fake.port}", options=(
        "--lookup-timeout", "1s"), prefix=hosts_file(*lines))
    comes(ask, "a.example", T)


def test_a_silent_address_of_a_name(ask, fake, hosts_file):
    """An address that does not even refuse costs a second, not the name."""
    with socket.socket() as door:
        door.bind(("127.0.0.9", fake.port))
        door.listen(0)
        fill = [socket.socket() for _ in range(4)]
        for one in fill:  # beyond these the kernel drops who comes
            one.setblocking(False)
            one.connect_ex(door.getsockname())
        ask.start(f"redis://redis.test:{fake.port}", prefix=hosts_file(
            "127.0.0.9 redis.test", "127.0.0.1 redis.test"))
        comes(ask, "a.example", T, 10)
        for one in fill:
            one.close()


def test_a_silent_name_server(ask, second, hosts_file):
    """It is said to be one, in lines like all others."""
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.12.10.53", 53))
        ask.start("redis://redis.test:6379", second.url, prefix=hosts_file(
            resolver="nameserver 127.12.10.53\noptions timeout:1 attempts:1\n"),
            options=("--log-format", "json"))
        comes(ask, "a.example", U, 15)
        until(lambda: "ameserver" in ask.agent.log(), "word of it", 15)
    lines = [json.loads(line) for line in ask.agent.log().splitlines()]
    assert "cannot resolve the name" in next(
        line["error"] for line in lines if "redis.test" in line.get(
            "server", ""))


def test_unknown_name(ask, second):
    """A name that does not exist is a server that cannot be reached."""
    start = time.monotonic()
    ask.start("redis://nowhere.invalid:6379", second.url)
    assert ask("b..d").status == "bad_host"
    assert time.monotonic() - start < 1, "resolving blocks"
    comes(ask, "a.example", U, 10)
    assert "nowhere.invalid" in ask.agent.log()


# -- several servers --------------------------------------------------------


def test_the_first_serves(ask, fake, second):
    ask.start(fake.url, second.url, options=("--ttl", "0",
                                             "--lookup-timeout", "5s"))
    for _ in range(20):
        assert ask("a.example").target == T
    assert not second.lookups


@pytest.mark.parametrize("fall", ["close", "reset", "freeze", "black hole",
                                  "LOADING", "garbage"])
def test_failover_and_take_back(ask, fake, second, fall):
    with Relay(fake.where) as relay:
        ask.start(relay.url, second.url, options=BRIEF)
        comes(ask, "a.example", T)
        if fall == "close":
            relay.close()
        elif fall == "reset":
            fake.on("HMGET", RESET)
        elif fall == "freeze":
            fake.gate.clear()
        elif fall == "black hole":
            relay.hole = True
        elif fall == "LOADING":
            fake.on("HMGET", b"-LOADING x\r\n")
        elif fall == "garbage":
            fake.on("HMGET", b"HTTP/1.1 400\r\n")
        comes(ask, "a.example", U, 5)
        if fall == "close":
            relay.open()
        relay.hole = False
        fake.forget("HMGET")
        fake.gate.set()
        comes(ask, "a.example", T, 15)


def test_three_servers(ask, fake, second):
    with FakeRedis({"a.example": V}) as third:
        ask.start(fake.url, second.url, third.url, options=BRIEF)
        comes(ask, "a.example", T)
        fake.close()
        comes(ask, "a.example", U)
        second.close()
        comes(ask, "a.example", V)
        third.close()
        until(lambda: ask("a.example").source == "stale", "stale")
        third.open()
        comes(ask, "a.example", V, 10)
        second.open()
        comes(ask, "a.example", U, 15)
        fake.open()
        comes(ask, "a.example", T, 15)


@pytest.mark.parametrize("ill", [["HMGET", "PING", "SELECT"], ["HMGET"]])
def test_a_healthy_backup_is_kept_while_the_first_is_ill(ask, fake, second,
                                                         ill):
    """Trying the first again costs the requests nothing."""
    for command in ill:
        fake.on(command, b"-LOADING x\r\n")
    ask.start(fake.url, second.url, options=("--ttl", "0", "--lookup-timeout",
                                             "500ms", "--stale", "0"))
    comes(ask, "a.example", U)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        assert ask("a.example").target == U
        time.sleep(0.01)


def test_servers_that_lose_each_link_are_spaced(ask, fake, second):
    """Two that let us in and then hang up are not hammered in turn."""
    for one in (fake, second):
        one.on("HMGET", lambda words, one=one: [one.honest(words), 0.002,
                                                CLOSE])
    ask.start(fake.url, second.url)
    time.sleep(2)
    assert fake.accepted + second.accepted < 60
    assert ask.agent.log().count("\n") < 120
    for one in (fake, second):
        one.forget("HMGET")
    until(lambda: ask("a.example").target in (T, U), "an answer")


def test_each_server_that_fails_is_logged(ask, fake, second):
    """With its own reason, also while another one serves."""
    def failure(server, reason):
        return any("redis cannot be used" in line and reason in line
                   and f"127.0.0.1:{server.port}/" in line
                   for line in ask.agent.log().splitlines())
    fake.on("HMGET", b"-LOADING x\r\n")
    second.on("HMGET", b"-NOAUTH x\r\n")
    ask.start(fake.url, second.url, options=BRIEF)
    until(lambda: failure(fake, "LOADING"), "word of the first")
    until(lambda: failure(second, "NOAUTH"), "word of the second")
    fake.forget("HMGET")
    comes(ask, "a.example", T, 10)
    second.forget("HMGET")
    fake.shut()
    fake.drop()
    comes(ask, "a.example", U)
    until(lambda: failure(fake, "Connection refused"), "word of the first", 15)


def test_a_late_second_does_not_replace_the_first(ask, fake, second):
    """It was tried while the third served, which the first has replaced."""
    fake.close()
    second.on("HMGET", lambda words: [0.5, second.honest(words)])
    with FakeRedis({"a.example": V}) as third:
        second.shut()
        ask.start(fake.url, second.url, third.url, options=BRIEF)
        comes(ask, "a.example", V)
        second.open()
        until(lambda: second.named("HMGET"), "a try of the second", 10)
        fake.open()
        third.close()
        comes(ask, "a.example", T)
        time.sleep(0.8)
        assert ask.agent.log().count("role=backup") == 1
        assert ask("a.example").target == T


def test_first_unreachable_at_start(ask, second):
    ask.start("redis://127.0.0.1:1", second.url)
    comes(ask, "a.example", U, 2)


def test_requests_in_flight_are_saved_by_the_next_server(ask, fake, second):
    """Asked again once, on the next link."""
    ask.start(fake.url, second.url, options=("--lookup-timeout", "2s"))
    comes(ask, "a.example", T)
    fake.gate.clear()
    ask.peer.send(question("x.wild.example", 900))
    until(lambda: len(fake.lookups) == 2, "the question")
    fake.close()
    ack = ask.peer.frame()
    assert (ack.stream, ack.answer().target) == (900, U)
    fake.gate.set()


def test_state_is_logged(ask, redis):
    """An operator sees when Redis went and when it came back, without a
    line for each try."""
    ask.start(redis.url)
    ask("a.example")
    before = ask.agent.log().count("\n")
    redis.stop(signal.SIGKILL)
    end = time.monotonic() + 2
    while time.monotonic() < end:
        ask("b.example")
        time.sleep(0.01)
    redis.start()
    until(lambda: ask("a.example").status == "not_found", "Redis again")
    assert 2 <= ask.agent.log().count("\n") - before <= 12


@pytest.mark.parametrize("format_", ["text", "json"])
def test_log_lines_are_whole(ask, fake, format_):
    fake.on("HMGET", b'-ERR "quoted" \x1b[31m \xff = back\\slash\r\n')
    ask.start(fake.url, options=("--log-format", format_, "--log-level",
                                 "debug"))
    ask("a.example")
    until(lambda: "quoted" in ask.agent.log(), "a log line")
    for line in ask.agent.log().splitlines():
        assert line.isprintable()
        if format_ == "json":
            assert {"ts", "level", "msg"} <= set(json.loads(line))
        else:
            assert line.startswith("ts=") and " level=" in line
