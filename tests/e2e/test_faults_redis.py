# SPDX-License-Identifier: MIT
"""Redis fails in each way there is while requests go on: known hosts are served
throughout, and afterwards all is as it was."""

import contextlib
import threading
import time

import pytest

import kit
from faults import PATIENCE, Level, Load
from resp import Relay, Speaker, until
from spop import Peer

HOSTS = [f"known{i}.example" for i in range(50)]
LONG_ENOUGH = 0.7  # seconds that a fault lasts; the agent gives up in half one


class Way(Relay):
    """A relay that can also damage what Redis says."""

    damage = None  # bytes in place of each reply
    stop_at = None  # pass on so many bytes, then nothing
    merge = 0.0  # seconds for which replies are kept, to leave together

    def __init__(self, target):
        self.kept, self.lock = {}, threading.Lock()
        super().__init__(target)

    def keep(self, sink, piece):
        """Is it kept back? What comes later does not overtake it."""
        with self.lock:
            if not self.merge and sink not in self.kept:
                return False
            if sink not in self.kept:
                threading.Timer(self.merge, self.let_go, (sink,)).start()
            self.kept[sink] = self.kept.get(sink, b"") + piece
            return True

    def let_go(self, sink):
        with self.lock, contextlib.suppress(OSError):
            sink.sendall(self.kept.pop(sink))

    def pass_on(self, sink, piece, to_client):
        if to_client and self.keep(sink, piece):
            return
        if to_client and self.damage:
            piece = self.damage
        if to_client and self.stop_at is not None:
            piece, self.stop_at = (piece[:self.stop_at],
                                   max(0, self.stop_at - len(piece)))
        if piece:
            super().pass_on(sink, piece, to_client)


class Site:
    """A Redis behind a relay, an agent that knows HOSTS, and its level."""

    def __init__(self, redis, start_agent):
        self.redis = redis
        self.words = [word for host in HOSTS for word in (host, "10.0.0.1:80")]
        redis.cmd("HSET", "routes", *self.words)
        redis.cmd("SAVE")
        self.say = Speaker(redis.where)  # stays when others are refused
        self.way = Way(redis.where)
        port = kit.free_port()
        self.agent = start_agent(
            "--redis", self.way.url, "--admin", f"127.0.0.1:{port}",
            "--ttl", "1s", "--negative-ttl", "0", "--lookup-timeout", "50ms")
        self.level = Level(self.agent, port)
        self.markers = 0
        with Peer(self.agent.where) as peer:
            until(lambda: {a.status for a in peer.ask_all(HOSTS)} == {"ok"},
                  "the hosts to be known", PATIENCE)

    def close(self):
        self.agent.close()
        self.say.close()
        self.way.close()

    def change_is_live(self):
        """Redis is asked again, and tells of changes."""
        self.markers += 1
        with Speaker(self.redis.where) as say, Peer(self.agent.where) as peer:
            say("HSET", "routes", HOSTS[0], f"10.0.0.2:{self.markers}")
            until(lambda: peer.ask(HOSTS[0]).port == self.markers,
                  "a change", PATIENCE)
        until(lambda: self.level.count("push_connected") == 1, "pushes",
              PATIENCE)


@pytest.fixture
def site(redis, start_agent):
    found = Site(redis, start_agent)
    yield found
    found.close()


class Fault:
    """begin and end of a fault; `counter` counts it, when it is seen at all."""

    def __init__(self, begin, end, counter=None):
        self.begin, self.end, self.counter = begin, end, counter


def put(name, value):
    """Sets an attribute of the relay."""
    return lambda site: setattr(site.way, name, value)


def both(*steps):
    return lambda site: [step(site) for step in steps]


def say(*words):
    return lambda site: site.say(*words)


def drop(site):
    site.way.drop()


def no_more_clients(site):
    site.say("CONFIG", "SET", "maxclients", "1")
    drop(site)


def lock(site):
    site.say("CONFIG", "SET", "requirepass", "other")
    drop(site)


def hide(site):
    """The hash gives way to a string."""
    site.say.all([("MULTI",), ("RENAME", "routes", "kept"),
                  ("SET", "routes", "a string"), ("EXEC",)])


def show(site):
    site.say.all([("MULTI",), ("RENAME", "kept", "routes"), ("EXEC",)])


def monster(site):
    site.say("HSET", "routes", "stranger7.example", "x" * (1 << 20))


FAULTS = {
    "kill": Fault(lambda site: site.redis.kill(),
                  lambda site: site.redis.start(), "redis_losses_total"),
    "stopped": Fault(lambda site: site.redis.pause(),
                     lambda site: site.redis.resume(), "timeouts_total"),
    "paused": Fault(say("CLIENT", "PAUSE", "1000"), lambda site: None,
                    "timeouts_total"),
    "10 ms": Fault(put("delay", 0.005), put("delay", 0)),
    "500 ms": Fault(put("delay", 0.25), put("delay", 0), "timeouts_total"),
    "merged": Fault(put("merge", 0.03), put("merge", 0.0)),
    "split": Fault(put("chunk", 1), put("chunk", 0)),
    "black hole": Fault(put("hole", True), put("hole", False),
                        "timeouts_total"),
    "reset in a reply": Fault(put("budget", 7), put("budget", None),
                              "redis_losses_total"),
    "reset at once": Fault(both(put("budget", 0), drop), put("budget", None),
                           "redis_losses_total"),
    "garbage": Fault(put("damage", b"\xff\x00*9\r\n$-7\r\n"),
                     put("damage", None), "redis_losses_total"),
    "half a reply": Fault(put("stop_at", 5), put("stop_at", None),
                          "timeouts_total"),
    "replica": Fault(say("REPLICAOF", "127.0.0.1", "1"),
                     say("REPLICAOF", "NO", "ONE")),
    "replica without its master": Fault(
        both(say("CONFIG", "SET", "replica-serve-stale-data", "no"),
             say("REPLICAOF", "127.0.0.1", "1")),
        say("REPLICAOF", "NO", "ONE"), "redis_errors_total"),
    "out of memory": Fault(say("CONFIG", "SET", "maxmemory", "1"),
                           say("CONFIG", "SET", "maxmemory", "0")),
    "too many clients": Fault(no_more_clients,
                              say("CONFIG", "SET", "maxclients", "1000"),
                              "redis_losses_total"),
    "another password": Fault(lock, say("CONFIG", "SET", "requirepass", ""),
                              "redis_losses_total"),
    "no hash": Fault(hide, show, "redis_errors_total"),
    "1 MB": Fault(monster, say("HDEL", "routes", "stranger7.example"),
                  "bad_routes_total"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_redis_fails_under_load(site, name):
    fault = FAULTS[name]
    with Load(site.agent, HOSTS) as load:
        site.change_is_live()
        load.more(200)
        site.level.note(load.peers)
        before = fault.counter and site.level.count(fault.counter)
        fault.begin(site)
        end = time.monotonic() + LONG_ENOUGH
        load.more(200)
        time.sleep(max(0, end - time.monotonic()))
        if fault.counter:
            until(lambda: site.level.count(fault.counter) > before,
                  fault.counter, PATIENCE)
        fault.end(site)
        site.change_is_live()
        load.more(200)
        load.check()
        assert set(load.others) <= {"not_found", "unavailable", "bad_route"}
        load.others.clear()
        until(lambda: load.others["not_found"] > 200, "others again",
              PATIENCE)
    site.level.check()
    assert site.agent.stop() == 0
