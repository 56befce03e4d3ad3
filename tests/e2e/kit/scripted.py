# SPDX-License-Identifier: MIT
"""An SPOP agent that says what a test wants, or misbehaves."""

import time
from collections import deque
from ipaddress import IPv4Address, IPv6Address, ip_address

import spop
from resp import CLOSE, RESET, Listener, reset

SILENT = "silent"  # no answer at all, the connection stays


def ok(target, route="x.example", source="cache", **more):
    """The variables of an answer that names target, IP:PORT."""
    host, _, port = target.rpartition(":")
    return {"status": "ok", "source": source, "route": route,
            "ip": ip_address(host.strip("[]")), "port": int(port), **more}


def typed(value):
    if isinstance(value, (IPv4Address, IPv6Address)):
        return spop.address(str(value))
    if isinstance(value, int):
        return spop.integer(value)
    return spop.binary(value) if isinstance(value, bytes) else spop.text(value)


def set_vars(variables):
    """The payload of an ACK that sets these in scope txn."""
    return b"".join(b"\x01\x03\x02" + spop.string(name) + typed(value)
                    for name, value in variables.items())


class ScriptedAgent(Listener):
    """Answers each host from the dict `answers`: {host: variables}.

    What is in `script` comes first, one item a question: variables, seconds
    to wait before the honest answer, bytes to send in its place, or SILENT,
    CLOSE, RESET. `healthy = False` closes on health checks.
    """

    def __init__(self, answers=None, where=("127.0.0.1", 0)):
        self.answers = dict(answers or {})
        self.script = deque()
        self.asked = []  # hosts, in order; None where HAProxy sent NULL
        self.checks = 0
        self.healthy = True
        self.delay = 0.0  # seconds before each answer
        super().__init__(where)

    @property
    def address(self):
        return "%s:%d" % self.where

    def serve(self, link):
        held = bytearray()
        while True:
            while len(held) < 4 or len(held) < 4 + int.from_bytes(
                    held[:4], "big"):
                piece = link.recv(1 << 16)
                if not piece:
                    return
                held += piece
            size = 4 + int.from_bytes(held[:4], "big")
            frame = spop.Frame.read(bytes(held[4:size]))
            del held[:size]
            if not self.take(link, frame):
                return

    def take(self, link, frame):
        """Answers one frame; False ends the connection."""
        if frame.kind == spop.HELLO:
            return self.greet(link, spop.Cursor(frame.payload).pairs())
        if frame.kind == spop.NOTIFY:
            return self.answer(link, frame)
        if frame.kind == spop.DISCONNECT:
            link.sendall(spop.frame(spop.AGENT_DISCONNECT, spop.pairs([
                ("status-code", spop.integer(0)),
                ("message", spop.text("bye"))])))
        return False

    def greet(self, link, keys):
        check = keys.get("healthcheck", False)
        self.checks += check
        if check and not self.healthy:
            return False
        size = keys["max-frame-size"]
        link.sendall(spop.frame(spop.AGENT_HELLO, spop.pairs([
            ("version", spop.text("2.0")),
            ("max-frame-size", spop.integer(min(size, 4092) if check
                                            else size)),
            ("capabilities", spop.text("pipelining"))])))
        return not check

    def host_of(self, frame):
        cursor = spop.Cursor(frame.payload)
        name, count = cursor.string(), cursor.byte()
        args = {cursor.string(): cursor.typed() for _ in range(count)}
        assert name == "route", name
        return args["host"]

    def answer(self, link, frame):
        host = self.host_of(frame)
        self.asked.append(host)
        act = self.script.popleft() if self.script else None
        if act == RESET:
            reset(link)
            return False
        if act in (CLOSE, SILENT):
            return act == SILENT
        if isinstance(act, bytes):
            link.sendall(act)
            return True
        if isinstance(act, (int, float)) or self.delay:
            time.sleep(self.delay if act is None else act)
        variables = act if isinstance(act, dict) else self.answers.get(
            host, {"status": "not_found", "source": "redis"})
        link.sendall(spop.frame(spop.ACK, set_vars(variables), *frame.ids))
        return True
