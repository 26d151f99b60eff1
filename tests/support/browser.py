"""A headless Chromium, driven as a user would: what is seen, clicked and typed.

Speaks WebDriver to chromedriver. Elements are found by what a person, or a screen reader, calls
them. Everything that is looked for is waited for. A profile of its own ends with the browser.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from tests.support.procs import PATIENCE_S, Process, eventually, free_ports, http_request

CHROMIUM = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-pipe",  # so that it ends when the driver does, however that comes
    "--window-size=1280,900",
)
ENTER, TAB, ESCAPE, SPACE = "\ue007", "\ue004", "\ue00c", " "
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_ASK_S = 120.0

# Elements by their names: the open dialog's alone while there is one, as for a user.
_FIND = """
const [kinds, name, nth] = arguments;
const dialogs = [...document.querySelectorAll('dialog[open]')];
const root = dialogs.pop() ?? document;
const tidy = (text) => (text ?? '').replace(/\\s+/g, ' ').trim();
const textOf = (e) => {
  const copy = e.cloneNode(true);
  copy.querySelectorAll('[aria-hidden]').forEach((one) => one.remove());
  return copy.textContent;
};
const nameOf = (e) => [e.getAttribute('aria-label'), e.labels?.[0]?.textContent,
  e.matches('input,select,textarea') ? '' : textOf(e), e.getAttribute('title')].map(tidy);
const seen = [...root.querySelectorAll(kinds)].filter((e) => e.checkVisibility() && !e.disabled);
return seen.filter((e) => nameOf(e).includes(name))[nth] ?? null;
"""


class Browser:
    """One window."""

    def __init__(self, directory: Path) -> None:
        assert DRIVER is not None
        (self._port,) = free_ports(1)
        self._directory = directory
        self._driver = Process(
            "chromedriver",
            [DRIVER, f"--port={self._port}"],
            log_path=directory / "chromedriver.log",
            env={"TMPDIR": str(directory), "HOME": str(directory)},
        )
        self._session = ""

    def __enter__(self) -> Self:
        self._driver.start()
        try:
            eventually(lambda: self._ask("GET", "/status")["ready"], logs=[self._driver])
            options = {
                "binary": CHROMIUM,
                "args": [*FLAGS, f"--user-data-dir={self._directory / 'profile'}"],
            }
            wanted = {
                "browserName": "chrome",
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
                "timeouts": {"script": int(PATIENCE_S * 1000)},
            }
            asked = {"capabilities": {"alwaysMatch": wanted}}
            self._session = f"/session/{self._ask('POST', '/session', asked)['sessionId']}"
        except BaseException:
            self._driver.close()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        with contextlib.suppress(AssertionError, OSError):
            self._ask("DELETE", self._session)
        self._driver.close()

    # -- the window ------

    def open(self, url: str) -> None:
        """Go to an address, as if it was typed."""
        self._do("POST", "/url", {"url": url})

    def size(self, width: int, height: int = 900) -> None:
        """Make the page so many pixels wide, as a phone has them if it is narrow."""
        narrow = width < 600
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=narrow,
        )

    def devtools(self, command: str, **params: Any) -> Any:
        """A command of Chromium's DevTools protocol."""
        return self._do("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def run(self, script: str, *args: Any) -> Any:
        """What a function body returns in the page; promises are awaited."""
        return self._do("POST", "/execute/sync", {"script": script, "args": list(args)})

    def console(self) -> list[str]:
        """Warnings and errors on the console since the last call, but for refused requests."""
        entries = self._do("POST", "/se/log", {"type": "browser"})
        found = [entry for entry in entries if entry["level"] in ("WARNING", "SEVERE")]
        return [entry["message"] for entry in found if entry["source"] != "network"]

    def requests(self) -> Iterator[str]:
        """URLs that the page has asked for since the last call."""
        for entry in self._do("POST", "/se/log", {"type": "performance"}):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                yield message["params"]["request"]["url"]

    # -- what a user sees ------

    def text(self) -> str:
        """Everything that can be read, on one line; of the dialog while there is one."""
        script = """
        const open = [...document.querySelectorAll('dialog[open]')].pop();
        return (open ?? document.body).innerText.replace(/\\s+/g, ' ');
        """
        return str(self.run(script))

    def see(self, *texts: str) -> None:
        """Wait until all of these can be read."""

        def all_there() -> bool:
            seen = self.text()
            absent = [text for text in texts if text not in seen]
            assert not absent, f"{absent} not in {seen!r}"
            return True

        eventually(all_there)

    def see_no(self, *texts: str) -> None:
        """Wait until none of these can be read."""

        def none_there() -> bool:
            seen = self.text()
            present = [text for text in texts if text in seen]
            assert not present, f"{present} still in {seen!r}"
            return True

        eventually(none_there)

    def until(self, expression: str) -> Any:
        """Wait until an expression is true in the page; its value."""
        return eventually(lambda: self.run(f"return {expression}"))

    def has(self, kinds: str, name: str) -> bool:
        """Whether such an element can be seen just now."""
        return self.run(_FIND, kinds, name, 0) is not None

    # -- what a user does ------

    def click(self, name: str, *, kinds: str = "button, a, summary", nth: int = 0) -> None:
        """Press the button, link or whatever has this name."""
        self._act(kinds, name, "/click", {}, nth=nth)

    def fill(self, label: str, text: str) -> None:
        """Type into a field instead of what was there."""
        kinds = "input, textarea"
        self._act(kinds, label, "/clear", {})
        self._act(kinds, label, "/value", {"text": text})

    def tick(self, label: str) -> None:
        """Check a box, or clear it."""
        self._act("input[type=checkbox]", label, "/click", {})

    def attach(self, label: str, path: Path) -> None:
        """Choose a file."""
        self._act("input[type=file]", label, "/value", {"text": str(path)})

    def choose(self, label: str, option: str) -> None:
        """Choose one of a list."""

        def choose() -> bool:
            script = (
                "const [e, text] = arguments;"
                "const found = [...e.options].find((one) => one.text.startsWith(text));"
                "if (!found) return false;"
                "e.value = found.value;"
                "e.dispatchEvent(new Event('change', {bubbles: true}));"
                "return true;"
            )
            return bool(self.run(script, self._element("select", label), option))

        eventually(choose)

    def press(self, *keys: str) -> None:
        """Press keys one after the other, wherever the focus is."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._do("POST", "/actions", {"actions": [{"type": "key", "id": "k", "actions": actions}]})

    def tab_to(self, name: str, *, most: int = 80) -> None:
        """Press Tab until the focus is on what has this name."""
        script = """
        const e = document.activeElement;
        return [e.getAttribute('aria-label'), e.labels?.[0]?.textContent, e.textContent]
          .map((text) => (text ?? '').replace(/\\s+/g, ' ').trim());
        """
        passed = []
        for _ in range(most):
            names = self.run(script)
            if name in names:
                return
            passed.append(names[-1][:30])
            self.press(TAB)
        raise AssertionError(f"no Tab leads to {name!r}, only to {passed}")

    # -- WebDriver ------

    def _act(self, kinds: str, name: str, what: str, body: Any, *, nth: int = 0) -> None:
        """Do something with an element, again if it changes under the hand."""

        def act() -> bool:
            element = self._element(kinds, name, nth)[_ELEMENT]
            self._do("POST", f"/element/{element}{what}", body)
            return True

        eventually(act)

    def _element(self, kinds: str, name: str, nth: int = 0) -> Any:
        found = self.run(_FIND, kinds, name, nth)
        assert found is not None, f"no {kinds} called {name!r} in {self.text()!r}"
        return found

    def _do(self, method: str, path: str, body: Any = None) -> Any:
        return self._ask(method, self._session + path, body)

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        reply = http_request(
            method,
            f"http://127.0.0.1:{self._port}{path}",
            body=None if body is None else json.dumps(body),
            headers={"Content-Type": "application/json"},
            timeout_s=_ASK_S,
        )
        value = reply.json()["value"]
        assert reply.status == 200, f"{value['error']}: {value['message'].splitlines()[0]}"
        return value


def foreign(urls: Iterator[str], origin: str) -> list[str]:
    """Those URLs that lead anywhere else than to this server."""
    ours = urlsplit(origin).netloc
    return [
        url
        for url in urls
        if urlsplit(url).netloc != ours and urlsplit(url).scheme not in ("data", "about", "chrome")
    ]
