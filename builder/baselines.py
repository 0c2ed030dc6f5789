"""The baselines of a build: run beside the search, outside its budget, never its winner."""

from __future__ import annotations

from dataclasses import replace

from builder.data import Data
from builder.families import BASELINES, families
from builder.objective import Candidate, Objective
from builder.result import Trial


def baseline_trials(
    objective: Objective, data: Data, *, first: int, seed: int
) -> tuple[Trial, ...]:
    """A trial for each baseline whose inputs are there, numbered from ``first``."""
    chosen = {name: families()[name] for name in BASELINES if families()[name].uses <= data.offers}
    judge = replace(objective, trainer=replace(objective.trainer, families=chosen))
    return tuple(
        judge(Candidate(first + place, name, {}, seed)) for place, name in enumerate(chosen)
    )


def baseline_note(winner: Trial, baselines: tuple[Trial, ...]) -> tuple[str, ...]:
    """What to say where a baseline is as good as what the search found."""
    return tuple(
        f"the baseline {trial.family} does as well in validation: {trial.score:.4f}"
        for trial in baselines
        if trial.score is not None and winner.score is not None and trial.score >= winner.score
    )
