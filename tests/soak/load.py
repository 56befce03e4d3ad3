# SPDX-License-Identifier: MIT
"""The requests of a soak: a few clients at a fixed rate, and a book of what
each of them got."""

import http.client
import random
import socket
import threading
import time
from collections import namedtuple

import kit

# begin and end in seconds of the soak, kind of host, host, status (0: broken
# off, -1: no answer in time) and the worker that answered
Request = namedtuple("Request", "begin end kind host status worker")

BROKEN, LATE = 0, -1
PATIENCE = 10  # seconds that a client waits for its answer
SHARES = {"known": 60, "unknown": 20, "random": 20}
UNKNOWN = [f"unknown{i}.example" for i in range(50)]


class Load:
    """asks for hosts = {host: its workers}, and for others that have no
    route; new() hands out what was answered since it was last asked."""

    def __init__(self, port, hosts, seed, clock, rate=100, clients=4):
        self.port, self.hosts, self.clock = port, hosts, clock
        self.known = sorted(hosts)
        self.pause = clients / rate
        self.lock, self.book = threading.Lock(), []
        self.ended = threading.Event()
        self.threads = [
            threading.Thread(target=self.run, daemon=True,
                             args=(random.Random(f"{seed} client {i}"),))
            for i in range(clients)]

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join(3 * PATIENCE)

    def new(self):
        with self.lock:
            book, self.book = self.book, []
        return book

    def draw(self, dice):
        kind = dice.choices(list(SHARES), SHARES.values())[0]
        if kind == "known":
            return kind, dice.choice(self.known)
        if kind == "unknown":
            return kind, dice.choice(UNKNOWN)
        return kind, f"{dice.getrandbits(64):x}.random.example"

    def run(self, dice):
        client, due = None, time.monotonic()
        while not self.ended.is_set():
            due += self.pause
            if not client or dice.random() < 0.02:
                if client:
                    client.close()
                client = kit.Client(self.port, timeout=PATIENCE)
            self.ask(client, *self.draw(dice))
            late = time.monotonic() - due
            due += max(0, late - 1)  # what an outage held up is not made up for
            self.ended.wait(max(0, -late))
        if client:
            client.close()

    def ask(self, client, kind, host):
        begin = self.clock()
        kept = client.link.sock is not None
        status, worker = attempt(client, host)
        if status == BROKEN and kept:  # it may end just then: any client knows
            status, worker = attempt(client, host)
        with self.lock:
            self.book.append(Request(begin, self.clock(), kind, host, status,
                                     worker))


def attempt(client, host):
    """(status, worker) of one GET."""
    try:
        reply = client.ask(host)
        return reply.status, reply.worker
    except socket.timeout:
        client.close()
        return LATE, None
    except (OSError, http.client.HTTPException):
        client.close()
        return BROKEN, None
