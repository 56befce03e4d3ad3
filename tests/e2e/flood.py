#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Floods an agent in a process of its own, until it is ended.

    flood.py KIND HOST PORT        with Flooders(agent.where, ["acks"]): ...

Each kind is what HAProxy would never do, as fast as it can be said."""

import select
import subprocess
import sys

import spop
from spop import Peer, frame, hello, integer, notify

MIB = 1 << 20


def again(where, *said):
    """Connects, says it, and goes with a reset, for ever."""
    while True:
        try:
            with Peer(where, greet=False) as peer:
                if said:
                    peer.send(b"".join(said))
                peer.reset()
        except OSError:
            pass


def pour(where, said, **keys):
    """Says it for ever on one connection, and reads what comes."""
    peer = Peer(where, timeout=60, **keys)
    peer.sock.setblocking(False)
    begin = said = memoryview(said)
    while True:
        can_read, can_write, _ = select.select([peer.sock], [peer.sock], [])
        if can_read and not peer.sock.recv(MIB):
            return
        if can_write:
            said = said[peer.sock.send(said):] or begin


def fill(kind, size, payload=b"", **ids):
    """Frames of a kind, some `size` bytes of them."""
    one = frame(kind, payload, 1, 1, **ids)
    return one * (size // len(one))


def large(where):
    """A frame of 1 MiB makes room, then small ones fill it at once."""
    first = notify(spop.message("x", ("y", spop.text(b"z" * (MIB - 64)))))
    pour(where, first + fill(spop.NOTIFY, MIB), max_frame_size=integer(MIB))


KINDS = {
    "connects": again,
    "hellos": lambda where: again(where, hello()),
    "hellos-again": lambda where: again(where, hello() * 100),
    "bad-hellos": lambda where: again(where, frame(spop.HELLO, b"\xff" * 9)),
    "acks": lambda where: pour(where, fill(spop.ACK, MIB)),
    "aborts": lambda where: pour(where, fill(
        spop.UNSET, MIB, flags=spop.FIN | spop.ABORT)),
    "notifies": lambda where: pour(where, fill(spop.NOTIFY, MIB)),
    "large": large,
}


class Flooders:
    """A process for each of these kinds, until the end of a `with`."""

    def __init__(self, where, kinds):
        self.found = [subprocess.Popen([sys.executable, __file__, kind,
                                        where[0], str(where[1])])
                      for kind in kinds]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for flooder in self.found:
            flooder.kill()
            flooder.wait()


if __name__ == "__main__":
    KINDS[sys.argv[1]]((sys.argv[2], int(sys.argv[3])))
