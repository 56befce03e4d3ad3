# SPDX-License-Identifier: MIT
"""make install and uninstall, and what the package says of itself."""

import re
import subprocess

import pytest

import kit.agent
from kit.process import TOP

FILES = {
    "bin/routectl",
    "lib/sysusers.d/spoa-router.conf",
    "lib/tmpfiles.d/spoa-router.conf",
    "sbin/spoa-router",
    "share/bash-completion/completions/routectl",
    "share/doc/spoa-router/README.md",
    "share/doc/spoa-router/examples/haproxy-fastpath.cfg",
    "share/doc/spoa-router/examples/haproxy.cfg",
    "share/doc/spoa-router/examples/lease.sh",
    "share/doc/spoa-router/examples/sweep.sh",
    "share/doc/spoa-router/examples/spoe-router-fastpath.conf",
    "share/doc/spoa-router/examples/spoe-router.conf",
    "share/man/man1/routectl.1",
    "share/man/man5/spoa-router.conf.5",
    "share/man/man8/spoa-router.8",
} | {f"lib/systemd/system/{path.name}" for ending in ("service", "socket")
     for path in (TOP / "debian").glob(f"*.{ending}")
} | {f"share/doc/spoa-router/docs/{path.name}"
     for path in (TOP / "docs").glob("*.md")}


@pytest.fixture
def make(tmp_path):
    """make(target, variable...) below a folder; returns what is there then."""
    if kit.agent.binary() != str(TOP / "build/spoa-router"):
        pytest.skip("make installs build/spoa-router, which is not tested here")

    def run(*words):
        subprocess.run(["make", "-s", "-C", TOP, f"DESTDIR={tmp_path}", *words],
                       check=True, timeout=600)
        return {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")
                if not path.is_dir()}
    run.root = tmp_path
    return run


@pytest.mark.parametrize("prefix", ["/usr/local", "/opt/router"])
def test_what_is_installed_goes_again(make, prefix):
    conf = "etc/spoa-router/spoa-router.conf"
    found = make("install", f"PREFIX={prefix}")
    assert found == {conf} | {f"{prefix[1:]}/{name}" for name in FILES}
    program = make.root / prefix[1:] / "sbin/spoa-router"
    subprocess.run([program, "--check", "--config", make.root / conf],
                   check=True, stdout=subprocess.DEVNULL)
    unit = make.root / prefix[1:] / "lib/systemd/system/spoa-router.service"
    programs = re.findall(r"^Exec\w+=(\S*spoa-router) ", unit.read_text(), re.M)
    assert set(programs) == {f"{prefix}/sbin/spoa-router"}
    assert make("uninstall", f"PREFIX={prefix}") == set()
    assert not (make.root / "etc/spoa-router").exists()


def test_an_edited_configuration_stays(make):
    conf = make.root / "etc/spoa-router/spoa-router.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text("ttl = 1s\n")
    make("install")
    make("uninstall")
    assert conf.read_text() == "ttl = 1s\n"


def test_the_package_has_the_version_of_the_program():
    said = subprocess.run([kit.agent.binary(), "--version"], check=True,
                          capture_output=True, text=True).stdout
    newest = (TOP / "debian/changelog").read_text().split("\n")[0]
    assert said.startswith(newest.replace("(", "").split(")")[0])
