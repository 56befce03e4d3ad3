# SPDX-License-Identifier: MIT
"""The agent is restarted under load, as an upgrade does: no request fails.

RESTARTS=20 for the figure; RATE=2000 requests a second.
"""

import os
import re
import signal
import subprocess
import time

import pytest

import kit
from kit.agent import Agent, binary
from kit.process import free_port
from kit.supervisor import Activated
from resp import sanitized, until

RESTARTS = int(os.environ.get("RESTARTS", "3"))
RATE = int(os.environ.get("RATE", "2000"))
CLIENTS = 20
# A busy machine connects to Redis late; HAProxy waits for 200 ms.
PATIENT = "--lookup-timeout", "150ms"


class Load:
    """h2load at a rate, over connections that are kept, and what it saw."""

    def __init__(self, port, seconds):
        self.total = RATE * seconds
        self.process = subprocess.Popen(
            ["h2load", "--h1", "-c", str(CLIENTS), "-n", str(self.total),
             f"--rps={RATE // CLIENTS}", f"http://127.0.0.1:{port}/"],
            stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    @property
    def running(self):
        return self.process.poll() is None

    def end(self, seconds):
        out = self.process.communicate(timeout=seconds)[0]
        return {name: int(count) for count, name in re.findall(
            r"(\d+) (succeeded|failed|errored|timeout|[2345]xx)", out)}


@pytest.fixture
def site(haproxy_binary, redis, tmp_path):
    """site(agent) -> HAProxy with the sample configuration; all hosts lead to
    a target. With a sanitizer a start takes longer than HAProxy would wait."""
    env = kit.haproxy.patient(tmp_path) if sanitized(binary()) else None
    target = kit.Target(haproxy_binary)
    redis.cmd("HSET", "routes", "*", target.target)
    started = [target]

    def begin(agent):
        started.append(kit.HAProxy(haproxy_binary, agent, env=env))
        return started[-1]
    yield begin
    for process in reversed(started):
        process.close()


def lost(haproxy, restart, seconds):
    """What a restart in the middle of a load lost: "" is nothing."""
    with Load(haproxy.port, seconds) as load:
        time.sleep(0.5)  # a while of peace: this is load, not a fact
        restart()
        assert load.running, "the load ended before the restart"
        seen = load.end(120)
    if seen["2xx"] == seen["succeeded"] == load.total:
        return ""
    return str((seen, [line for line in haproxy.log().splitlines()
                       if " 200 " not in line][-5:]))


def run(haproxy, restart):
    """Restarts under load, again and again. On a machine that is busy with
    other things HAProxy's patience (three times 200 ms) may be over before the
    next one gets to run, so there is a second chance; not for the figure."""
    started = time.monotonic()
    restart()
    seconds = int(3 + 3 * (time.monotonic() - started))
    chances = 0 if "RESTARTS" in os.environ else 3
    for _ in range(RESTARTS):
        while what := lost(haproxy, restart, seconds):
            assert chances, what
            chances -= 1


def test_restart_with_sockets_of_systemd(site, redis, tmp_path):
    with Activated("--redis", redis.url, *PATIENT, "--snapshot",
                   tmp_path / "snapshot") as agent:
        haproxy = site(agent)

        def restart():
            assert agent.stop() == 0
            agent.start()
        run(haproxy, restart)


def test_takeover_with_reuse_port(site, redis):
    options = ("--listen", f"127.0.0.1:{free_port()}", "--reuse-port",
               "--redis", redis.url, *PATIENT)
    running = [Agent(*options)]
    haproxy = site(running[0])

    def takeover():
        running.append(Agent(*options, wait=False))
        until(lambda: "redis connected" in running[-1].log(), "the new one",
              20)
        assert running[0].stop(signal.SIGTERM) == 0
        running.pop(0).close()
    try:
        run(haproxy, takeover)
    finally:
        running[0].close()
