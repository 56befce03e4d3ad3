# SPDX-License-Identifier: MIT
"""What an answer from the cache asks of the system: its share of one wait, one
read and one write."""

import collections
import os
import re
import signal
import socket
import subprocess

import spop
from flood import MIB, fill
from resp import until
from spop import Peer, integer, notify, question

TURNS = 300
SLACK = 100  # what timers and the link to Redis do meanwhile
HOSTS = [f"h{n}.example" for n in range(16)]


def trace(agent, folder, run):
    """System calls of the agent while run() runs, a line each."""
    # The clock is read without a call, but not on every machine.
    found, log = folder / "calls", folder / "strace"
    with open(log, "w") as errors, subprocess.Popen(
            ["strace", "-f", "-o", found, "-e", "trace=!clock_gettime",
             "-p", str(agent.pid)], stderr=errors) as tracer:
        until(lambda: "attached" in log.read_text(), "strace")
        run()
        tracer.terminate()
    return re.findall(r"^\d+ +(\w+\(.*)", found.read_text(), re.M)


def name_of(call):
    return call.partition("(")[0]


def turns_of(calls):
    """The calls between one wait for events and the next."""
    turns = [[]]
    for call in calls:
        if name_of(call) == "epoll_wait":
            turns.append([])
        else:
            turns[-1].append(call)
    return turns


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
        calls = collections.Counter(map(name_of,
                                        trace(agent, tmp_path, ask)))
    assert calls["recvfrom"] >= TURNS, calls
    assert calls["sendto"] >= TURNS, calls
    assert sum(calls.values()) <= 3 * TURNS + SLACK, calls


def test_a_crowd_at_the_door_waits_for_those_inside(redis, start_agent,
                                                    tmp_path):
    """However many connect, only so many are let in before the others' turn."""
    agent = start_agent("--redis", redis.url)

    def crowd():
        os.kill(agent.pid, signal.SIGSTOP)
        try:
            peers = [socket.create_connection(agent.where)
                     for _ in range(300)]
        finally:
            os.kill(agent.pid, signal.SIGCONT)
        until(lambda: agent.fds() > 300, "all to be let in", 30)
        for peer in peers:
            peer.close()

    let_in = [sum(call.startswith("accept4(") and " = -1" not in call
                  for call in turn)
              for turn in turns_of(trace(agent, tmp_path, crowd))]
    assert sum(let_in) == 300
    assert max(let_in) <= 64


def test_a_large_frame_gives_no_more_of_a_turn(redis, start_agent, tmp_path):
    """The room that it takes is not filled with small ones at once."""
    agent = start_agent("--redis", redis.url)
    large = notify(spop.message("x", ("y", spop.text("z" * (MIB - 64)))))
    small = fill(spop.NOTIFY, 64 * 1024)
    with Peer(agent.where, max_frame_size=integer(MIB), timeout=60) as peer:
        def push():
            for _ in range(4):
                peer.send(large + small)
                peer.frames(1 + len(small) // len(fill(spop.NOTIFY, 20)))

        reads = [int(call.rpartition(" = ")[2])
                 for call in trace(agent, tmp_path, push)
                 if re.match(r"recvfrom\(.* = \d+$", call)]
    assert sum(reads) > 4 * MIB
    assert max(reads) <= 16 * 1024
