"""A, C1, C3: change how much goes on, and for how long."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from audit.changes import Change
from audit.suggest.case import Case
from audit.suggest.edits import MOST, less_load, longer_run, more_sessions
from launcher.activities import catalogue
from tagger.agreement import Z_95

SPARE: Final = 1.1  # more than needed, as runs differ
LEAST_RELIEF: Final = 0.8  # times the load, where few packets were dropped
WHOLE: Final = 0.9  # of its time, in which a session was not cut short by the run's end
LONGEST_S: Final = 3_600.0
FEWEST: Final = 20  # flows of a class, for its diversity to be measured


def dropped(case: Case) -> Iterator[Change]:
    """Lower the load by a fifth or by twice the share of packets that were dropped, and make the
    run as much longer.
    """
    captures = [c for run in case.data.summary.runs for c in run.captures]
    received = sum(one.received for one in captures)
    drops = sum(one.dropped_by_kernel + one.dropped_by_interface for one in captures)
    share = drops / received if received else 0.0
    factor = max(1 / MOST, min(LEAST_RELIEF, 1 - 2 * share))
    yield from less_load(case, factor, f"{drops} of {received} packets were dropped")


def saturated(case: Case) -> Iterator[Change]:
    """Lower the load by a fifth, and make the run as much longer."""
    yield from less_load(case, LEAST_RELIEF, "the machine was saturated")


def proof(case: Case) -> Iterator[Change]:
    """If all labels are right and too few to prove it, make the run as much longer as that takes;
    classes with fewer than 20 flows get more sessions. Wrong labels are the rules' fault.
    """
    overall, limit = case.data.summary.quality.overall, case.result.threshold
    if not overall.checked or overall.agreed < overall.checked or limit >= 1:
        return
    needed = math.ceil(Z_95**2 * limit / (1 - limit))
    why = f"{overall.checked} flows, all right; it takes {needed} to prove {limit:g}"
    yield from longer_run(case, SPARE * needed / overall.checked, why)
    for label, count in case.data.summary.label_counts.items():
        if count < FEWEST:
            for activity in case.scene.of_class(label):
                factor = SPARE * FEWEST / count
                yield from more_sessions(case, activity, factor, f"{label} has {count} flows")


def unjudged(case: Case) -> Iterator[Change]:
    """Attacks that were stopped before they told their effect get sessions of twice the length, if
    those ended them, or a quiet phase that is longer by a session, if the run did.
    """
    for name, activity in case.topology.activities.items():
        lasted_s = [
            (one["stop_ns"] - one["start_ns"]) / 1e9
            for one in case.scene.sessions
            if one["name"] == name and one["outcome"] == "stopped"
        ]
        if not lasted_s or not catalogue()[activity.kind].malicious:
            continue
        why = f"{len(lasted_s)} sessions of {name} were stopped before they told their effect"
        last, phase = len(case.topology.phases) - 1, case.topology.phases[-1]
        if max(lasted_s) >= WHOLE * activity.session_s:
            longer = min(2 * activity.session_s, LONGEST_S)
            yield from case.change(f"activities.{name}.session_s", longer, why)
        elif phase.intensity == 0:
            longer = phase.duration_s + activity.session_s
            yield from case.change(f"phases[{last}].duration_s", longer, why)
