# SPDX-License-Identifier: MIT
"""The page for people at /: what stands on it, that nothing a stranger writes
becomes markup, and how a browser sees it."""

import contextlib
import html.parser
import re
import threading
import time
import urllib.parse

import pytest

import kit
from kit.browser import Browser, chromium
from resp import FakeRedis
from resp import until as until_soon
from spop import Peer


def until(fact, what, seconds=60):
    """Machines that test are busy."""
    return until_soon(fact, what, seconds)


HOSTILE = '"><script>document.title="owned"</script><img src=x onerror=1>'
VOID = {"meta", "link", "input", "img", "br"}


class Page(html.parser.HTMLParser):
    """Tags in order, and the text of each table; what is not well nested
    fails."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.open, self.attributes = [], [], []
        self.tables, self.words = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def row(self, first):
        """The cells of the last row that begins with it."""
        found = [row for table in self.tables for row in table
                 if row and row[0] == first]
        return found[-1]


def look(admin, host=None):
    query = f"?host={urllib.parse.quote(host, safe='')}" if host else ""
    return Page(admin.get("/" + query))


@pytest.fixture
def browse():
    """browse(url, options) -> a Browser that shows it."""
    if not chromium():
        pytest.skip("no chromium: tests/deps.sh test installs it")
    with contextlib.ExitStack() as stack:
        def browse(url, **options):
            browser = stack.enter_context(Browser(**options))
            browser.go(url)
            return browser
        yield browse


def url(admin, path="/"):
    return "http://%s:%d%s" % (*admin.where, path)


def test_headers(start_admin):
    _, admin = start_admin()
    for path, kind in (("/", "text/html; charset=utf-8"),
                       ("/page.css", "text/css; charset=utf-8"),
                       ("/page.js", "text/javascript; charset=utf-8")):
        status, text, headers = admin.ask("GET", path)
        assert (status, headers["Content-Type"]) == (200, kind)
        assert text == (kit.process.TOP / "spoa" / path[1:]).read_text() \
            if path != "/" else text.startswith("<!DOCTYPE html>")
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
    assert admin.ask("POST", "/")[0] == 405


def test_a_fresh_agent(start_admin):
    """Redis is away and nothing was asked: it says so."""
    _, admin = start_admin()
    until(lambda: "Redis cannot be asked." in look(admin).text, "the notice")
    page = look(admin)
    assert "No route was asked for yet." in page.text
    assert "127.0.0.1:1" in page.text
    # All style and script is in files: nothing that the policy would refuse.
    assert page.tags.count("script") == 1
    assert "style" not in page.tags
    assert not [name for name, _ in page.attributes
                if name == "style" or name.startswith("on")]
    # A table has a caption, and heads with a scope.
    assert page.tags.count("caption") == page.tags.count("table") > 0


def test_what_it_shows(start_admin):
    routes = {"a.example": "10.0.0.1:80", "b.example": "10.0.0.2:80"}
    with FakeRedis(routes) as redis:
        agent, admin = start_admin("--ttl", "1h", redis=redis.url)
        with Peer(agent.where) as peer:
            for host, times in (("a.example", 3), ("b.example", 1200)):
                until(lambda: peer.ask(host).status == "ok", "it")
                for at in range(0, times, 100):
                    peer.ask_all([host] * min(times - at, 100))
            until(lambda: look(admin).text.count("1,2") >= 2, "a beat")
            page = look(admin)
    assert page.row("b.example")[1] == "10.0.0.2:80"
    assert page.row("b.example")[3].startswith("1,20")
    names = [row[0] for table in page.tables for row in table if row]
    assert names.index("b.example") < names.index("a.example")
    assert page.row("ok")[1].startswith("1,2")  # of the cache
    assert "connected" in page.text and "not told" in page.text
    assert "Redis does not tell of changes." in page.text


def test_explains_a_host(start_admin):
    routes = {"a.example": "10.0.0.1:80 weight 3,10.0.0.2:81 backup",
              "bad.example": "nonsense"}
    with FakeRedis(routes) as redis:
        _, admin = start_admin("--ttl", "1h", redis=redis.url)
        until(lambda: "10.0.0.1:80" in look(admin, "A.example:80").text, "it")
        page = look(admin, "A.example:80")
        assert "Where does A.example:80 go?" in page.text
        assert page.row("a.example")[2] == routes["a.example"]
        assert page.row("*.example")[1] == "fresh, no route"
        assert page.row("10.0.0.1:80")[2] == "3"
        assert page.row("10.0.0.2:81")[3] == "backup"
        assert ("value", "A.example:80") in page.attributes
        page = look(admin, "bad.example")
        assert "bad_route" in page.text and "The value:" in page.text
        assert "not_found" in look(admin, "c.example").text
        assert "bad_host" in look(admin, "a b").text


def test_targets_in_trouble(start_admin, start_worker, redis):
    worker = start_worker("one")
    place = f"127.0.0.1:{worker.port}"
    redis.cmd("HSET", "routes", "a.example", f"{place}; check tcp",
              "*.b.example", f"{place}; check tcp")
    agent, admin = start_admin("--check-interval", "200ms",
                               "--allow-target", "127.0.0.0/8",
                               redis=redis.url)
    with Peer(agent.where) as peer:
        until(lambda: peer.ask("a.example").status == "ok", "it")
        until(lambda: peer.ask("x.b.example").status == "ok", "it")
        assert look(admin).row("a.example")[2] == "up"
        worker.kill()
        until(lambda: peer.ask("a.example").status == "down", "the check")
    page = look(admin)
    assert page.row(place)[1] == "down"
    assert sorted(page.row(place)[4].split(", ")) == ["*.b.example",
                                                      "a.example"]
    assert page.row("a.example")[2] == "0 of 1 up"
    assert "1 target is down" in page.text


def test_redis_that_goes_and_comes(start_admin, redis):
    _, admin = start_admin(redis=redis.url)
    until(lambda: "told at once" in look(admin).text, "the channel")
    assert "Redis does not tell" not in look(admin).text
    redis.kill()
    until(lambda: "Redis cannot be asked." in look(admin).text, "its end")
    redis.start()
    until(lambda: "told at once" in look(admin).text, "its return")
    assert "lost 1 time" in look(admin).text


@pytest.fixture
def hostile(start_admin, redis):
    """An agent whose routes were written by somebody who means ill."""
    for field in (HOSTILE, "a.example", "\x01\xff&amp;"):
        redis.cmd("HSET", "routes", field, HOSTILE)
    agent, admin = start_admin("--preload", redis=redis.url)
    until(lambda: 'msg="preloaded"' in agent.log(), "the routes")
    return admin


def test_hostile_texts_stay_texts(hostile):
    plain = sorted(set(look(hostile).tags))
    for host in (HOSTILE, "a.example", "'\"", "<!--", "\x00\xff", "%3Cb%3E",
                 "&lt;script&gt;", "x" * 3000):
        page = look(hostile, host)
        assert page.tags.count("script") == 1 and "img" not in page.tags
        assert set(page.tags) - set(plain) <= {"strong"}
    assert page.row(HOSTILE)[1] == HOSTILE
    assert [value for name, value in page.attributes
            if name == "href" and "script" in value] == []


def test_a_browser_runs_nothing_hostile(browse, hostile):
    path = "/?host=" + urllib.parse.quote(HOSTILE)
    browser = browse(url(hostile, path))
    until(lambda: browser.run("document.getElementById('live').innerText")
          == "live", "its script", 60)
    assert browser.run("document.title") == "spoa-router"
    assert browser.run("document.images.length") == 0
    assert browser.run("document.scripts.length") == 1
    assert browser.text().count(HOSTILE) >= 2
    assert browser.run("document.getElementById('host').value") == HOSTILE
    assert browser.complaints() == []


def test_the_policy_is_in_force(browse, start_admin):
    """Were a text to become markup after all, nothing of it would run."""
    _, admin = start_admin()
    browser = browse(url(admin))
    browser.run("document.body.insertAdjacentHTML('beforeend', "
                "'<img src=x onerror=document.title=1>')")
    browser.run("document.body.append(Object.assign(document.createElement("
                "'script'), {textContent: 'document.title = 2'}))")
    until(lambda: "Content Security Policy" in str(browser.complaints()) or
          browser.text() is None, "the refusal", 60)
    assert browser.run("document.title") == "spoa-router"


def test_a_browser_without_script_sees_the_tables(browse, start_admin):
    with FakeRedis({"a.example": "10.0.0.1:80"}) as redis:
        _, admin = start_admin("--ttl", "1h", redis=redis.url)
        until(lambda: "10.0.0.1:80" in look(admin, "a.example").text, "it")
        # The busiest routes are listed once a second.
        until(lambda: "10.0.0.1:80" in look(admin).text, "it among the routes")
        browser = browse(url(admin), script=False)
        assert "10.0.0.1:80" in browser.text()
        assert browser.run("document.getElementById('live').innerText") == ""
        # The search is a form, and needs none either.
        browser.run("document.getElementById('host').value = 'a.example'")
        browser.run("document.forms[0].submit()")
        until(lambda: "Where does a.example go?" in browser.text(), "it", 60)


def test_it_refreshes_itself(browse, start_admin):
    """What is learned after the page was loaded comes to stand on it."""
    with FakeRedis({"late.example": "10.0.0.1:80"}) as redis:
        agent, admin = start_admin("--ttl", "1h", redis=redis.url)
        browser = browse(url(admin))
        assert "late.example" not in browser.text()
        browser.run("document.getElementById('host').value = 'half a wo'")
        with Peer(agent.where) as peer:
            until(lambda: peer.ask("late.example").status == "ok", "it")
        until(lambda: "late.example" in browser.text(), "the route", 60)
        # What somebody is typing stays.
        assert browser.run("document.getElementById('host').value") == \
            "half a wo"
        agent.kill()
        until(lambda: "the agent does not answer" in browser.text(), "it", 60)


CONTRAST = """(() => {
    const parse = text => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(c => c / 255).map(c =>
        c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = element => {
        for (; element; element = element.parentElement) {
            const color = parse(getComputedStyle(element).backgroundColor);
            if (color.length < 4 || color[3] > 0)
                return color;
        }
    };
    const poor = [];
    for (const element of document.querySelectorAll("body *")) {
        if (![...element.childNodes].some(node => node.nodeType === 3 &&
                                          node.data.trim()))
            continue;
        const one = light(parse(getComputedStyle(element).color));
        const two = light(behind(element));
        const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
        if (ratio < 4.5)
            poor.push([element.outerHTML.slice(0, 80), ratio]);
    }
    return poor;
})()"""


@pytest.mark.parametrize("dark", [False, True])
def test_both_schemes_can_be_read(browse, start_admin, dark):
    """WCAG's contrast for texts, with notices, marks and tables on the page."""
    with FakeRedis({"a.example": "nonsense"}) as redis:
        _, admin = start_admin("--haproxy-socket", "/nowhere/at-all",
                               redis=redis.url)
        until(lambda: "bad_route" in look(admin, "a.example").text, "it")
        browser = browse(url(admin, "/?host=a.example"), dark=dark)
    paper = browser.run("getComputedStyle(document.body).backgroundColor")
    first = int(re.search(r"\d+", paper)[0])
    assert first < 60 if dark else first > 230
    assert browser.run(CONTRAST) == []


TOO_WIDE = """[...document.querySelectorAll("body *")].filter(element =>
    !element.closest(".scroll *") && !element.closest(".small caption") &&
    element.getBoundingClientRect().right > innerWidth)
    .map(element => element.outerHTML.slice(0, 80))"""


@pytest.mark.parametrize("width", [360, 700, 1600])
def test_it_fits_the_window(browse, start_admin, width):
    """Wide tables scroll, the page does not."""
    with FakeRedis({"a.example": "10.0.0.1:80," * 40 + "10.0.0.1:80"}) as redis:
        _, admin = start_admin("--ttl", "1h", redis=redis.url)
        until(lambda: "10.0.0.1:80" in look(admin, "a.example").text, "it")
        browser = browse(url(admin, "/?host=a.example"), width=width)
        assert browser.run(TOO_WIDE) == []


def test_the_admin_side_delays_no_answer(start_admin, redis):
    """A hundred thousand routes, and clients that ask for all that goes through
    them, as fast as they can: it is done in slices, between which answers
    go."""
    names = [f"h{i}.example" for i in range(100_000)]
    for at in range(0, len(names), 10_000):
        redis.cmd("HSET", "routes", *(word for name in names[at:at + 10_000]
                                      for word in (name, "10.0.0.1:80")))
    agent, admin = start_admin("--preload", redis=redis.url)
    until(lambda: 'msg="preloaded"' in agent.log(), "the routes", 60)
    paths = ["/", "/metrics", "/routes?limit=1000",
             "/routes?order=uses&limit=1000"]
    stop, replies = threading.Event(), []

    def hammer(path):
        while not stop.is_set():
            status, text, _ = admin.ask("GET", path)
            replies.append((path, status, len(text)))
    hammers = [threading.Thread(target=hammer, args=(path,))
               for path in paths]
    with Peer(agent.where) as peer:
        took = []

        def measure(seconds):
            until_ = time.monotonic() + seconds
            took.clear()
            while time.monotonic() < until_:
                begin = time.monotonic()
                assert peer.ask("h7.example").status == "ok"
                took.append(time.monotonic() - begin)
                time.sleep(0.002)
            return sorted(took)[len(took) * 99 // 100]
        quiet = measure(2)
        for thread in hammers:
            thread.start()
        loud = measure(3)
        stop.set()
        for thread in hammers:
            thread.join(60)
    assert {path for path, _, _ in replies} == set(paths)
    assert {status for _, status, _ in replies} == {200}
    # Slices of a millisecond or two, on a machine that others use as well; the
    # whole of a listing would be many of them.
    assert loud < max(20 * quiet, 0.05), (quiet, loud, len(replies))
