"""E: does a model work where it was not trained?"""

from __future__ import annotations

import numpy as np

from audit.data import AuditData, Context
from audit.result import Finding, Threshold, at_most, check, nothing_to_measure
from audit.scores import left_out_f1

KINDS: tuple[Context, ...] = ("topology", "tool")
MANY = 12  # groups; each costs a model


@check(
    "E4",
    "largest loss of macro-F1 on a topology or tool that the model was not trained on",
    remedy=(
        "train on more topologies or tools in the spec; the one named has traffic of its own kind"
    ),
    needs=("classes",),
)
def elsewhere(data: AuditData, allowed: Threshold) -> Finding:
    """Leave out one topology, then one tool, train on the others, and judge on it."""
    losses, evidence = [], []
    for kind in KINDS:
        if kind not in data.context:
            continue
        codes, names = data.codes(kind)
        codes = codes[data.sample.rows]
        found = np.unique(codes[codes >= 0])
        if not 1 < len(found) <= MANY:
            continue
        for code, score in left_out_f1(data.sample, codes).items():
            losses.append(data.full_f1 - score)
            evidence.append(f"without {kind} {names[code]}: macro-F1 {score:.3f} on it")
    if not losses:
        return nothing_to_measure("the table does not tell several topologies or tools apart")
    return at_most(
        max(0.0, *losses),
        allowed.limit,
        f"macro-F1 {data.full_f1:.3f} by {data.sample.split}",
        *evidence,
    )
