"""Random search as the seed has it: an objective, a domain, and a heuristic that proposes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from builder.objective import Candidate, Objective
from builder.result import Trial
from builder.runners import Runner
from builder.space import Space, draw


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a build is."""

    stage: Literal["read", "search", "refit", "judge", "study"]
    done: int
    total: int
    trial: Trial | None = None  # the one that just ended
    best: float | None = None  # validation score so far


Listener = Callable[[Progress], None]


class Heuristic(Protocol):
    """Proposes what to try."""

    def ask(self, number: int, finished: Sequence[Trial]) -> Candidate:
        """The candidate with this number, in the light of the trials that have ended."""
        ...


@dataclass(frozen=True, slots=True)
class RandomSearch:
    """Draws each candidate by itself, from its number and the seed; the families take turns."""

    domain: Mapping[str, Space]
    seed: int

    def ask(self, number: int, finished: Sequence[Trial]) -> Candidate:  # noqa: ARG002 - random
        """Draw a candidate; what has ended is ignored."""
        names = list(self.domain)
        family = names[number % len(names)]
        rng = np.random.default_rng([self.seed, number])
        params = draw(self.domain[family], rng)
        return Candidate(number, family, params, seed=int(rng.integers(2**31)))


def search(
    objective: Objective,
    heuristic: Heuristic,
    runner: Runner,
    *,
    trials: int,
    time_budget_s: float,
    trial_timeout_s: float,
    progress: Listener,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Trial, ...]:
    """Try candidates until the trials or the time are used up; one record each, by number.

    Trials that the time left no room for are recorded as skipped.
    """
    ended: list[Trial] = []
    deadline = clock() + time_budget_s

    def candidates() -> Iterator[Candidate]:
        for number in range(trials):
            left_s = deadline - clock()
            if left_s <= 0:
                return
            yield replace(heuristic.ask(number, ended), limit_s=min(left_s, trial_timeout_s))

    for trial in runner.run(objective, candidates()):
        ended.append(trial)
        scores = [other.score for other in ended if other.score is not None]
        progress(Progress("search", len(ended), trials, trial, max(scores, default=None)))
    known = {trial.number for trial in ended}
    skipped = [
        _skipped(heuristic.ask(number, ended)) for number in range(trials) if number not in known
    ]
    return tuple(sorted([*ended, *skipped], key=lambda trial: trial.number))


def _skipped(candidate: Candidate) -> Trial:
    return Trial(
        number=candidate.number,
        family=candidate.family,
        params=candidate.params,
        fold_scores=(),
        score=None,
        seconds=0.0,
        status="skipped",
        error="the time budget was used up",
    )


def best(trials: Sequence[Trial]) -> Trial | None:
    """The trial with the highest score, the earliest of equals; None when none has one."""
    scored = [trial for trial in trials if trial.score is not None]
    return max(scored, key=lambda trial: (trial.score, -trial.number), default=None)
