"""D: can a model cheat?"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import numpy.typing as npt

from audit.data import AuditData, Floats
from audit.result import Finding, at_most, check, nothing_to_measure

IDENTIFIER: Final = re.compile(
    r"(^|_)(ports?|mac|addr|address|addresses|timestamp|epoch|date|uuid|host|hostname|user|network|"
    r"vlan|row|index)(_|$)|(^|_)(id|ip)$|^(first|last|start|stop|end|time)(_(ns|us|ms|s))?$"
)
"""Names of columns that tell where, when or who, not how."""

GROUPS: Final = (b"identity", b"addresses", b"ports", b"time")
KEYS: Final = ("src_port", "dst_port", "first_ns", "last_ns")
SAME: Final = 0.999  # share of equal rows
ALIKE: Final = 0.99  # correlation; a time of day in float32 reaches no more
MANY: Final = 50


@check(
    "D1",
    "identifiers among the features: addresses, ports, absolute times, ids, row order",
    remedy="give these columns the role key, time or identity in the flow table",
)
def identifiers(data: AuditData, limit: float) -> Finding:
    """Look at the names, and at whether values follow a key, a time or the row."""
    named = [
        f"{field.name}: its name or group is an identifier's"
        for field in (*data.features, *data.sequences)
        if IDENTIFIER.search(field.name) or (field.metadata or {}).get(b"group") in GROUPS
    ]
    follows = {name: data.values(name) for name in KEYS if data.has(name)}
    follows["the order of the rows"] = np.arange(len(data.label), dtype=np.float64)
    copies = [
        f"{field.name}: its values follow {name}"
        for field in data.features
        for name in _followed(data.values(field.name), follows)
    ]
    return at_most(len({text.split(":")[0] for text in named + copies}), limit, *named, *copies)


def _followed(values: Floats, follows: dict[str, Floats]) -> list[str]:
    """Which of some columns a feature is a copy of."""
    known = np.isfinite(values)
    if known.sum() < MANY or np.ptp(values[known]) == 0:
        return []
    return [name for name, other in follows.items() if _same(values[known], other[known])]


def _same(values: Floats, other: Floats) -> bool:
    """Equal in nearly all rows, or, with many values, nearly so up to scale and offset."""
    if np.ptp(other) == 0:
        return False
    if np.mean(values == other) >= SAME:
        return True
    if len(np.unique(other)) < MANY:
        return False  # two or three ports go along with any feature that separates the services
    return bool(abs(np.corrcoef(values - values[0], other - other[0])[0, 1]) >= ALIKE)


@check(
    "D2",
    "best balanced accuracy of one class against the rest by one split of one feature",
    remedy=(
        "if the feature is no property of the traffic itself (TTL, window), vary it across "
        "classes; else the task is easy, and the card should say so"
    ),
)
def single_split(data: AuditData, limit: float) -> Finding:
    """Measured on the training split; unknown values stand below all others."""
    classes = sorted(set(data.label[data.train].tolist()))
    if len(classes) < 2 or not data.features:
        return nothing_to_measure("fewer than two classes, or no features, in the training split")
    codes = np.searchsorted(classes, data.label[data.train].astype(str))
    best = dict.fromkeys(classes, (0.0, "", 0.0))
    for field in data.features:
        values = data.values(field.name)[data.train]
        accuracy, threshold = _best_splits(values, codes, len(classes))
        for place, name in enumerate(classes):
            found = (float(accuracy[place]), field.name, float(threshold[place]))
            best[name] = max(best[name], found)
    evidence = [
        f"{name}: {accuracy:.3f} by {feature} at {threshold:.6g}"
        for name, (accuracy, feature, threshold) in best.items()
    ]
    over = sum(accuracy > limit for accuracy, _, _ in best.values())
    evidence.append(f"{over} of {len(classes)} classes above {limit:g}")
    return Finding("info", max(accuracy for accuracy, _, _ in best.values()), tuple(evidence))


def _best_splits(
    values: Floats, codes: npt.NDArray[np.int64], classes: int
) -> tuple[Floats, Floats]:
    """Per class, the best balanced accuracy over all thresholds of a feature, and where."""
    values = np.where(np.isnan(values), -np.inf, values)
    order = np.argsort(values, kind="stable")
    values, codes = values[order], codes[order]
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], True))
    below = np.arange(1, len(values) + 1)[ends]
    accuracy, threshold = np.empty(classes), np.empty(classes)
    for place in range(classes):
        hits = np.cumsum(codes == place)[ends]
        size = hits[-1]
        recall, fallout = hits / size, (below - hits) / (len(values) - size)
        balanced = 0.5 + 0.5 * np.abs(recall - fallout)
        at = int(np.argmax(balanced))
        accuracy[place], threshold[place] = balanced[at], values[ends[at]]
    return accuracy, threshold
