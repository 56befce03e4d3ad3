# SPDX-License-Identifier: MIT
"""Options, the file, listeners: one clear line for what is wrong."""

import grp
import os
import re
import socket
import stat
import subprocess

import pytest

from kit.process import accepts
from resp import FakeRedis, until
from spop import Peer

T = "10.0.0.1:80"


@pytest.fixture
def run(agent_binary, tmp_path):
    """Runs the program to its end: status, stdout, stderr."""
    def run(*options, env=None):
        done = subprocess.run(
            [agent_binary, *options], capture_output=True, timeout=5,
            env={**os.environ, **(env or {})}, cwd=tmp_path)
        return done.returncode, done.stdout.decode(), done.stderr.decode()
    return run


def one_line(text):
    lines = text.splitlines()
    assert len(lines) == 1, text
    assert lines[0].isprintable()
    return lines[0]


# -- the command line -------------------------------------------------------

LONG = "/tmp/" + "x" * 200
DURATION = ["", "x", "-1", "1y", "10 s", "1.5s", "s", "ms", "+5", "5S",
            "99999999999999999999", "99999999999999999999d", "5s5s", "0x10"]
COUNT = ["", "x", "-1", "1k", "1.5", "99999999999999999999", " 5", "5 "]
WRONG = {
    "--check-interval": ["-1", "x", "25h"], "--check-timeout": ["0", "61"],
    "--check-fall": ["0", "101"], "--check-rise": ["0", "x"],
    "--feedback": ["127.0.0.1:1", "udp:1", "udp:unix:/x", "tcp:127.0.0.1:1",
                   "unix:x", "udp:127.0.0.1:0", ""],
    "--listen": ["", "x", "127.0.0.1", "127.0.0.1:", ":80", "127.0.0.1:65536",
                 "127.0.0.1:-1", "127.0.0.1:http", "127.0.0.1:80x", "::1:80",
                 "[::1]", "[::1]:", "[::1]:x", "[::1", "[::g]:80",
                 "256.1.1.1:80", "1.2.3:80", "localhost:12310", "tcp://x:1",
                 "unix:", "unix:/x,mode=", "unix:/x,mode=999",
                 "unix:/x,mode=rw", "unix:/x,mode=17777", "unix:/x,colour=1",
                 "unix:/x,group=", "unix:/x,group=no-such-group-here",
                 "unix:/x,", "unix:" + LONG],
    "--redis": ["", "x", "127.0.0.1:6379", "http://127.0.0.1", "redis:",
                "redis:/x", "redis://h:65536", "redis://h:x", "redis://h:-1",
                "redis://h:6379:1", "redis://h/x", "redis://h/-1",
                "redis://h/1x", "redis://h/99999999999", "redis://h/1/2",
                "redis://u:%zz@h", "redis://u:%4@h", "redis://u:%@h",
                "redis://:%00@h", "redis://[::1", "redis://[::g]:6379",
                "REDIS", "unix:", "unix:/x?db=x", "unix:/x?db=",
                "unix:/x?db=-1", "unix:/x?colour=1", "unix:" + LONG,
                "rediss://", "redis-sentinel://h:1,i:2",
                "redis-sentinel://h:1,/name", "redis-sentinel:///name",
                "rediss-sentinel://h:x/name", "redis-sentinel://h/n?db=x",
                "redis-sentinel://h/n?read=master", "redis-sentinel://h/n?",
                "redis-sentinel://h/n?read=replica&",
                "redis-sentinel://h/n?db=1&db=", "redis://h?read=replica",
                "unix:/x?read=replica"],
    "--redis-password-file": ["/no/such/file", "/", ""],
    "--sentinel-user": ["nobody", "x" * 128],
    "--sentinel-password-file": ["/no/such/file", "/", ""],
    "--redis-ca": ["/no/such/file", "/dev/null", ""],
    "--redis-cert": ["/no/such/file", "/dev/null", ""],
    "--redis-key": ["/no/such/file", ""],
    "--routes": [""],
    "--ttl": DURATION,
    "--negative-ttl": DURATION,
    "--stale": DURATION,
    "--lookup-timeout": DURATION,
    "--cache-size": COUNT,
    "--max-connections": COUNT,
    "--max-waiting": COUNT,
    "--seccomp": ["", "yes"],
    "--user": ["", ":", "no-such-user", "root:no-such-group"],
    "--log-level": ["", "loud", "5", "INFO ", "infos"],
    "--log-format": ["", "xml", "texts"],
    "--config": ["/no/such/file", "/"],
}


@pytest.mark.parametrize("option, value", [
    (option, value) for option, values in WRONG.items() for value in values])
def test_bad_value(run, option, value):
    for options in ([option, value], ["--check", f"{option}={value}"]):
        code, out, err = run(*options)
        assert (code, out) == (1, "")
        line = one_line(err)
        assert line.startswith("spoa-router: ")
        assert option in line or option == "--config" and value in line


@pytest.mark.parametrize("options, named", [
    (["--nope"], "--nope"), (["--nope=1"], "--nope"), (["--tt", "1"], "--tt"),
    (["--ttls", "1"], "--ttls"), (["--ttl"], "--ttl"),
    (["--config"], "--config"), (["--check=1"], "--check"), (["-x"], ""),
    (["extra"], ""), (["--check", "extra"], ""), (["--", "extra"], "")])
def test_bad_option(run, options, named):
    code, out, err = run(*options)
    assert (code, out) == (1, "")
    assert one_line(err).startswith("spoa-router: ") and named in err


@pytest.mark.parametrize("option, value", [
    ("--ttl", "0"), ("--ttl", "10"), ("--ttl", "500ms"), ("--ttl", "10s"),
    ("--ttl", "5m"), ("--ttl", "1h"), ("--ttl", "1d"), ("--stale", "0"),
    ("--negative-ttl", "0"), ("--lookup-timeout", "50"),
    ("--lookup-timeout", "1s"), ("--log-level", "debug"),
    ("--log-level", "info"), ("--log-format", "json"),
    ("--log-format", "text"), ("--routes", "a:b c"),
    ("--cache-size", "1000"), ("--max-connections", "1"),
    ("--check-interval", "0"), ("--check-interval", "500ms"),
    ("--check-timeout", "60s"), ("--check-fall", "1"), ("--check-rise", "100"),
    ("--feedback", "udp:127.0.0.1:1"), ("--feedback", "udp:[::1]:65535"),
    ("--feedback", "unix:/tmp/x,mode=0600"),
    ("--max-waiting", "1"), ("--listen", "127.0.0.1:12310"),
    ("--listen", "0.0.0.0:12310"), ("--listen", "[::1]:12310"),
    ("--listen", "[::]:12310"), ("--listen", "unix:/tmp/x"),
    ("--listen", "unix:/tmp/x,mode=0660"), ("--listen", "unix:/x,mode=600"),
    ("--listen", "unix:/tmp/x,group=root,mode=0660"),
    ("--redis", "redis://127.0.0.1"), ("--redis", "redis://a.example"),
    ("--redis", "redis://a.example:1/15"), ("--redis", "redis://u:p@h:1/0"),
    ("--redis", "redis://:p@h"), ("--redis", "redis://u@h"),
    ("--redis", "redis://[::1]:6379/2"), ("--redis", "redis://h/"),
    ("--redis", "unix:/tmp/x"), ("--redis", "unix:/tmp/x?db=3"),
    ("--redis", "redis://:%40%3a%2F@h"), ("--redis", "rediss://h"),
    ("--redis", "redis-sentinel://h/name"),
    ("--redis", "redis-sentinel://u:p@h:1,[::1]:2,i/my-name?db=3"),
    ("--redis", "redis-sentinel://h/name?read=replica"),
    ("--redis", "redis-sentinel://h/name?read=replica&db=3"),
    ("--redis", "rediss-sentinel://h/name?db=3&read=replica")])
def test_good_value(run, option, value):
    code, _, err = run("--check", option, value)
    assert (code, err) == (0, "") or code == 0 and "rror" not in err


@pytest.mark.parametrize("url", [
    "redis://me:s3cret@h:x", "redis://me:s3cret@h/x", "rediss://me:s3cret@h:x",
    "redis-sentinel://me:s3cret@h:x/n", "http://me:s3cret@h",
    "redis://me:s3cret%zz@h", "redis://me:s3cret@[::1", "me:s3cret@h:6379",
    "redis://me:s3cret@h:1", "redis://me:s3/cret@h", "redis://:s3cret@h/99x"])
def test_passwords_are_not_printed(run, tmp_path, url):
    (tmp_path / "c").write_text(f"redis = {url}\n")
    for options in (["--redis", url], ["--config", "c"]):
        code, out, err = run("--check", *options)
        assert "s3cret" not in out + err and "cret" not in out + err
        if url == "redis://me:s3cret@h:1":
            assert code == 0


@pytest.mark.parametrize("option, variable", [
    ("--redis-password-file", "REDIS_PASSWORD"),
    ("--sentinel-password-file", "SENTINEL_PASSWORD")])
@pytest.mark.parametrize("size, code", [(511, 0), (512, 1), (5000, 1)])
def test_long_password(run, tmp_path, option, variable, size, code):
    """Never cut: whole, or refused."""
    (tmp_path / "p").write_text("s" * size + "\n")
    for found in (run("--check", option, "p"),
                  run("--check", env={variable: "s" * size})):
        assert found[0] == code and "sss" not in found[2]
        assert code == 0 or "511 bytes" in one_line(found[2])


def test_check_opens_no_socket(run):
    """Not the listener's, which may be in use, and not Redis'."""
    with FakeRedis() as fake, socket.create_server(("127.0.0.1", 0)) as busy:
        name = "127.0.0.1:%d" % busy.getsockname()[1]
        code, _, _ = run("--check", "--redis", fake.url, "--listen", name)
        assert code == 0 and fake.accepted == 0


def test_check_makes_no_file(run, tmp_path):
    assert run("--check", "--listen", f"unix:{tmp_path}/s")[0] == 0
    assert not os.listdir(tmp_path)


OPTIONS = """listen redis redis-password-file routes ttl negative-ttl stale
    lookup-timeout cache-size max-connections max-waiting log-level log-format
    check config version help""".split()


def test_help(run):
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    found = re.findall(r"^\s+(?:-\w, )?--([a-z-]+)", out, re.M)
    assert set(OPTIONS) <= set(found)
    assert len(found) == len(set(found))
    for word in "127.0.0.1:12310", "redis://127.0.0.1:6379", "86400":
        assert word in out, "defaults are shown"


def test_help_lists_what_is_there(run):
    """Every option of --help is known to the parser."""
    for option in re.findall(r"^\s+--([a-z-]+)", run("--help")[1], re.M):
        _, _, err = run("--check", f"--{option}=\x7f")
        assert "unknown" not in err and "unrecognized" not in err, option


def test_version(run):
    code, out, err = run("--version")
    assert (code, err) == (0, "")
    assert re.match(r"spoa-router \d+\.\d+", one_line(out))


# -- the file ---------------------------------------------------------------

LINES = {
    # text of the file: None when good, or the line that is wrong
    "": None,
    "\n\n\n": None,
    "ttl = 5s": None,
    "ttl=5s\n": None,
    "  ttl   =   5s   \n": None,
    "\tttl\t=\t5s\n": None,
    "ttl = 5s\r\nstale = 1h\r\n": None,
    "# ttl = x\n; ttl = x\n\nttl = 5s\n": None,
    "#\n;\n#" + "x" * 150 + "\n": None,
    "redis = redis://127.0.0.1\nredis = redis://127.0.0.2\n": None,
    "routes = " + "x" * 180 + "\n": None,
    "listen = 127.0.0.1:1\nlisten = [::1]:1\n": None,
    "ttl = x\n": 1,
    "\n\nttl = x\n": 3,
    "# one\n; two\r\nttl = 5s\nstale = 1y\nttl = x\n": 4,
    "ttl = 5s ; comment\n": 1,
    "ttl = 5s # comment\n": 1,
    "ttl = \"5s\"\n": 1,
    "ttl = 5s\n  10s\n": 2,
    "ttl = 5s\nnope = 1\n": 2,
    "ttls = 5s\n": 1,
    "tt = 5s\n": 1,
    "TTL = 5s\n": 1,
    "--ttl = 5s\n": 1,
    "ttl 5s\n": 1,
    "ttl\n": 1,
    "= 5s\n": 1,
    "ttl =\n": 1,
    "redis =\n": 1,
    "[router]\nttl = 5s\n": 1,
    "ttl = 5s\n[]\n": 2,
    "  [router]\n": 1,
    "ttl = 5s\nroutes = " + "x" * 300 + "\n": 2,
    "ttl = 5s\nroutes = " + "x" * 300: 2,
    "\n# " + "x" * 5000 + "\nttl = x\n": 3,
    "ttl = 5s\nttl = 5s\n": 2,  # no list, so a slip
    "x" * 100000: 1,
    "ttl = 5s\0\n": 1,
    "ttl = 5s\n\0\0\0\n": 2,
    "ttl = 5s\nredis = redis://h:x\n": 2,
    "listen = localhost:1\n": 1,
    "# ttl\n" * 500 + "x": 501,
}


@pytest.mark.parametrize("text", LINES, ids=lambda t: ascii(t)[:40])
def test_file(run, tmp_path, text):
    path = tmp_path / "router.conf"
    path.write_bytes(text.encode())
    code, out, err = run("--check", "--config", str(path))
    if LINES[text] is None:
        assert code == 0, err
        return
    assert (code, out) == (1, "")
    assert one_line(err).startswith(f"spoa-router: {path}:{LINES[text]}: ")
    # The same without --check: nothing is started.
    assert run("--config", str(path))[0] == 1


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_file_that_cannot_be_read(run, tmp_path, kind):
    path = tmp_path / "no.conf" if kind == "missing" else tmp_path
    code, out, err = run("--config", str(path))
    assert (code, out) == (1, "")
    assert str(path) in one_line(err)


@pytest.mark.parametrize("value", ["a;b", "a ;b", "a ; b", "a # b", "a=b",
                                   "a:b", "a = b : c", '"a"', "a b"])
def test_values_are_taken_whole(start_agent, tmp_path, free_port, value):
    """Of inih's habits: ` ;` starts no comment here."""
    with FakeRedis({"a.example": T}) as fake:
        path = tmp_path / "router.conf"
        path.write_text(f"redis = {fake.url}\nroutes = {value}  \n")
        agent = start_agent("--config", str(path), "--listen",
                            f"127.0.0.1:{free_port()}")
        with Peer(agent.where) as peer:
            until(lambda: peer.ask("a.example").status == "ok", "an answer")
        assert fake.named("HMGET")[0][1] == value


def test_password_with_a_semicolon(start_agent, tmp_path, free_port):
    with FakeRedis() as fake:
        path = tmp_path / "router.conf"
        path.write_text(f"redis = redis://:a;b%20;c@127.0.0.1:{fake.port}\n")
        agent = start_agent("--config", str(path), "--listen",
                            f"127.0.0.1:{free_port()}")
        until(lambda: fake.named("AUTH"), "AUTH")
        assert fake.named("AUTH")[0][-1] == "a;b ;c"
        assert "a;b" not in agent.log()


@pytest.mark.parametrize("order", [0, 1])
def test_command_line_replaces_the_list_of_the_file(start_agent, tmp_path,
                                                    free_port, order):
    with FakeRedis() as one, FakeRedis() as two, FakeRedis(
            {"a.example": T}) as three:
        path = tmp_path / "router.conf"
        path.write_text(f"redis = {one.url}\nredis = {two.url}\nroutes = f\n"
                        "negative-ttl = 1h\n")
        options = [["--config", str(path)],
                   ["--redis", three.url, "--routes", "c", "--listen",
                    f"127.0.0.1:{free_port()}"]]
        agent = start_agent(*options[order], *options[1 - order])
        with Peer(agent.where) as peer:
            until(lambda: peer.ask("a.example").target == T, "an answer")
        assert one.accepted == two.accepted == 0
        assert {words[1] for words in three.named("HMGET")} == {"c"}


def test_repeated_names_in_the_file_repeat(start_agent, tmp_path):
    with FakeRedis({"a.example": T}) as second:
        path = tmp_path / "router.conf"
        path.write_text("redis = redis://127.0.0.1:1\n"
                        f"redis = {second.url}\nlisten = unix:{tmp_path}/s\n"
                        f"listen = unix:{tmp_path}/t,mode=0600\n")
        start_agent("--config", str(path), wait=False)
        for name in "s", "t":
            until(lambda: accepts(f"{tmp_path}/{name}"), "the listener")
            with Peer(f"{tmp_path}/{name}") as peer:
                until(lambda: peer.ask("a.example").target == T, "an answer")


# -- listeners --------------------------------------------------------------


@pytest.fixture
def listening(start_agent):
    """Starts an agent without Redis that listens at these addresses."""
    def start(*names):
        return start_agent("--redis", "redis://127.0.0.1:1", *(
            word for name in names for word in ("--listen", name)))
    return start


@pytest.mark.parametrize("mode", ["0600", "0660", "0666", "777", None])
@pytest.mark.parametrize("group", ["daemon", None])
def test_unix_listener(listening, tmp_path, mode, group):
    path = str(tmp_path / "s")
    name = f"unix:{path}" + (f",mode={mode}" if mode else "") + (
        f",group={group}" if group else "")
    listening(name)
    with Peer(path) as peer:
        assert peer.ask("a.example").status == "unavailable"
    found = os.stat(path)
    assert stat.S_ISSOCK(found.st_mode)
    if mode:
        assert stat.S_IMODE(found.st_mode) == int(mode, 8)
    if group and os.geteuid() == 0:
        assert found.st_gid == grp.getgrnam(group).gr_gid


def test_several_listeners(listening, tmp_path, free_port):
    wheres = [("127.0.0.1", free_port()), ("::1", free_port("::1")),
              f"{tmp_path}/s"]
    listening("127.0.0.1:%d" % wheres[0][1], "[::1]:%d" % wheres[1][1],
              f"unix:{tmp_path}/s")
    for where in wheres:
        with Peer(where) as peer:
            assert peer.ask("a.example").status == "unavailable"


def test_stale_unix_socket_is_replaced(listening, tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(path)
    listening(f"unix:{path}")
    with Peer(path) as peer:
        assert peer.ask("a.example").status == "unavailable"


def test_killed_agent_leaves_a_socket_that_is_replaced(listening, tmp_path):
    path = str(tmp_path / "s")
    listening(f"unix:{path}").kill()
    assert os.path.exists(path)
    listening(f"unix:{path}")
    with Peer(path) as peer:
        assert peer.ask("a.example").status == "unavailable"


def test_live_unix_socket_is_refused(run, tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(path)
        live.listen()
        code, out, err = run("--listen", f"unix:{path}")
        assert (code, out) == (1, "")
        assert path in one_line(err)
        socket.socket(socket.AF_UNIX).connect(path)  # still the old one's


def test_a_file_is_not_replaced(run, tmp_path):
    path = tmp_path / "s"
    path.write_text("precious")
    code, _, err = run("--listen", f"unix:{path}")
    assert code == 1 and str(path) in one_line(err)
    assert path.read_text() == "precious"


@pytest.mark.parametrize("name", ["127.0.0.1:{busy}", "192.0.2.1:{busy}",
                                  "unix:/no/such/folder/s", "[::2]:{busy}"])
def test_address_that_cannot_be_bound(run, name):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        name = name.format(busy=busy.getsockname()[1])
        code, out, err = run("--listen", name)
        assert (code, out) == (1, "")
        line = one_line(err)
        assert name.removeprefix("unix:") in line
        assert line.startswith("spoa-router: ")


def test_reuse_port(start_agent, free_port):
    """Two that both say so share a port; one alone does not get in."""
    name = f"127.0.0.1:{free_port()}"
    options = ("--redis", "redis://127.0.0.1:1", "--listen", name)
    first = start_agent(*options, "--reuse-port")
    second = start_agent(*options, "--reuse-port", wait=False)
    until(lambda: "listening" in second.log(), "the second")
    third = start_agent(*options, wait=False)
    assert third.process.wait(5) == 1
    third.process = None  # its end was wanted
    first.stop()
    with Peer(second.where) as peer:
        assert peer.ask("a.example").status == "unavailable"


def test_one_bad_listener_starts_nothing(run, tmp_path, free_port):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        code, _, err = run("--listen", f"127.0.0.1:{free_port()}", "--listen",
                           "127.0.0.1:%d" % busy.getsockname()[1])
        assert code == 1
        one_line(err)


def test_restart_on_the_same_port(listening, free_port):
    """Connections of the last run in TIME_WAIT are no obstacle."""
    name = f"127.0.0.1:{free_port()}"
    for _ in range(3):
        agent = listening(name)
        with Peer(agent.where) as peer:
            agent.process.terminate()
            assert peer.code() == 0
        assert agent.process.wait(5) == 0


# -- the log ----------------------------------------------------------------


@pytest.mark.parametrize("level, lines", [("info", True), ("error", False)])
def test_log_level(start_agent, level, lines):
    with FakeRedis() as fake:
        agent = start_agent("--redis", fake.url, "--log-level", level)
        with Peer(agent.where) as peer:
            until(lambda: peer.ask("a.example").status == "not_found", "Redis")
        assert bool(agent.log()) == lines


def test_nothing_of_a_request_is_logged_at_info(start_agent):
    """A request costs no log line."""
    with FakeRedis({"a.example": T}) as fake:
        agent = start_agent("--redis", fake.url)
        with Peer(agent.where) as peer:
            until(lambda: peer.ask("a.example").status == "ok", "Redis")
            before = agent.log()
            peer.ask_all(["a.example", "none.example", "b..d", ""] * 50)
        for _ in range(20):
            Peer(agent.where, greet=False).reset()
            Peer(agent.where).close()
        with Peer(agent.where) as peer:
            peer.ask("a.example")
        assert agent.log() == before
