# SPDX-License-Identifier: MIT
"""Conversations that nobody would think of, against the real agent.

A Talk draws frames, right and wrong ones, and keeps the book: which ACKs must
come, and how it must end. The bytes arrive whole, in crumbs or in between;
some talks break off anywhere. SPOP_SECONDS=60 takes longer, SEED=1 repeats."""

import os
import random
import select
import struct
import time

import pytest

import spop
from resp import FakeRedis, until
from spop import (ABORT, FIN, NULL, TRUE, Frame, Peer, address, binary,
                  hello, integer, pairs, string, text, varint)

SECONDS = float(os.environ.get("SPOP_SECONDS", 8))
SEED = int(os.environ.get("SEED", time.time()))
ENOUGH = 30  # seconds that an answer may take on a busy machine

ROUTES = {"a.example": "10.0.0.1:80", "*.wild.example": "10.0.0.2:80",
          "bad.example": "nonsense", "l" * 63: "10.0.0.3:80"}
HOSTS = {  # as the design's table has it
    b"a.example": "ok", b"A.Example.": "ok", b"a.example:8080": "ok",
    b"a.example.:": "ok", b"x.wild.example": "ok", b"a.b.WILD.example:1": "ok",
    b"l" * 63: "ok", b"bad.example": "bad_route", b"none.example": "not_found",
    b"wild.example": "not_found", b"[::1]": "not_found",
    b"[::1]:80": "not_found", b"10.0.0.1": "not_found", b"": "bad_host",
    b"*": "bad_host", b"*.wild.example": "bad_host", b"a..b": "bad_host",
    b"a.example:x": "bad_host", b"a.example:123456": "bad_host",
    b"a b": "bad_host", b"a\0b": "bad_host", b"\xff": "bad_host",
    b"a" * 254: "bad_host", b"[::1": "bad_host", b".": "bad_host",
}
ID_LIMITS = [0, 1, 239, 240, 241, 2287, 2288, 2**31, 2**32, 2**63, 2**64 - 1]
OVERLONG = b"\xff" * 10 + b"\x01"  # more than 64 bits


def raw_frame(body):
    return struct.pack(">I", len(body)) + body


class Talk:
    """What is sent, the ACKs that are due, and the code it ends with: None
    when it goes on, -1 when the agent just closes."""

    def __init__(self, rng):
        self.rng = rng
        self.bytes = bytearray()
        self.due = {}  # (stream, frame) -> the statuses it may have
        self.code = None
        self.breaks_off = rng.random() < 0.15
        self.size = 16380
        self.next_stream = 0
        self.frames = 0

    def write(self):
        """All of it."""
        for _ in range(self.rng.randrange(4)):
            self.add_stranger()
        if self.rng.random() < 0.15:
            self.end_early()
        if self.code is None:
            self.add_hello()
        for _ in range(self.rng.choice([0, 1, 5, 20, 60])):
            if self.code is not None:
                break
            self.rng.choices([self.add_question, self.add_stranger,
                              self.end_wrong, self.end_well],
                             [60, 10, 2, 1])[0]()
        return self

    def add(self, data):
        self.bytes += data
        self.frames += 1

    def word(self):
        return bytes(self.rng.randrange(256)
                     for _ in range(self.rng.choice([0, 1, 5, 30])))

    def value(self):
        """Typed data of any kind that there is, with any flags."""
        return self.rng.choice([
            lambda: bytes([self.rng.randrange(16) << 4]),
            lambda: bytes([1 | self.rng.randrange(16) << 4]),
            lambda: bytes([self.rng.randrange(2, 6)])
            + varint(self.rng.choice(ID_LIMITS)),
            lambda: address("10.1.2.3"), lambda: address("::1"),
            lambda: text(self.word()), lambda: binary(self.word())])()

    def add_stranger(self):
        """A frame of a type that we do not know is skipped, whatever is in
        it."""
        kind = self.rng.choice([0, 4, 77, 101, 102, 103, 104, 255])
        self.add(spop.frame(kind, self.word(), self.rng.choice(ID_LIMITS),
                            self.rng.choice(ID_LIMITS),
                            self.rng.choice([0, FIN, ABORT, 0xffffffff])))

    def add_hello(self):
        keys = [("supported-versions",
                 text(self.rng.choice(["2.0", "1.0,2.0", " 2.0 ,3.0"]))),
                ("max-frame-size", integer(self.rng.choice(
                    [256, 1000, 16380, 1 << 20, 2**32 - 1]),
                    self.rng.choice([2, 3, 4, 5]))),
                ("capabilities", text(self.rng.choice(
                    ["", "pipelining", "pipelining,async"])))]
        offered = spop.Cursor(keys[1][1]).typed()
        keys += [(f"x{i}-{self.rng.randrange(99)}", self.value())
                 for i in range(self.rng.randrange(3))]
        self.rng.shuffle(keys)
        self.add(spop.frame(spop.HELLO, pairs(keys)))
        self.size = min(offered, 1 << 20)

    def end_early(self):
        """What is wrong in place of a HELLO, and its code."""
        data, self.code = self.rng.choice([
            (spop.question("a.example"), 4),
            (spop.notify(spop.route("a.example"), flags=0), 10),
            (hello(supported_versions=None), 5),
            (hello(max_frame_size=None), 6), (hello(capabilities=None), 7),
            (hello(supported_versions=text("1.0,3.0")), 8),
            (hello(supported_versions=text("2.01")), 8),
            (hello(max_frame_size=integer(255)), 9),
            (hello(max_frame_size=text("9999")), 4),
            (hello(capabilities=NULL), 4),
            (spop.frame(spop.HELLO, pairs(spop.HELLO_KEYS.items()), 1), 4),
            (spop.frame(spop.HELLO, pairs(spop.HELLO_KEYS.items()),
                        flags=0), 10),
            (spop.disconnect(), 0), (struct.pack(">I", 16381), 3),
            (struct.pack(">I", 2**32 - 1), 3), (raw_frame(b"\1\0\0"), 4),
            (struct.pack(">I", 0), 4),
            (b"GET / HTTP/1.1\r\n\r\n", 3), (b"\x16\x03\x01\x02\0\x01", 3),
            (hello(healthcheck=TRUE), -1)])
        self.add(data)

    def arguments(self):
        """Of a message `route`, and what may be answered to them."""
        host, status = self.rng.choice(list(HOSTS.items()))
        allowed = {status}
        args = [(b"host", text(host))]
        if self.rng.random() < 0.2:  # another kind is no host
            args[0] = (b"host", self.rng.choice(
                [NULL, TRUE, integer(7), binary(host), address("::1")]))
            allowed = {"bad_host"}
        if self.rng.random() < 0.3:  # of a repeated argument the first counts
            args += [(b"host", text(b"a.example"))] * self.rng.choice([1, 200])
        if self.rng.random() < 0.3:
            args.append((b"client", self.value()))
        args = [(b"x" + self.word(), self.value()) for _ in
                range(self.rng.randrange(3))] + args
        return args, allowed

    def payload(self):
        args, allowed = self.arguments()
        parts = [string(b"r" + self.word()) + b"\1" + string(self.word())
                 + self.value() for _ in range(self.rng.randrange(3))]
        if self.rng.random() < 0.9:
            parts.append(string("route") + bytes([len(args)]) + b"".join(
                string(name) + value for name, value in args))
        else:
            allowed = {"bad_host"}
        if self.rng.random() < 0.2:  # of several the first counts
            parts.append(spop.route("a.example"))
            if not any(part.startswith(string("route"))
                       for part in parts[:-1]):
                allowed = {"ok"}
        return b"".join(parts), allowed

    def ids(self):
        self.next_stream += 1
        if self.rng.random() < 0.1:
            found = (self.rng.choice(ID_LIMITS), self.next_stream)
        else:
            found = (self.next_stream, self.rng.choice([1, 1, 1, 0, 2**64 - 1]))
        return found if found not in self.due else (2**40, self.next_stream)

    def add_question(self):
        payload, allowed = self.payload()
        ids = self.ids()
        data = spop.notify(payload, *ids, self.rng.choice([FIN, FIN,
                                                           FIN | ABORT]))
        if len(data) - 4 > self.size:
            self.code = 3
        else:
            self.due[ids] = allowed
        self.add(data)

    def end_wrong(self):
        whole = spop.route("a.example")
        data, self.code = self.rng.choice([
            (hello(), 4), (spop.notify(whole, 9, 9, flags=0), 10),
            (spop.notify(whole, 9, 9, flags=ABORT), 10),
            (spop.notify(whole[:-1], 9, 9), 4),
            (spop.notify(whole + b"\xff", 9, 9), 4),
            (spop.notify(string("route") + b"\2" + pairs(
                [("host", NULL)]), 9, 9), 4),
            (spop.notify(string("route") + b"\1" + string("host")
                         + bytes([self.rng.randrange(10, 16)]), 9, 9), 4),
            (spop.notify(varint(2**64 - 1) + b"route", 9, 9), 4),
            (spop.notify(OVERLONG + b"route", 9, 9), 4),
            (raw_frame(b"\3\0\0\0\1" + OVERLONG + b"\1"), 4),
            (raw_frame(b"\3\0\0\0\1" + b"\xf0"), 4),
            (struct.pack(">I", self.size + 1), 3),
            (struct.pack(">I", self.rng.randrange(7)), 4),
            (spop.frame(spop.DISCONNECT, b"\xff"), 4),
            (spop.frame(spop.DISCONNECT, b"", 1, 0), 4),
            (spop.frame(spop.DISCONNECT, b"", flags=0), 10)])
        self.add(data)

    def end_well(self):
        self.code = 0
        self.add(spop.disconnect(self.rng.choice([0, 1, 2, 99]), "x" * 150)
                 if self.rng.random() < 0.5 else
                 spop.frame(spop.DISCONNECT, b""))


def pieces(rng, data):
    """The bytes as they go out."""
    step = rng.choice([1, 3, 50, 1000, len(data) + 1])
    if step < 3 and len(data) > 2000:
        step = 1000
    at = 0
    while at < len(data):
        size = rng.randint(1, step)
        yield data[at:at + size]
        at += size


class Line:
    """The connection: what goes out and what comes in, both as they can."""

    def __init__(self, where):
        self.peer = Peer(where, greet=False)
        self.sock = self.peer.sock
        self.sock.setblocking(False)
        self.frames, self.ended, self.cut = [], False, False

    def hear(self):
        try:
            piece = self.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except ConnectionResetError:  # bytes of ours were left unread
            self.ended = self.cut = True
            return
        self.ended = not piece
        held = self.peer.held
        held += piece
        while len(held) >= 4:
            size, = struct.unpack_from(">I", held)
            if len(held) < 4 + size:
                break
            self.frames.append(Frame.read(bytes(held[4:4 + size])))
            del held[:4 + size]
        assert not self.ended or not held, "the end is inside a frame"

    def say(self, pieces):
        for piece in pieces:
            while piece and not self.ended:
                heard, free, _ = select.select([self.sock], [self.sock], [],
                                               ENOUGH)
                assert heard or free, "neither reads nor writes"
                if heard:
                    self.hear()
                elif free:
                    piece = piece[self.send(piece):]

    def send(self, piece):
        try:
            return self.sock.send(piece)
        except (BrokenPipeError, ConnectionResetError):
            self.ended = self.cut = True
            return 0

    def wait(self, fact, what):
        end = time.monotonic() + ENOUGH
        while not self.ended and not fact():
            assert time.monotonic() < end, f"waited for {what}"
            if select.select([self.sock], [], [], 1)[0]:
                self.hear()


def judge(talk, line):
    """What came against the book."""
    left = dict(talk.due)
    for at, frame in enumerate(line.frames):
        assert frame.flags == FIN
        if frame.kind == spop.ACK:
            assert frame.size <= talk.size
            allowed = left.pop(frame.ids)  # not asked, or answered before
            assert frame.answer().status in allowed, frame
        elif frame.kind == spop.AGENT_DISCONNECT:
            assert frame is line.frames[-1]
            assert frame.keys()["status-code"] == (talk.code or 0)
        else:
            assert frame.kind == spop.AGENT_HELLO and at == 0
            assert frame.keys()["version"] == "2.0"
    if talk.breaks_off:
        return
    # What a fault overtakes may go without an answer.
    assert talk.code is not None or not left, "questions without an ACK"
    # A RST, since bytes were left unread, may cost the last words.
    assert line.cut or line.frames[-1].kind == (
        spop.AGENT_HELLO if talk.code == -1 else spop.AGENT_DISCONNECT)


def hold(where, talk, rng):
    """Holds the talk, or breaks it off. Returns the line."""
    line = Line(where)
    data = bytes(talk.bytes)
    if talk.breaks_off:
        data = data[:rng.randrange(len(data) + 1)]
    line.say(pieces(rng, data))
    if talk.breaks_off:
        line.peer.reset() if rng.random() < 0.5 else line.peer.close()
        return line
    if talk.code is None:
        # A goodbye shows that nothing more comes than what is due.
        line.wait(lambda: len(line.frames) > len(talk.due), "all answers")
        assert not line.ended, "the agent left"
        line.say([spop.disconnect()])
    line.wait(lambda: False, "the end")
    line.peer.close()
    return line


@pytest.fixture
def agent(start_agent):
    with FakeRedis(ROUTES) as fake:
        agent = start_agent("--redis", fake.url, "--lookup-timeout", "20s")
        with Peer(agent.where) as peer:
            until(lambda: peer.ask("a.example").status == "ok", "Redis")
        yield agent
        assert agent.stop() == 0
        agent.close()


def test_any_talk_keeps_the_protocol(agent):
    """Each question gets one ACK of its own, or the connection ends with the
    code that its first fault deserves; others are served throughout."""
    idle, talks, frames, came = agent.fds(), 0, 0, 0
    rng, end = random.Random(SEED), time.monotonic() + SECONDS
    while time.monotonic() < end or talks < 100:
        seed = rng.randrange(2**32)
        one = random.Random(seed)
        talk = Talk(one).write()
        try:
            line = hold(agent.where, talk, one)
            judge(talk, line)
        except BaseException:
            print(f"SEED={SEED}, talk {talks} of seed {seed}")
            raise
        assert agent.running
        talks, frames = talks + 1, frames + talk.frames
        came += len(line.frames)
    with Peer(agent.where) as peer:
        assert peer.ask("a.example").status == "ok"
    until(lambda: agent.fds() <= idle, "descriptors to be closed", ENOUGH)
    print(f"{talks} talks, {frames} frames sent, {came} received, SEED={SEED}")
