# SPDX-License-Identifier: MIT
"""redis-sentinel://...?read=replica: questions and pushes are a replica's, the
master's where there is none; what lost its master is left."""

import time

import pytest

import kit
from resp import Speaker, array, bulk, until
from test_sentinel import LONG, Liar, Master, comes, masters, role, url

T, U, V = "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"


@pytest.fixture
def watched(redis_binary):
    with kit.Watched(redis_binary, replicas=2) as found:
        yield found.wait()


def write(server, target, host="a.example", copies=None):
    """On the master; returns when `copies` replicas have it too."""
    with Speaker(server.where) as say:
        say("HSET", "routes", host, target)
        if copies:
            assert say("WAIT", copies, 10000) >= copies


def serving(watched):
    """The server that our subscriber is at; None where that is no one."""
    for server in watched.servers:
        try:
            with Speaker(server.where) as say:
                if int(say("PUBSUB", "NUMSUB", "routes:changed")[1]):
                    return server
        except OSError:
            pass
    return None


def start(ask, watched, *options, **more):
    ask.start(f"{watched.url}?read=replica", options=options or LONG, **more)
    return comes_to(watched, lambda at: at in watched.servers[1:], "a replica")


def comes_to(watched, is_it, what, seconds=30):
    until(lambda: is_it(serving(watched)), what, seconds)
    return serving(watched)


def test_a_replica_serves_and_tells(ask, watched):
    """The master is not asked, and a change is live when the replica has it."""
    master = watched.servers[0]
    write(master, T, copies=2)
    start(ask, watched)
    comes(ask, "a.example", T)
    with Speaker(master.where) as say:
        asked = say.calls("hmget")
        for n in range(50):
            write(master, f"10.0.1.{n + 1}:80")
            comes(ask, "a.example", f"10.0.1.{n + 1}:80", 2)
        say("HDEL", "routes", "a.example")
        until(lambda: ask("a.example").status == "not_found", "not found", 2)
        assert say.calls("hmget") == asked
    assert "sentinel names a replica" in ask.agent.log()


def test_named_fields_and_the_flush_come_along(ask, watched):
    """PUBLISH at the master reaches the replicas."""
    write(watched.servers[0], T, copies=2)
    place = start(ask, watched)
    comes(ask, "a.example", T)
    time.sleep(0.1)
    with Speaker(place.where) as there:
        asked = there.calls("hmget")
        watched.servers[0].cmd("PUBLISH", "routes:changed", "a.example")
        until(lambda: there.calls("hmget") > asked, "a re-read", 2)


def test_the_other_replica_then_the_master_then_back(ask, watched):
    master = watched.servers[0]
    write(master, T, copies=2)
    first = start(ask, watched, "--ttl", "1h", "--lookup-timeout", "5s")
    comes(ask, "a.example", T)
    first.kill()
    other = comes_to(watched, lambda at: at and at is not first, "another")
    assert other is not master
    write(master, U)
    comes(ask, "a.example", U)
    other.kill()
    comes_to(watched, lambda at: at is master, "the master")
    write(master, V)
    comes(ask, "a.example", V)
    first.start()
    until(lambda: role(first) == "slave" or first.cmd(
        "REPLICAOF", "127.0.0.1", master.port), "a replica again")
    comes_to(watched, lambda at: at is first, "the replica again", 60)
    write(master, T)
    comes(ask, "a.example", T)


def test_replica_that_lost_its_master_is_left(ask, watched):
    """It goes on answering, from what it had; nobody but itself tells."""
    master = watched.servers[0]
    write(master, T, copies=2)
    first = start(ask, watched)
    comes(ask, "a.example", T)
    for sentinel in watched.sentinels:
        sentinel.pause()
    with Speaker(first.where) as say:
        say("REPLICAOF", "127.0.0.1", kit.free_port())
    write(master, U)
    comes(ask, "a.example", U)
    assert serving(watched) is not first
    assert "not a replica that follows its master" in ask.agent.log()
    for sentinel in watched.sentinels:
        sentinel.resume()


def test_failover(ask, watched):
    """kill -9 of the master: no known host notices, and what the new one is
    told is live, whether our replica was promoted or not."""
    master = watched.servers[0]
    write(master, T, copies=2)
    start(ask, watched, "--ttl", "1h", "--lookup-timeout", "5s")
    comes(ask, "a.example", T)
    master.kill()
    rest = watched.servers[1:]

    def promoted():
        assert ask("a.example").target == T
        return next((s for s in rest if role(s) == "master"), None)
    until(promoted, "promotion", 30)
    new = promoted()
    write(new, U)
    comes(ask, "a.example", U, 20)
    comes_to(watched, lambda at: at and at is not new, "a replica", 60)
    write(new, V)
    comes(ask, "a.example", V)


def test_the_whole_hash_from_a_replica(ask, watched):
    """--preload and --empty-guard ask it too."""
    master = watched.servers[0]
    with Speaker(master.where) as say:
        say("HSET", "routes", *(word for n in range(500) for word in (
            f"h{n}.example", T)))
        assert say("WAIT", 2, 10000) == 2
        asked = say.calls("hscan"), say.calls("hlen")
        start(ask, watched, "--ttl", "1h", "--preload", "--empty-guard", "on")
        until(lambda: 'msg="preloaded"' in ask.agent.log(), "preloaded", 10)
        assert (say.calls("hscan"), say.calls("hlen")) == asked
        say("FLUSHALL")
    until(lambda: "suddenly empty" in ask.agent.log(), "the guard", 10)
    assert ask("h7.example").target == T


# -- scripted ones ------------------------------------------------------------


class Lister(Liar):
    """A sentinel that lists .replicas: [(address, flags, link)]."""

    replicas = ()

    def honest(self, words):
        if words[0] == "SENTINEL" and words[1].upper() == "REPLICAS":
            return array(*(array(*map(bulk, (
                "name", "x", "ip", where[0], "port", str(where[1]), "flags",
                flags, "master-link-status", link)))
                for where, flags, link in self.replicas))
        return super().honest(words)


class Replica(Master):
    link = "connected"

    def honest(self, words):
        if words[0] == "ROLE":
            return array(bulk("slave"), bulk("127.0.0.1"), b":1\r\n",
                         bulk(self.link), b":7\r\n")
        return super().honest(words)


@pytest.mark.parametrize("flags, link, well", [
    ("slave", "ok", True), ("slave,s_down", "ok", False),
    ("s_down,slave,disconnected", "ok", False), ("slave", "err", False),
    ("slave,o_down", "ok", False), ("", "ok", False)])
def test_what_sentinels_find_well(ask, masters, flags, link, well):
    with Lister(masters[0].where) as one, Replica(V) as replica:
        one.replicas = [(replica.where, flags, link)]
        ask.start(url(one) + "?read=replica")
        comes(ask, "a.example", V if well else T)


@pytest.mark.parametrize("link", ["connect", "connecting", "sync", "none", ""])
def test_what_a_replica_says_of_itself(ask, masters, link):
    """Asked again and again: it is left when its link breaks, and comes back
    when Sentinel still finds it well."""
    with Lister(masters[0].where) as one, Replica(V) as replica:
        one.replicas = [(replica.where, "slave", "ok")]
        ask.start(url(one) + "?read=replica", options=("--ttl", "100ms"))
        comes(ask, "a.example", V)
        replica.link = link
        comes(ask, "a.example", T)
        replica.link = "connected"
        comes(ask, "a.example", V, 20)


def test_one_that_cannot_be_used_is_tried_ever_less(ask, masters):
    """Sentinel finds it well, and we do not reach it."""
    with Lister(masters[0].where) as one:
        one.replicas = [(("127.0.0.1", kit.free_port()), "slave", "ok")]
        ask.start(url(one) + "?read=replica", options=("--ttl", "100ms"))
        comes(ask, "a.example", T)
        time.sleep(5)
        assert ask("a.example").target == T
        assert 1 < ask.agent.log().count("sentinel names a replica") <= 4


def test_not_allowed_to_list(ask, masters):
    with Lister(masters[0].where) as one:
        one.on("SENTINEL", lambda words: [
            b"-NOPERM no\r\n" if words[1].upper() == "REPLICAS" else
            one.honest(words)])
        ask.start(url(one) + "?read=replica")
        comes(ask, "a.example", T)
        assert "sentinel does not list the replicas" in ask.agent.log()


def test_replicas_are_not_read_unless_asked_for(ask, masters):
    with Lister(masters[0].where) as one, Replica(V) as replica:
        one.replicas = [(replica.where, "slave", "ok")]
        ask.start(url(one))
        comes(ask, "a.example", T)
        assert not [w for w in one.commands if w[1:2] == ["REPLICAS"]]
