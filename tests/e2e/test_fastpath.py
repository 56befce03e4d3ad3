# SPDX-License-Identifier: MIT
"""The fast path: answers that HAProxy holds itself, and how they are taken
back. With every HAProxy."""

import re

import pytest

import kit
from kit.haproxy import FILES
from resp import until

TABLE = "routes"


class FastHAProxy(kit.HAProxy):
    """HAProxy with the files of the fast path."""

    def __init__(self, binary, agent, socket, **more):
        self.api_path = str(socket)
        super().__init__(
            binary, agent, config=FILES / "haproxy-fastpath.cfg",
            env={"HAPROXY_SOCKET": self.api_path,
                 "SPOE_CONF": str(FILES / "spoe-router-fastpath.conf")},
            **more)

    def api(self, command):
        self.socket = self.api_path
        return super().api(command)

    def lent(self):
        """host -> (address as a number, port) of what the table holds."""
        return {key: (int(ip), int(port)) for key, ip, port in re.findall(
            r"key=(\S+) .*gpt0=(\d+) gpc0=(\d+)",
            self.api(f"show table {TABLE}"))}


class Bench:
    """A Redis, an agent and a HAProxy that is lent to, with two workers."""

    def __init__(self, redis, agent, haproxy, workers):
        self.redis, self.agent, self.haproxy = redis, agent, haproxy
        self.workers = workers

    def route(self, host, worker):
        self.redis.cmd("HSET", "routes", host, getattr(
            worker, "target", worker))

    def ask(self, host, *what, **more):
        return self.haproxy.ask(host, *what, **more)

    def lend(self, *hosts):
        """Asks until the table holds them."""
        for host in hosts:
            until(lambda: self.ask(host) and host in self.haproxy.lent(),
                  f"{host} to be lent")

    def asked(self):
        """How many requests went to the agent."""
        return int(self.haproxy.stat("spoa", "BACKEND", "stot"))


@pytest.fixture(scope="module")
def workers(start_worker):
    return start_worker("one"), start_worker("two")


@pytest.fixture
def start(agent_binary, tmp_path, workers):
    """start(haproxy_binary, *agent options) -> Bench."""
    started = []

    def begin(binary, *options, redis=None, **more):
        path = tmp_path / "api.sock"
        redis = redis or kit.Redis()
        started.append(redis)
        agent = kit.Agent("--redis", redis.url, "--haproxy-socket", path,
                          "--lookup-timeout", "2s", *options)
        started.append(agent)
        haproxy = FastHAProxy(binary, agent, path, **more)
        started.append(haproxy)
        until(lambda: "haproxy socket is open" in agent.log(),
              "the agent to reach the table")
        return Bench(redis, agent, haproxy, workers)
    yield begin
    for process in reversed(started):
        process.close()


@pytest.fixture
def bench(start, haproxy_binary):
    return start(haproxy_binary)


def test_lent_after_two_questions(bench):
    one, _ = bench.workers
    bench.route("app.test", one)
    assert bench.ask("app.test").worker == "one"
    assert not bench.haproxy.lent()
    bench.lend("app.test")
    address, port = bench.haproxy.lent()["app.test"]
    assert (address, port) == (0x7f000001, one.port)
    assert bench.ask("app.test", "/held").worker == "one"
    line = bench.haproxy.line("/held")
    assert (line.status, line.source) == ("ok", "-")
    assert line.target == one.target
    assert not bench.haproxy.alerts()


def test_change_is_taken_back(bench):
    one, two = bench.workers
    bench.route("app.test", one)
    for worker in (two, one) * 5:
        bench.lend("app.test")
        bench.route("app.test", worker)
        until(lambda: bench.ask("app.test").worker == worker.name,
              "the change", 1)
    bench.lend("app.test")
    bench.redis.cmd("HDEL", "routes", "app.test")
    until(lambda: bench.ask("app.test").status == 404, "the removal", 1)
