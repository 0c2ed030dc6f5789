"""Studies of the winner that take time: why it answers as it does, and what it could do without.

None of them changes the winner. They run one after the other until the time is used up; what was
left out is said.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from builder.config import BuildConfig
from builder.data import Data
from builder.evaluation.carrying import carrying
from builder.evaluation.examine import Examined
from builder.evaluation.importance import (
    EXPLAINED_ROWS,
    PERMUTED_ROWS,
    by_permutation,
    by_shapley,
    explain,
    of_features,
    spread_rows,
)
from builder.evaluation.openset import leave_out
from builder.evaluation.records import Ablation, Carried, Findings, LearningPoint, LeftOut
from builder.evaluation.shap_values import tree_contributions
from builder.evaluation.variants import Late, ablate, learning_curve
from builder.families.base import Use
from builder.objective import Candidate, Objective

SHAPLEY: Final = "exact Shapley values of the trees (TreeSHAP)"
PERMUTATION: Final = "what validation loses when a feature is dealt anew among the flows"


def study(
    data: Data,
    objective: Objective,
    candidate: Candidate,
    examined: Examined,
    config: BuildConfig,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Findings:
    """The findings, and what could be found out in ``config.study_s`` besides.

    Importance comes first and is never left out; then how far the winner carries, feature groups
    left out in turn, the learning curve, and classes left out in turn. No training starts after
    the time.
    """
    if not config.study_s:
        return examined.findings
    end = clock() + config.study_s
    return _Study(data, objective, candidate, examined, config, lambda: clock() > end).run()


@dataclass(frozen=True, slots=True)
class _Study:
    """What every part of the study needs."""

    data: Data
    objective: Objective
    candidate: Candidate
    examined: Examined
    config: BuildConfig
    late: Late

    def run(self) -> Findings:
        found = self._importance()
        found = replace(found, carried=self._carried())
        found = replace(found, ablation=self._ablation(), learning=self._learning())
        if found.open_set is not None:
            found = replace(found, open_set=replace(found.open_set, left_out=self._left_out()))
        if not self.late():
            return found
        over = f"the {self.config.study_s:g} s for studies were used up: not all studies were made"
        return replace(found, notes=(*found.notes, over))

    @property
    def _uses(self) -> frozenset[Use]:
        return self.examined.shipped.fitted.family.uses

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.data.features)

    def _importance(self) -> Findings:
        shipped, test, seed = self.examined.shipped, self.data.test, self.config.seed
        rows = spread_rows(test.classes, EXPLAINED_ROWS, seed=seed)
        raw = test.inputs.take(rows).only(self._uses)
        contributions = None
        if raw.features is not None and raw.sequences is None:
            prepared = shipped.fitted.prepare(raw).table()
            contributions = tree_contributions(shipped.fitted.model, prepared)
        if contributions is None or raw.features is None:
            return self._by_permutation()
        contributions = of_features(contributions, shipped.fitted.steps)
        return replace(
            self.examined.findings,
            importance=by_shapley(contributions, self._names),
            importance_method=SHAPLEY,
            explained=explain(
                contributions,
                raw.features,
                shipped(raw),
                shipped.answer(raw),
                test.classes[rows],
                names=self._names,
                labels=self.data.labels,
                flow_ids=test.flow_ids[rows],
            ),
        )

    def _by_permutation(self) -> Findings:
        side, train, seed = self.examined.crossed.sides[0], self.data.train, self.config.seed
        rows = side.valid[spread_rows(train.classes[side.valid], PERMUTED_ROWS, seed=seed)]
        importance = by_permutation(
            lambda raw: side.fitted.model.predict(side.fitted.prepare(raw)),
            train.inputs.only(self._uses).take(rows),
            train.classes[rows],
            names=self._names,
            channels=self.data.channels,
            metric=self.objective.metric,
            seed=seed,
        )
        return replace(self.examined.findings, importance=importance, importance_method=PERMUTATION)

    def _carried(self) -> tuple[Carried, ...]:
        return tuple(
            carrying(
                self.data,
                self.objective,
                self.candidate,
                self.examined.shipped.fitted,
                late=self.late,
                seed=self.config.seed,
            )
        )

    def _left_out(self) -> tuple[LeftOut, ...]:
        if self.config.unknown is None or len(self.data.labels) < 3:
            return ()
        return tuple(
            leave_out(
                replace(self.objective, inputs=self.objective.inputs.only(self._uses)),
                self.candidate,
                self.data.labels,
                calibration=self.examined.shipped.calibration,
                coverage=self.config.unknown.coverage,
                late=self.late,
            )
        )

    def _ablation(self) -> tuple[Ablation, ...]:
        side = self.examined.crossed.sides[0]
        whole = self.objective.judged(side.probabilities, side.valid)
        parts = ablate(
            replace(self.objective, folds=self.objective.folds[:1]),
            self.candidate,
            self.data.features,
            whole=whole,
            late=self.late,
        )
        return tuple(sorted(parts, key=lambda part: part.change))

    def _learning(self) -> tuple[LearningPoint, ...]:
        groups = self.data.train.groups
        return tuple(
            learning_curve(
                self.objective, self.candidate, groups, seed=self.config.seed, late=self.late
            )
        )
