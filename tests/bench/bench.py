#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Measures the agent and its competitors: see README.md beside this file.

    bench.py BUILD      BUILD holds tests/bench/floor, load and worker
"""

import json
import os
import pathlib
import subprocess
import tempfile
import time

import kit
from kit import (ROUNDS, fill, load, median, on_core, show, start_agent,
                 start_floor, start_redis)
from lending import lending
from tier import whole_tier

FRAMES = 200_000
SHAPES = [(1, 1, 20_000), (4, 16, FRAMES), (4, 128, FRAMES)]
BALANCED = [("one target", 1, "roundrobin"), ("two", 2, "roundrobin"),
            ("ten", 10, "roundrobin"), ("source of three", 3, "source"),
            ("source of ten", 10, "source")]
MISSES = 40_000
MILLION = 1_000_000
SCATTERED = 2_654_435_761  # a prime stride: hosts in no order of memory


def agent_alone(folder):
    """a: against the floor, by connections and questions in flight."""
    redis = start_redis(folder)
    fill(redis, 1000)
    agent, floor = start_agent(redis), start_floor()
    load(agent, 4, 128, 10_000, 1000)
    rows = []
    for connections, in_flight, frames in SHAPES:
        ours, theirs = [], []
        for _ in range(ROUNDS):
            theirs.append(load(floor, connections, in_flight, frames, 1000))
            ours.append(load(agent, connections, in_flight, frames, 1000))
        rows.append({
            "connections": connections, "in_flight": in_flight,
            "agent_ns": median(ns for ns, _ in ours),
            "floor_ns": median(ns for ns, _ in theirs),
            "ratio": median(our[0] / their[0]
                            for our, their in zip(ours, theirs)),
            "answers_per_s": median(rate for _, rate in ours)})
    show("Agent alone, 1,000 hosts, all from cache; floor: a libevent server "
         "that writes a fixed ACK",
         ["connections x in flight", "agent ns", "floor ns", "ratio",
          "answers/s"],
         [[f"{row['connections']} x {row['in_flight']}", row["agent_ns"],
           row["floor_ns"], row["ratio"], row["answers_per_s"]]
          for row in rows])
    return rows


def balanced(folder):
    """h: routes with several targets against routes with one."""
    redis = start_redis(folder)
    agents = {}
    for name, count, balance in BALANCED:
        targets = ", ".join(f"10.0.0.{n + 1}:9000" for n in range(count))
        key = name.replace(" ", "-")
        fill(redis, 1000, f'"{targets}; balance {balance} check none"', key)
        agents[name] = start_agent(redis, "--routes", key)
        load(agents[name], 4, 128, 10_000, 1000)
    runs = [[load(agent, 4, 128, FRAMES, 1000)[0]
             for agent in agents.values()] for _ in range(ROUNDS)]
    rows = [{"targets": name, "agent_ns": median(run[i] for run in runs),
             "ratio": median(run[i] / run[0] for run in runs)}
            for i, name in enumerate(agents)]
    show("By targets of a route, 4 x 128, all from cache",
         ["", "agent ns", "ratio"],
         [[row["targets"], row["agent_ns"], row["ratio"]] for row in rows])
    return rows


def hit_ratio(folder):
    """b: by the share of questions that the cache can answer."""
    redis = start_redis(folder)
    fill(redis, MISSES * (ROUNDS * 3 // 2 + 2))
    agent = start_agent(redis, "--lookup-timeout", "5s")
    load(agent, 4, 16, 1000, 1000)
    new, rows = 1000, []
    for percent in 0, 50, 100:
        runs = []
        for _ in range(ROUNDS):
            before = redis.cpu_ns()
            runs.append((*load(agent, 4, 16, MISSES, 1000, 0, percent, new),
                         (redis.cpu_ns() - before) / MISSES))
            new += MISSES * percent // 100
        ns, rate, redis_ns = map(median, zip(*runs))
        rows.append({"hits_percent": 100 - percent, "agent_ns": ns,
                     "redis_ns": redis_ns, "answers_per_s": rate})
    show("By hit ratio, 4 x 16; Redis on the agent's core",
         ["hits", "agent ns", "Redis ns", "answers/s"],
         [[f"{row['hits_percent']} %", row["agent_ns"], row["redis_ns"],
           row["answers_per_s"]] for row in rows])
    return rows


def many_hosts(folder):
    """c and e: by the number of cached hosts, and their memory."""
    redis = start_redis(folder)
    fill(redis, MILLION)
    agent = start_agent(redis, "--cache-size", MILLION, "--lookup-timeout",
                        "5s")
    before, rows = agent.rss_kib(), []
    for hosts in (1000, 100_000, MILLION):
        load(agent, 4, 128, hosts, hosts)
        costs = [load(agent, 4, 128, FRAMES, hosts, n * FRAMES,
                      stride=SCATTERED)[0] for n in range(ROUNDS)]
        rows.append({"hosts": hosts, "agent_ns": median(costs)})
    per_route = (agent.rss_kib() - before) * 1024 / MILLION
    show("By number of cached hosts, 4 x 128, hosts in random order", ["hosts", "agent ns"],
         [[f"{row['hosts']:,}", row["agent_ns"]] for row in rows])
    print(f"\nMemory: {per_route:.0f} bytes a route, all in, at 1,000,000 "
          "cached routes (20-byte host, one target)", flush=True)
    return {"by_hosts": rows, "bytes_per_route": per_route}


def redis_benchmark(redis, count):
    """Redis' CPU ns per HMGET of what the agent asks for."""
    before = redis.cpu_ns()
    run = on_core(1, ["redis-benchmark", "-p", redis.where, "-c", 1, "-P", 64,
                      "-n", MISSES, "-r", count, "HMGET", "lookups",
                      "h__rand_int__.example.com"], stdout=subprocess.DEVNULL)
    if run.wait() != 0:
        raise SystemExit("redis-benchmark failed")
    return (redis.cpu_ns() - before) / MISSES


def miss_path(folder):
    """f: what a lookup costs Redis and the agent."""
    redis = start_redis(folder)
    count = MISSES * (ROUNDS + 1)
    fill(redis, count)
    fill(redis, count, key="lookups", digits=12)
    agent = start_agent(redis, "--lookup-timeout", "5s")
    load(agent, 4, 16, MISSES, count, 0, stride=SCATTERED)
    runs = []
    for n in range(1, ROUNDS + 1):
        theirs, before = redis_benchmark(redis, count), redis.cpu_ns()
        ns, _ = load(agent, 4, 16, MISSES, count, n * MISSES,
                     stride=SCATTERED)
        runs.append((ns, (redis.cpu_ns() - before) / MISSES, theirs))
    row = dict(zip(("agent_ns", "redis_ns", "redis_benchmark_ns"),
                   map(median, zip(*runs))))
    show("A miss, 4 x 16; redis-benchmark: the same HMGET, -c 1 -P 64",
         ["", "ns a lookup"],
         [["agent", row["agent_ns"]], ["Redis, asked by the agent",
                                       row["redis_ns"]],
          ["Redis, asked by redis-benchmark", row["redis_benchmark_ns"]]])
    return row


PARTS = [("a", "agent_alone", agent_alone), ("b", "hit_ratio", hit_ratio),
         ("ce", "many_hosts", many_hosts), ("d", "whole_tier", whole_tier),
         ("f", "miss_path", miss_path), ("g", "lending", lending),
         ("h", "balanced", balanced)]


def main():
    wanted = os.environ.get("BENCH", "").replace(",", "") or "abcdefgh"
    result, start = {"rounds": ROUNDS}, time.monotonic()
    for letters, name, part in PARTS:
        if not set(letters) & set(wanted):
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                result[name] = part(folder)
            finally:
                kit.stop_all()
    print(f"\n{time.monotonic() - start:.0f} s, medians of {ROUNDS} rounds")
    if "BENCH_JSON" in os.environ:
        pathlib.Path(os.environ["BENCH_JSON"]).write_text(
            json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
