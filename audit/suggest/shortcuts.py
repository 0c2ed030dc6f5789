"""D: let classes share hosts, and mix in what looks like them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from audit.changes import Change
from audit.data import group
from audit.stumps import best_splits
from audit.suggest.case import Case
from audit.suggest.edits import MOST, more_hosts, more_sessions

STACK: Final = "stack"  # features of the machine, not of the traffic
SPARE: Final = 1.1


def apart(case: Case) -> Iterator[Change]:
    """Let the clients that do other things make the class as well, altogether as often as before;
    where there are none, let its own hosts do what the others do.
    """
    for label in case.result.culprits:
        why = f"all {label} comes from hosts that do nothing else"
        for activity in case.scene.of_class(label):
            shared = list(more_hosts(case, activity, why))
            yield from shared or _joined(case, activity, why)


def _joined(case: Case, activity: str, why: str) -> Iterator[Change]:
    """Let the hosts of an activity do what other hosts do."""
    own = list(case.topology.activities[activity].hosts)
    for other in case.topology.activities:
        yield from case.extend(f"activities.{other}.hosts", own, why)


def telling(case: Case) -> Iterator[Change]:
    """If the feature is of the machine (TTL, window), let the classes share hosts. Else let the
    class that looks most alike have more sessions, by as much as brings the accuracy down to the
    limit, if four times as many are enough; besides, people may allow the feature for the class.
    """
    of = {field.name: group(field) for field in case.data.features}
    for culprit, accuracy in case.result.culprits.items():
        label, feature = culprit.split("/", 1)
        why = f"{feature} tells {label} with balanced accuracy {accuracy:.3f}"
        if of[feature] == STACK:
            for activity in case.scene.of_class(label):
                yield from more_hosts(case, activity, why)
            continue
        yield from _alike(case, label, feature, why)
        yield from case.choice(
            f"allow.{culprit}",
            f"{label} is so elsewhere as well ({accuracy:.3f} by one split)",
            f"{why}; if that is so outside of the lab as well",
        )


def easy(case: Case) -> Iterator[Change]:
    """No change makes traffic alike; people may accept that the task is easy. The card says so."""
    yield from case.choice(
        f"accept_checks.{case.result.id}",
        f"an easy task: a tree of depth 3 reaches {100 * (case.result.value or 0):.0f} % of the "
        "full model's macro-F1",
        "if the classes are meant to be as different as they are",
    )


def _alike(case: Case, label: str, feature: str, why: str) -> Iterator[Change]:
    """More of the class of which most is on the same side of the split as this one."""
    data = case.data
    names, values = data.label[data.train], data.values(feature)[data.train]
    codes = (names == label).astype(np.int64)
    threshold = best_splits(values, codes, 2)[1][1]
    side = np.where(np.isnan(values), -np.inf, values) <= threshold
    if side[names == label].mean() < 0.5:
        side = ~side
    recall, others = float(side[names == label].mean()), names != label
    fallout = float(side[others].mean())
    needed = recall - 2 * case.result.threshold + 1
    shares = {name: float(side[names == name].mean()) for name in set(names[others].tolist())}
    look, share = max(shares.items(), key=lambda item: item[1])
    if share <= needed or needed <= fallout:
        return
    size = float((names[others] == look).mean())
    factor = SPARE * (1 + (needed - fallout) / (size * (share - needed)))
    if factor <= MOST:
        for activity in case.scene.of_class(look):
            said = f"{why}; {100 * share:.0f} % of {look} looks like it"
            yield from more_sessions(case, activity, factor, said)
