"""The closed loop: generate, audit, change what the audit proposes, and generate again.

Each attempt has a folder of its own below the build's, with runs, flows, dataset, card and
``audit.json``; ``patch.yaml`` says what was changed for the next one, whose ``spec.yaml`` and
``topologies/`` are what came of it.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Final

from audit import AuditReport
from audit.patch import Patch, patch_of, told, write_patch
from gsta.derive import derive, same
from gsta.generate import Generated
from gsta.order import Order
from gsta.reporting import Reporter
from topologies.errors import GateError

PATCH: Final = "patch.yaml"
Generate = Callable[[Order, Path], Generated]


def until_clean(
    order: Order, folder: Path, again: int, generate: Generate, reporter: Reporter
) -> tuple[Order, Generated]:
    """Generate up to ``1 + again`` times, until an audit releases the dataset.

    Returns
    -------
    order, generated
        The order as it was changed, and the dataset that was released.

    Raises
    ------
    GateError
        The last attempt was not released either, nothing was left to change, or so few flows came
        that what had failed can no longer be measured.
    """
    blocked: set[str] = set()
    for number in count(1):
        attempt = folder / f"attempt-{number}"
        made = generate(order, attempt)
        unproven = blocked & {r.id for r in made.report.checks if r.verdict == "not_applicable"}
        if unproven:
            said = f"but too little is left to measure {', '.join(sorted(unproven))} again"
            raise _given_up(made, f"attempt {number} is clean, {said}")
        blocked |= {result.id for result in made.report.blocking}
        if made.report.released:
            reporter.say(f"attempt {number}: released; the dataset is {made.dataset}")
            return order, made
        patch = patch_of(made.report, blocking_only=True)
        write_patch(attempt / PATCH, patch)
        reporter.say(_said(number, made.report, patch))
        if number > again:
            raise _given_up(made, f"the audit blocks attempt {number} as well")
        if not patch.changes:
            raise _given_up(
                made, f"the audit blocks attempt {number}, and no change is left to make"
            )
        changed = derive(order, patch.changes, folder / f"attempt-{number + 1}")
        if same(order, changed):
            raise _given_up(made, f"the changes proposed for attempt {number} change nothing")
        order = changed
    raise AssertionError("the loop ends by itself")


def _said(number: int, report: AuditReport, patch: Patch) -> str:
    """What failed and what is done about it."""
    failed = ", ".join(result.id for result in report.blocking)
    without = [f"  {id_}: no change, {why}" for id_, why in patch.unchanged.items()]
    changes = [f"  change {line}" for line in told(patch.changes)]
    return "\n".join([f"attempt {number}: not released, by {failed}", *changes, *without])


def _given_up(made: Generated, why: str) -> GateError:
    remedies = "".join(f"\n  {one.id}: {one.remedy}" for one in made.report.blocking)
    return GateError(
        f"no clean dataset: {why}; {made.dataset / 'card.md'} says why. Mend the spec, or accept a "
        f"check by name and reason under accept_checks{remedies}"
    )
