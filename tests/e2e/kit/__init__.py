# SPDX-License-Identifier: MIT
"""The programs of an end-to-end test, one class each.

Redis, Agent, HAProxy and Worker are real processes: each has a folder and a
free port of its own, is ready once its constructor returns, and is a context
manager that ends it. ScriptedAgent speaks SPOP from a thread and misbehaves on
demand. Client asks over HTTP. Fixtures for all of them are in conftest.py;
when a test fails, it shows the logs of every process that was in use.
"""

from .agent import Agent
from .client import Client, Reply, WebSocket, raw
from .dns import DNS
from .haproxy import HAProxy, binaries, version
from .process import Process, free_port
from .redis import Redis, redis_binaries, redis_name
from .sentinel import Sentinel, Watched
from .scripted import CLOSE, RESET, SILENT, ScriptedAgent, ok
from .worker import Target, Worker

__all__ = ["Agent", "CLOSE", "Client", "DNS", "HAProxy", "Process", "RESET",
           "Redis", "Reply", "SILENT", "ScriptedAgent", "Sentinel", "Target",
           "Watched", "WebSocket", "Worker",
           "binaries", "free_port", "ok", "raw", "redis_binaries", "redis_name",
           "version"]
