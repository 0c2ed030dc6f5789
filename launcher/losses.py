"""What a run lost although it went on: told at once, and kept for the manifest."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

STEP_NS: Final = 100_000_000  # more than slewing (NTP) or a late wake-up between two looks makes


class Losses:
    """Sentences for people, each once, in the order in which they happened."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._said: dict[str, None] = {}

    def add(self, text: str) -> None:
        """Keep a sentence, and warn."""
        with self._lock:
            new = text not in self._said
            self._said[text] = None
        if new:
            log.warning("%s", text)

    @property
    def told(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(self._said)


class Clocks:
    """Notices when somebody sets the real-time clock, whose times everything of a run has.

    Looks at it beside the monotonic clock, which nobody can set.

    Attributes
    ----------
    largest_step_ns
        How far it was set at most.
    """

    def __init__(
        self,
        losses: Losses,
        *,
        real_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._losses, self._real_ns, self._monotonic_ns = losses, real_ns, monotonic_ns
        self._offset = self._now()
        self.largest_step_ns = 0

    def check(self) -> None:
        """Look again."""
        offset = self._now()
        step_ns, self._offset = offset - self._offset, offset
        if abs(step_ns) > STEP_NS:
            self.largest_step_ns = max(self.largest_step_ns, abs(step_ns))
            self._losses.add(
                f"the machine's clock was set {'forward' if step_ns > 0 else 'back'} by "
                f"{abs(step_ns) / 1e9:.3f} s during the run: times before and after do not compare"
            )

    def _now(self) -> int:
        before = self._monotonic_ns()
        real = self._real_ns()
        # Between the two looks this thread may have had to wait.
        return real - (before + self._monotonic_ns()) // 2
