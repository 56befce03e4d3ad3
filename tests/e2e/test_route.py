# SPDX-License-Identifier: MIT
"""Values of the hash: the grammar of a route, its guards, and its log."""

import ipaddress
import json
import random
import re

import pytest

from resp import FakeRedis, until
from spop import Peer

T = "10.0.0.1:80"  # a target
GOOD = {
    # value: target, backend
    T: (T, None),
    " 10.0.0.1:80": (T, None),
    "10.0.0.1:80  ": (T, None),
    "   10.0.0.1:80 ": (T, None),
    "10.0.0.1:1": ("10.0.0.1:1", None),
    "10.0.0.1:65535": ("10.0.0.1:65535", None),
    "127.0.0.1:9000": ("127.0.0.1:9000", None),
    "1.2.3.4:80": ("1.2.3.4:80", None),
    "223.255.255.255:80": ("223.255.255.255:80", None),
    "169.253.255.255:80": ("169.253.255.255:80", None),
    "169.255.0.0:80": ("169.255.0.0:80", None),
    "[::1]:80": ("::1:80", None),
    "[2001:db8::1]:65535": ("2001:db8::1:65535", None),
    "[2001:DB8::A]:1": ("2001:db8::a:1", None),
    "[1:2:3:4:5:6:7:8]:80": ("1:2:3:4:5:6:7:8:80", None),
    "[fec0::1]:80": ("fec0::1:80", None),
    "[fe7f::1]:80": ("fe7f::1:80", None),
    "[feff::1]:80": ("feff::1:80", None),
    "10.0.0.1:80 weight 1": (T, None),
    "10.0.0.1:80  weight 256   backup": (T, None),
    "10.0.0.1:80 backup": (T, None),
    "10.0.0.1:80 weight 5 backup": (T, None),
    "10.0.0.1:80 backup weight 5": (T, None),
    "10.0.0.1:80,10.0.0.2:81": (T, None),
    "10.0.0.1:80 , 10.0.0.2:81": (T, None),
    " 10.0.0.1:80  ,  10.0.0.2:81 ": (T, None),
    "10.0.0.2:81 weight 0,10.0.0.1:80": (T, None),
    "10.0.0.2:81 backup,10.0.0.1:80": (T, None),
    "10.0.0.2:81 backup, 10.0.0.3:82 weight 0, 10.0.0.1:80": (T, None),
    "10.0.0.2:81 weight 0, 10.0.0.1:80 backup": (T, None),
    "10.0.0.2:81 backup weight 0, 10.0.0.1:80 backup": (T, None),
    "10.0.0.1:80 backup, 10.0.0.2:81 backup": (T, None),
    "[::1]:80, 10.0.0.1:80": ("::1:80", None),
    "10.0.0.1:80;backend api": (T, "api"),
    "10.0.0.1:80 ; backend api ": (T, "api"),
    "10.0.0.1:80; backend api-1_x.y": (T, "api-1_x.y"),
    "10.0.0.1:80 weight 3,10.0.0.2:81;backend api": (T, "api"),
    "10.0.0.1:80; balance roundrobin": (T, None),
    "10.0.0.1:80; balance source": (T, None),
    "10.0.0.1:80; balance first": (T, None),
    "10.0.0.1:80; check none": (T, None),
    "10.0.0.1:80; check tcp": (T, None),
    "10.0.0.1:80; check http /": (T, None),
    "10.0.0.1:80; check http /health?x=1": (T, None),
    "10.0.0.1:80; balance first check tcp backend x": (T, "x"),
    "10.0.0.1:80;  backend x   balance source  check http /": (T, "x"),
    ",".join(f"10.0.0.{n}:80 weight {99 - n}" for n in range(1, 33)): (T, None),
}

SYNTAX = [
    "", " ", "    ", ";", ",", ":", "nonsense", "0", "null", "\0",
    "10.0.0.1", "10.0.0.1:", "10.0.0.1 :80", "10.0.0.1: 80", ":80",
    "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1:99999999999999999999",
    "10.0.0.1:-1", "10.0.0.1:+80", "10.0.0.1:80x", "10.0.0.1:0x50",
    "10.0.0.1:80:80", "10.0.0.1:80/", "http://10.0.0.1:80", "10.0.0.1;80",
    "10.0.0:80", "10.0.0.0.1:80", "10.0.0.256:80", "10.0.0.01:80", "10..0.1:80",
    "010.0.0.1:80", "10.0.0.1.:80", ".10.0.0.1:80", "0x0a.0.0.1:80",
    "167772161:80", "10.1:80", "10.0.0.-1:80", "1e1.0.0.1:80", "10.0.0.:80",
    "::1:80", "[::1]", "[::1]:", "[::1]80", "[::1:80", "::1]:80", "[]:80",
    "[::g]:80", "[1::2::3]:80", "[10.0.0.1]:80", "[::1%lo]:80", "[[::1]]:80",
    "[1:2:3:4:5:6:7:8:9]:80", "[ ::1]:80", "[12345::]:80", "[:::1]:80",
    "10.0.0.1:80\n", "10.0.0.1:80\t", "\t10.0.0.1:80", "10.0.0.1:80\0",
    "10.0.0.1:80\tweight 1", "10.0.0.1:80\r", "\ufeff10.0.0.1:80",
    "10.0.0.1:80\u00a0", "\uff11.0.0.1:80", '"10.0.0.1:80"',
    "10.0.0.1:80,", ",10.0.0.1:80", "10.0.0.1:80,,10.0.0.2:80",
    "10.0.0.1:80, ,10.0.0.2:80", "10.0.0.1:80 10.0.0.2:80",
    "10.0.0.1:80,nonsense", "10.0.0.1:80,10.0.0.2", "10.0.0.1:80, 1.2.3:80",
    "10.0.0.1:80 weight", "10.0.0.1:80 weight ", "10.0.0.1:80 weight x",
    "10.0.0.1:80 weight 257", "10.0.0.1:80 weight -1", "10.0.0.1:80 weight +1",
    "10.0.0.1:80 weight 1.5", "10.0.0.1:80 weight=1", "10.0.0.1:80 weight1",
    "10.0.0.1:80 weight  1", "10.0.0.1:80;backend  x",
    "10.0.0.1:80 weight 4294967297", "10.0.0.1:80 weight 1 weight 1",
    "10.0.0.1:80 backup backup", "10.0.0.1:80 weight 1 backup weight 2",
    "10.0.0.1:80 Backup", "10.0.0.1:80 WEIGHT 1", "10.0.0.1:80 wieght 1",
    "10.0.0.1:80 disabled", "10.0.0.1:80 backup1", "10.0.0.1:80backup",
    "10.0.0.1:80 weight 1x", "10.0.0.1:80 check", "10.0.0.1:80 maxconn 5",
    "10.0.0.1:80;", "10.0.0.1:80; ", ";backend x", "10.0.0.1:80;;backend x",
    "10.0.0.1:80;backend", "10.0.0.1:80;backend ", "10.0.0.1:80;Backend x",
    "10.0.0.1:80;backend a backend b", "10.0.0.1:80;backend a b",
    "10.0.0.1:80;backend a;balance first", "10.0.0.1:80;backend a,b",
    "10.0.0.1:80;backend a/b", "10.0.0.1:80;backend \u00e9",
    "10.0.0.1:80;balance", "10.0.0.1:80;balance random",
    "10.0.0.1:80;balance First", "10.0.0.1:80;balance first balance first",
    "10.0.0.1:80;check", "10.0.0.1:80;check udp", "10.0.0.1:80;check http",
    "10.0.0.1:80;check http x", "10.0.0.1:80;check tcp check tcp",
    "10.0.0.1:80;check none /", "10.0.0.1:80;check http /a\x01",
    "10.0.0.1:80;weight 1", "10.0.0.1:80;backup", "10.0.0.1:80;x",
    "10.0.0.1:80;backend x,10.0.0.2:80", "10.0.0.1:80;backend=x",
    "a.1:80", "-a:80", "a-:80", "a..b:80", "a/b:80", "a b:80", "x" * 5000, "10.0.0.1:80" + " " * 99 + "x",
]

DENIED = [
    "0.0.0.0", "224.0.0.0", "224.0.0.1", "239.255.255.255", "169.254.0.0",
    "169.254.169.254", "169.254.255.255", "255.255.255.255", "[::]",
    "[0:0:0:0:0:0:0:0]", "[ff00::]", "[ff02::1]", "[ff0e::1]",
    "[FFFF:ffff:ffff:ffff:ffff:ffff:ffff:ffff]", "[fe80::]", "[fe80::1]",
    "[febf:ffff::1]", "[::ffff:0.0.0.0]", "[::ffff:0:0]",
    "[::ffff:224.0.0.1]", "[::ffff:e000:1]", "[::ffff:169.254.169.254]",
    "[::FFFF:a9fe:a9fe]", "[0:0:0:0:0:ffff:a9fe:1]",
    "[::ffff:255.255.255.255]", "[::ffff:ffff:ffff]",
]


@pytest.fixture(scope="module")
def routes(start_agent):
    """Asks what the agent makes of a value."""
    with FakeRedis() as fake:
        agent = start_agent("--redis", fake.url, "--lookup-timeout", "2s")
        with Peer(agent.where) as peer:
            def ask(value):
                host = f"h{len(fake.routes)}.example"
                fake.routes[host] = value
                answer = peer.ask(host)
                if answer.status == "unavailable":  # a name, resolved or not
                    return answer
                assert answer.source == "redis" and answer.route == host
                again = peer.ask(host)
                assert again.status == answer.status
                assert again.source == "cache" and again.route == host
                return answer
            ask.agent, ask.fake, ask.peer = agent, fake, peer
            yield ask


def name(value):
    return ascii(value)[:60]


@pytest.mark.parametrize("value", GOOD, ids=name)
def test_route(routes, value):
    answer = routes(value)
    assert (answer.target, answer.backend) == GOOD[value]


@pytest.mark.parametrize("value", SYNTAX, ids=name)
def test_bad_route(routes, value):
    answer = routes(value)
    assert list(answer) == ["status", "source", "route"]
    assert answer.status == "bad_route"


@pytest.mark.parametrize("address", DENIED)
@pytest.mark.parametrize("value", ["{}:80", "{}:80 weight 3;backend x",
                                   "10.0.0.1:80, {}:80", "{}:80,10.0.0.1:80"])
def test_denied_targets(routes, address, value):
    answer = routes(value.format(address))
    assert answer.status == "bad_route" and answer.ip is None


@pytest.mark.parametrize("value", [
    "[::ffff:10.0.0.1]:80", "[::ffff:a00:1]:80", "[::FFFF:10.0.0.1]:80"])
def test_mapped_address_is_the_same_target(routes, value):
    ip = routes(value).ip
    assert getattr(ip, "ipv4_mapped", None) or ip == ipaddress.ip_address(
        "10.0.0.1")


@pytest.mark.parametrize("value", ["10.0.0.1:80 weight 0",
                                   "10.0.0.1:80 weight 0 backup",
                                   "10.0.0.1:80 weight 0,[::1]:80 weight 0"])
def test_no_usable_target(routes, value):
    """Weight 0 takes no request, also when it is the last one."""
    answer = routes(value)
    assert answer.status in ("down", "bad_route") and answer.ip is None


@pytest.mark.parametrize("seed", range(20))
def test_damaged_values(routes, seed):
    """Any bytes are ok or bad_route, and never more than a target."""
    dice = random.Random(seed)
    for _ in range(30):
        value = bytearray(dice.choice(list(GOOD)), "ascii")
        for _ in range(dice.randrange(1, 4)):
            at = dice.randrange(len(value) + 1)
            value[at:at + dice.randrange(3)] = bytes(dice.choices(
                b"0123456789.:[]; ,abwekup\0\xff", k=dice.randrange(3)))
        assert routes(bytes(value)).status in (
            "ok", "bad_route", "down", "unavailable")


# -- the log ----------------------------------------------------------------

PLACES = [
    # value, the column (from 1) of what is wrong
    ("10.0.0.1:80 wieght 5", 13),
    ("10.0.0.1:80, 10.0.0.2:80 backup Backup", 33),
    ("10.0.0.1:80; balance random", 22),
    ("10.0.0.1:80x", 10),
]


def lines_of(agent, host):
    return [line for line in agent.log().splitlines()
            if re.search(rf'\b{re.escape(host)}\b', line)]


@pytest.mark.parametrize("value, column", PLACES)
def test_bad_route_is_logged(routes, value, column):
    routes(value)
    host = f"h{len(routes.fake.routes) - 1}.example"
    line, = until(lambda: lines_of(routes.agent, host), "a log line")
    assert value in line
    assert f"column={column}" in line


def test_bad_route_is_logged_once_a_minute(start_agent):
    """Once for each value, however often it is asked and read."""
    with FakeRedis({"a.example": "first", "b.example": T}) as fake:
        agent = start_agent("--redis", fake.url, "--ttl", "0",
                            "--lookup-timeout", "2s")
        with Peer(agent.where) as peer:
            for _ in range(20):
                assert peer.ask("a.example").status == "bad_route"
            fake.routes["a.example"] = "second"
            for _ in range(20):
                assert peer.ask("a.example").status == "bad_route"
            assert peer.ask("b.example").status == "ok"
        until(lambda: "second" in agent.log(), "the last line")
        assert len([line for line in lines_of(agent, "a.example")
                    if "first" in line]) == 1
        assert len([line for line in lines_of(agent, "a.example")
                    if "second" in line]) == 1


FORGED = {
    "quote": b'x" level=error msg="forged',
    "line": b"x\nts=1 level=error msg=forged",
    "escape": b"\x1b[31mred",
    "not text": b"\xff\xfe",
    "zeros": b"\0\0",
    "long": b"y" * 4000,
}


@pytest.mark.parametrize("name", FORGED)
@pytest.mark.parametrize("style", ["text", "json"])
def test_a_value_cannot_forge_the_log(start_agent, name, style):
    with FakeRedis({"a.example": FORGED[name]}) as fake:
        agent = start_agent("--redis", fake.url, "--log-format", style,
                            "--lookup-timeout", "2s")
        with Peer(agent.where) as peer:
            assert peer.ask("a.example").status == "bad_route"
        line, = until(lambda: lines_of(agent, "a.example"), "a log line")
        assert line.isprintable() and len(line) < 2000
        if style == "json":
            assert json.loads(line)["level"].startswith("warn")
        else:
            assert line.startswith("ts=")
            assert 'msg="forged' not in line
