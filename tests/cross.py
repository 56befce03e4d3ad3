#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Builds for other machines, and with the libraries of another Debian.

    tests/cross.py [NAME...]

NAME is one of BUILDS, all by default. Runs the unit tests and kept inputs of each,
under qemu-user where the machine is another one; the last line of each is
`NAME: N passed, N failed`. Debian's cross compilers make them; libraries are
unpacked in build/sysroot/NAME and never installed."""

import os
import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent
TOP = TESTS.parent

LIBRARIES = ["libc6-dev", "libevent-dev", "libhiredis-dev", "libinih-dev",
             "libjansson-dev", "libssl-dev", "libsystemd-dev", "libseccomp-dev",
             "libcmocka-dev"]


def own_suite():
    text = Path("/etc/os-release").read_text()
    return re.search(r"^VERSION_CODENAME=(\w+)$", text, re.M)[1]


def read(*command, **env):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True,
                          env={**os.environ, **env}).stdout.strip()


def count_unit(out, emulator=""):
    """(passed, all that ran) of the unit tests and kept inputs in `out`."""
    env = {"EMULATOR": emulator} if emulator else {}
    done = subprocess.run([TESTS / "run.py", out, "--unit"], cwd=TOP,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True, env={**os.environ, **env})
    counts = re.findall(r"^(\d+) passed, (\d+) failed", done.stdout, re.M)
    passed, failed = map(int, counts[-1]) if counts else (0, 1)
    if failed:
        print(done.stdout)
    return passed, passed + failed


class Build:
    """One of another machine (`arch` as Debian names it, its compiler's triplet
    and qemu's name of it) or of another suite."""

    def __init__(self, name, triplet, qemu=None, suite=None, arch=None):
        self.name, self.triplet, self.qemu = name, triplet, qemu
        self.suite, self.arch = suite, arch
        self.out = TOP / "build/cross" / name
        self.root = TOP / "build/sysroot" / name
        self.agent = self.out / "spoa-router"

    def get(self):
        if not self.root.exists():
            arch = {"ARCH": self.arch} if self.arch else {}
            subprocess.run([TESTS / "get-peers.sh", self.suite or own_suite(),
                            self.root, *LIBRARIES], check=True,
                           env={**os.environ, **arch})
        for name in ("lib", "lib64"):  # Debian 13 has all below /usr
            if (self.root / "usr" / name).exists() and not (
                    self.root / name).exists():
                (self.root / name).symlink_to(f"usr/{name}")

    @property
    def where(self):
        """What tells pkg-config where to look."""
        return {"PKG_CONFIG_SYSROOT_DIR": str(self.root), "PKG_CONFIG_LIBDIR":
                f"{self.root}/usr/lib/{self.triplet}/pkgconfig"}

    @property
    def emulator(self):
        """What its programs run under: other libraries need their own loader."""
        if self.qemu:
            return f"{self.qemu} -L {self.root}"
        libs = f"{self.root}/usr/lib/{self.triplet}"
        loader, = Path(libs).glob("ld-linux*.so.*")
        return f"{loader} --library-path {libs}"

    def make(self):
        self.get()
        subprocess.run(
            ["make", "-s", f"-j{os.cpu_count()}", f"out={self.out}",
             f"agent={self.agent}", f"routectl={self.out}/routectl", "stamp=",
             f"CC={self.triplet}-gcc --sysroot={self.root}",
             f"AR={self.triplet}-ar", "all", "unit"],
            cwd=TOP, check=True, stdout=subprocess.DEVNULL,
            env={**os.environ, **self.where})

    def hiredis(self):
        return read("pkg-config", "--modversion", "hiredis", **self.where)

    def unit(self):
        return count_unit(self.out, self.emulator)


BUILDS = {build.name: build for build in (
    Build("arm64", "aarch64-linux-gnu", "qemu-aarch64-static", arch="arm64"),
    Build("armhf", "arm-linux-gnueabihf", "qemu-arm-static", arch="armhf"),
    Build("s390x", "s390x-linux-gnu", "qemu-s390x-static", arch="s390x"),
    Build("trixie", "x86_64-linux-gnu", suite="trixie"))}


def main():
    is_good = True
    for name in sys.argv[1:] or BUILDS:
        build = BUILDS[name]
        build.make()
        passed, ran = build.unit()
        print(f"{name}: {passed} passed, {ran - passed} failed", flush=True)
        is_good = is_good and 0 < passed == ran
    return not is_good


if __name__ == "__main__":
    sys.exit(main())
