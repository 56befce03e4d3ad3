#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""shot.py FILE [dark]: a picture of the page for people, with something on it.

Starts Redis, the agent and workers, asks for a minute, kills a worker.
"""

import math
import random
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "e2e"))

import kit  # noqa: E402
from kit.browser import Browser  # noqa: E402
from spop import Peer  # noqa: E402

SECONDS = 70
NAMES = ["app1", "app2", "shop", "api", "docs", "blog", "status", "login",
         "img", "chat", "mail", "git"]


def ask(agent, hosts):
    """A minute of questions, more and fewer of them."""
    with Peer(agent.where) as peer:
        begin = time.monotonic()
        while (now := time.monotonic() - begin) < SECONDS:
            count = int(60 + 25 * math.sin(now / 4) + random.random() * 10)
            picks = random.choices(hosts, [1 / (i + 1) for i, _ in
                                           enumerate(hosts)], k=count)
            if random.random() < 0.03:
                picks[0] = f"u{random.randrange(10**6)}.cloud.com"
            peer.ask_all(picks)
            time.sleep(0.02)


def main():
    file, dark = sys.argv[1], "dark" in sys.argv[2:]
    with kit.Redis() as redis, kit.Worker("worker1") as one, \
            kit.Worker("worker2") as two:
        places = [f"127.0.0.1:{worker.port}" for worker in (one, two)]
        for i, name in enumerate(NAMES):
            redis.cmd("HSET", "routes", f"{name}.cloud.com",
                      ",".join(places) if i % 3 == 1 else places[0])
        redis.cmd("HSET", "routes", "*.shop.cloud.com",
                  f"{places[0]} weight 3,{places[1]}; check tcp")
        port = kit.free_port()
        with kit.Agent("--redis", redis.url, "--admin", f"127.0.0.1:{port}",
                       "--allow-target", "127.0.0.0/8") as agent:
            hosts = [f"{name}.cloud.com" for name in NAMES]
            hosts += ["eu.shop.cloud.com"]
            two.kill()
            asking = threading.Thread(target=ask, args=(agent, hosts))
            asking.start()
            with Browser(height=1180, dark=dark) as browser:
                time.sleep(SECONDS - 8)
                browser.go(f"http://127.0.0.1:{port}/?host=eu.shop.cloud.com")
                browser.picture(file)
            asking.join()


if __name__ == "__main__":
    main()
