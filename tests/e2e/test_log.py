# SPDX-License-Identifier: MIT
"""The log: one line an event, with the same words for the same thing, and no
more lines than an operator can read."""

import json
import re
import socket

import pytest

from kit.agent import Agent
from kit.process import TOP
from resp import FakeRedis, until
from spop import Peer, hello

# Names of fields: one word, one meaning. A new one is a decision.
FIELDS = """added address age_s bound by cache_size changed checks code column
    command engine entries error expire_ms field fields file files gid held_back
    host key known max ms name of open opened_by options peer percent pid port
    role routes rule said sentinel server signal size skipped socket table
    targets to uid unread_bytes user value version wanted master status check event reason
    target uses""".split()


@pytest.fixture
def redis():
    with FakeRedis({"a.example": "10.0.0.1:80"}) as found:
        yield found


def lines_of(agent, message):
    return [line for line in agent.log().splitlines()
            if f'msg="{message}"' in line]


def test_strangers_cannot_fill_it(redis):
    """Many bad connections are one line, which says whom, and how many more."""
    message = "connection refused: bad SPOP"
    with Agent("--redis", redis.url) as agent:
        bad = hello().replace(b"2.0", b"9.9")
        for _ in range(40):
            with Peer(agent.where, greet=False) as peer:
                peer.send(bad)
                assert peer.code() != 0
        said = lines_of(agent, message)
        assert len(said) == 1
        assert re.search(r" peer=127\.0\.0\.1:\d+ engine=\S+ code=\d+ "
                         r'error=".*" held_back=0$', said[0])


def test_requests_leave_no_line(redis):
    with Agent("--redis", redis.url, "--lookup-timeout", "10s") as agent:
        with Peer(agent.where) as peer:
            assert peer.ask("a.example").status == "ok"
            until(lambda: "tell of changes" in agent.log(), "the channel", 20)
            before = agent.log()
            for i in range(300):
                peer.ask("a.example")
                peer.ask(f"no{i}.example")
                peer.ask("not a host")
        assert agent.log() == before


def test_every_line_is_json(redis):
    with Agent("--redis", redis.url, "--log-format", "json",
               "--log-level", "debug") as agent:
        with socket.create_connection(agent.where) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: \xff\"\r\n\r\n")
            until(lambda: "bad SPOP" in agent.log(), "the line", 20)
        agent.stop()
        for line in agent.log().splitlines():
            row = json.loads(line)
            assert {"ts", "level", "msg"} <= row.keys()
            assert set(row) - {"ts", "level", "msg"} <= set(FIELDS), row


def test_words_are_those_of_the_house():
    """Field names are of the list; a message is a phrase, not a sentence."""
    for path in (TOP / "spoa").glob("*.c"):
        if path.name.startswith(("ctl", "routectl")):
            continue
        text = path.read_text()
        for call in re.finditer(r"\blog_(?:debug|info|warn|error)\(", text):
            statement = text[call.end():text.index(";", call.end())]
            message = re.match(r'\s*"([^"]*)', statement)
            if message:
                assert not message[1].endswith("."), message[1]
                assert not message[1][:1].isupper() or \
                    message[1].split()[0].isupper(), message[1]
            keys = re.findall(r'log_(?:text|span|number)\(\s*"(\w+)"',
                              statement)
            assert set(keys) <= set(FIELDS), (path.name, keys)
