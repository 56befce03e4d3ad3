# SPDX-License-Identifier: MIT
"""The whole proxy tier under wrk: part d of bench.py."""

import os
import pathlib
import re
import shutil
import subprocess

from kit import (HERE, ROUNDS, TOP, BUILD, Server, fill, free_port, median,
                 on_core, show, start_agent, start_floor, start_redis)

HOSTS = 1000
CONNECTIONS = 32
SECONDS = 2
LENT_SECONDS = 5  # the `expire` of the table
FILES = TOP / "haproxy"
NGINX_LUA = ["/usr/lib/nginx/modules/ngx_http_lua_module.so",
             "/usr/share/lua/5.1/nginx/redis.lua",
             "/usr/share/lua/5.1/ngx/balancer.lua"]


class Tier:
    """Proxy and agent of one competitor, and what was measured."""

    def __init__(self, name, port, proxy=None, agent=None, base=None):
        self.name, self.port, self.base = name, port, base
        self.proxy, self.agent = proxy, agent
        self.warm, self.seconds = 0, SECONDS
        self.runs = []

    def measure(self, worker):
        parts = {"proxy": self.proxy, "agent": self.agent, "worker": worker}
        if self.warm:
            wrk(self.port, self.warm)
        before = {part: server.cpu_ns() for part, server in parts.items()
                  if server}
        figures = wrk(self.port, self.seconds)
        run = {part: (parts[part].cpu_ns() - ns) / 1000 / figures["requests"]
               for part, ns in before.items()}
        run["tier"] = run.get("proxy", 0) + run.get("agent", 0)
        self.runs.append({**figures, **run})

    def middle(self, what):
        if what not in self.runs[0]:
            return None
        return float(median(run[what] for run in self.runs))

    def ratio(self):
        """To the map of the same HAProxy, in the same round."""
        if not self.base:
            return None
        return median(ours["tier"] / theirs["tier"] for ours, theirs in
                      zip(self.runs, self.base.runs))


def wrk(port, seconds):
    run = on_core(1, ["wrk", "-t1", f"-c{CONNECTIONS}",
                      f"-d{seconds}", "-s", HERE / "hosts.lua",
                      f"http://127.0.0.1:{port}/"],
                  stdout=subprocess.PIPE, text=True)
    out = run.communicate()[0]
    requests, us, p50, p99, failed = map(
        int, re.search(r"FIGURES ([\d ]+)", out).group(1).split())
    if failed or not requests:
        raise SystemExit(f"{failed} of {requests} requests failed:\n{out}")
    return {"requests": requests, "per_s": requests / us * 1e6,
            "p50_us": p50, "p99_us": p99}


def binaries():
    named = [path for path in os.environ.get("HAPROXY", "").split(",") if path]
    return named or ["haproxy"]


def version(binary):
    out = subprocess.run([binary, "-v"], capture_output=True, text=True,
                         check=True).stdout
    return re.search(r"version ([\d.]+)", out).group(1)


class HAProxys:
    """All competitors around one HAProxy."""

    def __init__(self, binary, folder, redis, worker):
        self.binary, self.folder = binary, folder
        self.redis, self.worker = redis, worker
        self.version = version(binary)
        self.one_thread = folder / "one-thread.cfg"
        self.one_thread.write_text("global\n    nbthread 1\n")

    def start(self, config, **env):
        port = free_port()
        return Server([self.binary, "-db", "-f", self.one_thread, "-f",
                       config], port, env={
                           **os.environ, "ROUTER_BIND": f"127.0.0.1:{port}",
                           "SPOE_CONF": str(FILES / "spoe-router.conf"),
                           **{name: str(value) for name, value in
                              env.items()}})

    def tier(self, name, proxy, agent=None, base=None):
        return Tier(f"HAProxy {self.version}, {name}", proxy.where, proxy,
                    agent, base)

    def map(self, name="static map", config="map.cfg", base=None):
        ip, port = self.folder / "ip.map", self.folder / "port.map"
        hosts = [f"h{n:07}.example.com" for n in range(HOSTS)]
        ip.write_text("".join(f"{host} 127.0.0.1\n" for host in hosts))
        port.write_text("".join(f"{host} {self.worker.where}\n"
                                for host in hosts))
        return self.tier(name, self.start(
            HERE / config, MAP_IP=ip, MAP_PORT=port), base=base)

    def fast(self, base, name="fast path",
             config=FILES / "haproxy-fastpath.cfg"):
        api = self.folder / f"api-{config.stem}-{self.version}.sock"
        agent = start_agent(self.redis, "--haproxy-socket", api, core=1)
        proxy = self.start(config, SPOA_ADDR=f"127.0.0.1:{agent.where}",
                           HAPROXY_SOCKET=api,
                           SPOE_CONF=FILES / "spoe-router-fastpath.conf")
        tier = self.tier(name, proxy, agent, base)
        tier.warm, tier.seconds = 1, LENT_SECONDS  # each host is lent anew once
        return tier

    def spoe(self, base, path=None):
        agent = start_agent(self.redis, where=path, core=1)
        address = f"unix@{path}" if path else f"127.0.0.1:{agent.where}"
        proxy = self.start(FILES / "haproxy.cfg", SPOA_ADDR=address)
        return self.tier("SPOE over " + ("Unix" if path else "TCP"), proxy,
                         agent, base)

    def floor(self, base):
        floor = start_floor(self.worker.where, core=1)
        proxy = self.start(FILES / "haproxy.cfg",
                           SPOA_ADDR=f"127.0.0.1:{floor.where}")
        return self.tier("SPOE, floor", proxy, floor, base)

    def tiers(self):
        yield (base := self.map())
        yield self.fast(base)
        yield self.spoe(base, self.folder / f"agent-{self.version}.sock")
        yield self.spoe(base)
        yield self.floor(base)
        yield self.map("bare static map", "bare-map.cfg", base)
        yield self.fast(base, "bare fast path", HERE / "bare-fastpath.cfg")


def nginx(folder, redis, base):
    port = free_port()
    text = (HERE / "nginx.conf").read_text()
    for word, value in (("FOLDER", folder), ("PORT", port),
                        ("REDIS", redis.where)):
        text = re.sub(rf"\b{word}\b", str(value), text)
    config = folder / "nginx.conf"
    config.write_text(text)
    proxy = Server(["nginx", "-p", folder, "-c", config], port)
    return Tier("nginx, Lua, shared dict", port, proxy, base=base)


def start_tiers(folder, redis, worker):
    tiers = [Tier("direct to the worker", worker.where)]
    for binary in binaries():
        tiers += HAProxys(binary, folder, redis, worker).tiers()
    if shutil.which("nginx") and all(map(os.path.exists, NGINX_LUA)):
        tiers.append(nginx(folder, redis, tiers[1]))
    else:
        print("\nno nginx with Lua here: see tests/deps.sh bench")
    return tiers


def whole_tier(folder):
    """Measures and shows; returns rows for JSON."""
    folder = pathlib.Path(folder)
    port = free_port()
    worker = Server([BUILD / "worker", port], port, core=1)
    redis = start_redis(folder)
    fill(redis, HOSTS, f"127.0.0.1:{worker.where}")
    tiers = start_tiers(folder, redis, worker)
    for tier in tiers:
        wrk(tier.port, 1)
    for _ in range(ROUNDS):
        for tier in tiers:
            tier.measure(worker)
    rows = [{"name": tier.name,
             **{what: tier.middle(what) for what in
                ("per_s", "p50_us", "p99_us", "proxy", "agent", "worker",
                 "tier")}, "ratio": tier.ratio()} for tier in tiers]
    show(f"The whole tier: wrk, {CONNECTIONS} connections, {HOSTS:,} hosts; "
         "CPU in us a request; x: proxy and agent to the static map",
         ["", "requests/s", "p50 us", "p99 us", "proxy", "agent", "worker",
          "x"],
         [[row["name"], row["per_s"], row["p50_us"], row["p99_us"],
           row["proxy"], row["agent"], row["worker"], row["ratio"]]
          for row in rows])
    return rows
