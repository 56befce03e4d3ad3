# SPDX-License-Identifier: MIT
"""HAProxy's log line, and the page that explains it."""

import re

import pytest

from kit.process import TOP

DOC = (TOP / "docs/log.md").read_text()
EXAMPLE = re.search(r"```text\n(.*)\n```", DOC)[1]


def names(line):
    return re.findall(r" (\w+)=", line)


@pytest.mark.parametrize("file", ["haproxy.cfg", "haproxy-fastpath.cfg"])
def test_every_part_is_explained(file):
    text = (TOP / "haproxy" / file).read_text()
    parts = re.search(r'^ *log-format "(.*)"$', text, re.M)[1]
    for alias in re.findall(r"%(?:\{\+Q\})?([a-zA-Z]+)", parts):
        assert re.search(rf"[%}}]{alias}\b", DOC), alias
    rows = dict(re.findall(r"^\| `(\w+)=[^|]*\| ([^|]*) \|",
                           DOC.split("## How")[0], re.M))
    assert set(names(parts)) <= set(rows) and names(parts)
    for variable in re.findall(r"txn\.router\.(\w+)", parts):
        assert variable in " ".join(rows.values())


def test_the_example_is_a_real_one(haproxy_binary, start_haproxy, start_agent,
                                   start_worker, redis):
    worker = start_worker("one")
    redis.cmd("HSET", "routes", "app1.cloud.com", f"127.0.0.1:{worker.port}")
    agent = start_agent("--redis", redis.url, "--allow-target", "127.0.0.0/8",
                        "--lookup-timeout", "2s")
    haproxy = start_haproxy(haproxy_binary, agent)
    assert haproxy.ask("app1.cloud.com", "/hello").status == 200
    line = haproxy.line("/hello").text

    def shape(text):
        """Addresses, times and numbers aside."""
        text = re.sub(r"\[.*?\]", "[]", text)
        text = re.sub(r"\d+(\.\d+){3}", "IP", text)
        return re.sub(r"\d+", "N", text)
    assert shape(line).replace("source=cache", "source=redis") == shape(EXAMPLE)
