# SPDX-License-Identifier: MIT
"""Which targets are alive: checks, what they change, and who hears of it."""

import contextlib
import json
import re
import socket
import subprocess
import threading
import time

import pytest

import kit
from resp import Listener, Speaker, until
from spop import Peer

HOST = "app.example"
QUICK = ("--check-interval", "50ms", "--check-timeout", "500ms")
FALL, RISE = 3, 2


class Target(Listener):
    """Counts the connections of checks; says what `answer` holds, if anything,
    to each request, and keeps its first lines."""

    def __init__(self, answer=None, host="127.0.0.1"):
        self.answer, self.heads = answer, []
        self.six = ":" in host
        super().__init__((host, 0))

    def open(self):
        if not self.six:
            return super().open()
        self.door = socket.socket(socket.AF_INET6)
        self.door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.door.bind(self.where)
        self.where = self.door.getsockname()
        self.door.listen(64)
        threading.Thread(target=self._accept, args=(self.door,),
                         daemon=True).start()
        return self

    def serve(self, link):
        head = b""
        while self.answer is not None and b"\r\n\r\n" not in head:
            piece = link.recv(4096)
            if not piece:
                return
            head += piece
        if self.answer is not None:
            self.heads.append(head.decode())
            link.sendall(self.answer)
        link.recv(1)  # until it is closed

    def __str__(self):
        return ("[%s]:%d" if self.six else "%s:%d") % self.where[:2]


@pytest.fixture
def target():
    """target(...) -> a Target that is closed with the test."""
    with contextlib.ExitStack() as stack:
        def start(*args, **more):
            found = Target(*args, **more)
            stack.callback(found.close)
            return found
        yield start


@pytest.fixture
def route(redis, ask):
    """route.start(options), then route(value) and route.served()."""
    def put(value, host=HOST):
        redis.cmd("HSET", "routes", host, value)

    def start(*options):
        ask.start(redis.url, options=(*QUICK, "--lookup-timeout", "2s",
                                      *options))
        put.agent = ask.agent

    def served(host=HOST, times=16):
        """The targets that serve, or the statuses in place of them."""
        return {answer.target if answer.status == "ok" else answer.status
                for answer in ask.peer.ask_all([host] * times)}

    def heard(words, level="warn"):
        return [line for line in put.agent.log().splitlines()
                if words in line and f"level={level}" in line]
    put.start, put.served, put.heard = start, served, heard
    put.redis, put.ask = redis, ask
    return put


def plain(target):
    """As an answer writes it."""
    return str(target).replace("[", "").replace("]", "")


def checked(target, times, route, host=HOST):
    """Waits for so many more checks, with the route in use."""
    goal = target.accepted + times

    def enough():
        route.served(host)
        return target.accepted >= goal
    until(enough, "checks")


def test_a_dead_target_is_passed_over_and_comes_back(route, target):
    route.start()
    one, two = target(), target()
    route(f"{one}, {two}")
    assert route.served() == {plain(one), plain(two)}
    one.close()
    until(lambda: route.served() == {plain(two)}, "one to be passed over")
    assert len(route.heard("target is down")) == 1
    assert f"target={one}" in route.heard("target is down")[0]
    assert "connection refused" in route.heard("target is down")[0]
    assert f"host={HOST}" in route.heard("target is down")[0]
    checked(two, 10, route)
    one.open()
    until(lambda: route.served() == {plain(one), plain(two)}, "one to be back")
    assert len(route.heard("target is down")) == 1
    assert len(route.heard("target is up", "info")) == 1


def test_fall_and_rise_are_counted(route, target):
    """Checks are counted on an HTTP target, which can be told what to say."""
    route.start("--check-fall", "5", "--check-rise", "4")
    one = target(b"HTTP/1.1 200 OK\r\n\r\n")
    route(f"{one}; check http /")
    checked(one, 3, route)
    before = len(one.heads)
    one.answer = b"HTTP/1.1 500 no\r\n\r\n"
    until(lambda: route.served() == {"down"}, "it to be down")
    assert 5 <= len(one.heads) - before <= 7
    before = len(one.heads)
    one.answer = b"HTTP/1.1 200 OK\r\n\r\n"
    until(lambda: route.served() == {plain(one)}, "it to be up")
    assert 4 <= len(one.heads) - before <= 6


@pytest.mark.parametrize("check", ["", "; check tcp", "; check none"])
def test_who_is_checked(route, target, check):
    """A single target only when the route says so, several unless it says
    not to."""
    route.start()
    single, left, right, control = target(), target(), target(), target()
    route(f"{single}{check}", "single.example")
    route(f"{left}, {right}{check}", "pair.example")
    route(f"{control}; check tcp", "control.example")
    for _ in range(3):
        route.served("single.example")
        route.served("pair.example")
        checked(control, 5, route, "control.example")
    assert bool(single.accepted) == (check == "; check tcp")
    assert bool(left.accepted) == bool(right.accepted) == (
        check != "; check none")


def test_checks_can_be_switched_off(route, target):
    route.start("--check-interval", "0")
    one = target()
    one.close()
    route(f"{one}; check tcp")
    assert route.served() == {plain(one)}


def test_what_nobody_asks_for_is_not_checked(route, target):
    """Nor what is read again because something else changed."""
    route.start()
    one, control = target(), target()
    route(f"{control}; check tcp", "control.example")
    checked(control, 2, route, "control.example")
    route(f"{one}; check tcp", "silent.example")
    route(f"{control}; check tcp", "other.example")
    checked(control, 20, route, "control.example")
    assert one.accepted == 0


def test_a_route_that_is_gone_is_not_checked(route, target):
    route.start()
    one, control = target(), target()
    route(f"{one}; check tcp")
    route(f"{control}; check tcp", "control.example")
    checked(one, 3, route)
    route.redis.cmd("HDEL", "routes", HOST)
    until(lambda: route.served() == {"not_found"}, "the route to be gone")
    checked(control, 2, route, "control.example")
    before = one.accepted
    checked(control, 20, route, "control.example")
    assert one.accepted == before


def test_one_check_for_all_routes_of_a_place(route, target):
    route.start("--check-interval", "200ms")
    one, control = target(), target()
    hosts = [f"h{i}.example" for i in range(20)]
    for host in hosts:
        route(f"{one}; check tcp", host)
    route(f"{control}; check tcp", "control.example")

    def ask_all():
        assert {a.status for a in route.ask.peer.ask_all(hosts)} == {"ok"}
    ask_all()
    checked(one, 1, route, hosts[0])
    before, control_before = one.accepted, control.accepted
    while control.accepted < control_before + 10:
        ask_all()
        route.served("control.example")
    assert 7 <= one.accepted - before <= 13


def test_a_single_target_with_a_check_goes_down(route, target):
    route.start()
    one = target()
    route(f"{one}; check tcp")
    checked(one, 2, route)
    one.close()
    until(lambda: route.served() == {"down"}, "down")
    one.open()
    until(lambda: route.served() == {plain(one)}, "up")


def test_the_last_target_is_not_taken_away(route, target):
    """Unless the route says `check`."""
    route.start()
    one, two = target(), target()
    route(f"{one}, {two}")
    route(f"{one}, {two}; check tcp", "strict.example")
    checked(one, 2, route)
    one.close()
    until(lambda: route.served() == {plain(two)}, "one to be down")
    two.close()
    until(lambda: route.served("strict.example") == {"down"}, "down")
    assert "down" not in route.served()
    two.open()
    until(lambda: route.served("strict.example") == {plain(two)}, "two")
    assert route.served() == {plain(two)}


def test_a_change_of_the_route_forgets_nothing(route, target):
    route.start("--check-rise", "100")
    one, two, three = target(), target(), target()
    route(f"{one}, {two}")
    checked(two, 2, route)
    one.close()
    until(lambda: route.served() == {plain(two)}, "one to be passed over")
    one.open()
    route(f"{one}, {three}")
    until(lambda: plain(two) not in route.served(), "the change")
    assert route.served() == {plain(three)}


def test_ipv6(route, target):
    route.start()
    one, two = target(host="::1"), target(host="::1")
    route(f"{one}, {two}")
    checked(one, 2, route)
    one.close()
    until(lambda: route.served() == {plain(two)}, "one to be passed over")
    assert f'target={one}' in route.heard("target is down")[0].replace('"', "")


@pytest.mark.parametrize("answer, reason", [
    (b"HTTP/1.1 200 OK\r\n\r\n", None),
    (b"HTTP/1.0 204 \r\n\r\n", None),
    (b"HTTP/1.1 399 x\r\n\r\n", None),
    (b"HTTP/1.1 404 no\r\n\r\n", "http status"),
    (b"HTTP/1.1 503 no\r\n\r\n", "http status"),
    (b"HTTP/1.1 199 x\r\n\r\n", "http status"),
    (b"HTTP/1.1 2000 x\r\n\r\n", None),  # three digits are looked at
    (b"HTTP/1.1 2x0 x\r\n\r\n", "not http"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", "not http"),
    (b"\0" * 100, "not http"),
    (b"", "timeout"),
    (b"HTTP/1.1 2", "timeout"),
])
def test_http_checks(route, target, answer, reason):
    if reason == "timeout":
        route.start("--check-timeout", "100ms")
    else:
        route.start()
    one = target(answer)
    route(f"{one}; check http /up?x=1,2;y")
    checked(one, 2, route)
    if reason:
        until(lambda: route.served() == {"down"}, "it to be down")
        line = route.heard("target is down")[0]
        assert reason in line
        status = re.search(r"status=(\d+)", line).group(1)
        assert status == (answer[9:12].decode() if "status" in reason else "0")
    else:
        checked(one, 5, route)
        assert route.served() == {plain(one)}
    assert one.heads[0].startswith("GET /up?x=1,2;y HTTP/1.1\r\n")
    assert f"\r\nHost: {HOST}\r\n" in one.heads[0]


def test_http_closed_without_an_answer(route, target):
    route.start()
    one = target(b"")
    one.serve = lambda link: link.close()
    route(f"{one}; check http /")
    until(lambda: route.served() == {"down"}, "it to be down")


@pytest.mark.parametrize("field, host, said", [
    ("*.cloud.example", "a.b.cloud.example", "cloud.example"),
    ("*", "a.example", None)])
def test_http_host_of_a_wildcard(route, target, field, host, said):
    """A client's word goes to no target unasked."""
    route.start()
    one = target(b"HTTP/1.1 200 OK\r\n\r\n")
    route(f"{one}; check http /", field)
    checked(one, 2, route, host)
    assert f"\r\nHost: {said or one}\r\n" in one.heads[0]


def test_http_checks_of_two_hosts_at_one_place(route, target):
    """Each has its own state."""
    class Picky(Target):
        def serve(self, link):
            head = link.recv(4096).decode()
            link.sendall(b"HTTP/1.1 %d x\r\n\r\n" %
                         (500 if "Host: bad." in head else 200))
            link.recv(1)
    one = Picky()
    route.start()
    route(f"{one}; check http /", "good.example")
    route(f"{one}; check http /", "bad.example")
    until(lambda: route.served("bad.example") == {"down"}, "bad to be down")
    assert route.served("good.example") == {plain(one)}
    one.close()


def black_hole():
    """A socket whose backlog is full: connections to it hang."""
    door = socket.socket()
    door.bind(("127.0.0.1", 0))
    door.listen(0)
    held = []
    for _ in range(8):
        link = socket.socket()
        link.setblocking(False)
        link.connect_ex(door.getsockname())
        held.append(link)
    return door, held


def test_what_hangs_is_down_and_harms_nobody(route, target):
    route.start("--check-timeout", "50ms")
    hole, held = black_hole()
    two = target()
    route("127.0.0.1:%d, %s" % (hole.getsockname()[1], two))
    until(lambda: route.served() == {plain(two)}, "the hole to be down")
    assert "timeout" in route.heard("target is down")[0]
    hole.close()
    for link in held:
        link.close()


def test_few_descriptors(redis, ask, target):
    """Checks that hang leave descriptors to HAProxy, and say so when not."""
    hole, held = black_hole()
    ask.start(redis.url, options=(
        "--check-interval", "50ms", "--check-timeout", "2s",
        "--max-connections", "30", "--lookup-timeout", "2s"),
        prefix=["prlimit", "--nofile=64:64"])
    one = target()
    redis.cmd("HSET", "routes", HOST, ", ".join(
        f"127.{i}.0.1:{hole.getsockname()[1]}" for i in range(1, 100))
        + f", {one}; check tcp")
    until(lambda: ask(HOST).status == "ok" and one.accepted > 2, "checks")
    assert ask.agent.fds() <= 40
    hole.close()
    for link in held:
        link.close()


def test_a_forbidden_address_is_never_connected_to(route, target):
    """The route is refused as a whole: its other target is not checked
    either."""
    route.start("--deny-target", "127.0.0.2/32")
    denied, one, control = target(host="127.0.0.2"), target(), target()
    route(f"{denied}, {one}; check tcp")
    route(f"{control}; check tcp", "control.example")
    for _ in range(3):
        assert route.served() == {"bad_route"}
        checked(control, 5, route, "control.example")
    assert denied.accepted == one.accepted == 0


# -- events -----------------------------------------------------------------


class Subscriber(Speaker):
    """Listens to a channel."""

    def __init__(self, redis, channel="routes:events"):
        super().__init__(redis.where)
        self("SUBSCRIBE", channel)

    def next(self):
        kind, _, text = self.reply()
        assert kind == "message"
        return json.loads(text)


def test_events(route, target):
    route.start()
    one, two = target(), target(b"HTTP/1.1 200 OK\r\n\r\n")
    with Subscriber(route.redis) as events:
        route(f"{one}, {two}")
        route(f"{one}; check tcp", "*.two.example")
        route(f"{two}; check http /up", "http.example")
        checked(one, 2, route)
        route.served("x.two.example")
        checked(two, 4, route, "http.example")
        one.close()
        until(lambda: route.served() == {plain(two)}, "one to be down")
        assert events.next() == {
            "event": "down", "target": str(one), "check": "tcp",
            "reason": "connection refused", "hosts": [HOST, "*.two.example"],
            "hosts_total": 2}
        one.open()
        until(lambda: len(route.served()) == 2, "one to be up")
        assert events.next()["event"] == "up"
        two.answer = b"HTTP/1.1 503 x\r\n\r\n"
        until(lambda: route.served("http.example") == {"down"}, "down")
        assert events.next() == {
            "event": "down", "target": str(two), "check": "http",
            "path": "/up", "reason": "http status", "status": 503,
            "hosts": ["http.example"], "hosts_total": 1}


def test_events_use_the_name_of_the_hash(redis, ask, target):
    ask.start(redis.url, options=(*QUICK, "--routes", "other"))
    one = target()
    one.close()
    with Subscriber(redis, "other:events") as events:
        redis.cmd("HSET", "other", HOST, f"{one}; check tcp")
        until(lambda: ask(HOST).status == "down", "down")
        assert events.next()["target"] == str(one)


def test_events_that_redis_refuses(redis, ask, target):
    """Routing goes on; the log says it."""
    redis.cmd("ACL", "SETUSER", "router", "on", ">pw", "~routes",
              "resetchannels", "&__redis__:invalidate", "&routes:changed",
              "-@all", "+hmget", "+select", "+subscribe", "+client|id",
              "+client|tracking", "+client|trackinginfo")
    url = redis.url.replace("//", "//router:pw@")
    ask.start(url, options=QUICK)
    one = target()
    redis.cmd("HSET", "routes", HOST, f"{one}; check tcp")
    until(lambda: ask(HOST).status == "ok" and one.accepted > 2, "checks")
    one.close()
    until(lambda: "redis refuses to publish events" in ask.agent.log(), "line")
    one.open()
    until(lambda: ask(HOST).status == "ok", "up")
    assert "redis lost" not in ask.agent.log()


def test_events_while_redis_is_away(route, target):
    route.start()
    one = target()
    route(f"{one}; check tcp")
    checked(one, 2, route)
    route.redis.stop()
    one.close()
    until(lambda: route.served() == {"down"}, "down")
    one.open()
    until(lambda: route.served() == {plain(one)}, "up")


def test_lookups_and_events_share_a_connection(route, target):
    """Many of both at once: each answer finds its question."""
    route.start("--ttl", "0", "--negative-ttl", "0")
    dead = [target() for _ in range(40)]
    route(", ".join(map(str, dead)))
    checked(dead[0], 2, route)
    for one in dead:
        one.close()
    for i in range(200):
        route(f"10.0.0.1:{i + 1}", f"h{i}.example")
    with Subscriber(route.redis) as events:
        def all_down():
            hosts = [f"h{i}.example" for i in range(200)]
            found = route.ask.peer.ask_all(hosts)
            assert [a.port for a in found] == list(range(1, 201))
            route.served()
            return len(route.heard("target is down")) == 40
        until(all_down, "all to be down", 20)
        del events
    assert not route.heard("redis lost")


# -- feedback ---------------------------------------------------------------

SLOW = ("--check-interval", "1h", "--check-timeout", "500ms")
LINE = ('<131>1 2026-11-23T08:46:39.290269+00:00 host haproxy 13884 - '
        '[router1 tsc="{tsc}" ip="{ip}" port="{port}"] 127.0.0.1 GET /\n')


@pytest.fixture
def feedback(redis, ask, free_port):
    """feedback.start(...), then feedback(target) reports it; it is checked
    only for reports."""
    port = free_port()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", port))

    def raw(data):
        with contextlib.suppress(ConnectionRefusedError):
            sock.send(data)

    def report(target, tsc="SC--"):
        ip, _, number = str(target).rpartition(":")
        raw(LINE.format(tsc=tsc, ip=ip.strip("[]"), port=number).encode())

    def start(*options):
        ask.start(redis.url, options=(
            *SLOW, "--lookup-timeout", "2s", "--admin", "127.0.0.1:%d" %
            report.admin, "--feedback", f"udp:127.0.0.1:{port}", *options))

    def count(name):
        """A counter of /metrics."""
        with contextlib.closing(socket.create_connection(
                ("127.0.0.1", report.admin), 5)) as link:
            link.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            text = b"".join(iter(lambda: link.recv(65536), b"")).decode()
        return int(re.search(rf"^spoa_router_{re.escape(name)} (\d+)$", text,
                             re.M).group(1))

    def served(times=16):
        return {a.target if a.status == "ok" else a.status
                for a in ask.peer.ask_all([HOST] * times)}

    def route(value):
        redis.cmd("HSET", "routes", HOST, value)
        served()
    report.admin = free_port()
    report.raw, report.start, report.count = raw, start, count
    report.route, report.served, report.ask = route, served, ask
    report.redis, report.address = redis, f"127.0.0.1:{port}"
    yield report
    sock.close()


def test_a_report_takes_a_dead_target_out_at_once(feedback, target):
    """One report and one check do, although three are the rule."""
    feedback.start()
    one, two = target(), target()
    feedback.route(f"{one}, {two}")
    one.close()
    assert feedback.served() == {plain(one), plain(two)}
    feedback(one)
    until(lambda: feedback.served() == {plain(two)}, "one to be down", 2)
    until(lambda: feedback.count('targets_down') == 1, "it to be counted")
    assert feedback.count('reports_total{result="taken"}') == 1


def test_a_report_about_ipv6(feedback, target):
    feedback.start()
    one, two = target(host="::1"), target(host="::1")
    feedback.route(f"{one}, {two}")
    one.close()
    feedback(one)
    until(lambda: feedback.served() == {plain(two)}, "one to be down", 2)


def test_a_lie_costs_a_check(feedback, target):
    feedback.start()
    one, two = target(), target()
    feedback.route(f"{one}, {two}; check tcp")
    before = one.accepted
    for _ in range(100):
        feedback(one)
    until(lambda: feedback.count('reports_total{result="known"}') == 99, "all")
    until(lambda: one.accepted > before, "the check")
    until(lambda: feedback.served() == {plain(one), plain(two)}, "one to be up")
    assert one.accepted == before + 1


def test_a_report_alone_makes_no_route_down(feedback, target):
    """As long as the check has not spoken, the only target serves."""
    hole, held = black_hole()
    feedback.start("--check-timeout", "60s")
    place = "127.0.0.1:%d" % hole.getsockname()[1]
    feedback.route(f"{place}; check tcp")
    feedback(place)
    until(lambda: feedback.count('reports_total{result="taken"}') == 1, "it")
    assert feedback.served() == {place}
    hole.close()
    for link in held:
        link.close()


@pytest.mark.parametrize("tsc", ["SH--", "sH--", "CD--", "cD--", "CC--", "PR--",
                                 "----", "SD--", "SL--"])
def test_what_is_no_fault_of_the_target(feedback, target, tsc):
    feedback.start()
    one, two = target(), target()
    feedback.route(f"{one}, {two}")
    one.close()
    feedback(one, tsc)
    until(lambda: feedback.count("feedback_other_total") == 1, "the count")
    assert feedback.served() == {plain(one), plain(two)}


def test_hostile_datagrams(feedback, target):
    feedback.start()
    one, two = target(), target()
    feedback.route(f"{one}, {two}")
    good = LINE.format(tsc="SC--", ip="127.0.0.1", port=one.port).encode()
    sent = [b"", b"\0" * 60000, b"x" * 2000, good[:-40],
            good.replace(b'"]', b'"'),
            b"<131>1 " + b"a" * 600, good.replace(b"router1", b"router2"),
            good.replace(b"127.0.0.1", b"127.0.0.1/8"), b"[router1 tsc=",
            good.replace(b"<131>1", b"<131>1 " + b"x " * 20)]
    for data in sent:
        feedback.raw(data)
    until(lambda: feedback.count("feedback_malformed_total") == len(sent),
          "the count")
    feedback("10.9.9.9:80")
    until(lambda: feedback.count('reports_total{result="foreign"}') == 1, "it")
    assert feedback.served() == {plain(one), plain(two)}
    line = [line for line in feedback.ask.agent.log().splitlines()
            if "no line of ours" in line]
    assert len(line) == 1  # rate limited


def test_a_flood_of_datagrams(feedback, target):
    """Answers go on, and what is read of it is little."""
    feedback.start()
    one, two = target(), target()
    feedback.route(f"{one}, {two}")
    over = threading.Event()

    def flood():
        while not over.is_set():
            feedback(one)
            feedback.raw(b"x")
    threads = [threading.Thread(target=flood) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: feedback.count("feedback_failed_total") > 2000, "some", 20)
        for _ in range(50):
            assert feedback.served() <= {plain(one), plain(two)}
    finally:
        over.set()
        for thread in threads:
            thread.join()
    until(lambda: feedback.served() == {plain(one), plain(two)}, "both")
    assert feedback.count('reports_total{result="taken"}') == 1


def test_haproxy_reports(haproxy_binary, start_haproxy, feedback, target):
    """From the very file that users copy; what an application answers, or a
    client breaks off, is no report."""
    feedback.start()
    dead, live = target(), target(b"HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n")
    feedback.route(f"{dead}; check tcp")
    feedback.ask.peer.ask("live.example")
    feedback.redis.cmd("HSET", "routes", "live.example", f"{live}; check tcp")
    proxy = start_haproxy(haproxy_binary, feedback.ask.agent,
                          env={"ROUTER_FEEDBACK": feedback.address})
    assert not proxy.alerts()
    assert proxy.ask("live.example", '/][router1-tsc="SC--"').status == 500
    with socket.create_connection(proxy.where) as link:
        link.sendall(b"GET / HTTP/1.1\r\nHost: live.example\r\n")
    until(lambda: feedback.count("feedback_other_total") > 0, "a line")
    assert feedback.count("feedback_failed_total") == 0
    dead.close()
    assert proxy.ask(HOST).status == 503
    until(lambda: feedback.served() == {"down"}, "it to be down")
    assert proxy.ask(HOST).headers["retry-after"]
    assert feedback.count("feedback_failed_total") == 1
    assert feedback.count("feedback_malformed_total") == 0
    proxy.close()


def test_several_agents_hear_with_a_line_each(haproxy_binary, start_haproxy,
                                              start_agent, feedback, target,
                                              tmp_path, free_port):
    """As docs/targets.md has it: each `log` line of the file, once more."""
    port = free_port()
    feedback.start()
    other = start_agent("--redis", feedback.redis.url, *SLOW, "--feedback",
                        f"udp:127.0.0.1:{port}", "--lookup-timeout", "2s")
    lines = []
    for line in (kit.haproxy.FILES / "haproxy.cfg").read_text().splitlines():
        lines.append(line)
        if "log \"$ROUTER_FEEDBACK\"" in line:
            lines.append(line.replace("$ROUTER_FEEDBACK", f"127.0.0.1:{port}"))
    assert len(lines) > 100 and "".join(lines).count(f":{port}") == 2
    config = tmp_path / "haproxy.cfg"
    config.write_text("\n".join(lines) + "\n")
    dead, live = target(), target(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    feedback.route(f"{dead}, {live}")
    with start_haproxy(haproxy_binary, feedback.ask.agent, config=config,
                       env={"ROUTER_FEEDBACK": feedback.address}) as proxy, \
            Peer(other.where) as peer:
        assert peer.ask(HOST).status == "ok"
        dead.close()
        for _ in range(2):  # one of them has the dead one as its first
            assert proxy.ask(HOST).status == 200
        for agent in feedback.ask.agent, other:
            until(lambda agent=agent: "target is down" in agent.log(),
                  "each agent to know")
        assert {a.target for a in peer.ask_all([HOST] * 4)} == {plain(live)}


def test_feedback_over_a_unix_socket(redis, ask, target, tmp_path):
    path = str(tmp_path / "feedback.sock")
    ask.start(redis.url, options=(*SLOW, "--feedback", f"unix:{path}"))
    one, two = target(), target()
    redis.cmd("HSET", "routes", HOST, f"{one}, {two}")
    ask(HOST)
    one.close()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(LINE.format(tsc="SC--", ip="127.0.0.1", port=one.port)
                    .encode(), path)
    until(lambda: {ask(HOST).target for _ in range(8)} == {plain(two)}, "it", 2)


def test_feedback_where_nobody_may_bind(agent_binary, redis, free_port):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        where = "udp:127.0.0.1:%d" % sock.getsockname()[1]
        done = subprocess.run(
            [agent_binary, "--redis", redis.url, "--feedback", where,
             "--listen", f"127.0.0.1:{free_port()}"],
            capture_output=True, text=True, timeout=10)
    assert done.returncode == 1
    assert where in done.stderr and "in use" in done.stderr


# -- a worker killed under load ----------------------------------------------


class Load:
    """500 requests a second over HAProxy, a fifth of them POSTs: (sent, method,
    status, worker) of each."""

    def __init__(self, proxy, rate=500, threads=10):
        self.seen, self.over = [], False
        self.posting = threads // 5
        self.threads = [threading.Thread(
            target=self.run, daemon=True, args=(
                proxy, threads / rate, "POST" if i < self.posting else "GET"))
            for i in range(threads)]
        for thread in self.threads:
            thread.start()

    def run(self, proxy, pause, method):
        due = time.monotonic()
        body = b"once" if method == "POST" else None
        with proxy.client() as client:
            while not self.over:
                sent = time.monotonic()
                try:
                    reply = client.ask(HOST, "/", method, body)
                    said = reply.status, reply.worker
                except OSError as error:
                    said = 0, str(error)
                    client.close()
                self.seen.append((sent, method, *said))
                due = max(due + pause, time.monotonic() - pause)
                time.sleep(max(0, due - time.monotonic()))

    def since(self, moment):
        return [found for found in list(self.seen) if found[0] >= moment]

    def failed(self, method):
        return [found for found in list(self.seen)
                if found[1] == method and found[2] != 200]

    def stop(self):
        self.over = True
        for thread in self.threads:
            thread.join(20)


@pytest.mark.parametrize("by", ["checks", "feedback"])
def test_a_worker_killed_under_load(haproxy_binary, start_haproxy, start_worker,
                                    redis, ask, free_port, by):
    """Found by checks, or by the first request that fails. No request fails but
    POSTs that it had got; nothing goes to it from then on, and it serves again
    after as many good checks as `rise` says."""
    port, interval = free_port(), 0.5 if by == "checks" else 3600
    ask.start(redis.url, options=(
        "--check-interval", f"{int(interval * 1000)}ms", "--lookup-timeout",
        "2s", "--feedback", f"udp:127.0.0.1:{port}"))
    workers = [start_worker(name) for name in ("one", "two")]
    redis.cmd("HSET", "routes", HOST, ", ".join(w.target for w in workers))
    proxy = start_haproxy(haproxy_binary, ask.agent, env={
        "ROUTER_FEEDBACK": f"127.0.0.1:{port}"} if by == "feedback" else {})
    load = Load(proxy)
    try:
        until(lambda: {"one", "two"} <= {seen[3] for seen in load.seen},
              "both to serve")
        killed = time.monotonic()
        workers[0].kill()
        until(lambda: "target is down" in ask.agent.log(), "it to be noticed",
              20)
        noticed = time.monotonic()
        if by == "checks":
            assert noticed - killed < interval * 1.1 * 4 + 1
        until(lambda: len(load.since(noticed)) > 500, "more requests", 20)
        late = [found for found in load.since(noticed + 0.1)
                if found[2:] != (200, "two")]
        assert not late, late[:5]
        if by == "checks":
            started = time.monotonic()
            workers[0].start()
            until(lambda: "one" in {seen[3] for seen in load.since(started)},
                  "it to serve again", 20)
            back = next(seen[0] for seen in load.since(started)
                        if seen[3] == "one")
            assert back - started > interval * 0.9 * (RISE - 1)
            until(lambda: len(load.since(back)) > 200, "more requests", 20)
    finally:
        load.stop()
        proxy.close()
    assert load.failed("GET") == []
    assert len(load.failed("POST")) <= load.posting
