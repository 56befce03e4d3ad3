# SPDX-License-Identifier: MIT
"""What a client of HAProxy sees: the real agent, Redis, workers, all versions."""

import contextlib
import re
import socket
import ssl
import struct
import subprocess
import time

import pytest

import kit
from resp import Listener, until


class Site:
    """HAProxy, agent, Redis and two workers, shared by the tests of a module;
    so each test takes a host of its own."""

    def __init__(self, redis, agent, haproxy, app1, app2):
        self.redis, self.agent, self.haproxy = redis, agent, haproxy
        self.app1, self.app2 = app1, app2
        self.hosts = 0

    def route(self, value, host=None):
        """A host that is routed to this value from now on."""
        self.hosts += 1
        host = host or f"host{self.hosts}.example"
        self.redis.cmd("HSET", "routes", host,
                       getattr(value, "target", value))
        return host


@pytest.fixture(scope="module")
def site(haproxy_binary, start_redis, start_agent, start_haproxy,
         start_worker):
    redis = start_redis()
    agent = start_agent("--redis", redis.url, "--ttl", "1",
                        "--negative-ttl", "0", "--lookup-timeout", "2s")
    haproxy = start_haproxy(haproxy_binary, agent, tls=True)
    yield Site(redis, agent, haproxy, start_worker("app1"),
               start_worker("app2"))
    assert haproxy.alerts() == []


# -- routing ----------------------------------------------------------------


def test_two_hosts(site):
    one, two = site.route(site.app1), site.route(site.app2)
    assert site.haproxy.ask(one).worker == "app1"
    assert site.haproxy.ask(two).worker == "app2"


@pytest.mark.parametrize("form", [
    "{}", "{}.", "{}:80", "{}.:8080", "{}:", "UPPER", "UPPER.:443"])
def test_a_host_has_many_forms(site, form):
    host = site.route(site.app1)
    said = form.replace("UPPER", host.upper()).format(host)
    reply = site.haproxy.ask(said)
    assert (reply.status, reply.worker) == (200, "app1")
    assert reply.told["host"] == said, "the worker gets Host as it was sent"


def test_wildcard_and_default(site):
    host = site.route(site.app1)
    site.route(site.app2, f"*.{host}")
    assert site.haproxy.ask(f"a.b.{host}").worker == "app2"
    assert site.haproxy.ask(host).worker == "app1"


def test_ipv6_target(site, start_worker):
    worker = start_worker("six", host="::1")
    assert site.haproxy.ask(site.route(worker)).worker == "six"


def test_two_hosts_over_one_connection(site):
    """Each request reaches its own target, and few connections do for all."""
    hosts = [site.route(site.app1), site.route(site.app2)]

    def connections():
        return int(site.haproxy.stat("targets", "target", "connect"))
    before = connections()
    with site.haproxy.client() as client:
        for i in range(60):
            assert client.ask(hosts[i % 2]).worker == f"app{i % 2 + 1}"
    assert connections() <= before + 2


def test_connections_to_many_targets_are_kept(site, start_worker):
    hosts = {f"many{i}": site.route(start_worker(f"many{i}"))
             for i in range(6)}

    def connections():
        return int(site.haproxy.stat("targets", "target", "connect"))
    before = connections()
    with site.haproxy.client() as client:
        for _ in range(5):
            for name, host in hosts.items():
                assert client.ask(host).worker == name
    assert connections() <= before + len(hosts)


def test_a_change_is_live_while_traffic_flows(site):
    host = site.route(site.app1)
    seen = []
    with site.haproxy.client() as client:
        assert client.ask(host).worker == "app1"
        site.route(site.app2, host)
        end = time.monotonic() + 3  # ttl is 1
        while time.monotonic() < end and "app2" not in seen:
            reply = client.ask(host)
            assert reply.status == 200
            seen.append(reply.worker)
        assert seen[-1] == "app2"
        assert {client.ask(host).worker for _ in range(50)} == {"app2"}


@pytest.mark.parametrize("size", [0, 1, 20000, 3 << 20])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies(site, size, chunked):
    host = site.route(site.app1)
    body = b"x" * size
    with site.haproxy.client() as client:
        for _ in range(2):
            if chunked:
                reply = client.ask(host, "/", "POST", chunks(body), {
                    "Transfer-Encoding": "chunked"})
            else:
                reply = client.ask(host, "/", "POST", body)
            assert reply.status == 200
            assert reply.told["body_length"] == size


def chunks(body):
    whole = [b"%x\r\n%s\r\n" % (len(body[i:i + 5000]), body[i:i + 5000])
             for i in range(0, len(body), 5000)]
    return b"".join(whole) + b"0\r\n\r\n"


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_websocket(site, tls):
    host = site.route(site.app2)
    context = None
    if tls:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    port = site.haproxy.tls_port if tls else site.haproxy.port
    with kit.WebSocket(port, host, tls=context) as found:
        assert (found.status, found.headers["x-worker"]) == (101, "app2")
        for payload in b"hello", b"", b"x" * 70000:
            found.send(payload, found.TEXT)
            assert found.receive() == (found.TEXT, payload)
        found.send(b"?", found.PING)
        assert found.receive() == (found.PONG, b"?")
        found.send(b"\x03\xe8", found.CLOSE)
        assert found.receive() == (found.CLOSE, b"\x03\xe8")


def h2_frame(kind, flags, stream, payload):
    return (len(payload).to_bytes(3, "big") + bytes([kind, flags])
            + stream.to_bytes(4, "big") + payload)


def test_websocket_over_http2(site):
    """As browsers do it: an extended CONNECT (RFC 8441) on stream 1."""
    host = site.route(site.app2)
    head = b"".join(
        b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value
        for name, value in (
            (b":method", b"CONNECT"), (b":protocol", b"websocket"),
            (b":scheme", b"https"), (b":path", b"/"),
            (b":authority", host.encode()), (b"sec-websocket-version", b"13")))
    text = b"\x82\x85\0\0\0\0hello"  # masked with zeros
    with socket.create_connection(("127.0.0.1", site.haproxy.port), 10) as sock:
        sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                     + h2_frame(4, 0, 0, b"") + h2_frame(1, 4, 1, head))
        file, echoed = sock.makefile("rb"), b""
        while len(echoed) < 7:
            size = int.from_bytes(file.read(3), "big")
            kind, _, stream = struct.unpack(">BBI", file.read(6))
            payload = file.read(size)
            assert kind not in (3, 7), "the stream was refused"
            if (kind, stream) == (1, 1):
                assert payload[0] == 0x88, "not :status 200"
                sock.sendall(h2_frame(0, 0, 1, text))
            elif (kind, stream) == (0, 1):
                echoed += payload
    assert echoed == b"\x82\x05hello"


def curl(site, host, *options, path="/"):
    """(HTTP version, status, body) by curl over TLS."""
    done = subprocess.run(
        ["curl", "-sk", "--resolve", f"{host}:{site.haproxy.tls_port}:127.0.0.1",
         "-w", "\n%{http_version} %{http_code}", *options,
         f"https://{host}:{site.haproxy.tls_port}{path}"],
        capture_output=True, text=True, timeout=20)
    body, _, last = done.stdout.rpartition("\n")
    return *last.split(), body


@pytest.mark.parametrize("option, expected", [("--http2", "2"),
                                              ("--http1.1", "1.1")])
def test_tls(site, option, expected):
    host = site.route(site.app1)
    number, status, body = curl(site, host, option)
    assert (number, status) == (expected, "200")
    assert '"app1"' in body and '["x-forwarded-proto", "https"]' in body
    number, status, body = curl(site, f"no-{host}", option)
    assert (number, status, body) == (expected, "404", "404 no such host\n")


def test_http2_many_streams(site):
    """Two hosts over one HTTP/2 connection: no stream gets another's target."""
    done = subprocess.run(
        ["h2load", "-n", "400", "-c", "2", "-m", "20", "-H",
         f":authority: {site.route(site.app1)}",
         f"https://127.0.0.1:{site.haproxy.tls_port}/"],
        capture_output=True, text=True, timeout=60)
    assert "400 succeeded, 0 failed" in done.stdout, done.stdout


class Closing(Listener):
    """A target that closes a kept connection when a second request comes."""

    def serve(self, link):
        asked = 0
        while asked < 2:
            piece = link.recv(1 << 16)
            if not piece:
                return
            if b" HTTP/1.1\r\n" in piece:  # a head; a body may come apart
                asked += 1
                self.asked += 1
                if asked == 1:
                    link.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def test_a_target_closes_its_kept_connection(site):
    """What may be repeated is, unseen; a POST is never sent twice."""
    with Closing(("127.0.0.1", 0)) as target, site.haproxy.client() as client:
        host = site.route(f"127.0.0.1:{target.port}")
        target.asked = 0
        for _ in range(6):
            assert client.ask(host).status == 200
        assert target.asked > 6
    with Closing(("127.0.0.1", 0)) as target, site.haproxy.client() as client:
        host = site.route(f"127.0.0.1:{target.port}")
        target.asked = answered = 0
        for _ in range(6):
            with contextlib.suppress(ConnectionError):
                answered += client.ask(host, "/", "POST", b"x").status == 200
        assert target.asked <= 6 and answered < 6


def test_a_target_that_is_gone(site):
    """503 after some tries; nobody else waits for it."""
    gone = site.route(f"127.0.0.1:{kit.free_port()}")
    known = site.route(site.app1)
    start = time.monotonic()
    reply = site.haproxy.ask(gone, "/gone")
    assert reply.status == 503 and time.monotonic() - start < 5
    assert "retries=2" in site.haproxy.line("/gone").text
    assert site.haproxy.ask(known).status == 200


# -- statuses ---------------------------------------------------------------


PAGES = {
    "not_found": (404, None, b"404 no such host\n"),
    "bad_host": (400, None, b"400 bad host\n"),
    "bad_route": (502, None, b"502 the route of this host cannot be used\n"),
    "down": (503, "5", b"503 this host is down\n"),
    "unavailable": (503, "1", b"503 routes are not known right now\n"),
}


def check_page(reply, status, retry_after, body):
    assert (reply.status, reply.body) == (status, body)
    assert reply.headers.get("retry-after") == retry_after
    assert reply.headers["content-type"] == "text/plain"
    assert reply.headers["cache-control"] == "no-store"


@pytest.fixture(scope="module")
def scripted(haproxy_binary, start_haproxy):
    """A HAProxy whose agent says what the test wants."""
    with kit.ScriptedAgent() as agent:
        haproxy = start_haproxy(haproxy_binary, agent)
        haproxy.agent = agent
        yield haproxy
        assert haproxy.alerts() == []


@pytest.mark.parametrize("status", PAGES)
def test_page(scripted, status):
    host = f"{status}.example"
    scripted.agent.answers[host] = {"status": status, "source": "none"}
    with scripted.client() as client:
        for method in "GET", "HEAD", "POST":
            body = b"x" * 1000 if method == "POST" else None
            reply = client.ask(host, f"/{status}-{method}", method, body)
            expected = PAGES[status]
            if method == "HEAD":
                expected = *expected[:2], b""
            check_page(reply, *expected)
    assert scripted.line(f"/{status}-GET").status == status


def test_pages_by_the_agent(site, start_agent):
    def check(host, status):
        check_page(site.haproxy.ask(host), *PAGES[status])
    check("nobody.example", "not_found")
    check("a..b", "bad_host")
    check("*", "bad_host")
    check("*.example", "bad_host")
    check(site.route("nonsense"), "bad_route")
    check(site.route("169.254.169.254:80"), "bad_route")


def test_no_host(site):
    reply = kit.raw(site.haproxy.port, b"GET / HTTP/1.0\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 400 "), reply
    assert reply.endswith(PAGES["bad_host"][2])


def test_redis_away(haproxy_binary, start_haproxy, start_agent, start_worker,
                    redis):
    worker = start_worker("app1")
    agent = start_agent("--redis", redis.url, "--ttl", "100ms")
    haproxy = start_haproxy(haproxy_binary, agent)
    redis.cmd("HSET", "routes", "known.example", worker.target)
    assert haproxy.ask("known.example").worker == "app1"
    redis.kill()
    time.sleep(0.3)  # past ttl
    assert haproxy.ask("known.example", "/stale").worker == "app1"
    assert haproxy.line("/stale").source == "stale"
    check_page(haproxy.ask("other.example"), *PAGES["unavailable"])
    redis.start()
    redis.cmd("HSET", "routes", "other.example", worker.target)
    until(lambda: haproxy.ask("other.example").worker == "app1",
          "routes to be known again")


# -- what a client may try --------------------------------------------------


def test_a_client_does_not_say_who_it_is(site):
    host = site.route(site.app1)
    reply = site.haproxy.ask(host, headers={
        "X-Forwarded-For": "1.2.3.4", "X-FORWARDED-PROTO": "https",
        "X-Forwarded-Host": "evil.example", "X_Forwarded_For": "1.2.3.4",
        "Forwarded": "for=1.2.3.4", "X-Real-IP": "1.2.3.4",
        "X-Other": "stays"})
    assert reply.got("X-Forwarded-For") == ["127.0.0.1"]
    assert reply.got("X-Forwarded-Proto") == ["http"]
    assert reply.got("X-Other") == ["stays"]
    assert "1.2.3.4" not in reply.body.decode()
    assert "evil" not in reply.body.decode()


def test_no_tunnel_around_the_rules(site):
    host = site.route(site.app1)
    reply = site.haproxy.ask(host, headers={
        "Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c",
        "HTTP2-Settings": "AAMAAABkAAQCAAAAAAIAAAAA"})
    assert reply.status == 200
    assert reply.got("Upgrade") == []
    assert site.haproxy.ask(host, f"{host}:80", "CONNECT").status == 405


def test_loop(site):
    host = site.route(f"127.0.0.1:{site.haproxy.port}")
    before = int(site.haproxy.stat("router", "FRONTEND", "stot"))
    reply = site.haproxy.ask(host, "/loop")
    assert (reply.status, reply.body) == (
        508, b"508 this host is routed in a loop\n")
    # the client's connection and the loop's one
    assert int(site.haproxy.stat("router", "FRONTEND", "stot")) == before + 2


def test_hop_header(haproxy_binary, scripted, site):
    """Another router's mark may come, our own may not, however it hides."""
    host = site.route(site.app1)
    reply = site.haproxy.ask(host, headers={"X-Router-Hop": "other"})
    marks = reply.got("X-Router-Hop")
    assert marks[0] == "other" and len(marks) == 2
    own = marks[1]
    for mark in own, f"a, {own}", f"{own},b", f"a,{own} , c":
        assert site.haproxy.ask(
            host, headers={"X-Router-Hop": mark}).status == 508, mark
    for mark in own + "x", own[:-1], "", f"a{own}":
        assert site.haproxy.ask(
            host, headers={"X-Router-Hop": mark}).status == 200, mark


def test_a_router_behind_a_router(site, haproxy_binary, start_haproxy):
    """With names of their own, one passes to the other."""
    outer = start_haproxy(haproxy_binary, site.agent,
                          env={"ROUTER_NAME": "outer"})
    with kit.ScriptedAgent() as agent:
        outer = start_haproxy(haproxy_binary, agent,
                              env={"ROUTER_NAME": "outer"})
        host = site.route(site.app1)
        agent.answers[host] = kit.ok(f"127.0.0.1:{site.haproxy.port}")
        reply = outer.ask(host)
    assert reply.worker == "app1"
    assert reply.got("X-Router-Hop")[0] == "outer"


ODD = {
    "no target": {"status": "ok"},
    "no port": {"status": "ok", "ip": kit.ok("127.0.0.1:1")["ip"]},
    "no address": {"status": "ok", "port": 80},
    "address is a word": {"status": "ok", "ip": "nonsense", "port": 80},
    "port 0": kit.ok("127.0.0.1:0"),
    "port too big": kit.ok("127.0.0.1:88956"),
    "port is a word": {**kit.ok("127.0.0.1:1"), "port": "http"},
    "unknown status": kit.ok("127.0.0.1:1", status="perhaps"),
    "no status": {"ip": kit.ok("127.0.0.1:1")["ip"], "port": 1},
}


@pytest.mark.parametrize("case", ODD)
def test_never_to_itself(scripted, case):
    """Without a whole answer HAProxy must not connect anywhere."""
    scripted.agent.answers["odd.example"] = ODD[case]
    before = int(scripted.stat("router", "FRONTEND", "stot"))
    reply = scripted.ask("odd.example")
    check_page(reply, 503, "1", b"503 no answer about this host\n")
    assert int(scripted.stat("router", "FRONTEND", "stot")) == before + 1
    assert scripted.stat("targets", "BACKEND", "stot") == "0"


@pytest.mark.parametrize("host", [
    b"a.example,b.example", b"a" * 15000, b"a b", b'a" status=ok "',
    b"a\x00b", b"\xc3\xa9.example", b"a\tb", b"%s%n", b"<a>", b"{}", b"-"],
    ids=lambda host: repr(host[:12])[2:-1])
def test_hosts_that_are_none(site, host):
    """No such request reaches anything, hurts anyone, or forges a log line."""
    for field in "a.example", "b.example":
        site.route(site.app1, field)
    path = f"/none-{len(host)}-{host[1:2].hex()}-{host[-1:].hex()}"
    reply = kit.raw(site.haproxy.port, b"GET %s HTTP/1.1\r\nHost: %s\r\n"
                    b"Connection: close\r\n\r\n" % (path.encode(), host))
    status = int(reply.split()[1])
    assert status in (400, 404), reply
    known = site.route(site.app2)
    assert site.haproxy.ask(known, f"{path}-after").worker == "app2"
    site.haproxy.line(f"{path}-after")
    for line in site.haproxy.log().splitlines():
        assert line.isprintable() and line.isascii(), line
        assert line.count('"') % 2 == 0, line
        assert len(line) < 1024
    lines = [line for line in site.haproxy.lines() if f" {path} " in line.text]
    assert lines or len(host) < 15000, "a long Host hides the request"
    if lines:  # a request that HAProxy itself refuses is logged as <BADREQ>
        assert lines[0].status in ("bad_host", "not_found")


# -- the log ----------------------------------------------------------------


def test_brief(haproxy_binary, site, tmp_path):
    """A message that says so gets what routing needs, not what logs say."""
    conf = tmp_path / "brief.conf"
    conf.write_text((kit.haproxy.FILES / "spoe-router.conf").read_text()
                    .replace("client=src", "client=src brief=bool(true)"))
    host = site.route(site.app1)
    with kit.HAProxy(haproxy_binary, site.agent,
                     env={"SPOE_CONF": str(conf)}) as haproxy:
        assert haproxy.ask(host, "/brief").worker == "app1"
        line = haproxy.line("/brief")
        assert (line.status, line.target) == ("ok", site.app1.target)
        assert (line.source, line.route) == ("-", "")


def test_log_line(site):
    host = site.route(site.app1)
    site.route(site.app2, "*.log.example")
    for path in "/log-first", "/log-again":
        site.haproxy.ask(host.upper(), path)
    site.haproxy.ask("any.log.example", "/log-wild")
    first, again, wild = (site.haproxy.line(path) for path in (
        "/log-first", "/log-again", "/log-wild"))
    assert (first.host, first.status, first.source, first.route,
            first.target) == (host.upper(), "ok", "redis", host,
                              site.app1.target)
    assert again.source == "cache"
    assert (wild.route, wild.target) == ("*.log.example", site.app2.target)
    assert re.fullmatch(r"\d+ms", first.spoe) and first.err == "-"
    assert " 200 " in first.text and '"GET /log-first HTTP/1.1"' in first.text
    site.haproxy.ask("nobody.example", "/log-404")
    line = site.haproxy.line("/log-404")
    assert (line.status, line.target) == ("not_found", "-:-")
    assert " 404 " in line.text
