# SPDX-License-Identifier: MIT
"""What all processes of a test share: a folder, a log, a start and an end."""

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from resp import SLOW, until

TOP = Path(__file__).resolve().parents[3]


def first_of_range():
    """Where the kernel begins to take ports for outgoing connections."""
    try:
        path = Path("/proc/sys/net/ipv4/ip_local_port_range")
        return int(path.read_text().split()[0])
    except OSError:
        return 32768


def free_port(host="127.0.0.1"):
    """A port that is free, and that no outgoing connection will get.

    The kernel's own choice for bind(0) may be an outgoing connection's port a
    moment later; a busy test then finds its server's address in use.
    """
    top = first_of_range()
    low = 10000 if top > 15000 else 1024
    while True:
        port = random.randrange(low, top if top > low + 1000 else 65535)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as sock:
            try:
                sock.bind((host, port))
                return port
            except OSError:
                pass


def program(name):
    """The path of a program, wherever a test runs it."""
    found = shutil.which(name, path=os.environ.get("PATH", "")
                         + ":/usr/local/sbin:/usr/sbin")
    return os.path.abspath(found) if found else name


def accepts(where):
    """Whether somebody listens at (host, port), or at a path."""
    family = socket.AF_UNIX if isinstance(where, str) else (
        socket.AF_INET6 if ":" in where[0] else socket.AF_INET)
    with socket.socket(family) as sock:
        try:
            sock.connect(where)
            return True
        except OSError:
            return False


class Process:
    """A program that runs during a test.

    A subclass names it, sets where it listens, and says its command. After
    stop(), start() runs it again at the same place, with the same log.
    """

    living = []  # whose logs a failing test shows; none outlives the tests

    def __init__(self, name, where=None, env=None):
        self.name = name
        self.where = where or ("127.0.0.1", free_port())
        self.env = {key: str(value) for key, value in (env or {}).items()}
        # short, since a path of a Unix socket has no more than 107 bytes
        self.folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
        self.folder.chmod(0o755)
        self.log_path = self.folder / "log"
        self.process = None
        Process.living.append(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def port(self):
        return self.where[1]

    @property
    def pid(self):
        return self.process.pid

    # -- start and end ------------------------------------------------------

    def command(self):
        raise NotImplementedError

    def is_ready(self):
        return accepts(self.where)

    def start(self, wait=True):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd=self.folder, env={**os.environ, **self.env})
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=20):
        """Returns when it is ready; one that will not be is ended."""
        def ready():
            assert self.running, f"{self.name} ended"
            return self.is_ready()
        try:
            until(ready, f"{self.name} to be ready", seconds)
        except BaseException:
            self.kill()
            raise

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, sign=signal.SIGTERM, seconds=30):
        """Ends the process and returns its status; too slow is a failure."""
        if self.running:
            self.process.send_signal(sign)
            self.process.send_signal(signal.SIGCONT)
            try:
                self.process.wait(seconds * SLOW)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(
                    f"{self.name} did not end in {seconds} s") from None
        return self.process.returncode if self.process else None

    def kill(self):
        return self.stop(signal.SIGKILL)

    def pause(self):
        """Stops its clock: it keeps its connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        """Ends it however it is, and removes its folder."""
        try:
            self.stop()
        finally:
            if self in Process.living:
                Process.living.remove(self)
            shutil.rmtree(self.folder, ignore_errors=True)

    @classmethod
    def close_all(cls):
        while cls.living:
            cls.living[-1].close()

    # -- what can be seen ---------------------------------------------------

    def log(self):
        return self.log_path.read_text(errors="backslashreplace")

    def logs(self):
        """(title, text) of all that a failing test should show."""
        if self.log_path.exists():
            yield f"log of {self.name}", self.log()

    def cpu(self):
        """Seconds of CPU that it has used."""
        stat = Path(f"/proc/{self.pid}/stat").read_text()
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def fds(self):
        """How many files and sockets it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def rss(self):
        """Bytes of memory that it has resident."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024


atexit.register(Process.close_all)
