"""The heuristics of a search: which candidates are tried, and how much each may cost.

A heuristic looks at one family and proposes in rounds. The candidates of a round may run in any
order and all at once; only when each has ended does it hear of them, by number. So what is tried
depends on the seed and the scores, never on how many workers there are or which is faster.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal, Protocol

import numpy as np

from builder.families.base import Family, Gradual
from builder.objective import Candidate
from builder.result import Trial
from builder.space import draw

Rounds = Generator[list[Candidate], list[Trial], None]
HeuristicName = Literal["random", "halving", "tpe"]


class Heuristic(Protocol):
    """Proposes what to try."""

    def rounds(self, family: Family, numbers: Sequence[int]) -> Rounds:
        """Yield candidates with these numbers, round by round; take their trials in that order."""
        ...

    def evaluations(self, family: Family, count: int) -> int:
        """How many times the objective is asked, at most, for ``count`` numbers."""
        ...


def drawn(family: Family, number: int, seed: int) -> Candidate:
    """The candidate that a number and a seed draw from the family's space."""
    rng = np.random.default_rng([seed, number])
    params = draw(family.space, rng)
    return Candidate(number, family.name, params, seed=int(rng.integers(2**31)))


@dataclass(frozen=True, slots=True)
class RandomSearch:
    """Draws each candidate by itself (Bergstra and Bengio 2012): one round."""

    seed: int

    def rounds(self, family: Family, numbers: Sequence[int]) -> Rounds:
        """Yield all at once."""
        yield [drawn(family, number, self.seed) for number in numbers]

    def evaluations(self, family: Family, count: int) -> int:  # noqa: ARG002 - of any family
        """One for each."""
        return count


@dataclass(frozen=True, slots=True)
class Halving:
    """Gives all a little training, the best third of them three times as much, and so on.

    Successive halving (Jamieson and Talwalkar 2016), within each family: what a share of its
    epochs is worth says nothing about a share of another's trees. The candidates are those of
    `RandomSearch`. A family that cannot be trained in part is searched at random.
    """

    seed: int
    eta: int = 3  # one in so many goes on
    deepest: int = 2  # rounds before the last, at most: the first gives 1/9 of the training

    def rounds(self, family: Family, numbers: Sequence[int]) -> Rounds:
        """Yield the round of the smallest budget first; the last is of full training."""
        field = [drawn(family, number, self.seed) for number in numbers]
        for survivors, budget in self._plan(family, len(numbers)):
            field = [replace(candidate, budget=budget) for candidate in field[:survivors]]
            trials = yield field
            scores = {trial.number: trial.score for trial in trials}
            scored = [candidate for candidate in field if scores[candidate.number] is not None]
            field = sorted(scored, key=lambda one: (-(scores[one.number] or 0.0), one.number))

    def evaluations(self, family: Family, count: int) -> int:
        """Those of every round."""
        return sum(survivors for survivors, _ in self._plan(family, count))

    def _plan(self, family: Family, count: int) -> list[tuple[int, float]]:
        """How many candidates each round has, and their budget."""
        depth = 0
        while (
            isinstance(family, Gradual)
            and depth < self.deepest
            and count >= self.eta ** (depth + 1)
        ):
            depth += 1
        return [(count // self.eta**k, self.eta ** (k - depth)) for k in range(depth + 1)]


def _tpe(seed: int) -> Heuristic:
    from builder.tpe import TreeParzen

    return TreeParzen(seed)


HEURISTICS: Final[Mapping[HeuristicName, Callable[[int], Heuristic]]] = MappingProxyType(
    {"random": RandomSearch, "halving": Halving, "tpe": _tpe}
)
"""Each by name; called with a seed."""
