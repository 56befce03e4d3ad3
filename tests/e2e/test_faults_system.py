# SPDX-License-Identifier: MIT
"""The system runs out of something, or lies about the time, while requests go
on."""

import os
import pathlib
import re
import resource
import shutil
import struct
import subprocess
import time

import pytest

import kit
from faults import PATIENCE, Level, Load
from kit.agent import binary
from resp import sanitized, until
from spop import Peer

GROUP_SIZE = 16 << 20  # bytes
HOSTS = [f"known{i}.example" for i in range(20)]


@pytest.fixture
def site(redis, start_agent):
    """site(options, value) -> (agent, level) of an agent that knows HOSTS."""
    def start(*options, value="10.0.0.1:80", **more):
        redis.cmd("HSET", "routes", *(word for host in HOSTS
                                      for word in (host, value)))
        port = kit.free_port()
        agent = start_agent("--redis", redis.url, "--admin",
                            f"127.0.0.1:{port}", "--negative-ttl", "0",
                            *options, **more)
        with Peer(agent.where) as peer:
            until(lambda: {a.status for a in peer.ask_all(HOSTS)} == {"ok"},
                  "the hosts to be known", PATIENCE)
        start.agents.append(agent)
        return agent, Level(agent, port)
    start.agents, start.redis = [], redis
    yield start
    for agent in start.agents:
        assert agent.stop() == 0
        agent.close()


def is_live(site, agent, number):
    """A change of now reaches the answers."""
    with Peer(agent.where) as peer:
        site.redis.cmd("HSET", "routes", HOSTS[0], f"10.0.0.2:{number}")
        until(lambda: peer.ask(HOSTS[0]).port == number, "a change", PATIENCE)


def test_no_descriptor_is_left(site):
    """Nobody new comes in and no lost connection to Redis can be replaced; what
    is known is served, and nothing spins."""
    agent, level = site("--check-interval", "50ms",
                        value="127.0.0.1:1, 127.0.0.1:2")
    limits = resource.prlimit(agent.pid, resource.RLIMIT_NOFILE)
    with Load(agent, HOSTS) as load:
        level.note(load.peers)
        resource.prlimit(agent.pid, resource.RLIMIT_NOFILE,
                         (agent.fds(), limits[1]))
        site.redis.cmd("CLIENT", "KILL", "TYPE", "normal")
        site.redis.cmd("CLIENT", "KILL", "TYPE", "pubsub")
        held = [Peer(agent.where, greet=False) for _ in range(20)]
        spent = agent.cpu()
        load.more(300)
        time.sleep(0.3)
        assert agent.cpu() - spent < 2, "spins"
        assert agent.log().count("\n") < 100
        for peer in held:
            peer.close()
        resource.prlimit(agent.pid, resource.RLIMIT_NOFILE, limits)
        is_live(site, agent, 7)
        load.more(300)
        load.check()
        load.others.clear()
        until(lambda: load.others["not_found"] > 100, "others again",
              PATIENCE)
    level.check()


@pytest.mark.skipif(sanitized(binary()), reason="needs all addresses")
def test_no_memory_is_left(site):
    """New hosts find no place, or no reply does; known ones are served, and it
    does not end."""
    agent, level = site()
    limits = resource.prlimit(agent.pid, resource.RLIMIT_AS)
    with open(f"/proc/{agent.pid}/statm", encoding="ascii") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    with Load(agent, HOSTS) as load, Peer(agent.where, timeout=20) as peer:
        resource.prlimit(agent.pid, resource.RLIMIT_AS,
                         (size + (1 << 20), limits[1]))
        for batch in range(20):
            words = [f"h{batch}x{i}{'y' * 150}.example" for i in range(1000)]
            site.redis.cmd("HSET", "routes", *(w for word in words
                                               for w in (word, "10.0.0.1:80")))
            for i in range(0, 1000, 200):
                for answer in peer.ask_all(words[i:i + 200]):
                    assert answer.status in ("ok", "unavailable"), answer
        load.more(200)
        resource.prlimit(agent.pid, resource.RLIMIT_AS, limits)
        assert level.count("cache_failures_total") > 0 or \
            "Cannot allocate memory" in agent.log()
        is_live(site, agent, 7)
        assert peer.ask("h0x0" + "y" * 150 + ".example").status == "ok"
        load.check()
    assert agent.running


class Group:
    """A cgroup with a limit of memory, of version 2 or 1."""

    def __init__(self, size):
        top = pathlib.Path("/sys/fs/cgroup")
        for folder, limit, events in (
                (top, "memory.max", "memory.events"),
                (top / "memory", "memory.limit_in_bytes",
                 "memory.oom_control")):
            self.path = folder / f"spoa-test-{os.getpid()}"
            try:
                self.path.mkdir()
            except OSError:
                continue
            self.events = self.path / events
            if (self.path / limit).exists():
                (self.path / limit).write_text(str(size))
                return
            self.path.rmdir()
        pytest.skip("no cgroup can be made that limits memory")

    @property
    def prefix(self):
        return ["sh", "-c", f"echo $$ >{self.path}/cgroup.procs && exec \"$@\"",
                "sh"]

    @property
    def kills(self):
        return int(re.search(r"^oom_kill (\d+)", self.events.read_text(),
                             re.M).group(1))


@pytest.fixture
def group():
    found = Group(GROUP_SIZE)
    yield found
    until(lambda: not (found.path / "cgroup.procs").read_text(),
          "the group to be empty", PATIENCE)
    found.path.rmdir()


@pytest.mark.skipif(sanitized(binary()), reason="needs memory itself")
def test_a_container_is_full(group, site):
    """A limit that a small container would have, and a flood of new hosts: the
    cache keeps to its own bound, and the kernel has nobody to kill."""
    agent, level = site("--cache-size", "50000", prefix=group.prefix)
    with Load(agent, HOSTS) as load, Peer(agent.where, timeout=20) as peer:
        level.note(load.peers + 1)
        for batch in range(100):
            hosts = [f"x{batch}x{i}.{'y' * 60}.example" for i in range(1000)]
            site.redis.cmd("HSET", "routes", *(w for host in hosts[:100] for w
                                               in (host, "10.0.0.1:80")))
            for i in range(0, 1000, 250):
                peer.ask_all(hosts[i:i + 250])
        load.more(200)
        load.check()
        assert level.count("cache_evictions_total") > 0
        print(f"{level.rss >> 10} to {agent.rss() >> 10} KiB of "
              f"{GROUP_SIZE >> 10}")
        is_live(site, agent, 7)
    assert agent.running and group.kills == 0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a few pages, which another file has filled."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if subprocess.run(mount, stderr=subprocess.DEVNULL,
                      check=False).returncode != 0:
        pytest.skip("may not mount")
    (folder / "other").write_bytes(bytes(65536))
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_the_disk_is_full_for_a_while(site, small_disk):
    """The snapshot is given up, said and counted; the next one is whole."""
    agent, level = site("--snapshot", str(small_disk / "snapshot"))
    with Load(agent, HOSTS) as load:
        until(lambda: level.count("snapshot_failures_total") > 0,
              "the first snapshot", PATIENCE)
        assert "No space left" in agent.log()
        assert sorted(path.name for path in small_disk.iterdir()) == ["other"]
        load.more(100)
        load.check()
        (small_disk / "other").unlink()
    assert agent.stop() == 0
    site.redis.kill()
    agent.start()
    with Peer(agent.where) as peer:
        until(lambda: {a.status for a in peer.ask_all(HOSTS)} == {"ok"},
              "the hosts of the snapshot", PATIENCE)


def test_dns_falls_silent(site, hosts_file):
    """Names keep their last addresses; whoever asks for one that was never
    heard of waits a little and is told."""
    with kit.DNS({"one.test": ["10.0.0.1"], "new.test": ["10.0.0.2"]}) as dns:
        agent, level = site(
            "--lookup-timeout", "100ms", value="one.test:80",
            prefix=hosts_file(resolver=dns.resolv_conf))
        with Load(agent, HOSTS) as load:
            level.note(load.peers)
            dns.pause()
            asked = level.count("names_resolutions_total")
            until(lambda: level.count("names_resolutions_total") > asked,
                  "a refresh", PATIENCE)
            site.redis.cmd("HSET", "routes", "new.example", "new.test:80")
            with Peer(agent.where) as peer:
                assert peer.ask("new.example").status == "unavailable"
                load.more(300)
                dns.resume()
                until(lambda: peer.ask("new.example").status == "ok",
                      "the new name", PATIENCE)
            load.more(100)
            load.check()
        level.check()


CLOCK = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long step(void)
{
	long seconds = 0;
	int fd = open(getenv("CLOCK_STEP"), O_RDONLY);

	if (fd >= 0 && read(fd, &seconds, sizeof(seconds)) < 0)
		seconds = 0;
	close(fd);
	return seconds;
}

int clock_gettime(clockid_t id, struct timespec *now)
{
	int done = (int)syscall(SYS_clock_gettime, id, now);

	if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
		now->tv_sec += step();
	return done;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec time;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &time);
	now->tv_sec = time.tv_sec;
	now->tv_usec = time.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *to)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (to)
		*to = now.tv_sec;
	return now.tv_sec;
}
"""


@pytest.mark.skipif(sanitized(binary()), reason="its runtime must come first")
def test_the_clock_steps(site, tmp_path):
    """Years ahead, years back: no life ends sooner or later, changes are live,
    and the snapshot of such a time is read again."""
    if not shutil.which("cc"):
        pytest.skip("needs a compiler")
    (tmp_path / "clock.c").write_text(CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "clock.so",
                    tmp_path / "clock.c"], check=True)
    step = tmp_path / "step"

    def step_to(years):
        (tmp_path / "step.new").write_bytes(
            struct.pack("l", years * 365 * 86400))
        (tmp_path / "step.new").rename(step)
    step_to(0)
    snapshot = tmp_path / "snapshot"
    agent, level = site("--snapshot", str(snapshot), "--ttl", "1h", env={
        "LD_PRELOAD": tmp_path / "clock.so", "CLOCK_STEP": step})
    with Load(agent, HOSTS) as load:
        level.note(load.peers)
        for number, years in enumerate((2, -3, 10, 0), 1):
            step_to(years)
            is_live(site, agent, number)
            lookups = level.count("lookups_total")
            load.known.clear()
            load.more(100)
            assert level.count("answers_total") > lookups
            load.check()
        step_to(5)
    level.check()
    assert agent.stop() == 0
    year = time.gmtime(time.time() + 5 * 365 * 86400).tm_year
    assert f"ts={year}" in agent.log()
    step_to(0)  # the snapshot comes from years ahead
    site.redis.kill()
    agent.start()
    with Peer(agent.where) as peer:
        until(lambda: {a.status for a in peer.ask_all(HOSTS)} == {"ok"},
              "the hosts of the snapshot", PATIENCE)
