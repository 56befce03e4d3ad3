#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A small HTTP/1.1 worker for the demo and the tests: it tells what it got.

    worker.py --name app1 [--listen 127.0.0.1:0]

prints "listening ADDR:PORT" when ready, and ends on SIGTERM. Any request gets
200, "X-Worker: NAME" and a JSON body. A query may ask for more: "?wait=0.5"
answers later, "?status=500" with another status. "Upgrade: websocket" gets an
echo of each frame. For tests only: it trusts its clients.
"""

import argparse
import base64
import hashlib
import json
import signal
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from urllib.parse import parse_qs, urlsplit

TEXT_LIMIT = 1 << 20  # bytes of one websocket frame
CLOSE, PING, PONG = 8, 9, 10


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one write
    timeout = 300  # seconds a kept connection may be idle

    def __getattr__(self, name):
        if name.startswith("do_"):  # any method
            return self.answer
        raise AttributeError(name)

    def log_message(self, *_):
        pass

    def answer(self):
        try:
            if self.headers.get("Upgrade", "").lower() == "websocket":
                self.close_connection = True
                return self.echo()
            self.tell(self.body_length())
        except ValueError:  # a length that is no number, say
            self.close_connection = True
            self.send_error(400)
        return None

    def tell(self, body_length):
        query = parse_qs(urlsplit(self.path).query)
        if "wait" in query:
            time.sleep(float(query["wait"][0]))
        body = json.dumps({
            "worker": self.server.name,
            "method": self.command,
            "path": self.path,
            "host": self.headers.get("Host"),
            "headers": self.headers.items(),
            "client": "%s:%d" % self.client_address[:2],
            "body_length": body_length,
        }).encode() + b"\n"
        self.send_response(int(query.get("status", ["200"])[0]))
        self.send_header("X-Worker", self.server.name)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    # -- the request's body -------------------------------------------------

    def body_length(self):
        """Reads the body to its end and counts it."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self.read_chunks()
        return self.read_exactly(int(self.headers.get("Content-Length", 0)))

    def read_exactly(self, size):
        left = size
        while left > 0:
            piece = self.rfile.read(min(left, 1 << 16))
            if not piece:
                raise ConnectionError("end inside a body")
            left -= len(piece)
        return size

    def read_chunks(self):
        total = 0
        while True:
            size = int(self.rfile.readline(1024).split(b";")[0], 16)
            if size == 0:
                break
            total += self.read_exactly(size)
            self.rfile.readline(16)
        while self.rfile.readline(1 << 16) not in (b"\r\n", b"\n", b""):
            pass  # trailers
        return total

    # -- websocket (RFC 6455) -----------------------------------------------

    def echo(self):
        key = self.headers.get("Sec-WebSocket-Key", "")
        proof = hashlib.sha1(
            (key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
        self.send_response(101)
        self.send_header("X-Worker", self.server.name)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept",
                         base64.b64encode(proof).decode())
        self.end_headers()
        self.wfile.flush()
        while True:
            first, payload = self.read_frame()
            opcode = first & 15
            if opcode == PING:
                first = 0x80 | PONG
            if opcode != PONG:
                self.send_frame(first, payload)
            if opcode == CLOSE:
                return

    def read_frame(self):
        """(first byte, payload) of the next frame of the client."""
        first, second = self.take(2)
        size = second & 127
        if size > 125:
            size = int.from_bytes(self.take(2 if size == 126 else 8), "big")
        if size > TEXT_LIMIT:
            raise ConnectionError("frame too long")
        mask = self.take(4) if second & 128 else bytes(4)
        return first, bytes(byte ^ mask[i & 3]
                            for i, byte in enumerate(self.take(size)))

    def send_frame(self, first, payload):
        size = len(payload)
        if size < 126:
            head = bytes([first, size])
        elif size < 1 << 16:
            head = bytes([first, 126]) + size.to_bytes(2, "big")
        else:
            head = bytes([first, 127]) + size.to_bytes(8, "big")
        self.wfile.write(head + payload)
        self.wfile.flush()

    def take(self, size):
        piece = self.rfile.read(size)
        if len(piece) != size:
            raise ConnectionError("end inside a frame")
        return piece


class Server(ThreadingMixIn, TCPServer):
    allow_reuse_address = True
    request_queue_size = 256
    daemon_threads = True

    def __init__(self, where, name):
        self.name = name
        self.address_family = (socket.AF_INET6 if ":" in where[0]
                               else socket.AF_INET)
        super().__init__(where, Handler)

    def handle_error(self, *_):
        pass  # a client went away


def main():
    options = argparse.ArgumentParser(description="A worker for tests.")
    options.add_argument("--name", required=True)
    options.add_argument("--listen", default="127.0.0.1:0",
                         metavar="ADDR:PORT")
    options = options.parse_args()
    host, _, port = options.listen.rpartition(":")
    for number in signal.SIGTERM, signal.SIGINT:
        signal.signal(number, lambda *_: sys.exit(0))
    with Server((host.strip("[]"), int(port)), options.name) as server:
        host, port = server.server_address[:2]
        print("listening %s:%d" % (f"[{host}]" if ":" in host else host, port),
              flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
