"""Chromium without a screen, driven over its debugging pipe: JSON messages, ended by NUL."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from common import PeerError
from common_tool import end_others

READ = 65_536
START_S = 20.0
CACHE_BYTES = 6_000_000
OFF = (
    "AutofillServerCommunication",
    "CertificateTransparencyComponentUpdater",
    "DialMediaRouteProvider",
    "InterestFeedContentSuggestions",
    "MediaRouter",
    "OptimizationHints",
    "SpareRendererForSitePerProcess",
    "Translate",
)
# What would speak of its own accord is off: a lab's browser only goes where its user goes.
ALONE = (
    "--headless=new",
    "--no-sandbox",
    "--no-zygote",
    "--disable-gpu",
    "--disable-software-rasterizer",
    "--disable-site-isolation-trials",
    "--in-process-gpu",
    "--renderer-process-limit=1",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-sync",
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-pings",
    "--no-proxy-server",
    "--metrics-recording-only",
    "--disable-client-side-phishing-detection",
    f"--disable-features={','.join(OFF)}",
    "--ignore-certificate-errors",
    "--mute-audio",
    "--remote-debugging-pipe",
)


class Browser:
    """A running Chromium with one page."""

    def __init__(self, process: subprocess.Popen[bytes], sink: int, source: int) -> None:
        self.process, self.sink, self.source = process, sink, source
        self._buffer = b""
        self._number = 0
        self._page = ""
        self.events: list[dict[str, Any]] = []

    def ask(self, method: str, *, limit_s: float = START_S, **params: object) -> dict[str, Any]:
        """Send a command, and await its result.

        Raises
        ------
        PeerError
            The browser refuses it, is silent for too long, or has ended.
        """
        self._number += 1
        message: dict[str, object] = {"id": self._number, "method": method, "params": params}
        if self._page:
            message["sessionId"] = self._page
        os.write(self.sink, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + limit_s
        while (left_s := deadline - time.monotonic()) > 0:
            for said in self._read(left_s):
                if said.get("id") != self._number:
                    self.events.append(said)
                elif "error" in said:
                    raise PeerError(f"chromium: {said['error'].get('message')}")
                else:
                    result: dict[str, Any] = said.get("result", {})
                    return result
        raise PeerError(f"chromium does not answer {method}")

    def open_page(self) -> None:
        """Take the page it begins with, and hear of what it loads."""
        targets = self.ask("Target.getTargets")["targetInfos"]
        pages = [one["targetId"] for one in targets if one["type"] == "page"]
        target = (
            pages[0] if pages else self.ask("Target.createTarget", url="about:blank")["targetId"]
        )
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._page = attached["sessionId"]
        for name in ("Page", "Network"):
            self.ask(f"{name}.enable")

    def go(self, url: str, limit_s: float) -> bool:
        """Load a page; whether it has loaded in time."""
        self.events.clear()
        self.ask("Page.navigate", limit_s=limit_s, url=url)
        deadline = time.monotonic() + limit_s
        while not self._happened("Page.loadEventFired"):
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            self.events += self._read(left_s)
        return True

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        return result.get("result", {}).get("value")

    def look(self, seconds: float) -> None:
        """Let the page do what it does for so long."""
        deadline = time.monotonic() + seconds
        while (left_s := deadline - time.monotonic()) > 0:
            self.events += self._read(left_s)

    def loaded(self) -> tuple[int, int]:
        """How many things the page has loaded since it was asked for, and their bytes."""
        done = [one for one in self.events if one.get("method") == "Network.loadingFinished"]
        return len(done), sum(int(one["params"]["encodedDataLength"]) for one in done)

    def _happened(self, method: str) -> bool:
        return any(said.get("method") == method for said in self.events)

    def _read(self, limit_s: float) -> list[dict[str, Any]]:
        """What it says within this time."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.source, selectors.EVENT_READ)
            if not selector.select(limit_s):
                return []
        data = os.read(self.source, READ)
        if not data:
            raise PeerError("chromium has ended")
        *whole, self._buffer = (self._buffer + data).split(b"\0")
        return [json.loads(message) for message in whole]


@contextlib.contextmanager
def browser(folder: Path, address: str, options: Sequence[str]) -> Iterator[Browser]:
    """Run Chromium with a profile in a folder; every name leads to one address."""
    to_read, sink = os.pipe()
    source, to_write = os.pipe()
    command = ["chromium", *ALONE, f"--host-resolver-rules=MAP * {address}", *options]
    command += [f"--user-data-dir={folder}/profile", f"--disk-cache-dir={folder}/cache"]
    command += [f"--disk-cache-size={CACHE_BYTES}"]  # a container has little room
    # The pipe's ends are its files 3 and 4, whatever they were here.
    shell = ["sh", "-c", f'exec "$@" 3<&{to_read} 4>&{to_write}', "sh", *command]
    process = subprocess.Popen(
        shell,
        pass_fds=(to_read, to_write),
        env={**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_read)
    os.close(to_write)
    try:
        made = Browser(process, sink, source)
        made.open_page()
        yield made
        with contextlib.suppress(PeerError, OSError, subprocess.TimeoutExpired):
            made.ask("Browser.close", limit_s=1.0)
            process.wait(2.0)
    finally:
        for number in (sink, source):
            os.close(number)
        process.kill()
        process.wait()
        end_others()
