"""Tells sessions apart that fit a flow equally well, by the connections that their logs name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

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


class Claims:
    """What the logs of activities say of flows."""

    def __init__(self, logs: Logs, activities: Sequence[ActivityRecord], allowed: Tolerances):
        self._allowed = allowed
        self._complete = np.append(logs.complete, False)
        self._stop_ns = np.array([a.stop_ns for a in activities], dtype=np.int64)
        owners = {a.id: Owner(number, a.stop_ns) for number, a in enumerate(activities)}
        named = len(logs.connections) > 0
        self._index = OpeningIndex(logs.connections, owners) if named else None

    def owners_of(self, flows: FlowKeys) -> Int64s:
        """Number of the activity whose log names each flow; -1 where none does."""
        if self._index is None:
            return np.full(len(flows), -1, dtype=np.int64)
        return self._index.owners_of(
            flows, clock_ns=self._allowed.clock_ns, linger_ns=self._allowed.linger_ns
        )

    def widen(self, flows: FlowKeys, candidates: Candidates, targets: Targets) -> Candidates:
        """The candidates, and for flows that fit nobody the activity whose log names them.

        So a worm's probes, a call's voice and a download's data connection are their activity's,
        though no service was announced at the other end.
        """
        fits_nobody = np.ones(len(flows), dtype=np.bool_)
        fits_nobody[candidates.flow] = False
        rows = np.flatnonzero(fits_nobody)
        owner = self.owners_of(flows.take(rows))
        until = np.append(self._stop_ns, np.iinfo(np.int64).min)[owner] + self._allowed.linger_ns
        kept = (owner >= 0) & (flows.last_ns[rows] <= until)
        rows, owner = rows[kept], owner[kept]
        low = np.searchsorted(targets.activity, owner, side="left")
        high = np.searchsorted(targets.activity, owner, side="right")
        place, target = expand(low, high)
        own = targets.child[target] == 0
        return Candidates(
            np.concatenate([candidates.flow, rows[place[own]]]),
            np.concatenate([candidates.target, target[own]]),
            np.concatenate([candidates.responder, np.zeros(int(own.sum()), dtype=np.bool_)]),
        )

    def standing(self, flows: FlowKeys, candidates: Candidates, targets: Targets) -> Int64s:
        """`NAMED`, `SILENT` or `NOT_NAMED` for each candidate."""
        activity = targets.activity[candidates.target]
        named = self.owners_of(flows)[candidates.flow]
        tcp = flows.protocol[candidates.flow] == TCP
        # What a server opens back to its client, and datagrams sent without connecting, no log has.
        denied = self._complete[activity] & tcp & ~candidates.responder
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
