# SPDX-License-Identifier: MIT
"""Processes and what they cost, for bench.py and tier.py."""

import os
import pathlib
import socket
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parents[1]
BUILD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build/release")
BUILD = BUILD.resolve() / "tests/bench"
AGENT = str(TOP / os.environ.get("SPOA_ROUTER", "build/spoa-router"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))

os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin:/sbin"

running = []


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def on_core(core, command, **options):
    if (os.cpu_count() or 1) > 1:
        command = ["taskset", "-c", core, *command]
    return subprocess.Popen(list(map(str, command)), **options)


class Server:
    """A program that listens on a port or a Unix socket, pinned to a core."""

    def __init__(self, command, where, core=0, **options):
        self.where = where
        self.process = on_core(core, command, stdout=subprocess.DEVNULL,
                               **{"stderr": subprocess.DEVNULL, **options})
        running.append(self)
        self.wait_ready()

    def wait_ready(self):
        for _ in range(1000):
            try:
                if isinstance(self.where, int):
                    socket.create_connection(("127.0.0.1", self.where)).close()
                else:
                    with socket.socket(socket.AF_UNIX) as probe:
                        probe.connect(str(self.where))
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.01)
        raise SystemExit(f"{self.process.args}: nothing listens on "
                         f"{self.where}")

    def cpu_ns(self):
        """What its threads ran, the first number of schedstat."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0])
                   for task in tasks)

    def rss_kib(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0])

    def stop(self):
        running.remove(self)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def stop_all():
    for server in running[::-1]:
        server.stop()


def start_redis(folder):
    port = free_port()
    return Server(["redis-server", "--port", port, "--save", "", "--dir",
                   folder, "--bind", "127.0.0.1"], port)


def fill(redis, count, target=None, key="routes", digits=7):
    """h0000000.example.com and so on, each with one target."""
    with subprocess.Popen(["redis-cli", "-p", str(redis.where), "--pipe"],
                          stdin=subprocess.PIPE, text=True,
                          stdout=subprocess.DEVNULL) as pipe:
        for n in range(count):
            to = target or (f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"
                            ":9000")
            pipe.stdin.write(f"HSET {key} h{n:0{digits}}.example.com {to}\r\n")


def start_agent(redis, *options, where=None, core=0):
    where = where or free_port()
    listen = f"127.0.0.1:{where}" if isinstance(where, int) \
        else f"unix:{where}"
    return Server([AGENT, "--listen", listen, "--redis",
                   f"redis://127.0.0.1:{redis.where}", "--ttl", "1h",
                   *options], where, core)


def start_floor(*arguments, core=0):
    port = free_port()
    return Server([BUILD / "floor", port, *arguments], port, core)


def load(server, connections, in_flight, frames, hosts, first=0, percent=0,
         new=0, stride=1):
    """(CPU ns per answer, answers per second); all answers must be `ok`."""
    before, start = server.cpu_ns(), time.monotonic()
    run = on_core(1, [BUILD / "load", server.where, connections, in_flight,
                      frames, hosts, first, percent, new, stride],
                  stdout=subprocess.PIPE, text=True)
    answered, ok = map(int, run.communicate()[0].split())
    seconds = time.monotonic() - start
    if ok != answered:
        raise SystemExit(f"only {ok} of {answered} answers said ok")
    return (server.cpu_ns() - before) / answered, answered / seconds


median = statistics.median


def show(title, columns, rows):
    """A table for people: the first column to the left, numbers right."""
    cells = [columns] + [[cell if isinstance(cell, str) else
                          f"{cell:,.{2 if abs(cell) < 100 else 0}f}"
                          if isinstance(cell, float) else
                          f"{cell:,}" if isinstance(cell, int) else "-"
                          for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    print(f"\n{title}\n")
    for row in cells:
        print("  ".join([row[0].ljust(widths[0]),
                         *(cell.rjust(width) for cell, width in
                           zip(row[1:], widths[1:]))]).rstrip(), flush=True)
