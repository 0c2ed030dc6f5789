"""C: did each attack have its effect judged, its end, and flows of its own?"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from audit.attacks import attacks
from audit.data import AuditData, Bools, Ints
from audit.result import Finding, Threshold, at_most, check

TORN = 10


@check(
    "C3",
    "attacks whose effect nobody judged",
    remedy=(
        "give the activity kind named a success predicate that its program reports, or let its "
        "session run to its end"
    ),
    needs=("attacks",),
)
def judged_effects(data: AuditData, allowed: Threshold) -> Finding:
    """Each attack's program says whether it had success; its flows are then `effective`,
    `attempted` or `artefact`. One that was stopped before its first packet has nothing to judge.
    """
    table = _attacks(data)
    kinds, success = table["kind"].to_pylist(), table["success"].to_pylist()
    unborn = _unborn(data, table)
    silent = Counter(
        kind
        for kind, said, never in zip(kinds, success, unborn, strict=True)
        if said is None and not never
    )
    worked = Counter(kind for kind, said in zip(kinds, success, strict=True) if said)
    ineffective = [kind for kind in sorted(set(kinds)) if not worked[kind] and not silent[kind]]
    return at_most(
        silent.total(),
        allowed.limit,
        f"{worked.total()} of {len(kinds)} attacks had success, {int(unborn.sum())} never began",
        *(f"{kind}: {count} without a verdict" for kind, count in silent.most_common()),
        *(f"{kind}: none of {kinds.count(kind)} had success" for kind in ineffective),
    )


def _unborn(data: AuditData, table: pa.Table) -> Bools:
    """Attacks without a verdict that the end of the run stopped before they made a flow."""
    if "command" not in data.context:
        return np.zeros(len(table), dtype=np.bool_)
    ended = pc.and_(pc.equal(table["outcome"], "stopped"), table["success"].is_null())
    seen = pc.is_in(_names(table), value_set=data.context["command"].combine_chunks())
    return np.asarray(pc.and_not(ended, seen).to_numpy(zero_copy_only=False), dtype=np.bool_)


def _names(table: pa.Table) -> pa.ChunkedArray:
    """Activities as the table's commands call them."""
    return pc.binary_join_element_wise(table["run_id"], table["activity_id"], "/")


@check(
    "C4",
    "flows of attacks that begin after the attack stopped and a quiet period passed",
    remedy=(
        "look at the activity named: a process outlived its session; mend its program, or give "
        "the launcher the time to end it"
    ),
    needs=("attacks",),
)
def after_the_end(data: AuditData, allowed: Threshold) -> Finding:
    """Flows labelled as an attack's that begin later than the quiet period (5 s) after its stop,
    and connections that the kernel saw its processes open that late. What only ends late is shown.
    """
    quiet_ns = allowed.also["quiet_s"] * 1e9
    found: Counter[str] = Counter()
    for run in data.facts:
        found.update({f"{run.run_id}/{name}": count for name, count in run.after_stop.items()})
    stop_ns, known = _stops(data)
    late = 0
    if known.any() and data.has("first_ns", "last_ns"):
        begins, ends = data.values("first_ns"), data.values("last_ns")
        codes, names = data.codes("command")
        over = known & (begins > stop_ns + quiet_ns)
        found.update(names[code] for code in codes[over])
        late = int((known & ~over & (ends > stop_ns + quiet_ns)).sum())
    return at_most(
        found.total(),
        allowed.limit,
        *(f"{name}: {count} flows begin too late" for name, count in found.most_common(10)),
        f"{late} flows of attacks end later than that",
    )


@check(
    "C8",
    "labelled flows that span two activities with different labels",
    remedy=(
        "meter with shorter timeouts, or let the activities named not share ports: such a flow "
        "has to be split or dropped"
    ),
    needs=("facts",),
)
def torn_flows(data: AuditData, allowed: Threshold) -> Finding:
    """Ask the kernel's evidence for the owner of a flow's first packet, and of its last."""
    torn = [(run.run_id, flow) for run in data.facts for flow in run.torn]
    return at_most(
        len(torn),
        allowed.limit,
        f"{int(data.labelled.sum())} labelled flows",
        *(f"{run_id}: flow {flow}" for run_id, flow in torn[:TORN]),
    )


def _attacks(data: AuditData) -> pa.Table:
    if data.activities is None:
        raise AssertionError("a check that needs the activities has to say so")
    return attacks(data.activities)


def _stops(data: AuditData) -> tuple[Ints, Bools]:
    """Of each flow when the attack stopped that it is labelled as, and whether it is one's."""
    if "command" not in data.context:
        return np.zeros(len(data.label), dtype=np.int64), np.zeros(len(data.label), dtype=np.bool_)
    table = _attacks(data)
    names = _names(table).combine_chunks()
    place = pc.index_in(data.context["command"], value_set=names)
    known = place.is_valid().to_numpy()
    stops = table["stop_ns"].to_numpy()
    return stops[place.fill_null(0).to_numpy()], np.asarray(known, dtype=np.bool_)
