# SPDX-License-Identifier: MIT
"""An HTTP client that keeps its connection and says any Host it is told."""

import http.client
import json
import socket
import ssl
from dataclasses import dataclass


@dataclass
class Reply:
    status: int
    headers: dict  # names in lower case
    body: bytes

    @property
    def worker(self):
        """The name of the worker that answered, or None."""
        return self.headers.get("x-worker")

    @property
    def told(self):
        """What the worker says it got."""
        return json.loads(self.body)

    def got(self, name):
        """The values of one header of the request, as the worker got it."""
        return [value for key, value in self.told["headers"]
                if key.lower() == name.lower()]


class Client:
    """One connection; it is opened again when the server closed it."""

    def __init__(self, port, tls=False, host="127.0.0.1", timeout=10):
        if tls:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self.link = http.client.HTTPSConnection(
                host, port, timeout=timeout, context=context)
        else:
            self.link = http.client.HTTPConnection(host, port, timeout=timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.link.close()

    def ask(self, host, path="/", method="GET", body=None, headers=()):
        """Sends one request; headers are (name, value) pairs or a dict."""
        self.link.putrequest(method, path, skip_host=True,
                             skip_accept_encoding=True)
        if host is not None:
            self.link.putheader("Host", host)
        for name, value in dict(headers).items():
            self.link.putheader(name, value)
        if body is not None:
            self.link.putheader("Content-Length", str(len(body)))
        self.link.endheaders(body)
        reply = self.link.getresponse()
        return Reply(reply.status,
                     {name.lower(): value for name, value in reply.getheaders()},
                     reply.read())


def raw(port, data, host="127.0.0.1", timeout=10):
    """Sends bytes as they are, and returns all that comes until the end."""
    with socket.create_connection((host, port), timeout) as sock:
        sock.sendall(data)
        return b"".join(iter(lambda: sock.recv(1 << 16), b""))
