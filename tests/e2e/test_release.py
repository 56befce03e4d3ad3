# SPDX-License-Identifier: MIT
"""What is handed on: the tarball, the same bytes from the same sources, the list of
what the programs are made of, and the numbers that docs/SECURITY.md gives."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile

import pytest

import kit.agent
from kit.process import TOP

PROGRAMS = ["build/spoa-router", "build/routectl"]
QUICKLY = "CFLAGS=-O0 -g0 -fno-lto -U_FORTIFY_SOURCE"  # for what is run once


def output(*command, folder=TOP, **options):
    return subprocess.run(command, cwd=folder, check=True, text=True, timeout=300,
                          stdout=subprocess.PIPE, **options).stdout


def version():
    return re.search(r"^VERSION := (\S+)$", (TOP / "Makefile").read_text(), re.M)[1]


@pytest.fixture(scope="module")
def built():
    """The released programs are there, and as the sources are."""
    if kit.agent.binary() != str(TOP / PROGRAMS[0]):
        pytest.skip("build/spoa-router is not what is tested here")
    output("make", "-s", "all")


# -- make dist ------------------------------------------------------------------


def make_dist():
    output("make", "-s", "dist")
    return TOP / f"build/spoa-router-{version()}.tar.gz"


@pytest.fixture(scope="module")
def tarball(tmp_path_factory):
    if not shutil.which("git") or not (TOP / ".git").exists():
        pytest.skip("no git clone: a tarball is made from one")
    path = tmp_path_factory.mktemp("dist") / "first.tar.gz"
    shutil.copy(make_dist(), path)
    return path


@pytest.fixture(scope="module")
def unpacked(built, tarball, tmp_path_factory):
    """A folder of the tarball's sources, without git, and built there."""
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(tarball) as tar:
        tar.extractall(folder)
    folder /= f"spoa-router-{version()}"
    output("nice", "make", "-s", "-j2", "all", folder=folder)
    return folder


def test_the_tarball_has_what_git_has(tarball):
    time = int(output("git", "log", "-1", "--format=%ct"))
    with tarfile.open(tarball) as tar:
        members = tar.getmembers()
    files = [member.name for member in members if not member.isdir()]
    known = output("git", "ls-tree", "-r", "--name-only", "-z", "HEAD")
    assert files == sorted(files)
    assert set(files) == {f"spoa-router-{version()}/{name}"
                          for name in known.split("\0") if name}
    assert {member.mtime for member in members} == {time}
    assert {member.mode & 0o7777 for member in members} == {0o755, 0o644}


def test_a_commit_makes_one_tarball(tarball):
    assert make_dist().read_bytes() == tarball.read_bytes()


def test_the_tarball_needs_no_git_to_be_checked(unpacked):
    """Its unit tests run there, and lint finds the same scripts."""
    lists = []
    for folder in (TOP, unpacked):
        lines = output("make", "-n", "lint", folder=folder).splitlines()
        lists.append([line for line in lines if "shellcheck" in line])
    assert "tests/deps.sh" in lists[0][0]
    assert lists[0] == lists[1] or output("git", "status", "--porcelain")
    output("nice", "make", "-s", "-j2", "unit", QUICKLY, folder=unpacked)
    out = next(unpacked.glob("build/*/tests/unit")).parents[1]
    said = output("tests/run.py", out, "--unit", folder=unpacked,
                  stderr=subprocess.DEVNULL)
    assert re.search(r"^[1-9]\d+ passed, 0 failed$", said, re.M), said


# -- the same bytes ---------------------------------------------------------------


def test_another_folder_makes_the_same_bytes(built, unpacked):
    if output("git", "status", "--porcelain", "--", "spoa", "Makefile"):
        pytest.skip("the sources here are not those that git has")
    for name in PROGRAMS:
        assert (TOP / name).read_bytes() == (unpacked / name).read_bytes(), name
        assert str(TOP).encode() not in (TOP / name).read_bytes()


# -- make sbom ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def sbom(built):
    output("make", "-s", "sbom")
    return json.loads((TOP / "build/spoa-router.spdx.json").read_text())


def test_the_sbom_has_the_shape_of_spdx(sbom):
    assert (sbom["spdxVersion"], sbom["dataLicense"]) == ("SPDX-2.3", "CC0-1.0")
    assert re.fullmatch(r"[a-z]+:[^#\s]+", sbom["documentNamespace"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
                        sbom["creationInfo"]["created"])
    rows = [sbom, *sbom["packages"], *sbom["files"]]
    known = [row["SPDXID"] for row in rows]
    assert len(set(known)) == len(known)
    assert all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", name) for name in known)
    for row in sbom["packages"]:
        assert {"name", "downloadLocation", "licenseConcluded", "licenseDeclared",
                "copyrightText"} <= row.keys(), row
        assert re.fullmatch(r"NOASSERTION|Organization: [^<>]+",
                            row.get("supplier", "NOASSERTION")), row
        assert row["filesAnalyzed"] == ("packageVerificationCode" in row), row
    for row in sbom["relationships"]:
        assert {row["spdxElementId"], row["relatedSpdxElement"]} <= set(known), row
        assert row["relationshipType"] in {
            "DESCRIBES", "CONTAINS", "DEPENDS_ON", "BUILD_DEPENDENCY_OF",
            "BUILD_TOOL_OF"}
    assert sbom["relationships"][0]["relationshipType"] == "DESCRIBES"


def test_the_sbom_knows_the_programs(sbom):
    sums = {}
    for row in sbom["files"]:
        data = (TOP / "build" / row["fileName"]).read_bytes()
        for each in row["checksums"]:
            assert each["checksumValue"] == \
                hashlib.new(each["algorithm"], data).hexdigest()
        sums[row["fileName"]] = row["checksums"][0]["checksumValue"]
    assert set(sums) == {"./spoa-router", "./routectl"}
    us = next(row for row in sbom["packages"] if row["name"] == "spoa-router")
    assert us["versionInfo"] == version() and us["licenseDeclared"] == "MIT"
    code = hashlib.sha1("".join(sorted(sums.values())).encode()).hexdigest()
    assert us["packageVerificationCode"]["packageVerificationCodeValue"] == code


@pytest.mark.skipif(not shutil.which("dpkg-query"), reason="no dpkg here")
def test_the_sbom_knows_each_library(sbom):
    """Each NEEDED library is a package with the version that dpkg says."""
    us = "SPDXRef-Package-spoa-router"
    packages = {row["SPDXID"]: row for row in sbom["packages"]}
    used = {row["relatedSpdxElement"] for row in sbom["relationships"]
            if (row["spdxElementId"], row["relationshipType"]) == (us, "DEPENDS_ON")}
    names = " ".join(packages[each]["name"] for each in used)
    needed = {name for program in PROGRAMS for name in re.findall(
        r"\(NEEDED\).*\[lib(\w+)", output("readelf", "-d", TOP / program))}
    for name in needed - {"m", "pthread", "crypto"}:  # of libc6 and libssl
        word = {"c": "libc6", "event_core": "libevent-core"}.get(name, "lib" + name)
        assert word.replace("_", "-") in names, (name, names)
    for each in used:
        row = packages[each]
        assert output("dpkg-query", "-W", "-f", "${Version}\n",
                      row["name"]).split("\n")[0] == row["versionInfo"]
        purl, = row["externalRefs"]
        assert purl["referenceLocator"].startswith("pkg:deb/")
    hiredis = next(packages[each] for each in used if "hiredis" in each)
    assert hiredis["licenseDeclared"] == "BSD-3-Clause"


def test_the_sbom_is_made_of_facts_alone(sbom):
    """Made again, only its time differs, and its name, which goes by that."""
    modules = re.search(r"sbom\.py \S+ '(.*?)'", output("make", "-n", "sbom"))[1]
    again = json.loads(output("debian/sbom.py", version(), modules, *PROGRAMS,
                              env={**os.environ, "SOURCE_DATE_EPOCH": "86400"}))
    assert again["creationInfo"]["created"] == "1970-01-02T00:00:00Z"
    assert again["documentNamespace"] != sbom["documentNamespace"]
    for name in ("creationInfo", "documentNamespace"):
        again[name] = sbom[name]
    assert again == sbom


# -- docs ---------------------------------------------------------------------------


UNITS = {"KiB": 1024, "MiB": 1024 ** 2, "s": 1000, "min": 60000}


def numbers(text):
    """The numbers of a text, in bytes, milliseconds or as they are."""
    return {int(number) * UNITS.get(unit, 1) for number, unit in
            re.findall(r"(\d+)(?: (\w+))?", text)}


def constant(path, name):
    text = pathlib.Path(TOP / "spoa" / path).read_text()
    value = re.search(rf"\b{name} = ([^,/}}]+)", text)
    assert value, f"{path} has no {name}"
    product = re.fullmatch(r"(\d+)((?: (?:\*|<<) \d+)*)", value[1].strip())
    assert product, f"{path}: {value[0]}"
    return eval(product[0])  # digits, * and << alone


def default(option):
    text = (TOP / "spoa/opts_table.c").read_text()
    return int(re.search(rf'{{"{option}", [^"]*"(\d+)"', text)[1])


def bounds():
    text = (TOP / "docs/SECURITY.md").read_text()
    rows = re.findall(r"^\| (.*?) \| (.*?) \| (.*?) \| .* \|$",
                      text.split("## Bounds")[1], re.M)
    return [row for row in rows if "`" in row[2]]


@pytest.mark.parametrize("what, said, where", bounds(),
                         ids=[row[0] for row in bounds()])
def test_each_bound_is_as_said(what, said, where):
    known = numbers(said)
    for option in re.findall(r"`--([\w-]+)`", where):
        assert default(option) in known, (option, default(option))
    for path, names in re.findall(r"(\w+\.[ch])((?: `\w+`)+)", where):
        for name in re.findall(r"\w+", names):
            assert constant(path, name) in known, (name, constant(path, name))


def test_the_bounds_are_many():
    assert len(bounds()) > 40


def test_the_changelog_begins_with_what_comes_or_is():
    text = (TOP / "docs/CHANGELOG.md").read_text()
    newest = re.search(r"^## (\d+\.\d+\.\d+)(, unreleased)?$", text, re.M)
    assert newest[2] or newest[1] == version()


def test_the_package_has_our_version():
    head = (TOP / "debian/changelog").read_text().partition("\n")[0]
    assert re.match(rf"spoa-router \({re.escape(version())}\) ", head)
