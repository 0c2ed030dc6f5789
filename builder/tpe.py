"""Tree-structured Parzen estimators (Bergstra et al. 2011). The one door to Optuna."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from builder.families.base import Family
from builder.heuristics import Rounds, drawn
from builder.objective import Candidate
from builder.result import Trial
from builder.space import Choice, Distribution, IntRange, LogUniform, Uniform

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution


@dataclass(frozen=True, slots=True)
class TreeParzen:
    """Learns in each family where good values lie; the first third is drawn at random.

    It hears of its candidates in batches of one size, however many workers there are.
    """

    seed: int
    batch: int = 4
    most_random: int = 10

    def rounds(self, family: Family, numbers: Sequence[int]) -> Rounds:
        """Yield the random ones, then batches."""
        space = {name: _optuna(values) for name, values in family.space.items()}
        first = self._random(len(numbers))
        study = _study(int(np.random.default_rng([self.seed, *numbers[:1]]).integers(2**31)))
        field = [drawn(family, number, self.seed) for number in numbers[:first]]
        for candidate, trial in zip(field, (yield field), strict=True):
            _teach(study, candidate, trial, space)
        for start in range(first, len(numbers), self.batch):
            asked = {
                number: study.ask(fixed_distributions=space)
                for number in numbers[start : start + self.batch]
            }
            field = [
                Candidate(number, family.name, one.params, drawn(family, number, self.seed).seed)
                for number, one in asked.items()
            ]
            for one, trial in zip(asked.values(), (yield field), strict=True):
                _tell(study, one.number, trial)

    def evaluations(self, family: Family, count: int) -> int:  # noqa: ARG002 - of any family
        """One for each."""
        return count

    def _random(self, count: int) -> int:
        return min(self.most_random, max(1, count // 3))


def _study(seed: int) -> Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():  # both options are experimental, and as old as this is good
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=1, multivariate=True, constant_liar=True
        )
    return optuna.create_study(direction="maximize", sampler=sampler)


def _optuna(values: Distribution) -> BaseDistribution:
    from optuna import distributions

    match values:
        case Choice():
            return distributions.CategoricalDistribution(values.values)
        case IntRange():
            return distributions.IntDistribution(values.low, values.high, log=values.log)
        case Uniform() | LogUniform():
            logarithmic = isinstance(values, LogUniform)
            return distributions.FloatDistribution(values.low, values.high, log=logarithmic)
    raise TypeError(f"no distribution of Optuna's is like {values!r}")


def _teach(
    study: Study, candidate: Candidate, trial: Trial, space: dict[str, BaseDistribution]
) -> None:
    """Add a trial that the study did not propose."""
    study.enqueue_trial(candidate.params)
    _tell(study, study.ask(fixed_distributions=space).number, trial)


def _tell(study: Study, number: int, trial: Trial) -> None:
    from optuna.trial import TrialState

    if trial.score is None:
        study.tell(number, state=TrialState.FAIL)
    else:
        study.tell(number, trial.score)
