# SPDX-License-Identifier: MIT
"""The fast path: answers that HAProxy holds itself, and how they are taken
back. With every HAProxy.

Names with "figures" measure, and say it with -s. On a quiet machine, in full:

    CHANGES=1000 make test TESTS='-s -k figures_fast'
"""

import contextlib
import itertools
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

import kit
from kit.admin import Admin
from kit.haproxy import FILES
from resp import Speaker, until
from spop import Peer, question
from test_away import shares
from test_haproxy_files import STOCK
from test_host import BAD, GOOD, L253

TABLE = "routes"


class FastHAProxy(kit.HAProxy):
    """HAProxy with the files of the fast path."""

    CONFIG = FILES / "haproxy-fastpath.cfg"

    def __init__(self, binary, agent, socket, **more):
        self.api_path = str(socket)
        super().__init__(
            binary, agent, config=self.CONFIG,
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
                          *options)
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


def test_change_by_name(bench):
    """The name alone takes it back; what it was is read again."""
    one, two = bench.workers
    bench.route("app.test", one)
    bench.route("other.test", one)
    bench.lend("app.test", "other.test")
    bench.redis.cmd("PUBLISH", "routes:changed", "app.test")
    until(lambda: "app.test" not in bench.haproxy.lent(), "the loan's end", 1)
    assert "other.test" in bench.haproxy.lent()


def test_flush(bench):
    one, _ = bench.workers
    hosts = [f"h{i}.test" for i in range(5)]
    for host in hosts:
        bench.route(host, one)
    bench.lend(*hosts)
    bench.redis.cmd("PUBLISH", "routes:changed", "*")
    until(lambda: not bench.haproxy.lent(), "an empty table", 1)
    bench.lend(*hosts)


@pytest.mark.parametrize("field", ["*.cloud.test", "*.b.cloud.test",
                                   "x.b.cloud.test"])
def test_a_field_that_could_serve_it(bench, field):
    """What is changed or added before or at the field that served it."""
    one, two = bench.workers
    bench.route("*.cloud.test", one)
    bench.lend("x.b.cloud.test")
    bench.route(field, two)
    until(lambda: bench.ask("x.b.cloud.test").worker == "two", "the change", 1)
    bench.lend("x.b.cloud.test")
    bench.redis.cmd("HDEL", "routes", field)
    status, worker = (404, None) if field == "*.cloud.test" else (200, "one")
    until(lambda: bench.ask("x.b.cloud.test").status == status, "its end", 1)
    assert bench.ask("x.b.cloud.test").worker == worker


def test_default(bench):
    one, two = bench.workers
    bench.route("*", one)
    bench.route("own.test", one)
    bench.lend("any.test", "own.test")
    bench.route("*", two)
    until(lambda: bench.ask("any.test").worker == "two", "the change", 1)
    assert "own.test" in bench.haproxy.lent()


def test_constant_traffic_prolongs_nothing(bench):
    """Nobody who writes the table: after `expire` HAProxy asks again."""
    one, _ = bench.workers
    bench.route("app.test", one)
    bench.lend("app.test")
    bench.agent.process.kill()
    with bench.haproxy.client() as client:
        until(lambda: client.ask("app.test").status == 503,
              "the end of what was lent", 7)
    assert not bench.haproxy.lent()


def test_what_is_not_lent(bench):
    one, two = bench.workers
    six = f"[::1]:{one.port}"
    for host, value in {"six.test": six,
                        "two.test": f"{one.target}, {two.target}",
                        "back.test": f"{one.target}; backend targets",
                        "[::1]": one.target}.items():
        bench.route(host, value)
        with bench.haproxy.client() as client:
            for _ in range(5):
                client.ask(host)
    bench.route("app.test", one)
    bench.lend("app.test")
    assert list(bench.haproxy.lent()) == ["app.test"]


def test_target_down(start, start_worker, haproxy_binary):
    """Nobody is sent to a target that is down, the last one of its route."""
    bench = start(haproxy_binary, "--check-interval", "50ms")
    with kit.Worker("three") as three:
        bench.route("app.test", f"{three.target}; check tcp")
        bench.lend("app.test")
    until(lambda: "target is down" in bench.agent.log(), "its end")
    until(lambda: not bench.haproxy.lent(), "the loan's end", 1)
    assert b"this host is down" in kit.raw(
        bench.haproxy.port, b"GET / HTTP/1.1\r\nHost: app.test\r\n"
        b"Connection: close\r\n\r\n")


def test_expire_takes_back(start, haproxy_binary):
    port = kit.free_port()
    bench = start(haproxy_binary, "--admin", f"127.0.0.1:{port}")
    admin = Admin(("127.0.0.1", port))
    one, _ = bench.workers
    bench.route("app.test", one)
    bench.route("*", one)
    bench.lend("app.test", "any.test")
    assert admin.ask("POST", "/expire?host=app.test&ttl=0")[0] == 200
    until(lambda: "app.test" not in bench.haproxy.lent(), "the loan's end", 1)
    bench.lend("any.test", "app.test")
    assert admin.ask("POST", "/expire?host=*&ttl=0")[0] == 200
    until(lambda: "any.test" not in bench.haproxy.lent(), "the loan's end", 1)


def test_stock_global(start, haproxy_binary, tmp_path):
    """Debian's own global section: the socket is outside of the chroot."""
    if os.geteuid() != 0:
        pytest.skip("chroot needs root")
    bench = start(haproxy_binary, before=STOCK.format(folder=tmp_path))
    assert os.readlink(f"/proc/{bench.haproxy.pid}/root") != "/"
    one, two = bench.workers
    bench.route("app.test", one)
    bench.lend("app.test")
    bench.route("app.test", two)
    until(lambda: bench.ask("app.test").worker == "two", "the change", 1)


def test_reload(start, haproxy_binary):
    """The new process' table is filled, though the old one lives on."""
    bench = start(haproxy_binary, master=True)
    one, two = bench.workers
    bench.route("app.test", one)
    bench.lend("app.test")
    with kit.WebSocket(bench.haproxy.port, "app.test") as socket:
        bench.haproxy.reload()
        bench.lend("app.test")
        bench.route("app.test", two)
        until(lambda: bench.ask("app.test").worker == "two", "the change", 1)
        bench.lend("app.test")
        socket.send(b"still there")
        assert socket.receive()[1]
    assert "haproxy process ends" in bench.agent.log()


def test_redis_away(start, haproxy_binary):
    """What is lent goes on; what is stale is lent no more."""
    bench = start(haproxy_binary, "--ttl", "2s")
    one, _ = bench.workers
    bench.route("app.test", one)
    bench.lend("app.test")
    bench.redis.stop()

    def is_stale():
        path = f"/{next(numbers)}"
        assert bench.ask("app.test", path).worker == "one"
        return bench.haproxy.line(path).source == "stale"
    numbers = itertools.count()
    until(is_stale, "a stale answer", 20)
    for _ in range(5):
        assert is_stale()
    assert not bench.haproxy.lent()


def test_threads(start, haproxy_binary):
    """Nobody is sent to a mixture of two targets, nor to an old one."""
    bench = start(haproxy_binary, before="global\n    nbthread 4\n")
    one, two = bench.workers
    bench.route("app.test", one)
    with bench.haproxy.client() as client:
        for worker in (two, one) * 10:
            bench.lend("app.test")
            bench.route("app.test", worker)
            until(lambda: client.ask("app.test").worker == worker.name,
                  "the change", 1)
            for _ in range(20):
                assert client.ask("app.test").worker == worker.name


def test_many_hosts_at_once(bench):
    """All that are hot, not only most of them."""
    hosts = [f"h{n:05}.test" for n in range(10_000)]
    bench.redis.cmd("HSET", "routes", *itertools.chain.from_iterable(
        (host, "10.0.0.1:80") for host in hosts))

    def lent():
        return int(re.search(r"used:(\d+)", bench.haproxy.api(
            f"show table {TABLE} data.gpc0 lt 0"))[1])

    def ask_all(peer):
        for some in (hosts[n:n + 100] for n in range(0, len(hosts), 100)):
            peer.send(b"".join(map(question, some)))
            assert all(frame.answer() for frame in peer.frames(len(some)))
        return lent() == len(hosts)

    with Peer(bench.agent.where) as peer:
        until(lambda: ask_all(peer), "all of them to be lent", 30)
    assert len(bench.haproxy.lent()) == len(hosts)


def test_full_table(start, haproxy_binary, tmp_path, monkeypatch):
    small = tmp_path / "small.cfg"
    text = (FILES / "haproxy-fastpath.cfg").read_text()
    assert text.count("size 100k expire 5s") == 1
    small.write_text(text.replace("size 100k expire 5s", "size 10 expire 3s"))
    monkeypatch.setattr(FastHAProxy, "CONFIG", small)
    bench = start(haproxy_binary)
    assert "size=10 expire_ms=3000" in bench.agent.log()
    one, two = bench.workers
    bench.route("*", one)
    with bench.haproxy.client() as client:
        for _ in range(5):
            for i in range(30):
                assert client.ask(f"h{i}.test").worker == "one"
    until(lambda: len(bench.haproxy.lent()) == 10, "a full table")
    bench.route("*", two)
    until(lambda: not bench.haproxy.lent(), "an empty table", 1)
    with bench.haproxy.client() as client:
        for i in range(30):
            assert client.ask(f"h{i}.test").worker == "two"


class Traffic:
    """So many requests a second for all of these hosts, in turn, from a
    process of its own: as a thread it would take turns with who measures."""

    def __init__(self, bench, hosts, rate):
        self.bench, self.hosts, self.rate = bench, hosts, rate
        fork = multiprocessing.get_context("fork")
        self.asked, self.failed = fork.Value("L", 0), fork.Value("L", 0)
        self.is_over = fork.Event()
        self.process = fork.Process(target=self.run, daemon=True)

    def run(self):
        due = time.monotonic()
        with self.bench.haproxy.client() as client:
            while not self.is_over.is_set():
                host = self.hosts[self.asked.value % len(self.hosts)]
                self.failed.value += client.ask(host).status != 200
                self.asked.value += 1
                due += 1 / self.rate
                time.sleep(max(0, due - time.monotonic()))

    def __enter__(self):
        self.began = time.monotonic()
        self.process.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.process.join()
        self.seconds = time.monotonic() - self.began


def test_figures_fast(bench):
    """HSET of a host that is lent to the first request on its new target, under
    500 requests a second."""
    changes = int(os.environ.get("CHANGES") or 50)
    hosts = [f"h{n}.test" for n in range(100)]
    now, took = dict.fromkeys(hosts, 0), []
    for host in hosts:
        bench.route(host, bench.workers[0])
    with (Speaker(bench.redis.where) as say, bench.haproxy.client() as client,
          Traffic(bench, hosts, 500) as traffic):
        for n in range(changes):
            lent = until(lambda: sorted(bench.haproxy.lent()), "a loan")
            host = lent[n * 31 % len(lent)]
            now[host] ^= 1
            worker = bench.workers[now[host]]
            start = time.perf_counter()
            say("HSET", "routes", host, worker.target)
            while client.ask(host).worker != worker.name:
                assert time.perf_counter() < start + 2, f"{host} after 2 s"
            took.append(time.perf_counter() - start)
    assert traffic.process.exitcode == 0 and traffic.failed.value == 0
    print(f"{changes} changes of lent hosts: {shares(took)}, "
          f"{traffic.asked.value / traffic.seconds:.0f} requests a second")
    if "CHANGES" in os.environ:
        took.sort()
        assert took[int(changes * 0.99)] < 0.01 and took[-1] < 0.05


# -- the same for every way to write a host ---------------------------------

LONG = ["x" * size for size in range(250, 301)] + [
    L253 + more for more in ("a", "aa", ".", "..", ":80", ".:80", ":123456")]


def test_hosts_as_without(start, haproxy_binary, start_haproxy, workers):
    """Every row of the normalisation: the same status and target whether the
    table knows the host or not."""
    bench = start(haproxy_binary)
    one, _ = workers
    plain = start_haproxy(haproxy_binary, bench.agent)
    names = sorted(set(GOOD.values())) + ["x" * size
                                          for size in (250, 251, 252, 253)]
    for name in names:
        bench.route(name, one)
    lent = [name for name in names if name[0] != "["]
    with bench.haproxy.client() as client:
        for name in lent * 2:
            client.ask(name)
    until(lambda: set(bench.haproxy.lent()) == set(lent), "all to be lent")
    for host in [*GOOD, *BAD, *LONG]:
        raw = host if isinstance(host, bytes) else host.encode()
        if b"\n" in raw or b"\r" in raw or len(raw) > 8000:
            continue
        assert say_host(bench.haproxy.port, raw) == say_host(
            plain.port, raw), ascii(host)


def say_host(port, host):
    """Status line and the worker's name of one request."""
    got = kit.raw(port, b"GET / HTTP/1.1\r\nHost: " + host +
                  b"\r\nConnection: close\r\n\r\n")
    return got.split(b"\r\n")[0], b"x-worker: one" in got.lower()


def test_no_command_by_a_host(bench):
    """What ends a command of the Runtime API never gets there."""
    one, two = bench.workers
    bench.route("*", one)
    bench.route("app.test", one)
    bench.lend("app.test")
    evil = f"set table {TABLE} key app.test data.gpc0 {two.port}"
    for host in (f"a;{evil}", f"a;clear table {TABLE}", f"a\\;{evil}",
                 f"a {evil}", f"a\t;{evil}", f"a.test;{evil};", "a\\", "a;"):
        for _ in range(5):
            say_host(bench.haproxy.port, host.encode())
    assert set(bench.haproxy.lent()) <= {"app.test"}
    assert bench.ask("app.test").worker == "one"


# -- sockets that are not what they should be -------------------------------


class Listener:
    """A Unix socket that answers each line with what `reply` says of it."""

    def __init__(self, path, reply):
        self.reply, self.lines, self.open = reply, [], []
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(str(path))
        self.sock.listen(16)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            with contextlib.suppress(OSError):
                link, _ = self.sock.accept()
                self.open.append(link)
                threading.Thread(target=self.serve, args=(link,),
                                 daemon=True).start()
                continue
            return

    def serve(self, link):
        with contextlib.suppress(OSError), link.makefile("rb") as lines:
            for line in lines:
                self.lines.append(line)
                link.sendall(self.reply(line))

    def close(self):
        for sock in [self.sock, *self.open]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


BAD_SOCKETS = {
    "denied": (lambda line: b"\n> " if line == b"prompt\n" else
               b"Permission denied\n\n> " * (line.count(b";") + 1),
               "it refuses"),
    "no_table": (lambda line: b"\n> " if line == b"prompt\n" else
                 b"No such table\n\n> " * (line.count(b";") + 1),
                 "it refuses"),
    "empty": (lambda line: b"\n> " * (line.count(b";") + 1),
              "not of type string"),
    "noise": (lambda line: b"x" * 1000000, "HAProxy would not"),
    "silent": (lambda line: b"", "does not answer"),
}


@pytest.mark.parametrize("name", BAD_SOCKETS)
def test_not_what_it_should_be(name, start_agent, redis, tmp_path):
    """A warning, and answers as ever."""
    reply, words = BAD_SOCKETS[name]
    listener = Listener(tmp_path / "api.sock", reply)
    redis.cmd("HSET", "routes", "app.test", "10.0.0.1:80")
    agent = start_agent("--redis", redis.url, "--lookup-timeout", "2s",
                        "--haproxy-socket", tmp_path / "api.sock")
    with Peer(agent.where) as peer:
        for _ in range(100):
            assert peer.ask("app.test").status == "ok"
        until(lambda: words in agent.log(), "the warning", 10)
        for _ in range(100):
            assert peer.ask("app.test").status == "ok"
    assert agent.log().count("cannot be used") == 1
    listener.close()


def test_absent_socket(start_agent, redis, tmp_path):
    agent = start_agent("--redis", redis.url, "--haproxy-socket",
                        tmp_path / "none.sock")
    until(lambda: "No such file" in agent.log(), "the warning")
    with Peer(agent.where) as peer:
        assert peer.ask("app.test").status == "not_found"


@pytest.mark.parametrize("value", ["api.sock", "/" + "a" * 108, "/a,b",
                                   "/a,table=", "/a,table=x;y",
                                   "/a,table=" + "t" * 64])
def test_option(agent_binary, value):
    done = subprocess.run([agent_binary, "--check", "--haproxy-socket", value],
                          capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("spoa-router: --haproxy-socket: ")
    assert done.stderr.count("\n") == 1


def test_wrong_level(agent_binary, haproxy_binary, start_agent, redis,
                     tmp_path):
    """A socket of level user may look, but not write."""
    path = tmp_path / "user.sock"
    agent = start_agent("--redis", redis.url, "--haproxy-socket", path)
    with FastHAProxy(haproxy_binary, agent, tmp_path / "api.sock",
                     before=f"global\n    stats socket {path} level user\n"):
        until(lambda: "Permission denied" in agent.log(), "the warning")
    assert "haproxy socket is open" not in agent.log()


def test_slow_haproxy(bench):
    """One that stands still delays nobody; what was taken back meanwhile is
    taken back when it goes on."""
    one, two = bench.workers
    bench.route("app.test", one)
    bench.lend("app.test")
    pid = bench.haproxy.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        bench.route("app.test", two)
        with Peer(bench.agent.where) as peer:
            for _ in range(100):
                peer.ask("app.test")
            until(lambda: peer.ask("app.test").port == two.port, "the change")
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: bench.ask("app.test").worker == "two", "the change", 1)


# -- the files --------------------------------------------------------------


def rules(name):
    return [line for line in (FILES / name).read_text().splitlines()
            if line.strip() and not line.lstrip().startswith("#")]


def test_files_differ_in_the_fast_path_only():
    plain, fast = rules("haproxy.cfg"), rules("haproxy-fastpath.cfg")
    gone = [line for line in plain if line not in fast]
    more = [line for line in fast if line not in plain]
    assert len(gone) == 3, gone
    assert all(re.search("routes|txn.key|txn.answer|fastpath|operator|found"
                         "|unset-var|gpt0|version_atleast|endif", line)
               for line in more), more
    plain, fast = rules("spoe-router.conf"), rules("spoe-router-fastpath.conf")
    assert [line for line in plain if line not in fast] == []


def test_a_target_that_goes_down_is_taken_back(start, haproxy_binary):
    """HAProxy holds its answer for seconds; the check that fails ends that at
    once, and the page is that of a host that is down."""
    with kit.Worker("victim") as victim:
        bench = start(haproxy_binary, "--check-interval", "200ms",
                      "--check-fall", "1", "--check-rise", "1")
        bench.route("app.test", f"{victim.target}; check tcp")
        bench.route("other.test", bench.workers[1])
        bench.lend("app.test", "other.test")
        victim.kill()
        until(lambda: "target is down" in bench.agent.log(), "the check", 20)
        until(lambda: "app.test" not in bench.haproxy.lent(), "taking back",
              3)
        reply = bench.ask("app.test")
        assert (reply.status, reply.body) == (503, b"503 this host is down\n")
        assert bench.ask("other.test").worker == "two"
        victim.start()
        until(lambda: bench.ask("app.test").status == 200, "it to be up", 20)
        bench.lend("app.test")
