"""Someone who reads the page in a browser: opens it, types, clicks, and looks at what stands there (look.js)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag

READY = "html[data-ready]"
_LOOK = Path(__file__).with_name("look.js")
_INSIDE = ("data:", "blob:", "about:")


class Reader:
    """A page in a context of its own, offline. `problems`: errors in its console; `requests`: what it asked for."""

    def __init__(
        self,
        browser: Any,
        url: str,
        *,
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
        chinese: bool = False,
        still: bool = True,
        trusted: bool = False,
        touch: bool = False,
    ) -> None:
        self.file = urldefrag(url).url
        self.problems: list[str] = []
        self.requests: set[str] = set()
        self._context = browser.new_context(
            offline=True,
            color_scheme="dark" if dark else "light",
            locale="zh-CN" if chinese else "en-US",
            reduced_motion="reduce" if still else "no-preference",
            viewport={"width": width, "height": height},
            bypass_csp=trusted,
            has_touch=touch,
        )
        self._context.add_init_script(path=_LOOK)
        self.page = self._context.new_page()
        self.page.set_default_timeout(15_000)
        self.page.on("console", lambda message: self._heard(message.type, message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self._asked(urldefrag(request.url).url))
        self.page.goto(url)
        self.page.wait_for_selector(READY)

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning", "assert"):
            self.problems.append(f"{kind}: {text}")

    def _asked(self, url: str) -> None:
        if not url.startswith(_INSIDE):
            self.requests.add(url)

    def fingers(self, *moments: tuple[tuple[float, float], ...]) -> None:
        """Put fingers on these points of the screen, move them to the next ones, and lift them."""
        session = self._context.new_cdp_session(self.page)
        for i, points in enumerate([*moments, ()]):
            kind = "touchStart" if i == 0 else "touchMove" if points else "touchEnd"
            touches = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(points)]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})
        session.detach()

    def reload(self) -> None:
        self.page.reload()
        self.page.wait_for_selector(READY)

    def close(self) -> None:
        self._context.close()

    def settle(self) -> None:
        """Until what was asked for is on the screen: two frames."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def look(self, question: str, *arguments: Any) -> Any:
        """The answer of a function of look.js."""
        return self.page.evaluate(f"() => look.{question}(...{json.dumps(arguments)})")

    def do(self, script: str, argument: Any = None) -> Any:
        return self.page.evaluate(script, argument)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def enter(self, field: Any, value: object) -> None:
        """Type into a field and press Enter."""
        field.fill(str(value))
        field.press("Enter")

    def hash(self) -> str:
        text: str = self.page.evaluate("() => location.hash")
        return text

    def text(self, selector: str) -> str:
        return " ".join(self.page.locator(selector).first.inner_text().split())

    def tab_through(self, wanted: int) -> tuple[list[Any], list[str]]:
        """Where each press of Tab leads, until it leaves the page; and what did not show that it has the focus."""
        places, unmarked = [], []
        for _ in range(wanted + 5):
            self.press("Tab")
            stop = self.look("focus")
            if stop is None:
                break
            place, is_marked, name = stop
            places.append(place)
            if not is_marked:
                unmarked.append(name)
        return places, unmarked
