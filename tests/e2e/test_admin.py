# SPDX-License-Identifier: MIT
"""The admin side: what can be seen over HTTP, and what a client may not do."""

import contextlib
import json
import os
import re
import socket
import subprocess
import time

import pytest

from kit.admin import NOWHERE, Admin
from kit.agent import binary
from resp import SLOW, FakeRedis, sanitized, until
from spop import Peer


def test_health(start_admin):
    _, admin = start_admin()
    assert admin.get("/healthz") == "ok\n"
    status, text, headers = admin.ask("HEAD", "/healthz")
    assert (status, text) == (200, "")
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_unix_socket(start_agent, tmp_path):
    path = str(tmp_path / "admin.sock")
    agent = start_agent("--admin", f"unix:{path},mode=0600", "--redis", NOWHERE)
    admin = Admin(path)
    assert admin.get("/healthz") == "ok\n"
    assert os.stat(path).st_mode & 0o777 == 0o600
    # A client may have bound itself to a name, and a long one.
    with socket.socket(socket.AF_UNIX) as client:
        client.bind(str(tmp_path / ("x" * (90 - len(str(tmp_path))))))
        client.connect(path)
        client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.0 200")
    assert agent.stop() == 0
    assert not os.path.exists(path)


@pytest.mark.parametrize("method, path, headers, status, words", [
    ("GET", "/nothing", {}, 404, "no such page"),
    ("GET", "/healthz/", {}, 404, "no such page"),
    ("GET", "/../healthz", {}, 404, "no such page"),
    ("POST", "/healthz", {}, 405, "GET"),
    ("PUT", "/healthz", {}, 501, ""),
    ("DELETE", "/metrics", {}, 501, ""),
])
def test_refusals(start_admin, method, path, headers, status, words):
    _, admin = start_admin()
    got, text, _ = admin.ask(method, path, headers)
    assert got == status
    if status != 501:
        assert words in json.loads(text)["error"]


def test_public_address_needs_its_option(start_agent, agent_binary, free_port):
    def check(*options):
        return subprocess.run([agent_binary, "--check", *options], text=True,
                              capture_output=True, timeout=10)
    for address in ("0.0.0.0:1234", "[::]:1234", "192.0.2.1:1234"):
        refused = check("--admin", address)
        assert refused.returncode == 1
        assert "--admin-public" in refused.stderr
        assert check("--admin", address, "--admin-public").returncode == 0
    for address in ("127.0.0.9:1234", "[::1]:1234", "unix:/run/x.sock"):
        assert check("--admin", address).returncode == 0
    assert check("--admin", "nowhere").returncode == 1


def test_config_shows_values_and_whence(start_admin, tmp_path, free_port):
    file = tmp_path / "router.conf"
    file.write_text("ttl = 90\nmax-waiting = 7\n")
    _, admin = start_admin("--config", str(file), "--max-waiting", "9",
                     "--listen", f"127.0.0.1:{free_port()}",
                     redis="redis://me:secret@127.0.0.1:1")
    rows = {row["name"]: row for row in admin.json("/config")}
    assert rows["ttl"] == {"name": "ttl", "value": "90s",
                           "from": f"{file}:1: ttl"}
    assert rows["max-waiting"]["value"] == "9"
    assert rows["max-waiting"]["from"] == "--max-waiting"
    assert rows["stale"] == {"name": "stale", "value": "1d", "from": "default"}
    assert rows["redis"]["value"] == "redis://me:***@127.0.0.1:1"


def open_slow(admin):
    sock = socket.create_connection(admin.where, 30)
    sock.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
    return sock


def test_slow_clients_end_and_harm_nobody(start_admin):
    """A hundred clients that never finish their request: they are sent away,
    routing does not notice, and after them the admin side answers."""
    with FakeRedis({"a.example": "10.0.0.1:80"}) as redis:
        agent, admin = start_admin(redis=redis.url)
        with contextlib.ExitStack() as stack, Peer(agent.where) as peer:
            for _ in range(100):
                stack.enter_context(open_slow(admin))
            until(lambda: "admin connections at their bound" in agent.log(),
                  "the bound")
            assert agent.fds() < 100
            begin = time.monotonic()
            while time.monotonic() < begin + 1:
                asked = time.monotonic()
                assert peer.ask("a.example").status == "ok"
                assert time.monotonic() - asked < 0.25 * SLOW
                time.sleep(0.01)
            assert admin.get("/healthz") == "ok\n"


def test_places_come_back(start_admin):
    """Whatever becomes of connections, there is room for the next ones."""
    if sanitized(binary()):
        pytest.skip("the agent sees an end where memory is used again")
    agent, admin = start_admin()
    # ASan keeps freed memory apart, by which a place is known to be free; then
    # it is by its time alone.
    for i in range(60 if sanitized(binary()) else 300):
        with socket.create_connection(admin.where, 30) as sock:
            if i % 3 == 0:  # as a load balancer looks whether a port is open
                continue
            sock.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            if i % 3 == 1:
                assert sock.recv(1000).startswith(b"HTTP/1.1 200")
        assert admin.get("/healthz") == "ok\n"
    assert "admin connections at their bound" not in agent.log()


def test_dribbling_client_is_cut(start_admin):
    _, admin = start_admin()
    with open_slow(admin) as sock:
        begin = time.monotonic()
        with pytest.raises(OSError):
            while time.monotonic() < begin + 40:
                sock.sendall(b"x")
                sock.settimeout(0.5)
                with contextlib.suppress(socket.timeout):
                    if sock.recv(100) == b"":
                        raise OSError
        assert 10 < time.monotonic() - begin < 30


@pytest.mark.parametrize("request_", [
    b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 10000 + b"\r\n",
    b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n",
    b"POST /healthz HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 9999,
    b"\0" * 10000,
])
def test_huge_requests_are_refused(start_admin, request_):
    agent, admin = start_admin()
    assert admin.get("/healthz") == "ok\n"  # all that it opens is open
    before = agent.fds()
    with socket.create_connection(admin.where, 30) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(request_)
        answer = b""
        with contextlib.suppress(OSError):
            while piece := sock.recv(10000):
                answer += piece
                if re.match(rb"HTTP/1.1 [45]\d\d", answer):
                    break
        assert not answer.startswith(b"HTTP/1.1 200")
    assert admin.get("/healthz") == "ok\n"
    until(lambda: agent.fds() <= before, "the end of the connection", 30)


def host_of(i):
    return f"h{i:05}.example"


@pytest.fixture
def routed(start_admin):
    """start_admin(routes, options) -> (agent, admin, FakeRedis)"""
    with contextlib.ExitStack() as stack:
        def routed(routes, *options):
            redis = stack.enter_context(FakeRedis(routes))
            agent, admin = start_admin(*options, redis=redis.url)
            until(lambda: admin.json("/explain?host=probe")["source"] ==
                  "redis", "an answer of Redis")
            return agent, admin, redis
        yield routed


def test_explain(routed):
    agent, admin, _ = routed({"a.example": "10.0.0.1:80",
                              "*.example": "10.0.0.2:80,10.0.0.3:81 backup",
                              "bad.example": "10.0.0.1"}, "--ttl", "1h")
    found = admin.json("/explain?host=A.Example.:8080")
    assert found["asked"] == "A.Example.:8080"
    assert found["host"] == "a.example"
    assert (found["status"], found["source"]) == ("ok", "redis")
    assert (found["route"], found["target"]) == ("a.example", "10.0.0.1:80")
    assert found["why"]
    first = found["candidates"][0]
    assert (first["field"], first["state"], first["value"]) == \
        ("a.example", "fresh", "10.0.0.1:80")
    assert first["present"] and 0 < first["left_ms"] <= 3600_000
    assert [c["field"] for c in found["candidates"]] == \
        ["a.example", "*.example", "*"]
    assert admin.json("/explain?host=a.example")["source"] == "cache"
    found = admin.json("/explain?host=b.example")
    assert found["route"] == "*.example" and found["second"] == "10.0.0.3:81"
    assert not found["candidates"][0]["present"]
    assert [t["backup"] for t in found["candidates"][1]["targets"]] == \
        [False, True]
    found = admin.json("/explain?host=bad.example")
    assert found["status"] == "bad_route"
    assert found["candidates"][0]["error"]
    assert admin.json("/explain?host=*.example")["status"] == "bad_host"
    assert admin.json("/explain?host=other")["status"] == "not_found"
    hostile = admin.json("/explain?host=%00%22%3Cscript%3E%ff")
    assert hostile["status"] == "bad_host"
    assert admin.ask("GET", "/explain")[0] == 400
    # Looking is no use, but the question itself is.
    with Peer(agent.where) as peer:
        peer.ask_all(["a.example"] * 5)
    uses = admin.json("/explain?host=a.example")["candidates"][0]["uses"]
    assert uses >= 5


def test_explain_without_redis(start_admin):
    _, admin = start_admin("--lookup-timeout", "20ms")
    found = admin.json("/explain?host=a.example")
    assert (found["status"], found["source"]) == ("unavailable", "none")
    assert [c["state"] for c in found["candidates"]] == ["unknown"] * 3


def test_explain_of_a_client_that_left(routed):
    agent, admin, redis = routed({}, "--lookup-timeout", "1s")
    redis.gate.clear()
    with socket.create_connection(admin.where) as sock:
        sock.sendall(b"GET /explain?host=x HTTP/1.0\r\n\r\n")
        until(lambda: redis.lookups[-1][0] == "x", "the question")
    redis.gate.set()
    assert admin.json("/explain?host=x")["status"] == "not_found"
    assert agent.stop() == 0


def test_routes_are_paged_by_name(routed):
    names = [host_of(i) for i in range(2500)]
    agent, admin, _ = routed({n: "10.0.0.1:80" for n in names}, "--ttl", "1h")
    with Peer(agent.where) as peer:
        for at in range(0, len(names), 100):
            peer.ask_all(names[at:at + 100])
        peer.ask("absent.example")
    seen, after = [], ""
    for _ in range(4):
        page = admin.json(f"/routes?limit=1000&after={after}")
        seen += [row["field"] for row in page["routes"]]
        after = page.get("after")
        if after is None:
            break
    assert seen == names
    page = admin.json("/routes")
    assert len(page["routes"]) == 100
    assert page["routes"][0]["value"] == "10.0.0.1:80"
    for bad in ("0", "1001", "x", "-1", "5x", ""):
        assert admin.ask("GET", f"/routes?limit={bad}")[0] == 400


def test_listings_at_a_time_are_bounded(start_admin):
    """Each takes its share of every turn, and a client may leave it behind."""
    agent, admin = start_admin()
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.create_connection(admin.where, 30))
                 for _ in range(20)]
        for sock in socks:
            sock.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            assert sock.recv(1000).startswith(b"HTTP/1.1 200")
        agent.pause()
        for sock in socks:
            sock.sendall(b"GET /routes HTTP/1.1\r\n\r\n")
        agent.resume()
        replies = [sock.recv(1000)[:12] for sock in socks]
    assert replies.count(b"HTTP/1.1 200") >= 4
    assert replies.count(b"HTTP/1.1 503") > 0
    assert admin.json("/routes") == {"routes": []}


def test_the_most_used_routes(routed):
    agent, admin, _ = routed({n: "10.0.0.1:80" for n in "abcd"}, "--ttl", "1h")
    with Peer(agent.where) as peer:
        for host, times in zip("abcd", (2, 9, 1, 5)):
            for _ in range(times):
                peer.ask(host)
    page = admin.json("/routes?order=uses&limit=3")
    assert [row["field"] for row in page["routes"]] == ["b", "d", "a"]
    assert "after" not in page
    page = admin.json("/routes?order=name")
    assert [row["field"] for row in page["routes"]] == list("abcd")
    assert admin.ask("GET", "/routes?order=age")[0] == 400


def test_flush(routed):
    agent, admin, redis = routed({"a.example": "10.0.0.1:80",
                                  "b.example": "10.0.0.1:80"}, "--ttl", "1h")
    with Peer(agent.where) as peer:
        for flush in ("/flush?host=A.example:80", "/flush"):
            peer.ask("a.example")
            assert peer.ask("a.example").source == "cache"
            port = int(time.monotonic_ns() % 60000) + 1
            redis.routes["a.example"] = f"10.0.0.9:{port}"
            status, text, _ = admin.ask("POST", flush)
            assert (status, json.loads(text)) == (200, {"done": True})
            assert peer.ask("a.example").port == port
    assert "flushed" in agent.log()


def test_flush_is_only_for_people(routed):
    agent, admin, _ = routed({})
    assert admin.ask("GET", "/flush")[0] == 405
    for origin in ("http://evil.example", "null"):
        status, text, _ = admin.ask("POST", "/flush", {"Origin": origin})
        assert status == 403 and json.loads(text)["error"]
    assert admin.ask("POST", "/flush?host=a/b")[0] == 400
    assert "flushed" not in agent.log()


def test_expire(routed):
    agent, admin, redis = routed({"a.example": "10.0.0.1:80"}, "--ttl", "1h")
    assert admin.ask("POST", "/expire?host=a.example&ttl=1")[0] == 404
    with Peer(agent.where) as peer:
        peer.ask("a.example")
        redis.routes["a.example"] = "10.0.0.2:80"
        assert peer.ask("a.example").source == "cache"
        assert admin.ask("POST", "/expire?host=a.example&ttl=0")[0] == 200
        assert str(peer.ask("a.example").ip) == "10.0.0.2"
    for bad in ("", "&ttl=x", "&ttl=-1", "&ttl=1.5", "&ttl=99999999999"):
        assert admin.ask("POST", "/expire?host=a.example" + bad)[0] == 400
    assert admin.ask("POST", "/expire?ttl=1")[0] == 400
