#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Counts the lines that the kept inputs of the fuzz targets reach.

    tests/fuzz/cover.py [TARGET]...

Runs build/cover/fuzz_TARGET over tests/fuzz/corpus/TARGET and prints, for each
room that reads what strangers send, how many of its lines were run by the
targets that are for it. The exit status is 1 when a target is below GOAL,
all its rooms taken together."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

GOAL = 90  # per cent of lines
TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = TOP / "build/cover"

# target: the rooms whose input it makes
ROOMS = {
    "admin": ["admin", "busiest", "explain", "html", "http", "json", "listing"],
    "guard": ["guard"],
    "host": ["host"],
    "lines": ["ctl_hipache", "ctl_lines"],
    "opts": ["opts", "opts_table"],
    "push": ["redis_push"],
    "redis_reply": ["redis_reply", "sieve"],
    "redis_store": ["channel", "hold", "lead", "redis", "redis_store",
                    "servers"],
    "redis_url": ["redis_url"],
    "report": ["report"],
    "route": ["route"],
    "runtime_api": ["runtime_api"],
    "sentinel": ["sentinel"],
    "session": ["session", "spop"],
    "sieve": ["sieve"],
    "snapshot": ["snapshot"],
    "writer": ["runtime_api", "writer"],
}


def tool(name):
    """llvm-cov may be installed under its version's name alone."""
    found = shutil.which(name)
    names = sorted(pathlib.Path("/usr/bin").glob(name + "-[0-9]*"))
    return found or (str(names[-1]) if names else sys.exit(f"no {name}: "
                                                           "install llvm"))


def lines_of(target):
    """{room: (lines run, lines)} after all kept inputs of a target."""
    raw, merged = (BUILD / f"{target}.{end}" for end in ("raw", "profile"))
    program = BUILD / f"fuzz_{target}"
    subprocess.run([program, "-runs=0", TOP / "tests/fuzz/corpus" / target],
                   check=True, stderr=subprocess.DEVNULL, timeout=300,
                   env=os.environ | {"LLVM_PROFILE_FILE": str(raw)})
    subprocess.run([tool("llvm-profdata"), "merge", "-o", merged, raw],
                   check=True)
    rooms = [TOP / "spoa" / f"{room}.c" for room in ROOMS.get(target, [])]
    done = subprocess.run([tool("llvm-cov"), "export", "-summary-only",
                           f"-instr-profile={merged}", program, *rooms],
                          check=True, stdout=subprocess.PIPE)
    return {pathlib.Path(file["filename"]).stem:
            (file["summary"]["lines"]["covered"],
             file["summary"]["lines"]["count"])
            for file in json.loads(done.stdout)["data"][0]["files"]}


def main():
    low = 0
    for target in sys.argv[1:] or sorted(ROOMS):
        found = lines_of(target)
        for room, (run, count) in sorted(found.items()):
            print(f"{target:12} {room:14} {run:5} of {count:5} lines "
                  f"{100 * run / count:6.1f} %")
        run, count = map(sum, zip(*found.values()))
        low += 100 * run < GOAL * count
        if 100 * run < GOAL * count:
            print(f"{target:12} is below the goal: {100 * run / count:.1f} %")
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
