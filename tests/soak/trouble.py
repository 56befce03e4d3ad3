# SPDX-License-Identifier: MIT
"""The faults of a soak: each begins, lasts, ends, and is over when changes of
routes go live again."""

import contextlib
import signal
import socket
import time
from dataclasses import dataclass

from resp import until

RECOVERY = 30  # seconds in which all must be well again
# These end the agent: in one deck of so many, that it lives long enough for its
# memory to be judged.
DEADLY = "agent_kill", "agent_restart"
DECKS_OF_A_LIFE = 10


@dataclass
class Window:
    """When a fault had its effect, and on what: fails(host) says whether a
    known host may then fail, strangers whether others may be unavailable."""
    name: str
    begin: float
    end: float = None
    fails: callable = None
    strangers: bool = False

    def covers(self, request):
        return (self.begin <= request.end and
                (self.end is None or request.begin <= self.end))

    def allows(self, request):
        if request.kind != "known":
            return self.strangers
        return bool(self.fails and self.fails(request.host))


def any_host(_):
    return True


class Faults:
    """A deck of faults: shuffled, dealt, shuffled again."""

    def __init__(self, site, dice):
        self.site, self.dice = site, dice
        self.windows, self.deck, self.decks = [], [], 0
        self.names = [name[3:] for name in dir(self) if name[:3] == "do_"]

    def next(self):
        if not self.deck:
            self.deck = self.new_deck()
        name = self.deck.pop().replace("_", "-")
        getattr(self, "do_" + name.replace("-", "_"))(name)
        return name

    def new_deck(self):
        is_deadly = self.decks % DECKS_OF_A_LIFE == 0
        self.decks += 1
        names = [name for name in self.names
                 if is_deadly or name not in DEADLY]
        return self.dice.sample(names, len(names))

    def last(self):
        """How long a fault stays."""
        self.site.ended.wait(self.dice.uniform(2, 6))

    @contextlib.contextmanager
    def window(self, name, seen=None, strangers=False, silent=False):
        """silent: no change can go live meanwhile."""
        site = self.site
        window = Window(name, site.clock(), None, seen, strangers)
        self.windows.append(window)
        if silent:
            site.changes.disturb(+1)
        try:
            yield
            site.recover()
        finally:
            window.end = site.clock()
            if silent:
                site.changes.disturb(-1)

    # -- Redis: what is known is served all the time --------------------------

    def do_redis_kill(self, name):
        with self.window(name, strangers=True, silent=True):
            self.site.redis.kill()
            self.last()
            self.site.redis.start()

    def do_redis_stop(self, name):
        with self.window(name, strangers=True, silent=True):
            self.site.redis.stop()
            self.last()
            self.site.redis.start()

    def do_redis_pause(self, name):
        with self.window(name, strangers=True, silent=True):
            self.site.redis.pause()
            self.last()
            self.site.redis.resume()

    def do_redis_and_backup_gone(self, name):
        with self.window(name, strangers=True, silent=True):
            self.site.backup.kill()
            self.site.redis.kill()
            self.last()
            self.site.redis.start()
            self.site.backup.start()

    # -- HAProxy and its clients ----------------------------------------------

    def do_haproxy_reload(self, name):
        with self.window(name):
            self.site.haproxy.reload()

    def do_slow_clients(self, name):
        """Some say half a request to HAProxy, some half a frame to the
        agent."""
        with self.window(name), contextlib.ExitStack() as links:
            for i in range(40):
                where = (self.site.haproxy if i % 2 else self.site.agent).where
                link = links.enter_context(socket.create_connection(where, 5))
                link.sendall(b"GET / HTTP/1.1\r\nHost: k" if i % 2 else
                             b"\0\0\1\0\1")
            self.last()

    # -- the agent ------------------------------------------------------------

    def do_agent_hangup(self, name):
        with self.window(name):
            key = 'spoa_router_reloads_total{result="done"}'
            metrics = self.site.level.metrics
            before = metrics()[key]
            self.site.write_config(ttl=self.dice.randrange(5, 15))
            self.site.agent.process.send_signal(signal.SIGHUP)
            until(lambda: metrics()[key] > before, "the reload", RECOVERY)

    def do_agent_restart(self, name):
        with self.window(name, any_host, strangers=True, silent=True):
            self.site.agent.stop()
            self.site.agent.start()

    def do_agent_kill(self, name):
        with self.window(name, any_host, strangers=True, silent=True):
            self.site.agent.kill()
            time.sleep(1)
            self.site.agent.start()

    # -- workers: hosts that have another one do not fail ---------------------

    def do_worker_kill(self, name):
        worker = self.dice.choice(self.site.workers)
        with self.window(name, lambda host: self.site.hosts[host] ==
                         {worker.name}):
            worker.kill()
            self.last()
            worker.start()
