# SPDX-License-Identifier: MIT
"""Alert rules and dashboard of docker/: every alert fires when it should and
not before, and each figure is one that the agent really has."""

import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request

import pytest

from kit.process import TOP, Process, program
from resp import FakeRedis
from resp import until as until_soon
from spop import Peer


def until(fact, what, seconds=60):
    """Machines that test are busy."""
    return until_soon(fact, what, seconds)


ALERTS = TOP / "docker/alerts.yml"
DASHBOARD = json.loads((TOP / "docker/grafana/router.json").read_text())
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"]
               for target in panel.get("targets", [])]

# Alert; series that make it fire within 20 minutes, one value a minute; series
# that do not.
ROWS = [
    ("RouterGone", {"up": "0x20"}, {"up": "1x20"}),
    ("RouterGone", {}, {"up": "0 1x19"}),
    ("RouterRedisAway", {"spoa_router_redis_connected": "0x20"},
     {"spoa_router_redis_connected": "1x20"}),
    ("RouterNotToldOfChanges", {"spoa_router_push_connected": "0x20",
                                "spoa_router_redis_connected": "1x20"},
     # that Redis is away is another alert's part
     {"spoa_router_push_connected": "0x20",
      "spoa_router_redis_connected": "0x20"}),
    ("RouterUnavailable",
     {'spoa_router_answers_total{status="unavailable"}': "0+10x20",
      'spoa_router_answers_total{status="ok"}': "0+1000x20"},
     {'spoa_router_answers_total{status="unavailable"}': "0+1x20",
      'spoa_router_answers_total{status="ok"}': "0+10000x20"}),
    ("RouterServesStale",
     {'spoa_router_answers_total{source="stale"}': "0+1x20"},
     {'spoa_router_answers_total{source="stale"}': "0 1x19"}),
    ("RouterSlowLookups",
     {'spoa_router_answer_duration_seconds_bucket{source="redis",le="0.05"}':
      "0+1x20",
      'spoa_router_answer_duration_seconds_bucket{source="redis",le="+Inf"}':
      "0+100x20"},
     {'spoa_router_answer_duration_seconds_bucket{source="redis",le="0.01"}':
      "0+100x20",
      'spoa_router_answer_duration_seconds_bucket{source="redis",le="+Inf"}':
      "0+100x20"}),
    ("RouterHostsDown", {'spoa_router_answers_total{status="down"}': "0+1x20"},
     {'spoa_router_answers_total{status="ok"}': "0+1x20"}),
    ("RouterTargetsDown", {"spoa_router_targets_down": "1x20"},
     {"spoa_router_targets_down": "1 1 0x18"}),
    ("RouterBadRoutes",
     {'spoa_router_answers_total{status="bad_route"}': "0+1x20"},
     {'spoa_router_answers_total{status="bad_host"}': "0+1x20"}),
    ("RouterEmptyGuardHolds", {"spoa_router_empty_guard_holding": "1x20"},
     {"spoa_router_empty_guard_holding": "0x20"}),
    ("RouterAtItsBounds", {"spoa_router_refused_total": "0+1x20"},
     {"spoa_router_refused_total": "5x20"}),
    ("RouterCacheFull", {'spoa_router_cache_entries{kind="value"}': "1000x20",
                         "spoa_router_cache_entries_limit": "1000x20"},
     {'spoa_router_cache_entries{kind="value"}': "900x20",
      'spoa_router_cache_entries{kind="absent"}': "1000x20",
      "spoa_router_cache_entries_limit": "1000x20"}),
    ("RouterSnapshotFails", {"spoa_router_snapshot_failures_total": "0+1x20"},
     {"spoa_router_snapshot_failures_total": "3x20"}),
    ("RouterFastPathOff", {"spoa_router_fastpath_sockets": "0x20"},
     {"spoa_router_fastpath_sockets": "1x20"}),
    ("RouterReloadRefused",
     {'spoa_router_reloads_total{result="refused"}': "0+1x20"},
     {'spoa_router_reloads_total{result="done"}': "0+1x20"}),
    ("RouterFewFilesLeft", {"process_open_fds": "900x20",
                            "process_max_fds": "1000x20"},
     {"process_open_fds": "700x20", "process_max_fds": "1000x20"}),
]


@pytest.fixture(scope="module")
def promtool():
    path = shutil.which("promtool")
    if not path:
        pytest.skip("no promtool: install prometheus")
    return path


def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def labelled(series):
    """With what Prometheus itself adds."""
    name, _, labels = series.partition("{")
    more = 'job="spoa-router",instance="agent:12380"'
    return f"{name}{{{more}{',' + labels if labels else '}'}"


def series_of(values):
    return [{"series": labelled(name), "values": line}
            for name, line in values.items()]



def test_alerts_fire_when_they_should(promtool, tmp_path):
    """promtool compares labels and texts as well, which are not to be written
    twice: so it asks the series that Prometheus makes of an alert."""
    tests = []
    for alert, firing, quiet in ROWS:
        expr = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})'
        for values, samples in ((firing, [{"labels": "{}", "value": 1}]),
                                (quiet, [])):
            tests.append({"name": alert, "interval": "1m",
                          "input_series": series_of(values),
                          "promql_expr_test": [
                              {"expr": expr, "eval_time": "20m",
                               "exp_samples": samples}]})
    file = tmp_path / "tests.json"  # JSON is YAML
    file.write_text(json.dumps({"rule_files": [str(ALERTS)],
                                "evaluation_interval": "1m", "tests": tests}))
    run(promtool, "check", "rules", ALERTS)
    run(promtool, "test", "rules", file)
    known = set(re.findall(r"alert: (\w+)", ALERTS.read_text()))
    assert known == {alert for alert, _, _ in ROWS}


def names_in(text):
    return set(re.findall(r"\b(?:spoa_router|process)_[a-z_]+[a-z]\b", text))


@pytest.fixture
def families(start_admin, tmp_path, free_port):
    """Of an agent that does all it can."""
    with FakeRedis({}) as redis:
        _, admin = start_admin("--preload", "--snapshot", str(tmp_path / "s"),
                               "--feedback", f"udp:127.0.0.1:{free_port()}",
                               "--haproxy-socket", str(tmp_path / "none"),
                               "--empty-guard", "on", redis=redis.url)
        return set(re.findall(r"^# TYPE (\w+) ", admin.get("/metrics"), re.M))


def test_every_name_is_one_of_ours(families):
    """In rules, dashboard and documentation."""
    texts = [ALERTS.read_text(), " ".join(EXPRESSIONS)]
    texts += [path.read_text() for path in
              [TOP / "README.md", *(TOP / "docs").glob("*.md")]]
    for text in texts:
        found = {re.sub("_(bucket|sum|count)$", "", name)
                 for name in names_in(text)}
        assert not found - families
    assert len(names_in(texts[1])) > 20


class Prometheus(Process):
    """Asks an agent each second."""

    def __init__(self, agent_port):
        super().__init__("prometheus")
        shutil.copy(ALERTS, self.folder / "alerts.yml")
        (self.folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["alerts.yml"],
            "scrape_configs": [{
                "job_name": "spoa-router", "static_configs": [
                    {"targets": [f"127.0.0.1:{agent_port}"]}]}]}))
        self.start()

    def command(self):
        return [program("prometheus"), "--config.file=prometheus.yml",
                "--storage.tsdb.path=data",
                f"--web.listen-address=127.0.0.1:{self.port}"]

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}",
                                    timeout=30) as reply:
            return reply.read()

    def is_ready(self):
        try:
            return bool(self.get("/-/ready"))
        except OSError:
            return False

    def query(self, expr):
        query = urllib.parse.urlencode({"query": expr})
        return json.loads(self.get(f"/api/v1/query?{query}"))["data"]["result"]


def test_prometheus_shows_the_dashboard(start_admin, redis, tmp_path):
    """Each expression is put to a real Prometheus that asks a real agent."""
    if not shutil.which("prometheus"):
        pytest.skip("no prometheus: tests/deps.sh test installs it")
    redis.cmd("HSET", "routes", "a.example", "10.0.0.1:80")
    agent, admin = start_admin("--haproxy-socket", str(tmp_path / "none"),
                               "--ttl", "1h", redis=redis.url)

    def shown(expr):
        expr = expr.replace("$instance", ".*").replace("$__rate_interval",
                                                       "20s")
        # What is above 0 may well be nothing.
        return prometheus.query(expr.replace(" > 0", " >= 0"))
    with Prometheus(admin.where[1]) as prometheus, Peer(agent.where) as peer:
        until(lambda: peer.ask("a.example").status == "ok", "it")
        until(lambda: prometheus.query('rate(process_cpu_seconds_total{'
                                       'job="spoa-router"}[20s])'),
              "two answers", 60)
        for expr in EXPRESSIONS:
            until(lambda: [peer.ask("a.example")] and shown(expr), expr, 60)
        assert not prometheus.query('ALERTS{alertstate="firing"}')
        assert agent.stop() == 0
        until(lambda: prometheus.query('ALERTS{alertname="RouterGone"}'),
              "the alert", 60)
