"""Tells sessions apart that fit a flow equally well, by the connections that their logs name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from launcher.records import ActivityRecord
from tagger.flows import FlowKeys, Int64s
from tagger.intervals import expand
from tagger.logs import Logs
from tagger.openings import OpeningIndex, Owner
from tagger.targets import Candidates, Targets, Tolerances

NAMED: Final = 2
"""The log of the activity names this very connection."""
SILENT: Final = 1
"""It does not say what connections there were, or not all of them."""
NOT_NAMED: Final = 0
"""It names all connections, and this one is not among them; or another activity's names it."""

TCP: Final = 6
UDP: Final = 17


class Claims:
    """What the logs of activities say of flows."""

    def __init__(self, logs: Logs, activities: Sequence[ActivityRecord], allowed: Tolerances):
        self._allowed = allowed
        self._complete = np.append(logs.complete, False)
        self._complete_udp = np.append(logs.complete_udp, False)
        self._stop_ns = np.array([a.stop_ns for a in activities], dtype=np.int64)
        owners = {a.id: Owner(number, a.stop_ns) for number, a in enumerate(activities)}
        named = len(logs.connections) > 0
        self._index = OpeningIndex(logs.connections, owners) if named else None
        self._asked = logs.asked
        always = np.iinfo(np.int64).max >> 1
        served = {str(row): Owner(row, always) for row in range(len(logs.served))}
        self._served = OpeningIndex(logs.served, served) if served else None

    def owners_of(self, flows: FlowKeys) -> Int64s:
        """Number of the activity whose log names each flow; -1 where none does."""
        if self._index is None:
            return np.full(len(flows), -1, dtype=np.int64)
        return self._index.owners_of(
            flows, clock_ns=self._allowed.clock_ns, linger_ns=self._allowed.linger_ns
        )

    def as_asked(self, flows: FlowKeys) -> FlowKeys:
        """The flows, those that servers opened or took for a client as he asked for them.

        So a file's or a camera's data are of whoever had the connection by which they were asked
        for: they get its ends and protocol, and keep their times.
        """
        if self._served is None:
            return flows
        row = self._served.owners_of(
            flows, clock_ns=self._allowed.clock_ns, linger_ns=self._allowed.linger_ns
        )
        told = row >= 0
        asked, mask = self._asked.take(pa.array(np.maximum(row, 0))), pa.array(told)
        ends = {
            name: pc.if_else(mask, asked[name].combine_chunks(), getattr(flows, name))
            for name in ("src_ip", "dst_ip")
        }
        ports = {
            name: np.where(told, asked[name].to_numpy(), getattr(flows, name))
            for name in ("src_port", "dst_port")
        }
        return replace(flows, **ends, **ports, protocol=np.where(told, TCP, flows.protocol))

    def widen(self, flows: FlowKeys, candidates: Candidates, targets: Targets) -> Candidates:
        """The candidates, and the activity whose log names a flow that does not fit it.

        So a worm's probes, a call's voice and a download's data connection are their activity's,
        though no service was announced at the other end, and so is what closes late.
        """
        owner = self.owners_of(flows)
        fits = targets.activity[candidates.target] == owner[candidates.flow]
        owner[candidates.flow[fits]] = -1
        rows = np.flatnonzero(owner >= 0)
        after = self.owners_of(flows.take(rows).at(flows.last_ns[rows]))
        rows = rows[(after < 0) | (after == owner[rows])]  # or it is of two
        owner = owner[rows]
        low = np.searchsorted(targets.activity, owner, side="left")
        high = np.searchsorted(targets.activity, owner, side="right")
        place, target = expand(low, high)
        own = targets.child[target] == 0
        initiated = np.zeros(int(own.sum()), dtype=np.bool_)
        return candidates.joined(Candidates(rows[place[own]], target[own], initiated))

    def standing(self, flows: FlowKeys, candidates: Candidates, targets: Targets) -> Int64s:
        """`NAMED`, `SILENT` or `NOT_NAMED` for each candidate."""
        activity = targets.activity[candidates.target]
        named = self.owners_of(flows)[candidates.flow]
        protocol = flows.protocol[candidates.flow]
        told = self._complete[activity] & (protocol == TCP)
        told |= self._complete_udp[activity] & (protocol == UDP)
        # What a server opens back to its client no log has; who may be told any port has no server.
        denied = told & (~candidates.responder | (targets.port[candidates.target] == 0))
        standing = np.where(denied | (named >= 0), NOT_NAMED, SILENT)
        return np.where(named == activity, NAMED, standing).astype(np.int64)

    def narrow(self, flows: FlowKeys, candidates: Candidates, targets: Targets) -> Candidates:
        """The candidates that stand best, for each flow; doing comes before causing."""
        if not len(candidates.flow):
            return candidates
        own = targets.child[candidates.target] == 0
        rank = 2 * self.standing(flows, candidates, targets) + own
        best = np.full(len(flows), -1, dtype=np.int64)
        np.maximum.at(best, candidates.flow, rank)
        return candidates.take(rank == best[candidates.flow])
