"""What came of an attack, flow by flow: its success, and what is no part of its doing.

An attack's flows are `effective` if its program says it had success, else `attempted`. An
`artefact` is a flow that the attack caused without doing it: its children (names it asked for,
ICMP errors), and TCP connections in which nobody said anything (refused, unanswered), unless to
reach somebody, or to keep him busy, is what the attack does.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from launcher.activities import catalogue
from launcher.records import ActivityRecord
from tagger.decide import Decisions
from tagger.flows import Bools, FlowKeys
from tagger.targets import Targets

ARTEFACT: Final = "artefact"
PAYLOAD: Final = ("c2s_payload_packets", "s2c_payload_packets")
"""Columns of the flow table that tell an empty connection."""
REACHING: Final = ("T1018", "T1046", "T1210", "T1498", "T1499", "T1557", "T1595")
"""Techniques (ATT&CK) whose empty connections are their doing: discovery, worms, floods."""
TCP: Final = 6


def effect_of(activity: ActivityRecord) -> str | None:
    """`effective` if an attack says it had success, `attempted` if not, None for the rest."""
    if activity.effect is None:
        return None
    return "effective" if activity.effect.get("success") is True else "attempted"


def technique_of(activity: ActivityRecord) -> str | None:
    """The ATT&CK technique of an activity's kind; None for what is no attack."""
    return _techniques().get(activity.kind)


@cache
def _techniques() -> dict[str, str | None]:
    return {kind.kind: kind.attack_technique for kind in catalogue().values()}


def _is_reach(technique: str | None) -> bool:
    return technique is not None and technique.startswith(REACHING)


class Effects:
    """Says of each flow of an attack whether it had its effect, or is no part of it."""

    def __init__(self, targets: Targets) -> None:
        self._activity, self._child = np.append(targets.activity, 0), np.append(targets.child, 0)
        said = [effect_of(activity) for activity in targets.activities]
        self._said = pa.array(said, type=pa.string())
        self._attack = np.array([effect is not None for effect in said], dtype=np.bool_)
        self._reaches = np.array(
            [_is_reach(technique_of(activity)) for activity in targets.activities], dtype=np.bool_
        )

    def of(self, flows: FlowKeys, decisions: Decisions) -> pa.Array:
        """`effective`, `attempted`, `artefact`, or null for what is of no attack."""
        nobody = decisions.target < 0
        activity, child = self._activity[decisions.target], self._child[decisions.target]
        if not len(self._attack):
            return pa.nulls(len(flows), pa.string())
        artefact = (child > 0) | (_empty(flows) & ~self._reaches[activity])
        artefact &= self._attack[activity] & ~nobody
        said = self._said.take(pa.array(activity, mask=nobody))
        return pc.if_else(pa.array(artefact), pa.scalar(ARTEFACT), said)


def _empty(flows: FlowKeys) -> Bools:
    """TCP connections in which nobody said anything; none where the flow table does not tell."""
    empty = flows.protocol == TCP
    for name in PAYLOAD:
        if name not in flows.features:
            return np.zeros(len(flows), dtype=np.bool_)
        empty &= flows.features[name] == 0
    return np.asarray(empty, dtype=np.bool_)
