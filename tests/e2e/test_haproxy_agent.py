# SPDX-License-Identifier: MIT
"""What clients of HAProxy see when the agent closes, hangs, dies or restarts."""

import contextlib
import time
from collections import Counter

import pytest

import kit
from faults import Crew
from resp import until

HOST = "app1.example"
AT_ONCE = 1.0  # seconds; three tries of "timeout processing" are 0.6


class Load(Crew):
    """Clients that ask without pause, each over a connection of its own.

        with Load(haproxy, HOST) as load:
            ...
        assert load.seen == {200: load.total}
    """

    def __init__(self, haproxy, host, clients=4, pause=0.002):
        self.haproxy, self.host, self.pause = haproxy, host, pause
        self.seen, self.worst, self.strange = Counter(), 0.0, []
        super().__init__(self.run, [()] * clients)

    def warm_up(self):
        self.more(50)

    @property
    def total(self):
        return sum(self.seen.values())

    def more(self, count):
        """Waits until so many more requests were answered."""
        goal = self.total + count
        until(lambda: self.total >= goal or self.strange,
              f"{count} more requests", 20)

    def run(self):
        try:
            with self.haproxy.client() as client:
                while not self.ended.wait(self.pause):
                    start = time.monotonic()
                    self.seen[client.ask(self.host).status] += 1
                    self.worst = max(self.worst, time.monotonic() - start)
        except Exception as wrong:  # a cut connection, say: the test tells
            self.strange.append(wrong)
            self.seen[repr(wrong)] += 1


@contextlib.contextmanager
def at_once(seconds=AT_ONCE):
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


def took(haproxy):
    """Seconds that one request takes."""
    start = time.monotonic()
    haproxy.ask(HOST)
    return time.monotonic() - start


def check_no_agent(reply):
    assert (reply.status, reply.body) == (
        503, b"503 no answer about this host\n")
    assert reply.headers["retry-after"] == "1"


@pytest.fixture
def scripted(worker):
    with kit.ScriptedAgent({HOST: kit.ok(worker.target)}) as agent:
        yield agent


@pytest.fixture
def haproxy(haproxy_binary, scripted):
    with kit.HAProxy(haproxy_binary, scripted) as found:
        assert found.ask(HOST).worker == "app1"
        yield found


@pytest.fixture
def real(redis, start_agent, worker):
    redis.cmd("HSET", "routes", HOST, worker.target)
    # patient, since a busy machine may keep Redis waiting; HAProxy asks again
    return start_agent("--redis", redis.url, "--lookup-timeout", "2s")


@pytest.fixture
def routed(haproxy_binary, real):
    """HAProxy with the real agent."""
    with kit.HAProxy(haproxy_binary, real) as found:
        assert found.ask(HOST).worker == "app1"
        yield found


# -- one question -----------------------------------------------------------


def test_one_question_a_request(haproxy, scripted):
    scripted.asked.clear()
    with haproxy.client() as client:
        for _ in range(10):
            assert client.ask(HOST).status == 200
            assert client.ask("nobody.example").status == 404
    assert scripted.asked == [HOST, "nobody.example"] * 10


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("end", [kit.CLOSE, kit.RESET])
def test_closed_in_place_of_an_answer(haproxy, scripted, end, times):
    scripted.asked.clear()
    scripted.script += [end] * times
    with at_once():
        reply = haproxy.ask(HOST, "/again")
    assert (reply.status, reply.worker) == (200, "app1")
    assert scripted.asked == [HOST] * (times + 1)
    assert haproxy.line("/again").err != "-"


def test_closed_again_and_again(haproxy, scripted):
    scripted.script += [kit.CLOSE] * 3
    with at_once():
        check_no_agent(haproxy.ask(HOST))
    assert haproxy.ask(HOST).status == 200


def test_closed_now_and_then_under_load(haproxy, scripted):
    with Load(haproxy, HOST) as load:
        for _ in range(10):
            scripted.script.append(kit.CLOSE)
            load.more(50)
    assert load.seen == {200: load.total}


def test_slow_answer(haproxy, scripted):
    scripted.asked.clear()
    scripted.script.append(0.1)
    assert haproxy.ask(HOST).status == 200
    assert scripted.asked == [HOST]


def test_no_answer(haproxy, scripted):
    scripted.script += [kit.SILENT] * 3
    with at_once():
        check_no_agent(haproxy.ask(HOST, "/silent"))
    assert haproxy.line("/silent").err == "1"
    assert haproxy.ask(HOST).status == 200


def test_late_answer_is_not_the_next_ones(haproxy, scripted, start_worker):
    """What comes after its time must not route another request."""
    other = start_worker("app2")
    scripted.answers["app2.example"] = kit.ok(other.target)
    with haproxy.client() as client:
        for _ in range(3):
            scripted.script += [0.25]  # later than "timeout processing"
            assert client.ask(HOST).worker in ("app1", None)
            for _ in range(5):
                reply = client.ask("app2.example")
                assert reply.worker in ("app2", None)
    until(lambda: haproxy.ask("app2.example").worker == "app2", "peace")


# -- no agent ---------------------------------------------------------------


def test_agent_killed(routed, real):
    real.kill()
    for _ in range(3):
        with at_once():
            check_no_agent(routed.ask(HOST))
    until(lambda: routed.agent_state() == "DOWN", "the check to fail")
    # to 3.0, what a thread had begun to connect ends a little later
    until(lambda: max(took(routed) for _ in range(10)) < 0.1,
          "no more tries to connect", 10)
    check_no_agent(routed.ask(HOST))
    busy = routed.cpu()
    time.sleep(0.5)
    assert routed.cpu() - busy < 0.2, "HAProxy spins"
    real.start()
    with at_once(5):
        until(lambda: routed.ask(HOST).status == 200, "the agent to be back")
    assert routed.agent_state() == "UP"


def test_agent_hangs(routed, real):
    real.pause()
    try:
        with at_once():
            check_no_agent(routed.ask(HOST))
        until(lambda: routed.agent_state() == "DOWN", "the check to fail", 10)
        until(lambda: max(took(routed) for _ in range(10)) < 0.1,
              "no more tries to connect", 10)
        check_no_agent(routed.ask(HOST))
    finally:
        real.resume()
    with at_once(5):
        until(lambda: routed.ask(HOST).status == 200, "the agent to be back")


def test_no_agent_when_haproxy_starts(haproxy_binary, real):
    real.stop()
    with kit.HAProxy(haproxy_binary, real) as haproxy:
        with at_once():
            check_no_agent(haproxy.ask(HOST))
        real.start()
        with at_once(5):
            until(lambda: haproxy.ask(HOST).status == 200, "the agent")


def test_agent_restarts_under_load(routed, real):
    """A restart costs nobody an answer: HAProxy asks again meanwhile."""
    with Load(routed, HOST) as load:
        for _ in range(3):
            assert real.stop() == 0
            real.start()
            load.more(200)
    assert load.seen == {200: load.total}
    assert routed.alerts() == []


def test_two_agents(haproxy_binary, worker, tmp_path):
    """The commented line for a second agent works as it stands."""
    text = (kit.haproxy.FILES / "haproxy.cfg").read_text()
    example = "    #server agent2 192.168.1.2:12310\n"
    assert text.count(example) == 1
    with kit.ScriptedAgent({HOST: kit.ok(worker.target)}) as one, \
            kit.ScriptedAgent({HOST: kit.ok(worker.target)}) as two:
        config = tmp_path / "haproxy.cfg"
        config.write_text(text.replace(
            example, f"    server agent2 {two.address}\n"))
        with kit.HAProxy(haproxy_binary, one, config=config) as haproxy:
            with Load(haproxy, HOST) as load:
                load.more(100)
                assert one.asked and two.asked
                one.close()
                until(lambda: haproxy.agent_state() == "DOWN", "DOWN")
                load.more(200)
            assert load.seen == {200: load.total}


# -- the check --------------------------------------------------------------


def test_check(haproxy, scripted):
    until(lambda: scripted.checks, "a health check")
    assert haproxy.agent_state() == "UP"
    scripted.healthy = False
    until(lambda: haproxy.agent_state() == "DOWN", "DOWN")
    scripted.healthy = True
    until(lambda: haproxy.agent_state() == "UP", "UP")


def test_check_of_the_real_agent(routed):
    """Checked for some time, it stays UP and loses no word about it."""
    until(lambda: routed.stat("spoa", "agent1", "check_status") == "L7OK",
          "a check to pass")
    assert routed.stat("spoa", "agent1", "chkfail") == "0"
    assert routed.alerts() == []
