# SPDX-License-Identifier: MIT
"""Redis Cluster: the one key has one owner, and the agent is there, whichever
node it began with, while slots move and owners die."""

import threading
import time

import pytest

import kit
from kit.cluster import Cluster, slot_of
from resp import FakeRedis, Speaker, until
from spop import Peer
from test_away import HOSTS, Load, shares, target
from test_preload import readme_rights

T, U, V = "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"
UP = "redis tells of changes"
LONG = ("--ttl", "1h", "--negative-ttl", "1h", "--lookup-timeout", "1s")
CHANGES = 1000


def up(ask, times=1, seconds=5):
    until(lambda: ask.agent.log().count(UP) >= times, UP, seconds)


def comes(ask, host, want, seconds=5):
    until(lambda: ask(host).target == want, f"{host} -> {want}", seconds)


@pytest.fixture(scope="module")
def nodes(redis_binary):
    with Cluster(redis_binary) as found:
        yield found


@pytest.fixture
def cluster(nodes):
    nodes.do("DEL", "routes")
    return nodes


def others(cluster, key="routes"):
    owner = cluster.owner(key)
    return [node for node in cluster.nodes if node is not owner]


@pytest.mark.parametrize("first", [0, 1, 2])
def test_any_node_leads_to_the_owner(ask, cluster, first):
    cluster.do("HSET", "routes", "a.example", T)
    owner = cluster.owner("routes")
    ask.start(cluster.nodes[first].url, options=LONG)
    up(ask)
    comes(ask, "a.example", T)
    for want in U, V, T:
        cluster.do("HSET", "routes", "a.example", want)
        comes(ask, "a.example", want, 1)
    cluster.do("HDEL", "routes", "a.example")
    until(lambda: ask("a.example").status == "not_found", "not found", 1)
    assert f"127.0.0.1:{owner.port}/0" in ask.agent.log()


def test_many_nodes_given(ask, cluster):
    """All of them as --redis: the owner serves, and it stays at that."""
    cluster.do("HSET", "routes", "a.example", T)
    ask.start(*(node.url for node in cluster.nodes), options=LONG)
    up(ask)
    comes(ask, "a.example", T)
    time.sleep(2.5)  # two turns of trying the preferred ones
    assert ask.agent.log().count("redis connected") <= 2, ask.agent.log()
    cluster.do("HSET", "routes", "a.example", U)
    comes(ask, "a.example", U, 1)


def test_published_anywhere(ask, cluster):
    """A cluster passes PUBLISH on to every node."""
    cluster.do("HSET", "routes", "a.example", T)
    ask.start(cluster.nodes[0].url, options=LONG)
    up(ask)
    comes(ask, "a.example", T)
    time.sleep(0.05)
    with Speaker(cluster.owner("routes").where) as say:
        for node in cluster.nodes:
            before = say.calls("hmget")
            node.cmd("PUBLISH", "routes:changed", "a.example")
            until(lambda before=before: say.calls("hmget") > before,
                  "a re-read", 1)


def test_each_step_of_a_move(ask, cluster):
    """Importing, moved, owned: changed at each of them."""
    cluster.do("HSET", "routes", "a.example", T)
    ask.start(cluster.nodes[0].url, options=LONG)
    up(ask)
    comes(ask, "a.example", T)
    version = [0]

    def change():
        version[0] += 1
        cluster.do("HSET", "routes", "a.example", target(version[0]))
        comes(ask, "a.example", target(version[0]), 1)
        cluster.do("HSET", "routes", f"new{version[0]}.example", T)
        comes(ask, f"new{version[0]}.example", T, 1)
    for node in others(cluster):
        cluster.migrate("routes", node, change)
        assert cluster.owner("routes") is node
        change()
    assert "ASK " in ask.agent.log()


@pytest.mark.parametrize("without", [None, "+asking"])
def test_rights_in_a_cluster(ask, cluster, without):
    """Those of docs/redis.md, with +asking, and that is needed."""
    rights = [right for right in (*readme_rights(), "+asking")
              if right != without]
    for node in cluster.nodes:
        node.cmd("ACL", "SETUSER", "router", "reset", *rights)
        node.cmd("ACL", "LOG", "RESET")
    cluster.do("HSET", "routes", "a.example", T)
    source, to = cluster.owner("routes"), others(cluster)[0]
    ask.start(f"redis://router:password@127.0.0.1:{source.port}",
              options=LONG)
    up(ask)
    comes(ask, "a.example", T)

    def refused():
        return [line for node in cluster.nodes
                for line in node.cmd("ACL", "LOG").stdout.splitlines()
                if line.strip() == "asking"]

    def change():
        cluster.do("HSET", "routes", "a.example", U)
        if without:
            until(lambda: ask("b.example") and refused(), "a refusal", 10)
        else:
            comes(ask, "a.example", U)
    with cluster.say(source) as here, cluster.say(to) as there:
        slot, ids = slot_of("routes"), (cluster.id(source), cluster.id(to))
        there("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        here("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        here("MIGRATE", "127.0.0.1", to.port, "routes", 0, 5000)
        try:
            change()
        finally:
            there("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
            here("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
    assert bool(refused()) == bool(without)


def test_moved_while_there_is_nothing(ask, cluster):
    """No key is deleted then, so nothing is pushed: asking finds it."""
    ask.start(cluster.nodes[0].url, options=LONG)
    up(ask)
    assert ask("a.example").status == "not_found"
    cluster.migrate("routes", others(cluster)[0])
    cluster.do("HSET", "routes", "a.example", T)
    comes(ask, "a.example", T, 5)


def test_moved_as_a_whole(ask, cluster):
    """Valkey's own migration of a slot, which no client asks for step by
    step."""
    cluster.do("HSET", "routes", "a.example", T)
    ask.start(cluster.nodes[0].url, options=LONG)
    up(ask)
    comes(ask, "a.example", T)
    slot = slot_of("routes")
    for n, node in enumerate(others(cluster)):
        done = cluster.owner("routes").cmd(
            "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE",
            cluster.id(node), check=False)
        if done.returncode:
            return print("this server has no MIGRATESLOTS")
        until(lambda node=node: cluster.owner("routes") is node, "the move")
        want = f"10.9.0.{n + 1}:80"
        cluster.do("HSET", "routes", "a.example", want)
        comes(ask, "a.example", want, 1)
    return None


def test_figures_slot_moved_under_changes(ask, cluster):
    """CHANGES changes go by while the slot moves: each is live, none lost,
    and no request fails."""
    for host in HOSTS:
        cluster.do("HSET", "routes", host, target(0))
    ask.start(cluster.nodes[0].url, options=LONG)
    up(ask)
    for host in HOSTS:
        comes(ask, host, target(0))
    moves, halt = [0], threading.Event()

    def move():
        while not halt.is_set():
            cluster.migrate("routes", others(cluster)[0],
                            lambda: time.sleep(0.05))
            moves[0] += 1
    mover = threading.Thread(target=move)
    times = []
    with Load(ask.agent.where, HOSTS, 500) as load, \
            Peer(ask.agent.where) as peer:
        mover.start()
        try:
            for n in range(1, CHANGES + 1):
                host, want = HOSTS[n % len(HOSTS)], target(n)
                cluster.do("HSET", "routes", host, want)
                start = time.perf_counter()
                until(lambda host=host, want=want:
                      peer.ask(host).target == want, f"change {n}", 5)
                times.append(time.perf_counter() - start)
        finally:
            halt.set()
            mover.join()
    bad = [answer for *_, answer in load.done if answer.status != "ok"]
    assert not bad, bad[:3]
    for n in range(CHANGES - len(HOSTS) + 1, CHANGES + 1):
        assert ask(HOSTS[n % len(HOSTS)]).target == target(n)
    print(f"\n{CHANGES} changes, slot moved {moves[0]} times: live after "
          f"{shares(times)}; {len(load.done)} requests, none failed, "
          f"{shares(load.times())}")
    assert moves[0] > 2


def test_owner_fails(ask, redis_binary):
    """Its replica takes over; known hosts do not notice."""
    with Cluster(redis_binary, replicas=3) as cluster:
        owner = cluster.owner("routes")
        with Speaker(owner.where) as say:
            say("HSET", "routes", "a.example", T, "b.example", T)
            assert say("WAIT", 1, 10000) == 1  # for this connection's writes
        seeds = [node.url for node in cluster.nodes if node is not owner]
        ask.start(*seeds[:2], options=("--lookup-timeout", "100ms"))
        up(ask)
        comes(ask, "a.example", T)
        with Load(ask.agent.where, ["a.example"], 500) as load:
            owner.kill()
            until(lambda: cluster.owner("routes"), "another owner", 20)
            cluster.settle()
            cluster.do("HSET", "routes", "a.example", U)
            start = time.perf_counter()
            comes(ask, "a.example", U, 5)
            took = time.perf_counter() - start
        assert {answer.status for *_, answer in load.done} == {"ok"}
        comes(ask, "b.example", T)
        print(f"\nnew owner's change live after {took:.3f} s; "
              f"{len(load.done)} answers, none failed")


def test_owner_steps_down(ask, redis_binary):
    """CLUSTER FAILOVER: the old owner lives on as a replica."""
    with Cluster(redis_binary, replicas=3) as cluster:
        cluster.do("HSET", "routes", "a.example", T)
        owner = cluster.owner("routes")
        ask.start(owner.url, options=LONG)
        up(ask)
        comes(ask, "a.example", T)
        replica = cluster.nodes[cluster.nodes.index(owner) + 3]

        def step_down():
            replica.cmd("CLUSTER", "FAILOVER", check=False)
            time.sleep(0.2)
            return cluster.owner("routes") is replica
        until(step_down, "another owner", 30)
        cluster.settle()
        cluster.do("HSET", "routes", "a.example", U)
        comes(ask, "a.example", U, 5)


# -- a scripted one -----------------------------------------------------------


def moved(to, kind="MOVED"):
    return f"-{kind} {slot_of('routes')} {to}\r\n".encode()


@pytest.fixture
def pair():
    with FakeRedis({"a.example": T}) as one, FakeRedis(
            {"a.example": U}) as two:
        yield one, two


def test_names_in_a_redirection(ask, pair):
    """A host name, or none: then it is the node that says so."""
    one, two = pair
    one.on("HMGET", moved(f"localhost:{two.port}"))
    ask.start(one.url)
    comes(ask, "a.example", U)


def test_no_name_in_a_redirection(ask, pair):
    one, two = pair
    one.on("HMGET", moved(f":{two.port}"))
    ask.start(one.url)
    comes(ask, "a.example", U)


def test_asking_goes_before_each_question(ask, pair):
    one, two = pair
    one.on("HMGET", moved(f"127.0.0.1:{two.port}", "ASK"))
    ask.start(one.url, options=("--ttl", "0"))
    comes(ask, "a.example", U)
    ask("b.example")
    words = [w[0] for w in two.commands if w[0] in ("ASKING", "HMGET")]
    assert words == ["ASKING", "HMGET"] * (len(words) // 2)
    assert not one.named("ASKING")


def test_password_and_database_go_along(ask, pair):
    one, two = pair
    one.on("HMGET", moved(f"127.0.0.1:{two.port}"))
    ask.start(f"redis://me:pw@127.0.0.1:{one.port}")
    comes(ask, "a.example", U)
    assert ["AUTH", "me", "pw"] in two.commands


def test_nodes_that_point_at_each_other(ask, pair):
    """Followed a few times, then spaced like any other failure."""
    one, two = pair
    one.on("HMGET", moved(f"127.0.0.1:{two.port}"))
    two.on("HMGET", moved(f"127.0.0.1:{one.port}"))
    ask.start(one.url)
    until(lambda: "redis cannot be used" in ask.agent.log(), "the line")
    assert ask("a.example").status == "unavailable"
    time.sleep(1)
    assert one.accepted + two.accepted < 100
    one.forget("HMGET")
    comes(ask, "a.example", T)


@pytest.mark.parametrize("text", [
    "MOVED", "MOVED 1", "MOVED 1 ", "MOVED 1 h", "MOVED 1 h:", "MOVED 1 h:0",
    "MOVED 1 h:65536", "MOVED 1 ?:1", "ASK 1 h:x", "MOVED 1 " + "h" * 300
    + ":1", "MOVEDX 1 h:1"])
def test_redirection_that_makes_no_sense(ask, pair, text):
    """As any other error: the next server serves."""
    one, two = pair
    one.on("HMGET", f"-{text}\r\n".encode())
    ask.start(one.url, two.url)
    comes(ask, "a.example", U)


def test_moved_to_a_dead_node(ask, pair):
    """Back to the URL, until it points to one that lives."""
    one, two = pair
    with FakeRedis() as dead:
        port = dead.port
    one.on("HMGET", moved(f"127.0.0.1:{port}"))
    ask.start(one.url)
    until(lambda: f"server=127.0.0.1:{port}/0" in ask.agent.log(), "a line")
    assert ask("a.example").status == "unavailable"
    one.on("HMGET", moved(f"127.0.0.1:{two.port}"))
    comes(ask, "a.example", U)


def test_a_moved_question_is_not_lost(ask, pair):
    """It is asked again where the key is, however often that was said."""
    one, two = pair
    ask.start(one.url, options=("--ttl", "0", "--lookup-timeout", "2s"))
    comes(ask, "a.example", T)
    one.on("HMGET", moved(f"127.0.0.1:{two.port}"))
    assert ask("a.example").target == U
    two.on("HMGET", moved(f"127.0.0.1:{one.port}", "ASK"))
    one.forget("HMGET")
    assert ask("a.example").target == T
    assert ask("a.example").target == T
