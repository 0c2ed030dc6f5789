"""The search as the seed has it: an objective, a domain, and a heuristic that proposes.

Several families share the trials by count and the time by time: a free place goes to the family
that has used the least of it, and no trial may take more than its family's share.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from builder.families.base import Family
from builder.heuristics import Heuristic, Rounds
from builder.journal import TrialJournal
from builder.objective import Candidate, Objective
from builder.result import Trial
from builder.runners import Place, Runner


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a build is."""

    stage: Literal["read", "search", "refit", "judge", "study"]
    done: int
    total: int
    trial: Trial | None = None  # the one that just ended
    best: float | None = None  # validation score so far
    recalled: int = 0  # of those done, how many the journal knew


Listener = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Budget:
    """What a search may spend."""

    trials: int
    time_s: float
    trial_s: float  # of one trial


def search(
    objective: Objective,
    families: Mapping[str, Family],
    heuristic: Heuristic,
    runner: Runner,
    *,
    budget: Budget,
    progress: Listener,
    journal: TrialJournal | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Trial, ...]:
    """Try candidates until the trials or the time are used up; one record each, by number.

    A number that was tried with several budgets is recorded with the largest. Trials that the
    time left no room for are recorded as skipped. What the journal knows of them is not tried
    again, and the time that it took counts.
    """
    plan = _Plan(families, heuristic, budget, journal=journal, progress=progress, clock=clock)
    for trial in runner.run(objective, plan.take):
        plan.record(trial)
    return plan.trials()


@dataclass(slots=True)
class _Line:
    """One family's way through its rounds."""

    rounds: Rounds
    waiting: list[Candidate] = field(default_factory=list)
    running: dict[int, float] = field(default_factory=dict)  # number -> since when
    spent_s: float = 0.0
    _round: list[int] = field(default_factory=list)
    _ended: dict[int, Trial] = field(default_factory=dict)

    def open(self, candidates: list[Candidate]) -> None:
        self.waiting = list(candidates)
        self._round = [candidate.number for candidate in candidates]
        self._ended = {}

    def pick(self, place: Place) -> Candidate:
        """The first that waits, rather one whose training can go on here."""
        known = (k for k, one in enumerate(self.waiting) if one.number in place.holds)
        return self.waiting.pop(next(known, 0))

    def end(self, trial: Trial) -> bool:
        """Take a trial in; whether it was the last of its round, so that the next one is open."""
        self.running.pop(trial.number, None)
        self.spent_s += trial.seconds
        self._ended[trial.number] = trial
        if len(self._ended) < len(self._round):
            return False
        try:
            self.open(self.rounds.send([self._ended[number] for number in self._round]))
        except StopIteration:
            self.open([])
        return True

    def used_s(self, now: float) -> float:
        """Processor places times seconds."""
        return self.spent_s + sum(now - since for since in self.running.values())


class _Plan:
    """Who is next, and what has ended."""

    def __init__(
        self,
        families: Mapping[str, Family],
        heuristic: Heuristic,
        budget: Budget,
        *,
        journal: TrialJournal | None,
        progress: Listener,
        clock: Callable[[], float],
    ) -> None:
        self._budget, self._journal, self._progress = budget, journal, progress
        self._clock = clock
        self._begin_s = clock()
        self._latest: dict[int, Trial] = {}
        self._done = self._recalled = self._total = 0
        self._best: float | None = None
        self._lines: dict[str, _Line] = {}
        for place, (name, family) in enumerate(families.items()):
            numbers = range(place, budget.trials, len(families))
            self._total += heuristic.evaluations(family, len(numbers))
            line = self._lines[name] = _Line(heuristic.rounds(family, numbers))
            line.open(next(line.rounds) if numbers else [])
        for line in self._lines.values():
            self._recall(line)

    def take(self, place: Place) -> Candidate | None:
        """The next candidate: of the family that has used the least time."""
        now = self._clock()
        left_s = self._begin_s + self._budget.time_s - now
        ready = [line for line in self._lines.values() if line.waiting]
        if left_s <= 0 or not ready:
            return None
        line = min(ready, key=lambda line: (line.used_s(now), line.waiting[0].number))
        open_lines = sum(bool(line.waiting or line.running) for line in self._lines.values())
        share_s = self._budget.time_s * place.of / open_lines
        candidate = line.pick(place)
        line.running[candidate.number] = now
        return replace(candidate, limit_s=min(left_s, self._budget.trial_s, share_s))

    def record(self, trial: Trial) -> None:
        """A trial has ended."""
        if self._journal is not None:
            self._journal.append(trial, at_s=self._clock() - self._begin_s)
        line = self._lines[trial.family]
        if self._end(line, trial):
            self._recall(line)

    def trials(self) -> tuple[Trial, ...]:
        """The last record of each number, by number."""
        waiting = [one for line in self._lines.values() for one in line.waiting]
        skipped = [_skipped(one) for one in waiting if one.number not in self._latest]
        return tuple(sorted([*self._latest.values(), *skipped], key=lambda trial: trial.number))

    def _recall(self, line: _Line) -> None:
        """Take from the journal what it knows of the candidates that wait."""
        while self._journal is not None:
            known = [(one, self._journal.recall(one)) for one in line.waiting]
            if all(trial is None for _, trial in known):
                return
            line.waiting = [one for one, trial in known if trial is None]
            for one, trial in known:
                if trial is not None:
                    self._recalled += 1
                    self._begin_s -= self._journal.took_s(one)
                    self._end(line, trial)

    def _end(self, line: _Line, trial: Trial) -> bool:
        self._latest[trial.number] = trial
        self._done += 1
        self._best = max((s for s in (self._best, trial.score) if s is not None), default=None)
        self._progress(
            Progress("search", self._done, self._total, trial, self._best, self._recalled)
        )
        return line.end(trial)


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
        seed=candidate.seed,
        budget=candidate.budget,
    )


def best(trials: Sequence[Trial]) -> Trial | None:
    """The trial with the highest score; None when none has one.

    Of equals the one with the largest share of the training, then the earliest.
    """
    scored = [trial for trial in trials if trial.score is not None]
    return max(scored, key=lambda trial: (trial.score, trial.budget, -trial.number), default=None)
