# SPDX-License-Identifier: MIT
"""The demo and the installer of packages, as a newcomer meets them.

What is asked: the demo tells the truth in its exit status, says what is wrong,
and leaves no process and no file, however it ends.
"""

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
DEMO = TOP / "tests/demo/demo.py"
PR_SET_CHILD_SUBREAPER = 36


def adopt(on):
    """Whether processes that lose their parent become children of this one."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(on))


def children():
    """Processes below this one that live; an orphan of the demo is one too."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == os.getpid():
            pid = int(stat.parent.name)
            if state == "Z":
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    pass
            else:
                found.add(pid)
    return found


class Demo:
    """One run of the demo with a temporary folder of its own."""

    def __init__(self, folder, *arguments, **env):
        self.folder, self.lines, self.before = folder, [], children()
        self.process = subprocess.Popen(
            [sys.executable, str(DEMO), *arguments], text=True,
            env={**os.environ, "TMPDIR": str(folder), **env},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)

    def read_until(self, wanted):
        """Reads lines up to one that holds this text."""
        for line in self.process.stdout:
            self.lines.append(line)
            if wanted in line:
                return line
        raise AssertionError(f"no {wanted!r} in:\n" + "".join(self.lines))

    def end(self):
        """(exit status, all that it printed)."""
        self.lines += self.process.stdout.readlines()
        return self.process.wait(30), "".join(self.lines)

    def left(self):
        """What is left of it: processes (given a moment to die) and files."""
        for _ in range(100):
            alive = children() - self.before
            if not alive:
                break
            time.sleep(0.02)
        return alive, os.listdir(self.folder)


@pytest.fixture
def demo(tmp_path):
    runs = []
    adopt(True)

    def start(*arguments, **env):
        runs.append(Demo(tmp_path, *arguments, **env))
        return runs[-1]

    yield start
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()
        run.process.stdout.close()
    adopt(False)


def script(folder, text):
    path = folder / "agent"
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_all_is_as_expected(demo, haproxy_binary):
    run = demo(HAPROXY=haproxy_binary)
    status, said = run.end()
    assert status == 0, said
    assert "FAIL" not in said
    assert re.search(r"^\d+ as expected, 0 not", said, re.M)
    for shown in ("Host: APP1", "(*.shop", "404", "HSET", "HTTP/2 worker", "websocket",
                  "Redis stopped", "Redis back", "0 failed"):
        assert shown in said
    assert run.left() == (set(), [])


@pytest.mark.parametrize("text", ["#!/bin/false\n", "no program"])
def test_an_agent_that_does_not_start_is_named(demo, tmp_path_factory, text):
    run = demo(SPOA_ROUTER=script(tmp_path_factory.mktemp("bin"), text))
    status, said = run.end()
    assert status == 1
    assert "demo: agent" in said and "Traceback" not in said
    assert run.left() == (set(), [])


def test_an_agent_that_answers_nothing_fails(demo, tmp_path_factory):
    mute = script(tmp_path_factory.mktemp("bin"), f"""#!{sys.executable}
import socket, sys, time
host, port = sys.argv[sys.argv.index("--listen") + 1].split(":")
link = socket.create_server((host, int(port)), backlog=1000)
print("I say nothing", flush=True)
time.sleep(60)
""")
    run = demo(SPOA_ROUTER=mute, HAPROXY="haproxy")
    status, said = run.end()
    assert status == 1
    assert re.search(r"FAIL +GET / Host: app1.cloud.com +worker1 +503", said), said
    assert "I say nothing" in said, "the agent's log is not shown"
    assert run.left() == (set(), [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", ["spoa-router with", "what was done", "404", "HSET"])
def test_a_signal_ends_it_all(demo, number, moment):
    run = demo()
    run.read_until(moment)
    if moment == "spoa-router with":
        time.sleep(0.1)  # amid the start of the servers
    run.process.send_signal(number)
    status, said = run.end()
    assert status == 128 + number, said
    assert "Traceback" not in said
    assert run.left() == (set(), [])


def test_its_servers_do_not_outlive_it(demo):
    run = demo()
    run.read_until("404")
    run.process.kill()
    run.end()
    assert run.left()[0] == set()


def test_a_reader_that_goes_away_ends_it(demo):
    run = demo()
    run.read_until("404")
    run.process.stdout.close()
    assert run.process.wait(30) == 1
    assert run.left() == (set(), [])


def test_run_stays_until_ctrl_c(demo):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    run = demo("--run", ROUTER_BIND=f"127.0.0.1:{port}")
    run.read_until("Ctrl-C")
    said = "".join(run.lines)
    hint = re.search(r"redis-cli (-p \d+) HSET (routes app3.cloud.com \S+)", said)
    assert hint, said

    def worker(host):
        request = urllib.request.Request(f"http://127.0.0.1:{port}/",
                                         headers={"Host": host})
        try:
            with urllib.request.urlopen(request, timeout=5) as page:
                return page.headers["X-Worker"]
        except urllib.error.HTTPError as error:
            return error.code

    assert worker("app1.cloud.com") == "worker1"
    assert worker("app3.cloud.com") == 404
    subprocess.run(["redis-cli", *hint[1].split(), "HSET", *hint[2].split()], check=True,
                   stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 5
    while worker("app3.cloud.com") == 404 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert worker("app3.cloud.com") == "worker3"
    run.process.send_signal(signal.SIGINT)
    assert run.end()[0] == 130
    assert run.left() == (set(), [])


def test_run_says_that_the_port_is_taken(demo):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run = demo("--run", ROUTER_BIND="127.0.0.1:%d" % taken.getsockname()[1])
        status, said = run.end()
    assert status == 1
    assert "is in use" in said and "ROUTER_BIND" in said and "Traceback" not in said
    assert run.left() == (set(), [])


# -- tests/deps.sh ----------------------------------------------------------


@pytest.fixture
def deps():
    """deps.sh where anybody may read it, since it is run as nobody."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        path = shutil.copy(TOP / "tests/deps.sh", folder)
        sudo = Path(folder, "sudo")  # as where it wants a password
        sudo.write_text("#!/bin/sh\nexit 1\n")
        sudo.chmod(0o755)

        def run(*purposes, **env):
            return subprocess.run(
                ["bash", path, *purposes], capture_output=True, text=True, cwd="/",
                timeout=60, env={"PATH": f"{folder}:/usr/bin:/bin", **env},
                **({"user": "nobody", "extra_groups": []} if os.getuid() == 0 else {}))
        yield run


def test_deps_says_nothing_when_all_is_there(deps):
    done = deps("build", "demo", "test")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_deps_without_root_prints_the_line(deps):
    # pkg-config with no folder to look in: what a machine without -dev packages says
    done = deps("build", PKG_CONFIG_LIBDIR="/nowhere")
    assert done.returncode == 1
    assert "missing" in done.stdout and "libevent-dev" in done.stdout
    assert re.search(r"apt-get install .*libevent-dev.*libhiredis-dev", done.stderr)


def test_deps_refuses_an_unknown_purpose(deps):
    for purposes in ((), ("build", "everything")):
        done = deps(*purposes)
        assert done.returncode == 2 and "usage" in done.stderr
