# SPDX-License-Identifier: MIT
"""Hosts that were built to fall into one bucket of a hash table cost what any
hosts cost: ours is keyed, with a secret that nobody outside knows."""

import itertools
import random
from pathlib import Path

import pytest

import kit
from resp import Speaker, until
from spop import Peer, question
from test_attack import Flood

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
BITS = 12  # 4096 hosts
ROUNDS, PASSES = 6, 2
LOW = (1 << 24) - 1  # bits of a hash that any table of this size would use


def added(multiplier):
    """h * multiplier + c: two pairs of letters collide whatever is around."""
    def step(state, letter):
        return state * multiplier + ord(letter) & LOW
    return step


def fnv(prime):
    """FNV-1a: its lower bits depend on its lower bits alone."""
    def step(state, letter):
        return (state ^ ord(letter)) * prime & LOW
    return step


# What many tables hash with: where it starts, and what a letter does to it.
HASHES = {
    "djb2": (5381, added(33)),
    "java": (0, added(31)),
    "fnv1a-32": (0x811c9dc5 & LOW, fnv(0x01000193)),
    "fnv1a-64": (0xcbf29ce484222325 & LOW, fnv(0x100000001b3)),
}


def run(step, state, text):
    for letter in text:
        state = step(state, letter)
    return state


def find_pair(step, state, draw):
    """Two texts of four letters that lead from a state to the same one."""
    seen = {}
    while True:
        text = "".join(draw.choices(LETTERS, k=4))
        other = seen.setdefault(run(step, state, text), text)
        if other != text:
            return text, other


def build(name, before, draw):
    """Labels that collide in a host that begins with `before`: two choices in
    each place double them (Joux)."""
    state, step = HASHES[name]
    state, pairs = run(step, state, before), []
    for _ in range(BITS):
        pairs.append(find_pair(step, state, draw))
        state = run(step, state, pairs[-1][0])
    labels = ["".join(choice) for choice in itertools.product(*pairs)]
    assert {run(step, run(step, HASHES[name][0], before), label)
            for label in labels[:99]} == {state}
    return labels


def spent_ns(agent):
    """What the agent has had of a processor."""
    return int(Path(f"/proc/{agent.pid}/schedstat").read_text().split()[0])


def cost(agent, peer, said, count):
    """What asking for all of them took of the processor."""
    begin = spent_ns(agent)
    for batch in said * PASSES:
        peer.send(batch)
        Flood.skip_answers(peer, count)
    return spent_ns(agent) - begin


@pytest.mark.parametrize("field, host", [
    ("{}.example", "{}.example"),      # routes
    ("*.{}.example", "x.{}.example"),  # a wildcard each, and what is absent
    ("none.example", "{}.example"),    # absent
], ids=["routes", "wildcards", "absent"])
@pytest.mark.parametrize("name", HASHES)
def test_hosts_built_to_collide(start_agent, name, field, host):
    draw = random.Random(1)
    # A field of the table must begin as the hash was built for.
    built = build(name, field.partition("{}")[0] if "{}" in field else "",
                  draw)
    drawn = ["".join(draw.choices(LETTERS, k=len(built[0]))) for _ in built]
    with kit.Redis() as redis:
        with Speaker(redis.where) as say:
            for label in built + drawn:
                say("HSET", "routes", field.format(label), "10.0.0.1:80")
        agent = start_agent("--redis", redis.url, "--ttl", "1h",
                            "--negative-ttl", "1h", "--lookup-timeout", "10s")
        with Peer(agent.where, timeout=60) as peer:
            until(lambda: peer.ask("a.b").status == "not_found", "Redis")
            said = {}
            for kind, labels in ("built", built), ("drawn", drawn):
                hosts = [host.format(label) for label in labels]
                expected = "ok" if "{}" in field else "not_found"
                assert {answer.status for answer in peer.ask_all(hosts[:512])
                        } == {expected}
                questions = [question(one) for one in hosts]
                said[kind] = [b"".join(questions[at:at + 256])
                              for at in range(0, len(hosts), 256)]
                cost(agent, peer, said[kind], 256)
            rounds = [{kind: cost(agent, peer, batches, 256)
                       for kind, batches in said.items()}
                      for _ in range(ROUNDS)]
        costs = {kind: min(one[kind] for one in rounds) for kind in said}
        per = {kind: ns / (PASSES * len(built)) for kind, ns in costs.items()}
        print(f"{name}: {per['built']:.0f} ns an answer for hosts built to "
              f"collide, {per['drawn']:.0f} for others")
        assert per["built"] < 2 * per["drawn"]
        assert agent.stop() == 0
        agent.close()
