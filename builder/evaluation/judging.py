"""A model's answers on flows that it had not seen, judged from every side."""

from __future__ import annotations

import numpy as np

from builder.decision import EVEN, decide
from builder.evaluation.calibrate import log_loss
from builder.evaluation.curves import precision_recall, reliability
from builder.evaluation.intervals import intervals, resampled
from builder.evaluation.records import ActivityErrors, Judgement
from builder.families.base import Ints
from builder.metrics import evaluate
from builder.preprocess import Floats


def judge_flows(
    truth: Ints,
    probabilities: Floats,
    groups: Ints,
    labels: tuple[str, ...],
    *,
    seed: int,
    threshold: float = EVEN,
) -> Judgement:
    """Judge ``probabilities`` [n, classes] against the true class numbers [n].

    ``groups`` [n] names the activity of each flow: what the intervals resample. ``threshold`` is
    that of :func:`builder.decision.decide`.
    """
    answer = decide(probabilities, threshold)
    bins, error = reliability(truth, probabilities)
    return Judgement(
        evaluation=evaluate(truth, answer, labels),
        intervals=intervals(resampled(truth, answer, groups, len(labels), seed=seed), labels),
        curves=tuple(precision_recall(truth, probabilities, labels)),
        bins=bins,
        ece=error,
        log_loss=log_loss(truth, probabilities),
    )


def errors_by_activity(
    truth: Ints,
    answer: Ints,
    groups: Ints,
    labels: tuple[str, ...],
    names: tuple[str, ...],
) -> tuple[ActivityErrors, ...]:
    """Activities with a wrong answer, most wrong answers first.

    ``names`` are those of the groups; a flow of no activity has a group without a name.
    """
    found = []
    wrong = truth != answer
    for group in np.unique(groups[wrong]):
        own = groups == group
        missed = own & wrong
        kinds, counts = np.unique(answer[missed], return_counts=True)
        label = labels[int(np.bincount(truth[missed]).argmax())]
        answers = {labels[k]: n for k, n in zip(kinds.tolist(), counts.tolist(), strict=True)}
        name = names[group] if group < len(names) and names[group] else "of no activity"
        found.append(ActivityErrors(name, label, int(own.sum()), int(missed.sum()), answers))
    return tuple(sorted(found, key=lambda one: (-one.wrong, one.activity)))
