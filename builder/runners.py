"""Who evaluates the candidates: one after the other here, or many at once on Ray."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from builder.objective import Candidate, Checkpoints, Objective
from builder.result import Trial


@dataclass(frozen=True, slots=True)
class Place:
    """Where a candidate could run now."""

    of: int  # places there are in all
    holds: frozenset[int] = frozenset()  # numbers whose training it can go on with


Take = Callable[[Place], Candidate | None]
"""The next candidate for a place; None while there is nothing to start."""


class Runner(Protocol):
    """Evaluates candidates. The same candidates get the same scores from every runner."""

    def run(self, objective: Objective, take: Take) -> Iterator[Trial]:
        """Yield a trial per candidate as it ends, in any order.

        A candidate is taken only when a place is free for it. The run is over when nothing runs
        and there is nothing to take.
        """
        ...


class SerialRunner:
    """One candidate at a time, in this process: for tests, debuggers and small machines.

    A limit is looked at between folds only; Ray also ends a fold that overruns.
    """

    def run(self, objective: Objective, take: Take) -> Iterator[Trial]:
        """Yield the trials in the order in which the candidates are taken."""
        kept = Checkpoints()
        while (candidate := take(Place(1, kept.numbers))) is not None:
            yield objective(candidate, kept)
