"""Who evaluates the candidates: one after the other here, or many at once on Ray."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from builder.objective import Candidate, Objective
from builder.result import Trial


class Runner(Protocol):
    """Evaluates candidates. The same candidates get the same scores from every runner."""

    def run(self, objective: Objective, candidates: Iterator[Candidate]) -> Iterator[Trial]:
        """Yield a trial per candidate as it ends, in any order.

        A candidate is taken from the iterator only when a place is free for it.
        """
        ...


class SerialRunner:
    """One candidate at a time, in this process: for tests, debuggers and small machines.

    A limit is looked at between folds only; Ray also ends a fold that overruns.
    """

    def run(self, objective: Objective, candidates: Iterator[Candidate]) -> Iterator[Trial]:
        """Yield the trials in the order of the candidates."""
        yield from map(objective, candidates)
