# SPDX-License-Identifier: MIT
"""A raw SPOP client: what HAProxy says to an agent, and what it never would.

Frames are built from plain bytes, so a test can bend any of them; what the
agent sends is decoded strictly, and whatever HAProxy would not understand
fails the test that reads it. Encoding: SPOE.txt section 3.
"""

import ipaddress
import select
import socket
import struct
from dataclasses import dataclass

from resp import SLOW

UNSET, HELLO, DISCONNECT, NOTIFY = 0, 1, 2, 3
AGENT_HELLO, AGENT_DISCONNECT, ACK = 101, 102, 103
FIN, ABORT = 1, 2

NULL, FALSE, TRUE = b"\x00", b"\x01", b"\x11"
INT32, UINT32, INT64, UINT64 = 2, 3, 4, 5
SIZE = 16380  # what HAProxy offers by default


class Malformed(AssertionError):
    """The agent sent bytes that HAProxy could not read."""


# -- encoding ---------------------------------------------------------------


def varint(n):
    if n < 240:
        return bytes([n])
    out = [(n & 15) | 240]
    n = (n - 240) >> 4
    while n >= 128:
        out.append((n & 127) | 128)
        n = (n - 128) >> 7
    return bytes(out + [n])


def string(text):
    raw = text.encode() if isinstance(text, str) else text
    return varint(len(raw)) + raw


def text(value):
    return b"\x08" + string(value)


def binary(value):
    return b"\x09" + string(value)


def integer(n, kind=UINT32):
    return bytes([kind]) + varint(n % 2**64)


def address(ip):
    packed = ipaddress.ip_address(ip).packed
    return bytes([6 if len(packed) == 4 else 7]) + packed


def pairs(items):
    """A key-value list; the values are typed data already."""
    return b"".join(string(key) + value for key, value in items)


def head(kind, stream=0, frame=0, flags=FIN):
    return struct.pack(">BI", kind, flags) + varint(stream) + varint(frame)


def frame(kind, payload=b"", stream=0, frame=0, flags=FIN):
    body = head(kind, stream, frame, flags) + payload
    return struct.pack(">I", len(body)) + body


HELLO_KEYS = {
    "supported-versions": text("2.0"),
    "max-frame-size": integer(SIZE),
    "capabilities": text("pipelining,async"),
}


def hello(**change):
    """HAPROXY-HELLO; a keyword (with _ for -) adds, replaces or (None) drops."""
    keys = dict(HELLO_KEYS)
    keys.update((key.replace("_", "-"), value) for key, value in change.items())
    return frame(HELLO, pairs((k, v) for k, v in keys.items() if v is not None))


def message(name, *args):
    """A message of NOTIFY; args are (name, typed data)."""
    return string(name) + bytes([len(args) % 256]) + pairs(args)


def route(host, client=None):
    """The message that HAProxy sends; host is a str, bytes, or None for NULL;
    client is typed data."""
    args = [("host", NULL if host is None else text(host))]
    if client is not None:
        args.append(("client", client))
    return message("route", *args)


def notify(payload, stream=1, frame_id=1, flags=FIN):
    return frame(NOTIFY, payload, stream, frame_id, flags)


def question(host, stream=1, frame_id=1, client=None):
    return notify(route(host, client), stream, frame_id)


def disconnect(status=0, reason="normal"):
    return frame(DISCONNECT, pairs([("status-code", integer(status)),
                                    ("message", text(reason))]))


# -- decoding ---------------------------------------------------------------


class Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def __bool__(self):
        return self.at < len(self.data)

    def take(self, size):
        piece = self.data[self.at:self.at + size]
        if len(piece) != size:
            raise Malformed(f"{size} bytes wanted at {self.at}: {self.data!r}")
        self.at += size
        return piece

    def byte(self):
        return self.take(1)[0]

    def varint(self):
        n = self.byte()
        if n < 240:
            return n
        shift, more = 4, 128
        while more >= 128:
            more = self.byte()
            n += more << shift
            shift += 7
        return n

    def string(self):
        return self.take(self.varint()).decode("utf-8", "backslashreplace")

    def typed(self):
        kind = self.byte()
        if kind == 0:
            return None
        if kind in (0x01, 0x11):
            return kind == 0x11
        if kind in (INT32, UINT32, INT64, UINT64):
            return self.varint()
        if kind == 6:
            return ipaddress.IPv4Address(self.take(4))
        if kind == 7:
            return ipaddress.IPv6Address(self.take(16))
        if kind == 8:
            return self.string()
        raise Malformed(f"type byte {kind:#x} in {self.data!r}")

    def pairs(self):
        found = {}
        while self:
            key = self.string()
            if key in found:
                raise Malformed(f"{key} twice in {self.data!r}")
            found[key] = self.typed()
        return found


@dataclass(frozen=True)
class Frame:
    kind: int
    flags: int
    stream: int
    frame: int
    payload: bytes
    size: int

    @classmethod
    def read(cls, body):
        cursor = Cursor(body)
        kind, flags = struct.unpack(">BI", cursor.take(5))
        ids = cursor.varint(), cursor.varint()
        return cls(kind, flags, *ids, body[cursor.at:], len(body))

    @property
    def ids(self):
        return self.stream, self.frame

    def keys(self):
        """The key-value list of a HELLO or DISCONNECT of the agent."""
        assert (self.flags, *self.ids) == (FIN, 0, 0), self
        return Cursor(self.payload).pairs()

    def answer(self):
        """The variables that an ACK sets, in order of the frame."""
        assert (self.kind, self.flags) == (ACK, FIN), self
        cursor, found = Cursor(self.payload), {}
        while cursor:
            action = cursor.take(3)
            assert action == b"\x01\x03\x02", f"not set-var txn: {action!r}"
            name = cursor.string()
            assert name not in found, f"{name} set twice"
            found[name] = cursor.typed()
        assert list(found)[:1] == ["status"], self
        return Answer(found)


class Answer(dict):
    """What the agent says of one host; a variable that is not set is None."""

    def __getattr__(self, name):
        return self.get(name)

    @property
    def target(self):
        return f"{self.ip}:{self.port}" if self.status == "ok" else None

    @property
    def second(self):
        return f"{self.ip2}:{self.port2}" if self.ip2 else None


# -- the peer ---------------------------------------------------------------


class Peer:
    """One connection to the agent, after HELLO unless told otherwise."""

    def __init__(self, where, greet=True, timeout=5, rcvbuf=None, **keys):
        family = socket.AF_UNIX if isinstance(where, str) else (
            socket.AF_INET6 if ":" in where[0] else socket.AF_INET)
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(timeout * SLOW)
        self.sock.connect(where)
        if family != socket.AF_UNIX:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.held = bytearray()
        self.stream = 0
        if greet:
            self.greet(**keys)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)
        return self

    def shut(self):
        """Sends no more, still reads."""
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def _fill(self, size):
        while len(self.held) < size:
            piece = self.sock.recv(1 << 18)
            if not piece:
                return False
            self.held += piece
        return True

    def frame(self):
        """The next whole frame, or None at the end of the stream."""
        if not self._fill(4):
            assert not self.held, f"end inside a header: {self.held!r}"
            return None
        size, = struct.unpack(">I", self.held[:4])
        assert 7 <= size <= 1 << 20, f"frame of {size} bytes"
        assert self._fill(4 + size), f"end inside a frame: {self.held!r}"
        body = bytes(self.held[4:4 + size])
        del self.held[:4 + size]
        return Frame.read(body)

    def frames(self, count):
        found = [self.frame() for _ in range(count)]
        assert None not in found, f"closed after {found.index(None)} frames"
        return found

    def rest(self):
        """Every frame up to the end of the stream."""
        return list(iter(self.frame, None))

    def silent(self, seconds=0.1):
        """True when nothing, not even an end, comes for so long."""
        return not self.held and not select.select(
            [self.sock], [], [], seconds)[0]

    def greet(self, **keys):
        """HELLO; what the agent answers is returned and must be a HELLO."""
        answer = self.send(hello(**keys)).frame()
        assert answer and answer.kind == AGENT_HELLO, answer
        return answer.keys()

    def code(self):
        """The status of the AGENT-DISCONNECT that must come now, and the end."""
        found = self.frame()
        assert found and found.kind == AGENT_DISCONNECT, found
        keys = found.keys()
        assert list(keys) == ["status-code", "message"], keys
        assert keys["message"] and len(keys["message"]) <= 255
        assert self.frame() is None, "a frame after AGENT-DISCONNECT"
        return keys["status-code"]

    def ask_all(self, hosts, clients=None):
        """All questions at once; the answers in the order of the questions."""
        first = self.stream + 1
        self.stream += len(hosts)
        clients = clients or [None] * len(hosts)
        self.send(b"".join(
            question(host, first + i, client=client)
            for i, (host, client) in enumerate(zip(hosts, clients))))
        return self.answers(range(first, first + len(hosts)))

    def answers(self, streams):
        found = {ack.ids: ack for ack in self.frames(len(streams))}
        assert sorted(found) == [(stream, 1) for stream in streams]
        return [found[stream, 1].answer() for stream in streams]

    def ask(self, host):
        return self.ask_all([host])[0]
