# SPDX-License-Identifier: MIT
"""What the tests of faults share: load while something breaks, and a look at
whether all came back to where it was."""

import threading
import time
from collections import Counter

from kit.admin import Admin
from kit.agent import binary
from resp import sanitized, until
from spop import Peer

KEPT = (512 if sanitized(binary()) else 0) << 20  # bytes a sanitizer has itself
SLACK = KEPT + (8 << 20)  # what memory may grow by
PATIENCE = 30  # seconds to come back


class Crew:
    """Threads, each with a run() and its arguments, that work while `with` lasts:
    until .ended is set. warm_up() returns when they have begun."""

    def __init__(self, run, arguments):
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=run, args=each)
                        for each in arguments]

    def warm_up(self):
        pass

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.warm_up()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()


class Load(Crew):
    """Asks an agent all the time: for hosts that it knows, each of which must
    be `ok`, and for others, of which Redis has to be asked.

    .known and .others count the statuses; .worst is the longest that a batch
    of known hosts took.
    """

    def __init__(self, agent, hosts, others=100, pause=0.004):
        self.agent, self.hosts, self.pause = agent, hosts, pause
        self.strangers = [f"stranger{i}.example" for i in range(others)]
        self.known, self.others = Counter(), Counter()
        self.worst, self.broken = 0.0, []
        super().__init__(self.run, ((self.hosts, self.known, True),
                                    (self.strangers, self.others, False)))

    @property
    def peers(self):
        return len(self.threads)

    def warm_up(self):
        self.more(100)

    def run(self, hosts, seen, is_known):
        try:
            with Peer(self.agent.where, timeout=20) as peer:
                at = 0
                while not self.ended.wait(self.pause):
                    begin = time.monotonic()
                    batch = [hosts[(at + i) % len(hosts)] for i in range(10)]
                    seen.update(a.status for a in peer.ask_all(batch))
                    at += 10
                    if is_known:
                        self.worst = max(self.worst,
                                         time.monotonic() - begin)
        except Exception as wrong:  # pylint: disable=broad-except
            self.broken.append(repr(wrong))

    @property
    def total(self):
        return sum(self.known.values())

    def more(self, count):
        """Waits until so many more known hosts, and others, were answered."""
        goal = self.total + count
        other = sum(self.others.values()) + count // 4
        until(lambda: self.broken or (self.total >= goal and
                                      sum(self.others.values()) >= other),
              f"{count} more answers", PATIENCE)
        assert not self.broken

    def check(self):
        """Whatever broke, known hosts were served."""
        assert not self.broken
        assert set(self.known) == {"ok"}, self.known


class Level:
    """What an agent holds at rest: descriptors, memory, what is under way."""

    def __init__(self, agent, admin_port):
        self.agent = agent
        self.admin = Admin(("127.0.0.1", admin_port))
        self.fds = self.rss = 0

    def metrics(self):
        return self.admin.metrics()

    def count(self, name):
        """A counter, all its labels together."""
        return sum(value for key, value in self.metrics().items()
                   if key.split("{")[0] == f"spoa_router_{name}")

    def note(self, peers):
        """This is how it is, but for so many connections of a load."""
        until(lambda: self.metrics()["spoa_router_connections"] == peers,
              "the load alone")
        self.fds, self.rss = self.agent.fds() - peers, self.agent.rss()

    def check(self):
        """It is so again, without any load."""
        def at_rest():
            found = self.metrics()
            return (found["spoa_router_flights"] == 0 and
                    found["spoa_router_waiting"] == 0)
        until(at_rest, "flights and waiters to end", PATIENCE)
        until(lambda: self.agent.fds() <= self.fds,
              f"{self.fds} descriptors, not {self.agent.fds()}", PATIENCE)
        now = self.agent.rss()
        assert now < self.rss + SLACK, f"{self.rss >> 10} to {now >> 10} KiB"
