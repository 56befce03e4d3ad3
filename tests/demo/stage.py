# SPDX-License-Identifier: MIT
"""The stage of the demo: Redis, the agent, HAProxy and three workers.

All run on free loopback ports with their files in one temporary folder. Takes
the paths of the programs; gives addresses, logs and a way to stop and start
each. Whatever ends the demo, no process and no file of it stays.
"""

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
TTL = 1  # seconds: how long a change may take where nothing tells the agent


class Broken(Exception):
    """The stage cannot be set up; the text says why, for people."""


class Stopped(BaseException):
    """SIGINT, SIGTERM or SIGHUP came. BaseException: only the end catches it."""


class Signals:
    """Raises Stopped where a signal falls, but not inside `with signals`.

    Inside stands what would leave something behind when cut in two: to start a
    process, to clean up. What is raised where Python drops exceptions (in a
    destructor) would be lost, so it is raised again a moment later, until over.
    """

    AGAIN = 0.2  # seconds

    def __init__(self):
        self.number, self.shields, self.over = None, 0, False

    def listen(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, self.catch)
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup sets it
            signal.signal(signal.SIGHUP, self.catch)
        sys.unraisablehook = self.dropped

    def catch(self, number, _frame):
        self.number = self.number or number
        self.tell()

    def tell(self):
        if self.number and not self.shields and not self.over:
            signal.setitimer(signal.ITIMER_REAL, self.AGAIN)
            raise Stopped(self.number)

    @staticmethod
    def dropped(what):
        if what.exc_type is not Stopped:
            sys.__unraisablehook__(what)

    def __enter__(self):
        self.shields += 1

    def __exit__(self, *_):
        self.shields -= 1
        self.tell()


signals = Signals()


def find(program, hint="`tests/deps.sh build demo` installs it"):
    """The path of a program; servers live in sbin, which users lack in PATH."""
    path = shutil.which(program, path=os.environ.get("PATH", os.defpath)
                        + ":/usr/local/sbin:/usr/sbin:/sbin")
    if not path:
        raise Broken(f"{program}: not found; {hint}")
    return path


def environment():
    """Ours, without what would make the programs do something else than here."""
    return {name: value for name, value in os.environ.items()
            if not name.startswith(("ROUTER_", "SPOA_", "SPOE_", "REDIS", "HAPROXY"))}


def first_line(*command):
    """What a program says of its version."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Broken(f"{command[0]}: {error}") from None
    return (done.stdout or done.stderr).partition("\n")[0]


def free_ports(count):
    """Ports that nobody listens on, outside the range of outgoing connections.

    So a port stays free while its server is stopped for a while.
    """
    try:
        outgoing = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        first = int(outgoing[0])
    except OSError:
        first = 32768
    choice = range(10240, first) if first > 12000 else range(61000, 65000)
    found = []
    for port in random.sample(choice, 500):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise Broken("no free loopback ports")


class Process:
    """A server that runs in its own session and dies with the demo.

    It is ready when its port can be connected to, or, without one, when its log
    says that it listens.
    """

    def __init__(self, name, command, port, log, env):
        self.name, self.command, self.port = name, command, port
        self.log, self.env, self.child = log, env, None

    def start(self):
        with signals, open(self.log, "ab") as log:
            try:
                self.child = subprocess.Popen(
                    ["setpriv", "--pdeathsig", "KILL", "--", *self.command],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=True, env={**environment(), **self.env})
            except OSError as error:
                raise Broken(f"{self.name}: {error}") from None
        self.wait_ready()

    def wait_ready(self):
        for _ in range(500):
            if self.child.poll() is not None:
                raise Broken(f"{self.name} ended at once with {self.status}; "
                             f"it was started with\n    {' '.join(self.command)}\n"
                             f"its log:\n{self.last_lines()}")
            if self.port is None:  # it says so itself
                if "listens" in self.log.read_text():
                    return
            else:
                with socket.socket() as probe:
                    if not probe.connect_ex(("127.0.0.1", self.port)):
                        return
            time.sleep(0.02)
        raise Broken(f"{self.name} does not listen on port {self.port}; its log:\n"
                     f"{self.last_lines()}")

    @property
    def status(self):
        code = self.child.poll() if self.child else None
        if code is None:
            return None
        return f"signal {-code}" if code < 0 else f"exit status {code}"

    def stop(self, patience=5):
        """Asks it to end, then makes it."""
        if not self.child:
            return
        if self.child.poll() is None:
            self.child.terminate()
            self.child.send_signal(signal.SIGCONT)
            try:
                self.child.wait(patience)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        self.child.wait()

    def last_lines(self, count=15):
        """The end of its log, indented, without the requests that went well."""
        lines = [line for line in self.log.read_text(errors="replace").splitlines()
                 if " 200 " not in line][-count:]
        return "\n".join("    " + line for line in lines) or "    (empty)"


class Stage:
    """with Stage(haproxy) as stage: all of it runs and is ready."""

    def __init__(self, haproxy, bind=None):
        self.haproxy_path = find(haproxy)
        self.bind = bind
        self.folder, self.processes = None, []
        atexit.register(self.close)  # if a signal falls just before __exit__

    def __enter__(self):
        with signals:
            self.folder = Path(tempfile.mkdtemp(prefix="spoa-router-demo-"))
        try:
            self.set_up()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def set_up(self):
        ports = free_ports(10)
        (self.worker_ports, self.redis_port, agent, self.http, self.https,
         feedback, self.mortal_port, self.admin) = (
            ports[:3], *ports[3:])
        bind = self.bind or f"127.0.0.1:{self.http}"
        self.certificate = self.make_certificate()

        for number, port in enumerate(self.worker_ports, 1):
            self.add(f"worker{number}", port, [
                sys.executable, str(TOP / "tests/worker.py"),
                "--listen", f"127.0.0.1:{port}", "--name", f"worker{number}"]).start()
        self.redis = self.add("redis", self.redis_port, [
            find("redis-server"), "--port", str(self.redis_port),
            "--bind", "127.0.0.1", "--dir", str(self.folder),
            "--save", "", "--appendonly", "no"])
        self.redis.start()
        self.agent = self.add("agent", agent, [
            find(os.environ.get("SPOA_ROUTER") or str(TOP / "build/spoa-router"),
                 "`make` builds it"),
            "--listen", f"127.0.0.1:{agent}",
            "--redis", f"redis://127.0.0.1:{self.redis_port}",
            "--ttl", f"{TTL}s", "--feedback", f"udp:127.0.0.1:{feedback}",
            "--admin", f"127.0.0.1:{self.admin}"])
        self.haproxy = self.add("haproxy", self.https, [
            self.haproxy_path, "-db", "-f", str(TOP / "haproxy/haproxy.cfg")],
            ROUTER_BIND=bind,
            ROUTER_BIND_TLS=f"127.0.0.1:{self.https}",
            ROUTER_CRT=str(self.certificate),
            SPOA_ADDR=f"127.0.0.1:{agent}",
            SPOE_CONF=str(TOP / "haproxy/spoe-router.conf"),
            ROUTER_FEEDBACK=f"127.0.0.1:{feedback}")
        self.agent.start()
        self.haproxy.start()

    def add_mortal(self):
        """A worker to be killed, and a controller that will replace it."""
        worker = [sys.executable, str(TOP / "tests/worker.py"), "--listen"]
        self.add("mortal", self.mortal_port, [
            *worker, f"127.0.0.1:{self.mortal_port}", "--name", "mortal"]).start()
        controller = self.add("controller", None, [
            str(TOP / "tests/demo/controller.sh"), "routes",
            "setpriv", "--pdeathsig", "KILL", "--", *worker, "127.0.0.1:0",
            "--name", "replacement"],
            REDIS_CLI=f"{find('redis-cli')} -p {self.redis_port}")
        controller.start()
        return self.processes[-2]

    def add(self, name, port, command, **env):
        process = Process(name, command, port, self.folder / f"{name}.log", env)
        self.processes.append(process)
        return process

    def make_certificate(self):
        """Self-signed, for any host of the demo; key and certificate in one file."""
        path = self.folder / "site.pem"
        self.run(find("openssl"), "req", "-x509", "-newkey", "ec",
                 "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                 "-days", "2", "-subj", "/CN=cloud.com",
                 "-addext", "subjectAltName=DNS:*.cloud.com",
                 "-keyout", str(path), "-out", str(path) + ".crt")
        with open(path, "a") as both:
            both.write(Path(f"{path}.crt").read_text())
        return path

    def run(self, *command):
        """Runs a short command; gives its output."""
        with signals:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, text=True,
                                     env=environment())
        try:
            output = child.communicate(timeout=10)[0].strip()
        except subprocess.TimeoutExpired:
            raise Broken(f"no end within 10 s: {' '.join(command)}") from None
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        if child.returncode:
            raise Broken(f"exit status {child.returncode}: {' '.join(command)}\n"
                         f"    {output}")
        return output

    def redis_cli(self, *words):
        return self.run(find("redis-cli"), "-h", "127.0.0.1",
                        "-p", str(self.redis_port), *words)

    def worker(self, number):
        """The target of a route to a worker, 1 to 3."""
        return f"127.0.0.1:{self.worker_ports[number - 1]}"

    def show_logs(self):
        for process in self.processes:
            if process.status or process in (self.redis, self.agent, self.haproxy):
                print(f"\n{process.name} ({process.status or 'running'}), the end of its log:\n"
                      f"{process.last_lines()}", flush=True)

    def close(self):
        with signals:
            for process in reversed(self.processes):
                process.stop()
            if self.folder:
                shutil.rmtree(self.folder, ignore_errors=True)
