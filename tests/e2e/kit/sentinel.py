# SPDX-License-Identifier: MIT
"""Redis Sentinel: a master, its replicas, and those who watch them."""

import contextlib

from resp import Speaker, until

from .process import Process
from .redis import Redis

NAME = "the-master"


class Sentinel(Process):
    """One sentinel that watches the master at a port."""

    def __init__(self, binary, master, quorum=2, lines=(), start=True):
        super().__init__("sentinel")
        self.binary = binary
        self.file = self.folder / "sentinel.conf"
        self.file.write_text("\n".join([
            f"port {self.port}", "bind 127.0.0.1", f"dir {self.folder}",
            f"sentinel monitor {NAME} 127.0.0.1 {master} {quorum}",
            f"sentinel down-after-milliseconds {NAME} 500",
            f"sentinel failover-timeout {NAME} 3000",
            *lines, ""]))
        if start:
            self.start()

    def command(self):
        return [self.binary, str(self.file), "--sentinel"]

    def ask(self, *words):
        with Speaker(self.where) as say:
            return say("SENTINEL", *words)


class Watched(contextlib.ExitStack):
    """Watched(binary): .servers (the first is the master), .sentinels."""

    def __init__(self, binary, sentinels=3, replicas=1, options=(), lines=()):
        super().__init__()
        self.binary = binary
        options = (*options, "--repl-diskless-sync-delay", "0")
        master = self.enter_context(Redis(*options, binary=binary))
        self.servers = [master]
        for _ in range(replicas):
            self.servers.append(self.enter_context(Redis(
                *options, "--replicaof", "127.0.0.1", str(master.port),
                binary=binary)))
        # a sentinel looks at a replica's link every 10 s only
        for replica in self.servers[1:]:
            until(lambda replica=replica: replica.info(
                "master_link_status") == "up", "a replica", 30)
        self.sentinels = [self.enter_context(
            Sentinel(binary, master.port, lines=lines))
            for _ in range(sentinels)]

    def wait(self):
        """Until all sentinels know the replicas and each other."""
        def known(sentinel):
            flat = sentinel.ask("MASTER", NAME)
            facts = dict(zip(flat[::2], flat[1::2]))
            return (int(facts["num-slaves"]) == len(self.servers) - 1 and
                    int(facts["num-other-sentinels"]) ==
                    len(self.sentinels) - 1)
        for sentinel in self.sentinels:
            until(lambda: known(sentinel), "sentinels that know all", 20)
        return self

    @property
    def where(self):
        return ",".join(f"127.0.0.1:{s.port}" for s in self.sentinels)

    @property
    def url(self):
        return f"redis-sentinel://{self.where}/{NAME}"

    def named(self):
        """The port that the sentinels name; None while they disagree."""
        ports = {int(s.ask("GET-MASTER-ADDR-BY-NAME", NAME)[1])
                 for s in self.sentinels if s.running}
        return ports.pop() if len(ports) == 1 else None
