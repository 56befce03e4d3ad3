# SPDX-License-Identifier: MIT
"""Changes, at once: what Redis tells is live; what it cannot tell is too, a
--ttl later. With every Redis that is found, and with one that orders bytes."""

import collections
import contextlib
import random
import threading
import time

import pytest

import kit
from resp import (CLOSE, RESET, FakeRedis, Speaker, array, bulk, reset,
                  until)
from spop import Peer, question

T, U, V = "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"
LONG = ("--ttl", "1h", "--negative-ttl", "1h", "--lookup-timeout", "1s")
AT_ONCE = 1.0  # s: far below --ttl, and patient with a busy machine
UP = "redis tells of changes"
DOWN = "redis does not tell of changes"


def said(ask, line):
    return ask.agent.log().count(line)


def up(ask, times=1, seconds=5):
    until(lambda: said(ask, UP) >= times, f'"{UP}" {times} times', seconds)


def comes(ask, host, target, seconds=AT_ONCE):
    """Asks until that is the target; None stands for not_found."""
    def is_there():
        answer = ask(host)
        return answer.target == target and (
            target or answer.status == "not_found")
    until(is_there, f"{host} -> {target}", seconds)


def cached(ask, host, target):
    comes(ask, host, target)
    until(lambda: ask(host).source == "cache", f"{host} in the cache", 1)
    assert ask(host).target == target


# -- whatever writes the hash ------------------------------------------------


@pytest.fixture(scope="module")
def pair(redis_binary, start_agent):
    """A Redis and an agent that it tells of changes, with long lives."""
    with kit.Redis("--notify-keyspace-events", "",
                   binary=redis_binary) as redis:
        agent = start_agent("--redis", redis.url, *LONG)
        with Speaker(redis.where) as say, Peer(agent.where) as peer:
            def ask(host):
                return ask.peer.ask(host)
            ask.agent, ask.peer = agent, peer
            up(ask)
            yield ask, say
        agent.close()


H = "a.b.example"
PUT = f"HSET routes {H} {T}"
# first what is there, with its answer, then what is done, with its answer
WRITES = {
    "hset": (PUT, T, f"HSET routes {H} {U}", U),
    "hset of a new host": ("", None, PUT, T),
    "hset of a new host among others": (f"HSET routes x {U}", None, PUT, T),
    "hsetnx": ("", None, f"HSETNX routes {H} {T}", T),
    "hmset": (PUT, T, f"HMSET routes x {T} {H} {U}", U),
    "hdel": (PUT, T, f"HDEL routes {H}", None),
    "hdel with a wildcard": (f"{PUT} *.example {U}", T,
                             f"HDEL routes {H}", U),
    "del": (PUT, T, "DEL routes", None),
    "unlink": (PUT, T, "UNLINK routes", None),
    "flushall": (PUT, T, "FLUSHALL", None),
    "flushall async": (PUT, T, "FLUSHALL ASYNC", None),
    "flushdb": (PUT, T, "FLUSHDB", None),
    "rename away": (PUT, T, "RENAME routes old", None),
    "rename onto": (f"{PUT}\nHSET next {H} {U}", T, "RENAME next routes", U),
    "copy onto": (f"{PUT}\nHSET next {H} {U}", T,
                  "COPY next routes REPLACE", U),
    "move away": (PUT, T, "MOVE routes 1", None),
    "key expires": (PUT, T, "PEXPIRE routes 30", None),
    "key expired": (PUT, T, "PEXPIRE routes -1", None),
    "field expires": (PUT, T, f"HPEXPIRE routes 30 FIELDS 1 {H}", None),
    "field is leased": ("", None, f"HSETEX routes PX 60000 FIELDS 1 {H} {T}",
                        T),
    "field is taken": (PUT, T, f"HGETDEL routes FIELDS 1 {H}", None),
    "script": (PUT, T, "EVAL return(redis.call('HSET',KEYS[1],ARGV[1],"
               f"ARGV[2])) 1 routes {H} {U}", U),
    "transaction": (PUT, T, "MULTI\nDEL routes\n"
                    f"HSET routes {H} {U}\nEXEC", U),
    "another hash is stored": (f"{PUT}\nSADD s1 x", T,
                               f"SINTERSTORE routes none\nHSET routes {H} {U}",
                               U),
    "wildcard added": ("", None, f"HSET routes *.example {T}", T),
    "wildcard removed": (f"HSET routes *.example {T}", T,
                         "HDEL routes *.example", None),
    "wildcard changed": (f"HSET routes *.example {T}", T,
                         f"HSET routes *.example {U}", U),
    "closer wildcard added": (f"HSET routes *.example {T}", T,
                              f"HSET routes *.b.example {U}", U),
    "closer wildcard removed": (
        f"HSET routes *.example {T} *.b.example {U}", U,
        "HDEL routes *.b.example", T),
    "* added": ("", None, f"HSET routes * {T}", T),
    "* removed": (f"HSET routes * {T}", T, "HDEL routes *", None),
    "exact over wildcard": (f"HSET routes *.example {T}", T,
                            f"HSET routes {H} {U}", U),
}
LATER = {"field expires": "HPEXPIRE", "field is leased": "HSETEX",
         "field is taken": "HGETDEL"}  # commands that not every server has


@pytest.mark.parametrize("name", WRITES)
def test_writes(pair, name):
    ask, say = pair
    if name in LATER and not any(say("COMMAND", "INFO", LATER[name])):
        return print(f"{name}: this server has no {LATER[name]}")
    before, first, after, then = WRITES[name]
    say("FLUSHALL")
    for line in filter(None, before.split("\n")):
        say(*line.split())
    cached(ask, H, first)
    for line in after.split("\n"):
        say(*line.split())
    comes(ask, H, then)
    return cached(ask, H, then)


def test_wrong_type_and_back(pair):
    ask, say = pair
    say("DEL", "routes")
    say("HSET", "routes", H, T)
    cached(ask, H, T)
    say("SET", "routes", "text")
    until(lambda: ask(H).source == "stale", "known, but not to be asked")
    assert ask(H).target == T
    say("DEL", "routes")
    comes(ask, H, None)


@pytest.mark.parametrize("other", [
    "HSET routes2 {H} {U}", "HSET routes: {H} {U}", "SET route {U}",
    "DEL routes2", "PUBLISH routes2:changed *", "PUBLISH routes {H}",
    "HSET unrelated {H} {U}", "EXPIRE routes2 1", "HGETALL routes",
    "HDEL routes nobody"])
def test_nothing_else_disturbs(pair, other):
    """Keys that begin like ours are told too: no epoch for them."""
    ask, say = pair
    say.all([["DEL", "routes", "routes2"], ["HSET", "routes", H, T],
             ["HSET", "routes2", "x", "y"]])
    time.sleep(0.05)
    cached(ask, H, T)
    time.sleep(0.05)  # a re-read under way ends
    before = say.calls("hmget")
    say(*other.format(H=H, U=U).split())
    end = time.monotonic() + 0.15
    while time.monotonic() < end:
        assert (ask(H).target, ask(H).source) == (T, "cache")
    assert say.calls("hmget") == before


def test_unchanged_write_keeps_the_answer(pair):
    ask, say = pair
    say.all([["DEL", "routes"], ["HSET", "routes", H, T]])
    cached(ask, H, T)
    for _ in range(20):
        before = say.calls("hmget")
        say("HSET", "routes", H, T)
        assert ask(H).target == T
        until(lambda: say.calls("hmget") > before and
              ask(H).source == "cache", "read again, and fresh", AT_ONCE)
        assert ask(H).target == T


@pytest.mark.parametrize("message", [H, "*", f"x {H}  y", f" {H} ", "nobody",
                                     "x" * 20000, "\x00\xff y"])
def test_publish_makes_it_ask_again(pair, message):
    """Whoever wants may publish; a message of any shape costs one re-read."""
    ask, say = pair
    say.all([["DEL", "routes"], ["HSET", "routes", H, T]])
    cached(ask, H, T)
    time.sleep(0.05)
    before = say.calls("hmget")
    assert say("PUBLISH", "routes:changed", message) == 1
    until(lambda: say.calls("hmget") > before, "a re-read", AT_ONCE)
    cached(ask, H, T)


def test_transaction_of_many(pair):
    """Redis merges what was written into one push."""
    ask, say = pair
    hosts = [f"h{n}.example" for n in range(300)]
    for turn in range(4):
        want = [f"10.{turn}.{n // 250}.{n % 250 + 1}:80" for n in range(300)]
        say.all([["MULTI"], *(["HSET", "routes", h, t]
                              for h, t in zip(hosts, want)), ["EXEC"]])
        until(lambda: [a.target for a in ask.peer.ask_all(hosts)] == want,
              "all of them", AT_ONCE)
    until(lambda: {a.source for a in ask.peer.ask_all(hosts)} == {"cache"},
          "read again in the background", AT_ONCE)


def test_many_writers(pair):
    """Several clients at once, while others ask: no change is missed."""
    ask, say = pair
    say("DEL", "routes")
    hosts = [[f"w{w}-h{n}.example" for n in range(20)] for w in range(6)]
    every = [host for group in hosts for host in group]
    want, where, stop = {}, say.sock.getpeername(), threading.Event()
    wrong = []

    def write(group, seed):
        draw = random.Random(seed)
        with Speaker(where) as mine:
            for _ in range(150):
                host = draw.choice(group)
                if draw.random() < 0.2:
                    want[host] = None
                    mine("HDEL", "routes", host)
                else:
                    want[host] = f"10.{draw.randrange(256)}.0.9:80"
                    mine("HSET", "routes", host, want[host])

    def read():
        with Peer(ask.agent.where) as peer:
            while not stop.is_set():
                wrong.extend(a for a in peer.ask_all(every)
                             if a.status not in ("ok", "not_found"))

    threads = [threading.Thread(target=write, args=(group, seed))
               for seed, group in enumerate(hosts)]
    reader = threading.Thread(target=read)
    for thread in [reader, *threads]:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: [a.target for a in ask.peer.ask_all(every)] ==
          [want.get(host) for host in every], "the end state", AT_ONCE)
    stop.set()
    reader.join()
    assert not wrong


def test_each_change_is_seen(pair):
    """One change after the other, each asked for until it is live."""
    ask, say = pair
    say.all([["DEL", "routes"], ["HSET", "routes", H, T]])
    cached(ask, H, T)
    for n in range(300):
        want = f"10.1.{n // 250}.{n % 250 + 1}:80"
        say("HSET", "routes", H, want)
        comes(ask, H, want)


# -- a Redis that orders the bytes --------------------------------------------


class TellingRedis(FakeRedis):
    """A FakeRedis that tells of changes as Redis does, when a test says so.

    `subscribers` and `trackers` map links to their channels and to whom they
    redirect. A link in `mute` is answered nothing more: half open.
    """

    def __init__(self, routes=None, where=("127.0.0.1", 0)):
        self.ids, self.subscribers = {}, {}
        self.trackers, self.mute = {}, set()
        super().__init__(routes, where)

    def pieces(self, words):
        link = self.here.link
        if link in self.mute:
            return []
        return super().pieces(words)

    def honest(self, words):
        link = self.here.link
        number = self.ids.setdefault(link, len(self.ids) + 7)
        if words[0] == "SUBSCRIBE":
            channels = self.subscribers.setdefault(link, [])
            if words[1] not in channels:
                channels.append(words[1])
            return array(bulk("subscribe"), bulk(words[1]),
                         b":%d\r\n" % len(channels))
        if words[0] != "CLIENT":
            return super().honest(words)
        verb = words[1].upper()
        if verb == "ID":
            return b":%d\r\n" % number
        if verb == "TRACKINGINFO":
            to = self.trackers.get(link)
            flags = ["on", "bcast"] if to else ["off"]
            if to and not self.link_of(to):
                flags.append("broken_redirect")
            return array(bulk("flags"), array(*map(bulk, flags)),
                         bulk("redirect"), b":%d\r\n" % (to or -1),
                         bulk("prefixes"), array(bulk("routes")))
        if verb == "TRACKING" and words[2].upper() == "OFF":
            self.trackers.pop(link, None)
            return b"+OK\r\n"
        assert words[3:4] + words[5:] == ["REDIRECT", "BCAST", "PREFIX",
                                          "routes"], words
        if link in self.trackers:
            return b"-ERR You can't switch BCAST mode on/off before\r\n"
        if not self.link_of(int(words[4])):
            return b"-ERR The client ID you want redirect to does not exist\r\n"
        self.trackers[link] = int(words[4])
        return b"+OK\r\n"

    def link_of(self, number):
        return next((link for link, its in self.ids.items()
                     if its == number and link in self.links), None)

    def subscriber(self):
        """The link that is told of changes, if there is one now."""
        for link, to in list(self.trackers.items()):
            if link in self.links and self.link_of(to):
                return self.link_of(to)
        return None

    def tracker(self):
        return next(link for link in self.trackers if link in self.links)

    def push(self, keys=("routes",)):
        """Says that keys were written; None stands for all."""
        told = array(*map(bulk, keys)) if keys is not None else b"*-1\r\n"
        self.tell("__redis__:invalidate", told)

    def publish(self, text):
        self.tell("routes:changed", bulk(text))

    def tell(self, channel, what):
        link = self.subscriber()
        if link and link not in self.mute:
            link.sendall(array(bulk("message"), bulk(channel), what))

    def change(self, host, target):
        """As HSET does: the change, and word of it."""
        self.routes[host] = target
        self.push()


@pytest.fixture
def fake():
    with TellingRedis({"a.example": T, "*.wild.example": T}) as found:
        yield found


@pytest.fixture
def second():
    with TellingRedis({"a.example": V}) as found:
        yield found


def test_what_the_agent_says_to_redis(ask, fake):
    ask.start(fake.url, options=LONG)
    up(ask)
    fake.change("a.example", U)
    cached(ask, "a.example", U)
    assert {tuple(c) for c in fake.subscribers.values()} == {
        ("__redis__:invalidate", "routes:changed")}
    assert ["CLIENT", "TRACKING", "OFF"] in fake.commands
    assert fake.accepted == 2


def test_subscriber_lost_while_tracking_is_asked_for(ask, fake):
    """The late refusal was for the subscriber who is gone, not for the next
    one, which is not to wait for what follows a refusal."""
    held = []

    def client(words):
        if words[1:3] != ["TRACKING", "ON"] or held:
            return [fake.honest(words)]
        held.append(words)
        return [0.8, b"-ERR The client ID you want redirect to does not "
                b"exist\r\n"]
    fake.on("CLIENT", client)
    ask.start(fake.url, options=LONG)
    until(lambda: held, "tracking to be asked for")
    gone = next(iter(fake.subscribers))
    reset(gone)
    up(ask, seconds=7)
    fake.change("a.example", U)
    cached(ask, "a.example", U)


def test_tracking_comes_before_the_first_question(ask, fake):
    """Else a change between the two would not be told."""
    fake.on("HMGET", lambda words: [0.003, fake.honest(words)])
    ask.start(fake.url, options=LONG)
    until(lambda: ask("a.example").target == T, "an answer")
    words = [(w[0], *w[1:3]) for w in fake.commands]
    assert words.index(("CLIENT", "TRACKING", "ON")) < next(
        i for i, w in enumerate(fake.commands)
        if w[0] == "HMGET" and w[2:] != ["*"])


@pytest.mark.parametrize("keys, told", [
    (["routes"], True), (None, True), (["routes2", "routes"], True),
    (["routes2"], False), (["routes:x", "routesx"], False), ([], False)])
def test_keys_that_are_told(ask, fake, keys, told):
    ask.start(fake.url, options=LONG)
    up(ask)
    cached(ask, "a.example", T)
    fake.routes["a.example"] = U
    asked = len(fake.lookups)
    fake.push(keys)
    if told:
        cached(ask, "a.example", U)
    else:
        time.sleep(0.1)
        assert ask("a.example").target == T
        assert len(fake.lookups) == asked


def delayed(fake, host):
    """Keeps the next reply about host back, as it was when it was asked
    for; returns the event that lets it go, and one that says it is held."""
    go, held = threading.Event(), threading.Event()
    honest, left = fake.honest, [True]

    def hold(words):
        reply = honest(words)
        if host in words and left:
            left.clear()
            held.set()
            go.wait(10)
        return [reply]
    fake.on("HMGET", hold)
    return go, held


@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize("how", ["push", "named", "all named"])
def test_push_overtakes_the_reply(ask, fake, how, joined):
    """What Redis had read before the change comes after the word of it: it
    is neither kept nor told to those who asked later."""
    ask.start(fake.url, options=LONG)
    up(ask)
    cached(ask, "a.example", T)
    go, held = delayed(fake, "x.example")
    fake.routes["x.example"] = T
    ask.peer.send(question("x.example", 900))
    assert held.wait(5)
    fake.routes["x.example"] = U
    if how == "push":
        fake.push()
    else:
        fake.publish("x.example" if how == "named" else "*")
    time.sleep(0.1)  # the word is read; only the reply is late
    if joined:
        ask.peer.send(question("x.example", 901))
        time.sleep(0.05)
    go.set()
    acks = sorted(ask.peer.frames(1 + joined), key=lambda ack: ack.stream)
    assert acks[0].answer().target in (T, U)
    assert acks[-1].answer().target == U or not joined
    for _ in range(50):
        assert ask("x.example").target == U


def test_push_overtakes_a_reread(ask, fake):
    """The same for what is read again in the background."""
    ask.start(fake.url, options=LONG)
    up(ask)
    cached(ask, "a.example", T)
    go, held = delayed(fake, "a.example")
    fake.change("a.example", U)
    assert held.wait(5)
    fake.change("a.example", V)
    time.sleep(0.1)
    go.set()
    until(lambda: fake.lookups[-2:] == [["a.example"]] * 2, "read twice")
    cached(ask, "a.example", V)


def test_push_follows_the_reply_closely(ask, fake):
    """Reply, then word of a change, in the same breath; and again."""
    ask.start(fake.url, options=LONG)
    up(ask)
    for n in range(100):
        host, old, new = f"h{n}.example", T, U
        fake.routes[host] = old

        def answer(words, host=host, new=new):
            reply = fake.honest(words)
            if host in words and fake.routes[host] != new:
                threading.Thread(target=fake.change,
                                 args=(host, new)).start()
            return [reply]
        fake.on("HMGET", answer)
        assert ask(host).target in (old, new)
        comes(ask, host, new)


def test_named_first(ask, fake):
    """Of many hosts that may have changed the named one is read first."""
    hosts = [f"h{n}.example" for n in range(1000)]
    fake.routes.update((host, T) for host in hosts)
    ask.start(fake.url, options=LONG)
    up(ask)
    ask.peer.ask_all(hosts)
    time.sleep(0.1)
    asked = len(fake.lookups)
    fake.routes["h777.example"] = U
    fake.publish("h777.example nobody.example h3.example")
    until(lambda: len(fake.lookups) > asked + 10, "the sweep")
    places = {host: next(i for i, fields in enumerate(fake.lookups[asked:])
                         if host in fields)
              for host in ("h777.example", "h3.example")}
    assert max(places.values()) <= 1, places
    assert ask("h777.example").target == U
    until(lambda: {a.source for a in ask.peer.ask_all(hosts)} == {"cache"},
          "the sweep still covers all", AT_ONCE)


def test_steady_writes_do_not_starve_the_sweep(ask, fake):
    """Every host is read again in the background, though each write begins
    a new epoch before the last one's sweep is over."""
    hosts = {f"h{n}.example" for n in range(1000)}
    fake.routes.update((host, T) for host in hosts)
    ask.start(fake.url, options=LONG)
    up(ask)
    ask.peer.ask_all(list(hosts))
    time.sleep(0.2)
    asked, end = len(fake.lookups), time.monotonic() + 5
    while not hosts <= set().union(*fake.lookups[asked:]):
        assert time.monotonic() < end, "some were not read again"
        fake.push()
        time.sleep(0.005)


def test_a_named_host_hides_no_other(ask, fake):
    """A message names one field; another writer's push was merged away."""
    ask.start(fake.url, options=LONG)
    up(ask)
    cached(ask, "a.example", T)
    fake.routes["a.example"] = U
    fake.publish("somebody.else")
    comes(ask, "a.example", U)


def test_push_while_connecting_again(ask, fake):
    """Changed between two connections, when nobody could be told."""
    ask.start(fake.url, options=LONG)
    up(ask)
    for n, target in enumerate([U, V, T, U], 2):
        cached(ask, "a.example", ask("a.example").target)
        fake.shut()
        fake.drop()
        fake.routes["a.example"] = target
        time.sleep(0.05)
        fake.open()
        up(ask, n)
        comes(ask, "a.example", target)
        cached(ask, "a.example", target)


@pytest.mark.parametrize("late", ["ID", "ON", "SUBSCRIBE"])
def test_changed_while_the_channel_comes_up(ask, fake, late):
    """The greeting takes its time, answers go out meanwhile, and what is
    written then is not told: it is asked for once more when it is up."""
    def slow(words):
        reply = fake.honest(words)
        return [0.3, reply] if late in words[:3] else [reply]
    fake.on("SUBSCRIBE" if late == "SUBSCRIBE" else "CLIENT", slow)
    ask.start(fake.url, options=LONG)
    until(lambda: ask("a.example").target == T, "an answer")
    if not said(ask, UP):
        fake.routes["a.example"] = U
        fake.push()
    else:
        fake.change("a.example", U)
    up(ask)
    comes(ask, "a.example", U)


# -- nothing is told any more --------------------------------------------------


def within_ttl(ask, fake, ttl, host="a.example"):
    """A change that nobody tells of is seen no later than --ttl."""
    for target in U, V:
        # a first answer may come too late for --lookup-timeout
        cached(ask, host, until(lambda: ask(host).target, "an answer"))
        fake.routes[host] = target
        comes(ask, host, target, ttl + 0.7)


@pytest.mark.parametrize("which", ["subscriber", "tracker", "both"])
def test_half_open(ask, fake, which):
    """No FIN, no RST, no word: found out by asking, within --ttl."""
    ask.start(fake.url, options=("--ttl", "1200ms"))
    up(ask)
    cached(ask, "a.example", T)
    if which != "tracker":
        fake.mute.add(fake.subscriber())
    if which != "subscriber":
        fake.mute.add(fake.tracker())
    fake.routes["a.example"] = V
    start = time.monotonic()
    comes(ask, "a.example", V, 1.2 + 0.8)
    up(ask, 2)
    print(f"{which}: seen after {time.monotonic() - start:.3f} s")
    assert said(ask, DOWN) == 1
    fake.change("a.example", T)
    comes(ask, "a.example", T)


def test_silent_subscriber_for_long(ask, fake):
    """It connects and is never confirmed: --ttl counts, one line says so."""
    fake.on("SUBSCRIBE")
    ask.start(fake.url, options=("--ttl", "300ms"))
    until(lambda: said(ask, DOWN), "the line")
    within_ttl(ask, fake, 0.3)
    time.sleep(0.5)
    assert said(ask, DOWN) == 1 and not said(ask, UP)
    assert fake.accepted < 20
    fake.forget("SUBSCRIBE")
    up(ask)
    fake.change("a.example", T)
    comes(ask, "a.example", T)


REFUSALS = {
    "client": ("CLIENT", lambda words: True, "ERR unknown command 'CLIENT'"),
    "tracking": ("CLIENT", lambda words: words[1] == "TRACKING", "ERR Unknown "
                 "subcommand or wrong number of arguments for 'TRACKING'"),
    "tracking on": ("CLIENT", lambda words: words[1:3] == ["TRACKING", "ON"],
                    "ERR syntax error"),
    "not in a proxy": ("CLIENT", lambda words: words[1] == "ID",
                       "ERR unsupported command"),
    "subscribe": ("SUBSCRIBE", lambda words: True,
                  "ERR unknown command 'SUBSCRIBE'"),
    "channel": ("SUBSCRIBE", lambda words: "changed" in words[1], "NOPERM "
                "this user has no permissions to access one of the channels "
                "used as arguments"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_server_that_cannot_tell(ask, fake, name):
    command, refuses, error = REFUSALS[name]
    fake.on(command, lambda words: [f"-{error}\r\n".encode()]
            if refuses(words) else [fake.honest(words)])
    ask.start(fake.url, options=("--ttl", "300ms"))
    until(lambda: said(ask, DOWN), "the line")
    within_ttl(ask, fake, 0.3)
    time.sleep(0.5)
    assert said(ask, DOWN) == 1 and not said(ask, UP)
    assert error.split("'")[0][:20] in ask.agent.log()
    assert fake.accepted <= 3
    assert "redis lost" not in ask.agent.log(), "the lookups go on"
    fake.forget(command)
    fake.drop()  # a new server, perhaps: asked again at once
    up(ask)


def test_trackinginfo_is_newer_than_tracking(ask, fake):
    """Redis 6.0 tracks and has no TRACKINGINFO."""
    fake.on("CLIENT", lambda words: [b"-ERR Unknown subcommand\r\n"]
            if words[1] == "TRACKINGINFO" else [fake.honest(words)])
    ask.start(fake.url, options=("--ttl", "300ms"))
    up(ask)
    time.sleep(0.7)
    assert not said(ask, DOWN)
    fake.change("a.example", U)
    comes(ask, "a.example", U, 0.2)


@pytest.mark.parametrize("flags", [["off"], ["on", "bcast",
                                             "broken_redirect"]])
def test_tracking_that_ended_unheard(ask, fake, flags):
    """Both connections live, and Redis no longer tells: TRACKINGINFO does."""
    ask.start(fake.url, options=("--ttl", "1s"))
    up(ask)
    cached(ask, "a.example", T)
    fake.routes["a.example"] = U
    left = [True]
    fake.on("CLIENT", lambda words: [array(
        bulk("flags"), array(*map(bulk, flags)), bulk("redirect"), b":-1\r\n",
        bulk("prefixes"), b"*0\r\n")] if words[1] == "TRACKINGINFO"
        and left and not left.clear() else [fake.honest(words)])
    comes(ask, "a.example", U, 1.7)
    up(ask, 2)
    assert said(ask, DOWN) == 1
    fake.change("a.example", T)
    comes(ask, "a.example", T)


@pytest.mark.parametrize("piece", [
    b"+OK\r\n", b"*0\r\n", b"*-1\r\n", b"$-1\r\n", b":5\r\n",
    b"-ERR max number of clients reached\r\n", b"*3\r\n:1\r\n:2\r\n:3\r\n",
    b"*3\r\n$7\r\nmessage\r\n$-1\r\n$-1\r\n", b"HTTP/1.1 400\r\n",
    b"*2147483647\r\n" + b"x" * 99, b"*4\r\n" + bulk("pmessage") * 4,
    array(bulk("message"), bulk("__redis__:invalidate"), array(b":1\r\n")),
    array(bulk("message"), bulk("__redis__:invalidate"), array(b"*-1\r\n")),
    array(bulk("message"), bulk("routes:changed"), b"*-1\r\n"),
    array(bulk("message"), bulk("routes:changed"), bulk(b"\xff\x00 " * 99)),
    array(bulk("message"), bulk("routes:changed"), bulk("x" * 300000)),
    array(bulk("message"), bulk("routes:changed"), bulk("a " * 7000)),
    array(bulk("message"), bulk("elsewhere"), bulk("x")),
    array(bulk("unsubscribe"), bulk("routes:changed"), b":1\r\n"),
    b"*3\r\n" + bulk("message"), CLOSE, RESET],
    ids=lambda piece: repr(piece[:99])[2:30])
def test_nonsense_on_the_subscriber(ask, fake, piece):
    """Whatever comes: right answers, and the channel is up in the end."""
    ask.start(fake.url, options=("--ttl", "1s"))
    up(ask)
    cached(ask, "a.example", T)
    link = fake.subscriber()
    if isinstance(piece, bytes):
        link.sendall(piece)
    else:
        link.shutdown(2)
    time.sleep(0.05)
    assert ask("a.example").target == T
    fake.change("a.example", U)
    comes(ask, "a.example", U, 1.7)

    def told():
        target = random.choice([T, U, V])
        fake.change("a.example", target)
        with contextlib.suppress(AssertionError):
            comes(ask, "a.example", target, 0.15)
            return True
    until(told, "changes are told again", 5)
    assert ask.agent.running


# -- cut by the real ones -------------------------------------------------------


def kill(say, kind):
    """CLIENT KILL of all connections of a kind but our own."""
    for each in ("normal", "pubsub") if kind == "both" else (kind,):
        say("CLIENT", "KILL", "TYPE", each, "SKIPME", "yes")


@pytest.mark.parametrize("kind", ["pubsub", "normal", "both"])
def test_client_kill(ask, server, say, kind):
    """--ttl is an hour: only a new epoch can show what changed meanwhile."""
    say("HSET", "routes", "a.example", T)
    ask.start(server.url, options=LONG)
    up(ask)
    for n in range(2, 5):
        cached(ask, "a.example", ask("a.example").target)
        want = f"10.9.0.{n}:80"
        kill(say, kind)
        say("HSET", "routes", "a.example", want)
        comes(ask, "a.example", want, 3)
        up(ask, n)
        want = f"10.9.1.{n}:80"
        say("HSET", "routes", "a.example", want)
        comes(ask, "a.example", want)
    assert said(ask, DOWN) == 3


def test_ten_restarts(ask, redis_binary):
    """One change after each: seen within 2 s of Redis being back."""
    took = []
    with kit.Redis(binary=redis_binary) as server:
        server.cmd("HSET", "routes", "a.example", T)
        ask.start(server.url, options=LONG)
        up(ask)
        cached(ask, "a.example", T)
        for n in range(10 if redis_binary == kit.redis_binaries()[0] else 3):
            server.kill()
            assert ask("a.example").status == "ok"
            want = f"10.8.0.{n + 1}:80"
            server.start()
            back = time.monotonic()
            with Speaker(server.where) as say:
                say("HSET", "routes", "a.example", want)
            comes(ask, "a.example", want, 2)
            took.append(time.monotonic() - back)
    print(f"seen after {max(took) * 1000:.0f} ms at the latest")


ACLS = {  # what the user may do -> is the channel up with it?
    "all": ("+@all allchannels", True),
    "what the manual says": (
        "resetchannels &__redis__:invalidate &routes:changed -@all +hmget"
        " +select +subscribe +client|id +client|tracking"
        " +client|trackinginfo", True),
    "no channels": ("+@all resetchannels", False),
    "one channel": ("+@all resetchannels &__redis__:invalidate", False),
    "the other channel": ("+@all resetchannels &routes:changed", False),
    "no client": ("+@all -client allchannels", False),
    "no tracking": ("+@all -client|tracking allchannels", False),
    "no id": ("+@all -client|id allchannels", False),
    "no subscribe": ("+@all -subscribe allchannels", False),
    "hmget alone": ("+hmget", False),
}


@pytest.mark.parametrize("name", ACLS)
def test_acl(ask, server, say, name):
    """A user who may not be told is served by --ttl alone, without a storm
    of connections or of lines; once allowed it is told."""
    rules, works = ACLS[name]
    say("ACL", "SETUSER", "bob", "on", ">pw", "~routes", *rules.split())
    say("HSET", "routes", "a.example", T)
    before = int(info(say, "total_connections_received"))
    ask.start(f"redis://bob:pw@127.0.0.1:{server.port}",
              options=("--ttl", "300ms"))
    until(lambda: said(ask, UP if works else DOWN), "the line")
    for n in range(2):
        want = f"10.7.0.{n + 1}:80"
        cached(ask, "a.example", ask("a.example").target)
        say("HSET", "routes", "a.example", want)
        comes(ask, "a.example", want, 0.2 if works else 0.8)
    time.sleep(0.2)
    assert (said(ask, UP), said(ask, DOWN)) == ((1, 0) if works else (0, 1))
    received = int(info(say, "total_connections_received")) - before
    assert received <= 3
    say("ACL", "SETUSER", "bob", "+@all", "allchannels")
    kill(say, "both")
    up(ask, 2 if works else 1)


def test_acl_without_trackinginfo(ask, server, say):
    """Allowed to track, not to ask whether it does: either it is up or it is
    not, but it does not come and go."""
    say("ACL", "SETUSER", "bob", "on", ">pw", "~routes", "allchannels",
        "+@all", "-client|trackinginfo")
    ask.start(f"redis://bob:pw@127.0.0.1:{server.port}",
              options=("--ttl", "300ms"))
    time.sleep(1.5)
    assert said(ask, UP) <= 1 and said(ask, DOWN) <= 1, ask.agent.log()


def info(say, key):
    return next(line.split(":")[1] for line in say("INFO").splitlines()
                if line.startswith(f"{key}:"))


@pytest.mark.parametrize("url, database", [
    ("redis://127.0.0.1:{port}/5", 5), ("unix:{socket}", 0),
    ("redis://me:p%40ss@localhost:{port}", 0), ("unix:{socket}?db=7", 7)])
def test_urls(ask, redis, url, database):
    """The subscriber greets as the other connection does."""
    redis.cmd("ACL", "SETUSER", "me", "on", ">p@ss", "+@all", "~*", "&*")
    ask.start(url.format(port=redis.port, socket=redis.socket), options=LONG)
    up(ask)
    for value in T, U:
        redis.cmd("-n", str(database), "HSET", "routes", "a.example", value)
        cached(ask, "a.example", value)


@pytest.mark.parametrize("key", ["my:{routes} *?", "k" * 5000],
                         ids=["odd", "long"])
def test_another_key(ask, redis, key):
    ask.start(redis.url, options=(*LONG, "--routes", key))
    up(ask)
    with Speaker(redis.where) as say:
        say("HSET", key, "a.example", T)
        cached(ask, "a.example", T)
        time.sleep(0.05)
        before = say.calls("hmget")
        assert say("PUBLISH", f"{key}:changed", "a.example") == 1
        until(lambda: say.calls("hmget") > before, "a re-read", AT_ONCE)
        say("RENAME", key, "other")
        comes(ask, "a.example", None)


# -- two servers --------------------------------------------------------------


def test_failover_and_take_back(ask, fake, second):
    """Only the server that serves is listened to."""
    fake.routes["a.example"] = T
    ask.start(fake.url, second.url, options=LONG)
    up(ask)
    cached(ask, "a.example", T)
    old = fake.subscriber()
    fake.on("HMGET", b"-LOADING x\r\n")
    fake.push()  # so that it asks and is refused
    comes(ask, "a.example", V, 5)
    up(ask, 2)
    until(lambda: old not in fake.links, "the old subscriber is gone")
    second.change("a.example", U)
    comes(ask, "a.example", U)
    time.sleep(0.1)
    asked = len(second.lookups)
    with contextlib.suppress(OSError):  # whoever is still there hears it
        for link in list(fake.links):
            link.sendall(array(bulk("message"), bulk("routes:changed"),
                               bulk("*")))
    time.sleep(0.1)
    assert len(second.lookups) == asked and ask("a.example").target == U
    fake.forget("HMGET")
    fake.routes["a.example"] = T
    comes(ask, "a.example", T, 5)
    up(ask, 3)
    until(lambda: not second.links, "the backup is left")
    cached(ask, "a.example", T)
    second.routes["a.example"] = V
    second.push()
    assert ask("a.example").target == T
    fake.change("a.example", U)
    comes(ask, "a.example", U)
    assert said(ask, DOWN) <= 2


def test_failover_of_real_ones(ask, redis_binary):
    with kit.Redis(binary=redis_binary) as first, \
            kit.Redis(binary=redis_binary) as backup, \
            Speaker(backup.where) as spare:
        first.cmd("HSET", "routes", "a.example", T)
        spare("HSET", "routes", "a.example", U)
        ask.start(first.url, backup.url, options=LONG)
        up(ask)
        cached(ask, "a.example", T)
        first.kill()
        comes(ask, "a.example", U, 3)
        up(ask, 2)
        spare("HSET", "routes", "a.example", V)
        comes(ask, "a.example", V)
        first.start()
        first.cmd("HSET", "routes", "a.example", T)
        comes(ask, "a.example", T, 5)
        up(ask, 3)
        cached(ask, "a.example", T)
        before = int(first.info("total_commands_processed"))
        spare("HSET", "routes", "a.example", U)
        time.sleep(0.1)
        assert ask("a.example").target == T
        assert int(first.info("total_commands_processed")) - before < 5
        first.cmd("HSET", "routes", "a.example", V)
        comes(ask, "a.example", V)


def test_lives_are_long_only_while_told(ask, fake):
    """--ttl 600 ms: not asked again while told of changes, and within it
    otherwise, also for what was read before."""
    ask.start(fake.url, options=("--ttl", "600ms"))
    up(ask)
    cached(ask, "a.example", T)
    asked = len(fake.lookups)
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        assert ask("a.example").source == "cache"
        time.sleep(0.01)
    assert len(fake.lookups) - asked <= 1
    fake.on("SUBSCRIBE")
    fake.on("CLIENT", b"-ERR no\r\n")
    fake.subscriber().shutdown(2)
    until(lambda: said(ask, DOWN), "down")
    fake.routes["a.example"] = U
    comes(ask, "a.example", U, 0.6 + 0.4)
