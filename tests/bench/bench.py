#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Measures the agent by itself: see README.md beside this file.

    bench.py BUILD      BUILD holds tests/bench/floor and load
"""

import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(sys.argv[1]).resolve()
AGENT = os.environ.get("SPOA_ROUTER", "build/spoa-router")
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
FRAMES = 200_000
SHAPES = [(1, 1, 20_000), (4, 16, FRAMES), (4, 128, FRAMES)]
MILLION = 1_000_000


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_port(port):
    for _ in range(500):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.01)
    raise SystemExit(f"nothing listens on port {port}")


def on_core(core, command, **options):
    if (os.cpu_count() or 1) > 1:
        command = ["taskset", "-c", str(core), *map(str, command)]
    return subprocess.Popen(list(map(str, command)), **options)


class Server:
    """A program that listens on a port, on the first core."""

    def __init__(self, command, port, **options):
        self.port = port
        self.process = on_core(0, command, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, **options)
        wait_port(port)

    def cpu_ns(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/schedstat").read_text()
        return int(text.split()[0])

    def rss_kib(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0])

    def stop(self):
        self.process.terminate()
        self.process.wait()


def load(server, connections, in_flight, frames, hosts, first=0):
    """(CPU ns per answer, answers per second, share of ok)."""
    before, start = server.cpu_ns(), time.monotonic()
    run = on_core(1, [BUILD / "tests/bench/load", server.port, connections,
                      in_flight, frames, hosts, first],
                  stdout=subprocess.PIPE, text=True)
    answered, ok = map(int, run.communicate()[0].split())
    seconds = time.monotonic() - start
    return ((server.cpu_ns() - before) / answered, answered / seconds,
            ok / answered)


def start_redis(folder):
    port = free_port()
    return Server(["redis-server", "--port", port, "--save", "", "--dir",
                   folder, "--bind", "127.0.0.1"], port)


def fill(redis, count):
    """h0000000.example.com and so on, each with one target."""
    with subprocess.Popen(["redis-cli", "-p", str(redis.port), "--pipe"],
                          stdin=subprocess.PIPE, text=True,
                          stdout=subprocess.DEVNULL) as pipe:
        for n in range(count):
            pipe.stdin.write(f"HSET routes h{n:07}.example.com "
                             f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"
                             ":9000\r\n")


def start_agent(redis, *options):
    port = free_port()
    return Server([AGENT, "--listen", f"127.0.0.1:{port}", "--redis",
                   f"redis://127.0.0.1:{redis.port}", "--ttl", "1h",
                   *options], port)


def agent_against_floor(redis, result):
    agent = start_agent(redis)
    port = free_port()
    floor = Server([BUILD / "tests/bench/floor", port], port)
    load(agent, 4, 128, 10_000, 1000)
    print("\nAgent alone, 1,000 hosts, all from cache, against a libevent "
          "server that writes a fixed ACK\n")
    print("connections x in flight   agent ns/answer   floor ns/answer   "
          "ratio   answers/s")
    for connections, in_flight, frames in SHAPES:
        ours, theirs, rates, ratios = [], [], [], []
        for _ in range(ROUNDS):
            theirs.append(load(floor, connections, in_flight, frames, 1000)[0])
            ns, rate, ok = load(agent, connections, in_flight, frames, 1000)
            assert ok == 1, f"only {ok:.2%} were answered ok"
            ours.append(ns)
            rates.append(rate)
            ratios.append(ours[-1] / theirs[-1])
        row = {"connections": connections, "in_flight": in_flight,
               "agent_ns": statistics.median(ours),
               "floor_ns": statistics.median(theirs),
               "ratio": statistics.median(ratios),
               "answers_per_s": statistics.median(rates)}
        result["agent_alone"].append(row)
        print(f"{connections:>11} x {in_flight:<9} {row['agent_ns']:>16.0f} "
              f"{row['floor_ns']:>17.0f} {row['ratio']:>7.2f} "
              f"{row['answers_per_s']:>11.0f}")
    agent.stop()
    floor.stop()


def many_hosts(redis, result):
    fill(redis, MILLION)
    agent = start_agent(redis, "--cache-size", MILLION,
                        "--lookup-timeout", "5s")
    before = agent.rss_kib()
    print("\nThe same by number of cached hosts, 4 x 128\n")
    print("hosts      ns/answer")
    for hosts in (1000, 100_000, MILLION):
        load(agent, 4, 128, hosts, hosts)
        costs = []
        for n in range(ROUNDS):
            ns, _, ok = load(agent, 4, 128, FRAMES, hosts,
                             n * 199_933 % (hosts - min(hosts, FRAMES) + 1))
            assert ok == 1, f"only {ok:.2%} were answered ok"
            costs.append(ns)
        result["by_hosts"].append({"hosts": hosts,
                                   "ns": statistics.median(costs)})
        print(f"{hosts:<10} {statistics.median(costs):.0f}")
    per_route = (agent.rss_kib() - before) * 1024 / MILLION
    result["bytes_per_route"] = per_route
    print(f"\nMemory: {per_route:.0f} bytes a route, all in, at 1,000,000 "
          "cached routes (20-byte host, one target)")
    agent.stop()


def main():
    result = {"agent_alone": [], "by_hosts": []}
    with tempfile.TemporaryDirectory() as folder:
        redis = start_redis(folder)
        try:
            fill(redis, 1000)
            agent_against_floor(redis, result)
            many_hosts(redis, result)
        finally:
            redis.stop()
    if "BENCH_JSON" in os.environ:
        pathlib.Path(os.environ["BENCH_JSON"]).write_text(
            json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
