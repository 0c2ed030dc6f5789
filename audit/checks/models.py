"""D, H: how hard is the task, and what does a model lean on?"""

from __future__ import annotations

from collections import Counter

import numpy as np

from audit.data import AuditData, Context, group
from audit.learn import (
    auc,
    auc_error,
    forest,
    linear,
    macro_f1,
    out_of_fold,
    shallow_tree,
    tree_text,
)
from audit.result import Finding, Threshold, at_most, check, nothing_to_measure
from audit.sample import Ints, Sample
from audit.scores import split_f1

SHUFFLES = 3
CERTAIN = 2.0  # standard errors that chance is given
FEWEST = 30  # rows of each run, to tell two runs apart


@check(
    "D4",
    "share of the full model's macro-F1 that a tree of depth 3 reaches",
    remedy=(
        "the task is easy: make it harder with more kinds of traffic that look alike, or say so; "
        "the evidence shows the tree"
    ),
    needs=("classes",),
)
def small_tree(data: AuditData, allowed: Threshold) -> Finding:
    """Train both on the training rows of the sample and judge them on the others."""
    sample = data.sample
    tree = shallow_tree(
        sample.values[sample.train], sample.classes[sample.train], width=len(sample.labels)
    )
    small = macro_f1(sample.classes[sample.test], tree.answers(sample.values[sample.test]))
    names = [field.name for field in data.features]
    share = small / data.full_f1 if data.full_f1 else 1.0
    said = (
        f"tree {small:.3f}, full model {data.full_f1:.3f} macro-F1 by {sample.split}",
        *_left_out(sample),
        *tree_text(tree, names, sample.labels),
    )
    return Finding("pass" if share < allowed.limit else "fail", share, said)


@check(
    "D5",
    "largest loss of macro-F1 when one group of features is left out",
    remedy="vary in the spec what that group measures: a model leans on it alone",
    needs=("classes",),
)
def without_groups(data: AuditData, allowed: Threshold) -> Finding:
    """Train the full model again without each group of features."""
    groups: dict[str, list[int]] = {}
    for place, field in enumerate(data.features):
        groups.setdefault(group(field), []).append(place)
    if len(groups) < 2:
        return nothing_to_measure("the features are all in one group")
    every = range(len(data.features))
    scores = {
        name: split_f1(data.sample, [p for p in every if p not in places])
        for name, places in groups.items()
    }
    return at_most(
        max(0.0, data.full_f1 - min(scores.values())),
        allowed.limit,
        f"with all groups: macro-F1 {data.full_f1:.3f}",
        *(
            f"without {name} ({len(groups[name])} features): {score:.3f}"
            for name, score in sorted(scores.items(), key=lambda item: item[1])
        ),
    )


@check(
    "D6",
    "AUC of telling one run's flows from another's; labels dealt at random give 0.5",
    remedy=(
        "find the feature that marks the run (the clock, the host's load, an impairment that only "
        "one run had) in the evidence, and give both runs the same mix of it"
    ),
    needs=("classes",),
)
def nothing_from_nothing(data: AuditData, allowed: Threshold) -> Finding:
    """Two things that no model can learn: shuffled labels, and which run benign flows are from."""
    far, mean = _shuffled(data.sample, allowed.also["shuffled"])
    evidence = [f"shuffled labels: AUC {mean:.3f} over {SHUFFLES} shuffles"]
    told = _runs_apart(data)
    if told is None:
        evidence.append("no two runs with enough flows of one class to tell apart")
        return Finding("fail" if far else "pass", abs(mean - 0.5) + 0.5, tuple(evidence))
    value, error, said = told
    over = value - CERTAIN * error > allowed.limit
    return Finding("fail" if far or over else "pass", value, (*evidence, *said))


def _shuffled(sample: Sample, slack: float) -> tuple[bool, float]:
    """Whether shuffled labels are learnt, beyond chance, and the mean AUC."""
    found, errors = [], []
    for seed in range(SHUFFLES):
        classes = np.random.default_rng(seed).permutation(sample.classes)
        model = forest(
            sample.values[sample.train], classes[sample.train], width=len(sample.labels), seed=seed
        )
        scores = model.probabilities(sample.values[sample.test])
        for code in range(len(sample.labels)):
            positive = classes[sample.test] == code
            few = int(positive.sum())
            if few:
                found.append(auc(positive, scores[:, code]))
                errors.append(auc_error(few, len(positive) - few))
    error = float(np.sqrt(np.mean(np.square(errors)) / len(errors)))
    mean = float(np.mean(found))
    return abs(mean - 0.5) > slack + CERTAIN * error, mean


def _runs_apart(data: AuditData) -> tuple[float, float, list[str]] | None:
    """AUC of the two largest runs' benign flows, as many of each class; its error; in words.

    Both are of one topology, of each class and tool they have as many flows, and the flows of a
    session are never learnt and judged at once: what marks the run is wanted, not what marks a
    place, a session or the luck of the draw.
    """
    if "run" not in data.context:
        return None
    sample = data.sample
    codes, names = data.codes("run")
    run = codes[sample.rows]
    mild = data.malicious(np.array(sample.labels, dtype=object))
    usable = np.ones(len(run), dtype=np.bool_) if mild is None else ~mild[sample.classes]
    if len(names) < 2 or not usable.any():
        return None
    kind = sample.classes * (1 << 32) + _codes(data, "tool") + 1
    rows = _balanced(_two_alike(data, run, usable), kind)
    if rows is None:
        return None
    one = (run[rows] == run[rows].max()).astype(np.int64)
    session = _codes(data, "activity")[rows]
    groups = np.where(session < 0, -1 - np.arange(len(rows)), session)
    scores = out_of_fold(sample.values[rows], one, width=2, groups=groups)[:, 1]
    few = int(one.sum())
    value = auc(one == 1, scores)
    said = [f"{names[code]} has {int((run[rows] == code).sum())} flows" for code in set(run[rows])]
    return (
        value,
        auc_error(few, len(one) - few),
        [
            f"runs: AUC {value:.3f} by {', '.join(sorted(said))}, as many of each class",
            *_marks(data, rows, one),
        ],
    )


def _codes(data: AuditData, what: Context) -> Ints:
    """Where each row of the sample is from, -1 where that is not known."""
    if what not in data.context:
        return np.full(len(data.sample.rows), -1, dtype=np.int64)
    return data.codes(what)[0][data.sample.rows]


def _two_alike(data: AuditData, run: Ints, usable: np.ndarray) -> Ints:
    """The runs of rows, -1 outside of the two largest ones of one topology."""
    place = np.zeros(len(run), dtype=np.int64)
    if "topology" in data.context:
        place = data.codes("topology")[0][data.sample.rows]
    best: tuple[int, list[int]] = (0, [])
    for one in np.unique(place):
        sizes = Counter(run[usable & (run >= 0) & (place == one)].tolist()).most_common(2)
        if len(sizes) == 2:
            best = max(best, (sizes[1][1], [code for code, _ in sizes]))
    return np.where(usable & np.isin(run, best[1]), run, -1)


def _balanced(run: Ints, kind: Ints) -> Ints | None:
    """Rows of two runs (-1 is neither), as many of each kind; None if they share too few."""
    two = np.unique(run[run >= 0]).tolist()
    if len(two) < 2:
        return None
    rng = np.random.default_rng(0)
    chosen: list[Ints] = []
    for code in np.unique(kind[run >= 0]):
        sides = [np.flatnonzero((kind == code) & (run == one)) for one in two]
        few = min(map(len, sides))
        chosen += [rng.permutation(side)[:few] for side in sides]
    rows = np.concatenate(chosen)
    return np.sort(rows) if len(rows) >= 2 * FEWEST else None


def _marks(data: AuditData, rows: Ints, one: Ints) -> list[str]:
    """The features by themselves that tell the two runs apart best."""
    values = np.nan_to_num(data.sample.values[rows], nan=-np.inf)
    scores = [abs(auc(one == 1, column) - 0.5) + 0.5 for column in values.T]
    best = sorted(zip(scores, (f.name for f in data.features), strict=True), reverse=True)[:3]
    return [f"{name} alone: {score:.3f}" for score, name in best]


@check(
    "H4",
    "macro-F1 of the full model beside simple ones",
    remedy="none is needed: the simple models say how much of a score the task gives away",
    needs=("classes",),
)
def hardness(data: AuditData, allowed: Threshold) -> Finding:  # noqa: ARG001 - it informs
    """Score the majority class, the best rule on one feature, a linear model and a small tree."""
    sample = data.sample
    values, classes, width = (
        sample.values[sample.train],
        sample.classes[sample.train],
        len(sample.labels),
    )
    truth, judged = sample.classes[sample.test], sample.values[sample.test]
    majority = np.full(len(truth), np.bincount(classes).argmax())
    rules = {}
    for place, field in enumerate(data.features):
        rule = shallow_tree(values[:, [place]], classes, width=width)
        rules[field.name] = (macro_f1(classes, rule.answers(values[:, [place]])), place, rule)
    name, (_, place, rule) = max(rules.items(), key=lambda item: item[1][0])
    scores = {
        "majority class": macro_f1(truth, majority),
        f"one feature ({name})": macro_f1(truth, rule.answers(judged[:, [place]])),
        "logistic regression": macro_f1(
            truth, linear(values, classes, width=width).answers(judged)
        ),
        "tree of depth 3": macro_f1(
            truth, shallow_tree(values, classes, width=width).answers(judged)
        ),
        "full model": data.full_f1,
    }
    return Finding(
        "info",
        data.full_f1,
        (*(f"{what}: {score:.3f}" for what, score in scores.items()), *_left_out(sample)),
    )


def _left_out(sample: Sample) -> tuple[str, ...]:
    if not sample.left_out:
        return ()
    return (f"too few flows to learn from: {', '.join(sample.left_out)}",)
