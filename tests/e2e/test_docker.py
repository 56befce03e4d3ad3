# SPDX-License-Identifier: MIT
"""The container files, as far as they can be judged without an engine; with one:
`make test-docker`."""

import re
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
COMPOSE = TOP / "docker/docker-compose.yml"
DOCKERFILE = TOP / "docker/Dockerfile"


def test_every_mounted_file_is_there():
    mounts = re.findall(r"(\.\.?/[\w./-]+):/", COMPOSE.read_text())
    assert len(mounts) >= 6
    for source in mounts:
        assert (COMPOSE.parent / source).exists(), source


def test_every_service_is_bounded_and_started_again():
    """By the words that all services share."""
    text = COMPOSE.read_text()
    services = text.split("\nservices:\n")[1].split("\nvolumes:\n")[0]
    names = re.findall(r"^  (\w+):$", services, re.M)
    assert {"haproxy", "agent", "redis", "ruby", "php", "python"} <= set(names)
    assert len(re.findall(r"^    <<: \*service$", services, re.M)) == len(names)
    shared = text.split("x-service: &service\n")[1].split("\n\n")[0]
    for word in ("restart: unless-stopped", "mem_limit:", "pids_limit:",
                 "read_only: true", "cap_drop: [ALL]"):
        assert word in shared


def test_prometheus_takes_its_file(tmp_path):
    (tmp_path / "prometheus.yml").write_text(
        (TOP / "docker/prometheus.yml").read_text().replace(
            "/etc/prometheus/", f"{TOP}/docker/"))
    done = subprocess.run(["promtool", "check", "config",
                           tmp_path / "prometheus.yml"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_copied_file_passes_dockerignore():
    ignore = (TOP / ".dockerignore").read_text().splitlines()
    for source in re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE.read_text(), re.M):
        assert (TOP / source).exists(), source
        assert "!" + source in ignore


def test_no_frontend_image_and_no_root():
    text = DOCKERFILE.read_text()
    assert not re.search(r"^# *syntax *=", text, re.M)
    agent = text.split("\nFROM ")[-1]
    assert "HEALTHCHECK" in agent
    assert re.search(r"^USER (?!root|0)", agent, re.M)
