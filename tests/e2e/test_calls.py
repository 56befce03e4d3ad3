# SPDX-License-Identifier: MIT
"""What an answer from the cache asks of the system: its share of one wait, one
read and one write."""

import collections
import re
import subprocess

from resp import until
from spop import Peer, question

TURNS = 300
SLACK = 100  # what timers and the link to Redis do meanwhile
HOSTS = [f"h{n}.example" for n in range(16)]


def calls_of(agent, folder, run):
    """System calls of the agent, by name, while run() runs."""
    # The clock is read without a call, but not on every machine.
    found, log = folder / "calls", folder / "strace"
    with open(log, "w") as errors, subprocess.Popen(
            ["strace", "-f", "-o", found, "-e", "trace=!clock_gettime",
             "-p", str(agent.pid)], stderr=errors) as tracer:
        until(lambda: "attached" in log.read_text(), "strace")
        run()
        tracer.terminate()
    names = re.findall(r"^\d+ +(\w+)\(", found.read_text(), re.M)
    return collections.Counter(names)


def test_a_turn_waits_reads_and_writes_once(redis, start_agent, tmp_path):
    for host in HOSTS:
        redis.cmd("HSET", "routes", host, "10.0.0.1:80")
    agent = start_agent("--redis", redis.url, "--ttl", "1h")
    with Peer(agent.where, timeout=30) as peer:
        batch = b"".join(question(host, stream) for stream, host in
                         enumerate(HOSTS, 1))

        def ask():
            for _ in range(TURNS):
                peer.send(batch)
                frames = peer.frames(len(HOSTS))
                assert all(frame.answer().source == "cache"
                           for frame in frames)

        peer.send(batch)
        peer.frames(len(HOSTS))
        calls = calls_of(agent, tmp_path, ask)
    assert calls["recvfrom"] >= TURNS, calls
    assert calls["sendto"] >= TURNS, calls
    assert sum(calls.values()) <= 3 * TURNS + SLACK, calls
