#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Measures functions and files of spoa/, prints the figures and fails beyond
the limits: a smoke alarm, not a goal."""

import pathlib
import re
import statistics
import sys

MEDIAN, P95, MAX, FILE = 20, 60, 70, 750


def functions(text):
    """(name, lines) of each function of a file in our format."""
    name = start = None
    previous = []
    for number, line in enumerate(text.splitlines(), 1):
        if line == "{":
            head = " ".join(previous)
            found = re.search(r"(\w+)\(", head)
            name, start = (found.group(1) if found else "?"), number
        elif line == "}" and name:
            yield name, number - start - 1
            name = None
        previous = (previous + [line])[-4:] if line.strip() else []


def main():
    sizes, wrong = [], []
    for path in sorted(pathlib.Path("spoa").glob("*.c")):
        text = path.read_text()
        lines = text.count("\n")
        if lines > FILE:
            wrong.append(f"{path}: {lines} lines, more than {FILE}")
        for name, size in functions(text):
            sizes.append(size)
            if size > MAX:
                wrong.append(f"{path}: {name} has {size} lines, more than "
                             f"{MAX}")
    sizes.sort()
    p95 = sizes[int(len(sizes) * 0.95)]
    median = statistics.median(sizes)
    if median > MEDIAN or p95 > P95:
        wrong.append(f"functions: median {median}, p95 {p95}; at most "
                     f"{MEDIAN} and {P95}")
    print("\n".join(wrong) or
          f"sizes: {len(sizes)} functions, median {median:.0f}, p95 {p95}, "
          f"longest {sizes[-1]} lines")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
