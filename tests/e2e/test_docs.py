# SPDX-License-Identifier: MIT
"""What docs/ says works: its configurations are valid, its commands run, and its
runbook knows each line of the log.

A fenced block says by its word what it is: "haproxy" stands beside haproxy.cfg,
or begins with "# instead of"; "conf" is a file of --config; "sh" runs here, with
a Redis and an agent; "systemd" runs in tests/deb/inside.sh; "text" is to be read.
"""

import os
import re
import subprocess

import pytest

import kit
from kit.haproxy import FILES, certificate
from kit.process import TOP, program

PAGES = sorted((TOP / "docs").glob("*.md"))
WORDS = {"haproxy", "conf", "sh", "systemd", "text"}


def blocks(word):
    """(page:line, text) of each such block."""
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S):
            assert match[1] in WORDS, f"{page.name}: a block of {match[1]!r}"
            if match[1] == word:
                line = text[:match.start()].count("\n") + 1
                found.append((f"{page.name}:{line}", match[2]))
    return found


def names(found):
    return {"argvalues": [text for _, text in found],
            "ids": [where for where, _ in found]}


# -- configurations -----------------------------------------------------------


@pytest.mark.parametrize("text", **names(blocks("haproxy")))
def test_haproxy_takes_it(haproxy_binary, tmp_path, text):
    (tmp_path / "block.cfg").write_text(text)
    files = [tmp_path / "block.cfg"]
    if not text.startswith("# instead of"):
        files.insert(0, FILES / "haproxy.cfg")
    done = subprocess.run(
        [haproxy_binary, "-c", *(word for path in files for word in ("-f", path))],
        env={**os.environ, "SPOE_CONF": str(FILES / "spoe-router.conf")},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr


@pytest.mark.parametrize("text", **names(blocks("conf")))
def test_the_agent_takes_it(agent_binary, tmp_path, text):
    pem = certificate()
    for name in set(re.findall(r"= /etc/spoa-router/(\S+)$", text, re.M)):
        (tmp_path / name).write_text(
            open(pem).read() if name.endswith(".pem") else "secret\n")
    conf = tmp_path / "conf"
    conf.write_text(text.replace("/etc/spoa-router/", f"{tmp_path}/")
                    .replace(",group=haproxy", ""))
    done = subprocess.run([agent_binary, "--check", "--config", conf],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# -- commands -----------------------------------------------------------------


@pytest.fixture(scope="module")
def shell(tmp_path_factory, start_redis, start_agent):
    """A folder to run commands in, where redis-cli and routectl find a Redis."""
    folder = tmp_path_factory.mktemp("docs")
    redis = start_redis()
    agent = start_agent("--redis", redis.url, "--admin",
                        f"unix:{folder}/admin.sock")
    programs = folder / "bin"
    programs.mkdir()
    for name, words in {
            "redis-cli": [program("redis-cli"), "-p", str(redis.port)],
            "routectl": [kit.agent.routectl(), "--redis", redis.url],
            "spoa-router": [kit.agent.binary()]}.items():
        (programs / name).write_text(
            f'#!/bin/sh\nexec {" ".join(words)} "$@"\n')
        (programs / name).chmod(0o755)

    def run(text):
        assert agent.running
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c",
             text.replace("/run/spoa-router", str(folder))], cwd=folder, timeout=60,
            env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
            capture_output=True, text=True, check=False)
    run.redis, run.folder = redis, folder
    for host, route in (("app1.cloud.com", "10.0.0.1:9000"),
                        ("app2.cloud.com", "10.0.0.2:9000")):
        redis.cmd("HSET", "routes", host, route)
    return run


@pytest.mark.parametrize("text", **names(blocks("sh")))
def test_commands_run(shell, text):
    done = shell(text)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not re.search(r"^(\(error\)|ERR |WRONG|NOPERM)", done.stdout, re.M), \
        done.stdout


# -- the runbook ----------------------------------------------------------------


def literals(code):
    return re.findall(r'"((?:[^"\\]|\\.)*)"', re.sub(r'"\s*"', "", code))


def first_words(text, start):
    """The strings of the argument that begins at start, or of its table."""
    end, depth, quoted = start, 0, False
    while depth or quoted or text[end] not in ",)":
        if text[end] == "\\":
            end += 1
        elif text[end] == '"':
            quoted = not quoted
        elif not quoted:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
        end += 1
    argument = text[start:end]
    table = re.match(r"\s*(\w+)\[", argument)
    if table:
        argument = re.search(rf"\b{table[1]}\[\w*\] = {{(.*?)}};", text, re.S)[1]
    return literals(argument)


def handed_over(text, start):
    """The strings that callers give to the function which logs at start."""
    function = re.findall(r"^\w[\w *]*\b(\w+)\(", text[:start], re.M)[-1]
    calls = re.findall(rf"^\t+{function}\((.*?)\);", text, re.M | re.S)
    return [words[0] for words in map(literals, calls) if words]


def messages():
    """What the agent logs at warning or above."""
    found = set()
    for path in (TOP / "spoa").glob("*.c"):
        if path.name.startswith("ctl"):
            continue
        text = path.read_text()
        for match in re.finditer(r"\blog_(?:warn|error)\(", text):
            found.update(first_words(text, match.end())
                         or handed_over(text, match.start()))
    return found | {"target is down"}  # whose words are in a table


def test_the_runbook_knows_each_line_of_the_log():
    text = (TOP / "docs/runbook.md").read_text()
    known = set(re.findall(r"^### `(.*)`$", text, re.M))
    said = messages()
    assert len(said) > 30
    assert "target is down" in (TOP / "spoa/events.c").read_text()
    assert not said - known, "docs/runbook.md lacks these"
    assert not known - said, "docs/runbook.md has lines that nothing logs"


def alerts():
    return {name for path in (TOP / "docker").rglob("*.yml")
            for name in re.findall(r"^\s*- alert: (\w+)$", path.read_text(), re.M)}


def test_the_runbook_knows_each_alert():
    text = (TOP / "docs/runbook.md").read_text()
    assert set(re.findall(r"^### (\w+)$", text, re.M)) == alerts()


def test_links_lead_somewhere():
    for page in [*PAGES, TOP / "README.md"]:
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            assert link.startswith("http") or (page.parent / link).exists(), \
                f"{page.name}: {link}"
