# SPDX-License-Identifier: MIT
"""Every HAProxy that can be found, with the very files that users copy."""

import contextlib
import functools
import os
import re
import signal
import socket
import subprocess

from resp import until

from .client import Client
from .process import TOP, Process, accepts, free_port, program

FILES = TOP / "haproxy"


@functools.lru_cache(None)  # pytest asks whether a parameter *is* the last one
def binaries():
    """Paths from the environment HAPROXY=/a,/b, else all that can be found."""
    named = [path for path in os.environ.get("HAPROXY", "").split(",") if path]
    if named:
        return list(map(program, named))
    found = program("haproxy")
    return ([found] if os.path.isabs(found) else []) + sorted(
        map(str, TOP.glob("build/peers/*/haproxy")))


@functools.lru_cache(None)
def version(binary):
    """(2, 6, 12) of "HAProxy version 2.6.12-1+deb12u4 ..."."""
    out = subprocess.run([binary, "-v"], capture_output=True, text=True,
                         check=True).stdout
    return tuple(map(int, re.search(r"version (\d+)\.(\d+)\.?(\d*)",
                                    out).group(1, 2, 3)))


@functools.lru_cache(None)
def certificate():
    """A self-signed certificate with its key, made once."""
    path = TOP / "build/test.pem"
    path.parent.mkdir(exist_ok=True)
    key = path.with_suffix(f".{os.getpid()}")
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days",
         "30", "-subj", "/CN=test", "-keyout", str(key), "-out", "-"],
        capture_output=True, text=True, check=True).stdout
    key.write_text(key.read_text() + made)
    key.rename(path)
    return str(path)


def patient(folder):
    """The environment of an HAProxy that waits for an answer as long as a busy
    machine takes."""
    text = (FILES / "spoe-router.conf").read_text()
    found = folder / "patient.conf"
    found.write_text(text.replace("timeout processing 200ms",
                                  "timeout processing 5s"))
    return {"SPOE_CONF": found}


class HAProxy(Process):
    """HAProxy(binary, agent): haproxy/haproxy.cfg on free ports.

    agent is anything with an address, or the address. before is the text of a
    file that comes ahead (a global section), after that of one that comes
    behind. With master=True it can reload(). Its access log is log(), what it
    says itself is said(); alerts() are what it should never have to say.
    """

    def __init__(self, binary, agent, tls=False, before="", after="",
                 master=False, config=None, env=None, options=(), where=None,
                 wait=True):
        super().__init__("haproxy", where)
        self.binary, self.master, self.options = binary, master, options
        self.said_path = self.folder / "said"
        self.socket = str(self.folder / "api.sock")
        self.tls_port = free_port() if tls else None
        self.env = {
            "ROUTER_BIND": f"127.0.0.1:{self.port}",
            "SPOA_ADDR": getattr(agent, "address", agent),
            "SPOE_CONF": str(FILES / "spoe-router.conf"),
            "HAPROXY_SOCKET": self.socket,
            **({"ROUTER_BIND_TLS": f"127.0.0.1:{self.tls_port}",
                "ROUTER_CRT": certificate()} if tls else {}),
            **(env or {})}
        self.files = []
        for name, text in (("before", before), ("", None), ("after", after)):
            if text is None:
                self.files.append(str(config or FILES / "haproxy.cfg"))
            elif text:
                path = self.folder / f"{name}.cfg"
                path.write_text(text)
                self.files.append(str(path))
        self.start(wait)

    def command(self):
        files = [word for path in self.files for word in ("-f", path)]
        return [self.binary, "-W" if self.master else "-db", *files,
                *self.options]

    def start(self, wait=True):
        with open(self.log_path, "ab") as log, \
                open(self.said_path, "ab") as said:
            self.process = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log,
                stderr=said, cwd=self.folder, env={**os.environ, **self.env})
        if wait:
            self.wait_ready()
        return self

    def is_ready(self):
        places = [self.where, self.env["HAPROXY_SOCKET"]]
        if self.tls_port:
            places.append(("127.0.0.1", self.tls_port))
        return all(map(accepts, filter(None, places)))

    def said(self):
        return self.said_path.read_text(errors="backslashreplace")

    def logs(self):
        yield from super().logs()
        yield f"{self.name} itself", self.said()

    def alerts(self):
        """Warnings and alerts, but for those about running as root."""
        return [line for line in self.said().splitlines()
                if re.match(r"\[(WARNING|ALERT|EMERG)", line)
                and "started as " not in line]

    # -- asking -------------------------------------------------------------

    def client(self, **more):
        """A Client with its own connection."""
        return Client(self.port, **more)

    def ask(self, host, *what, **more):
        """One request over a connection of its own; see Client.ask()."""
        with self.client() as client:
            return client.ask(host, *what, **more)

    def lines(self):
        """The access log: a dict of the fields name=value of each line."""
        return [Line(line) for line in self.log().splitlines()
                if " host=" in line]

    def line(self, path):
        """The access log line of the request for this path, once written."""
        return until(lambda: next(
            (line for line in self.lines() if f" {path} " in line.text),
            None), f"a log line about {path}")

    def api(self, command):
        """What the Runtime API answers to a command."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(self.socket)
            sock.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: sock.recv(1 << 16), b"")).decode()

    def stat(self, proxy, server, field):
        """One value of "show stat"."""
        lines = self.api("show stat").lstrip("# ").splitlines()
        names = lines[0].split(",")
        for line in lines[1:]:
            row = dict(zip(names, line.split(",")))
            if (row.get("pxname"), row.get("svname")) == (proxy, server):
                return row[field]
        raise KeyError((proxy, server))

    def agent_state(self, server="agent1"):
        """UP, DOWN, or on the way: "UP 1/2"."""
        return self.stat("spoa", server, "status")

    # -- reload -------------------------------------------------------------

    def reload(self):
        """Returns when the new worker serves; the old one may still live."""
        def loaded():
            return self.said().count("Loading success")
        before = until(loaded, "the master to have loaded")
        for patience in 5, 5, 20:  # a signal between its two lives is lost
            self.process.send_signal(signal.SIGUSR2)
            with contextlib.suppress(AssertionError):
                until(lambda: loaded() > before, "the reload", patience)
                return
        raise AssertionError("no reload in 30 s")


class Line:
    """A line of the access log; name=value fields are attributes."""

    def __init__(self, text):
        self.text = text
        self.fields = {name: value.strip('"') for name, value in re.findall(
            r'(\w+)=("[^"]*"|\S*)', text)}

    def __getattr__(self, name):
        return self.fields.get(name)

    def __repr__(self):
        return self.text
