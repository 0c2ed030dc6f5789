"""Changes of the links over time, at their moments of the run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict

from launcher.impair import Links
from launcher.records import ImpairmentRecord, LinkRecord


class LinkSchedule:
    """What is still to change; `advance` is called with the time since the first phase began."""

    def __init__(self, links: Links, write: Callable[[ImpairmentRecord], None]) -> None:
        self._links, self._write = links, write
        self._ahead = sorted(
            (
                (stage.at_s, name, stage)
                for name, stages in links.stages.items()
                for stage in stages[1:]
            ),
            key=lambda change: change[:2],
        )

    def advance(self, now_s: float) -> None:
        """Make every change whose moment has come, and write it down.

        Raises
        ------
        LabError
            Something that carries links has ended.
        """
        self._links.check()
        while self._ahead and self._ahead[0][0] <= now_s:
            at_s, name, stage = self._ahead.pop(0)
            self._links.change(name, stage)
            self._write(
                ImpairmentRecord(
                    network=name,
                    time_ns=time.time_ns(),
                    at_s=at_s,
                    down=LinkRecord(**asdict(stage.down)),
                    up=LinkRecord(**asdict(stage.up)),
                )
            )
