# SPDX-License-Identifier: MIT
"""A small real DNS server: dnsmasq with names of the test's own."""

import signal

from .process import Process, program


class DNS(Process):
    """Answers for *.test from records that a test changes; all else is gone."""

    def __init__(self, records=None, ttl=1, start=True):
        super().__init__("dnsmasq")
        self.ttl = ttl
        self.records = self.folder / "records"
        self.put(records or {})
        if start:
            self.start()

    @property
    def resolv_conf(self):
        return (f"nameserver 127.0.0.1:{self.port}\nsearch in.test\n"
                "options timeout:1 attempts:1\n")

    def command(self):
        return [program("dnsmasq"), "--keep-in-foreground", "--conf-file",
                "--user=root", "--pid-file", f"--port={self.port}",
                "--listen-address=127.0.0.1", "--bind-interfaces",
                "--no-resolv", "--no-hosts", "--local=/#/",
                f"--addn-hosts={self.records}", f"--local-ttl={self.ttl}",
                "--log-queries", "--log-facility=-"]

    def is_ready(self):
        """It tells which records it read when it is."""
        return f"read {self.records}" in self.log()

    def put(self, records):
        """{name: [address]}; a running server answers so from now on."""
        self.records.write_text("".join(
            f"{address} {name}\n" for name, addresses in records.items()
            for address in addresses))
        self.records.chmod(0o644)
        if self.running:
            before = self.log().count(f"read {self.records}")
            self.process.send_signal(signal.SIGHUP)
            from resp import until
            until(lambda: self.log().count(f"read {self.records}") > before)

    def asked(self, name):
        """How often, for IPv4 and for IPv6, in whatever case."""
        log = self.log().lower()
        return tuple(log.count(f"query[{kind}] {name} ")
                     for kind in ("a", "aaaa"))
