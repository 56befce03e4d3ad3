# SPDX-License-Identifier: MIT
"""rediss://: who is believed, who is not, and what the log says of it."""

import os
import subprocess
import time

import pytest

import kit
from kit.certificates import Authority
from resp import Relay, Speaker, until

T, U = "10.0.0.1:80", "10.0.0.2:80"
UP = "redis tells of changes"
SLOW = ("--lookup-timeout", "1s")


def built_with_tls():
    return b"SSL_CTX_new" in open(kit.agent.binary(), "rb").read()


# -- options ------------------------------------------------------------------


def check(*options, env=None, binary=None):
    done = subprocess.run([binary or kit.agent.binary(), "--check",
                           *map(str, options)],
                          capture_output=True, text=True, timeout=20,
                          env={**os.environ, **(env or {})})
    return done.returncode, (done.stdout + done.stderr).strip()


def test_built_without(tmp_path):
    """make TLS=0: refused at start, in one line; all else is as before."""
    plain = tmp_path / "spoa-router"
    subprocess.run(["make", "-s", "TLS=0", "lto=", "CFLAGS=-O0 -w",
                    f"agent={plain}", f"out={tmp_path}/out",
                    f"stamp={tmp_path}/stamp", str(plain)],
                   check=True, cwd=kit.process.TOP, timeout=300,
                   stdout=subprocess.DEVNULL)
    needs = subprocess.run(["ldd", plain], capture_output=True, text=True,
                           check=True).stdout
    assert "ssl" not in needs and "crypto" not in needs
    for url in "rediss://h", "rediss-sentinel://h/name":
        status, text = check("--redis", url, binary=plain)
        assert status == 1 and "\n" not in text
        assert "TLS is not built in" in text
    assert check("--redis", "redis://h", binary=plain)[0] == 0


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    if not built_with_tls():
        pytest.skip("an agent without TLS")
    folder = tmp_path_factory.mktemp("tls")
    folder.chmod(0o755)
    return Authority(folder)


class Secure(kit.Redis):
    """A Redis with a TLS port besides the plain one."""

    def __init__(self, authority, pair, *options, binary=None,
                 clients="no"):
        self.tls_port = kit.free_port()
        super().__init__(
            "--tls-port", str(self.tls_port), "--tls-cert-file", str(pair[0]),
            "--tls-key-file", str(pair[1]), "--tls-ca-cert-file",
            str(authority.ca), "--tls-auth-clients", clients, *options,
            binary=binary)

    def tls_url(self, host="127.0.0.1"):
        return f"rediss://{host}:{self.tls_port}"


@pytest.fixture(scope="module")
def pair(authority):
    return authority.issue("server", "DNS:localhost", "IP:127.0.0.1")


@pytest.fixture
def secure(authority, pair, redis_binary):
    with Secure(authority, pair, binary=redis_binary) as found:
        found.cmd("HSET", "routes", "a.example", T)
        yield found


def comes(ask, host, target, seconds=5):
    until(lambda: ask(host).target == target, f"{host} -> {target}", seconds)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_served_and_told(ask, secure, authority, host):
    """Lookups and changes both go over TLS."""
    ask.start(secure.tls_url(host), options=("--redis-ca", authority.ca,
                                             "--ttl", "1h", *SLOW))
    until(lambda: UP in ask.agent.log(), UP)
    comes(ask, "a.example", T)
    secure.cmd("HSET", "routes", "a.example", U)
    comes(ask, "a.example", U, 1)
    clients = secure.cmd("CLIENT", "LIST").stdout
    assert clients.count(f":{secure.tls_port} ") == 2, clients


def test_password_and_database(ask, secure, authority):
    secure.cmd("-n", "3", "HSET", "routes", "a.example", U)
    secure.cmd("ACL", "SETUSER", "me", "on", ">pw", "~*", "&*", "+@all")
    ask.start(f"rediss://me:pw@127.0.0.1:{secure.tls_port}/3",
              options=("--redis-ca", authority.ca, *SLOW))
    comes(ask, "a.example", U)


def test_large_and_many(ask, secure, authority):
    """Replies of many TLS records, many of them under way."""
    with Speaker(secure.where) as say:
        for n in range(300):
            say("HSET", "routes", f"h{n}.example",
                ", ".join(f"10.0.{n // 250}.{n % 250 + 1}:{port}"
                          for port in range(1, 200)))
    ask.start(secure.tls_url(), options=("--redis-ca", authority.ca,
                                         "--lookup-timeout", "5s"))
    found = ask.peer.ask_all([f"h{n}.example" for n in range(300)])
    assert [a.target for a in found] == [
        f"10.0.{n // 250}.{n % 250 + 1}:1" for n in range(300)]


def refused(ask, words, seconds=5):
    """Nothing was answered, and the log has these words."""
    until(lambda: all(word in ask.agent.log() for word in words),
          f"{words} in the log", seconds)
    assert ask("a.example").status == "unavailable"
    assert "redis connected" not in ask.agent.log()


@pytest.mark.parametrize("name, words", [
    ("unknown authority", ["self-signed certificate in certificate chain"]),
    ("the system's authorities", ["certificate"]),
    ("wrong name", ["hostname mismatch"]),
    ("wrong address", ["IP address mismatch"]),
    ("no names", ["IP address mismatch"]),
    ("over", ["certificate has expired"])])
def test_server_that_is_not_believed(ask, authority, redis, tmp_path, name,
                                     words):
    tmp_path.chmod(0o755)
    theirs = authority
    if name == "unknown authority":
        theirs = Authority(tmp_path, "stranger")
    names = {"wrong name": ["DNS:other.example"], "no names": [],
             "wrong address": ["DNS:localhost", "IP:127.0.0.2"]}.get(
                 name, ["DNS:localhost", "IP:127.0.0.1"])
    pair = theirs.issue(name.replace(" ", "-"), *names,
                        days=0 if name == "over" else 30)
    if name == "over":
        time.sleep(1.1)
    with Secure(theirs, pair) as server:
        server.cmd("HSET", "routes", "a.example", T)
        url = server.tls_url("localhost" if name == "wrong name"
                             else "127.0.0.1")
        system = name == "the system's authorities"
        ask.start(url, options=() if system else ("--redis-ca", authority.ca))
        refused(ask, ["TLS: the server's certificate", *words,
                      f"localhost:{server.tls_port}" if name == "wrong name"
                      else f"127.0.0.1:{server.tls_port}"])
        assert ask.agent.log().count("redis cannot be used") == 1


def test_server_that_is_not_believed_at_one_of_its_addresses(
        ask, authority, hosts_file):
    """Nobody is at the other one, which says less."""
    with Secure(authority, authority.issue("other", "DNS:other.example")) as \
            server:
        ask.start(server.tls_url("redis.test"), options=(
            "--redis-ca", authority.ca), prefix=hosts_file(
                "127.0.0.1 redis.test", "127.0.0.9 redis.test"))
        refused(ask, ["TLS: the server's certificate", "hostname mismatch"])


@pytest.mark.parametrize("given", [True, False])
def test_server_that_wants_our_certificate(ask, authority, pair, given):
    with Secure(authority, pair, clients="yes") as server:
        server.cmd("HSET", "routes", "a.example", T)
        mine, key = authority.issue("agent")
        options = ("--redis-cert", mine, "--redis-key", key) if given else ()
        ask.start(server.tls_url(), options=("--redis-ca", authority.ca,
                                             *options, *SLOW))
        if given:
            comes(ask, "a.example", T)
        else:
            # TLS 1.3: the server's word may be lost with the connection
            until(lambda: any(word in ask.agent.log() for word in (
                "certificate required", "reset by peer", "Broken pipe",
                "closed by the server")), "the reason")
            refused(ask, ["redis cannot be used"])


def test_certificate_and_key_in_one_file(ask, authority, pair, tmp_path):
    with Secure(authority, pair, clients="yes") as server:
        server.cmd("HSET", "routes", "a.example", T)
        mine, key = authority.issue("one-file")
        (tmp_path / "pem").write_text(mine.read_text() + key.read_text())
        ask.start(server.tls_url(), options=(
            "--redis-ca", authority.ca, "--redis-cert", tmp_path / "pem",
            *SLOW))
        comes(ask, "a.example", T)


def test_plain_server(ask, redis, authority):
    """Speaks no TLS: said as such, and tried again at a decent pace."""
    redis.cmd("HSET", "routes", "a.example", T)
    before = int(redis.info("total_connections_received"))
    ask.start(f"rediss://127.0.0.1:{redis.port}",
              options=("--redis-ca", authority.ca))
    until(lambda: "redis cannot be used" in ask.agent.log(), "a line")
    assert ask("a.example").status == "unavailable"
    assert int(redis.info("total_connections_received")) - before < 20


def test_plain_question_to_a_tls_port(ask, secure):
    ask.start(f"redis://127.0.0.1:{secure.tls_port}")
    until(lambda: "redis cannot be used" in ask.agent.log(), "a line")
    assert ask("a.example").status == "unavailable"


@pytest.mark.parametrize("end", ["killed", "reset", "frozen"])
def test_away_and_back(ask, secure, authority, end):
    relay = Relay(("127.0.0.1", secure.tls_port))
    ask.start(f"rediss://127.0.0.1:{relay.port}",
              options=("--redis-ca", authority.ca, "--ttl", "200ms",
                       "--lookup-timeout", "200ms"))
    with relay:
        comes(ask, "a.example", T)
        if end == "killed":
            secure.kill()
        elif end == "reset":
            relay.close()
        else:
            secure.pause()
        until(lambda: ask("a.example").source == "stale", "stale")
        if end == "killed":
            secure.start()
            secure.cmd("HSET", "routes", "a.example", T)
        elif end == "reset":
            relay.open()
        else:
            secure.resume()
        until(lambda: ask("a.example").source != "stale", "fresh again")
        assert ask("a.example").target == T


def test_handshake_that_never_ends(ask, redis, authority):
    """A server that takes the connection and says nothing is left, and the
    next one serves."""
    redis.cmd("HSET", "routes", "a.example", T)
    with Relay(redis.where) as relay:
        relay.hole = True
        ask.start(f"rediss://127.0.0.1:{relay.port}", redis.url,
                  options=("--redis-ca", authority.ca))
        comes(ask, "a.example", T)
        assert "no answer while connecting" in ask.agent.log()


def test_certificates_are_read_again(ask, secure, authority, pair, tmp_path):
    """The server gets a certificate of another authority, and we its file."""
    tmp_path.chmod(0o755)
    ca = tmp_path / "ca.pem"
    ca.write_text(authority.ca.read_text())
    other = Authority(tmp_path, "other")
    with Secure(other, other.issue("second", "IP:127.0.0.1")) as later, \
            Relay(("127.0.0.1", secure.tls_port)) as relay:
        later.cmd("HSET", "routes", "a.example", U)
        ask.start(f"rediss://127.0.0.1:{relay.port}",
                  options=("--redis-ca", ca, "--ttl", "200ms"))
        comes(ask, "a.example", T)
        relay.target = "127.0.0.1", later.tls_port
        relay.drop()
        until(lambda: "the server's certificate" in ask.agent.log(), "a line")
        until(lambda: ask("a.example").source == "stale", "stale")
        fresh = tmp_path / "fresh"
        fresh.write_text(other.ca.read_text())
        os.rename(fresh, ca)
        comes(ask, "a.example", U)


def test_file_that_went_bad(ask, secure, authority, tmp_path):
    """What cannot be read any more costs the connection, not the agent."""
    ca = tmp_path / "ca.pem"
    ca.write_text(authority.ca.read_text())
    ask.start(secure.tls_url(), options=("--redis-ca", ca, "--ttl", "200ms"))
    comes(ask, "a.example", T)
    ca.write_text("nothing of use")
    secure.cmd("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    until(lambda: f"--redis-ca {ca}" in ask.agent.log(), "a line")
    until(lambda: ask("a.example").source == "stale", "stale")
    ca.write_text(authority.ca.read_text())
    until(lambda: ask("a.example").source != "stale", "fresh again")


def test_no_leak(ask, secure, authority):
    """Each connection gives back its sockets."""
    ask.start(secure.tls_url(), options=("--redis-ca", authority.ca, *SLOW))
    until(lambda: UP in ask.agent.log(), UP)
    before = ask.agent.fds()
    for n in range(10):
        secure.cmd("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        until(lambda: ask.agent.log().count(UP) >= n + 2, "again")
    until(lambda: ask.agent.fds() <= before, "no more sockets than before")


@pytest.mark.parametrize("name, words", [
    ("ca missing", "redis-ca /none: "), ("cert missing", "redis-cert /none: "),
    ("key missing", "redis-key /none: "), ("not its key", "redis-key"),
    ("key without cert", "needs --redis-cert too"),
    ("not a certificate", "redis-cert /etc/hostname")])
def test_check_refuses(authority, pair, name, words):
    other = authority.issue("other-key")[1]
    options = {
        "ca missing": ("--redis-ca", "/none"),
        "cert missing": ("--redis-cert", "/none"),
        "key missing": ("--redis-cert", pair[0], "--redis-key", "/none"),
        "not its key": ("--redis-cert", pair[0], "--redis-key", other),
        "key without cert": ("--redis-key", pair[1]),
        "not a certificate": ("--redis-cert", "/etc/hostname")}[name]
    status, text = check("--redis", "rediss://127.0.0.1", *options)
    assert status == 1 and words in text and "\n" not in text, text


def test_check_takes(authority, pair):
    status, text = check("--redis", "rediss://127.0.0.1", "--redis-ca",
                         authority.ca, "--redis-cert", pair[0], "--redis-key",
                         pair[1])
    assert (status, text) == (0, "spoa-router: the configuration is valid")
