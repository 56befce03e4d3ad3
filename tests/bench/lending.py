# SPDX-License-Identifier: MIT
"""What lending to HAProxy costs: part g of bench.py."""

import pathlib
import re
import subprocess
import urllib.request

from kit import (BUILD, fill, free_port, on_core, show, start_agent,
                 start_redis)
from tier import FILES, HAProxys, binaries

HOSTS = 100_000
RATE = 30_000  # questions a second: each host once in 3.3 s
SECONDS = 5  # a life of what is lent


def ask(agent):
    """All hosts in turn, as from an HAProxy that holds nothing."""
    run = on_core(1, [BUILD / "load", agent.where, 4, 16, RATE * SECONDS,
                      HOSTS, 0, 0, 0, 1, RATE], stdout=subprocess.DEVNULL)
    if run.wait() != 0:
        raise SystemExit("load failed")


def lends(admin):
    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics") as page:
        return int(re.search(r"fastpath_lends_total (\d+)",
                             page.read().decode()).group(1))


def lending(folder):
    """g: an agent that lends against one that does not."""
    folder = pathlib.Path(folder)
    redis = start_redis(folder)
    fill(redis, HOSTS)
    haproxys = HAProxys(binaries()[0], folder, redis, None)
    path, admin = folder / "api.sock", free_port()
    agent = start_agent(redis, "--haproxy-socket", path, "--admin",
                        f"127.0.0.1:{admin}")
    plain = start_agent(redis)
    haproxy = haproxys.start(
        FILES / "haproxy-fastpath.cfg", HAPROXY_SOCKET=path,
        SPOA_ADDR=f"127.0.0.1:{agent.where}",
        SPOE_CONF=FILES / "spoe-router-fastpath.conf")
    for server in plain, agent, agent:  # half is lent when asked for twice
        ask(server)
    without = plain.cpu_ns()
    ask(plain)
    without = plain.cpu_ns() - without
    count, before = lends(admin), (agent.cpu_ns(), haproxy.cpu_ns())
    ask(agent)
    count = lends(admin) - count
    row = {"hosts": HOSTS, "lends_per_s": count / SECONDS,
           "agent_us": (agent.cpu_ns() - before[0] - without) / count / 1e3,
           "haproxy_us": (haproxy.cpu_ns() - before[1]) / count / 1e3}
    row |= {"agent_share": row["agent_us"] * row["lends_per_s"] / 1e6,
            "haproxy_share": row["haproxy_us"] * row["lends_per_s"] / 1e6}
    show(f"Lending to HAProxy {haproxys.version}: {HOSTS:,} hosts, "
         f"{RATE:,} questions a second",
         ["", "us a loan", "share of a core"],
         [[f"HAProxy, {row['lends_per_s']:,.0f} loans a second",
           row["haproxy_us"], row["haproxy_share"]],
          ["agent, more than without lending", row["agent_us"],
           row["agent_share"]]])
    return row
