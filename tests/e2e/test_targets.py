# SPDX-License-Identifier: MIT
"""Routes with several targets: who serves, in which share, and who is next."""

import ipaddress
import subprocess
from collections import Counter
from itertools import count

import pytest

from resp import until
from spop import Peer, address, text

HOST = "app.example"


@pytest.fixture
def route(redis, ask):
    """route(value): what the agent says from now on; route.ask(n, ...)."""
    ask.start(redis.url, options=("--lookup-timeout", "2s"))
    ports = count(1)

    def put(value, host=HOST):
        """What was heard of the marker was heard of the host as well."""
        port = next(ports)
        redis.cmd("HSET", "routes", host, value, "marker.example",
                  f"10.0.0.1:{port}")
        until(lambda: ask("marker.example").port == port)

    def many(number, clients=None, host=HOST):
        found = []
        for i in range(0, number, 500):
            part = clients and clients[i:i + 500]
            found += ask.peer.ask_all([host] * min(500, number - i), part)
        return found
    put.ask, put.redis, put.agent = many, redis, ask.agent
    return put


def shares(answers):
    assert {answer.status for answer in answers} == {"ok"}
    return Counter(answer.target for answer in answers)


def test_shares_follow_weights(route):
    route("10.0.0.1:80 weight 3, 10.0.0.2:80")
    found = shares(route.ask(4000))
    assert set(found) == {"10.0.0.1:80", "10.0.0.2:80"}
    assert abs(found["10.0.0.1:80"] - 3000) <= 60


def test_turns_go_on_although_redis_changes(route):
    """Each HSET of something else has the route read again, unchanged."""
    route("10.0.0.1:80, 10.0.0.2:80")
    turns = []
    for i in range(20):
        turns.append(route.ask(1)[0].target)
        route("10.0.0.9:80", host=f"other{i}.example")
    assert turns == ["10.0.0.1:80", "10.0.0.2:80"] * 10


def test_drained_target_gets_nothing(route):
    route("10.0.0.1:80 weight 0, 10.0.0.2:80, [2001:db8::1]:81")
    answers = route.ask(100)
    assert shares(answers) == {"10.0.0.2:80": 50, "2001:db8::1:81": 50}
    assert all(answer.second and answer.second != answer.target
               for answer in answers)
    assert "10.0.0.1:80" not in {answer.second for answer in answers}


def test_backup_is_the_second_choice_only(route):
    route("10.0.0.1:80, 10.0.0.2:80 backup, 10.0.0.3:80 backup")
    assert {(answer.target, answer.second) for answer in route.ask(100)} == {
        ("10.0.0.1:80", "10.0.0.2:80")}


def test_one_target_has_no_second(route):
    route("10.0.0.1:80")
    assert "ip2" not in route.ask(1)[0] and "port2" not in route.ask(1)[0]


def test_order_of_the_variables(route):
    route("10.0.0.1:80, 10.0.0.2:81; backend slow")
    assert list(route.ask(1)[0]) == ["status", "ip", "port", "ip2", "port2",
                                     "source", "backend", "route"]


def test_first_in_order(route):
    route("10.0.0.2:80, 10.0.0.1:80; balance first")
    assert {(answer.target, answer.second) for answer in route.ask(100)} == {
        ("10.0.0.2:80", "10.0.0.1:80")}


CLIENTS = [address(str(ipaddress.ip_address("10.20.0.0") + i))
           for i in range(3000)]
TEN = [f"10.0.0.{i}:80" for i in range(1, 11)]


def source(targets):
    return ", ".join(targets) + "; balance source"


def moved(before, after):
    return sum(a.target != b.target for a, b in zip(before, after))


def test_a_client_stays(route):
    route(source(TEN))
    before = route.ask(3000, CLIENTS)
    assert min(shares(before).values()) > 200
    assert moved(before, route.ask(3000, CLIENTS)) == 0
    for i in range(3):
        route("10.0.0.9:80", host=f"other{i}.example")
    assert moved(before, route.ask(3000, CLIENTS)) == 0
    route(source(TEN[::-1]))
    assert moved(before, route.ask(3000, CLIENTS)) == 0


@pytest.mark.parametrize("after", [
    TEN[:4] + TEN[5:], [*TEN, "10.0.0.11:80"],
    TEN[:4] + [TEN[4] + " weight 0"] + TEN[5:]],
    ids=["gone", "come", "drained"])
def test_a_tenth_moves(route, after):
    route(source(TEN))
    before = route.ask(3000, CLIENTS)
    route(source(after))
    now = route.ask(3000, CLIENTS)
    assert 200 < moved(before, now) < 400
    if TEN[4] not in after:  # only those whose target is gone
        assert moved(before, now) == shares(before)[TEN[4]]


def test_a_client_stays_after_a_restart(route):
    """And so it does with several agents: the hash has no secret."""
    route(source(TEN))
    before = route.ask(200, CLIENTS[:200])
    route.agent.stop()
    route.agent.start()
    with Peer(route.agent.where) as peer:
        after = peer.ask_all([HOST] * 200, CLIENTS[:200])
    assert moved(before, after) == 0


def test_a_client_may_be_a_string(route):
    route(source(TEN))
    words = [text(f"user-{i % 50}") for i in range(500)]
    found = {}
    for word, answer in zip(words, route.ask(500, words)):
        assert found.setdefault(word, answer.target) == answer.target
    assert len(set(found.values())) > 5


def test_source_without_client_goes_in_turn(route):
    route(source(TEN))
    assert set(shares(route.ask(100)).values()) == {10}


# -- which targets a route may name ------------------------------------------

CLOSED = ("--deny-target", "0.0.0.0/0,::/0", "--allow-target",
          "10.0.0.0/8:8000-8999,[fd00::/8]:80")


def judge(redis, ask, value, *options):
    redis.cmd("HSET", "routes", HOST, value)
    ask.start(redis.url, options=("--lookup-timeout", "2s", *options))
    return ask(HOST)


@pytest.mark.parametrize("value, options, rule", [
    ("10.0.0.1:8000", CLOSED, None),
    ("[fd00::1]:80", CLOSED, None),
    ("[::ffff:10.0.0.1]:8999", CLOSED, None),
    ("10.0.0.1:80", CLOSED, "0.0.0.0/0"),
    ("[fd00::1]:8000", CLOSED, "::/0"),
    ("192.168.1.1:8000", CLOSED, "0.0.0.0/0"),
    ("[::ffff:192.168.1.1]:8000", CLOSED, "0.0.0.0/0"),
    ("10.0.0.1:8000, 192.168.1.1:8000", CLOSED, "0.0.0.0/0"),
    ("169.254.1.1:80", (), "link-local"),
    ("169.254.1.1:80", ("--allow-target", "169.254.1.1:80"), None),
    ("169.254.1.1:81", ("--allow-target", "169.254.1.1:80"), "link-local"),
    ("10.0.0.1:80", ("--deny-target", "10.0.0.0/8",
                     "--deny-target", "192.168.0.0/16:22"), "10.0.0.0/8"),
    ("192.168.9.9:22", ("--deny-target", "10.0.0.0/8",
                        "--deny-target", "192.168.0.0/16:22"),
     "192.168.0.0/16:22"),
    ("192.168.9.9:80", ("--deny-target", "10.0.0.0/8",
                        "--deny-target", "192.168.0.0/16:22"), None)])
def test_guard(redis, ask, value, options, rule):
    answer = judge(redis, ask, value, *options)
    if rule:
        assert answer.status == "bad_route" and not answer.ip
        assert f"rule={rule}\n" in ask.agent.log()
    else:
        assert answer.status == "ok" and "rule=" not in ask.agent.log()


@pytest.mark.parametrize("option", ["allow-target", "deny-target"])
@pytest.mark.parametrize("text_", ["10.0.0.0/33", "a.example", "10.0.0.1:0",
                                   "[::1", "10.0.0.0/8,"])
def test_bad_rule_is_refused(agent_binary, option, text_):
    done = subprocess.run([agent_binary, f"--{option}", text_, "--check"],
                          capture_output=True, text=True, timeout=10)
    assert done.returncode == 1
    assert done.stderr.startswith(f"spoa-router: --{option}: ")
    assert done.stderr.count("\n") == 1
