# SPDX-License-Identifier: MIT
"""The files that users copy: valid everywhere, alone and in company."""

import os
import pwd
import re
import socket
import subprocess
import time
from pathlib import Path

import pytest

import kit
from kit.haproxy import FILES, certificate
from resp import until
from test_haproxy_agent import Load

HOST = "app1.example"

# Debian 12's stock file up to its frontends; the socket is elsewhere.
STOCK = """
global
	log /dev/log	local0
	log /dev/log	local1 notice
	chroot /var/lib/haproxy
	stats socket {folder}/admin.sock mode 660 level admin
	stats timeout 30s
	user haproxy
	group haproxy
	daemon

	# Default SSL material locations
	ca-base /etc/ssl/certs
	crt-base /etc/ssl/private

	# See: https://ssl-config.mozilla.org/#server=haproxy&server-version=2.0.3&config=intermediate
        ssl-default-bind-ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384
        ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256
        ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets

defaults
	log	global
	mode	http
	option	httplog
	option	dontlognull
        timeout connect 5000
        timeout client  50000
        timeout server  50000
"""


@pytest.fixture
def agent(worker):
    with kit.ScriptedAgent({HOST: kit.ok(worker.target)}) as found:
        yield found


# -- what they say ----------------------------------------------------------


def test_defaults_are_those_of_the_contract():
    text = "\n".join(line.partition("#")[0] for line in (
        FILES / "haproxy.cfg").read_text().splitlines())
    assert dict(re.findall(r'"\$\{(\w+)-([^}]*)\}"', text)) == {
        "ROUTER_BIND": "*:8000",
        "SPOA_ADDR": "127.0.0.1:12310",
        "SPOE_CONF": "/etc/haproxy/spoe-router.conf",
        "ROUTER_NAME": "%[hostname]",
    }


def test_every_variable_is_described():
    text = (FILES / "haproxy.cfg").read_text()
    head, _, rest = text.partition("\n\n")
    used = set(re.findall(r'\$\{?([A-Z_]+)', rest))
    assert used == set(re.findall(r"^#   ([A-Z_]+) ", head, re.M))


def test_both_files_say_the_same():
    """Of each rule the second target and named backends stand on; only what
    is lent passes them by."""
    def parts(name):
        text = re.sub(r" *# Lent, not asked for\.\n *use_backend .*\n\n", "",
                      (FILES / name).read_text())
        front = text.index("    # When the agent names a second target")
        back = text.index("# Two targets. HAProxy tries")
        return (text[front:text.index("# One test for what is routed")],
                text[back:text.index("# The agents. None up")])
    assert parts("haproxy.cfg") == parts("haproxy-fastpath.cfg")


ENVIRONMENTS = {
    "none": {},
    "empty": {"ROUTER_BIND_TLS": "", "ROUTER_CRT": "", "HAPROXY_SOCKET": "",
              "ROUTER_LOG": "", "ROUTER_HOST_LIMIT": "",
              "ROUTER_TARGET_CA": ""},
    "agents by a name": {"SPOA_ADDR": "agent:12310", "SPOA_AGENTS": "1-4"},
    "all": {"ROUTER_BIND": "[::1]:8001", "ROUTER_BIND_TLS": ":8443",
            "SPOA_ADDR": "[::1]:12310", "ROUTER_NAME": "me",
            "ROUTER_LOG": "/dev/log", "HAPROXY_SOCKET": "/run/x.sock",
            "ROUTER_HOST_LIMIT": "100"},
}


@pytest.mark.parametrize("case", ENVIRONMENTS)
def test_valid_without_a_warning(haproxy_binary, case):
    env = {key: value for key, value in os.environ.items()
           if not key.startswith(("ROUTER_", "SPOA_A"))}
    env.update(SPOE_CONF=str(FILES / "spoe-router.conf"), **ENVIRONMENTS[case])
    if case == "all":
        env["ROUTER_CRT"] = env["ROUTER_TARGET_CA"] = certificate()
    # 3.2 warns of an empty word even where a condition skips its line
    strict = [] if case == "empty" else ["-dW"]
    done = subprocess.run(
        [haproxy_binary, *strict, "-c", "-f", str(FILES / "haproxy.cfg")],
        env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "ALERT" not in done.stderr
    assert not strict or "WARNING" not in done.stderr


# -- where they run ---------------------------------------------------------


@pytest.mark.parametrize("way", ["two files", "one file"])
def test_debians_stock_global_section(haproxy_binary, agent, tmp_path, way):
    """After the chroot and without root, all of it works."""
    if os.geteuid() != 0:
        pytest.skip("chroot needs root")
    try:
        user = pwd.getpwnam("haproxy")
    except KeyError:
        pytest.skip("no user haproxy here: Debian's package makes it")
    Path("/var/lib/haproxy").mkdir(exist_ok=True)
    stock = STOCK.format(folder=tmp_path)
    more = {"before": stock}
    if way == "one file":
        whole = tmp_path / "whole.cfg"
        whole.write_text(stock + (FILES / "haproxy.cfg").read_text())
        more = {"config": whole}
    with kit.HAProxy(haproxy_binary, agent, tls=True, **more) as haproxy:
        until(lambda: os.stat(f"/proc/{haproxy.pid}").st_uid == user.pw_uid,
              "HAProxy to become another user")
        assert os.readlink(f"/proc/{haproxy.pid}/root") == "/var/lib/haproxy"
        assert haproxy.ask(HOST).worker == "app1"
        assert haproxy.ask("other.example").status == 404
        with haproxy.client() as client:
            for _ in range(20):
                assert client.ask(HOST).worker == "app1"
        with kit.Client(haproxy.tls_port, tls=True) as client:
            assert client.ask(HOST).worker == "app1"
        agent.close()
        assert haproxy.ask(HOST, "/gone").status == 503
        assert haproxy.line("/gone")
        until(lambda: haproxy.agent_state() == "DOWN", "DOWN")
        agent.open()
        until(lambda: haproxy.ask(HOST).status == 200, "the agent")
        said = [line for line in haproxy.alerts() if "Server spoa" not in line
                and "backend 'spoa'" not in line]
        assert said == []


def test_log_to_a_syslog_socket(haproxy_binary, agent, tmp_path):
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(path)
        log.settimeout(5)
        with kit.HAProxy(haproxy_binary, agent,
                         env={"ROUTER_LOG": path}) as haproxy:
            haproxy.ask(HOST, "/to-syslog")
            line = log.recv(4096).decode()
    assert line.startswith("<134>") and "/to-syslog" in line
    assert "/to-syslog" not in haproxy.log() if haproxy.log_path.exists() \
        else True


def test_agent_at_a_unix_socket(haproxy_binary, worker, tmp_path):
    path = str(tmp_path / "a.sock")
    with kit.ScriptedAgent({HOST: kit.ok(worker.target)}, path), \
            kit.HAProxy(haproxy_binary, f"unix@{path}") as haproxy:
        assert haproxy.ask(HOST).worker == "app1"


@pytest.mark.parametrize("threads", [1, 4])
def test_threads(haproxy_binary, agent, threads):
    with kit.HAProxy(haproxy_binary, agent,
                     before=f"global\n    nbthread {threads}\n") as haproxy:
        assert f"Nbthread: {threads}" in haproxy.api("show info")
        with Load(haproxy, HOST, clients=16, pause=0) as load:
            load.more(2000)
        assert load.seen == {200: load.total}
        assert [said for said in haproxy.alerts() if "CPUs" not in said] == []


# -- reload -----------------------------------------------------------------


def test_reload_by_the_master(haproxy_binary, agent):
    """Nobody notices a reload; a websocket outlives it."""
    with kit.HAProxy(haproxy_binary, agent, master=True) as haproxy:
        with kit.WebSocket(haproxy.port, HOST) as open_before, \
                Load(haproxy, HOST) as load:
            for _ in range(3):
                load.more(100)
                haproxy.reload()
            load.more(100)
            open_before.send(b"still there?")
            assert open_before.receive() == (2, b"still there?")
        assert load.seen == {200: load.total}


def test_takeover_by_a_new_process(haproxy_binary, agent):
    """haproxy -x SOCKET -sf PID: the way without a master."""
    with kit.HAProxy(haproxy_binary, agent) as old:
        with Load(old, HOST) as load:
            load.more(100)
            with kit.HAProxy(
                    haproxy_binary, agent, env={
                        "ROUTER_BIND": f"127.0.0.1:{old.port}"},
                    options=["-x", old.socket, "-sf", str(old.pid)],
                    where=old.where) as new:
                until(lambda: " host=" in new.log(), "the new one to serve")
                load.more(200)
                load.stop()
                assert new.ask(HOST).worker == "app1"
        assert load.seen == {200: load.total}
        until(lambda: not old.running, "the old one to end")
