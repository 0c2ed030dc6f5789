"""How well a model does on a sample: by its split, at random, with one group left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from audit.learn import Ints, Model, forest, macro_f1

if TYPE_CHECKING:
    from audit.sample import Sample


def learnt(sample: Sample) -> Model:
    """The full model, of the rows to learn from."""
    rows = sample.train
    return forest(sample.values[rows], sample.classes[rows], width=len(sample.labels))


def judged_f1(sample: Sample, model: Model) -> float:
    """Macro-F1 of a full model on the rows to judge on."""
    return macro_f1(sample.classes[sample.test], model.answers(sample.values[sample.test]))


def split_f1(sample: Sample, columns: Sequence[int]) -> float:
    """Macro-F1 on the rows to judge on, of a model that sees some columns."""
    return f1_between(sample, sample.train, sample.test, columns)


def f1_between(
    sample: Sample, train: Ints, test: Ints, columns: Sequence[int] | None = None
) -> float:
    """Macro-F1 on ``test`` of a model trained on ``train``, both row numbers of the sample."""
    values = sample.values if columns is None else sample.values[:, list(columns)]
    model = forest(values[train], sample.classes[train], width=len(sample.labels))
    return macro_f1(sample.classes[test], model.answers(values[test]))


def random_f1(sample: Sample, seed: int = 0) -> float:
    """Macro-F1 where rows are dealt at random to two parts of the sizes that the split has."""
    rng = np.random.default_rng(seed)
    judged = np.zeros(len(sample.classes), dtype=np.bool_)
    for code in range(len(sample.labels)):
        members = np.flatnonzero(sample.classes == code)
        share = int(np.isin(members, sample.test).sum())
        judged[rng.permutation(members)[:share]] = True
    return f1_between(sample, np.flatnonzero(~judged), np.flatnonzero(judged))


def left_out_f1(sample: Sample, groups: Ints) -> dict[int, float]:
    """Macro-F1 on each group, of a model trained on the others.

    Only rows of classes that the others have are judged; a group without such rows is left out.
    """
    found = {}
    for code in np.unique(groups[groups >= 0]):
        train = np.flatnonzero(groups != code)
        learnt = np.unique(sample.classes[train])
        test = np.flatnonzero((groups == code) & np.isin(sample.classes, learnt))
        if len(learnt) > 1 and len(test):
            found[int(code)] = f1_between(sample, train, test)
    return found


def left_out_tools(sample: Sample, tools: Ints, most: int) -> dict[int, tuple[float, int]]:
    """Of each tool how much of it a model knows that has not seen it, as a share, and its rows.

    One model leaves out several tools, as a rule one of each class, and in no class more than half
    of the rows; it takes at most ``most`` models. Tools that cannot be left out so, such as the
    only one of a class, are not judged. Under ``-1`` are the macro-F1 and the rows of all that are.
    """
    fold = _tool_folds(sample, tools, most)
    answers = np.full(len(tools), -1, dtype=np.int64)
    for number in range(int(fold.max(initial=-1)) + 1):
        away = fold == number
        train = np.flatnonzero(~away)
        learnt = np.isin(sample.classes, np.unique(sample.classes[train]))
        rows = np.flatnonzero(away & learnt)
        if len(rows) and len(np.unique(sample.classes[train])) > 1:
            model = forest(sample.values[train], sample.classes[train], width=len(sample.labels))
            answers[rows] = model.answers(sample.values[rows])
    judged = answers >= 0
    if not judged.any():
        return {}
    right = answers == sample.classes
    found = {
        int(code): (float(right[rows].mean()), len(rows))
        for code in np.unique(tools[judged])
        for rows in (np.flatnonzero(judged & (tools == code)),)
    }
    return found | {-1: (macro_f1(sample.classes[judged], answers[judged]), int(judged.sum()))}


def _tool_folds(sample: Sample, tools: Ints, most: int) -> Ints:
    """Of each row the number of the model that does not see it; -1: every model does."""
    known = tools >= 0
    width = int(tools.max(initial=-1)) + 1
    table = np.zeros((width, len(sample.labels)), dtype=np.int64)
    np.add.at(table, (tools[known], sample.classes[known]), 1)
    room = np.bincount(sample.classes, minlength=len(sample.labels)) / 2
    folds: list[tuple[Ints, set[int]]] = []
    chosen = np.full(width, -1, dtype=np.int64)
    for code in np.argsort(-table.sum(axis=1), kind="stable").tolist():
        of_class = int(table[code].argmax())
        for number, (away, mains) in enumerate(folds):
            if of_class not in mains and (away + table[code] <= room).all():
                folds[number] = (away + table[code], mains | {of_class})
                chosen[code] = number
                break
        else:
            if len(folds) < most:
                folds.append((table[code].copy(), {of_class}))
                chosen[code] = len(folds) - 1
    return np.where(known, np.append(chosen, -1)[tools], -1)
