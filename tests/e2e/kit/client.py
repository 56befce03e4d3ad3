# SPDX-License-Identifier: MIT
"""HTTP and websocket clients that say any Host they are told."""

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


class WebSocket:
    """A websocket of a browser: what it sends is masked (RFC 6455)."""

    TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

    def __init__(self, port, host, path="/", tls=None, timeout=10):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout)
        if tls:
            self.sock = tls.wrap_socket(self.sock)
        self.sock.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
        self.file = self.sock.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        for line in iter(self.file.readline, b"\r\n"):
            name, _, value = line.decode("latin-1").partition(":")
            self.headers[name.lower()] = value.strip()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.sock.close()

    def send(self, payload, opcode=BINARY):
        size, mask = len(payload), b"\x12\x34\x56\x78"
        if size < 126:
            head = bytes([0x80 | opcode, 0x80 | size])
        else:
            head = bytes([0x80 | opcode, 0x80 | 127]) + size.to_bytes(8, "big")
        self.sock.sendall(head + mask + bytes(
            byte ^ mask[i & 3] for i, byte in enumerate(payload)))

    def receive(self):
        """(opcode, payload) of the next frame, or None at the end."""
        head = self.file.read(2)
        if len(head) < 2:
            return None
        size = head[1] & 127
        if size > 125:
            size = int.from_bytes(self.file.read(2 if size == 126 else 8),
                                  "big")
        return head[0] & 15, self.file.read(size)


def raw(port, data, host="127.0.0.1", timeout=10):
    """Sends bytes as they are, and returns all that comes until the end."""
    with socket.create_connection((host, port), timeout) as sock:
        sock.sendall(data)
        return b"".join(iter(lambda: sock.recv(1 << 16), b""))
