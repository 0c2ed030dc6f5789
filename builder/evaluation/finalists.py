"""From trials to models: the winner is the best in validation that is fast and small enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from builder.evaluation.records import History, Speed
from builder.evaluation.shipped import Shipped
from builder.evaluation.speed import within
from builder.objective import TRIAL_ERRORS, Fitted
from builder.result import Trial
from topologies.errors import GstaError

MOST_REFITS: Final = 25  # in search of a model within the limits


@dataclass(frozen=True, slots=True)
class Finalist:
    """A trial trained again on all training flows, exported and measured."""

    trial: Trial
    fitted: Fitted
    shipped: Shipped
    speed: Speed

    @property
    def score(self) -> float:
        """Of the validation."""
        return self.trial.score or 0.0

    @property
    def history(self) -> History | None:
        """How its loss fell; None for a family that is not trained in epochs."""
        epochs = getattr(self.fitted.model, "epochs", ())
        if not epochs:
            return None
        held = [epoch.held_back for epoch in epochs if epoch.held_back is not None]
        return History(
            self.trial.family,
            self.trial.number,
            tuple(round(float(epoch.loss), 6) for epoch in epochs),
            tuple(round(float(loss), 6) for loss in held),
        )


@dataclass(frozen=True, slots=True)
class Finalists:
    """The winner and the best of every other family."""

    winner: Finalist
    others: tuple[Finalist, ...]
    notes: tuple[str, ...]
    scored: tuple[Trial, ...] = ()  # all that the choice was from

    def tried(self, family: str, *, least: float = 0.0) -> int:
        """How many trials of a family got a score, with this share of the training at least."""
        return sum(one.family == family and one.budget >= least for one in self.scored)

    @property
    def every(self) -> tuple[Finalist, ...]:
        """All, the best in validation first."""
        both = (self.winner, *self.others)
        return tuple(sorted(both, key=lambda one: (-one.score, one.trial.number)))


def choose(
    trials: Sequence[Trial],
    train: Callable[[Trial], Finalist],
    *,
    limits: Mapping[str, float],
    beside: Sequence[Trial] = (),
) -> Finalists:
    """Train trials, the best score first, until one keeps the limits; then each family's best.

    Where none keeps them the best score wins, and it is said. At least one trial has a score.
    Those ``beside`` the search, the baselines, are never the winner.

    Raises
    ------
    GstaError
        The best trial cannot be trained on all flows, or does not export.
    """
    ranked = sorted(
        (trial for trial in trials if trial.score is not None),
        key=lambda trial: (-(trial.score or 0.0), -trial.budget, trial.number),
    )
    made: dict[int, Finalist] = {}
    notes: list[str] = []
    winner = None
    for trial in ranked[:MOST_REFITS]:
        made[trial.number] = train(trial)
        if within(made[trial.number].speed, limits):
            winner = made[trial.number]
            break
    if winner is None:
        winner = made[ranked[0].number]
        asked = ", ".join(f"{name} {most:g}" for name, most in limits.items())
        notes.append(f"no model kept the limits ({asked}); the best in validation was taken")
    if silent := sorted({trial.family for trial in trials} - {trial.family for trial in ranked}):
        notes.append(f"not compared, for no trial of it ended with a score: {', '.join(silent)}")
    best_of: dict[str, Trial] = {}
    scored = (*ranked, *(trial for trial in beside if trial.score is not None))
    for trial in scored:
        best_of.setdefault(trial.family, trial)
    others = []
    for trial in best_of.values():
        if trial.number == winner.trial.number:
            continue
        try:
            others.append(made.get(trial.number) or train(trial))
        except (*TRIAL_ERRORS, GstaError) as error:
            notes.append(f"{trial.family} could not be trained again: {error}")
    return Finalists(winner, tuple(others), tuple(notes), scored)


def pareto(finalists: Sequence[Finalist]) -> frozenset[int]:
    """Numbers of the trials that no other beats both in score and in time per flow."""
    return frozenset(
        one.trial.number
        for one in finalists
        if not any(
            other.score >= one.score
            and other.speed.latency_us_per_flow <= one.speed.latency_us_per_flow
            and (other.score, -other.speed.latency_us_per_flow)
            != (one.score, -one.speed.latency_us_per_flow)
            for other in finalists
        )
    )
