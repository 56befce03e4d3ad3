# SPDX-License-Identifier: MIT
"""Requests with a second target: saved when the first fails, never sent twice
where that does harm, and otherwise just as with one target."""

import contextlib
import re
import socket
import subprocess
import threading
import time
from collections import Counter

import pytest

import kit
from resp import Listener, until
from test_haproxy_agent import Load

IDEMPOTENT = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]
NOT = ["POST", "PATCH", "FROB"]
AT_ONCE = 1.0  # seconds; a refused connection takes some ms
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Target(Listener):
    """Keeps each request as it came, in `got`, and answers it with `reply`, or
    by closing where that is None."""

    def __init__(self, reply=ANSWER):
        self.reply, self.got = reply, []
        super().__init__(("127.0.0.1", 0))

    @property
    def target(self):
        return f"127.0.0.1:{self.port}"

    def serve(self, link):
        file = link.makefile("rb")
        while True:
            head = []
            for line in file:
                head.append(line)
                if line == b"\r\n":
                    break
            if not head:
                return
            size = sum(int(line.split(b":")[1]) for line in head
                       if line.startswith(b"content-length:"))
            if b"expect: 100-continue\r\n" in head:
                link.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.got.append(b"".join(head) + file.read(size))
            if self.reply is None:
                return
            link.sendall(self.reply)


class Hole:
    """A port that answers no SYN: its backlog is full."""

    def __init__(self):
        self.socks = [socket.socket() for _ in range(4)]
        self.socks[0].bind(("127.0.0.1", 0))
        self.socks[0].listen(0)
        self.target = "127.0.0.1:%d" % self.socks[0].getsockname()[1]
        for sock in self.socks[1:]:
            sock.setblocking(False)
            sock.connect_ex(self.socks[0].getsockname())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock in self.socks:
            sock.close()


def two(first, second, **more):
    """The variables of an answer that names two targets."""
    def where(target):
        return getattr(target, "target", target)
    other = kit.ok(where(second))
    return kit.ok(where(first), ip2=other["ip"], port2=other["port"], **more)


class Site:
    def __init__(self, haproxy, agent, one, other):
        self.haproxy, self.agent = haproxy, agent
        self.one, self.other = one, other
        self.hosts = 0

    def route(self, *targets, **more):
        """A host whose answer names these one or two targets."""
        self.hosts += 1
        host = f"host{self.hosts}.example"
        self.agent.answers[host] = two(*targets, **more) if \
            len(targets) == 2 else kit.ok(*targets, **more)
        return host

    def ask(self, *what, **more):
        return self.haproxy.ask(*what, **more)

    def tries(self, server, backend="choices"):
        return int(self.haproxy.stat(backend, server, "stot"))


@pytest.fixture(scope="module")
def site(haproxy_binary, start_haproxy, start_worker):
    with kit.ScriptedAgent() as agent:
        haproxy = start_haproxy(haproxy_binary, agent, tls=True)
        yield Site(haproxy, agent, start_worker("one"), start_worker("other"))
        assert haproxy.alerts() == []


@pytest.fixture(scope="module")
def gone():
    return f"127.0.0.1:{kit.free_port()}"


@contextlib.contextmanager
def at_once(seconds=AT_ONCE):
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


# -- saved ------------------------------------------------------------------


def test_the_first_serves(site):
    host = site.route(site.one, site.other)
    for method in IDEMPOTENT + NOT:
        body = b"x" * 500 if method in ("PUT", "POST", "PATCH") else None
        reply = site.ask(host, f"/first-{method}", method, body)
        assert (reply.status, reply.worker) == (200, "one"), method
        assert f" {'choices' if method in IDEMPOTENT else 'choices_once'}" \
            "/first " in site.haproxy.line(f"/first-{method}").text


@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
@pytest.mark.parametrize("method", IDEMPOTENT + NOT)
def test_refused(site, gone, method, kept):
    """Whatever the method: a target that refused got nothing of it."""
    host = site.route(gone, site.other)
    fine = site.route(site.one, site.other)
    with site.haproxy.client() as client, at_once():
        for _ in range(3 if kept else 1):
            if kept:
                assert client.ask(fine, "/", method, b"x").worker == "one"
            reply = client.ask(host, f"/refused-{method}", method, b"x" * 8000)
            assert (reply.status, reply.worker) == (200, "other")
            assert method == "HEAD" or reply.told["body_length"] == 8000
    line = site.haproxy.line(f"/refused-{method}")
    assert "/second " in line.text and "retries=+1" in line.text
    assert line.target == gone and line.second == site.other.target


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_black_hole(site, method):
    with Hole() as hole, at_once(3):
        reply = site.ask(site.route(hole, site.other), "/", method, b"x")
        assert (reply.status, reply.worker) == (200, "other")


@pytest.mark.parametrize("kept", [False, True], ids=["new", "kept"])
@pytest.mark.parametrize("method", IDEMPOTENT)
def test_closed_without_an_answer(site, method, kept):
    """The first may have seen the request: repeated, as it may be."""
    with Target(None) as target, site.haproxy.client() as client:
        host = site.route(target, site.other)
        for _ in range(3 if kept else 1):
            target.got.clear()
            assert client.ask(host, "/", method, b"x").worker == "other"
            assert len(target.got) == 1


@pytest.mark.parametrize("method", NOT)
def test_what_must_not_be_sent_twice_is_not(site, method):
    """On new connections and on kept ones, of clients and of targets."""
    closing = Target(None)
    with closing, Target() as second, Target() as fine:
        hosts = [site.route(closing, second), site.route(fine, second)]
        for _ in range(5):
            reply = site.ask(hosts[0], "/", method, b"x")
            assert (reply.status, reply.body) == (502,
                                                  b"502 this host broke off\n")
        with site.haproxy.client() as client:
            for i in range(20):
                # a kept connection may be closed, in place of a page
                with contextlib.suppress(ConnectionError):
                    reply = client.ask(hosts[i % 2], "/", method, b"x")
                    assert reply.status == (502, 200)[i % 2]
        fine.reply = None  # its kept connections end with the next request
        for _ in range(5):
            with contextlib.suppress(ConnectionError):
                assert site.ask(hosts[1], "/", method, b"x").status == 502
        assert len(closing.got) == 15 and second.got == []
        assert len(fine.got) == 15


class Dying(Target):
    """Answers the head of an answer, and no more."""

    def __init__(self):
        super().__init__(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")

    def serve(self, link):
        link.recv(1 << 16)
        self.got.append(b"")
        link.sendall(self.reply)


def test_an_answer_that_has_begun_is_not_repeated(site):
    with Dying() as target, Target() as second:
        reply = kit.raw(site.haproxy.port, b"GET / HTTP/1.0\r\nHost: %s\r\n\r\n"
                        % site.route(target, second).encode())
        assert reply.endswith(b"\r\n\r\nhalf")
        assert (len(target.got), len(second.got)) == (1, 0)


@pytest.mark.parametrize("status", [400, 404, 408, 500, 501, 502, 503, 504])
def test_a_targets_own_error_is_its_answer(site, status):
    """Not repeated, and not another page."""
    with Target(b"HTTP/1.1 %d Own Words\r\nX-Own: yes\r\nContent-Length: 3\r\n\r\n"
                b"own" % status) as target:
        host = site.route(target, site.other)
        for method in "GET", "POST":
            reply = site.ask(host, "/", method, b"x")
            assert (reply.status, reply.body) == (status, b"own")
            assert reply.headers["x-own"] == "yes"
        assert len(target.got) == 2


def test_too_early_means_another(site):
    """RFC 8470: the target did not process it, so it may be sent again."""
    with Target(b"HTTP/1.1 425 Too Early\r\nContent-Length: 0\r\n\r\n") as early:
        for method in "GET", "POST":
            assert site.ask(site.route(early, site.other), "/",
                            method).worker == "other"
            assert site.ask(site.route(early, early), "/",
                            method).status == 425
            assert site.ask(site.route(early.target), "/",
                            method).status == 425


# -- nothing is left --------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_both_refuse(site, gone, method):
    host = site.route(gone, f"127.0.0.1:{kit.free_port()}")
    with site.haproxy.client() as client:
        for _ in range(2):
            with at_once(4):
                reply = client.ask(host, "/", method, b"x")
            assert (reply.status, reply.body) == (
                503, b"503 this host cannot be reached\n")
            assert reply.headers["retry-after"] == "1"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_both_close(site, method):
    with Target(None) as first, Target(None) as second:
        reply = site.ask(site.route(first, second), "/", method, b"x")
        assert reply.status in (502, 503)
        assert len(first.got) + len(second.got) <= 8


def test_kept_client_and_both_close(site):
    with Target(None) as first, site.haproxy.client() as client:
        host, fine = site.route(first, first), site.route(site.one, site.other)
        for _ in range(10):
            assert client.ask(fine).worker == "one"
            # to 2.6, HAProxy closes a kept connection without a page
            with contextlib.suppress(*([ConnectionError] if kit.version(
                    site.haproxy.binary) < (3, 0) else [])):
                assert client.ask(host).status in (502, 503)


def test_a_slow_target_is_not_left(site):
    """Who has the request and thinks is waited for."""
    host = site.route(site.one, site.other)
    with site.haproxy.client() as client:
        for method in "GET", "POST":
            assert client.ask(host, "/?wait=2", method).worker == "one"


# -- straight to the first --------------------------------------------------


def body_in_chunks(data):
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)


STRAIGHT = {
    "long body": ("POST", {"Content-Length": "9000"}, b"x" * 9000),
    "long head": ("GET", {"X-Long": "x" * 13000}, b""),
    "expect": ("POST", {"Content-Length": "9", "Expect": "100-continue"},
               b"x" * 9),
    "upgrade": ("GET", {"Connection": "Upgrade", "Upgrade": "own"}, b""),
}


@pytest.mark.parametrize("case", STRAIGHT)
def test_straight(site, gone, case):
    method, headers, body = STRAIGHT[case]
    head = f"{method} /straight HTTP/1.1\r\nHost: %s\r\n" + "".join(
        f"{name}: {value}\r\n" for name, value in headers.items())
    with Target() as target:
        # the body comes later than the head, but for what fits the buffer
        with socket.create_connection(("127.0.0.1", site.haproxy.port),
                                      10) as sock:
            sock.sendall((head % site.route(target, gone)).encode() + b"\r\n")
            if "Expect" in headers:
                assert sock.recv(1 << 16).startswith(b"HTTP/1.1 100 ")
            sock.sendall(body)
            answer = b""
            while not answer.endswith(b"\r\n\r\nok"):
                piece = sock.recv(1 << 16)
                assert piece, answer
                answer += piece
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(target.got) == 1 and target.got[0].endswith(b"\r\n\r\n" + body)
    assert b"x-router-choices" not in target.got[0]


def test_websocket_and_streamed_upload(site):
    host = site.route(site.one, site.other)
    before = site.tries("first"), site.tries("first", "choices_once")
    with kit.WebSocket(site.haproxy.port, host) as found:
        found.send(b"hello")
        assert found.receive() == (found.BINARY, b"hello")
    with socket.create_connection(("127.0.0.1", site.haproxy.port), 10) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: "
                     b"chunked\r\n\r\n" % host.encode())
        for _ in range(8):
            time.sleep(0.1)
            sock.sendall(b"3\r\nabc\r\n")
        sock.sendall(b"0\r\n\r\n")
        assert b'"body_length": 24' in sock.recv(1 << 16)
    assert before == (site.tries("first"), site.tries("first", "choices_once"))


def test_a_slow_small_upload_is_not_cut(site):
    """Waited for until it is whole, and longer than for a head."""
    host = site.route(site.one, site.other)
    with socket.create_connection(("127.0.0.1", site.haproxy.port), 30) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 12\r\n\r\n"
                     % host.encode())
        for _ in range(12):
            time.sleep(1)  # "timeout http-request" is 10 s
            sock.sendall(b"x")
        assert b'"body_length": 12' in sock.recv(1 << 16)


def test_one_target_takes_no_part(site):
    host = site.route(site.one.target)
    before = site.tries("BACKEND"), site.tries("BACKEND", "choices_once")
    inner = site.haproxy.stat("choice", "FRONTEND", "req_tot")
    for method in "GET", "POST":
        assert site.ask(host, "/", method, b"x").worker == "one"
    assert before == (site.tries("BACKEND"),
                      site.tries("BACKEND", "choices_once"))
    assert inner == site.haproxy.stat("choice", "FRONTEND", "req_tot")


ODD = {
    "no port": {"ip2": kit.ok("127.0.0.1:1")["ip"]},
    "no address": {"port2": 80},
    "a word": {"ip2": "nonsense", "port2": 80},
    "port 0": {"ip2": kit.ok("127.0.0.1:1")["ip"], "port2": 0},
    "port too big": {"ip2": kit.ok("127.0.0.1:1")["ip"], "port2": 88956},
}


@pytest.mark.parametrize("case", ODD)
def test_half_a_second_choice_is_none(site, case):
    before = site.tries("BACKEND")
    assert site.ask(site.route(site.one.target, **ODD[case])).worker == "one"
    assert site.tries("BACKEND") == before


# -- the same to everybody --------------------------------------------------


REQUESTS = {
    "get": b"GET /a%20b?c=d&e HTTP/1.1\r\nHost: %s\r\nUser-Agent: x\r\n",
    "names": b"GET / HTTP/1.1\r\nHOST: %s\r\nX-UPPER: Kept\r\nCookie: a=b\r\n"
             b"cookie: c=d\r\nX-Empty:\r\nX-Comma: a, b\r\nX-Comma: c\r\n",
    "old": b"GET / HTTP/1.0\r\nHost: %s\r\n",
    "whole URI": b"GET http://%s/path HTTP/1.1\r\nHost: %s\r\n",
    "close": b"GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n",
    "hop by hop": b"GET / HTTP/1.1\r\nHost: %s\r\nConnection: x-router-choices,"
                  b" x-other\r\nX-Other: 1\r\nTE: trailers\r\n",
    "post": b"POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 5\r\n",
    "head": b"HEAD / HTTP/1.1\r\nHost: %s\r\n",
    "forged": b"GET / HTTP/1.1\r\nHost: %s\r\nX-Forwarded-For: 1.2.3.4\r\n"
              b"X-Router-Hop: far\r\n",
    "star": b"OPTIONS * HTTP/1.1\r\nHost: %s\r\n",
}


@pytest.mark.parametrize("case", REQUESTS)
def test_a_target_gets_the_same_bytes(site, gone, case):
    """As the first of two, as the second, and as the only one."""
    text = REQUESTS[case]
    with Target() as target:
        hosts = {way: site.route(*targets) for way, targets in {
            "only": [target.target], "first": [target, gone],
            "second": [gone, target]}.items()}
        for host in hosts.values():
            data = text.replace(b"%s", host.encode()) + b"\r\n"
            if case == "post":
                data += b"12345"
            with socket.create_connection(("127.0.0.1", site.haproxy.port),
                                          10) as sock:
                sock.sendall(data)
                assert sock.recv(1 << 16).startswith(b"HTTP/1.")
        seen = {way: got.replace(host.encode(), b"HOST")
                for (way, host), got in zip(hosts.items(), target.got)}
    assert len(seen) == 3
    assert seen["first"] == seen["only"] == seen["second"]
    assert seen["only"].count(b"x-forwarded-for: 127.0.0.1\r\n") == 1
    assert b"x-router-choices:" not in seen["only"]


class Proxied(Target):
    """Wants to know of each connection whose it is."""

    def serve(self, link):
        said = b""
        while b"\r\n\r\n" not in said:
            said += link.recv(1 << 16)
        self.got.append(said.split(b"\r\n")[0].decode().split()[:5])
        link.sendall(ANSWER)


def test_the_clients_address_goes_along(haproxy_binary, site, gone, tmp_path):
    """For whoever adds send-proxy, say: it is the client's, one target or two."""
    config = tmp_path / "haproxy.cfg"
    text = (kit.haproxy.FILES / "haproxy.cfg").read_text()
    plain = "server target 0.0.0.0:0 pool-low-conn"
    assert plain in text
    config.write_text(text.replace(plain, plain + " 0 send-proxy #"))
    with Proxied() as target, kit.HAProxy(haproxy_binary, site.agent,
                                          config=config) as haproxy:
        for targets in [target.target], [target, gone], [gone, target]:
            with socket.create_connection(haproxy.where, 10,
                                          ("127.0.0.7", 0)) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" %
                             site.route(*targets).encode())
                assert sock.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
                assert target.got.pop() == [
                    "PROXY", "TCP4", "127.0.0.7", "127.0.0.1",
                    str(sock.getsockname()[1])]


def test_a_client_gets_the_same_bytes(site):
    replies = {
        "plain": ANSWER,
        "no content": b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
        "not modified": b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\n\r\n',
        "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                   b"3\r\nabc\r\n0\r\n\r\n",
        "reason": b"HTTP/1.1 503 Own Words\r\nContent-Length: 0\r\n\r\n",
        "old": b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx",
        "big head": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
                    + b"Set-Cookie: " + b"c" * 14000 + b"\r\n\r\n",
        "early hints": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
                       + ANSWER,
    }
    for name, reply in replies.items():
        with Target(reply) as target:
            seen = [kit.raw(site.haproxy.port, b"GET / HTTP/1.1\r\nHost: %s\r\n"
                            b"Connection: close\r\n\r\n" % host.encode())
                    for host in (site.route(target.target),
                                 site.route(target, site.other))]
        assert seen[0] == seen[1] and seen[0].startswith(b"HTTP/1."), name
        assert len(target.got) == 2


def test_a_client_cannot_choose(site, gone):
    """Its own X-Router-Choices goes nowhere, in whatever form."""
    steer = "|".join(site.other.target.split(":") * 2) + "|9.9.9.9|9"
    for host in site.route(site.one, gone), site.route(gone, site.one):
        for name in "X-Router-Choices", "x-router-choices":
            reply = site.ask(host, headers={name: steer})
            assert reply.worker == "one"
            assert reply.got(name) == []
            assert reply.got("X-Forwarded-For") == ["127.0.0.1"]


def test_ipv6_targets(site, start_worker):
    six = start_worker("six", host="::1")
    gone6 = f"[::1]:{kit.free_port()}"
    assert site.ask(site.route(six, gone6)).worker == "six"
    assert site.ask(site.route(gone6, six)).worker == "six"
    assert site.ask(site.route(gone6, site.one)).worker == "one"


def test_big_heads(site):
    """Up to what HAProxy takes, two targets serve what one serves."""
    single, pair = site.route(site.one.target), site.route(site.one, site.other)
    for size in *range(11000, 15600, 400), 14900, 15100:
        seen = [site.ask(host, headers={"X-Long": "x" * size}).status
                for host in (single, pair)]
        assert seen[0] == seen[1], size


def test_http2(site, gone):
    """Many streams over one connection, also where each must be saved."""
    for targets in (site.one, site.other), (gone, site.other):
        done = subprocess.run(
            ["h2load", "-n", "400", "-c", "2", "-m", "20", "-H",
             f":authority: {site.route(*targets)}",
             f"https://127.0.0.1:{site.haproxy.tls_port}/"],
            capture_output=True, text=True, timeout=60)
        assert "400 succeeded, 0 failed" in done.stdout, done.stdout
        assert "400 2xx" in done.stdout


def test_two_clients_do_not_mix(site, gone):
    """The sockets inside are shared by all; addresses and hosts are not."""
    hosts = {site.route(site.one, gone): "one",
             site.route(gone, site.other): "other"}

    def ask(address, wrong):
        link = socket.create_connection(
            ("127.0.0.1", site.haproxy.port), 10, (address, 0))
        with kit.Client(site.haproxy.port) as client:
            client.link.sock = link
            for i in range(40):
                host, worker = list(hosts.items())[i % 2]
                reply = client.ask(host, "/", ("GET", "POST")[i % 3 == 0])
                if reply.worker != worker or \
                        reply.got("X-Forwarded-For") != [address]:
                    wrong.append(reply)
    wrong = []
    threads = [threading.Thread(target=ask, args=(f"127.0.0.{i}", wrong))
               for i in range(2, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_client_that_leaves(site):
    """What it left behind ends: no stream stays."""
    host = site.route(site.one, site.other)
    for method in b"GET", b"POST":
        with socket.create_connection(("127.0.0.1", site.haproxy.port),
                                      10) as sock:
            sock.sendall(b"%s /?wait=1 HTTP/1.1\r\nHost: %s\r\n"
                         b"Content-Length: 5\r\n\r\n12" % (method, host.encode()))
            time.sleep(0.1)
    until(lambda: site.haproxy.stat("router", "FRONTEND", "scur") == "0"
          and site.haproxy.stat("first", "BACKEND", "scur") == "0", "the end")
    assert site.ask(host).worker == "one"


def test_a_long_download(site):
    body = b"x" * (8 << 20)
    with Target(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
                + body) as target:
        assert site.ask(site.route(target, site.other)).body == body


def test_one_line_for_a_request(site, gone):
    host = site.route(gone, site.other)
    site.ask(host, "/one-line")
    site.haproxy.line("/one-line")
    site.ask(host, "/one-line-end")
    site.haproxy.line("/one-line-end")
    lines = [line for line in site.haproxy.log().splitlines()
             if " /one-line " in line]
    assert len(lines) == 1 and "second=" in lines[0]


def test_the_agent_hears_of_a_request_that_was_saved(haproxy_binary, site,
                                                      gone):
    """The connection that failed inside is reported, once, with its target;
    outside, what was saved is no failure."""
    ip, _, port = gone.partition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
        heard.bind(("127.0.0.1", 0))
        heard.settimeout(5)
        with kit.HAProxy(haproxy_binary, site.agent, env={
                "ROUTER_FEEDBACK": "127.0.0.1:%d" % heard.getsockname()[1]}) \
                as haproxy:
            for method in "GET", "POST":
                assert haproxy.ask(site.route(gone, site.other), "/",
                                   method).worker == "other"
                # one line outside, for its retry, and one inside
                said = sorted(re.search(r"\[router1 [^]]*\]", heard.recv(
                    1 << 16).decode()).group() for _ in range(2))
                assert said == [
                    '[router1 tsc="----" ip="-" port="-"]',
                    f'[router1 tsc="SC--" ip="{ip}" port="{port}"]']
            heard.setblocking(False)
            with pytest.raises(BlockingIOError):
                heard.recv(1 << 16)


# -- a target dies ----------------------------------------------------------


class Posts(Load):
    """As Load, but what fails is counted and not the end."""

    def run(self):
        with self.haproxy.client() as client:
            while not self.ended.wait(self.pause):
                try:
                    seen = client.ask(self.host, "/", "POST", b"x").status
                except OSError as wrong:  # closed, since it was a kept one
                    seen = repr(wrong)
                    client.close()
                self.seen[seen] += 1


def test_a_target_is_killed_under_load(haproxy_binary, redis, start_agent,
                                       start_worker):
    """With what the agent says of two real targets, and no check to help. The
    dead one's own POSTs fail, since it may have done them; nothing else does."""
    victim, other = start_worker("victim"), start_worker("other")
    agent = start_agent("--redis", redis.url, "--lookup-timeout", "2s",
                        "--check-interval", "0")
    redis.cmd("HSET", "routes", "app.example",
              f"{victim.target}, {other.target}")
    with kit.HAProxy(haproxy_binary, agent) as haproxy:
        with Load(haproxy, "app.example") as gets, \
                Posts(haproxy, "app.example") as posts:
            gets.more(200)
            victim.kill()
            gets.more(400)
            failed = posts.total - posts.seen[200]
            posts.more(400)
            victim.start()
            gets.more(200)
        assert gets.seen == {200: gets.total}
        assert posts.total - posts.seen[200] == failed <= len(posts.threads)
        assert gets.worst < 1
        assert haproxy.alerts() == []


# -- where nobody accepts ---------------------------------------------------


def test_all_of_maxconn_is_taken(haproxy_binary, site):
    """Connections inside count to maxconn: without any left, requests must not
    wait for one, but for the few that noticed too late."""
    count, seen = 200, Counter()
    host = site.route(site.one, site.other)

    def ask(client):
        try:
            seen[client.ask(host).status] += 1
        except TimeoutError:
            seen["late"] += 1
    with kit.HAProxy(haproxy_binary, site.agent,
                     before=f"global\n    maxconn {count}\n") as haproxy:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(haproxy.client(timeout=5))
                       for _ in range(count)]
            for client in clients:
                client.link.connect()
            until(lambda: int(haproxy.stat("router", "FRONTEND", "scur"))
                  >= count - 5, "all to be accepted")
            threads = [threading.Thread(target=ask, args=(client,))
                       for client in clients]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert seen["late"] <= 60 and sum(seen.values()) == count, seen
        until(lambda: haproxy.ask(host).status == 200, "room again")


def test_two_haproxys_on_one_machine(haproxy_binary, site, gone):
    host = site.route(gone, site.other)
    with kit.HAProxy(haproxy_binary, site.agent) as another:
        for haproxy in another, site.haproxy, another:
            before = haproxy.stat("choice", "FRONTEND", "req_tot")
            assert haproxy.ask(host).worker == "other"
            assert haproxy.stat("choice", "FRONTEND", "req_tot") > before


def test_stop_under_load(haproxy_binary, site):
    """SIGUSR1: kept connections get their last answers, two targets or one."""
    host = site.route(site.one, site.other)
    with kit.HAProxy(haproxy_binary, site.agent) as haproxy:
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(haproxy.client())
                       for _ in range(20)]
            for client in clients:
                assert client.ask(host).worker == "one"
            haproxy.process.send_signal(10)
            until(lambda: not kit.process.accepts(haproxy.where), "the stop")
            for client in clients:  # nobody is left who accepts inside
                assert client.ask(host).status == 200
        until(lambda: not haproxy.running, "its end")


@pytest.mark.parametrize("threads", [1, 4])
def test_reload_under_load(haproxy_binary, site, gone, threads):
    """Old and new bind the same sockets inside; nobody notices."""
    hosts = [site.route(site.one, site.other), site.route(gone, site.other)]
    with kit.HAProxy(haproxy_binary, site.agent, master=True,
                     before=f"global\n    nbthread {threads}\n") as haproxy:
        with Load(haproxy, hosts[0]) as load, Load(haproxy, hosts[1]) as saved:
            for _ in range(4):
                load.more(100)
                haproxy.reload()
            load.more(100)
            saved.more(100)
        assert load.seen == {200: load.total}
        assert saved.seen == {200: saved.total}
        assert haproxy.stat("choice", "FRONTEND", "req_tot") != "0"


def test_takeover_without_a_master(haproxy_binary, site, gone):
    hosts = [site.route(site.one, site.other), site.route(gone, site.other)]
    with kit.HAProxy(haproxy_binary, site.agent) as old:
        with Load(old, hosts[0]) as load, Load(old, hosts[1]) as saved:
            with kit.HAProxy(
                    haproxy_binary, site.agent, env={
                        "ROUTER_BIND": f"127.0.0.1:{old.port}"},
                    options=["-x", old.socket, "-sf", str(old.pid)],
                    where=old.where) as new:
                until(lambda: " host=" in new.log(), "the new one to serve")
                load.more(200)
                saved.more(200)
                load.stop()
                saved.stop()
                assert new.ask(hosts[1]).worker == "other"
        assert load.seen == {200: load.total}
        assert saved.seen == {200: saved.total}
