"""D: does one number tell the classes apart?"""

from __future__ import annotations

import pyarrow as pa

from audit.data import AuditData, group
from audit.result import Finding, Threshold, at_most, check, nothing_to_measure
from audit.suspects import Training


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
    training = Training.of(data)
    classes = training.classes
    if len(classes) < 2 or not data.features:
        return nothing_to_measure("fewer than two classes, or no features, in the training split")
    best = dict.fromkeys(classes, (0.0, "", 0.0))
    for field in data.features:
        for name, accuracy, threshold in training.splits(data, field.name):
            known = (accuracy, field.name, threshold)
            if not _may(field, name, allowed):
                best[name] = max(best[name], known)
    evidence = [
        f"{name}: {accuracy:.3f} by {feature} at {threshold:.6g}"
        for name, (accuracy, feature, threshold) in best.items()
    ]
    over = sum(accuracy > allowed.limit for accuracy, _, _ in best.values())
    evidence.append(f"{over} of {len(classes)} classes above {allowed.limit:g}")
    evidence += [f"{name} is allowed: {why}" for name, why in allowed.allow.items()]
    values = {f"{name}/{feature}": accuracy for name, (accuracy, feature, _) in best.items()}
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
    value, such as those of UDP without a window, do not count: that is their protocol. Nor does
    what is allowed by name.
    """
    suspects = data.suspects
    if not suspects:
        return nothing_to_measure("no port, TTL, window, option or smallest packet in the table")
    values: dict[str, float] = {}
    evidence = []
    for one in suspects:
        telling = [found for found in one.splits if not _may(one.field, found[0], allowed)]
        if not telling:
            continue
        name, accuracy, threshold = telling[0]
        mark = "" if one.seen else " (no model sees it)"
        evidence.append(
            f"{one.kind}: {name} {accuracy:.3f} by {one.feature} at {threshold:.6g}{mark}"
        )
        if one.seen:
            values[f"{name}/{one.feature}"] = accuracy
    evidence += [f"{name} is allowed: {why}" for name, why in allowed.allow.items()]
    return at_most(max(values.values(), default=0.0), allowed.limit, *evidence, culprits=values)


def _may(field: pa.Field, label: str, allowed: Threshold) -> bool:
    """Whether a feature may tell a class: it, or it or its group for this class, is allowed."""
    names = {field.name, f"{label}/{field.name}", f"{label}/{group(field)}"}
    return bool(allowed.allow.keys() & names)
