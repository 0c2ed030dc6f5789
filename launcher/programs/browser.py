"""A real browser: Chromium goes from page to page of a site on nginx, as a person does.

The server is that of ``nginx_web.py``: the site's pages have styles, pictures, and scripts that ask
for data.
"""

from __future__ import annotations

import random

from common import Session, begun, emit, main
from common_chromium import Browser, browser
from common_net import TLS_PORTS, port_of
from common_tls import server_name
from common_tool import home, time_left_s

LINKS = "[...document.querySelectorAll('a[href^=\"/page/\"]')].map(a => a.href)"
FILES = "[...document.querySelectorAll('a[href^=\"/files/\"]')].map(a => a.href)"
LOAD_S = 15.0
LANGUAGES = ("en-US", "de-DE", "el-GR", "es-ES", "fr-FR", "sv-SE")


def act(session: Session) -> None:
    """Start the browser, and go on until the visit is over."""
    port = port_of(session, secure=bool(session.params.get("tls", True)))
    scheme = "https" if port in TLS_PORTS else "http"
    names = [server_name(session.rng, session.peer["host"]) for _ in range(3)]
    with home() as folder, browser(folder, session.peer["address"], _options(session)) as window:
        visit = Visit(session, window, [f"{scheme}://{name}:{port}" for name in names])
        begun()
        visit.run()


def _options(session: Session) -> list[str]:
    """This user's window, language, and habits."""
    rng = session.rng
    width, height = rng.choice(((1_280, 720), (1_366, 768), (1_024, 768), (412, 915)))
    options = [f"--window-size={width},{height}", f"--lang={rng.choice(LANGUAGES)}"]
    if not session.params.get("http2", True):
        options.append("--disable-http2")
    if session.params.get("tls12"):
        options.append("--ssl-version-max=tls1.2")
    if session.params["variant"] == "text-only":
        options.append("--blink-settings=imagesEnabled=false")
    return options


class Visit:
    """One user's way through a site, or several."""

    def __init__(self, session: Session, window: Browser, origins: list[str]) -> None:
        self.session, self.window, self.origins = session, window, origins
        self.rng: random.Random = session.rng
        self.variant = str(session.params["variant"])

    def run(self) -> None:
        """Page after page; what else happens is up to the variant."""
        url = f"{self.origins[0]}/index.html"
        for action in range(int(self.session.params.get("actions", 4))):
            if action and not self.think():
                return
            if not self.load(url):
                return
            links = self.window.evaluate(LINKS) or []
            url = self.rng.choice(links) if links else f"{self.origins[0]}/index.html"
            if self.variant == "several-sites" and self.rng.random() < 0.5:
                url = f"{self.rng.choice(self.origins)}/index.html"
            elif self.variant == "download":
                self.fetch_file()

    def load(self, url: str) -> bool:
        """Load a page; False when the session's time is over."""
        if self.variant == "reload" and self.rng.random() < 0.5:
            self.window.ask("Network.setCacheDisabled", cacheDisabled=True)
        done = self.window.go(url, min(LOAD_S, time_left_s(self.session)))
        objects, size = self.window.loaded()
        emit("page", url=url, loaded=done, objects=objects, bytes=size)
        return done

    def think(self) -> bool:
        """Read, scroll; meanwhile the page's scripts go on. False when there is no time for it."""
        wait_s = self.session.think_s()
        if wait_s >= time_left_s(self.session):
            return False
        self.window.evaluate(f"window.scrollBy(0, {self.rng.randint(100, 3_000)})")
        self.window.look(wait_s)
        return True

    def fetch_file(self) -> None:
        """Have a script fetch one of the page's downloads."""
        files = self.window.evaluate(FILES) or []
        if not files:
            return
        script = f"fetch('{self.rng.choice(files)}').then(r => r.blob()).then(b => b.size)"
        limit_s = min(LOAD_S, time_left_s(self.session))
        result = self.window.ask(
            "Runtime.evaluate",
            limit_s=limit_s,
            expression=script,
            awaitPromise=True,
            returnByValue=True,
        )
        emit("download", bytes=result.get("result", {}).get("value"))


if __name__ == "__main__":
    main(None, act)
