#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""All of it together for hours, while things break: see README.md.

    HOURS=1 SEED=1 RATE=100 tests/soak/soak.py build/soak

leaves there soak.csv (a line a second), faults.csv, soak.svg and verdict.txt;
the exit status says how it ended.
"""

import csv
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "tests/e2e")]

# pylint: disable=wrong-import-position
import kit  # noqa: E402
from faults import Level  # noqa: E402
from load import BROKEN, LATE, SHARES, Load  # noqa: E402
from resp import until  # noqa: E402
from trouble import RECOVERY, Faults  # noqa: E402

HOURS = float(os.environ.get("HOURS") or 1)
SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(1 << 32))
RATE = float(os.environ.get("RATE") or 100)  # requests a second

LIVE = 2.0  # seconds in which a change is live while Redis is up
CALM = 5, 10  # seconds between two faults
WARM_UP = 180  # seconds of each life of the agent that do not count for memory:
# each kind of fault touches some pages when it first comes, in one deck or two
SLOPE = 2.0  # MiB an hour that memory may grow, and in any case
NOISE = 0.5  # so many MiB in all: pages that are touched late
SHARE_OF_OTHERS = 1 - SHARES["known"] / sum(SHARES.values())
TOO_LATE = 0.01  # of them, when a busy machine lets the agent wait for Redis
CACHE = 16000  # routes, and 1000 absent fields, which random hosts fill at once
ROWS = 300  # of the plot, at most
CROWD = 60  # more faults than that have no names there, and the harmless no bar


class Changes:
    """Moves hosts by redis-cli and sees that clients notice in time."""

    def __init__(self, site, dice):
        self.site, self.dice = site, dice
        self.where = {f"moving{i}.example": None for i in range(5)}
        self.times, self.wrong = [], []
        self.lock = threading.RLock()  # one change at a time
        self.silent = 0  # faults that keep changes from going live
        self.silences = 0
        self.thread = threading.Thread(target=self.run, daemon=True)

    def disturb(self, step):
        self.silent += step
        self.silences += 1

    def run(self):
        while not self.site.ended.wait(self.dice.uniform(0.5, 1.5)):
            if not self.silent:
                self.judge()

    def judge(self):
        """One change. What a fault came between is not judged: the fault's
        own recovery is."""
        silences, begin = self.silences, self.site.clock()
        try:
            took = self.move(LIVE)
        except (AssertionError, OSError) as wrong:
            took = wrong
        if self.silent or silences != self.silences:
            return
        if isinstance(took, float):
            self.times.append(took)
        else:
            self.wrong.append(f"{begin:.1f} s: {took}")

    def move(self, patience):
        """Seconds from Redis's word to a client's reply; once the new one
        answers, the old one never does."""
        with self.lock:
            host = self.dice.choice(sorted(self.where))
            new = self.dice.choice([name for name in ("m1", "m2", None)
                                    if name != self.where[host]])
            if new:
                self.site.redis.cmd("HSET", "routes", host,
                                    self.site.movers[new].target)
            else:
                self.site.redis.cmd("HDEL", "routes", host)
            self.where[host] = new
            begin = time.monotonic()
            until(lambda: self.is_at(host, new), f"{host} -> {new}", patience)
            took = time.monotonic() - begin
            for _ in range(3):
                assert self.is_at(host, new), f"{host}: back from {new}"
            return took

    def is_at(self, host, name):
        try:
            reply = self.site.haproxy.ask(host)
        except OSError:
            return False
        return (reply.worker == name if name else reply.status == 404)


class Site:
    """The whole: Redis, its backup, the agent, HAProxy, workers."""

    def __init__(self, dice):
        start = time.monotonic()
        self.clock = lambda: time.monotonic() - start
        self.ended = threading.Event()
        # what it was told is on disk before it says so
        self.redis = kit.Redis("--appendonly", "yes")
        self.backup = kit.Redis("--replicaof", "127.0.0.1",
                                str(self.redis.port))
        self.workers = [kit.Worker(f"w{i}") for i in (1, 2, 3)]
        self.movers = {name: kit.Worker(name) for name in ("m1", "m2")}
        self.hosts = self.write_routes()
        until(lambda: self.backup.cmd("HLEN", "routes").stdout ==
              self.redis.cmd("HLEN", "routes").stdout, "the backup", RECOVERY)
        self.start_agent()
        self.haproxy = kit.HAProxy(
            kit.binaries()[0], self.agent, master=True,
            before="global\n    nbthread 2\n",
            env={"ROUTER_FEEDBACK": self.feedback})
        self.changes = Changes(self, dice)

    def write_routes(self):
        """{host: {names of its workers}}: 200 with one, 50 with two."""
        hosts, words = {}, []
        for i in range(250):
            some = self.workers[i % 3:i % 3 + 1] if i < 200 else [
                self.workers[i % 3], self.workers[(i + 1) % 3]]
            hosts[f"known{i}.example"] = {worker.name for worker in some}
            words += [f"known{i}.example",
                      ",".join(worker.target for worker in some)]
        self.redis.cmd("HSET", "routes", *words)
        return hosts

    def start_agent(self):
        admin = kit.free_port()
        self.feedback = f"127.0.0.1:{kit.free_port()}"
        self.config = self.redis.folder / "spoa-router.conf"
        self.write_config(ttl=10)
        self.agent = kit.Agent(
            "--listen", f"127.0.0.1:{kit.free_port()}",
            "--config", self.config, "--admin", f"127.0.0.1:{admin}",
            "--redis", self.redis.url, "--redis", self.backup.url,
            "--snapshot", self.redis.folder / "snapshot", "--preload",
            "--empty-guard", "on", "--cache-size", CACHE,
            "--feedback", f"udp:{self.feedback}")
        self.level = Level(self.agent, admin)
        until(lambda: self.level.count("push_connected") == 1, "pushes",
              RECOVERY)
        self.level.note(0)

    def write_config(self, ttl):
        self.config.write_text(f"ttl = {ttl}s\n")

    def recover(self):
        """Every host is served, and changes go live."""
        until(lambda: self.haproxy.agent_state() == "UP", "the agent to be up",
              RECOVERY)
        self.changes.move(RECOVERY)
        for worker in self.workers:
            host = next(host for host, names in self.hosts.items()
                        if names == {worker.name})
            until(lambda h=host: self.haproxy.ask(h).status == 200, host,
                  RECOVERY)

    def close(self):
        self.ended.set()
        kit.Process.close_all()


class Samples:
    """A line a second: what the agent holds, what clients got."""

    FIELDS = ("second", "life", "rss_mib", "fds", "connections", "flights",
              "waiting", "requests", "p50_ms", "p99_ms", "s200", "s404",
              "s502", "s503", "broken", "late", "other", "fault")

    def __init__(self, site, load, faults, path):
        self.site, self.load, self.faults = site, load, faults
        self.rows, self.requests = [], []
        self.file = open(path, "w", newline="")
        self.csv = csv.DictWriter(self.file, self.FIELDS, restval="")
        self.csv.writeheader()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        second = int(self.site.clock())
        while not self.site.ended.is_set():
            second += 1
            self.site.ended.wait(max(0, second - self.site.clock()))
            row = {"second": second, **self.agent(), **self.clients(),
                   "fault": self.fault()}
            self.rows.append(row)
            self.csv.writerow(row)
            self.file.flush()

    def fault(self):
        return next((window.name for window in self.faults.windows[-1:]
                     if window.end is None), "")

    def agent(self):
        """Nothing while there is none."""
        try:
            found = self.site.level.metrics()
            agent = self.site.agent
            return {"life": agent.pid, "fds": agent.fds(),
                    "rss_mib": round(agent.rss() / (1 << 20), 3), **{
                        name: int(found[f"spoa_router_{name}"]) for name in
                        ("connections", "flights", "waiting")}}
        except Exception:  # pylint: disable=broad-except
            return {}

    def clients(self):
        new = self.load.new()
        self.requests += [one for one in new if one.kind != "known" and
                          one.status != 404 or one.kind == "known" and
                          (one.status != 200 or one.worker not in
                           self.site.hosts[one.host])]
        seen = Counter(one.status for one in new)
        took = sorted((one.end - one.begin) * 1000 for one in new)
        named = {"s200": 200, "s404": 404, "s502": 502, "s503": 503,
                 "broken": BROKEN, "late": LATE}
        counts = {name: seen.pop(status, 0) for name, status in named.items()}
        return {"requests": len(new), **counts, "other": sum(seen.values()),
                **({"p50_ms": round(took[len(took) // 2], 2),
                    "p99_ms": round(took[len(took) * 99 // 100], 2)}
                   if took else {})}


# -- the verdict --------------------------------------------------------------


def growth(rows):
    """(MiB an hour, hours): one slope through all lives of the agent, each
    with a level of its own and without its warm-up."""
    lives = {}
    for row in rows:
        if row.get("life"):
            lives.setdefault(row["life"], []).append(
                (row["second"] / 3600, row["rss_mib"]))
    above = below = seconds = 0
    for points in lives.values():
        points = points[WARM_UP:]
        if len(points) < 2:
            continue
        when = statistics.fmean(x for x, _ in points)
        size = statistics.fmean(y for _, y in points)
        above += sum((x - when) * (y - size) for x, y in points)
        below += sum((x - when) ** 2 for x, _ in points)
        seconds += len(points)
    return (above / below if below else 0), seconds / 3600


def is_allowed(request, windows):
    return any(window.covers(request) and window.allows(request)
               for window in windows)


class Verdict:
    """Lines that say what was looked at, and whether it was right."""

    def __init__(self):
        self.lines, self.is_good = [], True

    def fact(self, text):
        self.lines.append(f"       {text}")

    def judge(self, is_good, text, details=()):
        self.is_good = self.is_good and bool(is_good)
        self.lines.append(f"{'good ' if is_good else 'WRONG'}  {text}")
        self.lines += [f"         {detail}" for detail in list(details)[:20]]


def judge_requests(verdict, samples, hosts, windows):
    failed = [one for one in samples.requests if one.status not in (200, 404)
              or one.kind == "known" and one.status == 404]
    wrong = [one for one in samples.requests if one.worker and
             one.worker not in hosts.get(one.host, ())]
    bad = {kind: [one for one in failed if (one.kind == "known") == kind and
                  not is_allowed(one, windows)] for kind in (True, False)}
    known = sum(one.kind == "known" for one in failed)
    verdict.fact(f"{sum(row['requests'] for row in samples.rows)} requests, "
                 f"of which {known} of known hosts and {len(failed) - known} "
                 "of others failed")
    verdict.judge(not bad[True], f"{len(bad[True])} requests of known hosts "
                  "failed other than by a fault that allows it", bad[True])
    others = sum(row["requests"] for row in samples.rows) * SHARE_OF_OTHERS
    verdict.judge(len(bad[False]) <= others * TOO_LATE,
                  f"{len(bad[False])} requests of others "
                  "got no 404 while Redis and the agent were up", bad[False])
    verdict.judge(not wrong, f"{len(wrong)} requests reached a worker that "
                  "their host does not name", wrong)


def judge_changes(verdict, changes):
    times = sorted(changes.times)
    worst = f", the slowest in {times[-1] * 1000:.0f} ms" if times else ""
    middle = (f", half of them in {times[len(times) // 2] * 1000:.0f} ms"
              if times else "")
    verdict.judge(times and not changes.wrong,
                  f"{len(times)} changes were live within {LIVE:g} s{middle}"
                  f"{worst}; {len(changes.wrong)} were not", changes.wrong)


def judge_memory(verdict, rows):
    slope, hours = growth(rows)
    if not hours:
        verdict.judge(False, "too short a run to say how memory grows")
        return
    bound = SLOPE + NOISE / hours
    verdict.judge(slope < bound,
                  f"memory grew by {slope:.2f} MiB an hour in {hours * 60:.1f} "
                  f"minutes after warm-up; bound {bound:.2f} ({SLOPE:g} an "
                  f"hour and {NOISE:g} in all)")


def judge_level(verdict, site):
    """Without HAProxy the agent holds what it held before."""
    site.haproxy.stop()
    wrong = []
    try:
        site.level.check()
    except AssertionError as error:
        wrong.append(str(error) or "memory")
    verdict.judge(not wrong, f"{site.agent.fds()} descriptors at the end, "
                  f"{site.level.fds} at the start; no flight, no waiter",
                  wrong)
    verdict.judge(site.agent.stop() == 0, "the agent ended with status 0")


# -- what is left behind ------------------------------------------------------


def thin(rows):
    """At most ROWS: the greatest of each value, the middle of p50."""
    step = -(-len(rows) // ROWS)
    fields = [name for name in Samples.FIELDS if name not in ("life", "fault")]
    for i in range(0, len(rows), step):
        some = rows[i:i + step]
        found = {name: [row[name] for row in some if row.get(name) not in
                        (None, "")] for name in fields}
        yield [(statistics.median if name == "p50_ms" else max)(found[name])
               if found[name] else "NaN" for name in fields]


def plot(folder, samples, windows, title):
    rows = samples.rows
    with open(folder / "plot.dat", "w") as file:
        for row in thin(rows):
            print(*row, file=file)
    ends = [row["second"] for row in rows]
    with open(folder / "faults.csv", "w") as file:
        for window in windows:
            end = window.end or ends[-1]
            print(f"{window.begin:.1f},{end:.1f},{window.name}", file=file)
    is_crowded = len(windows) > CROWD
    with open(folder / "faults.gp", "w") as file:
        for window in windows:
            if is_crowded and not window.fails:
                continue
            colour = "#f4c7c3" if window.fails else "#d9e2f2"
            end = max(window.end or ends[-1], window.begin + 1)
            print(f"set object rect from {window.begin:.1f},graph 0 to "
                  f"{end:.1f},graph 1 behind fc rgb '{colour}' fs noborder",
                  file=file)
    with open(folder / "names.gp", "w") as file:
        for window in [] if is_crowded else windows:
            print(f"set label '{window.name}' at {window.begin:.1f},graph 0.97"
                  " right rotate by 90 font ',8' offset 0.5,0", file=file)
    subprocess.run(["gnuplot", "-e", f"title='{title}'; last={ends[-1]}",
                    str(TOP / "tests/soak/plot.gp")], cwd=folder, check=True)


def soak(site, faults, dice):
    """Faults until the time is over; a failed recovery ends it early."""
    end = HOURS * 3600
    while site.clock() < end:
        site.ended.wait(dice.uniform(*CALM))
        if site.clock() < end:
            name = faults.next()
            window = faults.windows[-1]
            print(f"{site.clock():7.0f} s  {name}, over in "
                  f"{window.end - window.begin:.1f} s", flush=True)
    site.ended.wait(CALM[0])


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else TOP / "build/soak")
    folder.mkdir(parents=True, exist_ok=True)
    dice = random.Random(SEED)
    versions = (f"HAProxy {'.'.join(map(str, kit.version(kit.binaries()[0])))}"
                f", {kit.redis_name(kit.redis_binaries()[0])}")
    title = f"{HOURS * 60:g} minutes, SEED={SEED}, {RATE:g} requests/s, {versions}"
    print(title, flush=True)
    verdict = Verdict()
    verdict.fact(title)
    site = Site(random.Random(f"{SEED} changes"))
    load = Load(site.haproxy.port, site.hosts, SEED, site.clock, RATE)
    faults = Faults(site, dice)
    samples = Samples(site, load, faults, folder / "soak.csv")
    for thread in load, site.changes.thread, samples.thread:
        thread.start()
    try:
        soak(site, faults, dice)
    except (AssertionError, OSError) as wrong:
        verdict.judge(False, f"{faults.windows[-1].name}: {wrong}")
    site.ended.set()
    load.stop()
    for thread in site.changes.thread, samples.thread:
        thread.join(RECOVERY)
    verdict.fact(f"{len(faults.windows)} faults: " + ", ".join(
        f"{count} {name}" for name, count in sorted(
            Counter(window.name for window in faults.windows).items())))
    judge_requests(verdict, samples, site.hosts, faults.windows)
    judge_changes(verdict, site.changes)
    judge_memory(verdict, samples.rows)
    judge_level(verdict, site)
    (folder / "agent.log").write_text(site.agent.log())
    plot(folder, samples, faults.windows, title)
    verdict.lines.append("sound" if verdict.is_good else "NOT SOUND")
    text = "\n".join(verdict.lines) + "\n"
    (folder / "verdict.txt").write_text(text)
    print(text, end="")
    site.close()
    return not verdict.is_good


if __name__ == "__main__":
    sys.exit(main())
