# SPDX-License-Identifier: MIT
"""SIGHUP: the configuration is read again, all of it or nothing."""

import re
import signal

import pytest

import kit
from faults import KEPT
from kit.agent import Agent
from kit.admin import Admin
from resp import until
from spop import Peer
from test_fastpath import start as start_fast, workers  # noqa: F401
from test_haproxy_choices import Load

TARGET = "10.9.0.1:80"


class Bench:
    """An agent with a file, its Redis and its admin side."""

    def __init__(self, redis, folder, free_port, *lines, options=()):
        self.redis, self.file = redis, folder / "router.conf"
        self.port = free_port()
        self.admin = Admin(("127.0.0.1", free_port()))
        self.fixed = [f"redis = {redis.url}",
                      f"listen = 127.0.0.1:{self.port}",
                      "admin = %s:%d" % self.admin.where]
        self.write(*lines)
        self.agent = Agent("--config", self.file, *options, wait=False)
        self.agent.where = "127.0.0.1", self.port
        self.agent.wait_ready()
        self.peer = Peer(self.agent.where)

    def write(self, *lines):
        # A busy machine may be slow to answer.
        patience = [] if any("lookup-timeout" in line for line in lines) \
            else ["lookup-timeout = 10s"]
        self.file.write_text("\n".join([*self.fixed, *lines, *patience])
                             + "\n")

    def reload(self, *lines, result="done"):
        """Writes the file, says SIGHUP and waits until that is over."""
        key = 'spoa_router_reloads_total{result="%s"}' % result
        before = self.admin.metrics()[key]
        self.write(*lines)
        self.agent.process.send_signal(signal.SIGHUP)
        until(lambda: self.admin.metrics()[key] > before, "the reload", 20)

    def config(self, name):
        """[(value, whence)]"""
        return [(row["value"], row["from"])
                for row in self.admin.json("/config") if row["name"] == name]

    def lines(self, message):
        return [line for line in self.agent.log().splitlines()
                if f'msg="{message}"' in line]


@pytest.fixture
def start(redis, tmp_path, free_port, agent_binary):
    """start(lines of the file, options=...) -> Bench"""
    started = []

    def begin(*lines, options=()):
        started.append(Bench(redis, tmp_path, free_port, *lines,
                             options=options))
        return started[-1]
    yield begin
    for bench in started:
        bench.peer.close()
        assert bench.agent.stop() == 0
        bench.agent.close()


def test_values_and_whence(start):
    bench = start("ttl = 5s", options=("--stale", "1h"))
    assert bench.config("ttl") == [("5s", f"{bench.file}:4: ttl")]
    bench.reload("# a line more", "ttl = 7s", "stale = 2h", "log-format = json")
    assert bench.config("ttl") == [("7s", f"{bench.file}:5: ttl")]
    assert bench.config("stale") == [("1h", "--stale")]
    assert bench.config("log-format")[0][0] == "json"
    assert '"msg":"reloaded","changed":"ttl log-format"' in bench.agent.log()
    bench.reload()
    assert bench.config("ttl") == [("10s", "default")]


@pytest.mark.parametrize("line,what", [
    ("ttl = soon", "ttl"), ("no-such = 1", "no such option"),
    ("deny-target = 10.0.0.0/99", "deny-target"), ("listen = nowhere", "IP:PORT"),
    ("redis-password-file = /nonexistent", "No such file"),
    ("redis-ca = /nonexistent", "/nonexistent")])
def test_an_error_changes_nothing(start, line, what):
    bench = start("ttl = 5s")
    before = bench.admin.json("/config")
    bench.reload("ttl = 9s", "deny-target = 10.9.0.0/16", line,
                 result="refused")
    assert bench.admin.json("/config") == before
    said, = bench.lines("reload refused, nothing has changed")
    assert what in said and "level=error" in said
    bench.redis.cmd("HSET", "routes", "a.test", TARGET)
    assert bench.peer.ask("a.test").status == "ok"
    bench.reload("ttl = 9s")
    assert bench.config("ttl")[0][0] == "9s"


def test_a_file_that_is_gone(start):
    bench = start("ttl = 5s")
    bench.file.rename(f"{bench.file}.away")
    bench.agent.process.send_signal(signal.SIGHUP)
    until(lambda: bench.lines("reload refused, nothing has changed"),
          "the refusal")
    assert bench.config("ttl") == [("5s", f"{bench.file}:4: ttl")]


def test_what_cannot_change_is_named(start, free_port):
    bench = start("ttl = 5s", "check-interval = 1s")
    bench.reload("ttl = 6s", "routes = others", "snapshot = /tmp/x",
                 "check-interval = 0", f"listen = 127.0.0.1:{free_port()}")
    said, = bench.lines("these options change with a restart only")
    assert 'options="listen routes snapshot check-interval"' in said
    assert 'changed=ttl' in bench.lines("reloaded")[0]
    assert bench.config("ttl")[0][0] == "6s"
    assert bench.config("routes") == [("routes", "default")]
    assert bench.config("check-interval")[0][0] == "1s"
    assert len(bench.config("listen")) == 1


def test_the_guard_judges_what_is_cached(start):
    """No question to Redis is needed: it may be away."""
    bench = start("ttl = 1h", "stale = 1h")
    hosts = {"a.test": "ok", "b.test": "bad_route", "any.w.test": "bad_route"}
    bench.redis.cmd("HSET", "routes", "a.test", TARGET, "b.test",
                    "10.8.0.1:80", "*.w.test", "10.8.0.2:80,10.8.0.3:80")
    for host in hosts:
        assert bench.peer.ask(host).status == "ok"
    bench.reload("ttl = 1h", "stale = 1h", "deny-target = 10.8.0.0/16")
    for host, status in hosts.items():
        assert bench.peer.ask(host).status == status
    assert bench.lines("route cannot be used")
    bench.reload("ttl = 1h", "stale = 1h")
    for host in hosts:
        assert bench.peer.ask(host).status == "ok"
    bench.redis.stop()
    bench.reload("ttl = 1h", "stale = 1h", "deny-target = 10.8.0.0/16")
    for host, status in hosts.items():
        assert bench.peer.ask(host).status == status
    bench.redis.start()


def test_the_guard_takes_back_what_is_lent(start_fast, haproxy_binary,  # noqa: F811
                                           tmp_path, free_port):
    file = tmp_path / "router.conf"
    file.write_text("")
    bench = start_fast(haproxy_binary, "--config", file,
                       "--listen", f"127.0.0.1:{free_port()}")
    one, two = bench.workers
    bench.route("app.test", one)
    bench.route("else.test", two)
    bench.lend("app.test")
    file.write_text(f"deny-target = 127.0.0.1:{one.port}\n")
    bench.agent.process.send_signal(signal.SIGHUP)
    until(lambda: bench.ask("app.test").status == 502, "the refusal")
    assert "app.test" not in bench.haproxy.lent()
    for _ in range(5):
        assert bench.ask("app.test").status == 502
    assert bench.ask("else.test").worker == "two"


def test_a_smaller_cache_makes_room(start):
    bench = start("cache-size = 5000")
    bench.redis.cmd("HSET", "routes", *[
        word for i in range(3000) for word in (f"h{i}.test", TARGET)])
    for i in range(3000):
        assert bench.peer.ask(f"h{i}.test").status == "ok"

    def entries():
        return bench.admin.metrics()[
            'spoa_router_cache_entries{kind="value"}']
    assert entries() == 3000
    bench.reload("cache-size = 100")
    until(lambda: entries() == 100, "the entries to go")
    bench.reload("cache-size = 20000")
    for i in range(3000):
        assert bench.peer.ask(f"h{i}.test").status == "ok"
    assert entries() == 3000


def test_bounds_and_times(start):
    bench = start("max-connections = 100", "lookup-timeout = 20s")
    bench.redis.cmd("HSET", "routes", "a.test", TARGET)
    bench.reload("max-connections = 1", "lookup-timeout = 30ms")
    with pytest.raises((AssertionError, OSError)):
        Peer(bench.agent.where)
    assert bench.peer.ask("a.test").status == "ok"
    bench.redis.pause()
    try:
        assert bench.peer.ask("b.test").status == "unavailable"
    finally:
        bench.redis.resume()


def test_checks_follow_the_interval(start, start_worker):
    """Those that would be due in an hour are due at once."""
    worker = start_worker("one")
    bench = start("check-interval = 1h")
    bench.redis.cmd("HSET", "routes", "a.test",
                    f"127.0.0.1:{worker.port}; check tcp")
    assert bench.peer.ask("a.test").status == "ok"
    until(lambda: bench.admin.metrics().get("spoa_router_targets{state=\"up\"}",
                                            1), "the target")
    bench.reload("check-interval = 100ms", "check-timeout = 100ms",
                 "check-fall = 1")
    worker.stop()
    until(lambda: bench.peer.ask("a.test").status == "down", "the check", 20)


def test_a_new_password(start, tmp_path):
    """It is in the file by the next connection."""
    secret = tmp_path / "password"
    secret.write_text("first\n")
    first = start(f"redis-password-file = {secret}")
    redis = first.redis
    redis.cmd("CONFIG", "SET", "requirepass", "second")
    secret.write_text("second\n")
    first.reload(f"redis-password-file = {secret}", "ttl = 3s")
    redis.stop()
    redis.options = [*redis.options, "--requirepass", "second"]
    redis.start(wait=False)
    until(lambda: first.peer.ask("a.test").status == "not_found",
          "the new password", 20)
    assert "second" not in first.agent.log()


def test_no_request_is_lost(start, haproxy_binary, start_worker):
    worker = start_worker("one")
    bench = start()
    bench.redis.cmd("HSET", "routes", "a.test", f"127.0.0.1:{worker.port}")
    with kit.HAProxy(haproxy_binary, bench.agent) as haproxy:
        with Load(haproxy, "a.test") as load:
            for i in range(10):
                load.more(30)
                bench.reload(f"ttl = {i % 3}s", f"cache-size = {1 + i}",
                             f"deny-target = 10.{i}.0.0/16")
            load.more(30)
        assert load.seen == {200: load.total}


def test_many_reloads_leak_nothing(start):
    bench = start()
    bench.redis.cmd("HSET", "routes", "a.test", TARGET)

    def reload(i):
        bench.reload(f"ttl = {1 + i}s", f"deny-target = 10.1.{i}.0/24",
                     f"check-timeout = {100 + i}ms", "cache-size = 1000")
        assert bench.peer.ask("a.test").status == "ok"
    for i in range(10):
        reload(i)
    fds, rss = bench.agent.fds(), bench.agent.rss()
    for i in range(10, 60):
        reload(i)
    assert bench.agent.fds() <= fds + 1
    assert bench.agent.rss() < rss + KEPT + 512 * 1024
    assert len(re.findall('msg="reloaded"', bench.agent.log())) == 60
