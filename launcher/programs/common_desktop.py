"""What a desktop shows: windows that open, text that is typed and scrolls, pictures, a clock."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

from common import heavy, noise, word

LINE, LEFT = 14, 6
PICTURE = (160, 120)
CLOCK_S = 1.0


class Desktop:
    """A single window over the whole screen, in which everything is drawn."""

    def __init__(self, rng: random.Random, display: str) -> None:
        from Xlib import X
        from Xlib.display import Display

        self.rng = rng
        self.display: Any = Display(display)
        self.screen: Any = self.display.screen()
        self.width, self.height = self.screen.width_in_pixels, self.screen.height_in_pixels
        self.window: Any = self.screen.root.create_window(
            0,
            0,
            self.width,
            self.height,
            0,
            self.screen.root_depth,
            X.InputOutput,
            X.CopyFromParent,
            background_pixel=self._colour(),
            event_mask=X.KeyPressMask | X.ButtonPressMask,
        )
        self.window.map()
        self.gc: Any = self.window.create_gc(font=self.display.open_font("fixed"))
        self.window.set_input_focus(X.RevertToParent, X.CurrentTime)
        self.column, self.row = LEFT, LINE
        self.display.sync()

    def run_in_thread(self) -> None:
        """Draw from now on, until the process ends."""
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        scroll_s = self.rng.choice((0.1, 0.3, 1.0, 2.0))
        clock_at = scroll_at = picture_at = time.monotonic()
        while True:
            now = time.monotonic()
            while self.display.pending_events():
                self._react(self.display.next_event())
            if now >= clock_at:
                self._text(self.width - 70, LINE, time.strftime("%H:%M:%S"), clear=True)
                clock_at = now + CLOCK_S
            if now >= scroll_at:
                self._scroll()
                scroll_at = now + self.rng.expovariate(1 / scroll_s)
            if now >= picture_at:
                self._picture()
                picture_at = now + self.rng.expovariate(1 / 4)
            self.display.flush()
            time.sleep(0.03)

    def _react(self, event: Any) -> None:
        """A key writes a letter where one types; a click opens a window there."""
        from Xlib import X

        if event.type == X.KeyPress:
            self._text(self.column, self.row, self.rng.choice("abcdefghijklmnop"))
            self.column += 7
            if self.column > self.width // 2:
                self.column, self.row = LEFT, self.row % (self.height // 2) + LINE
        elif event.type == X.ButtonPress:
            self._open(event.event_x, event.event_y)

    def _open(self, x: int, y: int) -> None:
        """A window: a frame, a title, some lines."""
        width, height = self.rng.randint(80, 360), self.rng.randint(40, 260)
        for inset, colour in ((0, self._colour()), (2, 0xF0F0F0)):
            self.gc.change(foreground=colour)
            self.window.fill_rectangle(
                self.gc, x + inset, y + 2 * inset, width - 2 * inset, height - 3 * inset
            )
        for line in range(LINE * 2, height - LINE, LINE):
            self._text(x + LEFT, y + line, word(self.rng, 3, max(width // 9, 4)))

    def _scroll(self) -> None:
        """A log in the lower half moves up by a line."""
        top, width = self.height // 2, self.width * 2 // 3
        self.window.copy_area(
            self.gc, self.window, 0, top + LINE, width, self.height - top - LINE, 0, top
        )
        text = " ".join(word(self.rng) for _ in range(heavy(self.rng, 6, 0.6, 1, 14)))
        self.gc.change(foreground=0xFFFFFF)
        self.window.fill_rectangle(self.gc, 0, self.height - LINE, width, LINE)
        self._text(LEFT, self.height - 3, text[: width // 7])

    def _picture(self) -> None:
        """A picture in the right half."""
        from Xlib import X

        width, height = (self.rng.randint(20, most) for most in PICTURE)
        data = b"".join(noise(width * height * 4))
        x = self.rng.randint(self.width // 2, self.width - width)
        y = self.rng.randint(0, self.height - height)
        depth = self.screen.root_depth
        self.window.put_image(self.gc, x, y, width, height, X.ZPixmap, depth, 0, data)

    def _text(self, x: int, y: int, text: str, *, clear: bool = False) -> None:
        if clear:
            self.gc.change(foreground=0xFFFFFF)
            self.window.fill_rectangle(self.gc, x, y - LINE + 2, 7 * len(text), LINE)
        self.gc.change(foreground=0x202020)
        self.window.draw_text(self.gc, x, y, text.encode())

    def _colour(self) -> int:
        return self.rng.getrandbits(24)
