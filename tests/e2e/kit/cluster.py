# SPDX-License-Identifier: MIT
"""A Redis Cluster on loopback."""

import contextlib

from resp import Refused, Speaker, until

from .process import free_port
from .redis import Redis

SLOTS = 16384


def slot_of(key):
    """The slot of a key without braces (CRC16, XMODEM)."""
    crc = 0
    for byte in key.encode():
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x1021 if crc & 0x8000 else 0)) & 0xffff
    return crc % SLOTS


class Cluster(contextlib.ExitStack):
    """Cluster(binary): .nodes, of which the first three own slots."""

    def __init__(self, binary, masters=3, replicas=0):
        super().__init__()
        self.nodes = [self.enter_context(Redis(
            "--cluster-enabled", "yes", "--cluster-port", str(free_port()),
            "--cluster-node-timeout", "1000",
            "--cluster-replica-validity-factor", "0", "--appendonly", "no",
            "--repl-diskless-sync-delay", "0", binary=binary))
            for _ in range(masters + replicas)]
        first = self.nodes[0]
        for n, node in enumerate(self.nodes[:masters]):
            with self.say(node) as say:
                say("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
                say("CLUSTER", "ADDSLOTSRANGE", SLOTS * n // masters,
                    SLOTS * (n + 1) // masters - 1)
        for node in self.nodes[1:]:
            node.cmd("CLUSTER", "MEET", "127.0.0.1", first.port,
                     first.options[first.options.index("--cluster-port") + 1])
        until(lambda: all(self.well(node) for node in self.nodes),
              "a cluster", 30)
        for n, node in enumerate(self.nodes[masters:]):
            with self.say(node) as say:
                until(lambda say=say, n=n: self.follow(say, n), "a master")
        for node in self.nodes[masters:]:
            until(lambda node=node: node.info("master_link_status") == "up",
                  "a replica in step", 30)

    def follow(self, say, n):
        try:
            return say("CLUSTER", "REPLICATE", self.id(self.nodes[n]))
        except Refused:
            return None

    @staticmethod
    def say(node):
        return Speaker(node.where)

    def id(self, node):
        with self.say(node) as say:
            return say("CLUSTER", "MYID")

    def well(self, node):
        with self.say(node) as say:
            found = say("CLUSTER", "INFO")
            return "cluster_state:ok" in found and \
                f"cluster_known_nodes:{len(self.nodes)}" in found

    def owner(self, key):
        """The node that answers for the key."""
        for node in self.nodes:
            if not node.running:
                continue
            with self.say(node) as say:
                try:
                    say("HLEN", key)
                    return node
                except (Refused, ConnectionError):
                    pass
        return None

    def settle(self):
        """Waits until all living nodes agree that the cluster is up."""
        until(lambda: all(self.well(node) for node in self.nodes
                          if node.running), "a cluster that is up", 30)

    def do(self, *words):
        """A command at whatever node takes it, as a cluster's client does."""
        seen, asking = set(), []
        node = next(node for node in self.nodes if node.running)
        for _ in range(20):
            with self.say(node) as say:
                try:
                    return say.all([*asking, words])[-1]
                except Refused as error:
                    kind, _, where = (str(error).split() + ["", ""])[:3]
                    if kind not in ("MOVED", "ASK"):
                        raise
                    asking = [["ASKING"]] if kind == "ASK" else []
                    port = int(where.rpartition(":")[2])
                    node = next(n for n in self.nodes if n.port == port)
                    seen.add(port)
        raise AssertionError(f"{words}: no owner, asked {seen}")

    def migrate(self, key, to, pause=lambda: None):
        """Moves the key's slot, as redis-cli does; pause() between steps."""
        source, slot = self.owner(key), slot_of(key)
        ids = self.id(source), self.id(to)
        with self.say(source) as here, self.say(to) as there:
            there("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
            here("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
            pause()
            here("MIGRATE", "127.0.0.1", to.port, key, 0, 5000)
            pause()
            there("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
            pause()
            here("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
        for node in self.nodes:
            if node not in (source, to):
                node.cmd("CLUSTER", "SETSLOT", slot, "NODE", ids[1],
                         check=False)
