# SPDX-License-Identifier: MIT
"""What Prometheus is told at /metrics, and who is ready at /readyz."""

import json
import re
import shutil
import socket
import subprocess

import pytest

from resp import FakeRedis
from resp import until as until_soon
from spop import Peer, question


def until(fact, what, seconds=60):
    """Machines that test are busy."""
    return until_soon(fact, what, seconds)


ANSWERS = "spoa_router_answers_total"
TOOK = "spoa_router_answer_duration_seconds"

# What each thing that is to be seen is called. Names are relied on by
# dashboards: one that goes breaks them.
FAMILIES = """
spoa_router_build_info spoa_router_uptime_seconds
process_cpu_seconds_total process_start_time_seconds process_open_fds
process_max_fds process_resident_memory_bytes process_virtual_memory_bytes
spoa_router_frames_total spoa_router_connections
spoa_router_connections_accepted_total spoa_router_connections_refused_total
spoa_router_connections_broken_total spoa_router_connections_crowded_total
spoa_router_connections_throttled_total spoa_router_unread_bytes
spoa_router_connections_limit
spoa_router_answers_total spoa_router_answer_duration_seconds
spoa_router_waiting spoa_router_waiting_limit spoa_router_flights
spoa_router_lookups_total spoa_router_joins_total spoa_router_refreshes_total
spoa_router_timeouts_total spoa_router_refused_total spoa_router_namings_total
spoa_router_epochs_total spoa_router_rereads_total
spoa_router_route_requests_total spoa_router_bad_routes_total
spoa_router_cache_entries spoa_router_cache_entries_limit
spoa_router_cache_bytes spoa_router_cache_evictions_total
spoa_router_cache_changes_total spoa_router_cache_failures_total
spoa_router_targets_watched spoa_router_targets_checked
spoa_router_targets_doubted spoa_router_targets_down
spoa_router_targets_denied_total spoa_router_targets_refused_total
spoa_router_checks_total spoa_router_checks_late_total
spoa_router_reports_total spoa_router_feedback_failed_total
spoa_router_events_published_total spoa_router_events_lost_total
spoa_router_names spoa_router_names_resolutions_total
spoa_router_names_failures_total
spoa_router_redis_connected spoa_router_redis_connections_total
spoa_router_redis_losses_total spoa_router_redis_failures_total
spoa_router_redis_moves_total spoa_router_redis_errors_total
spoa_router_push_connected spoa_router_push_connections_total
spoa_router_push_losses_total spoa_router_push_messages_total
spoa_router_push_silence_seconds
spoa_router_preload_fields spoa_router_preload_failures_total
spoa_router_preload_added_total
spoa_router_empty_guard_holding spoa_router_empty_guard_holds_total
spoa_router_snapshot_age_seconds spoa_router_snapshot_entries
spoa_router_snapshot_writes_total spoa_router_snapshot_failures_total
spoa_router_fastpath_sockets spoa_router_fastpath_commands_total
spoa_router_fastpath_errors_total spoa_router_fastpath_lent
spoa_router_fastpath_lends_total spoa_router_fastpath_backs_total
spoa_router_admin_connections spoa_router_admin_requests_total
spoa_router_admin_refused_total spoa_router_admin_full_total
""".split()


@pytest.fixture
def start_all(start_admin, tmp_path, free_port):
    """An agent that does all it can: it has all families."""
    def start(redis):
        return start_admin("--preload", "--snapshot", str(tmp_path / "snap"),
                           "--feedback", f"udp:127.0.0.1:{free_port()}",
                           "--haproxy-socket", str(tmp_path / "none.sock"),
                           "--empty-guard", "on", redis=redis)
    return start


def test_every_family_is_there(start_all):
    with FakeRedis({"a.example": "10.0.0.1:80"}) as redis:
        _, admin = start_all(redis.url)
        found = set(re.findall(r"^# TYPE (\w+) ", admin.get("/metrics"), re.M))
    assert not set(FAMILIES) - found


def test_promtool_has_nothing_to_say(start_all):
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("no promtool: install prometheus")
    with FakeRedis({"a.example": "10.0.0.1:80"}) as redis:
        agent, admin = start_all(redis.url)
        with Peer(agent.where) as peer:
            until(lambda: peer.ask("a.example").status == "ok", "the route")
        text = admin.get("/metrics")
    checked = subprocess.run([promtool, "check", "metrics"], text=True,
                             input=text, capture_output=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert not checked.stdout + checked.stderr


def test_answers(start_admin):
    with FakeRedis({"a.example": "10.0.0.1:80"}) as redis:
        agent, admin = start_admin(redis=redis.url)
        with Peer(agent.where) as peer:
            assert peer.ask("a.example").status == "ok"
            for _ in range(33):
                assert peer.ask("a.example").source == "cache"
            assert peer.ask("b.example").status == "not_found"
            found = admin.metrics()
    assert found[ANSWERS + '{status="ok",source="redis"}'] == 1
    assert found[ANSWERS + '{status="ok",source="cache"}'] == 33
    assert found[ANSWERS + '{status="not_found",source="redis"}'] == 1
    assert found[ANSWERS + '{status="down",source="cache"}'] == 0
    assert found['spoa_router_frames_total{type="notify"}'] == 35
    assert found['spoa_router_frames_total{type="hello"}'] == 1
    assert found["spoa_router_connections"] == 1
    assert found["spoa_router_lookups_total"] == 2
    assert found['spoa_router_cache_entries{kind="value"}'] == 1
    assert 50 < found['spoa_router_cache_bytes{kind="value"}'] < 500
    assert found["spoa_router_uptime_seconds"] < 60
    assert found['spoa_router_route_requests_total{route="a.example"}'] >= 33


def test_latency(start_admin):
    """Those that Redis kept waiting stand apart; of the others a part is
    timed."""
    with FakeRedis({"a.example": "10.0.0.1:80"}) as redis:
        agent, admin = start_admin("--lookup-timeout", "10s", redis=redis.url)
        with Peer(agent.where) as peer:
            assert peer.ask("a.example").status == "ok"
            before = admin.metrics()
            redis.gate.clear()
            peer.send(question("slow.example", stream=77))
            until(lambda: admin.metrics()["spoa_router_waiting"] == 1, "it")
            until(lambda: admin.metrics()["spoa_router_uptime_seconds"] >
                  before["spoa_router_uptime_seconds"] + 0.3, "time")
            redis.gate.set()
            assert peer.frame().answer().status == "not_found"
            for _ in range(100):
                assert peer.ask("a.example").source == "cache"
            found = admin.metrics()
    waited, known = '{source="redis"}', '{source="cache"}'
    assert found[TOOK + "_count" + waited] == 2
    assert 0.3 < found[TOOK + "_sum" + waited] < 10
    assert found[TOOK + '_bucket{source="redis",le="0.1"}'] == 1
    assert 6 <= found[TOOK + "_count" + known] <= 7
    assert found[TOOK + "_sum" + known] < 1
    assert found[TOOK + '_bucket{source="cache",le="+Inf"}'] == \
        found[TOOK + "_count" + known]


def test_busiest_routes_are_bounded(start_admin):
    names = [f"h{i:02}.example" for i in range(30)]
    with FakeRedis({name: "10.0.0.1:80" for name in names}) as redis:
        agent, admin = start_admin("--ttl", "1h", redis=redis.url)
        with Peer(agent.where) as peer:
            for i, name in enumerate(names):
                peer.ask(name)
                peer.ask_all([name] * (i + 1))
        found = admin.metrics()
    samples = {key: value for key, value in found.items()
               if key.startswith("spoa_router_route_requests_total")}
    assert len(samples) == 20
    assert {re.search('"(.*)"', key)[1] for key in samples} == set(names[10:])


def test_process(start_admin):
    agent, admin = start_admin()
    found = admin.metrics()
    assert abs(found["process_resident_memory_bytes"] - agent.rss()) < 1e6
    assert found["process_virtual_memory_bytes"] > agent.rss()
    assert abs(found["process_open_fds"] - agent.fds()) <= 2
    assert found["process_max_fds"] >= 1024
    assert abs(found["process_cpu_seconds_total"] - agent.cpu()) < 1
    start = float(subprocess.check_output(
        ["stat", "-c", "%Y", f"/proc/{agent.pid}"]))
    assert abs(found["process_start_time_seconds"] - start) < 60


def test_push(redis, start_admin):
    agent, admin = start_admin(redis=redis.url)

    def up():
        return admin.metrics()["spoa_router_push_connected"]
    until(lambda: up() == 1, "the channel")
    redis.cmd("HSET", "routes", "a.example", "10.0.0.1:80")
    redis.cmd("PUBLISH", "routes:changed", "a.example")
    until(lambda: admin.metrics()['spoa_router_push_messages_total'
                                  '{kind="name"}'] == 1, "the message")
    found = admin.metrics()
    assert found['spoa_router_push_messages_total{kind="change"}'] >= 1
    assert found["spoa_router_epochs_total"] >= 2
    assert 0 <= found["spoa_router_push_silence_seconds"] < 20
    assert found["spoa_router_redis_connected"] == 1
    redis.kill()
    until(lambda: up() == 0, "its end")
    found = admin.metrics()
    assert found["spoa_router_redis_connected"] == 0
    assert found["spoa_router_redis_losses_total"] == 1
    assert found["spoa_router_push_losses_total"] == 1


def test_errors_of_redis_by_kind(start_admin):
    errors = "spoa_router_redis_errors_total"
    with FakeRedis() as redis:
        redis.on("HMGET", b"-LOADING Redis is loading the dataset\r\n")
        _, admin = start_admin(redis=redis.url)
        until(lambda: admin.metrics()[errors + '{kind="LOADING"}'] >= 1,
              "the error")
        redis.on("HMGET", b"-STRANGE new error\r\n")
        until(lambda: admin.metrics()[errors + '{kind="other"}'] >= 1,
              "another")
        assert admin.metrics()["spoa_router_redis_failures_total"] >= 2


def readiness(admin):
    status, text, _ = admin.ask("GET", "/readyz")
    return status, text if status == 200 else json.loads(text)["error"]


def test_ready_when_redis_has_answered_once(start_admin):
    with FakeRedis({"a.example": "10.0.0.1:80"}) as redis:
        redis.on("HMGET", b"-LOADING Redis is loading the dataset\r\n")
        _, admin = start_admin(redis=redis.url)
        status, why = readiness(admin)
        assert status == 503 and "Redis has not answered" in why
        assert admin.get("/healthz") == "ok\n"
        redis.forget("HMGET")
        until(lambda: readiness(admin) == (200, "ready\n"), "Redis")
    # Known routes are served on while it is away.
    assert readiness(admin) == (200, "ready\n")


def test_ready_with_a_snapshot(start_admin, tmp_path):
    file = str(tmp_path / "snapshot")
    with FakeRedis({"a.example": "10.0.0.1:80"}) as redis:
        agent, admin = start_admin("--snapshot", file, redis=redis.url)
        assert admin.metrics()["spoa_router_snapshot_entries"] == 0
        with Peer(agent.where) as peer:
            until(lambda: peer.ask("a.example").status == "ok", "the route")
        assert agent.stop() == 0
    _, admin = start_admin("--snapshot", file)
    assert readiness(admin) == (200, "ready\n")
    found = admin.metrics()
    assert found["spoa_router_snapshot_entries"] >= 1
    assert 0 <= found["spoa_router_snapshot_age_seconds"] < 60
    (tmp_path / "snapshot").write_bytes(b"nonsense")
    _, admin = start_admin("--snapshot", file)
    assert readiness(admin)[0] == 503
    assert admin.metrics()["spoa_router_snapshot_failures_total"] == 1


def test_not_ready_while_stopping(start_admin):
    """A connection with an answer to come keeps it from ending at once."""
    with FakeRedis() as redis:
        agent, admin = start_admin("--lookup-timeout", "2s", redis=redis.url)
        until(lambda: readiness(admin)[0] == 200, "Redis")
        with Peer(agent.where) as peer, \
                socket.create_connection(admin.where, 30) as sock:
            sock.sendall(b"GET /readyz HTTP/1.1\r\n\r\n")
            assert sock.recv(1000).startswith(b"HTTP/1.1 200")
            redis.gate.clear()
            peer.send(question("slow.example", stream=77))
            until(lambda: admin.metrics()["spoa_router_waiting"] == 1, "it")
            agent.process.terminate()
            until(lambda: "stopping" in agent.log(), "the signal")
            sock.sendall(b"GET /readyz HTTP/1.1\r\n\r\n")
            answer = sock.recv(1000)
            assert answer.startswith(b"HTTP/1.1 503")
            assert b"stopping" in answer
            redis.gate.set()
        agent.process.wait(20)
