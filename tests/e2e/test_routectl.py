# SPDX-License-Identifier: MIT
"""routectl against real servers, with an agent that serves what it writes."""

import json
import os
import pathlib
import re
import subprocess
import time

import pytest

from kit.agent import routectl
from kit.certificates import Authority
from kit.process import TOP, accepts, free_port
from kit.redis import Redis
from resp import FakeRedis, Listener, Speaker, until
from spop import Peer

T, U = "10.0.0.1:80", "10.0.0.2:80"
EVIL = "e\x1b[31m\x07vil"


class Ctl:
    """ctl("ls", code=0) runs it to its end; out and err are what it said."""

    def __init__(self, server, folder):
        self.server, self.folder = server, folder
        self.out = self.err = ""

    def command(self, *words):
        return [routectl(), "--redis", self.server.url, *map(str, words)]

    def __call__(self, *words, code=0, stdin="", env=None):
        done = subprocess.run(
            self.command(*words), capture_output=True, timeout=30,
            input=stdin.encode("latin-1"), cwd=self.folder,
            env={**os.environ, **(env or {})})
        self.out = done.stdout.decode()
        self.err = done.stderr.decode()
        for text in self.out, self.err:
            assert all(c.isprintable() or c in "\n\t\r" for c in text), text
        assert done.returncode == code, (words, self.out, self.err)
        return self.out

    def json(self, *words, code=0, **more):
        return json.loads(self(*words, "--json", code=code, **more))

    def file(self, text, name="routes.txt"):
        (self.folder / name).write_text(text)
        return name


@pytest.fixture
def ctl(server, tmp_path):
    return Ctl(server, tmp_path)


@pytest.fixture
def peer(server, start_agent):
    """An agent beside the same server, which hears of changes."""
    agent = start_agent("--redis", server.url)
    until(lambda: "redis tells of changes" in agent.log(), "the channel")
    with Peer(agent.where) as found:
        yield found
    assert agent.stop() == 0


def answer(peer, host):
    got = peer.ask(host)
    return f"{got['ip']}:{got['port']}" if got["status"] == "ok" else \
        got["status"]


# -- one route ----------------------------------------------------------------

def test_a_route_is_live_at_once(ctl, peer):
    assert answer(peer, "a.example") == "not_found"
    for target in T, U, T:
        ctl("set", "a.example", target)
        until(lambda: answer(peer, "a.example") == target, target, 1)
    ctl("del", "a.example")
    until(lambda: answer(peer, "a.example") == "not_found", "no route", 1)


def test_set_says_in_its_transaction_what_changed(ctl, server, say):
    with Speaker(server.where) as ears:
        ears("SUBSCRIBE", "routes:changed")
        ctl("set", "A.example:80", T)
        assert ears.reply() == ["message", "routes:changed", "a.example"]
        ctl("set", "b.example", T)
        ears.reply()
        ctl("del", "a.example", "B.example")
        assert ears.reply()[2] == "a.example b.example"
    assert say.calls("multi") == say.calls("exec") == 3


@pytest.mark.parametrize("words, route", [
    ([T], T),
    ([T, U], f"{T}, {U}"),
    ([T, "weight", "3", U, "backup"], f"{T} weight 3, {U} backup"),
    ([T, U, "balance", "source"], f"{T}, {U}; balance source"),
    ([f"{T}, {U}; check http /x"], f"{T}, {U}; check http /x"),
    (["[::1]:80", "backend", "app"], "[::1]:80; backend app")])
def test_set_and_get(ctl, say, words, route):
    ctl("set", "h.example", *words)
    assert say("HGET", "routes", "h.example") == route
    assert ctl("get", "h.example") == route + "\n"
    got = ctl.json("get", "H.Example:8080")
    assert (got["field"], got["route"]) == ("h.example", route)
    assert len(got["targets"]) == route.count(",") + 1


@pytest.mark.parametrize("field, stored", [
    ("App.Example.:80", "app.example"), ("*", "*"), ("*.A.b.", "*.a.b"),
    ("[::1]:80", "[::1]"), ("10.0.0.1", "10.0.0.1")])
def test_fields_are_brought_in_form(ctl, say, field, stored):
    ctl("set", field, T)
    assert say("HKEYS", "routes") == [stored]
    ctl("get", field)
    ctl("del", field)
    assert say("HLEN", "routes") == 0


@pytest.mark.parametrize("field, words", [
    ("a b", [T]), ("", [T]), ("*x", [T]), ("*.[::1]", [T]), (EVIL, [T]),
    ("a" * 254, [T]), ("h", ["10.0.0.1"]), ("h", ["10.0.0.1:0"]),
    ("h", ["169.254.169.254:80"]), ("h", ["0.0.0.0:80"]), ("h", [""]),
    ("h", [T, "weight", "257"]), ("h", [T, "colour", "red"]),
    ("h", [T + EVIL]), ("h", [T, "balance", "random"]),
    ("h", [T + " " * 17000]), ("h", [T + ","])])
def test_what_the_agent_cannot_use_is_not_written(ctl, say, field, words):
    ctl("set", "--", field, *words, code=1)
    assert say("HLEN", "routes") == 0
    assert len(ctl.err.splitlines()) == 1 and ctl.out == ""


def test_the_guard_is_the_agents_own(ctl, say):
    """Its rules may stand in its file; what refuses is named."""
    ctl("set", "a.example", T, "--deny-target", "10.0.0.0/8", code=1)
    assert "10.0.0.0/8" in ctl.err and say("HLEN", "routes") == 0
    ctl("set", "a.example", "169.254.1.1:80", code=1)
    ctl("set", "a.example", "169.254.1.1:80", "--allow-target",
        "169.254.1.0/24:80")
    ctl("check", code=1)
    ctl.file("deny-target = 10.0.0.0/8\nallow-target = 169.254.1.1\n")
    ctl("check", "--config", "routes.txt")
    ctl("set", "b.example", T, "--config", "routes.txt", code=1)
    ctl("ls", "--deny-target", "10.0.0.0/33", code=2)


def test_names_are_targets(ctl, say):
    ctl("set", "a.example", "app.internal:80", "weight", "2", T)
    ctl("check")
    assert ctl.json("get", "a.example")["targets"] == [
        {"target": "app.internal:80", "weight": 2, "backup": False},
        {"target": T, "weight": 1, "backup": False}]
    assert "app.internal:80 weight 2" in ctl("ls", "a.example")
    assert "if the name" not in ctl("explain", "a.example")
    ctl("set", "b.example", "app.internal:80", "--front", "*:80")
    assert "loop" not in ctl.err
    assert "if the name has an address" in ctl("explain", "b.example")
    ctl("set", "b.example", "app.internal:80 weight 0")
    assert "down" in ctl("explain", "b.example", code=1).splitlines()[0]


def test_del_and_get_of_what_is_not_there(ctl, say):
    ctl("get", "h.example", code=4)
    ctl("set", "a.example", T)
    ctl("del", "h.example", "a.example", code=4)
    assert "h.example: no such route" in ctl.err
    assert say("HLEN", "routes") == 0


def test_del_of_many(ctl, say):
    names = [f"h{i}.example" for i in range(100)]
    say("HSET", "routes", *sum(([name, T] for name in names), []))
    ctl("del", *names)
    assert say("HLEN", "routes") == 0


def test_a_field_out_of_form_can_be_removed(ctl, say):
    say("HSET", "routes", "Bad.Example", T, "bad.example", U, EVIL, T)
    assert ctl("get", "Bad.Example") == T + "\n"
    ctl("del", "Bad.Example", EVIL)
    assert say("HGETALL", "routes") == ["bad.example", U]


def test_notes_say_what_wins(ctl):
    ctl("set", "*.cloud.example", T)
    ctl("set", "a.cloud.example", U)
    assert "a.cloud.example goes before *.cloud.example" in ctl.err
    ctl("set", "*.cloud.example", U)
    assert "1 more exact field goes before *.cloud.example" in ctl.err
    ctl("del", "a.cloud.example")
    assert "a.cloud.example is now answered by *.cloud.example" in ctl.err
    ctl("set", "b.cloud.example", U, "--quiet")
    assert ctl.err == ""


@pytest.mark.parametrize("target, front, warned", [
    ("127.0.0.1:8000", "*:8000", True), ("127.0.0.1:8000", "*:80", False),
    ("10.9.9.9:80", "10.9.9.9:80,[::]:443", True),
    ("192.0.2.1:8000", "*:8000", False)])
def test_loops_are_noted(ctl, target, front, warned):
    ctl("set", "h.example", target, "--front", front)
    assert ("loop" in ctl.err) == warned
    ctl("set", "h.example", target, env={"ROUTER_BIND": front})
    assert ("loop" in ctl.err) == warned


# -- all of them --------------------------------------------------------------

def test_ls(ctl, say):
    assert ctl("ls") == "" and ctl.json("ls") == []
    say("HSET", "routes", "b.shop.example", T, "*.shop.example", U, "a.x", T)
    assert [line.split() for line in ctl("ls").splitlines()] == [
        ["FIELD", "ROUTE"], ["*.shop.example", U], ["a.x", T],
        ["b.shop.example", T]]
    assert [row["field"] for row in ctl.json("ls", "shop")] == [
        "*.shop.example", "b.shop.example"]
    assert [row["field"] for row in ctl.json("ls", "a.*")] == ["a.x"]
    assert ctl.json("ls", "nothing") == []


def test_hostile_values_reach_no_terminal(ctl, say):
    """Ctl itself sees to it that every line is printable."""
    say("HSET", "routes", EVIL, f"\x1b]0;x\x07{T}", "h", "\x9b31m\u202ex")
    assert r"e\x1b[31m\x07vil" in ctl("ls")
    assert [row["field"] for row in ctl.json("ls")] == [EVIL, "h"]
    ctl("check", code=1)
    ctl.json("check", code=1)
    ctl("get", "h")
    ctl("get", EVIL)
    ctl("explain", "h", code=1)
    ctl.json("explain", "h", code=1)
    ctl("explain", EVIL, code=1)
    ctl("export", code=1)
    ctl("diff", ctl.file(""), "--replace", code=1)
    ctl("del", EVIL, EVIL + EVIL, code=4)


def test_check(ctl, say):
    assert ctl("check") == ""
    say("HSET", "routes", "good.example", T, "*.good.example", T, "*", T)
    assert ctl("check") == "" and ctl.json("check") == []
    say("HSET", "routes", "UPPER.example", T, "port.example:80", T, "a b", T,
        "dot.example.", T, "bad.example", "x", "guard.example",
        "169.254.169.254:80", "empty.example", "")
    rows = {row["field"]: row["problem"]
            for row in ctl.json("check", code=1)}
    assert set(rows) == {
        "UPPER.example", "port.example:80", "a b", "dot.example.",
        "bad.example", "guard.example", "empty.example"}
    assert rows["UPPER.example"].endswith("write upper.example")
    assert rows["bad.example"].startswith("column ")
    assert len(ctl("check", code=1).splitlines()) == 8


def test_check_says_what_the_agent_says(ctl, say, peer):
    """The same values are bad_route for both."""
    values = [T, "x", "1.2.3.4", "224.0.0.1:80", f"{T}; check", f"{T} weight 0",
              "[::1]:80", "[fe80::1]:80", f"{T}, {T} backup"]
    for i, value in enumerate(values):
        say("HSET", "routes", f"h{i}.example", value)
    bad = {row["field"] for row in ctl.json("check", code=1)}
    assert bad == {f"h{i}.example" for i in range(len(values))
                   if peer.ask(f"h{i}.example")["status"] == "bad_route"}
    assert 0 < len(bad) < len(values)


# -- explain ------------------------------------------------------------------

def test_explain_says_what_the_agent_says(ctl, say, peer):
    say("HSET", "routes", "a.b.example", T, "*.b.example", U, "*.example", T,
        "bad.example", "x", "down.example", f"{T} weight 0")
    codes = {"ok": 0, "not_found": 4, "bad_host": 1, "bad_route": 1, "down": 1}
    for host in ("a.b.example", "x.b.example", "X.Y.B.example:80", "c.example",
                 "bad.example", "down.example", "example", "a b", "10.0.0.1",
                 "[::1]"):
        told = peer.ask(host)
        got = ctl.json("explain", host, code=codes[told["status"]])
        assert (got["status"], got.get("route")) == (
            told["status"], told.get("route")), host
        assert told["status"] in ctl("explain", host,
                                     code=codes[told["status"]])
    rows = ctl.json("explain", "a.b.example")["candidates"]
    assert [row["field"] for row in rows] == [
        "a.b.example", "*.b.example", "*.example", "*"]
    assert [row["verdict"] for row in rows] == [
        "answers", "less exact", "less exact", "absent"]


# -- files --------------------------------------------------------------------

def test_import(ctl, say, peer):
    say("HSET", "routes", "old.example", T, "same.example", T,
        "other.example", T)
    name = ctl.file(f"# ours\n\nold.example {U}\r\nSame.Example. {T}\n"
                    f"  *.new.example   {T}, {U}; balance first  \n"
                    f"tab.example\t {T} \n")
    rows = ctl.json("diff", name, code=1)
    assert {row["field"]: row["change"] for row in rows} == {
        "old.example": "change", "*.new.example": "add", "tab.example": "add"}
    assert ctl("import", name) == \
        "2 added, 1 changed, 0 removed, 1 unchanged\n"
    assert say("HGET", "routes", "*.new.example") == \
        f"{T}, {U}; balance first"
    assert say("HGET", "routes", "tab.example") == f" {T} "
    assert say("HGET", "routes", "other.example") == T
    until(lambda: answer(peer, "old.example") == U, "the import", 1)
    assert ctl.json("diff", name) == []
    assert ctl.json("import", name) == {
        "added": 0, "changed": 0, "removed": 0, "unchanged": 4, "left_out": 0}
    assert ctl("import", "-", stdin=f"stdin.example {T}\n").startswith("1 add")


def test_import_is_all_or_nothing(ctl, say):
    name = ctl.file(f"good.example {T}\nbad.example x\nlonely.example\n"
                    f"a/b {T}\ngood.example {U}\nGOOD.example {U}\n")
    ctl("import", name, code=1)
    assert say("EXISTS", "routes") == 0
    for number in 2, 3, 4, 5, 6:
        assert f"routes.txt:{number}: " in ctl.err
    assert "5 lines are wrong" in ctl.err and "routes.txt:1:" not in ctl.err
    ctl("diff", name, code=1)
    ctl("import", "no-such-file", code=1)
    ctl("import", "/", code=1)
    ctl("import", "-", stdin=f"{EVIL} {T}\n", code=1)


def test_import_replace(ctl, say):
    say("HSET", "routes", "old.example", T, EVIL, T, "keep.example", T)
    name = ctl.file(f"keep.example {T}\nnew.example {U}\n")
    rows = ctl.json("diff", "--replace", name, code=1)
    assert {row["field"]: row["change"] for row in rows} == {
        "old.example": "remove", EVIL: "remove", "new.example": "add"}
    ctl("import", "--replace", name)
    assert sorted(say("HKEYS", "routes")) == ["keep.example", "new.example"]


def test_removing_all_needs_a_yes(ctl, server, say):
    say("HSET", "routes", "a.example", T)
    name = ctl.file("# nothing\n")
    ctl("import", "--replace", name, code=1)
    assert "--yes" in ctl.err and say("HLEN", "routes") == 1
    with Speaker(server.where) as ears:
        ears("SUBSCRIBE", "routes:changed")
        ctl("import", "--replace", "--yes", name)
        assert ears.reply()[2] == "*"  # it is meant: see --empty-guard
    assert say("EXISTS", "routes") == 0
    ctl("import", "--replace", name)  # nothing left to be asked about


def test_a_round_trip_is_exact(ctl, say):
    say("HSET", "routes", "*", T, "*.b.example", f"  {T} , {U} ;balance first ",
        "[::1]", "[::1]:80", "a.example", f"{T} weight 256", "not.good", "x")
    before = ctl("export")
    ctl("import", "-", stdin=before, code=1)  # not.good is not
    say("HDEL", "routes", "not.good")
    before, held = ctl("export"), say("HGETALL", "routes")
    say("DEL", "routes")
    ctl("import", "-", stdin=before)
    assert sorted(say("HGETALL", "routes")) == sorted(held)
    assert ctl("export") == before


def test_100000_routes(ctl, server, say, peer):
    text = "".join(f"h{i:06}.example\t10.{i >> 16}.{i >> 8 & 255}.{i & 255}:80"
                   "\n" for i in range(100_000))
    ctl.file(text)
    answer(peer, "h099999.example")
    began = time.monotonic()
    ctl("import", "routes.txt", "--progress")
    print(f"import of 100,000 routes: {time.monotonic() - began:.2f} s")
    assert time.monotonic() - began < 20
    assert "100000 of 100000" in ctl.err
    assert say("HLEN", "routes") == 100_000
    until(lambda: answer(peer, "h099999.example") == "10.1.134.159:80",
          "the last route")
    assert ctl("export") == text
    ctl("import", "-", "--replace", stdin="h000000.example 10.0.0.9:80\n")
    assert say("HGETALL", "routes") == ["h000000.example", "10.0.0.9:80"]
    until(lambda: answer(peer, "h099999.example") == "not_found", "its end")


def test_many_changes_are_told_in_one_word(ctl, server, say):
    with Speaker(server.where) as ears:
        ears("SUBSCRIBE", "routes:changed")
        ctl("import", "-", stdin="".join(
            f"h{i}.example {T}\n" for i in range(1500)))
        assert ears.reply()[2] == "*"
        ctl("import", "-", stdin=f"a.example {T}\nb.example {T}\n")
        assert ears.reply()[2] == "a.example b.example"


def test_import_from_hipache(ctl, say, tmp_path):
    with Redis() as old:
        old.cmd("RPUSH", "frontend:www.example", "app", "http://10.0.0.1:80",
                "http://10.0.0.2:8080/")
        old.cmd("RPUSH", "frontend:*.shop.example", "shop", "http://10.0.0.3")
        old.cmd("RPUSH", "frontend:Tls.example", "tls", "https://10.0.0.4:443",
                "http://10.0.0.5:80/path", "http://10.0.0.6:80")
        old.cmd("RPUSH", "frontend:none.example", "none")
        old.cmd("RPUSH", "frontend:a/b", "x", "http://10.0.0.1:80")
        old.cmd("SET", "frontend:text.example", "x")
        old.cmd("RPUSH", "dead:www.example", "1")
        expected = {
            "www.example": "10.0.0.1:80, 10.0.0.2:8080",
            "*.shop.example": "10.0.0.3:80", "tls.example": "10.0.0.6:80"}
        rows = ctl.json("diff", "--from", "hipache", old.url, code=1)
        assert {row["field"]: row["is"] for row in rows} == expected
        got = ctl.json("import", "--from", "hipache", old.url, code=1)
        assert got["added"] == 3 and got["left_out"] == 5
        for what in ("https://10.0.0.4:443", "has a path", "none.example",
                     "a/b", "text.example"):
            assert what in ctl.err
        found = say("HGETALL", "routes")
        assert dict(zip(found[::2], found[1::2])) == expected
        old.cmd("DEL", "frontend:Tls.example", "frontend:none.example",
                "frontend:a/b", "frontend:text.example")
        ctl("import", "--from", "hipache", old.url)
        name = ".".join(["x" * 62] * 4)
        old.cmd("RPUSH", "frontend:long.example", "long",
                *[f"http://{name}:{port}" for port in range(1, 81)])
        ctl("diff", "--from", "hipache", old.url, code=1)
        assert "the route would be too long" in ctl.err
    ctl("import", "--from", "hipache", old.url, code=3)
    ctl("import", "--from", "hipache", "not-a-url", code=2)


# -- flush and watch ----------------------------------------------------------

def test_flush(ctl, server, peer):
    assert ctl.json("flush") == {"heard": 1}
    with Speaker(server.where) as ears:
        ears("SUBSCRIBE", "routes:changed")
        assert ctl("flush", "A.example:80", "*.b.example") == "heard by 2\n"
        assert ears.reply()[2] == "a.example *.b.example"
        ctl("flush")
        assert ears.reply()[2] == "*"
        ctl("flush", "a b", code=1)


def test_watch(ctl, server, say, tmp_path):
    say("HSET", "routes", "a.example", T, EVIL, T)
    out, err = tmp_path / "out", tmp_path / "err"
    with open(out, "wb") as to, open(err, "wb") as notes:
        watch = subprocess.Popen(ctl.command("watch", "--json"), stdout=to,
                                 stderr=notes)
    try:
        until(lambda: b"watching" in err.read_bytes(), "the watch")

        def saw(**what):
            def found():
                lines = out.read_text().splitlines()
                rows = [{**json.loads(line), "ts": None} for line in lines]
                return {**what, "ts": None} in rows
            until(found, what)
        say("HSET", "routes", "a.example", U)
        saw(event="change", field="a.example", was=T, **{"is": U})
        say("HDEL", "routes", EVIL)
        saw(event="remove", field=EVIL, was=T)
        ctl("set", "b.example", T)
        saw(event="add", field="b.example", **{"is": T})
        saw(event="named", text="b.example")
        say("PUBLISH", "routes:events", "down 10.0.0.1:80")
        saw(event="target", text="down 10.0.0.1:80")
        say("FLUSHALL")
        saw(event="remove", field="a.example", was=U)
        server.stop()
        assert watch.wait(10) == 3
        assert b"redis" in err.read_bytes()
    finally:
        watch.kill()
        watch.wait()


# -- when Redis does not answer -----------------------------------------------

COMMANDS = [("set", "a.example", T), ("get", "a.example"), ("del", "a.example"),
            ("ls",), ("export",), ("check",), ("explain", "a.example"),
            ("flush",), ("watch",), ("import", "-"), ("diff", "-")]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_redis_is_away(ctl, server, words):
    server.stop()
    ctl(*words, code=3)
    line, = ctl.err.splitlines()
    assert line.startswith("routectl: redis 127.0.0.1:") and "refused" in line


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_the_key_is_no_hash(ctl, say, words):
    say("SET", "routes", "x")
    ctl(*words, code=3)
    assert "WRONGTYPE" in ctl.err and "--routes" in ctl.err
    assert say("GET", "routes") == "x"


def test_another_server_is_asked(ctl, server):
    options = "--redis", "redis://127.0.0.1:1", "--redis", server.url
    done = subprocess.run([routectl(), *options, "set", "a.example", T],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done


def test_passwords(ctl, server, say, tmp_path):
    say("CONFIG", "SET", "requirepass", "s3cret")
    ctl("ls", code=3)
    assert "NOAUTH" in ctl.err and "--redis-password-file" in ctl.err
    ctl("ls", env={"REDIS_PASSWORD": "s3cret"})
    ctl("ls", env={"REDIS_PASSWORD": "s4cret"}, code=3)
    assert "s4cret" not in ctl.err
    ctl.file("s3cret\n", "password")
    ctl("ls", "--redis-password-file", "password")
    ctl("ls", "--redis-password-file", "nope", code=2)
    url = server.url.replace("//", "//default:s3cret@")
    done = subprocess.run([routectl(), "--redis", url, "ls"], timeout=30)
    assert done.returncode == 0
    say("CONFIG", "SET", "requirepass", "")


def test_an_acl_that_forbids(ctl, server, say):
    """Nothing is written when the message may not be published."""
    say("ACL", "SETUSER", "poor", "on", "nopass", "~routes", "resetchannels",
        "+@all")
    url = server.url.replace("//", "//poor:x@")
    done = subprocess.run([routectl(), "--redis", url, "set", "a.example", T],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 3 and "NOPERM" in done.stderr
    assert say("EXISTS", "routes") == 0


def test_the_acl_of_the_page_is_enough(server, say):
    text = (TOP / "docs/routectl.md").read_text()
    line = re.search(r"^    ACL SETUSER routectl (.*)$", text, re.M).group(1)
    say("ACL", "SETUSER", "routectl", *line.split())
    say("HSET", "routes", "*.example", T)
    url = server.url.replace("//", "//routectl:password@")
    for words in COMMANDS:
        if words[0] == "watch":
            continue
        done = subprocess.run([routectl(), "--redis", url, *words],
                              input=f"b.example {T}\n", capture_output=True,
                              text=True, timeout=30)
        assert done.returncode in (0, 1), (words, done.stderr)
        assert "NOPERM" not in done.stderr
    watch = subprocess.Popen([routectl(), "--redis", url, "watch"],
                             stderr=subprocess.PIPE, text=True)
    try:
        assert "watching" in watch.stderr.readline()
    finally:
        watch.kill()
        watch.wait()
        watch.stderr.close()


# -- ways to Redis --------------------------------------------------------------

def run(*words, env=None):
    done = subprocess.run([routectl(), *map(str, words)], capture_output=True,
                          text=True, timeout=30, stdin=subprocess.DEVNULL,
                          env={**os.environ, **(env or {})})
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secure(authority):
    """(server, URL): one that speaks TLS."""
    certificate, key = authority.issue("server", "IP:127.0.0.1")
    port = free_port()
    with Redis("--tls-port", str(port), "--tls-cert-file", str(certificate),
               "--tls-key-file", str(key), "--tls-ca-cert-file",
               str(authority.ca), "--tls-auth-clients", "no") as found:
        yield found, f"rediss://127.0.0.1:{port}"


needs_tls = pytest.mark.skipif(
    b"SSL_CTX_new" not in open(routectl(), "rb").read()
    if os.path.exists(routectl()) else False, reason="built without TLS")


@needs_tls
def test_tls(secure, authority, tmp_path):
    server, url = secure
    base = "--redis", url, "--redis-ca", authority.ca
    assert run(*base, "set", "a.example", T)[0] == 0
    assert server.cmd("HGET", "routes", "a.example").stdout == T + "\n"
    many = tmp_path / "many"
    many.write_text("".join(f"h{i:05}.example\t{T}\n" for i in range(50000)))
    assert run(*base, "import", "--replace", many)[0] == 0
    code, out, _ = run(*base, "export")
    assert code == 0 and out == many.read_text()
    # an authority that is not ours, a server that is gone, one without TLS
    code, _, err = run("--redis", url, "ls")
    assert code == 3 and "certificate" in err, err
    plain = f"rediss://127.0.0.1:{server.port}"
    assert run(*base[2:], "--redis", plain, "ls")[0] == 3
    server.stop()
    code, _, err = run(*base, "ls")
    assert code == 3 and "refused" in err, err


@needs_tls
def test_watch_with_tls(secure, authority):
    server, url = secure
    watch = subprocess.Popen([routectl(), "--redis", url, "--redis-ca",
                              authority.ca, "watch"], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
    try:
        assert "watching" in watch.stderr.readline()
        server.cmd("HSET", "routes", "a.example", T)
        assert f"add a.example -> {T}" in watch.stdout.readline()
        server.stop()
        assert watch.wait(10) == 3
    finally:
        watch.kill()
        watch.communicate()


@needs_tls
def test_a_server_that_never_shakes_hands(tmp_path):
    class Silent(Listener):
        def serve(self, link):
            while link.recv(4096):
                pass
    with Silent(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        code, _, err = run("--redis", f"rediss://127.0.0.1:{silent.port}",
                           "ls")
        assert code == 3 and "no answer" in err
        assert time.monotonic() - began < 8


class Sentinel(Redis):
    def command(self):
        (self.folder / "sentinel.conf").write_text(
            f"port {self.port}\nbind 127.0.0.1\nunixsocket {self.socket}\n"
            + "\n".join(self.options) + "\n")
        return [self.binary, str(self.folder / "sentinel.conf"), "--sentinel"]

    def is_ready(self):
        return accepts(self.where)


def test_sentinel_names_the_master(redis):
    if "not built in" in run("--redis", "redis-sentinel://h/ours", "ls")[2]:
        pytest.skip("the URLs are refused so far")
    with Sentinel(f"sentinel monitor ours 127.0.0.1 {redis.port} 1",
                  "requirepass s3cret") as sentinel:
        url = f"redis-sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/ours"
        env = {"SENTINEL_PASSWORD": "s3cret"}
        assert run("--redis", url, "set", "a.example", T, env=env)[0] == 0
        assert redis.cmd("HGET", "routes", "a.example").stdout == T + "\n"
        assert run("--redis", url, "ls")[0] == 3
        code, _, err = run("--redis", url.replace("/ours", "/theirs"), "ls",
                           env=env)
        assert code == 3 and "master" in err, err


def test_a_cluster_is_followed_to_the_node_of_the_key():
    with FakeRedis() as node, FakeRedis() as other:
        name = "%s:%d" % node.where
        other.on("HLEN", f"-MOVED 5 {name}\r\n".encode())
        node.on("HLEN", b":0\r\n")
        node.on("HSCAN", b"*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n")
        assert run("--redis", other.url, "export") == (0, "a\tb\n", "")
        node.on("HLEN", f"-MOVED 5 {name}\r\n".encode())  # for ever
        code, _, err = run("--redis", other.url, "export")
        assert code == 3 and "MOVED" in err


@pytest.mark.parametrize("reply", [
    b":1\r\n", b"*0\r\n", b"*1\r\n$1\r\n0\r\n", b"*2\r\n:0\r\n*0\r\n",
    b"*2\r\n$1\r\n0\r\n$1\r\na\r\n", b"*2\r\n$33\r\n%s\r\n*0\r\n" % (b"9" * 33)])
def test_what_lists_nothing_is_refused(reply):
    with FakeRedis() as server:
        server.on("HLEN", b":0\r\n").on("HSCAN", reply).on("SCAN", reply)
        for words in (["export"], ["diff", "--from", "hipache", server.url]):
            code, _, err = run("--redis", server.url, *words)
            assert code == 3 and "wrong shape" in err, err


# -- an agent that is asked ---------------------------------------------------

@pytest.fixture(params=["tcp", "unix"])
def admin(request, redis, start_agent, tmp_path):
    """The address of an agent's admin side."""
    where = (f"127.0.0.1:{free_port()}" if request.param == "tcp"
             else f"unix:{tmp_path}/admin.sock")
    agent = start_agent("--redis", redis.url, "--admin", where, "--ttl", "7s")
    yield where
    assert agent.stop() == 0


def test_config_of_an_agent(admin, redis, tmp_path):
    ctl = Ctl(redis, tmp_path)
    rows = {row["name"]: row for row in ctl.json("config", "--admin", admin)}
    assert rows["admin"]["value"] == admin
    table = ctl("config", "--admin", admin)
    assert table.splitlines()[0].split() == ["NAME", "VALUE", "FROM"]
    assert f"admin  {admin}" in re.sub(" +", "  ", table)
    (tmp_path / "agent.conf").write_text(f"admin = {admin}\n")
    assert ctl("config", "--config", "agent.conf") == table


def test_top_explain_and_flush_of_an_agent(redis, start_agent, tmp_path):
    ctl, where = Ctl(redis, tmp_path), f"127.0.0.1:{free_port()}"
    for host in "abc":
        ctl("set", f"{host}.example", T)
    agent = start_agent("--redis", redis.url, "--admin", where)
    with Peer(agent.where) as peer:
        for host, times in zip("abc", (3, 9, 6)):
            for _ in range(times):
                peer.ask(f"{host}.example")
    asked = "--admin", where
    rows = ctl.json("top", "2", *asked)["routes"]
    assert [row["field"] for row in rows] == ["b.example", "c.example"]
    assert "FIELD" in ctl("top", *asked)
    ctl("top", "1001", *asked, code=1)
    assert "1 to 1000" in ctl.err
    told = ctl.json("explain", "a.example", *asked)
    assert told["status"] == "ok" and told["source"] == "cache"
    assert "a.example" in ctl("explain", "a.example", *asked)
    ctl("explain", "z.example", *asked, code=4)
    ctl("explain", "a b", *asked, code=1)
    ctl("flush", *asked)
    ctl("flush", "a.example", "b.example", *asked)
    ctl("flush", "a b", *asked, code=1)
    assert agent.stop() == 0


def test_an_agent_that_does_not_answer(ctl, tmp_path):
    for where in (f"127.0.0.1:{free_port()}", f"unix:{tmp_path}/nobody"):
        ctl("config", "--admin", where, code=3)
        ctl("flush", "--admin", where, code=3)
        line, = ctl.err.splitlines()
        assert where in line
    for where in "x", "localhost:80", "unix:relative":
        ctl("config", "--admin", where, code=3)


@pytest.mark.parametrize("answer, code", [
    (b"HTTP/1.1 200 OK\r\n\r\n[]", 0), (b"HTTP/1.1 200 OK\r\n\r\n[", 3),
    (b"HTTP/1.1 204 No Content\r\n\r\n", 0), (b"HTTP/1.1 200 OK\r\n", 3),
    (b"", 3), (b"SSH-2.0-x\r\n\r\n", 3), (b"HTTP/1.1 x\r\n\r\n", 3),
    (b'HTTP/1.1 404 x\r\n\r\n{"error":"no \\u001b[1mpage"}', 4),
    (b"HTTP/1.1 500 x\r\n\r\nnonsense", 1)])
def test_answers_of_all_kinds(ctl, answer, code):
    class Page(Listener):
        def serve(self, link):
            link.recv(4096)
            link.sendall(answer)
    with Page(("127.0.0.1", 0)) as page:
        ctl("config", "--admin", "127.0.0.1:%d" % page.port, code=code)
        assert len(ctl.err.splitlines()) == (code > 0)


# -- options ------------------------------------------------------------------

def test_the_agents_own_file(server, say, tmp_path):
    (tmp_path / "agent.conf").write_text(
        f"listen = 127.0.0.1:12310\nredis = {server.url}/3\nroutes = ours\n"
        "ttl = 5s\n")
    done = subprocess.run(
        [routectl(), "--config", tmp_path / "agent.conf", "set", "a.example", T],
        capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done
    say("SELECT", 3)
    assert say("HGETALL", "ours") == ["a.example", T]


@pytest.mark.parametrize("words", [
    [], ["nope"], ["set", "a"], ["ls", "--nope"], ["ls", "--config", "/nope"],
    ["ls", "--redis", "http://x"], ["config"], ["top"],
    ["top", "x"]])
def test_wrong_use(ctl, words):
    done = subprocess.run([routectl(), *words], capture_output=True, text=True,
                          timeout=30)
    assert done.returncode == 2 and done.stdout == ""
    line, = done.stderr.splitlines()
    assert line.startswith("routectl: ")


def test_an_output_that_is_full(ctl, say):
    say("HSET", "routes", "a.example", T)
    for words in ["ls"], ["ls", "--json"], ["export"]:
        with open("/dev/full", "wb") as full:
            done = subprocess.run(ctl.command(*words), stdout=full,
                                  stderr=subprocess.PIPE, timeout=30)
        assert done.returncode == 1 and b"written" in done.stderr


def test_help_and_version():
    for option in "--help", "--version":
        done = subprocess.run([routectl(), option], capture_output=True,
                              text=True, timeout=30)
        assert done.returncode == 0 and "routectl" in done.stdout
        assert done.stderr == ""


# -- what docs/routectl.md says -----------------------------------------------------

def section():
    return (TOP / "docs/routectl.md").read_text()


def test_the_page_has_all_commands():
    text = subprocess.run([routectl(), "--help"], capture_output=True, text=True,
                          check=True).stdout
    commands = re.findall(r"^  ([a-z]+) ", text, re.M)
    assert re.findall(r"^\| `routectl ([a-z]+)", section(), re.M) == commands
    for option in re.findall(r"^  (--[a-z-]+)", text, re.M):
        assert f"`{option}" in section() + (TOP / "README.md").read_text()


def test_the_commands_of_the_page_run(ctl, say, tmp_path):
    """In the order of the table; each finds what the ones before left."""
    (tmp_path / "routes.txt").write_text(f"new.example {T}\n")
    for words in re.findall(r"^\| `routectl (.*?)`", section(), re.M):
        if words.split()[0] in ("watch", "top", "config"):
            continue
        done = subprocess.run(
            f"{' '.join(ctl.command())} {words}", shell=True, cwd=tmp_path,
            capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, (words, done)


# -- completion ---------------------------------------------------------------

def complete(line, before=""):
    """What bash offers for the last word of the line."""
    words = line.split(" ")
    script = f"""
        {before}
        source {TOP / 'spoa/routectl.bash-completion'}
        COMP_WORDS=({' '.join(f"'{word}'" for word in words)})
        COMP_CWORD={len(words) - 1}
        _routectl
        printf '%s\\n' "${{COMPREPLY[@]}}"
        """
    done = subprocess.run(["bash", "-c", script], capture_output=True,
                          text=True, timeout=30, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_completion_knows_what_help_knows(ctl, say):
    text = subprocess.run([routectl(), "--help"], capture_output=True, text=True,
                          check=True).stdout
    assert sorted(complete("routectl ")) == sorted(
        re.findall(r"^  ([a-z]+) ", text, re.M))
    assert sorted(complete("routectl --")) == sorted(
        re.findall(r"^  (--[a-z-]+)", text, re.M))
    assert complete("routectl ex") == ["export", "explain"]
    assert complete("routectl --json imp") == ["import"]
    assert complete("routectl import --from hi") == ["hipache"]


def test_completion_knows_the_routes(ctl, server, say):
    say("HSET", "routes", "app1.example", T, "app2.example", T, "*.example", T)
    where = pathlib.Path(routectl()).parent
    found = complete(f"routectl --redis {server.url} get app",
                     f"PATH={where}:$PATH")
    assert found == ["app1.example", "app2.example"]
    assert complete("routectl --redis redis://127.0.0.1:1 get app",
                    f"PATH={where}:$PATH") == []
