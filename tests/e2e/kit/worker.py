# SPDX-License-Identifier: MIT
"""tests/worker.py as a process."""

from .process import TOP, Process


class Worker(Process):
    """A target that answers with its name and with what it got."""

    def __init__(self, name, start=True, host="127.0.0.1"):
        super().__init__(name)
        self.where = host, self.port
        if start:
            self.start()

    def command(self):
        return ["/usr/bin/python3", str(TOP / "tests/worker.py"),
                "--name", self.name, "--listen", self.target]

    @property
    def target(self):
        """The value of a route that names this worker."""
        return ("[%s]:%d" if ":" in self.where[0] else "%s:%d") % self.where


class Target(Process):
    """A worker that is quick enough: a HAProxy that says 200."""

    def __init__(self, binary):
        self.binary = binary
        super().__init__("target")
        (self.folder / "cfg").write_text(
            "defaults\n mode http\n timeout client 1m\n timeout server 1m\n"
            " timeout connect 1s\n"
            f"frontend f\n bind 127.0.0.1:{self.port}\n"
            " http-request return status 200 content-type text/plain"
            " string ok\n")
        self.start()

    def command(self):
        return [self.binary, "-f", str(self.folder / "cfg")]

    @property
    def target(self):
        return f"127.0.0.1:{self.port}"
