#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Checks that includes go strictly down: the table is the picture of
spoa/README.md. A room may include what it names here, and nothing else."""

import pathlib
import re
import sys

BASE = {"base"}
CTL = BASE | {"ctl", "ctl_report", "json"}  # what commands of routectl use
ROOMS = {
    "base": set(),
    "log": BASE,
    # L1: pure
    "hash": BASE,
    "spop": BASE,
    "session": BASE | {"spop"},
    "host": BASE,
    "route": BASE,
    "balance": BASE | {"route"},
    "guard": BASE,
    "pages": BASE,
    "slab": BASE | {"pages"},
    "entries": BASE | {"pages", "slab"},
    "cache": BASE | {"entries", "hash"},
    "lent": BASE | {"hash"},
    "sieve": BASE,
    "redis_url": BASE,
    "opts": BASE | {"opts_table"},
    "opts_table": BASE | {"opts"},
    "json": BASE,
    "metrics": BASE,
    "html": BASE,
    "pace": BASE | {"metrics"},
    "pulse": BASE,
    "names": BASE,
    "due": BASE,
    "report": BASE,
    "roster": BASE | {"due", "hash", "names", "pulse"},
    # L2: the joint
    "store": BASE,
    "watch": BASE | {"route"},
    "sweep": BASE | {"cache", "store"},
    "dns": BASE | {"route"},
    "routes": BASE | {"balance", "cache", "dns", "guard", "hash", "route",
                      "session", "store", "watch"},
    "walk": BASE | {"cache", "host"},
    "flights": BASE | {"cache", "hash", "host", "session", "store"},
    "resolver": BASE | {"cache", "flights", "hash", "host", "routes",
                        "session", "store", "sweep", "walk"},
    "lender": BASE | {"cache", "host", "lent", "resolver"},
    # L3: input and output
    "loop": BASE,
    "listener": BASE,
    "user": BASE,
    "fence": BASE,
    "systemd": BASE | {"loop"},
    "dns_cache": BASE | {"dns", "hash", "loop", "log"},
    "checker": BASE | {"loop", "roster"},
    "health": BASE | {"balance", "checker", "guard", "hash", "loop", "roster",
                      "route", "watch", "log"},
    "events": BASE | {"health", "json", "log", "route"},
    "feedback": BASE | {"listener", "loop", "report", "log"},
    "runtime_api": BASE | {"loop"},
    "writer": BASE | {"log", "loop", "runtime_api"},
    "fastpath": BASE | {"cache", "lender", "loop", "resolver", "runtime_api",
                        "writer"},
    "redis_urls": BASE | {"opts", "redis_url"},
    "bad_routes": BASE | {"hash", "routes", "log"},
    "tls": BASE,
    "redis_wire": BASE | {"loop", "redis_reply", "redis_url", "sieve", "tls",
                          "log"},
    "redis_reply": BASE | {"redis_url", "sieve", "store"},
    "redis": BASE | {"redis_reply", "redis_wire", "store", "log"},
    "redis_push": BASE | {"redis_wire"},
    "replicas": BASE | {"redis_reply", "redis_url"},
    "sentinel": BASE | {"redis_reply", "redis_wire", "replicas", "log"},
    "hold": BASE | {"hash", "log"},
    "preload": BASE | {"cache", "resolver", "store", "log"},
    "lead": BASE | {"redis", "sentinel"},
    "channel": BASE | {"redis", "redis_push", "log"},
    "servers": BASE | {"lead", "log"},
    "redis_store": BASE | {"channel", "hash", "hold", "loop", "redis_url",
                           "servers", "store"},
    "conn": BASE | {"loop", "metrics", "resolver", "log"},
    "conns": BASE | {"conn", "listener", "log"},
    "snapshot": BASE | {"cache", "loop", "resolver", "log"},
    "listing": BASE | {"cache", "loop"},
    "busiest": BASE | {"cache", "listing", "loop"},
    "process": BASE,
    "reserve": BASE,
    "http": BASE | {"json", "listener", "log", "loop"},
    # L4: the program
    "view": None,
    "scrape": None,
    "explain": None,
    "page": None,
    "page_tables": None,
    "admin": None,
    "settings": None,
    "sockets": None,
    "agent": None,
    "reload": None,
    "main": None,
    # routectl: pure rooms of its own, its input and output, its commands
    "ctl_words": BASE,
    "ctl_lines": BASE,
    "ctl_pairs": BASE,
    "ctl_report": BASE | {"json"},
    "ctl_opts": BASE | {"opts"},
    "ctl_front": BASE,
    "ctl_hipache": BASE,
    "ctl_redis": BASE | {"ctl_tls", "redis_url", "tls"},
    "ctl_tls": BASE | {"tls"},
    "ctl": BASE | {"ctl_opts", "ctl_pairs", "ctl_redis", "ctl_report", "guard",
                   "host", "route"},
    "ctl_admin": BASE | {"listener"},
    "ctl_agent": CTL | {"ctl_admin", "ctl_render"},
    "ctl_render": BASE | {"ctl_report"},
    "ctl_edit": CTL | {"ctl_agent", "ctl_front", "ctl_words"},
    "ctl_explain": CTL | {"ctl_agent"},
    "ctl_import": CTL | {"ctl_source"},
    "ctl_source": CTL | {"ctl_hipache", "ctl_lines", "redis_urls"},
    "ctl_watch": CTL,
    "ctl_read": CTL | {"ctl_lines"},
    "routectl": None,
}


def main():
    wrong = []
    for path in sorted(pathlib.Path("spoa").glob("*.[ch]")):
        room = path.stem
        if room not in ROOMS:
            wrong.append(f"{path}: a room that {sys.argv[0]} does not know")
            continue
        allowed = ROOMS[room]
        for name in re.findall(r'#include "(\w+)\.h"', path.read_text()):
            if allowed is not None and name not in allowed | {room}:
                wrong.append(f"{path}: includes {name}.h, which is not below")
    print("\n".join(wrong) or f"layers: {len(ROOMS)} rooms, all includes go "
          "down")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
