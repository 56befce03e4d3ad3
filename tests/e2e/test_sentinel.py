# SPDX-License-Identifier: MIT
"""redis-sentinel://: the master is found, proven, and followed when another
one takes over. With real sentinels, and with some that a test makes lie."""

import threading
import time

import pytest

import kit
from kit.certificates import Authority
from kit.sentinel import NAME
from resp import FakeRedis, Relay, Speaker, array, bulk, until
from test_away import HOSTS, Load, fill, shares

T, U, V = "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"
UP = "redis tells of changes"
LONG = ("--ttl", "1h", "--negative-ttl", "1h", "--lookup-timeout", "1s")


def up(ask, times=1, seconds=5):
    until(lambda: ask.agent.log().count(UP) >= times, UP, seconds)


def comes(ask, host, target, seconds=5):
    until(lambda: ask(host).target == target, f"{host} -> {target}", seconds)


@pytest.fixture
def watched(redis_binary):
    with kit.Watched(redis_binary) as found:
        yield found.wait()


def role(server):
    """None from one that closes its connections: it is changing its role."""
    try:
        with Speaker(server.where) as say:
            return say("ROLE")[0]
    except OSError:
        return None


# -- real ones ----------------------------------------------------------------


def test_served_and_told(ask, watched):
    master = watched.servers[0]
    master.cmd("HSET", "routes", "a.example", T)
    ask.start(watched.url, options=LONG)
    up(ask)
    comes(ask, "a.example", T)
    master.cmd("HSET", "routes", "a.example", U)
    comes(ask, "a.example", U, 1)
    assert f"server=\"{NAME} at 127.0.0.1:{master.port}/0\"" in \
        ask.agent.log()


def test_figures_failover(ask, watched):
    """kill -9 of the master under load: no request fails, and what is written
    to the new one is live at once."""
    master, replica = watched.servers
    with Speaker(master.where) as say:
        fill(say, HOSTS)
        assert say("WAIT", 1, 5000) == 1
    ask.start(watched.url)
    up(ask)
    for host in HOSTS:
        comes(ask, host, T)
    with Load(ask.agent.where, HOSTS, 1000) as load:
        time.sleep(0.3)
        killed = time.perf_counter()
        master.kill()
        until(lambda: role(replica) == "master", "promotion", 20)
        promoted = time.perf_counter()
        replica.cmd("HSET", "routes", HOSTS[0], U)
        until(lambda: any(host == HOSTS[0] and answer.target == U
                          for _, _, host, answer in load.done[-200:]),
              "the change", 10)
        live = time.perf_counter()
        time.sleep(0.3)
    bad = [answer for *_, answer in load.done if answer.status != "ok"]
    assert not bad, bad[:3]
    seen = [when for when, _, host, answer in load.done
            if host == HOSTS[0] and answer.target == T and when > live]
    assert not seen, "the old answer came back"
    print(f"\nkill to promotion {promoted - killed:.2f} s, promotion to live "
          f"{live - promoted:.3f} s; {len(load.done)} answers, none failed, "
          f"{shares(load.times())}")
    assert live - promoted < 2


def test_wanted_failover(ask, watched):
    """SENTINEL FAILOVER: the old master lives on as a replica."""
    master, replica = watched.servers
    master.cmd("HSET", "routes", "a.example", T)
    ask.start(watched.url, options=LONG)
    up(ask)
    comes(ask, "a.example", T)
    for n, (old, new) in enumerate([(master, replica), (replica, master)]):
        until(lambda: watched.sentinels[0].ask(
            "REPLICAS", NAME), "a replica")
        def failover():
            try:
                return watched.sentinels[0].ask("FAILOVER", NAME)
            except Exception as error:  # a replica that is not good yet
                assert "NOGOODSLAVE" in str(error) or "INPROG" in str(error)
                time.sleep(0.2)
                return None
        until(failover, "a failover", 30)
        until(lambda: watched.named() == new.port, "the new master", 20)
        want = f"10.0.1.{n}:80"
        until(lambda: role(new) == "master", "its role")
        new.cmd("HSET", "routes", "a.example", want)
        comes(ask, "a.example", want, 2)
        until(lambda: role(old) == "slave", "the old one's role", 20)
        until(lambda: new.info("connected_slaves") == "1", "replication", 20)


def test_old_master_is_not_heard(ask, watched):
    """It was frozen, and comes back as a master that knows nothing of it:
    neither its routes nor its pushes count."""
    master, replica = watched.servers
    master.cmd("HSET", "routes", "a.example", T)
    with Speaker(master.where) as say:
        say("WAIT", 1, 5000)
    ask.start(watched.url, options=("--ttl", "1h"))
    up(ask)
    comes(ask, "a.example", T)
    master.pause()
    until(lambda: role(replica) == "master", "promotion", 20)
    replica.cmd("HSET", "routes", "a.example", U)
    comes(ask, "a.example", U)
    for sentinel in watched.sentinels:
        sentinel.pause()  # nobody tells the old master either
    master.resume()
    master.cmd("HSET", "routes", "a.example", V)
    time.sleep(0.3)
    assert ask("a.example").target == U
    for sentinel in watched.sentinels:
        sentinel.resume()


@pytest.mark.parametrize("away", ["killed", "frozen"])
def test_some_sentinels_are_away(ask, watched, away):
    watched.servers[0].cmd("HSET", "routes", "a.example", T)
    for sentinel in watched.sentinels[:2]:
        sentinel.kill() if away == "killed" else sentinel.pause()
    ask.start(watched.url)
    comes(ask, "a.example", T, 3)
    watched.servers[0].cmd("HSET", "routes", "a.example", U)
    comes(ask, "a.example", U)


def test_all_sentinels_are_away(ask, watched):
    """A master that is known goes on serving; at start nobody knows one."""
    watched.servers[0].cmd("HSET", "routes", "a.example", T)
    ask.start(watched.url, options=("--ttl", "200ms"))
    comes(ask, "a.example", T)
    for sentinel in watched.sentinels:
        sentinel.kill()
    until(lambda: ask.agent.log().count("sentinel cannot be used") >= 3,
          "the lines")
    watched.servers[0].cmd("HSET", "routes", "a.example", U)
    comes(ask, "a.example", U)
    watched.servers[0].cmd("CLIENT", "KILL", "TYPE", "normal")
    watched.servers[0].cmd("HSET", "routes", "a.example", V)
    comes(ask, "a.example", V)


def test_sentinels_come_later(ask, redis):
    redis.cmd("HSET", "routes", "a.example", T)
    sentinel = kit.Sentinel(redis.binary, redis.port, start=False)
    with sentinel:
        ask.start(f"redis-sentinel://127.0.0.1:{sentinel.port}/{NAME}")
        assert ask("a.example").status == "unavailable"
        until(lambda: "no sentinel names the master" in ask.agent.log(),
              "the line")
        sentinel.start()
        comes(ask, "a.example", T)


def test_unknown_master(ask, watched):
    watched.servers[0].cmd("HSET", "routes", "a.example", T)
    ask.start(f"redis-sentinel://{watched.where}/nobody")
    until(lambda: ask.agent.log().count(
        "sentinel knows no such master") == 3, "the line of each")
    assert ask("a.example").status == "unavailable"
    assert "master=nobody" in ask.agent.log()


def test_passwords_and_database(ask, redis_binary, tmp_path):
    """One for the servers, one for the sentinels."""
    (tmp_path / "server").write_text("for-servers\n")
    (tmp_path / "sentinel").write_text("for-sentinels\n")
    with kit.Redis(binary=redis_binary) as server, kit.Sentinel(
            redis_binary, server.port, lines=[
                f"sentinel auth-pass {NAME} for-servers",
                "requirepass for-sentinels"]) as sentinel:
        server.cmd("CONFIG", "SET", "requirepass", "for-servers")
        server.password = "for-servers"
        server.cmd("-n", "3", "HSET", "routes", "a.example", T)
        where = f"redis-sentinel://{{}}127.0.0.1:{sentinel.port}/{NAME}?db=3"
        files = ("--redis-password-file", tmp_path / "server",
                 "--sentinel-password-file", tmp_path / "sentinel")
        ask.start(where.format(""), options=files)
        comes(ask, "a.example", T)
        ask.peer.close()
        ask.agent.stop()
        ask.start(where.format(":for-servers@"), env={
            "SENTINEL_PASSWORD": "for-sentinels"})
        comes(ask, "a.example", T)
        ask.peer.close()
        ask.agent.stop()
        ask.start(where.format(":for-servers@"))
        until(lambda: "sentinel cannot be used" in ask.agent.log() and
              "NOAUTH" in ask.agent.log(), "the line")
        assert ask("a.example").status == "unavailable"
        assert "for-se" not in ask.agent.log()


def test_tls(ask, tmp_path, redis_binary):
    """rediss-sentinel: to the sentinels and to the server."""
    if b"SSL_CTX_new" not in open(kit.agent.binary(), "rb").read():
        pytest.skip("an agent without TLS")
    tmp_path.chmod(0o755)
    authority = Authority(tmp_path)
    crt, key = authority.issue("server", "IP:127.0.0.1")
    secure = [f"tls-cert-file {crt}", f"tls-key-file {key}",
              f"tls-ca-cert-file {authority.ca}", "tls-auth-clients no",
              "tls-replication yes"]
    tls_port, sentinel_port = kit.free_port(), kit.free_port()
    options = [word for line in secure for word in
               ("--" + line.split()[0], line.split()[1])]
    with kit.Redis("--tls-port", str(tls_port), *options,
                   binary=redis_binary) as server, kit.Sentinel(
            redis_binary, tls_port,
            lines=[*secure, f"tls-port {sentinel_port}"]):
        server.cmd("HSET", "routes", "a.example", T)
        ask.start(f"rediss-sentinel://127.0.0.1:{sentinel_port}/{NAME}",
                  options=("--redis-ca", authority.ca))
        comes(ask, "a.example", T)
        assert server.cmd("CLIENT", "LIST").stdout.count(f":{tls_port} ") >= 2


def test_acl(ask, redis_binary):
    """The rights that docs/redis.md lists, with +role, are enough."""
    with kit.Redis(binary=redis_binary) as server, kit.Sentinel(
            redis_binary, server.port) as sentinel:
        server.cmd("ACL", "SETUSER", "router", "on", ">password", "~routes",
                   "resetchannels", "&__redis__:invalidate", "&routes:changed",
                   "-@all", "+hmget", "+select", "+subscribe", "+client|id",
                   "+client|tracking", "+client|trackinginfo", "+role")
        server.cmd("HSET", "routes", "a.example", T)
        where = f"127.0.0.1:{sentinel.port}/{NAME}"
        ask.start(f"redis-sentinel://router:password@{where}")
        up(ask)
        comes(ask, "a.example", T)
        server.cmd("ACL", "SETUSER", "router", "-role")
        server.cmd("CLIENT", "KILL", "TYPE", "normal")
        until(lambda: "ROLE refused" in ask.agent.log(), "the line")


def readme_rights():
    text = (kit.process.TOP / "docs/redis.md").read_text()
    line = next(line for line in text.splitlines() if "+sentinel|" in line)
    return line.split("SETUSER router", 1)[1].split()


RIGHTS_OF_SENTINEL = readme_rights()[2:]


@pytest.mark.parametrize("without", [None, *(
    right for right in RIGHTS_OF_SENTINEL if right[0] in "+&")])
def test_user_of_the_sentinels(ask, without):
    """The rights that docs/redis.md lists are enough, and each is needed: without
    it one is not asked, not told, or refused."""
    with kit.Redis() as server, kit.Sentinel(server.binary,
                                             server.port) as sentinel:
        server.cmd("HSET", "routes", "a.example", T)
        with Speaker(sentinel.where) as say:
            say("ACL", "SETUSER", *[right for right in (
                "router", *readme_rights()) if right != without])
            say("ACL", "LOG", "RESET")
        ask.start(f"redis-sentinel://127.0.0.1:{sentinel.port}/{NAME}"
                  "?read=replica",
                  options=("--sentinel-user", "router"),
                  env={"SENTINEL_PASSWORD": "password"})
        until(lambda: 'refused: NOPERM' in ask.agent.log() or
              ask("a.example").target == T, "an answer, or a refusal")

        def denied():
            with Speaker(sentinel.where) as say:
                flat = say("ACL", "LOG")
                return [line[line.index("object") + 1] for line in flat]
        if without:
            until(denied, "a refusal")
            assert set(denied()) == {without[1:]}
        else:
            comes(ask, "a.example", T)
            time.sleep(0.3)
            assert not denied()


# -- scripted ones ------------------------------------------------------------


class Liar(FakeRedis):
    """A sentinel: .master is (host, port), .epoch its configuration's."""

    def __init__(self, master, epoch=1):
        self.master, self.epoch, self.listeners = master, epoch, set()
        self.delay = 0
        super().__init__()

    def honest(self, words):
        if words[0] == "SENTINEL" and words[1].upper() == "MASTER":
            return array(*map(bulk, ("name", NAME, "config-epoch",
                                     str(self.epoch), "flags", "master")))
        if words[0] == "SENTINEL":
            time.sleep(self.delay)
            return array(bulk(self.master[0]), bulk(str(self.master[1])))
        if words[0] in ("SUBSCRIBE", "UNSUBSCRIBE"):
            (self.listeners.add if words[0] == "SUBSCRIBE"
             else self.listeners.discard)(self.here.link)
            return b"".join(array(bulk(words[0].lower()), bulk(name),
                                  b":1\r\n") for name in words[1:])
        return super().honest(words)

    def announce(self, channel="+switch-master"):
        for link in list(self.listeners):
            link.sendall(array(bulk("message"), bulk(channel), bulk(
                f"{NAME} 127.0.0.1 1 {self.master[0]} {self.master[1]}")))


class Master(FakeRedis):
    def __init__(self, target, role="master"):
        self.role = role
        super().__init__({"a.example": target})

    def honest(self, words):
        if words[0] == "ROLE":
            return array(bulk(self.role), b":0\r\n", array())
        if words[0] == "CLIENT":
            return b"-ERR unknown\r\n"
        return super().honest(words)


@pytest.fixture
def masters():
    with Master(T) as one, Master(U) as two:
        yield one, two


def url(*liars):
    return "redis-sentinel://%s/%s" % (
        ",".join(f"127.0.0.1:{liar.port}" for liar in liars), NAME)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0)])
def test_the_newest_configuration_counts(ask, masters, order):
    """Two that are cut off still name the old master, which still believes
    in itself."""
    liars = [Liar(masters[1].where, 7), Liar(masters[0].where, 5),
             Liar(masters[0].where, 5)]
    ask.start(url(*(liars[n] for n in order)), options=("--ttl", "100ms"))
    comes(ask, "a.example", U)
    time.sleep(0.5)
    assert ask("a.example").target == U
    for liar in liars:
        liar.close()


def test_announced(ask, masters):
    """One sentinel says so, and the new master serves in no time."""
    with Liar(masters[0].where) as one, Liar(masters[0].where) as two:
        ask.start(url(one, two), options=("--ttl", "1h"))
        comes(ask, "a.example", T)
        two.master, two.epoch = masters[1].where, 2
        two.announce()
        comes(ask, "a.example", U, 1)
        one.announce()  # which has not heard of it
        time.sleep(0.2)
        assert ask("a.example").target == U


def test_unsubscribes_only_what_it_subscribed(ask, masters):
    """Valkey 8.0 refuses the rest; and a sentinel that lets nobody listen is
    asked all the same."""
    with Liar(masters[0].where) as one:
        one.on("UNSUBSCRIBE", lambda words: [
            one.honest(words) if one.here.link in one.listeners else
            b"-NOSUB 'unsubscribe' command executed not in subscribed mode"
            b"\r\n"])
        ask.start(url(one), options=("--ttl", "100ms"))
        comes(ask, "a.example", T)
        until(lambda: one.named("UNSUBSCRIBE"), "a second question", 10)
        one.on("SUBSCRIBE", b"-NOPERM no\r\n")
        one.drop()
        one.master, one.epoch = masters[1].where, 2
        comes(ask, "a.example", U, 10)
        asked = len(one.named("SENTINEL"))
        until(lambda: len(one.named("SENTINEL")) > asked + 2, "again", 10)
        assert ask.agent.log().count("sentinel cannot be used") == 1


def test_promoted_before_it_is_switched(ask, masters):
    with Liar(masters[0].where) as one:
        ask.start(url(one), options=("--ttl", "1h"))
        comes(ask, "a.example", T)
        one.master, one.epoch = masters[1].where, 2
        one.announce("+promoted-slave")
        comes(ask, "a.example", U, 1)


def test_not_announced(ask, masters):
    """The message was lost: the next question finds it."""
    with Liar(masters[0].where) as one:
        ask.start(url(one), options=("--ttl", "100ms"))
        comes(ask, "a.example", T)
        one.master, one.epoch = masters[1].where, 2
        comes(ask, "a.example", U, 6)


def test_watched_anew(ask, masters):
    """SENTINEL REMOVE and MONITOR start again with epoch 0."""
    with Liar(masters[0].where, 9) as one:
        ask.start(url(one), options=("--ttl", "100ms"))
        comes(ask, "a.example", T)
        one.master, one.epoch = masters[1].where, 0
        comes(ask, "a.example", U, 6)


def test_a_replica_is_not_taken(ask, masters):
    masters[0].role = "slave"
    with Liar(masters[0].where) as one:
        ask.start(url(one))
        until(lambda: "not a master: slave" in ask.agent.log(), "the line")
        assert ask("a.example").status == "unavailable"
        masters[0].role = "master"
        comes(ask, "a.example", T)


def test_a_slow_sentinel_holds_nobody_up(ask, masters):
    with Liar(masters[0].where) as one, Liar(masters[0].where) as two, \
            Liar(masters[0].where) as three:
        one.delay = two.delay = 2
        start = time.monotonic()
        ask.start(url(one, two, three))
        comes(ask, "a.example", T)
        assert time.monotonic() - start < 1.5


NONSENSE = {
    "a word": b"+OK\r\n", "a number": b":1\r\n", "three": array(
        *map(bulk, "abcd")), "no port": array(bulk("h"), bulk("")),
    "port 0": array(bulk("h"), bulk("0")), "no host": array(
        bulk(""), bulk("1")), "long host": array(
        bulk("h" * 300), bulk("1")), "nil": array(bulk(None), bulk(None)),
    "error": b"-ERR x\r\n", "not RESP": b"hello\r\n"}


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense(ask, masters, name):
    """From one of two: the other one counts."""
    with Liar(masters[0].where) as one, Liar(masters[0].where) as two:
        one.on("SENTINEL", NONSENSE[name])
        ask.start(url(one, two))
        comes(ask, "a.example", T)
        until(lambda: "sentinel cannot be used" in ask.agent.log(), "a line")
        before = one.accepted
        time.sleep(0.6)
        assert one.accepted - before <= 2, "spaced"


def test_backup_behind_sentinel(ask, masters):
    """A plain server after it; taken back when the master is there."""
    with Liar(masters[0].where) as one:
        one.close()
        ask.start(url(one), masters[1].url, options=("--ttl", "100ms"))
        comes(ask, "a.example", U)
        one.open()
        comes(ask, "a.example", T)


def test_sentinel_that_dies_and_comes_back(ask, masters):
    with Liar(masters[0].where) as one:
        ask.start(url(one), options=("--ttl", "100ms"))
        comes(ask, "a.example", T)
        one.close()
        time.sleep(0.1)
        one.master, one.epoch = masters[1].where, 2
        one.open()
        comes(ask, "a.example", U)
