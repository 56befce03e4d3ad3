# SPDX-License-Identifier: MIT
"""Under systemd: sockets that outlive us, what it is told, and the units."""

import re
import shutil
import signal
import socket
import subprocess

import pytest

from kit.agent import Agent, binary
from kit.process import TOP
from kit.supervisor import Activated, Supervisor, listening
from resp import FakeRedis, until
from spop import Peer, question
from test_admin import Admin

T = "10.0.0.1:80"

pytestmark = pytest.mark.skipif(
    "without systemd" in subprocess.run(
        [binary(), "--version"], capture_output=True, text=True,
        check=False).stdout, reason="built without libsystemd")


@pytest.fixture
def redis():
    with FakeRedis({"a.example": T}) as found:
        yield found


@pytest.fixture
def manager(tmp_path):
    found = Supervisor(tmp_path)
    yield found
    found.close()


@pytest.fixture
def start(redis):
    """start(options, sockets=...) -> Activated"""
    started = []

    def begin(*options, **more):
        started.append(Activated("--redis", redis.url, "--lookup-timeout",
                                 "10s", *options, **more))
        return started[-1]
    yield begin
    for agent in started:
        agent.close()


# -- what it is told ----------------------------------------------------------


def test_what_the_manager_hears(redis, manager, tmp_path, free_port):
    file = tmp_path / "router.conf"
    file.write_text("")
    with Agent("--redis", redis.url, "--config", file, "--listen",
               f"127.0.0.1:{free_port()}",
               env={"NOTIFY_SOCKET": manager.path}) as agent:
        assert manager.hear() == {"READY": "1", "STATUS": "serving"}
        for line in ("ttl = 3s\n", "ttl = soon\n"):
            file.write_text(line)
            agent.process.send_signal(signal.SIGHUP)
            said = manager.hear()
            assert said["RELOADING"] == "1"
            assert int(said["MONOTONIC_USEC"]) > 0
            said = manager.hear()
            assert said["READY"] == "1"
        assert said["STATUS"] == "serving; the last reload was refused"
        agent.process.send_signal(signal.SIGTERM)
        assert manager.hear()["STOPPING"] == "1"
        assert agent.process.wait(10) == 0


def test_no_reload_while_it_stops(redis, manager):
    """It would be ready again, says systemd."""
    with Agent("--redis", redis.url, "--lookup-timeout", "10s",
               env={"NOTIFY_SOCKET": manager.path}) as agent, \
            Peer(agent.where) as peer:
        assert manager.hear()["READY"] == "1"
        redis.gate.clear()
        peer.send(question("a.example"))
        until(lambda: redis.lookups, "the question that keeps it from ending")
        agent.process.send_signal(signal.SIGTERM)
        assert manager.hear()["STOPPING"] == "1"
        agent.process.send_signal(signal.SIGHUP)
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(10) == 0
        redis.gate.set()
        assert manager.hear()["STOPPING"] == "1"
        manager.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            manager.hear()


def test_watchdog(redis, manager):
    """Signs of life come from the loop: none while it hangs."""
    with Agent("--redis", redis.url,
               env={"NOTIFY_SOCKET": manager.path,
                    "WATCHDOG_USEC": 300000}) as agent:
        assert manager.hear()["READY"] == "1"
        for _ in range(3):
            assert manager.hear() == {"WATCHDOG": "1"}
        agent.pause()
        manager.sock.settimeout(1)
        with pytest.raises(TimeoutError):
            for _ in range(100):
                manager.hear()
        agent.resume()
        manager.sock.settimeout(20)
        assert manager.hear() == {"WATCHDOG": "1"}


# -- sockets ------------------------------------------------------------------


def test_given_socket(start):
    agent = start()
    with Peer(agent.where) as peer:
        assert peer.ask("a.example").status == "ok"
    assert "opened_by=systemd" in agent.log()
    assert "12310" not in agent.log()  # the default address gives way
    agent.stop()
    with Peer(agent.where, greet=False) as waiting:  # nobody is there
        agent.start()
        waiting.greet()
        assert waiting.ask("a.example").status == "ok"


def test_given_and_own(start, free_port):
    """An address of one's own is served besides; the same is not opened twice."""
    given = listening()
    port = free_port()
    agent = start("--listen", "%s:%d" % given.getsockname(), "--listen",
                  f"127.0.0.1:{port}",
                  sockets=[("spoa-router.socket", given)])
    for where in (given.getsockname(), ("127.0.0.1", port)):
        with Peer(where) as peer:
            assert peer.ask("a.example").status == "ok"
    assert agent.log().count('msg="listening"') == 2


def test_unix_socket_stays(start, tmp_path):
    path = str(tmp_path / "spoa.sock")
    agent = start(sockets=[("spoa-router.socket", listening(path))])
    with Peer(path) as peer:
        assert peer.ask("a.example").status == "ok"
    assert agent.stop() == 0
    agent.start()
    with Peer(path) as peer:
        assert peer.ask("a.example").status == "ok"


def test_given_unix_socket_is_not_opened_twice(start, tmp_path):
    path = str(tmp_path / "spoa.sock")
    agent = start("--listen", f"unix:{path}",
                  sockets=[("spoa-router.socket", listening(path))])
    with Peer(path) as peer:
        assert peer.ask("a.example").status == "ok"
    assert agent.log().count('msg="listening"') == 1


def test_unix_admin_socket_stays(start, tmp_path):
    path = str(tmp_path / "admin.sock")
    agent = start(sockets=[("spoa-router.socket", listening()),
                           ("admin", listening(path))])
    assert Admin(path).get("/healthz")
    assert agent.stop() == 0
    agent.start()
    assert Admin(path).get("/healthz")


def test_admin_and_feedback_by_name(start):
    admin = listening()
    agent = start(sockets=[("spoa-router.socket", listening()),
                           ("admin", admin),
                           ("feedback", listening(kind=socket.SOCK_DGRAM))])
    side = Admin(admin.getsockname())
    assert side.get("/healthz")
    feedback = agent.given[2][1].getsockname()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"nonsense", feedback)
    until(lambda: side.metrics()["spoa_router_feedback_malformed_total"] == 1,
          "the datagram")


@pytest.mark.parametrize("name,kind,what", [
    ("spoa-router.socket", socket.SOCK_DGRAM, "must be a stream"),
    ("feedback", socket.SOCK_STREAM, "must take datagrams")])
def test_sockets_of_the_wrong_kind(redis, name, kind, what):
    agent = Activated("--redis", redis.url, wait=False,
                      sockets=[(name, listening(kind=kind))])
    with agent:
        assert agent.process.wait(10) == 1
        assert what in agent.log()


def test_admin_for_all_must_be_said(redis):
    sock = listening(("0.0.0.0", 0))
    with Activated("--redis", redis.url, wait=False,
                   sockets=[("admin", sock)]) as agent:
        assert agent.process.wait(10) == 1
        assert "--admin-public" in agent.log()


# -- units --------------------------------------------------------------------


@pytest.fixture(scope="module")
def units(tmp_path_factory):
    """A folder with the units and what they start, as they are installed."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze")
    root = tmp_path_factory.mktemp("units")
    for unit in [*TOP.glob("debian/*.service"), *TOP.glob("debian/*.socket")]:
        text = unit.read_text().replace("/usr/sbin/spoa-router", binary())
        name = re.sub("@[.]", "@12311.", unit.name)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize("name", ["spoa-router", "spoa-router@12311"])
def test_units_are_valid(units, name):
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no",
         *map(str, units.glob(f"{name}.*"))],
        capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and name not in done.stderr, done.stderr


@pytest.mark.parametrize("name", ["spoa-router", "spoa-router@12311"])
def test_units_are_hardened(units, name):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=20",
         str(units / f"{name}.service")],
        capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    level = re.search(r"exposure level for .*: ([\d.]+)", done.stdout)
    assert float(level[1]) <= 2.0
