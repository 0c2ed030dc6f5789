"""X displays without a screen: one to show programs on, and the hands of who sits there."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import Any

from common import PeerError

READY_S, LOOK_S = 20.0, 0.05
PIECE = 7  # every so manieth pixel tells what a picture has


def server_command(display: str, geometry: str) -> list[str]:
    """An X server in memory that nothing can reach but this host's programs.

    No socket in the file system and no lock file: several hosts may share the folder /tmp.
    """
    command = ["Xtigervnc", display, "-nolock", "-nolisten", "unix", "-nolisten", "tcp"]
    return [*command, "-listen", "local", "-rfbport", "-1", "-geometry", geometry]


async def display_up(display: str) -> None:
    """Wait until an X server takes connections.

    Raises
    ------
    PeerError
        It takes none after `READY_S` seconds.
    """
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as sock:
            sock.connect(f"\0/tmp/.X11-unix/X{display[1:]}")
            return
        await asyncio.sleep(LOOK_S)
    raise PeerError(f"no X server on {display}")


class Window:
    """The window of a program that has a display to itself, and hands over it."""

    def __init__(self, display: str) -> None:
        from Xlib.display import Display

        self.display: Any = Display(display)
        self.root: Any = self.display.screen().root
        self.window: Any = None
        self.width = self.height = self._buttons = 0

    def find(self) -> bool:
        """Whether the program shows something by now."""
        from Xlib import X
        from Xlib.error import XError

        for child in self.root.query_tree().children:
            try:
                seen = child.get_attributes().map_state == X.IsViewable
                size = child.get_geometry()
            except XError:  # it has gone meanwhile
                continue
            if seen and size.width > 100:
                self.window, self.width, self.height = child, size.width, size.height
                return True
        return False

    def pointer(self, x: int, y: int, *, buttons: int = 0) -> None:
        """Have the pointer there, with these buttons down."""
        from Xlib import X

        self._fake(X.MotionNotify, x=x, y=y)
        for place in range(5):
            down, was = buttons >> place & 1, self._buttons >> place & 1
            if down != was:
                self._fake(X.ButtonPress if down else X.ButtonRelease, place + 1)
        self._buttons = buttons
        self.display.flush()

    def key(self, symbol: int) -> None:
        """Press and release a key."""
        from Xlib import X

        code = self.display.keysym_to_keycode(symbol)
        self._fake(X.KeyPress, code)
        self._fake(X.KeyRelease, code)
        self.display.flush()

    def _fake(self, kind: int, detail: int = 0, *, x: int = 0, y: int = 0) -> None:
        from Xlib.ext import xtest

        xtest.fake_input(self.display, kind, detail, x=x, y=y)

    def colours(self) -> int:
        """How many colours a sample of the window's pixels has."""
        from Xlib import X

        image = self.window.get_image(0, 0, self.width, self.height, X.ZPixmap, 0xFFFFFFFF)
        pixels = memoryview(image.data).cast("I")
        return len(set(pixels[::PIECE]))

    def close(self) -> None:
        """Ask the program to end, as a click on its window's cross does."""
        from Xlib import X
        from Xlib.protocol.event import ClientMessage

        data = (32, [self.display.intern_atom("WM_DELETE_WINDOW"), X.CurrentTime, 0, 0, 0])
        kind = self.display.intern_atom("WM_PROTOCOLS")
        self.window.send_event(ClientMessage(window=self.window, client_type=kind, data=data))
        self.display.flush()
