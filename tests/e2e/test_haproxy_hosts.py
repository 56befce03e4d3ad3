# SPDX-License-Identifier: MIT
"""What one route may have of its own: a backend, and a limit."""

import ssl
import subprocess
import threading
from contextlib import contextmanager

import pytest

import kit
from kit.haproxy import FILES
from resp import until
from test_haproxy_choices import Target, two

BOTH = ["haproxy.cfg", "haproxy-fastpath.cfg"]


@pytest.fixture
def agent():
    with kit.ScriptedAgent() as found:
        yield found


# -- a backend --------------------------------------------------------------


@pytest.fixture(params=BOTH)
def haproxy(request, haproxy_binary, agent):
    with kit.HAProxy(haproxy_binary, agent,
                     config=FILES / request.param) as found:
        yield found


def test_a_backend_by_name(haproxy, agent, worker):
    agent.answers["slow"] = kit.ok(worker.target, backend="slow")
    agent.answers["two"] = two(worker, f"127.0.0.1:{kit.free_port()}",
                               backend="slow")
    agent.answers["none"] = kit.ok(worker.target)
    for host, backend in (("slow", "slow"), ("two", "slow"),
                          ("none", "targets")):
        for method in "GET", "POST":
            path = f"/{host}-{method}"
            assert haproxy.ask(host, path, method, b"x").worker == "app1"
            assert f" router {backend}/target " in haproxy.line(path).text
    assert haproxy.alerts() == []


# the second line: backends that are there, and are nobody's to name
@pytest.mark.parametrize("name", [
    "nobody", "slower", "SLOW", "x" * 200,
    "tls", "targets", "first", "choices", "choice", "spoa", "no_such_backend"])
def test_a_name_that_is_none(haproxy, agent, name):
    """An error page and a log line; nothing is sent anywhere."""
    with Target() as target:
        agent.answers["odd"] = kit.ok(target.target, backend=name)
        agent.answers["odd2"] = two(target, target, backend=name)
        for host in "odd", "odd2":
            reply = haproxy.ask(host, f"/{host}")
            assert (reply.status, reply.body) == (
                502, b"502 the route of this host names no backend\n")
            line = haproxy.line(f"/{host}").text
            assert " no_such_backend/" in line and " 502 " in line
        assert target.got == []


def test_http2_to_the_target(haproxy, agent):
    """The connection begins as HTTP/2 does."""
    with Raw() as target:
        agent.answers["h2"] = kit.ok(target.target, backend="h2")
        assert haproxy.ask("h2").status in (502, 503)  # it answers nothing
        assert target.seen.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")


class Raw(Target):
    seen = b""

    def serve(self, link):
        self.seen = link.recv(1 << 16)


@contextmanager
def tls_target(folder, name):
    """A target with a certificate for name: its address, and the CA's file."""
    path = folder / f"{name}.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days",
         "30", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
         "-keyout", str(path), "-out", "-"],
        capture_output=True, text=True, check=True).stdout
    path.write_text(path.read_text() + made)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)

    class Secret(Target):
        def serve(self, link):
            with context.wrap_socket(link, server_side=True) as secret:
                super().serve(secret)
    with Secret() as target:
        yield target, str(path)


def test_tls_to_the_target(haproxy_binary, agent, tmp_path):
    """Only to one whose certificate is for the Host."""
    with tls_target(tmp_path, "app.example") as (target, path), kit.HAProxy(
            haproxy_binary, agent, env={"ROUTER_TARGET_CA": path}) as haproxy:
        for host in "app.example", "other.example":
            agent.answers[host] = kit.ok(target.target, backend="tls")
        agent.answers["app.example:80"] = agent.answers["app.example"]
        for host in "app.example", "app.example:80":
            reply = haproxy.ask(host)
            assert (reply.status, reply.body) == (200, b"ok")
        assert len(target.got) == 2
        assert haproxy.ask("other.example").status == 503
        assert len(target.got) == 2


# -- a limit ----------------------------------------------------------------


@pytest.mark.parametrize("name", BOTH)
def test_a_limit(haproxy_binary, agent, worker, name):
    """One slow application is refused; its neighbours are not. Whatever is
    over counts no more, and hosts without a route do not count at all."""
    agent.answers["slow.example"] = kit.ok(worker.target, route="slow.example")
    agent.answers["wild.example"] = kit.ok(worker.target, route="*.example")
    agent.answers["more.example"] = kit.ok(worker.target, route="*.example")
    with kit.HAProxy(haproxy_binary, agent, config=FILES / name,
                     env={"ROUTER_HOST_LIMIT": "3"}) as haproxy:
        def count(key):
            rows = [line for line in haproxy.api(
                "show table host_limit").splitlines() if f"key={key} " in line]
            return int(rows[0].split("conn_cur=")[1]) if rows else 0
        waiting = [threading.Thread(target=haproxy.ask, args=(
            "slow.example", "/?wait=2")) for _ in range(3)]
        for thread in waiting:
            thread.start()
        until(lambda: count("slow.example") == 3, "three at a time")
        for _ in range(2):
            reply = haproxy.ask("slow.example", "/over")
            assert (reply.status, reply.headers["retry-after"]) == (503, "1")
            assert b"too many requests" in reply.body
        assert haproxy.ask("wild.example").worker == "app1"
        for i in range(20):
            assert haproxy.ask(f"invented{i}.example").status == 404
        for thread in waiting:
            thread.join()
        until(lambda: count("slow.example") == 0, "none")
        with haproxy.client() as client:  # one after the other is one at a time
            for _ in range(10):
                assert client.ask("slow.example").status == 200
                assert client.ask("more.example").status == 200
        table = haproxy.api("show table host_limit")
        assert "invented" not in table and table.count("key=") == 2
        assert haproxy.alerts() == []


def test_a_limit_counts_websockets(haproxy_binary, agent, worker):
    agent.answers["ws.example"] = kit.ok(worker.target, route="ws.example")
    with kit.HAProxy(haproxy_binary, agent,
                     env={"ROUTER_HOST_LIMIT": "1"}) as haproxy:
        with kit.WebSocket(haproxy.port, "ws.example") as found:
            found.send(b"x")
            assert found.receive() == (found.BINARY, b"x")
            assert haproxy.ask("ws.example").status == 503
        until(lambda: haproxy.ask("ws.example").status == 200, "room")


def test_no_limit_by_default(haproxy_binary, agent):
    with kit.HAProxy(haproxy_binary, agent) as haproxy:
        assert "host_limit" not in haproxy.api("show table")
