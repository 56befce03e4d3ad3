# SPDX-License-Identifier: MIT
"""What lending to HAProxy costs: part g of bench.py."""

import pathlib
import re
import socket
import subprocess
import time
import urllib.request

from kit import (BUILD, fill, free_port, on_core, show, start_agent,
                 start_redis, stop_all)
from tier import FILES, HAProxys, binaries

HOSTS = 100_000
RATE = 300_000  # questions a second: each host is asked for three times
SECONDS = 5  # a life of what is lent


def ask(agent, seconds=SECONDS, watched=None):
    """All hosts in turn, as from an HAProxy that holds nothing. Returns the most
    that the watched table ever held."""
    run = on_core(1, [BUILD / "load", agent.where, 4, 128, RATE * seconds,
                      HOSTS, 0, 0, 0, 1, RATE], stdout=subprocess.DEVNULL)
    most = 0
    while watched and run.poll() is None:
        most = max(most, held(watched))
        time.sleep(0.1)
    if run.wait() != 0:
        raise SystemExit("load failed")
    return most


def lends(admin):
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics") as page:
        return int(re.search(r"fastpath_lends_total (\d+)",
                             page.read().decode()).group(1))


def held(path):
    """How many hosts HAProxy's table holds."""
    with socket.socket(socket.AF_UNIX) as api:
        api.connect(str(path))
        api.sendall(b"show table routes\n")  # more of it is not fetched
        return int(re.search(r"used:(\d+)", api.recv(200).decode()).group(1))


def lend(binary, folder, redis):
    """Figures of one HAProxy: an agent that lends against one that does not."""
    haproxys = HAProxys(binary, folder, redis, None)
    path, admin = folder / f"api-{haproxys.version}.sock", free_port()
    plain = start_agent(redis, "--lookup-timeout", "5s")
    agent = start_agent(redis, "--lookup-timeout", "5s", "--haproxy-socket",
                        path, "--admin", f"127.0.0.1:{admin}")
    haproxy = haproxys.start(
        FILES / "haproxy-fastpath.cfg", HAPROXY_SOCKET=path,
        SPOA_ADDR=f"127.0.0.1:{agent.where}",
        SPOE_CONF=FILES / "spoe-router-fastpath.conf")
    ask(plain, 1)
    without = plain.cpu_ns()
    ask(plain)
    without = plain.cpu_ns() - without
    row = {"haproxy": haproxys.version, "held": ask(agent, SECONDS + 2, path)}
    count, before = lends(admin), (agent.cpu_ns(), haproxy.cpu_ns())
    ask(agent)
    count = lends(admin) - count
    row |= {"lends_per_s": count / SECONDS,
            "agent_us": (agent.cpu_ns() - before[0] - without) / count / 1e3,
            "haproxy_us": (haproxy.cpu_ns() - before[1]) / count / 1e3,
            "held_later": held(path)}
    row |= {"agent_share": row["agent_us"] * row["lends_per_s"] / 1e6,
            "haproxy_share": row["haproxy_us"] * row["lends_per_s"] / 1e6}
    return row


def lending(folder):
    """g: with each HAProxy."""
    folder = pathlib.Path(folder)
    rows = []
    for binary in binaries():
        redis = start_redis(folder)
        fill(redis, HOSTS)
        rows.append(lend(binary, folder, redis))
        stop_all()
    show(f"Lending {HOSTS:,} hot hosts: CPU; the agent's is what it takes "
         "more than without",
         ["", "held at once", "a life later", "loans/s", "us a loan, agent",
          "HAProxy", "share of a core, agent", "HAProxy"],
         [[f"HAProxy {row['haproxy']}", row["held"], row["held_later"],
           row["lends_per_s"], row["agent_us"], row["haproxy_us"],
           row["agent_share"], row["haproxy_share"]] for row in rows])
    return rows
