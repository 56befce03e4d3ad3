# SPDX-License-Identifier: MIT
"""No memory: one allocation of a few fails, anywhere in the agent and in the
libraries that it uses. It lives on, and is well when there is memory again."""

import os
import pathlib
import struct
import subprocess

import pytest

from kit.agent import binary
from resp import Speaker, sanitized, until
from spop import ACK, Peer, hello, question

HERE = pathlib.Path(__file__).parent


class Hunger:
    """The file that says how many allocations fail."""

    def __init__(self, folder):
        self.library, self.path = folder / "starve.so", folder / "starve"
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-O1",
                        "-o", self.library, HERE / "starve.c"], check=True)
        self.path.write_bytes(bytes(8))

    def set(self, one_of):
        with open(self.path, "r+b") as file:
            file.write(struct.pack("=I", one_of))

    @property
    def failures(self):
        return struct.unpack("=II", self.path.read_bytes())[1]

    @property
    def env(self):
        return {"LD_PRELOAD": self.library, "STARVE": self.path}


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
def test_memory_runs_out_and_comes_back(start_agent, redis, tmp_path, one_of):
    if sanitized(binary()):
        pytest.skip("sanitizers have allocators of their own")
    hunger = Hunger(tmp_path)
    redis.cmd("HSET", "routes", "a.example", "10.0.0.1:80", "b.example",
              "10.0.0.1:80,10.0.0.2:80;balance source check tcp")
    agent = start_agent("--redis", redis.url, "--snapshot",
                        tmp_path / "snapshot", "--admin", f"unix:{tmp_path}/admin",
                        env=hunger.env)
    until(lambda: [a.status for a in ask(agent.where, ["a.example"])]
          == ["ok"], "Redis", 20)
    idle = agent.fds()
    hunger.set(one_of)
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
    hunger.set(0)
    until(lambda: [a.status for a in
                   ask(agent.where, ["a.example", "h7.example"])]
          == ["ok", "ok"], "all to be well again", 30)
    until(lambda: agent.fds() <= idle + 2, "descriptors to be closed", 30)
    print(f"{hunger.failures} allocations failed")
    assert agent.stop() == 0
