# SPDX-License-Identifier: MIT
"""A Redis that says what a test wants, and a TCP relay that misbehaves.

FakeRedis answers HMGET from a dict, byte for byte as Redis would, until a
test scripts something else for a command. It notes every command, so a test
can see what was asked, how often and over which connection. Relay sits
between an agent and a real server and delays, splits, cuts or swallows.
Speaker is a client of a real one, without a process per command.
"""

import os
import select
import socket
import struct
import threading
import time
from collections import deque

CLOSE, RESET = "close", "reset"  # pieces of a scripted reply


# Under valgrind all takes so much longer.
SLOW = 6 if os.environ.get("VALGRIND") else 1


def until(fact, what="it", seconds=5.0):
    """Waits for fact() to be true, and returns what it returned."""
    seconds *= SLOW
    end = time.monotonic() + seconds
    while True:
        found = fact()
        if found:
            return found
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.005)


def sanitized(path):
    """Whether a program keeps what it frees, so that its size says little."""
    if os.environ.get("VALGRIND"):
        return True
    with open(path, "rb") as file:
        return b"__asan_init" in file.read()


def bulk(value):
    if value is None:
        return b"$-1\r\n"
    raw = value.encode() if isinstance(value, str) else value
    return b"$%d\r\n%s\r\n" % (len(raw), raw)


def array(*items):
    return b"*%d\r\n" % len(items) + b"".join(items)


def read_command(held):
    """(arguments, bytes used) of the first whole command, or None."""
    def line(at):
        end = held.find(b"\r\n", at)
        return (int(held[at + 1:end]), end + 2) if end >= 0 else None
    found = line(0)
    if not found:
        return None
    count, at = found
    words = []
    for _ in range(count):
        found = line(at)
        if not found or len(held) < found[1] + found[0] + 2:
            return None
        size, at = found
        words.append(bytes(held[at:at + size]).decode("utf-8", "replace"))
        at += size + 2
    return words, at


class Refused(Exception):
    """An error that Redis answered with."""


class Speaker:
    """A connection to a real Redis: speaker("HSET", "routes", ...)."""

    def __init__(self, where):
        self.sock = socket.create_connection(where, 20)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.sock.close()

    def __call__(self, *words):
        return self.all([words])[0]

    def all(self, commands):
        """All commands in one packet; their replies in order."""
        self.sock.sendall(b"".join(array(*(bulk(str(word)) for word in words))
                                   for words in commands))
        return [self.reply() for _ in commands]

    def reply(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("Redis closed the connection")
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b"-":
            raise Refused(rest)
        if kind == b"+":
            return rest
        count = int(rest)
        if kind == b":" or count < 0:
            return count if kind == b":" else None
        if kind == b"$":
            return self.file.read(count + 2)[:-2].decode("utf-8", "replace")
        return [self.reply() for _ in range(count)]

    def calls(self, command):
        """How often the server has executed it; of HMGET those apart that go
        with each CLIENT TRACKINGINFO, to see whether it still may."""
        found = {}
        for line in self("INFO", "commandstats").splitlines():
            name, _, numbers = line.partition(":calls=")
            if numbers:
                found[name] = int(numbers.split(",")[0])
        apart = command == "hmget" and "cmdstat_client|trackinginfo"
        return found.get(f"cmdstat_{command}", 0) - found.get(apart, 0)


def reset(sock):
    """Closes with RST, also when another thread is reading."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                    struct.pack("ii", 1, 0))
    try:
        sock.shutdown(socket.SHUT_RD)  # wakes the reader, sends nothing
    except OSError:
        pass
    sock.close()


class Listener:
    """Accepts on a thread, and keeps its address over close() and open()."""

    def __init__(self, where):
        self.where, self.links = where, []
        self.accepted = 0
        self.open()

    @property
    def port(self):
        return self.where[1]

    @property
    def url(self):
        if isinstance(self.where, str):
            return f"unix:{self.where}"
        return f"redis://{self.where[0]}:{self.port}"

    def open(self):
        unix = isinstance(self.where, str)
        self.door = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
        self.door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if unix and os.path.exists(self.where):
            os.unlink(self.where)
        self.door.bind(self.where)
        self.where = self.where if unix else self.door.getsockname()
        self.door.listen(64)
        threading.Thread(target=self._accept, args=(self.door,),
                         daemon=True).start()
        return self

    def _accept(self, door):
        while True:
            try:
                link, _ = door.accept()
            except OSError:
                return
            if link.family != socket.AF_UNIX:
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted += 1
            self.links.append(link)
            threading.Thread(target=self._guard, args=(link,),
                             daemon=True).start()

    def _guard(self, link):
        try:
            self.serve(link)
        except (OSError, ValueError):  # closed under its hands
            pass
        finally:
            if link in self.links:
                self.links.remove(link)
            link.close()

    def drop(self):
        """Resets every connection; new ones are welcome."""
        while self.links:
            reset(self.links.pop())

    def shut(self):
        """Refuses new connections, keeps the old ones."""
        try:
            self.door.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.door.close()

    def close(self):
        self.shut()
        self.drop()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class FakeRedis(Listener):
    def __init__(self, routes=None, where=("127.0.0.1", 0)):
        self.routes = dict(routes or {})
        self.commands = []  # every command: a list of words
        self.lookups = []  # the fields of every HMGET but a mere probe
        self.script = {}  # command -> reply in place of the honest one
        self.gate = threading.Event()  # while clear, HMGET waits for it
        self.gate.set()
        self.here = threading.local()  # here.link: whose command it is
        super().__init__(where)

    def on(self, command, *reply):
        """Scripts a reply: bytes, seconds to wait, CLOSE or RESET; or one
        function of the words that returns a list of these. None of it:
        silence. With forget() the honest reply is back."""
        self.script[command] = reply
        return self

    def forget(self, command):
        self.script.pop(command, None)

    def named(self, command):
        return [words for words in self.commands if words[0] == command]

    def honest(self, words):
        if words[0] == "HMGET":
            return array(*(bulk(self.routes.get(field))
                           for field in words[2:]))
        return b"+PONG\r\n" if words[0] == "PING" else b"+OK\r\n"

    def pieces(self, words):
        words[0] = words[0].upper()
        self.commands.append(words)
        if words[0] == "HMGET":
            if words[2:] != ["*"]:
                self.lookups.append(words[2:])
            if not self.gate.is_set():
                self.gate.wait(20)
        if words[0] not in self.script:
            return [self.honest(words)]
        reply = self.script[words[0]]
        if reply and callable(reply[0]):
            return reply[0](words)
        return reply

    def serve(self, link):
        self.here.link = link
        held = bytearray()
        while True:
            piece = link.recv(1 << 16)
            if not piece:
                return
            held += piece
            ready = b""  # replies to what came together leave together
            while found := read_command(held):
                words, used = found
                del held[:used]
                for piece in self.pieces(words):
                    if isinstance(piece, bytes):
                        ready += piece
                        continue
                    link.sendall(ready)
                    ready = b""
                    if piece is RESET:
                        return reset(link)
                    if piece is CLOSE:
                        return None
                    time.sleep(piece)
            link.sendall(ready)


class Relay(Listener):
    """Bytes to and from target; every attribute may change at any time."""

    def __init__(self, target, delay=0.0, chunk=0):
        self.target = target
        self.delay = delay  # seconds, each way
        self.chunk = chunk  # bytes a write towards the client; 0: as they come
        self.hole = False  # swallow what comes from now on, both ways
        self.budget = None  # bytes towards the client until RST
        super().__init__(("127.0.0.1", 0))

    def serve(self, link):
        with socket.create_connection(self.target) as far:
            far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            waiting = {link: deque(), far: deque()}  # sink -> (due, bytes)
            while True:
                due = min((q[0][0] for q in waiting.values() if q),
                          default=None)
                wait = None if due is None else max(0, due - time.monotonic())
                ready, _, _ = select.select([link, far], [], [], wait)
                for source in ready:
                    piece = source.recv(1 << 16)
                    if not piece:
                        return
                    if not self.hole:
                        sink = far if source is link else link
                        waiting[sink].append(
                            (time.monotonic() + self.delay, piece))
                for sink, queue in waiting.items():
                    while queue and queue[0][0] <= time.monotonic():
                        self.pass_on(sink, queue.popleft()[1], sink is link)

    def pass_on(self, sink, piece, to_client):
        if to_client and self.budget is not None:
            piece, over = piece[:self.budget], len(piece) > self.budget
            self.budget -= len(piece)
            if over:
                sink.sendall(piece)
                time.sleep(0.02)  # so that the bytes are read before RST
                reset(sink)
                raise OSError("budget spent")
        if not (to_client and self.chunk):
            return sink.sendall(piece)
        for at in range(0, len(piece), self.chunk):
            sink.sendall(piece[at:at + self.chunk])
            time.sleep(0.0003)
        return None
