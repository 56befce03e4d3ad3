# SPDX-License-Identifier: MIT
"""Fixtures of the end-to-end tests; what they give is described in kit/.

    SPOA_ROUTER=path       the agent to test, build/spoa-router by default
    HAPROXY=/a,/b          the HAProxys to test with, all that are found by default
    REDIS_SERVER=path      the Redis, redis-server by default
    REDIS_SERVERS=/a,/b    those to test changes and outages with, all by default
"""

import os
import shutil
import subprocess

import pytest

import kit
import kit.agent
from kit.admin import NOWHERE, Admin
from resp import Speaker
from spop import Peer

SHOWN = 12000  # characters of each log that a failing test shows


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for process in kit.Process.living:
            report.sections += [(title, text[-SHOWN:])
                                for title, text in process.logs()]


def pytest_report_header():
    return [f"agent: {kit.agent.binary()}"] + [
        f"haproxy {'.'.join(map(str, kit.version(path)))}: {path}"
        for path in kit.binaries()] + [
        f"{kit.redis_name(path)}: {path}" for path in kit.redis_binaries()]


def pytest_generate_tests(metafunc):
    if "haproxy_binary" in metafunc.fixturenames:
        found = kit.binaries()
        metafunc.parametrize(
            "haproxy_binary", found or [None], scope="session", indirect=True,
            ids=[".".join(map(str, kit.version(path))) for path in found]
            or ["none"])
    if "redis_binary" in metafunc.fixturenames:
        found = kit.redis_binaries()
        metafunc.parametrize("redis_binary", found or [None], scope="session",
                             indirect=True,
                             ids=list(map(kit.redis_name, found)) or ["none"])


@pytest.fixture(scope="session")
def haproxy_binary(request):
    """The path of each HAProxy in turn: such a test runs with all of them."""
    if request.param is None:
        pytest.fail("no haproxy found: install one, or set HAPROXY=/path")
    return request.param


@pytest.fixture(scope="session")
def redis_binary(request):
    """The path of each Redis in turn: such a test runs with all of them."""
    if request.param is None:
        pytest.fail("no redis found: install one, or set REDIS_SERVERS=/path")
    return request.param


@pytest.fixture(scope="session")
def free_port():
    """free_port() -> a number that nobody uses."""
    return kit.free_port


@pytest.fixture(scope="session")
def agent_binary():
    """The path of the agent; without it nothing can be tested."""
    path = kit.agent.binary()
    if not os.access(path, os.X_OK):
        pytest.fail(f"{path} is not there: run make")
    return path


def starter(kind):
    """Yields a function that starts a kind of process and, at the end of the
    fixture, ends all that it started; none may have died on its own."""
    started = []

    def start(*args, **kwargs):
        started.append(kind(*args, **kwargs))
        return started[-1]
    yield start
    died = []
    for process in reversed(started):
        status = process.process and process.process.poll()
        if status not in (None, 0, -9, -15):
            died.append(f"{process.name}: status {status}\n{process.log()}")
        process.close()
    assert not died, "\n".join(died)


@pytest.fixture(scope="module")
def start_agent(agent_binary):
    """start_agent("--redis", url, ...) -> kit.Agent, ended with the module."""
    yield from starter(kit.Agent)


@pytest.fixture(scope="module")
def start_haproxy():
    """start_haproxy(binary, agent, ...) -> kit.HAProxy, ended with the module."""
    yield from starter(kit.HAProxy)


@pytest.fixture(scope="module")
def start_worker():
    """start_worker(name) -> kit.Worker, ended with the module."""
    yield from starter(kit.Worker)


@pytest.fixture(scope="module")
def worker(start_worker):
    """One that is called app1, ended with the module."""
    return start_worker("app1")


@pytest.fixture(scope="module")
def start_redis():
    """start_redis(*options) -> kit.Redis, ended with the module."""
    yield from starter(kit.Redis)


@pytest.fixture
def redis():
    """A kit.Redis of its own for each test."""
    with kit.Redis() as found:
        yield found


@pytest.fixture
def server(redis_binary):
    """A kit.Redis of each kind in turn."""
    with kit.Redis(binary=redis_binary) as found:
        yield found


@pytest.fixture
def say(server):
    """A connection to that server: say("HSET", ...)."""
    with Speaker(server.where) as found:
        yield found


@pytest.fixture
def ask(start_agent):
    """ask.start(urls, options) then ask(host)."""
    def ask(host):
        return ask.peer.ask(host)

    def start(*urls, options=(), **more):
        use = [word for url in urls for word in ("--redis", url)]
        ask.agent = start_agent(*use, *options, **more)
        ask.peer = Peer(ask.agent.where)
        return ask.agent
    ask.start, ask.agent, ask.peer = start, None, None
    yield ask
    if ask.peer:
        ask.peer.close()
    if ask.agent:
        assert ask.agent.stop() == 0
        ask.agent.close()


@pytest.fixture
def start_admin(start_agent, free_port):
    """start_admin(options) -> (agent, its admin side)"""
    def start(*options, redis=NOWHERE):
        port = free_port()
        agent = start_agent("--admin", f"127.0.0.1:{port}", "--redis", redis,
                            *options)
        return agent, Admin(("127.0.0.1", port))
    return start


@pytest.fixture
def hosts_file(tmp_path):
    """Runs an agent with other names in /etc/hosts."""
    if os.geteuid() or not shutil.which("unshare"):
        pytest.skip("needs root and unshare")

    def wrap(*lines, resolver=None):
        # A copy of the folder: a small system may have no hosts file to
        # mount upon.
        etc = tmp_path / "etc"
        subprocess.run(["cp", "-a", "/etc", etc], check=True)
        (etc / "hosts").unlink(missing_ok=True)
        (etc / "hosts").write_text("\n".join(lines) + "\n")
        if resolver:
            (etc / "resolv.conf").unlink(missing_ok=True)
            (etc / "resolv.conf").write_text(resolver)
        return ["unshare", "-m", "sh", "-c", f"mount --bind {etc} /etc"
                " && exec \"$@\"", "sh"]
    return wrap
