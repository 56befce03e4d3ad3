# SPDX-License-Identifier: MIT
"""No memory: one allocation of a few fails, or each in turn, anywhere in the
agent and in the libraries that it uses. It lives on, and is well when there is
memory again."""

import http.client
import os
import pathlib
import signal
import struct
import subprocess

import pytest

import kit
from faults import PATIENCE, Level
from kit.admin import NOWHERE, Admin
from resp import Speaker, until
from spop import ACK, Peer, hello, question

HERE = pathlib.Path(__file__).parent
pytestmark = pytest.mark.skipif(
    "VALGRIND" in os.environ, reason="valgrind has an allocator of its own")
FAR = 1 << 30  # allocations: none is that far away


class Hunger:
    """The file that says which allocations fail: struct order of starve.c."""

    def __init__(self, folder):
        self.library, self.path = folder / "starve.so", folder / "starve"
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1",
                        "-o", self.library, HERE / "starve.c"], check=True)
        self.path.write_bytes(bytes(12))

    def order(self, one_of=0, nth=0):
        """One of so many fails; or the n-th from now, and no other."""
        with open(self.path, "r+b") as file:
            file.write(struct.pack("=II", one_of, nth))

    @property
    def read(self):
        return struct.unpack("=III", self.path.read_bytes())

    @property
    def failures(self):
        return self.read[2]

    @property
    def nth(self):
        """What is left to count; 0: it failed."""
        return self.read[1]

    @property
    def env(self):
        return {"LD_PRELOAD": self.library, "STARVE": self.path,
                "ASAN_OPTIONS": "verify_asan_link_order=0:"
                "allocator_may_return_null=1"}


@pytest.fixture
def hunger(tmp_path):
    return Hunger(tmp_path)


def ask(where, hosts):
    """On a new connection: the answers that came before its end."""
    try:
        with Peer(where, greet=False, timeout=20) as peer:
            peer.send(hello() + b"".join(question(host, i + 1) for i, host
                                         in enumerate(hosts)))
            peer.shut()
            return [f.answer() for f in peer.rest() if f.kind == ACK]
    except OSError:
        return []


@pytest.mark.parametrize("one_of", [100, 20, 5, 2])
def test_memory_runs_out_and_comes_back(start_agent, redis, tmp_path, hunger,
                                        one_of):
    redis.cmd("HSET", "routes", "a.example", "10.0.0.1:80", "b.example",
              "10.0.0.1:80,10.0.0.2:80;balance source check tcp")
    agent = start_agent("--redis", redis.url, "--snapshot",
                        tmp_path / "snapshot", "--admin", f"unix:{tmp_path}/admin",
                        env=hunger.env)
    until(lambda: [a.status for a in ask(agent.where, ["a.example"])]
          == ["ok"], "Redis", 20)
    idle = agent.fds()
    hunger.order(one_of=one_of)
    with Speaker(redis.where) as say:
        for i in range(300):
            hosts = ["a.example", "b.example", f"h{i}.example", "a b"]
            for answer in ask(agent.where, hosts):
                assert answer.status in ("ok", "not_found", "unavailable",
                                         "bad_host", "bad_route")
            say("HSET", "routes", f"h{i}.example", "10.0.0.1:80")
            say("PUBLISH", "routes:changed", "a.example")
            if i % 20 == 19:
                say("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                say("CLIENT", "KILL", "TYPE", "pubsub")
            assert agent.running
    assert hunger.failures > 0
    hunger.order()
    until(lambda: [a.status for a in
                   ask(agent.where, ["a.example", "h7.example"])]
          == ["ok", "ok"], "all to be well again", 30)
    until(lambda: agent.fds() <= idle + 2, "descriptors to be closed", 30)
    print(f"{hunger.failures} allocations failed")
    assert agent.stop() == 0


def options(folder):
    """All that an agent can be told to open."""
    return ["--listen", f"unix:{folder}/listen", "--admin",
            f"unix:{folder}/admin", "--snapshot", folder / "snapshot",
            "--feedback", f"unix:{folder}/feedback", "--preload",
            "--haproxy-socket", folder / "haproxy"]


SERVERS = {
    "redis": NOWHERE,
    "name": "redis://user:password@nowhere.test:1",
    "sentinel": "redis-sentinel://127.0.0.1:1,[::1]:1/main",
}


@pytest.mark.parametrize("server", SERVERS)
def test_each_allocation_of_a_start(agent_binary, tmp_path, hunger, server):
    """It says why and ends, or it serves; and then stops as ever."""
    refused = 0
    # libevent keeps what it has begun to resolve
    env = {"LSAN_OPTIONS": "detect_leaks=0"} if server == "name" else {}
    for nth in range(1, 1000):
        hunger.order(nth=nth)
        with kit.Agent(*options(tmp_path), "--redis", SERVERS[server],
                       env=hunger.env | env, wait=False) as agent:
            until(lambda: not agent.running or agent.count_starts(),
                  "a start or an end", PATIENCE)
            is_done, started = hunger.nth > 0, agent.running
            hunger.order()
            status = agent.stop()
            assert status == (0 if started else 1), (nth, agent.log())
            if not started:
                refused += 1
                assert "\nspoa-router: " in "\n" + agent.log(), nth
        if is_done:
            break
    print(f"{nth - 1} places, {refused} refused")
    assert is_done and refused > 10


def test_each_allocation_of_a_stop(start_agent, redis, tmp_path, hunger):
    """The snapshot is a whole one, this one or the one before."""
    redis.cmd("HSET", "routes", "a.example", "10.0.0.1:80")
    for nth in range(1, 100):
        agent = start_agent("--redis", redis.url, *options(tmp_path),
                            env=hunger.env)
        until(lambda: [a.status for a in ask(agent.where, ["a.example"])]
              == ["ok"], "Redis or the snapshot", PATIENCE)
        hunger.order(nth=nth)
        assert agent.stop() == 0
        is_done = hunger.nth > 0
        hunger.order()
        assert not [name for name in os.listdir(tmp_path) if "." in name
                    and name.startswith("snapshot")]
        if is_done:
            break
    assert is_done
    redis.kill()
    agent.start()
    assert ask(agent.where, ["a.example"])[0].status == "ok"


class Site:
    """An agent that knows a.example, and what can happen to it."""

    def __init__(self, redis, start_agent, folder, env):
        self.say = Speaker(redis.where)
        self.number = 0
        port = kit.free_port()
        self.folder = folder
        self.change()
        self.agent = start_agent(
            "--redis", redis.url, "--snapshot", folder / "snapshot",
            "--ttl", "200ms", "--admin", f"127.0.0.1:{port}",
            "--feedback", f"unix:{folder}/feedback", env=env)
        self.admin = Admin(("127.0.0.1", port))
        self.level = Level(self.agent, port)
        self.is_well()
        self.level.note(0)

    def change(self):
        self.number += 1
        self.say("HSET", "routes", "a.example", f"10.0.0.1:{self.number}")

    def is_well(self):
        """Answers come, and changes are live."""
        self.change()
        until(lambda: [a.port for a in ask(self.agent.where, ["a.example"])]
              == [self.number], "a change", PATIENCE)

    def questions(self):
        ask(self.agent.where, ["a.example", f"new{self.number}.example", "a b"])

    def a_change(self):
        self.change()
        self.say("PUBLISH", "routes:changed", "a.example *.example")
        ask(self.agent.where, ["a.example"])

    def redis_is_lost(self):
        line = "redis tells of changes"
        before = self.agent.log().count(line)
        for kind in "normal", "pubsub":
            self.say("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
        ask(self.agent.where, ["a.example", f"new{self.number}.example"])
        until(lambda: self.agent.log().count(line) > before, line, PATIENCE)

    def targets(self):
        host = f"t{self.number}.example"
        self.say("HSET", "routes", host, "127.0.0.1:1,"
                 f"127.0.0.1:{self.number + 2};balance source check http /x")
        ask(self.agent.where, [host] * 2)
        self.say("HDEL", "routes", host)

    def look(self):
        for method, path in (("GET", "/metrics"), ("GET", "/readyz"),
                             ("GET", "/explain?host=a.example"),
                             ("GET", "/routes?limit=2"), ("GET", "/"),
                             ("GET", "/page.css"), ("GET", "/nothing"),
                             ("POST", "/flush?host=a.example")):
            try:
                self.admin.ask(method, path)
            except OSError:  # not accepted, or cut
                pass
            except http.client.HTTPException:
                pass

    def reload(self):
        lines = self.agent.log().count("reload")
        self.agent.process.send_signal(signal.SIGHUP)
        until(lambda: self.agent.log().count("reload") > lines, "a reload",
              PATIENCE)


STORIES = ["questions", "a_change", "redis_is_lost", "targets", "look",
           "reload"]
STEPS = {"redis_is_lost": 7}  # one takes a second: not all of them


@pytest.mark.parametrize("story", STORIES)
def test_each_allocation_while_it_serves(start_agent, redis, tmp_path, hunger,
                                         story):
    """It lives on, and after each of them it is well again. Where libevent
    does as well without its reserve, it has none."""
    alone = {} if story == "look" else {"NO_RESERVE": 1}
    site = Site(redis, start_agent, tmp_path, hunger.env | alone)
    hunger.order(nth=FAR)
    getattr(site, story)()
    site.is_well()
    places = FAR - hunger.nth
    for nth in range(1, places + 1, STEPS.get(story, 1)):
        hunger.order(nth=nth)
        getattr(site, story)()
        hunger.order()
        site.is_well()
        assert site.agent.running
    print(f"{places} places, {hunger.failures} failed")
    assert hunger.failures > 5
    until(lambda: site.level.count("push_connected") == 1, "pushes", PATIENCE)
    site.is_well()
    site.level.check()
    assert site.agent.stop() == 0
