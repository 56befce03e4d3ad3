#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs everything that `make test` promises and adds it up.

    tests/run.py OUT [PYTEST-ARGUMENT]...

OUT is the folder of a build, such as build/release. First its unit tests, then
the kept inputs of the fuzzers, then the end-to-end tests. The last line is
`N passed, N failed`, with `, N skipped` when some were; the exit status is 0
only when nothing failed and something ran. JOBS=N runs N files of end-to-end
tests at a time, 2 when all are to run: most wait for something. AGAIN=N is for
machines that others use, too: those that failed are tried once more, alone, if
they are few."""

import os
import pathlib
import re
import subprocess
import sys

TESTS = pathlib.Path(__file__).parent
EMULATOR = os.environ.get("EMULATOR", "").split()  # unit tests run under it


def run_unit(binary):
    """(passed, failed, skipped) of one cmocka binary."""
    done = subprocess.run([*EMULATOR, binary], stdout=subprocess.PIPE, text=True,
                          env=os.environ | {"CMOCKA_MESSAGE_OUTPUT": "TAP"})
    skipped = len(re.findall(r"# SKIP", done.stdout))
    passed = len(re.findall(r"^ok (?!.*# SKIP)", done.stdout, re.M))
    failed = len(re.findall(r"^not ok (?!.*# SKIP)", done.stdout, re.M))
    if failed or done.returncode or not passed + skipped:
        print(done.stdout)
        failed = failed or 1
    return passed, failed, skipped


def run_replay(binary):
    """(passed, failed): one test a fuzzer, whose corpus is replayed."""
    name = binary.name.removeprefix("replay_")
    corpus = TESTS / "fuzz" / "corpus" / name
    done = subprocess.run([*EMULATOR, binary, corpus], stdout=subprocess.PIPE, text=True)
    ran = re.search(r"([1-9]\d*) inputs", done.stdout)
    print(f"corpus {name}: {done.stdout.strip()}")
    return (1, 0) if ran and done.returncode == 0 else (0, 1)


def run_pytest(out, arguments):
    """(passed, failed, skipped) of one run of the end-to-end tests."""
    jobs = os.environ.get("JOBS", "1" if arguments else "2")
    command = [sys.executable, "-m", "pytest", "-o", f"cache_dir={out}/pytest",
               *(["-n", jobs, "--dist", "loadfile"] if jobs != "1" else []),
               "-q", str(TESTS / "e2e"), *arguments]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        for line in run.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    last = next((line for line in reversed(lines) if " in " in line), "")
    count = {word: int(number) for number, word in
             re.findall(r"(\d+) (passed|failed|error|skipped)", last)}
    failed = count.get("failed", 0) + count.get("error", 0)
    if run.returncode != 0 and not failed:
        failed = 1
    return count.get("passed", 0), failed, count.get("skipped", 0)


def run_e2e(out, arguments):
    """The same; with AGAIN=N up to N that failed are tried once more."""
    passed, failed, skipped = run_pytest(out, arguments)
    if 0 < failed <= int(os.environ.get("AGAIN", "0")):
        print(f"once more, the {failed} that failed:", flush=True)
        os.environ["JOBS"] = "1"
        ok, failed, _ = run_pytest(out, ["--last-failed",
                                         "--last-failed-no-failures=none"])
        print(f"{ok} passed when tried again", flush=True)
        passed += ok
    return passed, failed, skipped


def main():
    out = pathlib.Path(sys.argv[1]).resolve()
    passed = failed = skipped = 0
    for binary in sorted((out / "tests/unit").glob("test_*")):
        if binary.suffix:
            continue
        ok, bad, not_run = run_unit(binary)
        print(f"{binary.name}: {ok} passed, {bad} failed", flush=True)
        passed, failed, skipped = passed + ok, failed + bad, skipped + not_run
    for binary in sorted((out / "tests/fuzz").glob("replay_*")):
        if binary.suffix:
            continue
        ok, bad = run_replay(binary)
        passed, failed = passed + ok, failed + bad
    if "--unit" not in sys.argv:
        ok, bad, not_run = run_e2e(out, sys.argv[2:])
        passed, failed, skipped = passed + ok, failed + bad, skipped + not_run
    print(f"{passed} passed, {failed} failed"
          + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
