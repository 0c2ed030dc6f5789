"""The labels measured: what the kernel's evidence says about each flow, beside what the rules said.

This is the only part of the tagger that reads the evidence, and it runs after all labels are made.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from launcher.records import ActivityRecord, ServiceRecord
from tagger.agreement import Agreement, Coverage, Disagreement, LabelQuality
from tagger.coverage import coverage_of, read_ends
from tagger.decide import NONE
from tagger.evidence import Testimony, read_events
from tagger.flows import KERNELS_OWN, Bools, FlowKeys, Int64s
from tagger.intervals import expand
from tagger.labeller import Labeller
from tagger.openings import Owner
from tagger.rulebook import AMBIGUOUS, UNLABELLED
from tagger.run import Run
from tagger.targets import CHILDREN, Candidates, Targets
from tagger.windows import Windows, read_windows

RELAYED: Final = CHILDREN.index("relayed")
AT_ONCE: Final = 256  # flows that are compared with all targets, so that memory stays bounded
LISTED: Final = 50
"""Disagreements kept with their reasons; the labels table has all of them."""


class Oracle:
    """Says which label each flow should have, by the kernel's word on who opened it."""

    def __init__(self, run: Run, labeller: Labeller) -> None:
        self._run, self._targets, self._tolerances = run, labeller.targets, labeller.allowed
        names, network = list(labeller.book.labels), labeller.book.network
        self._network = NONE if network is None else names.index(network)
        self._names = [*labeller.book.labels, AMBIGUOUS, UNLABELLED]  # NONE is -1, MANY -2
        self._decider = labeller.decider
        self._owners: list[ActivityRecord | ServiceRecord] = [*run.activities, *run.services]
        numbers = {owner.id: number for number, owner in enumerate(self._owners)}
        self._evidence = Testimony(
            read_events(run.folder),
            {
                o.id: Owner(numbers[o.id], o.stop_ns, isinstance(o, ServiceRecord))
                for o in self._owners
            },
        )
        self._windows = Windows(read_windows(run.folder), numbers)

    @property
    def note(self) -> str:
        """Where the evidence is from, or why there is none."""
        said = self._run.manifest.evidence
        if not len(self._evidence):
            return f"no evidence ({said})"
        lost = self._run.manifest.counts.get("evidence_lost", 0)
        return f"{said}; {lost} events lost" if lost else said

    def owners(self, flows: FlowKeys) -> Int64s:
        """Number of the activity or service that each flow is of; -1 where nobody knows.

        By the kernel's word, or by the only activity that sent frames of its own at that time.
        """
        seen = self.seen(flows)
        return np.where(seen < 0, self._windows.owners_of(flows, self._tolerances), seen)

    def seen(self, flows: FlowKeys) -> Int64s:
        """The same, by the kernel's word alone."""
        return self._evidence.owners_of(
            flows, clock_ns=self._tolerances.clock_ns, linger_ns=self._tolerances.linger_ns
        )

    def coverage(self, flows: FlowKeys, packets: Int64s | None, owners: Int64s) -> Coverage | None:
        """How much of a run the evidence covers (`tagger.coverage`); None if it has none."""
        if not len(self._evidence):
            return None
        return coverage_of(
            flows, packets, owners, by_window=self.seen(flows) < 0, ends=read_ends(self._run.folder)
        )

    def owner_id(self, number: int) -> str:
        """Id of an owner."""
        return self._owners[number].id

    def labels(self, flows: FlowKeys, owners: Int64s) -> pa.Array:
        """The label that the rules give the true owner's flow; null where nobody knows it.

        A flow that a service opened is of those who used it then, and have an end of the flow: who
        is called back, or for whom it is relayed. Else it belongs to no activity: `unlabelled`.
        """
        by_activity = np.where(owners < len(self._run.activities), owners, -1)
        candidates = self._candidates(flows, by_activity).joined(self._served(flows, owners))
        decided = self._decider.decide(flows, self._decider.matches(flows, candidates)).label
        decided = np.where(
            (owners >= len(self._run.activities)) & np.isin(flows.protocol, KERNELS_OWN),
            self._network,
            decided,
        )
        names = pa.array(self._names, type=pa.string())
        place = np.where(decided < 0, decided + len(self._names), decided)
        return names.take(pa.array(place, mask=owners < 0))

    def _candidates(self, flows: FlowKeys, owners: Int64s) -> Candidates:
        """The targets of each flow's owner: those at the flow's endpoints, else all of them."""
        targets = self._targets
        low = np.searchsorted(targets.activity, owners, side="left")
        high = np.searchsorted(targets.activity, owners, side="right")
        flow, target = expand(low, np.where(owners < 0, low, high))
        forth = _at_endpoints(flows, flow, targets, target)
        back = _at_endpoints(flows.swapped(), flow, targets, target)
        fits = forth | back
        own = targets.child[target] == 0
        some, done = np.zeros(len(flows), dtype=np.bool_), np.zeros(len(flows), dtype=np.bool_)
        some[flow[fits]] = True
        done[flow[fits & own]] = True  # what it was told to do, it did not merely cause
        kept = (fits & (own | ~done[flow])) | (~some[flow] & own)
        return Candidates(flow[kept], target[kept], back[kept])

    def _served(self, flows: FlowKeys, owners: Int64s) -> Candidates:
        """For flows that services opened, the targets of those who used them."""
        none = np.empty(0, dtype=np.int64)
        found = Candidates(none, none, none.astype(np.bool_))
        known = len(self._run.activities)
        for number in np.unique(owners[owners >= known]).tolist():
            name = self._run.services[number - known].name
            users = [
                place
                for place, one in enumerate(self._run.activities)
                if any(peer.service == name for peer in one.peers)
            ]
            theirs = np.flatnonzero(np.isin(self._targets.activity, users))
            opened = np.flatnonzero(owners == number)
            for begin in range(0, len(opened), AT_ONCE):
                found = found.joined(self._used(flows, opened[begin : begin + AT_ONCE], theirs))
        return found

    def _used(self, flows: FlowKeys, opened: Int64s, theirs: Int64s) -> Candidates:
        """Which of a service's flows began while which of its users' targets stood, at one end."""
        targets = self._targets
        flow, target = np.repeat(opened, len(theirs)), np.tile(theirs, len(opened))
        begun = flows.first_ns[flow] >= targets.start_ns[target] - self._tolerances.clock_ns
        over = flows.first_ns[flow] > targets.stop_ns[target] + self._tolerances.linger_ns
        flow, target = flow[begun & ~over], target[begun & ~over]
        child = targets.child[target]
        called = _between(flows.swapped(), flow, targets, target) & (child == 0)
        relayed = _at_endpoints(flows, flow, targets, target) & (child == RELAYED)
        kept = called | relayed
        return Candidates(flow[kept], target[kept], called[kept])


def _at_endpoints(flows: FlowKeys, flow: Int64s, targets: Targets, target: Int64s) -> Bools:
    port, protocol = targets.port[target], targets.protocol[target]
    return np.asarray(
        _between(flows, flow, targets, target)
        & ((port == 0) | (port == flows.dst_port[flow]))
        & ((protocol == 0) | (protocol == flows.protocol[flow])),
        dtype=np.bool_,
    )


def _between(flows: FlowKeys, flow: Int64s, targets: Targets, target: Int64s) -> Bools:
    return np.asarray(
        _equal(flows.src_ip, flow, targets.client, target)
        & _equal(flows.dst_ip, flow, targets.server, target),
        dtype=np.bool_,
    )


def _equal(a: pa.Array, a_rows: Int64s, b: pa.Array, b_rows: Int64s) -> Bools:
    same = pc.equal(a.take(pa.array(a_rows)), b.take(pa.array(b_rows)))
    return np.asarray(same.to_numpy(zero_copy_only=False), dtype=np.bool_)


def judge(
    labels: pa.Table, owners: Int64s, oracle: Oracle, coverage: Coverage | None = None
) -> LabelQuality:
    """Compare the labels with the oracle's, which are the column ``oracle`` of the same table."""
    said = np.asarray(labels["label"].to_numpy(zero_copy_only=False), dtype=object)
    known = owners >= 0
    decided = (said != UNLABELLED) & (said != AMBIGUOUS)
    right = np.asarray(
        pc.fill_null(pc.equal(labels["label"], labels["oracle"]), False).to_numpy(), dtype=np.bool_
    )
    checked = known & decided
    wrong = np.flatnonzero(checked & ~right)[:LISTED]
    rows = labels.take(pa.array(wrong)).to_pylist()
    return LabelQuality(
        note=oracle.note,
        coverage=coverage,
        overall=_agreement(checked, right),
        classes={
            name: _agreement(checked & (said == name), right)
            for name in sorted(set(said[checked].tolist()))
        },
        undecided=int((known & ~decided).sum()),
        unseen=int((~known).sum()),
        disagreements=tuple(
            Disagreement(
                flow_id=row["flow_id"],
                label=row["label"],
                oracle=row["oracle"],
                activity=row["activity_id"],
                owner=oracle.owner_id(int(owners[place])),
                reason=row["reason"],
            )
            for place, row in zip(wrong, rows, strict=True)
        ),
    )


def _agreement(checked: Bools, right: Bools) -> Agreement:
    return Agreement(checked=int(checked.sum()), agreed=int((checked & right).sum()))
