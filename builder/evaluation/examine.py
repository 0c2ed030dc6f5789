"""Everything that is to be known of the winner before it is shipped; the test run is asked once."""

from __future__ import annotations

from dataclasses import dataclass

from builder.config import BuildConfig
from builder.data import Data, Part
from builder.evaluation.calibrate import fit_calibration
from builder.evaluation.crossing import Crossed, cross
from builder.evaluation.curves import reliability
from builder.evaluation.finalists import Finalist, Finalists, pareto
from builder.evaluation.intervals import intervals, resampled
from builder.evaluation.judging import errors_by_activity, judge_flows
from builder.evaluation.openset import fit_novelty
from builder.evaluation.records import FamilyScore, Findings, Judgement, OpenSet
from builder.evaluation.shipped import Shipped
from builder.evaluation.speed import within
from builder.metrics import evaluate
from builder.novelty import UNKNOWN, Novelty
from builder.objective import Candidate, Objective
from topologies.errors import InputError, Problem


@dataclass(frozen=True, slots=True)
class Examined:
    """The winner as it will be shipped, and what was found out."""

    shipped: Shipped
    novelty: Novelty | None
    findings: Findings
    crossed: Crossed


def require_free_name(labels: tuple[str, ...], config: BuildConfig, *, file: str) -> None:
    """Raise InputError if a class has the name of the answer for what is no class."""
    if config.unknown is not None and UNKNOWN in labels:
        problem = Problem(
            file, "unknown", f"no class called '{UNKNOWN}'", "one", "rename it, or leave this out"
        )
        raise InputError(problem)


def examine(
    data: Data,
    objective: Objective,
    finalists: Finalists,
    candidate: Candidate,
    config: BuildConfig,
) -> Examined:
    """Calibrate the winner on out-of-fold answers, then judge it and its rivals on the test run.

    ``candidate`` is the winner's; ``objective`` that of the search.
    """
    crossed = cross(objective, candidate)
    truth, groups = data.train.classes[crossed.rows], data.train.groups[crossed.rows]
    raw = crossed.probabilities
    calibration, losses = fit_calibration(truth, raw, groups, seed=config.seed)
    shipped = finalists.winner.shipped.calibrated(calibration)
    novelty = None
    if config.unknown is not None:
        novelty = fit_novelty(
            crossed,
            data.train.inputs.only(shipped.fitted.family.uses),
            data.train.classes,
            width=len(data.labels),
            calibration=calibration,
            coverage=config.unknown.coverage,
        )
    said = shipped(data.test.inputs)
    test = judge_flows(data.test.classes, said, data.test.groups, data.labels, seed=config.seed)
    findings = Findings(
        validation=judge_flows(
            truth, calibration.apply(raw), groups, data.labels, seed=config.seed
        ),
        test=test,
        unseen=_unseen(shipped, data, config),
        families=_families(finalists, data, config, test),
        calibration_losses=losses,
        raw_ece=reliability(truth, raw)[1],
        errors=errors_by_activity(
            data.test.classes, said.argmax(axis=1), data.test.groups, data.labels, data.activities
        ),
        open_set=None if novelty is None else _open_set(novelty, shipped, data.test),
        histories=tuple(one.history for one in finalists.every if one.history is not None),
        notes=finalists.notes,
    )
    return Examined(shipped, novelty, findings, crossed)


def _unseen(shipped: Shipped, data: Data, config: BuildConfig) -> Judgement | None:
    if data.unseen is None:
        return None
    return judge_flows(
        data.unseen.classes,
        shipped(data.unseen.inputs),
        data.unseen.groups,
        data.labels,
        seed=config.seed,
    )


def _families(
    finalists: Finalists, data: Data, config: BuildConfig, test: Judgement
) -> tuple[FamilyScore, ...]:
    front = pareto(finalists.every)

    def one(finalist: Finalist) -> FamilyScore:
        winner = finalist is finalists.winner
        f1, interval = test.evaluation.f1_macro, test.intervals["f1_macro"]
        if not winner:
            answer = finalist.shipped(data.test.inputs).argmax(axis=1)
            f1 = evaluate(data.test.classes, answer, data.labels).f1_macro
            tables = resampled(
                data.test.classes, answer, data.test.groups, len(data.labels), seed=config.seed
            )
            interval = intervals(tables, data.labels)["f1_macro"]
        return FamilyScore(
            family=finalist.trial.family,
            trial=finalist.trial.number,
            validation_score=finalist.score,
            f1_macro=f1,
            interval=interval,
            speed=finalist.speed,
            pareto=finalist.trial.number in front,
            fits=within(finalist.speed, config.limits),
            winner=winner,
            tried=finalists.tried(finalist.trial.family),
            in_full=finalists.tried(finalist.trial.family, least=1.0),
        )

    return tuple(one(finalist) for finalist in finalists.every)


def _open_set(novelty: Novelty, shipped: Shipped, test: Part) -> OpenSet:
    seen = test.inputs.only(shipped.fitted.family.uses)
    strange = novelty.unknown(shipped(test.inputs), seen.features)
    return OpenSet(novelty.coverage, round(1 - float(strange.mean()), 6), ())
