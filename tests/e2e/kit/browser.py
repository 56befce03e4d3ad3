# SPDX-License-Identifier: MIT
"""Chromium without a window, told what to do through a pipe."""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
         "--disable-background-networking", "--disable-dev-shm-usage",
         "--hide-scrollbars", "--force-color-profile=srgb",
         "--remote-debugging-pipe", "about:blank"]


def chromium():
    """Its path, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Browser:
    """One page of a browser of its own. Messages are JSON, ended by NUL: see
    https://chromedevtools.github.io/devtools-protocol/"""

    def __init__(self, width=1240, height=1000, dark=False, script=True):
        self.folder = tempfile.mkdtemp(prefix="chromium-")
        theirs, self.sink = os.pipe()
        self.source, ours = os.pipe()
        # They are its descriptors 3 and 4: bash can name those of two digits.
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec 3<&{theirs} 4>&{ours} && exec "$@"', "bash",
             chromium(), f"--user-data-dir={self.folder}", *FLAGS],
            pass_fds=(theirs, ours), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": self.folder})
        os.close(theirs)
        os.close(ours)
        self.held, self.last, self.session = b"", 0, None
        self.events = []  # (method, params) of all that it told
        try:
            self.open(width, height, dark, script)
        except BaseException:
            self.close()
            raise

    def open(self, width, height, dark, script):
        target = next(info for info in self.say("Target.getTargets")
                      ["targetInfos"] if info["type"] == "page")
        self.session = self.say("Target.attachToTarget", flatten=True,
                                targetId=target["targetId"])["sessionId"]
        for room in ("Page", "Runtime", "Log"):
            self.say(f"{room}.enable")
        scheme = {"name": "prefers-color-scheme",
                  "value": "dark" if dark else "light"}
        self.say("Emulation.setEmulatedMedia", features=[scheme])
        self.say("Emulation.setDeviceMetricsOverride", width=width,
                 height=height, deviceScaleFactor=1, mobile=False)
        self.say("Emulation.setScriptExecutionDisabled", value=not script)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.sink)
        os.close(self.source)
        shutil.rmtree(self.folder, ignore_errors=True)

    def message(self, until):
        while b"\0" not in self.held:
            ready, _, _ = select.select([self.source], [], [],
                                        until - time.monotonic())
            assert ready, "chromium says nothing"
            piece = os.read(self.source, 1 << 20)
            assert piece, "chromium ended"
            self.held += piece
        text, _, self.held = self.held.partition(b"\0")
        return json.loads(text)

    def say(self, method, seconds=90, **params):
        """One command; its result."""
        self.last += 1
        message = {"id": self.last, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.sink, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + seconds
        while True:
            heard = self.message(until)
            if heard.get("id") == self.last:
                assert "error" not in heard, heard
                return heard["result"]
            if "method" in heard:
                self.events.append((heard["method"], heard["params"]))

    def go(self, url):
        """Loads a page and waits until it is whole."""
        self.say("Page.navigate", url=url)
        until = time.monotonic() + 90
        while self.run("document.readyState") != "complete" or \
                self.run("location.href") == "about:blank":
            assert time.monotonic() < until, "the page does not load"
            time.sleep(0.05)

    def run(self, script):
        """What a script of ours says, whatever the page's policy is."""
        done = self.say("Runtime.evaluate", expression=script,
                        returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def text(self):
        return self.run("document.body?.innerText || ''")

    def complaints(self):
        """What its console has to say."""
        return [params for method, params in self.events if method in
                ("Log.entryAdded", "Runtime.exceptionThrown",
                 "Runtime.consoleAPICalled")]

    def picture(self, path):
        shot = self.say("Page.captureScreenshot", format="png")
        with open(path, "wb") as file:
            file.write(base64.b64decode(shot["data"]))
