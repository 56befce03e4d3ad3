# SPDX-License-Identifier: MIT
"""The README says what the program says."""

import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).parents[2]
AGENT = os.environ.get("SPOA_ROUTER", str(ROOT / "build/spoa-router"))


def options_of_help():
    """{name: (value, default)} as --help lists them."""
    text = subprocess.run([AGENT, "--help"], capture_output=True, text=True,
                          check=True).stdout
    rows = re.findall(r"^  --([\w-]+)(?: ([A-Z]+))? .*?(?: \[([^][]+)\])?$",
                      text, re.M)
    return {name: (value, default) for name, value, default in rows}


def options_of_readme():
    table = (ROOT / "README.md").read_text().split("## Options")[1]
    table = table.split("\n## ")[0]
    found = {}
    for row in re.findall(r"^\|(.*)\|$", table, re.M):
        names, default = row.split("|")[:2]
        for name, value in re.findall(r"`--([\w-]+)(?: ([A-Z]+))?`", names):
            found[name] = (value, default.strip("` "))
    return found


def test_options_of_readme_are_those_of_help():
    assert options_of_help() == options_of_readme()
    assert len(options_of_help()) > 15
