# SPDX-License-Identifier: MIT
"""--user: what must be root's is done first, then root is left for good."""

import os
import pwd
import signal
import stat
import subprocess

import pytest

from kit.agent import Agent, binary
from kit.process import free_port
from resp import FakeRedis, until
from spop import Peer
from test_admin import Admin

T = "10.0.0.1:80"
PATIENT = "--lookup-timeout", "10s"
NOBODY = pwd.getpwnam("nobody")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def redis():
    with FakeRedis({"a.example": T}) as found:
        yield found


@pytest.fixture
def own(tmp_path):
    """A folder that nobody may write to, in the sense of the user."""
    for folder in [tmp_path, *tmp_path.parents]:
        if stat.S_IMODE(folder.stat().st_mode) & 0o005 != 0o005:
            folder.chmod(folder.stat().st_mode | 0o011)
    path = tmp_path / "own"
    path.mkdir()
    os.chown(path, NOBODY.pw_uid, NOBODY.pw_gid)
    return path


def status(agent):
    lines = open(f"/proc/{agent.pid}/status", encoding="ascii").readlines()
    return {name: value.split() for name, value in
            (line.rstrip().split(":", 1) for line in lines)}


def test_root_is_left_for_good(redis, own, hosts_file):
    prefix = hosts_file("127.0.0.1 localhost")
    groups = own.parent / "etc/group"
    groups.write_text(groups.read_text() + "extra:x:7777:nobody\nwalk:x:7778:\n")
    with Agent(*PATIENT, "--redis", redis.url, "--user", "nobody:walk",
               prefix=prefix) as agent:
        facts = status(agent)
        assert facts["Uid"] == [str(NOBODY.pw_uid)] * 4
        assert facts["Gid"] == ["7778"] * 4
        assert set(facts["Groups"]) == {"7777", "7778"}
        assert int(facts["CapEff"][0], 16) == int(facts["CapPrm"][0], 16) == 0
        assert facts["NoNewPrivs"] == ["1"]
        assert "privileges dropped" in agent.log()
        with Peer(agent.where) as peer:
            assert peer.ask("a.example").status == "ok"


def test_sockets_are_roots_and_files_the_users(redis, own, free_port, tmp_path):
    """A low port, a Unix socket for a group; then snapshot and figures."""
    sock = tmp_path / "spoa.sock"
    admin = Admin(("127.0.0.1", free_port()))
    with Agent(*PATIENT, "--redis", redis.url, "--user", "nobody", "--snapshot",
               own / "snapshot", "--listen", "127.0.0.1:7",
               "--listen", f"unix:{sock},mode=0620,group=adm",
               "--admin", "%s:%d" % admin.where) as agent:
        with Peer(("127.0.0.1", 7)) as peer:
            assert peer.ask("a.example").status == "ok"
        with Peer(str(sock)) as peer:
            assert peer.ask("a.example").status == "ok"
        made = sock.stat()
        assert stat.S_IMODE(made.st_mode) == 0o620 and made.st_gid == 4
        assert admin.metrics()["process_open_fds"] > 5
        assert agent.stop() == 0
        assert (own / "snapshot").stat().st_uid == NOBODY.pw_uid


def test_reload_as_that_user(redis, own):
    file = own.parent / "router.conf"
    file.write_text("ttl = 3s\n")
    file.chmod(0o644)
    with Agent(*PATIENT, "--redis", redis.url, "--user", "nobody", "--config", file,
               "--listen", f"127.0.0.1:{free_port()}") as agent:
        file.write_text("ttl = 4s\n")
        agent.process.send_signal(signal.SIGHUP)
        until(lambda: "changed=ttl" in agent.log(), "the reload", 20)
        file.chmod(0o600)
        agent.process.send_signal(signal.SIGHUP)
        until(lambda: "Permission denied" in agent.log(), "the refusal", 20)
        with Peer(agent.where) as peer:
            assert peer.ask("a.example").status == "ok"


def refused(*words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=20,
                          check=False)
    assert done.returncode == 1
    return done.stderr


def test_who_may_not_does_not_start():
    said = refused("setpriv", "--reuid=1", "--clear-groups", binary(),
                   "--listen", f"127.0.0.1:{free_port()}", "--user", "nobody")
    assert "--user: initgroups: Operation not permitted" in said


@pytest.mark.parametrize("user,what", [
    ("not-a-user", "no such user"), ("nobody:not-a-group", "no such group"),
    (":adm", "no such user"), ("nobody:", "no such group")])
def test_names_are_checked(user, what):
    assert refused(binary(), "--check", "--user",
                   user) == f"spoa-router: --user: {what}\n"


def test_who_it_is_already_may_be_said(redis):
    with Agent(*PATIENT, "--redis", redis.url, "--user", "nobody", prefix=[
            "setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}",
            "--clear-groups"]) as agent:
        with Peer(agent.where) as peer:
            assert peer.ask("a.example").status == "ok"
