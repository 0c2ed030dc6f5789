"""B, F: leave columns out of the model, if people want that."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from audit.changes import Change
from audit.suggest.case import Case


def constant(case: Case) -> Iterator[Change]:
    """People may exclude features that were constant in all runs."""
    idle = [
        field.name
        for field in case.data.features
        if len(np.unique(case.data.values(field.name))) == 1
    ]
    if idle:
        why = "constant in these runs; or give the topology what would make them vary"
        yield from case.choice("features.exclude", idle, why, old=[])
