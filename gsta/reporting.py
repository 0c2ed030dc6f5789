"""How long work tells people where it is: stages with a name, a bar and a time."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

import click

if TYPE_CHECKING:
    from launcher.run import Progress

__all__ = ["ConsoleReporter", "Reporter"]


class Reporter(Protocol):
    """Receives the stages of a pipeline."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """How long each stage took that has ended."""

    def stage(self, name: str) -> AbstractContextManager[Progress]:
        """Enter a stage; the context gives a callback for its progress."""

    def say(self, text: str) -> None:
        """Tell people something."""


class ConsoleReporter:
    """Bars on a terminal, one line per stage elsewhere, nothing when quiet; always on stderr."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        """Show a stage while it runs, and how long it took."""
        begin = time.monotonic()
        if self._quiet or not sys.stderr.isatty():
            yield _unseen
        else:
            with _bar(name) as advance:
                yield advance
        self.seconds[name] = round(time.monotonic() - begin, 3)
        self.say(f"{name:<10} {self.seconds[name]:6.1f} s")

    def say(self, text: str) -> None:
        """Print on stderr, unless quiet."""
        if not self._quiet:
            click.echo(text, err=True)


def _unseen(what: str, done: float, total: float) -> None:
    """Progress that nobody looks at."""


@contextmanager
def _bar(name: str) -> Iterator[Progress]:
    # Whoever meters a small capture in a pipe would wait longer for rich than for the flows.
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    with Bars(
        SpinnerColumn(),
        TextColumn("{task.fields[stage]:<10}"),
        BarColumn(bar_width=30),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bars:
        task = bars.add_task("", total=None, stage=name)

        def advance(what: str, done: float, total: float) -> None:
            bars.update(task, description=what, completed=done, total=total)

        yield advance
