# SPDX-License-Identifier: MIT
"""What becomes of a Host: normalised, matched to fields, or bad_host."""

import pytest

from resp import FakeRedis, array, bulk, until
from spop import Peer

L253 = ".".join(["a" * 63] * 3 + ["b" * 61])
assert len(L253) == 253

# sent by the client -> the field that is asked for
GOOD = {
    "a.example": "a.example",
    "A.Example": "a.example",
    "A.EXAMPLE:8080": "a.example",
    "a.example:": "a.example",
    "a.example:0": "a.example",
    "a.example:00000": "a.example",
    "a.example:99999": "a.example",
    "a.example.": "a.example",
    "A.example.:80": "a.example",
    "a.example.:": "a.example",
    "localhost": "localhost",
    "x": "x",
    "X.": "x",
    "-": "-",
    "-a-.-b-": "-a-.-b-",
    "_dmarc._a_.example": "_dmarc._a_.example",
    "xn--bcher-kva.example": "xn--bcher-kva.example",
    "0": "0",
    "0x7f.1": "0x7f.1",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ.0123456789":
        "abcdefghijklmnopqrstuvwxyz.0123456789",
    "1.2.3.4": "1.2.3.4",
    "1.2.3.4:80": "1.2.3.4",
    "1.2.3.4.": "1.2.3.4",
    "[::1]": "[::1]",
    "[::1]:80": "[::1]",
    "[::1]:": "[::1]",
    "[::1].": "[::1]",
    "[::1].:443": "[::1]",
    "[::]": "[::]",
    "[2001:DB8::A]:8080": "[2001:db8::a]",
    "[2001:db8:0:0:0:0:0:1]": "[2001:db8:0:0:0:0:0:1]",
    "[::FFFF:1.2.3.4]": "[::ffff:1.2.3.4]",
    "a" * 64: "a" * 64,
    "a" * 252: "a" * 252,
    "a" * 253: "a" * 253,
    L253: L253,
    L253.upper(): L253,
    L253 + ".": L253,
    L253 + ":65535": L253,
    L253 + ".:65535": L253,
}

BAD = [
    "", ".", "..", "...", ":", ":80", ".:80", "..:80",
    ".a", "a..", "a..b", "a.example..", "..a", ".a.example.",
    "*", "*.a.example", "*.", "*:80", "a.*", "a.*.b",
    " ", " a", "a ", "a b", "a\t", "a\r", "a\n", "a.example\r\n", "a\v",
    "\0", "a\0", "\0a", "a\0b", "a.example\0.evil.example", "a\x01", "a\x7f",
    "a,b", "a.example,b.example", "a;b", "a/b", "a\\b", "a@b", "a:b@c",
    "a?b", "a#b", "a&b", "a=b", "a+b", "a'b", 'a"b', "a`b", "a(b)", "a|b",
    "a$b", "a!b", "a~b", "a^b", "a{b}", "a<b>", "a%20b", "http://a.example",
    "\u00e9.example", "b\u00fccher.example", "a\u3002example", "a\uff0eb",
    "A\u0130.example", b"\xe9.example", b"\xff", b"\x80", b"a\xc0\xae",
    "a.example:123456", "a.example:000080", "a.example:-1", "a.example:+1",
    "a.example:x", "a.example:8o", "a.example: 80", "a.example:80 ",
    "a.example:80.", "a.example:0x50", "a.example:80:80", "a.example::80",
    "a.example:\uff18\uff10", "a.example:80\0", b"a.example:\xb2",
    "::1", "::", "2001:db8::1", "::1:80", "1:2:3:4:5:6:7:8",
    "[", "]", "[]", "[]:80", "[::1", "::1]", "[::1]80", "[::1]a", "[::1]]",
    "[[::1]]", "[::1]:123456", "[::1]:x", "[::1]..", "[::1].a", "a.[::1]",
    "[::1 ]", "[ ::1]", "[::1]:80:80", "[::g]", "[:::1]", "[::1%eth0]",
    "[::1%25eth0]", "[1.2.3.4]", "[a.example]", "[1::2::3]", "[12345::]",
    "[1:2:3:4:5:6:7]", "[1:2:3:4:5:6:7:8:9]", "[::1.2.3]", "[::256.1.1.1]",
    "[*]", "[::1\0]", "[v1.a]",
    "a" * 254, "a" * 255, "a" * 256, "a" * 300, "a" * 254 + ":80",
    "x" + L253, L253 + "a", L253 + "..", "a." * 127 + "aa", "." * 253,
    "1" * 15000, "a" * 254 + ".", "[" + "0" * 300 + "::1]", ":" * 300,
    "a:" + "0" * 300,
]


@pytest.fixture(scope="module")
def every_host(start_agent):
    """Each field that is asked for first has a route; nothing is kept."""
    with FakeRedis() as fake:
        fake.on("HMGET", lambda words: [array(
            bulk("10.0.0.1:80"), *[bulk(None)] * len(words[3:]))])
        agent = start_agent("--redis", fake.url, "--ttl", "0",
                            "--negative-ttl", "0", "--lookup-timeout", "2s")
        with Peer(agent.where) as peer:
            yield fake, peer


@pytest.mark.parametrize("host", GOOD, ids=lambda h: ascii(h)[:40])
def test_host(every_host, host):
    fake, peer = every_host
    fake.lookups.clear()
    answer = peer.ask(host)
    assert (answer.status, answer.route) == ("ok", GOOD[host])
    assert [fields[0] for fields in fake.lookups] == [GOOD[host]]


@pytest.mark.parametrize("host", BAD, ids=lambda h: ascii(h)[:40])
def test_bad_host(every_host, host):
    """Redis is not asked, and the connection goes on."""
    fake, peer = every_host
    fake.lookups.clear()
    assert peer.ask(host) == {"status": "bad_host", "source": "none"}
    assert not fake.lookups
    assert peer.ask("a.example").status == "ok"


@pytest.mark.parametrize("byte", range(256))
def test_every_byte_inside_a_host(every_host, byte):
    _, peer = every_host
    good = chr(byte) in ("abcdefghijklmnopqrstuvwxyz0123456789-_."
                         "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    answer = peer.ask(b"a" + bytes([byte]) + b"b")
    assert answer.status == ("ok" if good else "bad_host")


# -- the order of match -----------------------------------------------------


def wildcards(host):
    labels = host.split(".")
    return ["*." + ".".join(labels[i:]) for i in range(1, len(labels))]


def candidates(host):
    """DESIGN: exact, the four longest, the four shortest, the default."""
    found = wildcards(host)
    return [host] + (found if len(found) <= 8 else found[:4] + found[-4:]) + [
        "*"]


DEEP = [".".join("abcdefghijklmnopqrstuvwxyz"[:n]) for n in range(1, 14)]
DEEP.append(".".join(["a"] * 127))
DEEP.append(".".join(str(n % 10) for n in range(127)))


@pytest.mark.parametrize("host", DEEP, ids=lambda h: f"{h.count('.') + 1}")
def test_candidates(every_host, host):
    """One HMGET asks for at most ten fields, in order of match."""
    fake, peer = every_host
    fake.lookups.clear()
    assert peer.ask(host).route == host
    asked, = fake.lookups
    want = list(dict.fromkeys(candidates(host)))
    assert list(dict.fromkeys(asked)) == want and len(want) <= 10


@pytest.mark.parametrize("literal", ["1.2.3.4", "[::1]", "[2001:db8::1]",
                                     "[::ffff:1.2.3.4]", "255.255.255.255"])
def test_candidates_of_ip_literals(every_host, literal):
    """An address has no parent: exact or default."""
    fake, peer = every_host
    fake.lookups.clear()
    assert peer.ask(literal).route == literal
    assert fake.lookups == [[literal, "*"]]


@pytest.mark.parametrize("almost", ["1.2.3.256", "1.2.3", "1.2.3.4.5",
                                    "1.2.3.a"])
def test_almost_an_address_has_parents(every_host, almost):
    fake, peer = every_host
    fake.lookups.clear()
    peer.ask(almost)
    assert fake.lookups == [candidates(almost)]


ORDER = ["w.x.y.z", "*.x.y.z", "*.y.z", "*.z", "*"]
MATCH = [
    # fields that exist, host, the one that matches
    (ORDER, "w.x.y.z", "w.x.y.z"),
    (ORDER[1:], "w.x.y.z", "*.x.y.z"),
    (ORDER[2:], "w.x.y.z", "*.y.z"),
    (ORDER[3:], "w.x.y.z", "*.z"),
    (ORDER[4:], "w.x.y.z", "*"),
    (ORDER[:4], "z", None),  # a wildcard needs a label before its suffix
    (ORDER, "x.y.z", "*.y.z"),
    (ORDER, "y.z", "*.z"),
    (ORDER, "z", "*"),
    (ORDER, "a.b.c.x.y.z", "*.x.y.z"),
    (ORDER, "wx.y.z", "*.y.z"),
    (ORDER[:4], "w.x.y.zz", None),
    (["z", "y.z"], "x.y.z", None),  # no match without a star
    (["*.4", "*.3.4", "*.2.3.4"], "1.2.3.4", None),
    (["*.4", "*"], "1.2.3.4", "*"),
    (["*"], "[::1]", "*"),
    (["[::1]", "*"], "[::1]:80", "[::1]"),
    (["[::1]"], "[::2]", None),
    (["W.x", "w.x."], "w.x", None),  # fields are not normalised
    (["*.b.c.d.e.f.g.h.i"], "a.b.c.d.e.f.g.h.i", "*.b.c.d.e.f.g.h.i"),
    (["*.f.g.h.i"], "a.b.c.d.e.f.g.h.i", "*.f.g.h.i"),
    (["*.f.g.h.i.j"], "a.b.c.d.e.f.g.h.i.j", None),  # the fifth of nine
    (["*.e.f.g.h.i.j"], "a.b.c.d.e.f.g.h.i.j", "*.e.f.g.h.i.j"),
    (["*.g.h.i.j"], "a.b.c.d.e.f.g.h.i.j", "*.g.h.i.j"),
]


@pytest.mark.parametrize("fields, host, match", MATCH)
def test_order_of_match(start_agent, fields, host, match, redis):
    redis.cmd("DEL", "routes")
    for port, field in enumerate(fields, 1):
        redis.cmd("HSET", "routes", field, f"10.0.0.1:{port}")
    agent = start_agent("--redis", redis.url, "--lookup-timeout", "2s")
    with Peer(agent.where) as peer:
        def is_known():
            answer = peer.ask(host)
            if match is None:
                assert answer.status == "not_found"
            else:
                assert answer.route == match
                assert answer.port == fields.index(match) + 1
            return answer.source == "cache"
        assert not is_known()
        # at once, unless Redis began to tell of changes only after it
        until(is_known, "an answer of the cache")


def test_a_bad_value_does_not_fall_through(every_host):
    fake, peer = every_host
    fake.on("HMGET", lambda words: [array(
        bulk("nonsense"), *[bulk("10.0.0.1:80")] * len(words[3:]))])
    answer = peer.ask("a.example")
    fake.on("HMGET", lambda words: [array(
        bulk("10.0.0.1:80"), *[bulk(None)] * len(words[3:]))])
    assert (answer.status, answer.route) == ("bad_route", "a.example")
    assert not answer.ip and not answer.port
