# SPDX-License-Identifier: MIT
"""The admin side of an agent, as a client of it sees it."""

import contextlib
import http.client
import json
import socket

NOWHERE = "redis://127.0.0.1:1"  # nobody listens there


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


class Admin:
    """The admin side of an agent."""

    def __init__(self, where):
        self.where = where

    def connect(self):
        if isinstance(self.where, str):
            return UnixConnection(self.where)
        return http.client.HTTPConnection(*self.where, timeout=30)

    def ask(self, method, path, headers=None):
        """(status, text, headers) of one request."""
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, path, headers=headers or {})
            reply = connection.getresponse()
            return reply.status, reply.read().decode(), reply.headers

    def get(self, path):
        status, text, _ = self.ask("GET", path)
        assert status == 200, (path, status, text)
        return text

    def json(self, path):
        return json.loads(self.get(path))

    def metrics(self):
        """{"name{labels}": value}"""
        lines = self.get("/metrics").splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
                for line in lines if not line.startswith("#")}
