# SPDX-License-Identifier: MIT
"""The programs as they are built: what the loader and the kernel are told."""

import re
import shutil
import subprocess

import pytest

from kit.agent import binary, routectl
from resp import sanitized


def readelf(option, path):
    done = subprocess.run(["readelf", "-W", option, path], check=True,
                          stdout=subprocess.PIPE, text=True)
    return done.stdout


@pytest.fixture(params=["spoa-router", "routectl"])
def elf(request):
    """The path of each released program in turn."""
    path = binary() if request.param == "spoa-router" else \
        routectl()
    if sanitized(path):
        pytest.skip("a build for tests, not for use")
    assert shutil.which("readelf"), "binutils are missing"
    return path


def segments(elf):
    """{type: flags} of the program headers, the last of each type; and the
    flags of all that are loaded."""
    rows = re.findall(r"^  ([A-Z_]+) +(?:0x\w+ +){5}([RWE ]{3})",
                      readelf("--segments", elf), re.M)
    return dict(rows), [flags for kind, flags in rows if kind == "LOAD"]


def test_nothing_is_both_written_and_run(elf):
    kinds, loaded = segments(elf)
    assert kinds["GNU_STACK"] == "RW "
    assert loaded and not [f for f in loaded if "W" in f and "E" in f]


def test_it_may_lie_anywhere(elf):
    """Position independent, without a text that the loader would have to
    change, and with no folder of its own for libraries."""
    dynamic = readelf("--dynamic", elf)
    assert "Type:                              DYN" in readelf("--file-header",
                                                               elf)
    assert re.search(r"FLAGS_1.*\bPIE\b", dynamic)
    assert not re.search(r"\((TEXTREL|RPATH|RUNPATH)\)", dynamic)


def test_what_the_loader_fills_in_is_then_read_only(elf):
    kinds, _ = segments(elf)
    assert "GNU_RELRO" in kinds
    assert re.search(r"BIND_NOW|FLAGS_1.*\bNOW\b", readelf("--dynamic", elf))


def test_overflows_are_noticed(elf):
    """Of the stack, and of what glibc writes to where sizes are known."""
    symbols = readelf("--dyn-syms", elf)
    assert "__stack_chk_fail" in symbols
    assert re.search(r"__\w+_chk@GLIBC", symbols.replace("__stack_chk", ""))


@pytest.mark.parametrize("flag", [
    "-fstack-clash-protection",  # no frame jumps over the guard page
    "-fcf-protection",           # jumps land where they may
])
def test_what_only_the_compiler_knows(elf, flag):
    """Not to be seen in the program (Debian's own start files lack the mark
    of the second), but its debugging information names the flags."""
    machine = readelf("--file-header", elf)
    if flag == "-fcf-protection" and "X86-64" not in machine:
        pytest.skip("x86-64 only")
    info = readelf("--debug-dump=info", elf)
    producers = re.findall(r"DW_AT_producer.*: (.*)", info)
    if not producers:
        pytest.skip("stripped")
    assert any(flag in line for line in producers)
