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
        The last attempt was not released either, or nothing was left to change.
    """
    for number in count(1):
        attempt = folder / f"attempt-{number}"
        made = generate(order, attempt)
        if made.report.released:
            reporter.say(f"attempt {number}: released; the dataset is {made.dataset}")
            return order, made
        patch = patch_of(made.report, blocking_only=True)
        write_patch(attempt / PATCH, patch)
        reporter.say(_said(number, made.report, patch))
        if number > again:
            raise _given_up(made, f"after {number} attempts")
        if not patch.changes:
            raise _given_up(made, "and no change is left to make")
        changed = derive(order, patch.changes, folder / f"attempt-{number + 1}")
        if same(order, changed):
            raise _given_up(made, "and the changes proposed change nothing")
        order = changed
    raise AssertionError("the loop ends by itself")


def _said(number: int, report: AuditReport, patch: Patch) -> str:
    """What failed and what is done about it."""
    failed = ", ".join(result.id for result in report.blocking)
    without = [f"  {id_}: no change, {why}" for id_, why in patch.unchanged.items()]
    changes = [f"  change {line}" for line in told(patch.changes)]
    return "\n".join([f"attempt {number}: not released, by {failed}", *changes, *without])


def _given_up(made: Generated, why: str) -> GateError:
    remedies = "\n".join(f"  {one.id}: {one.remedy}" for one in made.report.blocking)
    return GateError(
        f"the audit did not release {made.dataset}, {why}; {made.dataset / 'card.md'} says why. "
        f"Mend the spec, or accept a check by name and reason under accept_checks:\n{remedies}"
    )
