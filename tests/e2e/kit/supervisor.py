# SPDX-License-Identifier: MIT
"""What systemd is to the agent: it opens sockets, keeps them, and is told."""

import os
import socket
import subprocess

from .agent import Agent
from .process import free_port


class Supervisor:
    """Hears what is said to NOTIFY_SOCKET."""

    def __init__(self, folder):
        self.path = str(folder / "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.sock.settimeout(20)

    def close(self):
        self.sock.close()

    def hear(self):
        """{name: value} of the next message."""
        return dict(line.split("=", 1)
                    for line in self.sock.recv(4096).decode().splitlines())


class Activated(Agent):
    """An agent that gets its sockets from us; they outlive it.

    sockets: [(name, socket)], by default one that listens on a free port.
    """

    def __init__(self, *options, sockets=None, env=None, wait=True):
        self.given = sockets or [("spoa-router.socket", listening())]
        super().__init__(*options, env=env, wait=False)
        self.where = self.given[0][1].getsockname()
        if wait:
            self.wait_ready()

    def command(self):
        """Without --listen: the sockets are there."""
        moves = "".join(f"exec {3 + i}<&{sock.fileno()};"
                        for i, (_, sock) in enumerate(self.given))
        names = ":".join(name for name, _ in self.given)
        words = super().command()
        at = words.index("--listen")
        if words[at + 1].endswith(f":{self.spare}"):
            del words[at:at + 2]
        return ["bash", "-c", f"{moves} LISTEN_FDS={len(self.given)} "
                f"LISTEN_FDNAMES={names} LISTEN_PID=$$ exec \"$@\"", "bash",
                *words]

    @property
    def spare(self):
        return self.options[1].rpartition(":")[2]

    def start(self, wait=True):
        self.starts = self.count_starts()
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, cwd=self.folder, env={**os.environ, **self.env},
                pass_fds=[sock.fileno() for _, sock in self.given])
        if wait:
            self.wait_ready()
        return self

    def close(self):
        super().close()
        for _, sock in self.given:
            sock.close()


def listening(where=None, kind=socket.SOCK_STREAM):
    """A socket that takes connections, or datagrams."""
    family = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
    sock = socket.socket(family, kind)
    if family == socket.AF_INET and kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(where or ("127.0.0.1", free_port()))
    if kind == socket.SOCK_STREAM:
        sock.listen(1024)
    return sock


