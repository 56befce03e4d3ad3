#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A few tests with everything: each HAProxy, Redis and compiler in turn.

    tests/matrix.py OUT [--write]

prints one table of what ran, and with --write puts it into tests/README.md.
HAPROXY, REDIS_SERVERS and SPOA_ROUTER are those of the end-to-end tests. The
exit status is 0 when all passed and something ran everywhere.

HAProxy and the agent are wrapped: the one gets its number of threads, the
other a Unix socket besides its port, which HAProxy then uses.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent
TOP = TESTS.parent
sys.path[:0] = [str(TESTS / "e2e")]

# pylint: disable=wrong-import-position
import kit  # noqa: E402
import kit.agent  # noqa: E402
from cross import BUILDS, count_unit  # noqa: E402

PATHS = {  # the plain one is asked over HTTP/1, HTTP/2 and websockets
    "plain": ("test_haproxy.py", "test_two_hosts or change_is_live or "
              "http2_many or test_websocket or test_log_line"),
    "fast path": ("test_fastpath.py", "test_lent_after or taken_back or "
                  "test_reload or test_redis_away")}
PUSHES = "test_push.py", "test_writes or test_transaction"
VARIANTS = [(threads, way) for threads in (1, 4) for way in ("TCP", "Unix")]
MARKS = "<!-- make matrix -->\n", "<!-- until here -->\n"

HAPROXY = """#!/bin/sh
socket={folder}/${{SPOA_ADDR##*:}}.sock
if [ {way} = Unix ] && [ -S "$socket" ]; then
	echo "$socket" >>{folder}/used
	export SPOA_ADDR="unix@$socket"
fi
exec {real} -f {folder}/threads.cfg "$@"
"""
# What an agent that is not of this machine or its libraries runs under.
UNDER = """#!/bin/sh
exec {emulator} {real} "$@"
"""
AGENT = """#!/bin/sh
port= before=
for word; do
	[ "$before" != --listen ] || port=${{word##*:}}
	before=$word
done
case $port in *[!0-9]* | '') exec {real} "$@" ;; esac
exec {real} "$@" --listen unix:{folder}/$port.sock
"""
# Threads may be more than processors here, and HAProxy from 3.0 on warns of it.
PLUGIN = """
def pytest_collection_modifyitems():
    import kit
    alerts = kit.HAProxy.alerts
    kit.HAProxy.alerts = lambda self: [
        line for line in alerts(self) if "threads will compete" not in line]
"""


def pytest(selection, *options, **env):
    """(passed, all that ran)"""
    file, names = selection
    done = subprocess.run(
        ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider",
         *options, str(TESTS / "e2e" / file), "-k", names],
        env={**os.environ, **env}, stdout=subprocess.PIPE, text=True)
    last = done.stdout.strip().rpartition("\n")[2]
    count = {word: int(number) for number, word in
             re.findall(r"(\d+) (passed|failed|error)", last)}
    if done.returncode:
        print(done.stdout)
    passed = count.get("passed", 0)
    return passed, max(sum(count.values()), passed + bool(done.returncode))


def put_script(path, text, **names):
    path.write_text(text.format(**names))
    path.chmod(0o755)
    return str(path)


def with_haproxy(binary, path, threads, way, real=None):
    """`real` is the agent, if it is not the one that is tested here."""
    folder = Path(tempfile.mkdtemp(prefix="m-"))
    try:
        (folder / "threads.cfg").write_text(
            f"global\n    nbthread {threads}\n")
        haproxy = put_script(folder / "haproxy", HAPROXY, folder=folder,
                             real=binary, way=way)
        agent = put_script(folder / "agent", AGENT, folder=folder,
                           real=real or kit.agent.binary())
        (folder / "no_alert_of_threads.py").write_text(PLUGIN)
        passed, ran = pytest(
            PATHS[path], "-p", "no_alert_of_threads", HAPROXY=haproxy,
            SPOA_ROUTER=agent, PYTHONPATH=str(folder))
        if way == "Unix" and not (folder / "used").exists():
            passed = 0  # it was not what it is said to be
        return passed, ran
    finally:
        shutil.rmtree(folder)


def with_compiler(compiler, out):
    make = ["make", "-s", f"CC={compiler}", f"out={out}", "unit"]
    if subprocess.run(make, cwd=TOP, stdout=subprocess.DEVNULL).returncode:
        return 0, 1
    return count_unit(out)


def with_build(build):
    """Rows of another machine or suite: its own unit tests, and the agent as it
    is there between a HAProxy and each Redis of here; less where it is slow."""
    try:
        build.make()
    except subprocess.CalledProcessError:
        yield build.name, "is built", [(0, 1)]
        return
    name = f"{build.name}, hiredis {build.hiredis()}"
    few = slice(1 if build.qemu else None)
    yield name, "unit tests and kept inputs", [build.unit()]
    agent = put_script(build.out / "agent", UNDER, emulator=build.emulator,
                       real=build.agent)
    for path in PATHS:
        yield name, path, [with_haproxy(kit.binaries()[0], path, *variant, agent)
                           for variant in VARIANTS[few]]
    for binary in kit.redis_binaries()[few]:
        yield f"{name}, {kit.redis_name(binary)}", "changes", [pytest(
            PUSHES, REDIS_SERVERS=binary, SPOA_ROUTER=agent)]


def first_line(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, text=True,
                          check=True).stdout.partition("\n")[0]


def rows(out):
    """(what, how, [(passed, ran)]) of each row, as it was run."""
    for binary in kit.binaries():
        name = "HAProxy " + ".".join(map(str, kit.version(binary)))
        for path in PATHS:
            yield name, path, [with_haproxy(binary, path, *variant)
                               for variant in VARIANTS]
    for binary in kit.redis_binaries():
        yield kit.redis_name(binary), "changes", [pytest(
            PUSHES, REDIS_SERVERS=binary)]
    for compiler in filter(shutil.which, ("gcc", "clang")):
        number = first_line(compiler, "-dumpversion")
        yield f"{compiler} {number}", "unit tests and kept inputs", [
            with_compiler(compiler, f"{out}/matrix/{compiler}")]
    for build in BUILDS.values():
        yield from with_build(build)


def line(what, how, results):
    cells = [f"{passed} of {ran}" for passed, ran in results]
    cells += [""] * (len(VARIANTS) - len(cells))
    return f"| {what} | {how} | {' | '.join(cells)} |"


def put(table):
    path = TESTS / "README.md"
    before, _, rest = path.read_text().partition(MARKS[0])
    behind = rest.partition(MARKS[1])[2]
    path.write_text(before + MARKS[0] + table + MARKS[1] + behind)


def main():
    out = sys.argv[1]
    hiredis = first_line("pkg-config", "--modversion", "hiredis")
    machine = os.uname().machine
    lines = [f"Built with hiredis {hiredis} on {machine}; tests that passed, of "
             "those that ran:", "",
             "| with | what | " + " | ".join(
                 f"nbthread {threads}, {way}" for threads, way in VARIANTS)
             + " |", "|---" * (2 + len(VARIANTS)) + "|"]
    is_good = True
    for what, how, results in rows(out):
        lines.append(line(what, how, results))
        print(lines[-1], flush=True)
        is_good = is_good and all(0 < passed == ran
                                  for passed, ran in results)
    table = "\n".join(lines) + "\n"
    if "--write" in sys.argv:
        put(table)
    return not is_good


if __name__ == "__main__":
    sys.exit(main())
