"""D: does one number tell the classes apart?"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.data import AuditData
from audit.result import Finding, Threshold, at_most, check, nothing_to_measure
from audit.sample import LEAST_ROWS, thinned
from audit.stumps import best_splits

ROWS: Final = 50_000
SUSPECTS: Final = {
    "destination port": r"(^|_)(dst|dest|destination|d|ds)_?(port|pt)$",
    "time to live": r"(^|_)[sd]?ttl(_|$)",
    "initial window": r"(^|_)(init\w*_win\w*|initial_window\w*|[sd]win)(_|$)",
    "MSS and options": r"(^|_)(mss|tcp_options?|options)(_|$)",
    "smallest packet": r"(^|_)(min_(packet|pkt)_(len|length|size)|\w*(packet_length|pkt_len|size)"
    r"_min(_bytes)?|min_seg_size_forward)$",
}
"""What has told classes apart in published datasets, by the words of their columns' names."""


@check(
    "D2",
    "best balanced accuracy of one class against the rest by one split of one feature",
    remedy=(
        "if the feature is no property of the traffic itself (TTL, window), put the classes on the "
        "same hosts and vary it; if it is, mix in traffic of other classes that looks like it, or "
        "allow the feature by name with the reason why"
    ),
)
def single_split(data: AuditData, allowed: Threshold) -> Finding:
    """Measured on the training split; unknown values stand below all others."""
    rows, classes, codes = _training(data)
    if len(classes) < 2 or not data.features:
        return nothing_to_measure("fewer than two classes, or no features, in the training split")
    best = dict.fromkeys(classes, (0.0, "", 0.0))
    for field in data.features:
        for name, accuracy, threshold in _of(data, field.name, rows, codes, classes):
            known = (accuracy, field.name, threshold)
            if not allowed.allow.keys() & {field.name, f"{name}/{field.name}"}:
                best[name] = max(best[name], known)
    evidence = [
        f"{name}: {accuracy:.3f} by {feature} at {threshold:.6g}"
        for name, (accuracy, feature, threshold) in best.items()
    ]
    over = sum(accuracy > allowed.limit for accuracy, _, _ in best.values())
    evidence.append(f"{over} of {len(classes)} classes above {allowed.limit:g}")
    evidence += [f"{name} is allowed: {why}" for name, why in allowed.allow.items()]
    values = {name: accuracy for name, (accuracy, _, _) in best.items()}
    return at_most(max(values.values()), allowed.limit, *evidence, culprits=values)


@check(
    "D3",
    "balanced accuracy of one class against the rest by one of the usual suspects",
    remedy=(
        "run the class named on the hosts and images of the others, so that TTL, window and "
        "options are the same, and serve it on their ports; or leave the feature out"
    ),
)
def usual_suspects(data: AuditData, allowed: Threshold) -> Finding:
    """Destination port, TTL, initial window, MSS and options, smallest packet, one by one.

    A suspect that is no feature (a key, as our ports are) is shown and not judged. Flows without a
    value, such as those of UDP without a window, do not count: that is their protocol.
    """
    rows, classes, codes = _training(data)
    if len(classes) < 2:
        return nothing_to_measure("fewer than two classes in the training split")
    features = {field.name for field in data.features} - allowed.allow.keys()
    judged: dict[str, float] = {}
    evidence = []
    for field, suspect in _suspects(data):
        known = np.isfinite(data.values(field.name)[rows])
        if len(np.unique(codes[known])) < 2:
            continue
        name, accuracy, threshold = max(
            _of(data, field.name, rows[known], codes[known], classes), key=lambda one: one[1]
        )
        mark = "" if field.name in features else " (no model sees it)"
        evidence.append(
            f"{suspect}: {name} {accuracy:.3f} by {field.name} at {threshold:.6g}{mark}"
        )
        if field.name in features:
            judged[name] = max(accuracy, judged.get(name, 0.0))
    if not evidence:
        return nothing_to_measure("no port, TTL, window, option or smallest packet in the table")
    value = max(judged.values(), default=0.0)
    return at_most(value, allowed.limit, *evidence, culprits=judged)


def _suspects(data: AuditData) -> list[tuple[pa.Field, str]]:
    found = []
    for field in data.fields:
        plain = re.sub(r"[\W_]+", "_", field.name.casefold()).strip("_")
        found += [
            (field, suspect)
            for suspect, pattern in SUSPECTS.items()
            if not pa.types.is_nested(field.type) and re.search(pattern, plain)
        ]
    return found


def _training(data: AuditData) -> tuple[npt.NDArray[np.int64], list[str], npt.NDArray[np.int64]]:
    """Rows to measure on, the classes that have enough of them, and the class of each row."""
    rows = np.flatnonzero(data.train)
    label = data.label[rows].astype(str)
    names, sizes = np.unique(label, return_counts=True)
    enough = np.isin(label, names[sizes >= LEAST_ROWS])
    rows = rows[enough]
    classes, codes = np.unique(label[enough], return_inverse=True)
    some = thinned(codes, ROWS)
    return rows[some], classes.tolist(), codes[some]


def _of(
    data: AuditData,
    column: str,
    rows: npt.NDArray[np.int64],
    codes: npt.NDArray[np.int64],
    classes: list[str],
) -> list[tuple[str, float, float]]:
    """Of each class its name, its best balanced accuracy and the threshold."""
    accuracy, threshold = best_splits(data.values(column)[rows], codes, len(classes))
    return list(zip(classes, accuracy.tolist(), threshold.tolist(), strict=True))
