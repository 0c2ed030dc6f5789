"""E: does a model work where it was not trained?"""

from __future__ import annotations

import numpy as np

from audit.data import AuditData
from audit.result import Finding, Threshold, check, nothing_to_measure
from audit.scores import left_out_f1, left_out_tools

MANY = 12  # models; each costs seconds
FEWEST = 5  # flows of a tool, to be named by itself
NAMED = 8  # tools, those that a model knows least without having seen them


@check(
    "E4",
    "largest loss of macro-F1 on a topology or tool that the model was not trained on",
    remedy=(
        "train on more topologies or tools in the spec; the one named has traffic of its own kind"
    ),
    needs=("classes",),
)
def elsewhere(data: AuditData, allowed: Threshold) -> Finding:
    """Leave out one topology, train on the others, and judge on it; then so with tools.

    One model leaves out one tool of each class, so that as many are trained as a class has tools,
    and the macro-F1 is over all tools, each judged by the model that has not seen it.
    """
    losses, evidence = _topologies(data)
    tool, said, unknown = _tools(data)
    if not losses and tool is None:
        return nothing_to_measure("the table does not tell several topologies or tools apart")
    value = max([0.0, *losses, *([] if tool is None else [tool])])
    return Finding(
        "pass" if value <= allowed.limit else "fail",
        value,
        (f"macro-F1 {data.full_f1:.3f} by {data.sample.split}", *evidence, *said),
        unknown,
    )


def _topologies(data: AuditData) -> tuple[list[float], list[str]]:
    if "topology" not in data.context:
        return [], []
    codes, names = data.codes("topology")
    codes = codes[data.sample.rows]
    if not 1 < len(np.unique(codes[codes >= 0])) <= MANY:
        return [], []
    scores = left_out_f1(data.sample, codes)
    return (
        [data.full_f1 - score for score in scores.values()],
        [f"without topology {names[k]}: macro-F1 {one:.3f} on it" for k, one in scores.items()],
    )


def _tools(data: AuditData) -> tuple[float | None, list[str], dict[str, float]]:
    """The loss, in words, and the tools that a model is more often wrong than right on."""
    if "tool" not in data.context:
        return None, [], {}
    codes, names = data.codes("tool")
    scores = left_out_tools(data.sample, codes[data.sample.rows], MANY)
    if not scores:
        return None, [], {}
    whole, flows = scores.pop(-1)
    known = sorted((share, names[k]) for k, (share, rows) in scores.items() if rows >= FEWEST)
    return (
        data.full_f1 - whole,
        [
            (
                f"{len(scores)} tools, each by a model that has not seen it: macro-F1 {whole:.3f} "
                f"on {flows} flows"
            ),
            *(f"without tool {name}: {100 * share:.0f} % right" for share, name in known[:NAMED]),
        ],
        {name: share for share, name in known if share < 0.5},
    )
