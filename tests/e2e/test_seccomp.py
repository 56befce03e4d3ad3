# SPDX-License-Identifier: MIT
"""--seccomp on: all that the agent does still works behind the fence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kit.agent import Agent, binary
from resp import FakeRedis, until

HERE = Path(__file__).parent

pytestmark = pytest.mark.skipif(
    b"__asan_init" in Path(binary()).read_bytes()  # asks for much more
    or "VALGRIND" in os.environ or "without seccomp" in subprocess.run(
        [binary(), "--version"], capture_output=True, text=True,
        check=False).stdout, reason="cannot be had")

# Of each thing that it does: routing, reload, snapshot (a thread), DNS, TLS,
# checks, feedback and the admin side, HAProxy's table, a stop.
TESTS = ["test_reload.py::test_values_and_whence",
         "test_reload.py::test_an_error_changes_nothing",
         "test_reload.py::test_the_guard_takes_back_what_is_lent",
         "test_snapshot.py::test_known_hosts_are_served_without_redis",
         "test_snapshot.py::test_it_is_written_while_running",
         "test_names.py::test_changes_are_followed",
         "test_redis_tls.py::test_served_and_told",
         "test_redis_tls.py::test_certificates_are_read_again",
         "test_health.py::test_a_dead_target_is_passed_over_and_comes_back",
         "test_health.py::test_http_checks",
         "test_systemd.py::test_admin_and_feedback_by_name",
         "test_stop.py::test_backlog_is_accepted_and_answered"]


def test_the_kernel_knows():
    with FakeRedis({}) as redis, \
            Agent("--redis", redis.url, "--seccomp", "on") as agent:
        until(lambda: "seccomp is on" in agent.log(), "the fence", 20)
        status = Path(f"/proc/{agent.pid}/status").read_text()
        assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status


def test_other_tests_pass_behind_it():
    peers = os.environ.get("HAPROXY", "").split(",")[0]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q",
         *(str(HERE / name) for name in TESTS)],
        env={**os.environ, "SPOA_OPTIONS": "--seccomp on",
             **({"HAPROXY": peers} if peers else {})},
        capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout[-8000:]
