#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Shows by real requests what spoa-router does; --run leaves it all running.

Uses the very files of haproxy/, real Redis, real redis-cli and curl. One line
for each thing shown: what was done, what was expected, what came. Ends with
status 0 only if all was as expected. HAPROXY (paths, separated by commas) and
SPOA_ROUTER choose other programs than those on PATH and in build/.
"""

import base64
import errno
import hashlib
import http.client
import os
import signal
import socket
import sys
import threading
import time

import stage as stages
from stage import TTL, Broken, Stage, Stopped, signals


class Client:
    """One client connection to HAProxy, opened again when it was closed."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)

    def get(self, host):
        """What came: the worker's name, the HTTP status, or what went wrong."""
        try:
            self.connection.request("GET", "/", headers={"Host": host})
            response = self.connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            return f"{type(error).__name__}: {error}"
        return response.headers.get("X-Worker", str(response.status))


class Traffic(threading.Thread):
    """Requests for two hosts, one after the other, for as long as it is told."""

    def __init__(self, port, hosts):
        super().__init__(daemon=True)
        self.client, self.hosts, self.seen, self.over = Client(port), hosts, [], False
        self.start()

    def run(self):
        while not self.over:
            for host in self.hosts:
                sent = time.monotonic()
                self.seen.append((sent, host, self.client.get(host)))
            time.sleep(0.002)

    def answers(self, host, since=0.0):
        return [(sent, came) for sent, asked, came in list(self.seen)
                if asked == host and sent >= since]

    def stop(self):
        self.over = True
        self.join(10)


def websocket_echo(port, host, text):
    """Sends a text over a websocket through HAProxy; gives what comes back."""
    key = base64.b64encode(os.urandom(16)).decode()
    wanted = base64.b64encode(hashlib.sha1(
        (key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    with socket.create_connection(("127.0.0.1", port), 5) as link:
        link.sendall((f"GET /echo HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
                      "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                      f"Sec-WebSocket-Key: {key}\r\n\r\n").encode())
        stream = link.makefile("rb")
        status = stream.readline().decode(errors="replace").strip()
        headers = {}
        while line := stream.readline().decode(errors="replace").strip():
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        if " 101 " not in f"{status} ":
            return status or "nothing"
        if headers.get("sec-websocket-accept") != wanted:
            return "101 with a wrong key"
        mask, raw = os.urandom(4), text.encode()
        link.sendall(bytes([0x81, 0x80 | len(raw)]) + mask
                     + bytes(byte ^ mask[i % 4] for i, byte in enumerate(raw)))
        first, size = stream.read(2)
        return stream.read(size & 0x7f).decode() if first == 0x81 else f"frame {first:#x}"


def curl_http2(stage, host):
    """GET over TLS and HTTP/2, the certificate checked."""
    try:
        head = stage.run(
            stages.find("curl"), "--silent", "--show-error", "--max-time", "5",
            "--noproxy", "*", "--http2", "--cacert", str(stage.certificate),
            "--resolve", f"{host}:{stage.https}:127.0.0.1",
            "--dump-header", "-", "--output", "/dev/null",
            f"https://{host}:{stage.https}/")
    except Broken as error:
        return str(error).splitlines()[-1].strip()
    status, *headers = head.splitlines()
    worker = [line.split()[1] for line in headers
              if line.lower().startswith("x-worker:")]
    return f"{status.split()[0]} {(worker or status.split()[1:])[0]}"


class Report:
    """The lines of the demo, and how many there were."""

    def __init__(self):
        self.good = self.bad = 0

    def line(self, did, expected, came, fits=None):
        fits = came == expected if fits is None else fits
        self.good, self.bad = self.good + bool(fits), self.bad + (not fits)
        print(f"  {'ok  ' if fits else 'FAIL'}  {did:<56}  {expected:<22}  {came}",
              flush=True)


def wait_for(expected, ask, limit):
    """Asks until the expected answer comes; gives (last answer, seconds)."""
    start = time.monotonic()
    while True:
        sent = time.monotonic()
        came = ask()
        if came == expected or sent - start > limit:
            return came, sent - start
        time.sleep(0.01)


def tell_routes(report, stage):
    client = Client(stage.http)
    for host, expected in (("app1.cloud.com", "worker1"),
                           ("app2.cloud.com", "worker2"),
                           ("APP1.Cloud.Com:8080", "worker1"),
                           ("any.shop.cloud.com", "worker3"),
                           ("nobody.example.com", "404")):
        note = {"any.shop.cloud.com": "  (*.shop.cloud.com)",
                "nobody.example.com": "  (no route)"}.get(host, "")
        report.line(f"GET / Host: {host}{note}", expected, client.get(host))


def tell_change(report, stage, traffic):
    stage.redis_cli("HSET", "routes", "app1.cloud.com", stage.worker(3))
    changed = time.monotonic()
    wait_for("worker3", lambda: traffic.answers("app1.cloud.com")[-1][1], TTL + 2)
    time.sleep(0.3)
    answers = traffic.answers("app1.cloud.com")
    new = next((i for i, (_, came) in enumerate(answers) if came == "worker3"), None)
    limit = TTL + 0.5
    expected = f"worker3 within {limit:.1f} s"
    if new is None:
        came, fits = f"still {answers[-1][1]}", False
    else:
        took = max(0.0, answers[new][0] - changed)
        others = {came for _, came in answers[new:]} - {"worker3"}
        wrong = {came for _, came in answers[:new]} - {"worker1"} | others
        came = f"worker3 after {took:.2f} s" + (
            f", but also {', '.join(sorted(wrong))}" if wrong else "")
        fits = took <= limit and not wrong
    report.line("redis-cli HSET routes app1.cloud.com WORKER3", expected, came, fits)


def tell_protocols(report, stage):
    report.line("curl --http2 https://app2.cloud.com/", "HTTP/2 worker2",
                curl_http2(stage, "app2.cloud.com"))
    try:
        came = websocket_echo(stage.http, "app2.cloud.com", "hello worker")
    except (OSError, ValueError) as error:
        came = f"{type(error).__name__}: {error}"
    report.line("websocket to app2.cloud.com, text sent", "hello worker", came)


def tell_outage(report, stage, traffic):
    """Redis writes its data down as it stops, as one with persistence would."""
    stage.redis_cli("SHUTDOWN", "SAVE")
    stage.redis.stop()
    stopped = time.monotonic()
    time.sleep(2 * TTL)
    for host, expected in (("app1.cloud.com", "worker3"),
                           ("app2.cloud.com", "worker2")):
        came = sorted({came for _, came in traffic.answers(host, stopped)})
        report.line(f"Redis stopped for {2 * TTL} s, GETs for {host} go on",
                    expected, ", ".join(came))
    report.line("... and a host never asked for before: no guess, no 404", "503",
                Client(stage.http).get("app3.cloud.com"))

    stage.redis.start()
    stage.redis_cli("HSET", "routes", "app3.cloud.com", stage.worker(1))
    client, limit = Client(stage.http), 5
    came, took = wait_for("worker1", lambda: client.get("app3.cloud.com"), limit)
    report.line("Redis back, HSET routes app3.cloud.com WORKER1",
                f"worker1 within {limit} s", f"{came} after {took:.2f} s",
                came == "worker1")


def tell_death(report, stage):
    """A worker is killed; a controller hears of it and starts another one."""
    mortal = stage.add_mortal()
    stage.redis_cli("HSET", "routes", "app4.cloud.com",
                    f"127.0.0.1:{mortal.port}; check tcp")
    client, limit = Client(stage.http), 10
    came, _ = wait_for("mortal", lambda: client.get("app4.cloud.com"), limit)
    report.line('HSET routes app4.cloud.com "MORTAL; check tcp"', "mortal", came)
    mortal.stop(0)
    came, took = wait_for("replacement", lambda: client.get("app4.cloud.com"), limit)
    report.line("MORTAL killed; controller.sh starts and routes another",
                f"replacement within {limit} s", f"{came} after {took:.2f} s",
                came == "replacement")


def tell_all(report, stage):
    tell_routes(report, stage)
    traffic = Traffic(stage.http, ("app1.cloud.com", "app2.cloud.com"))
    try:
        wait_for(True, lambda: len(traffic.seen) > 20, 5)
        tell_change(report, stage, traffic)
        tell_protocols(report, stage)
        tell_death(report, stage)
        tell_outage(report, stage, traffic)
    finally:
        traffic.stop()
    lost = [came for _, _, came in traffic.seen if not came.startswith("worker")]
    report.line(f"{len(traffic.seen)} GETs on one connection all the while",
                "0 failed", f"{len(lost)} failed"
                + (f": {', '.join(sorted(set(lost)))}" if lost else ""), not lost)
    for process in (stage.haproxy, stage.agent):
        process.stop()
    report.line("SIGTERM to the agent", "exit status 0", stage.agent.status)


def set_routes(stage):
    stage.redis_cli("HSET", "routes", "app1.cloud.com", stage.worker(1),
                    "app2.cloud.com", stage.worker(2),
                    "*.shop.cloud.com", stage.worker(3))


def programs(haproxy):
    version = [stages.first_line(stages.find(haproxy), "-v").split(),
               stages.first_line(stages.find("redis-server"), "--version").split("v=")]
    return (f"HAProxy {(version[0] + ['?'] * 3)[2]} and "
            f"Redis {version[1][-1].split()[0]}")


def show(haproxy):
    """The demo once, with this HAProxy; gives whether all was as expected."""
    report, start = Report(), time.monotonic()
    print(f"spoa-router with {programs(haproxy)}\n", flush=True)
    with Stage(haproxy) as stage:
        set_routes(stage)
        print(f"        {'what was done':<56}  {'expected':<22}  what came")
        try:
            tell_all(report, stage)
        except Broken:
            report.bad += 1
            raise
        finally:
            if report.bad:
                stage.show_logs()
    print(f"\n{report.good} as expected, {report.bad} not, "
          f"{time.monotonic() - start:.1f} s\n", flush=True)
    return not report.bad


def check_free(bind):
    host, _, port = bind.rpartition(":")
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host.strip("*"), int(port)))
    except ValueError:
        raise Broken(f"ROUTER_BIND={bind}: not ADDRESS:PORT") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Broken(f"{bind} is in use; choose another address with "
                         "ROUTER_BIND=127.0.0.1:PORT") from None


def stay(haproxy):
    """All of it in the foreground, until a signal."""
    bind = os.environ.get("ROUTER_BIND") or "127.0.0.1:8000"
    check_free(bind)
    site = "http://" + bind.replace("*", "127.0.0.1")
    print(f"spoa-router with {programs(haproxy)}: starting ...", flush=True)
    with Stage(haproxy, bind) as stage:
        set_routes(stage)
        cli = f"redis-cli -p {stage.redis_port}"
        print(f"""
It runs; HAProxy is on {site}. Try in another terminal:

    curl -H 'Host: app1.cloud.com' {site}/        # worker1, app2 => worker2
    curl -H 'Host: any.shop.cloud.com' {site}/    # worker3, by *.shop.cloud.com
    curl -k -H 'Host: app2.cloud.com' https://127.0.0.1:{stage.https}/   # TLS and HTTP/2
    curl -i -H 'Host: app3.cloud.com' {site}/     # 404, until you say:
    {cli} HSET routes app3.cloud.com {stage.worker(3)}
    {cli} HSET routes app1.cloud.com {stage.worker(2)}    # moves it, within {TTL} s
    {cli} HDEL routes app1.cloud.com
    {cli} HGETALL routes
    kill -STOP {stage.redis.child.pid}    # Redis hangs: known hosts are still served; -CONT wakes it

    http://127.0.0.1:{stage.admin}/ in a browser    # what the agent knows and does
    logs: tail -f {stage.folder}/*.log
    Ctrl-C ends it all.
""", flush=True)
        gone = set()
        while True:
            time.sleep(0.2)
            for process in stage.processes:
                if process.status and process not in gone:
                    gone.add(process)
                    print(f"{process.name} ended with {process.status}", flush=True)


def main(arguments):
    if arguments not in ([], ["--run"]):
        print("usage: demo.py [--run]", file=sys.stderr)
        return 2
    haproxys = [path for path in os.environ.get("HAPROXY", "").split(",") if path]
    haproxys = haproxys or ["haproxy"]
    try:
        if arguments:
            return stay(haproxys[0])
        return 0 if all([show(haproxy) for haproxy in haproxys]) else 1
    except Broken as error:
        print(f"\ndemo: {error}", flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def until_a_signal():
    try:
        return main(sys.argv[1:])
    except Stopped as stop:
        signals.over = True
        number = stop.args[0]
        print(f"\ndemo: {signal.Signals(number).name}, all is stopped and removed",
              flush=True)
        return 128 + number
    finally:
        signals.over = True


if __name__ == "__main__":
    signals.listen()
    sys.exit(until_a_signal())
