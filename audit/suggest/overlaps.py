"""C: part activities that cannot be told apart where they overlap."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from audit.changes import Change
from audit.data import Bools
from audit.suggest.case import Case
from audit.suggest.edits import MOST, more_sessions
from launcher.activities import catalogue
from launcher.addressing import lab_plan
from launcher.endpoints import service_endpoints
from tagger import AMBIGUOUS
from tagger.writing import SPANS

LOOKED_AT: Final = 2_000  # flows
SPARE: Final = 1.2  # more than needed, as runs differ
FLOW: Final = ("src_ip", "dst_ip", "dst_port", "first_ns", "last_ns")
Pair = tuple[str, str]


def overlapping(case: Case) -> Iterator[Change]:
    """Find the two activities that flows without a single label fit most often. Give each services
    of its own, if they share some and have others; else let the one with fewer flows begin more
    seldom, by as much as the share is too high.
    """
    pairs = _pairs(case)
    if not pairs:
        return
    (pair, count), total = pairs.most_common(1)[0], pairs.total()
    few, many = sorted(pair, key=case.scene.flows)
    why = f"{count} of {total} such flows fit both {few} and {many}"
    parted = list(_parted(case, few, many, why))
    if parted:
        yield from parted
        return
    share, limit = float(_torn(case).mean()), case.result.threshold
    excess = SPARE * max(1.0, share / limit) if limit else MOST
    yield from more_sessions(case, few, 1 / excess, why)


def _torn(case: Case) -> Bools:
    """Flows that fit two activities at once, or begin in one and end in another."""
    torn = case.data.label == AMBIGUOUS
    if "reason" in case.data.context:
        codes, reasons = case.data.codes("reason")
        spans = [number for number, reason in enumerate(reasons) if reason == SPANS]
        torn = torn | (np.isin(codes, spans) & ~case.data.labelled)
    return np.asarray(torn, dtype=np.bool_)


def _parted(case: Case, few: str, many: str, why: str) -> Iterator[Change]:
    """Leave the services that both use to one of them."""
    for one, other in ((few, many), (many, few)):
        services = case.topology.activities[one].services
        own = [name for name in services if name not in case.topology.activities[other].services]
        if own and len(own) < len(services):
            yield from case.change(f"activities.{one}.services", own, why)
            return


def _pairs(case: Case) -> Counter[Pair]:
    """Of each two activities how many such flows fit both of them."""
    data, scene = case.data, case.scene
    if not data.has(*FLOW):
        return Counter()
    rows = np.flatnonzero(_torn(case) & scene.rows)[:LOOKED_AT]
    flows = zip(
        data.context["run"].take(rows).to_pylist(),
        *(data.column(name).take(rows).to_pylist() for name in FLOW),
        strict=True,
    )
    served = _served(case)
    by_client: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for session in scene.sessions:
        for address in session["addresses"]:
            by_client[session["run_id"], address].append(session)
    counts: Counter[Pair] = Counter()
    for run, source, target, port, first_ns, last_ns in flows:
        fitting = {
            one["name"]
            for one in by_client[run, source]
            if one["start_ns"] <= last_ns
            and first_ns <= one["stop_ns"]
            and served.get(one["name"], set()) & {(target, port), (target, None)}
        }
        ordered = sorted(fitting)
        counts.update((a, b) for at, a in enumerate(ordered) for b in ordered[at + 1 :])
    return counts


def _served(case: Case) -> dict[str, set[tuple[str, int | None]]]:
    """Of each activity the addresses and ports it may open; None is every port."""
    endpoints = service_endpoints(case.topology, lab_plan(case.topology))
    kinds = catalogue()
    found: dict[str, set[tuple[str, int | None]]] = {}
    for name, activity in case.topology.activities.items():
        whole = kinds[activity.kind].service_kind is None
        found[name] = {
            (endpoints[service].address, port)
            for service in activity.services
            for port in ([None] if whole else endpoints[service].ports)
        }
    return found
