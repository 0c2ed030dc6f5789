"""What a check needs a table to have, and what is said of one that has it not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Literal

from audit.attacks import attacks

if TYPE_CHECKING:
    from audit.data import AuditData

Need = Literal[
    "lineage", "flows", "features", "labelled", "splits", "classes", "runs", "hosts", "commands",
    "impairments", "malicious", "facts", "packets", "attacks",
]  # fmt: skip

_NEEDS: Final[Mapping[Need, tuple[Callable[[AuditData], bool], str]]] = {
    "lineage": (lambda d: d.lineage is not None, "the table does not record how it was made"),
    "flows": (lambda d: len(d.label) > 0, "no flows"),
    "features": (lambda d: bool(d.features or d.sequences), "no features"),
    "labelled": (lambda d: bool(d.labelled.any()), "no labelled flows"),
    "splits": (
        lambda d: d.split_known and bool(d.train.any() and d.test.any()),
        "no labelled flows in one of the splits, or no split is recorded",
    ),
    "classes": (
        lambda d: d.sample.learnable,
        "fewer than two classes with enough labelled flows, or no features",
    ),
    "runs": (lambda d: _several(d, "run"), "the table does not tell two runs or more apart"),
    "hosts": (lambda d: _several(d, "host"), "the table does not tell the hosts apart"),
    "commands": (
        lambda d: "command" in d.context,
        "the table does not say which command made a flow",
    ),
    "impairments": (
        lambda d: _several(d, "impairment"),
        "the table does not say how the network was impaired, or it always was alike",
    ),
    "malicious": (
        lambda d: bool(d.benign) and bool((d.malicious(d.label[d.labelled])).any()),  # type: ignore[union-attr]
        "the table does not say which labels are benign, or has no malicious ones",
    ),
    "facts": (
        lambda d: bool(d.facts),
        "not judged: nothing was kept of the runs; write the dataset again from their directories",
    ),
    "packets": (
        lambda d: next(d.captures(), None) is not None,
        "not judged: no packets were at hand when the dataset was written (its facts say why)",
    ),
    "attacks": (
        lambda d: d.activities is not None and bool(attacks(d.activities).num_rows),
        "the table does not record what the runs did, or they did no attacks",
    ),
}


def missing(data: AuditData, needs: tuple[Need, ...]) -> str:
    """What the first need is that the table does not meet; empty if it meets them all."""
    for need in needs:
        there, why = _NEEDS[need]
        if not there(data):
            return why
    return ""


def _several(data: AuditData, what: Literal["run", "host", "impairment"]) -> bool:
    return what in data.context and len(data.codes(what)[1]) > 1


def wording(need: Need) -> str:
    """What is said of a table that does not meet a need."""
    return _NEEDS[need][1]
