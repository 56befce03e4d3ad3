# SPDX-License-Identifier: MIT
"""Last known routes on disk: a start while Redis is away."""

import os
import stat
import subprocess
import time

import pytest

import kit
from resp import SLOW, FakeRedis, until
from spop import Peer

T, U = "10.0.0.1:80", "10.0.0.2:80"


@pytest.fixture
def redis():
    with kit.Redis() as found:
        yield found


def ask(agent, host):
    with Peer(agent.where) as peer:
        return peer.ask(host)


def start(start_agent, redis, path, *options):
    return start_agent("--redis", redis.url, "--snapshot", str(path),
                       *options)


def known_then_gone(start_agent, redis, path, *options):
    """A file of an agent that knew a.example, *.wild and that no.example has
    no route; then Redis is gone."""
    redis.cmd("HSET", "routes", "a.example", T, "*.wild", U)
    agent = start(start_agent, redis, path, *options)
    until(lambda: ask(agent, "a.example").target == T, "a.example")
    assert ask(agent, "x.wild").target == U
    assert ask(agent, "no.example").status == "not_found"
    assert agent.stop() == 0
    redis.stop()


def test_known_hosts_are_served_without_redis(start_agent, redis, tmp_path):
    path = tmp_path / "snapshot"
    known_then_gone(start_agent, redis, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["snapshot"]
    agent = start(start_agent, redis, path)
    began = time.monotonic()
    until(lambda: ask(agent, "a.example").target == T, "a.example", 1)
    assert time.monotonic() - began < 1
    assert ask(agent, "a.example").source == "stale"
    assert ask(agent, "x.wild").target == U
    assert ask(agent, "no.example").status == "unavailable"
    assert ask(agent, "never.example").status == "unavailable"


def test_redis_wins_over_the_snapshot(start_agent, redis, tmp_path):
    path = tmp_path / "snapshot"
    known_then_gone(start_agent, redis, path)
    redis.start()
    redis.cmd("DEL", "routes")
    redis.cmd("HSET", "routes", "a.example", U)
    agent = start(start_agent, redis, path)
    assert ask(agent, "a.example").target == U
    assert ask(agent, "x.wild").status == "not_found"


def test_older_than_stale_is_not_served(start_agent, redis, tmp_path):
    path = tmp_path / "snapshot"
    known_then_gone(start_agent, redis, path)
    time.sleep(1.1)
    agent = start(start_agent, redis, path, "--stale", "1s")
    assert ask(agent, "a.example").status == "unavailable"


def test_the_file_does_not_age_while_nothing_changes(start_agent, tmp_path):
    """What was asked for again is as good as new."""
    path = tmp_path / "snapshot"
    lives = ("--ttl", "200ms", "--stale", f"{3 * SLOW}s")
    with FakeRedis({"a.example": T}) as fake:
        agent = start(start_agent, fake, path, *lives)
        until(lambda: ask(agent, "a.example").target == T, "a.example")
        until(path.exists, "the file", 10)
        end = time.monotonic() + 4 * SLOW
        while time.monotonic() < end:
            assert ask(agent, "a.example").target == T
            time.sleep(0.05)
        agent.stop()
    agent = start(start_agent, fake, path, *lives)
    assert ask(agent, "a.example").target == T


def test_what_has_ended_does_not_come_back(start_agent, tmp_path):
    """Neither the file nor a start lengthens how long a route is served."""
    path = tmp_path / "snapshot"
    lives = ("--ttl", "200ms", "--negative-ttl", "200ms", "--stale",
             f"{3 * SLOW}s")
    with FakeRedis({"a.example": T, "b.example": U}) as fake:
        agent = start(start_agent, fake, path, *lives)
        until(lambda: ask(agent, "a.example").target == T, "a.example")
        began = time.monotonic()
        time.sleep(1.5 * SLOW)
        assert ask(agent, "b.example").target == U
        agent.stop()
    agent = start(start_agent, fake, path, *lives)
    assert ask(agent, "a.example").source == "stale"
    until(lambda: ask(agent, "a.example").status == "unavailable", "the end")
    assert time.monotonic() - began < 4.2 * SLOW
    assert ask(agent, "b.example").target == U
    agent.stop()
    agent = start(start_agent, fake, path, *lives)
    assert ask(agent, "a.example").status == "unavailable"


@pytest.mark.parametrize("damage", [
    lambda raw: b"",
    lambda raw: raw[:10],
    lambda raw: raw[:30],
    lambda raw: raw[:-1],
    lambda raw: raw[:len(raw) // 2],
    lambda raw: raw + b"x",
    lambda raw: raw[:40] + bytes([raw[40] ^ 1]) + raw[41:],
    lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]),
    lambda raw: raw.replace(b"snapshot 1", b"snapshot 2"),
    lambda raw: b"#!/bin/sh\necho not ours, but long enough to be read\n",
    lambda raw: bytes(100),
    lambda raw: b"\xff" * 100,
], ids=range(12))
def test_a_bad_file_is_refused(start_agent, redis, tmp_path, damage):
    path = tmp_path / "snapshot"
    known_then_gone(start_agent, redis, path)
    path.write_bytes(damage(path.read_bytes()))
    agent = start(start_agent, redis, path)
    until(lambda: agent.log().count("snapshot refused") == 1, "one line")
    assert ask(agent, "a.example").status == "unavailable"


def test_each_damaged_byte_is_noticed(start_agent, redis, tmp_path):
    path = tmp_path / "snapshot"
    known_then_gone(start_agent, redis, path)
    raw = path.read_bytes()
    for at in range(0, len(raw), 7):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 0x10]) + raw[at + 1:])
        agent = start(start_agent, redis, path)
        until(lambda: "snapshot refused" in agent.log(), f"byte {at}")
        agent.process.kill()
        agent.process.wait()
        agent.process = None


def test_what_is_no_file_is_refused(start_agent, redis, tmp_path):
    agent = start(start_agent, redis, tmp_path)
    until(lambda: "snapshot refused" in agent.log(), "a folder")
    assert ask(agent, "a.example").status == "not_found"


def test_a_pipe_is_not_waited_for(start_agent, redis, tmp_path):
    os.mkfifo(tmp_path / "snapshot")
    agent = start(start_agent, redis, tmp_path / "snapshot")
    assert "snapshot refused" in agent.log()


def test_a_folder_that_is_not_there_is_said(start_agent, redis, tmp_path):
    redis.cmd("HSET", "routes", "a.example", T)
    agent = start(start_agent, redis, tmp_path / "no" / "snapshot")
    until(lambda: ask(agent, "a.example").target == T, "a.example")
    assert agent.stop() == 0
    assert "snapshot cannot be written" in agent.log()


def test_a_link_is_not_followed(start_agent, redis, tmp_path):
    redis.cmd("HSET", "routes", "a.example", T)
    os.symlink(tmp_path / "other", tmp_path / "snapshot.new")
    agent = start(start_agent, redis, tmp_path / "snapshot")
    until(lambda: ask(agent, "a.example").target == T, "a.example")
    assert agent.stop() == 0
    assert "snapshot cannot be written" in agent.log()
    assert not (tmp_path / "other").exists()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one page, which another file has filled."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "none", str(folder)]
    if subprocess.run(mount, stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("may not mount")
    (folder / "other").write_bytes(bytes(4096))
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_nothing_half(start_agent, redis, small_disk):
    redis.cmd("HSET", "routes", "a.example", T)
    agent = start(start_agent, redis, small_disk / "snapshot")
    until(lambda: ask(agent, "a.example").target == T, "a.example")
    assert agent.stop() == 0
    assert "No space left" in agent.log()
    assert os.listdir(small_disk) == ["other"]


def test_it_is_written_while_running(start_agent, redis, tmp_path):
    """So that a crash costs a minute at most; by the loop, in slices."""
    hosts = [f"h{n}.example" for n in range(3000)]
    redis.cmd("HSET", "routes", *[word for host in hosts
                                  for word in (host, T)])
    path = tmp_path / "snapshot"
    agent = start(start_agent, redis, path, "--lookup-timeout", "2s")
    with Peer(agent.where) as peer:
        for at in range(0, len(hosts), 100):
            peer.ask_all(hosts[at:at + 100])
        until(path.exists, "the file", 10)
        assert peer.ask("h0.example").target == T
    agent.process.kill()
    agent.process.wait()
    agent.process = None
    redis.stop()
    agent = start(start_agent, redis, path)
    assert "entries=3002" in agent.log()  # *.example and * are absent
    for host in hosts[::500]:
        assert ask(agent, host).target == T
