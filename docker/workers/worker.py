# SPDX-License-Identifier: MIT
"""A small web server in Python: says who answers, on port 9000."""

import signal
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"python on {socket.gethostname()}\n".encode()
        self.send_response(200)
        self.send_header("X-Worker", "python")
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
ThreadingHTTPServer(("0.0.0.0", 9000), Handler).serve_forever()
