"""How well a model does on a sample: by its split, at random, with one group left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from audit.learn import Ints, forest, macro_f1

if TYPE_CHECKING:
    from audit.sample import Sample


def split_f1(sample: Sample, columns: Sequence[int] | None = None) -> float:
    """Macro-F1 on the rows to judge on, of the full model or of one that sees some columns."""
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
