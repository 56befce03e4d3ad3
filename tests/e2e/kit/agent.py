# SPDX-License-Identifier: MIT
"""The agent under test (environment SPOA_ROUTER, else build/spoa-router; each
has the options of SPOA_OPTIONS too)."""

import os
import re
from pathlib import Path

from .process import TOP, Process, free_port, program


def binary():
    return program(os.environ.get("SPOA_ROUTER") or
                   str(TOP / "build/spoa-router"))


def routectl():
    """Beside the agent (environment ROUTECTL)."""
    return os.environ.get("ROUTECTL") or str(
        Path(binary()).resolve().with_name("routectl"))


# What it runs under with VALGRIND=1: an error, or memory that nobody can reach
# any more, is its exit status and stands in its log.
VALGRIND = ["valgrind", "-q", "--error-exitcode=99", "--leak-check=full",
            "--errors-for-leak-kinds=definite"]
PATIENT = ["--lookup-timeout", "2s"]  # then, unless a test has its own


def first_listener(options):
    """Where --listen of these options lets a client connect, or None."""
    for option, value in zip(options, options[1:]):
        if option == "--listen":
            if value.startswith("unix:"):
                return value[5:].split(",")[0]
            host, _, port = value.rpartition(":")
            return host.strip("[]"), int(port)
    return None


class Agent(Process):
    """Agent("--redis", redis.url): a free port unless --listen says where.

    prefix is put before the command: ["valgrind", "-q"], say.
    """

    def __init__(self, *options, prefix=(), env=None, wait=True):
        where = first_listener(options)
        if where is None and "--config" not in options:
            port = free_port()
            where = "127.0.0.1", port
            options = ("--listen", f"127.0.0.1:{port}", *options)
        super().__init__("agent", where, env)
        checker = os.environ.get("VALGRIND")
        self.options = [*(PATIENT if checker else ()), *options]
        self.prefix = [*prefix, *(VALGRIND if checker else ())]
        self.starts = 0  # that its log tells of
        self.start(wait)

    def command(self):
        return [*self.prefix, binary(),
                *os.environ.get("SPOA_OPTIONS", "").split(),
                *map(str, self.options)]

    def start(self, wait=True):
        self.starts = self.count_starts()
        return super().start(wait)

    def count_starts(self):
        if not self.log_path.exists():
            return 0
        return len(re.findall('msg"?[=:]"started"', self.log()))

    def is_ready(self):
        """Its sockets take connections a while before it serves."""
        is_quiet = {"--log-level", "--config"} & set(map(str, self.options))
        return super().is_ready() and (
            is_quiet or self.count_starts() > self.starts)

    @property
    def address(self):
        """As HAProxy writes it."""
        return self.where if isinstance(self.where, str) else \
            "%s:%d" % self.where
