# SPDX-License-Identifier: MIT
"""The manual pages say what --help says, and mandoc has nothing against them."""

import pathlib
import re
import subprocess

import pytest

import kit.agent
from kit.process import TOP

MAN = TOP / "docs/man"


def options_of(program):
    """{name: value} as --help lists them."""
    text = subprocess.run([program, "--help"], capture_output=True, text=True,
                          check=True).stdout
    return dict(re.findall(r"^  --([\w-]+)(?: ([A-Za-z]+))? ", text, re.M))


@pytest.mark.parametrize("page, program", [
    ("spoa-router.8", kit.agent.binary()), ("routectl.1", kit.agent.routectl())])
def test_options(page, program):
    text = (MAN / page).read_text()
    found = re.findall(r"^\.It Fl Fl ([\w-]+)(?: Ar (\w+))?$", text, re.M)
    assert dict(found) == options_of(program)


def test_commands():
    text = subprocess.run([kit.agent.routectl(), "--help"],
                          capture_output=True, text=True, check=True).stdout
    page = (MAN / "routectl.1").read_text()
    assert re.findall(r"^\.It Cm (\w+)", page, re.M) == \
        re.findall(r"^  ([a-z]+) ", text, re.M)


@pytest.mark.parametrize("page", sorted(path.name for path in MAN.iterdir()))
def test_mandoc(page):
    done = subprocess.run(["mandoc", "-Tlint", MAN / page],
                          capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines()
             if "referenced manual not found" not in line]
    assert not lines


def test_the_file_of_the_manual_is_valid(tmp_path):
    text = (MAN / "spoa-router.conf.5").read_text()
    example = text.split(".Bd -literal")[1].split("\n", 1)[1].split(".Ed")[0]
    password = pathlib.Path(tmp_path) / "password"
    password.write_text("x\n")
    (tmp_path / "conf").write_text(
        re.sub("/etc/spoa-router.password", str(password),
               example.replace(",group=haproxy", "")))
    done = subprocess.run([kit.agent.binary(), "--check", "--config",
                           tmp_path / "conf"], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
