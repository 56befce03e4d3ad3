# SPDX-License-Identifier: MIT
"""The protocol towards HAProxy: any bytes get an answer or a DISCONNECT."""

import http.client
import os
import random
import select
import struct
import time

import pytest

import spop
from resp import FakeRedis, until
from spop import (FALSE, FIN, NULL, TRUE, Peer, address, binary, disconnect,
                  frame, hello, integer, message, notify, pairs, question,
                  route, string, text, varint)

HUGE = [2**64 - 1, 2**64 - 16, 2**63, 2**32, 2**31 - 1]


@pytest.fixture(scope="module")
def shared(start_agent):
    """One agent for the module: a test that hurts it fails the others."""
    long = "l" * 220
    with FakeRedis({"a.example": "10.0.0.1:80", "v6.example": "[::1]:8080",
                    "api.example": "10.0.0.2:80;backend api",
                    "bad.example": "nonsense", long: "10.0.0.3:80"}) as fake:
        yield start_agent("--redis", fake.url, "--ttl", "1h",
                          "--negative-ttl", "1h", "--lookup-timeout", "2s")


@pytest.fixture
def peer(shared):
    with Peer(shared.where) as found:
        yield found


def raw(shared, data, **more):
    """A connection without HELLO that has sent data."""
    return Peer(shared.where, greet=False, **more).send(data)


# -- HELLO ------------------------------------------------------------------

MIB = 1 << 20
GOOD = {
    "as HAProxy": (hello(), 16380),
    "engine id": (hello(engine_id=text("0a1b2c")), 16380),
    "smallest": (hello(max_frame_size=integer(256)), 256),
    "1 MiB": (hello(max_frame_size=integer(MIB)), MIB),
    "over 1 MiB": (hello(max_frame_size=integer(MIB + 1)), MIB),
    "32 bits": (hello(max_frame_size=integer(2**32 - 1)), MIB),
    "no capability": (hello(capabilities=text("")), 16380),
    "other capabilities": (hello(capabilities=text("fragmentation,x")), 16380),
    "two versions": (hello(supported_versions=text("1.0,2.0")), 16380),
    "version first": (hello(supported_versions=text("2.0,3.1")), 16380),
    "spaced versions": (hello(supported_versions=text(" 1.0 , 2.0 ")), 16380),
    "not a check": (hello(healthcheck=FALSE), 16380),
    "ABORT set": (frame(spop.HELLO, pairs(spop.HELLO_KEYS.items()), flags=3),
                  16380),
    "reversed": (frame(spop.HELLO,
                       pairs(reversed(spop.HELLO_KEYS.items()))), 16380),
    "unknown keys": (hello(version=text("9"), max_frame=NULL, healthy=TRUE,
                           a=address("::1"), b=address("1.2.3.4"),
                           c=binary(b"\0" * 300), d=integer(2**64 - 1, 4)),
                     16380),
    "prefixed keys": (hello(max_frame_size_x=integer(1),
                            supported_versions_x=text("1.0"),
                            capabilities_x=NULL, healthcheck_x=TRUE), 16380),
    "first of two": (frame(spop.HELLO, pairs(
        [("max-frame-size", integer(1000)), *spop.HELLO_KEYS.items(),
         ("supported-versions", text("1.0"))])), 1000),
    "after unknown types": (frame(0, b"junk", flags=0) + frame(77) + hello(),
                            16380),
}


@pytest.mark.parametrize("name", GOOD)
def test_hello_is_answered_in_one_write(shared, name):
    sent, size = GOOD[name]
    with raw(shared, sent) as peer:
        first = peer.sock.recv(1 << 16)
        peer.held += first
        answer = peer.frame()
        assert not peer.held and len(first) == 4 + answer.size
        assert answer.kind == spop.AGENT_HELLO
        assert answer.keys() == {"version": "2.0", "max-frame-size": size,
                                 "capabilities": "pipelining"}
        assert peer.ask("a.example").status == "ok"


def test_hello_is_one_write_every_time(shared):
    for _ in range(100):
        with raw(shared, hello()) as peer:
            head, = struct.unpack(">I", (got := peer.sock.recv(999))[:4])
            assert len(got) == 4 + head


def bare(*items):
    return frame(spop.HELLO, pairs(items))


VERSION, FRAME_SIZE, CAPABILITIES = spop.HELLO_KEYS.items()
REFUSED = {
    "no key": (bare(), 5),
    "no version": (hello(supported_versions=None), 5),
    "no version, no size": (bare(CAPABILITIES), 5),
    "no size": (hello(max_frame_size=None), 6),
    "no size, no capabilities": (bare(VERSION), 6),
    "no size, only its prefix": (hello(max_frame_size=None,
                                       max_frame_size_x=integer(999)), 6),
    "no capabilities": (hello(capabilities=None), 7),
    "missing before version": (hello(capabilities=None,
                                     supported_versions=text("1.0")), 7),
    "version 1.0": (hello(supported_versions=text("1.0")), 8),
    "version 3.0": (hello(supported_versions=text("3.0")), 8),
    "version empty": (hello(supported_versions=text("")), 8),
    "version 12.0": (hello(supported_versions=text("12.0")), 8),
    "version 2.01": (hello(supported_versions=text("2.01")), 8),
    "version 2.0x": (hello(supported_versions=text("2.0x,1.0")), 8),
    "version before size": (hello(supported_versions=text("1.0"),
                                  max_frame_size=integer(1)), 8),
    "size 255": (hello(max_frame_size=integer(255)), 9),
    "size 0": (hello(max_frame_size=integer(0)), 9),
    "size of a check": (hello(max_frame_size=integer(255),
                              healthcheck=TRUE), 9),
    "version not a string": (hello(supported_versions=integer(2)), 4),
    "version NULL": (hello(supported_versions=NULL), 4),
    "size a string": (hello(max_frame_size=text("16380")), 4),
    "size NULL": (hello(max_frame_size=NULL), 4),
    "size a boolean": (hello(max_frame_size=TRUE), 4),
    "capabilities NULL": (hello(capabilities=NULL), 4),
    "capabilities binary": (hello(capabilities=binary("pipelining")), 4),
    "healthcheck a string": (hello(healthcheck=text("true")), 4),
    "reserved type": (hello(x=b"\x0a"), 4),
    "reserved type 15": (hello(x=b"\x0f"), 4),
    "key without value": (frame(spop.HELLO, string("supported-versions")), 4),
    "stream id": (frame(spop.HELLO, hello()[11:], stream=1), 4),
    "frame id": (frame(spop.HELLO, hello()[11:], frame=1), 4),
    "no FIN": (frame(spop.HELLO, hello()[11:], flags=0), 10),
    "ABORT without FIN": (frame(spop.HELLO, hello()[11:], flags=2), 10),
    "NOTIFY first": (question("a.example"), 4),
    "text": (b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", 3),
    "TLS": (bytes.fromhex("160301020001 0001fc0303") + bytes(500), 3),
    "2 MiB": (struct.pack(">I", 2 << 20), 3),
    "4 GiB": (b"\xff" * 4, 3),
    **{f"length {n}": (struct.pack(">I", n) + bytes(n), 4) for n in range(7)},
    **{f"key of {n}": (frame(spop.HELLO, varint(n) + b"abc"), 4)
       for n in HUGE},
    **{f"value of {n}": (hello(x=b"\x08" + varint(n) + b"abc"), 4)
       for n in HUGE},
}


@pytest.mark.parametrize("name", REFUSED)
def test_hello_is_refused(shared, name):
    sent, code = REFUSED[name]
    with raw(shared, sent) as peer:
        assert peer.code() == code


def test_hello_cut_anywhere(shared):
    """A frame whose payload ends too early, at every place."""
    payload = pairs(spop.HELLO_KEYS.items())
    missing = {0: 5, len(pairs([VERSION])): 6,
               len(pairs([VERSION, FRAME_SIZE])): 7}
    for cut in range(len(payload)):
        with raw(shared, frame(spop.HELLO, payload[:cut])) as peer:
            assert peer.code() == missing.get(cut, 4), cut


def test_second_hello(peer):
    assert peer.send(hello()).code() == 4


@pytest.mark.parametrize("offer, size", [(16380, 4092), (4092, 4092),
                                         (4091, 4091), (256, 256)])
@pytest.mark.parametrize("more", [b"", question("a.example")])
def test_health_check(shared, offer, size, more):
    """Of 3.1: the answer, then the end, and nothing else."""
    with raw(shared, hello(healthcheck=TRUE, capabilities=text(""),
                           max_frame_size=integer(offer)) + more) as peer:
        answer, = peer.rest()
        assert answer.kind == spop.AGENT_HELLO
        assert answer.keys() == {"version": "2.0", "max-frame-size": size,
                                 "capabilities": "pipelining"}


def test_no_hello(shared):
    """Ten seconds for HELLO, whatever else is said; after it, no limit."""
    idle = Peer(shared.where)
    late = {"nothing": b"", "a byte": b"\0", "half": hello()[:20],
            "other types": frame(0) + frame(99, b"x" * 50)}
    peers = {name: raw(shared, sent, timeout=12)
             for name, sent in late.items()}
    start = time.monotonic()
    dribble = raw(shared, b"", timeout=12)
    for byte in hello()[:27]:  # alive, but never whole
        if select.select([dribble.sock], [], [], 0.4)[0]:
            break
        dribble.send(bytes([byte]))
    for name, peer in {**peers, "dribble": dribble}.items():
        assert peer.code() == 2, name
        assert 8 < time.monotonic() - start < 12.5, name
        peer.close()
    with idle:
        assert idle.ask("a.example").status == "ok"



# -- NOTIFY -----------------------------------------------------------------

TYPES = {"null": NULL, "true": TRUE, "false": FALSE,
         "int32": integer(-1, 2), "uint32": integer(2**32 - 1, 3),
         "int64": integer(-2**63, 4), "uint64": integer(2**64 - 1, 5),
         "ipv4": address("1.2.3.4"), "ipv6": address("2001:db8::1"),
         "binary": binary(b"a.example"), "empty binary": binary(b"")}
OTHER = message("other", ("host", text("other.example")))
OK, BAD = "ok", "bad_host"
NOTIFIES = {
    "plain": (route("a.example"), OK),
    "no message": (b"", BAD),
    "other message": (OTHER, BAD),
    "after another": (OTHER + route("a.example"), OK),
    "before another": (route("a.example") + OTHER, OK),
    "first of two": (route("a.example") + route("*"), OK),
    "second of two": (route(None) + route("a.example"), BAD),
    "message without name": (message("", ("host", text("a.example"))), BAD),
    "message of another case": (message("Route", ("host", text("a"))), BAD),
    "message prefixed": (message("routes", ("host", text("a"))), BAD),
    "message prefix": (message("rout", ("host", text("a"))), BAD),
    "no argument": (message("route"), BAD),
    "argument of another case": (message("route", ("Host", text("a"))), BAD),
    "argument prefixed": (message("route", ("host2", text("a"))), BAD),
    "argument prefix": (message("route", ("hos", text("a"))), BAD),
    "argument without name": (message("route", ("", text("a"))), BAD),
    "first argument of two": (message("route", ("host", text("a.example")),
                                      ("host", text("*"))), OK),
    "second argument of two": (message("route", ("host", NULL),
                                       ("host", text("a.example"))), BAD),
    "flags of a string": (message("route", ("host", b"\xf8" + text(
        "a.example")[1:])), OK),
    "flags of a boolean": (message("route", ("x", b"\xe1"),
                                   ("host", text("a.example"))), OK),
    "255 arguments": (message("route", *[(f"x{i}", integer(i, 4))
                                         for i in range(254)],
                              ("host", text("a.example"))), OK),
    "1000 messages": (message("x", ("y", NULL)) * 999 + route("a.example"), OK),
    **{f"host as {name}": (message("route", ("host", value)), BAD)
       for name, value in TYPES.items()},
    **{f"with {name}": (message("route", ("client", value), ("", value),
                                ("host", text("a.example")), ("z", value)), OK)
       for name, value in TYPES.items()},
}


@pytest.mark.parametrize("name", NOTIFIES)
def test_notify(peer, name):
    payload, status = NOTIFIES[name]
    ack = peer.send(notify(payload, 7, 9)).frame()
    assert ack.ids == (7, 9)
    answer = ack.answer()
    assert answer.status == status
    if status == BAD:
        assert answer == {"status": BAD, "source": "none"}
    assert peer.silent(0.02), "more than one ACK"


@pytest.mark.parametrize("host, names", [
    ("a.example", ["status", "ip", "port", "source", "route"]),
    ("v6.example", ["status", "ip", "port", "source", "route"]),
    ("api.example", ["status", "ip", "port", "source", "backend", "route"]),
    ("none.example", ["status", "source"]),
    ("b..d", ["status", "source"]),
    ("bad.example", ["status", "source", "route"])])
def test_variables(peer, host, names):
    assert list(peer.ask(host)) == names


@pytest.mark.parametrize("host, names", [
    ("a.example", ["status", "ip", "port"]),
    ("api.example", ["status", "ip", "port", "backend"]),
    ("none.example", ["status"]), ("b..d", ["status"]),
    ("bad.example", ["status"])])
def test_brief(peer, host, names):
    """The first time from Redis, then from the cache; the next question is
    answered in full."""
    for _ in range(2):
        asked = notify(message("route", ("host", text(host)),
                               ("brief", b"\x11")), 7, 9)
        assert list(peer.send(asked).frame().answer()) == names
    assert "source" in peer.ask(host)


CUT = message("route", ("client", address("1.2.3.4")),
              ("host", text("a.example")), ("n", integer(2**64 - 1, 5)))
MALFORMED = {
    "reserved type": message("route", ("x", b"\x0a"), ("host", text("a"))),
    "reserved type 15": message("route", ("x", b"\x0f")),
    "reserved host": message("route", ("host", b"\x0c")),
    "too few arguments": string("route") + b"\x02" + string("host") + NULL,
    "no count": string("route"),
    "short ipv4": message("route", ("host", b"\x06\x01\x02\x03")),
    "short ipv6": message("route", ("host", b"\x07" + bytes(15))),
    "junk after": route("a.example") + b"\xff",
    "other message cut": route("a.example") + OTHER[:-1],
    "endless varint": message("route", ("x", b"\x05" + b"\xff" * 40)),
    **{f"name of {n}": varint(n) + b"route" for n in HUGE},
    **{f"argument name of {n}": string("route") + b"\1" + varint(n) + b"host"
       for n in HUGE},
    **{f"host of {n}": message("route", ("host", b"\x08" + varint(n) + b"a"))
       for n in HUGE},
    **{f"binary of {n}": message("x", ("b", b"\x09" + varint(n) + b"a"))
       for n in HUGE},
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_notify(peer, name):
    assert peer.send(notify(MALFORMED[name])).code() == 4


def test_notify_cut_anywhere(shared):
    """Only a cut between messages leaves something to answer."""
    whole = CUT + OTHER
    for cut in range(len(whole)):
        with Peer(shared.where) as peer:
            peer.send(notify(whole[:cut]))
            if cut in (0, len(CUT)):
                assert peer.frame().kind == spop.ACK, cut
            else:
                assert peer.code() == 4, cut


@pytest.mark.parametrize("flags, code", [
    (0, 10), (2, 10), (0xfffffffe, 10), (3, None), (0xffffffff, None)])
def test_notify_flags(peer, flags, code):
    peer.send(notify(route("a.example"), flags=flags))
    if code:
        assert peer.code() == code
    else:
        assert peer.frame().answer().status == "ok"


@pytest.mark.parametrize("ids", [
    b"\xf0\xff", b"\x01\xff", b"\xff" * 12, b"\xff\xff\xff\xff", b"\xf0"])
def test_ids_cut(peer, ids):
    """Ids that end with the frame, or never."""
    body = struct.pack(">BI", spop.NOTIFY, FIN) + ids
    body += b"\xff" * (7 - len(body))
    assert peer.send(struct.pack(">I", len(body)) + body).code() == 4


IDS = [0, 1, 239, 240, 2287, 2288, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1]


def test_ids_are_echoed(peer):
    pairs_ = [(s, f) for s in IDS for f in IDS]
    peer.send(b"".join(question("a.example", *ids) for ids in pairs_))
    assert sorted(ack.ids for ack in peer.frames(len(pairs_))) == pairs_


def test_same_ids_twice_are_two_questions(peer):
    peer.send(question("a.example", 5, 5) + question("v6.example", 5, 5))
    assert {f.answer().port for f in peer.frames(2)} == {80, 8080}
    assert peer.silent(0.05)


def test_same_ids_on_several_connections(shared):
    """Ids belong to a connection (HAProxy 3.1 and later repeat them)."""
    hosts = {"a.example": 80, "v6.example": 8080, "api.example": 80}
    peers = [(Peer(shared.where), host) for host in list(hosts) * 5]
    for peer, host in peers:
        peer.send(question(host, 1, 1))
    for peer, host in peers:
        ack = peer.frame()
        assert (ack.ids, ack.answer().route) == ((1, 1), host)
        assert peer.silent(0.001)
        peer.close()


# -- frames and segments ----------------------------------------------------


@pytest.mark.parametrize("size", [256, 300, 1024, 16380, 1 << 20])
@pytest.mark.parametrize("over", [0, 1])
def test_agreed_size(shared, size, over):
    """A frame of the agreed size is read, one byte more is code 3."""
    with Peer(shared.where, max_frame_size=integer(size)) as peer:
        rest = size + over - len(notify(route("a.example")
                                        + message("x", ("b", binary(b"")))))
        rest += 4  # the length does not count itself
        for fill in range(rest, rest - 10, -1):  # the length's own length
            sent = notify(route("a.example")
                          + message("x", ("b", binary(bytes(fill)))))
            if len(sent) - 4 == size + over:
                break
        peer.send(sent)
        if over:
            assert peer.code() == 3
        else:
            assert peer.frame().answer().status == "ok"


def test_too_large_is_told_from_the_header(peer):
    """Code 3 needs no byte of the body."""
    assert peer.send(struct.pack(">I", 16381)).code() == 3


@pytest.mark.parametrize("length", range(7))
def test_too_short(peer, length):
    assert peer.send(struct.pack(">I", length) + bytes(length)).code() == 4


def test_route_is_left_out_of_a_small_frame(shared):
    host = "l" * 220
    with Peer(shared.where, max_frame_size=integer(256)) as peer:
        ack = peer.send(question(host)).frame()
        assert ack.size <= 256
        assert list(ack.answer()) == ["status", "ip", "port", "source"]
    with Peer(shared.where) as peer:
        assert peer.ask(host).route == host


@pytest.mark.parametrize("kind", [0, 4, 5, 50, 100, 101, 102, 103, 104, 255])
@pytest.mark.parametrize("flags", [0, FIN, 2, 0xffffffff])
def test_unknown_types_are_skipped(peer, kind, flags):
    peer.send(b"".join(frame(kind, junk, ids, ids, flags)
                       for junk in (b"", b"\xff" * 99) for ids in IDS))
    assert peer.ask("a.example").status == "ok"
    assert peer.silent(0.02)


def conversation(seed):
    """HELLO and mixed frames: bytes, and the sorted ACKs that must come."""
    dice = random.Random(seed)
    hosts = ["a.example", "A.Example:80", "v6.example", "b..d", "", None,
             "none.example", "bad.example", "x" * 300]
    sent, ids = [], []
    for i in range(60):
        ids.append((dice.choice(IDS), i))
        sent.append(notify(route(dice.choice(hosts)) + OTHER * dice.choice(
            [0, 1, 5]), *ids[-1]))
        if dice.random() < 0.2:
            sent.append(frame(dice.choice([0, 9, 103]), bytes(dice.randrange(
                900)), flags=dice.choice([0, 1])))
    return b"".join(sent), sorted(ids)


def test_any_split_gives_the_same_answers(shared):
    """Segments of any size; SEED= replays."""
    seed = int(os.environ.get("SEED") or random.randrange(2**32))
    print(f"SEED={seed}")
    stream, ids = conversation(seed)
    with Peer(shared.where) as warm:  # so that every source is the cache
        warm.send(stream).frames(len(ids))
    dice, want = random.Random(seed), None
    for most in (len(stream), 1, 2, 7, 100, 1500, 4000):
        with Peer(shared.where) as peer:
            at = 0
            while at < len(stream):
                step = dice.randrange(most) + 1
                peer.send(stream[at:at + step])
                at += step
            acks = peer.frames(len(ids))
            assert sorted(ack.ids for ack in acks) == ids
            got = {ack.ids: ack.payload for ack in acks}
            want = want or got
            assert got == want
            assert peer.silent(0.02)


def damage(dice, data):
    data = bytearray(data)
    for _ in range(dice.choice([1, 1, 2, 5])):
        at = dice.randrange(len(data))
        data[at:at + dice.choice([0, 1, 1, 4])] = dice.choice([
            b"", b"\0", b"\xff", b"\xf0\xff\xff", dice.randbytes(1),
            dice.randbytes(dice.randrange(30))])
    return bytes(data)


def test_damaged_streams(shared):
    """Whatever comes, what is answered is whole, and an end follows."""
    seed = int(os.environ.get("SEED") or random.randrange(2**32))
    print(f"SEED={seed}")
    dice, codes = random.Random(seed), set()
    for _ in range(400):
        sent = damage(dice, hello() + conversation(seed)[0])
        with raw(shared, sent) as peer:
            found = peer.shut().rest()
            for one in found:
                if one.kind == spop.ACK:
                    one.answer()
            if found and found[-1].kind == spop.AGENT_DISCONNECT:
                codes.add(found[-1].keys()["status-code"])
            assert all(one.kind in (spop.AGENT_HELLO, spop.ACK)
                       for one in found[:-1])
    assert {3, 4} <= codes <= {0, 3, 4, 5, 6, 7, 8, 9, 10}


def test_a_peer_cannot_forge_the_log(shared):
    """Nor with its engine-id, which lines about it show."""
    with raw(shared, hello(engine_id=text(
            'x" level=error\nts=1 level=error msg="forged\x1b[31m'))) as peer:
        assert peer.frame().kind == spop.AGENT_HELLO
        assert peer.send(notify(b"\xff")).code() == 4
    for line in shared.log().splitlines():
        assert line.startswith("ts=2") and line.isprintable()
        assert 'msg="forged' not in line


def test_hello_and_questions_in_one_segment(shared):
    with raw(shared, hello() + b"".join(
            question("a.example", i) for i in range(500))) as peer:
        assert peer.frame().kind == spop.AGENT_HELLO
        assert sorted(f.stream for f in peer.frames(500)) == list(range(500))


def test_hello_byte_by_byte(shared):
    with raw(shared, b"") as peer:
        for byte in hello():
            peer.send(bytes([byte]))
            time.sleep(0.0005)
        assert peer.frame().kind == spop.AGENT_HELLO


def test_pipelined_answers_share_segments(peer):
    """20 answers that are known need far fewer than 20 writes."""
    peer.ask("a.example")
    peer.send(b"".join(question("a.example", i) for i in range(20)))
    reads, got = 0, b""
    while got.count(b"a.example") < 20:
        got += peer.sock.recv(1 << 16)
        reads += 1
    assert reads <= 5


# -- DISCONNECT and the end -------------------------------------------------

DISCONNECTS = {
    "normal": (disconnect(), 0),
    "timeout": (disconnect(2, "a timeout occurred"), 0),
    "after ABORT": (frame(spop.DISCONNECT, disconnect()[11:], flags=3), 0),
    "unknown keys": (frame(spop.DISCONNECT, pairs(
        [("status-code", integer(99)), ("x", NULL), ("message", text(""))])),
        0),
    "no FIN": (frame(spop.DISCONNECT, disconnect()[11:], flags=0), 10),
    "stream id": (frame(spop.DISCONNECT, disconnect()[11:], stream=1), 4),
    "frame id": (frame(spop.DISCONNECT, disconnect()[11:], frame=1), 4),
    "cut": (frame(spop.DISCONNECT, disconnect()[11:-1]), 4),
    "reserved type": (frame(spop.DISCONNECT, pairs([("x", b"\x0e")])), 4),
    "key of 2^64-1": (frame(spop.DISCONNECT, varint(2**64 - 1)), 4),
}


@pytest.mark.parametrize("name", DISCONNECTS)
def test_disconnect(peer, name):
    sent, code = DISCONNECTS[name]
    assert peer.send(sent).code() == code


def test_what_was_asked_before_disconnect_is_answered(peer):
    peer.ask("a.example")
    peer.send(question("a.example", 3) + disconnect()
              + question("a.example", 4))
    assert peer.frame().stream == 3
    assert peer.code() == 0


def test_what_was_asked_before_junk_is_answered(peer):
    peer.ask("a.example")
    peer.send(question("a.example", 3) + notify(b"\xff"))
    assert peer.frame().stream == 3
    assert peer.code() == 4


def test_code_reaches_a_peer_that_goes_on_sending(shared):
    """The agent half-closes first; unread input would make a reset of it."""
    with Peer(shared.where) as peer:
        peer.send(notify(b"\xff") + question("a.example") * 5000)
        assert peer.code() == 4
        with pytest.raises(OSError):  # and does not listen for ever
            for _ in range(400):
                peer.send(question("a.example"))
                time.sleep(0.01)


@pytest.mark.parametrize("last", [b"", b"\0\0", question("a.example")[:30]])
def test_half_closed_peer(shared, last):
    """Answers what was whole, closes, and does not spin."""
    spent = shared.cpu()
    with Peer(shared.where) as peer:
        peer.ask("a.example")
        peer.send(question("a.example", 3) + last).shut()
        kinds = [f.kind for f in peer.rest()]
        assert kinds[:1] == [spop.ACK] and len(kinds) <= 2
    time.sleep(0.3)
    assert shared.cpu() - spent < 0.2


@pytest.mark.parametrize("sent", [b"", hello()[:9], hello(),
                                  hello() + question("a.example") * 50])
def test_resets(shared, sent):
    for _ in range(50):
        raw(shared, sent).reset()
    until(lambda: shared.fds() < 40, "descriptors to be closed")
    with Peer(shared.where) as peer:
        assert peer.ask("a.example").status == "ok"


def test_http_client(shared):
    """Somebody points a browser at the port: an end, not a hang."""
    web = http.client.HTTPConnection(*shared.where, timeout=3)
    start = time.monotonic()
    with pytest.raises((http.client.HTTPException, OSError)):
        web.request("GET", "/")
        web.getresponse()
    assert time.monotonic() - start < 2.5
