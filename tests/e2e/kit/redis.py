# SPDX-License-Identifier: MIT
"""A real Redis (or another server that is one: environment REDIS_SERVER)."""

import functools
import os
import re
import subprocess

from .process import TOP, Process, program


@functools.lru_cache(None)
def redis_name(binary):
    """redis-7.0.15 of "Redis server v=7.0.15 ..."."""
    out = subprocess.run([binary, "-v"], capture_output=True, text=True,
                         check=True).stdout
    name, number = re.match(r"(\w+) server v=([\d.]+)", out).groups()
    return f"{name.lower()}-{number}"


@functools.lru_cache(None)
def redis_binaries():
    """Paths from the environment REDIS_SERVERS=/a,/b, else one of each version
    that can be found."""
    named = [path for path in os.environ.get("REDIS_SERVERS", "").split(",")
             if path]
    if named:
        return list(map(program, named))
    found = [path for path in map(program, ("redis-server", "valkey-server"))
             if os.path.isabs(path)]
    found += sorted(map(str, TOP.glob("build/peers/*/*-server")))
    return list({redis_name(path): path for path in reversed(found)}
                .values())[::-1]


class Redis(Process):
    """Redis on TCP and on a Unix socket, with nothing on disk."""

    def __init__(self, *options, start=True, binary=None):
        super().__init__("redis")
        self.options = options
        self.binary = binary or program(
            os.environ.get("REDIS_SERVER") or "redis-server")
        self.socket = str(self.folder / "redis.sock")
        self.password = None  # what cmd() uses
        if start:
            self.start()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def command(self):
        return [self.binary, "--port", str(self.port), "--bind",
                "127.0.0.1", "--unixsocket", self.socket, "--save", "",
                "--dir", str(self.folder), *self.options]

    def is_ready(self):
        # NOAUTH is an answer too; LOADING is one that says "not yet"
        return self.cmd("PING", check=False).stdout.startswith(
            ("PONG", "NOAUTH"))

    def cmd(self, *words, check=True):
        """One command by redis-cli; an error of Redis fails unless check."""
        login = (["-a", self.password, "--no-auth-warning"]
                 if self.password else [])
        done = subprocess.run(
            ["redis-cli", "-e", "-p", str(self.port), *login,
             *map(str, words)], capture_output=True, text=True)
        assert not check or not done.returncode, (words, done)
        return done

    def info(self, key):
        """One value of INFO."""
        for line in self.cmd("INFO").stdout.splitlines():
            if line.startswith(f"{key}:"):
                return line.split(":", 1)[1]
        raise KeyError(key)
