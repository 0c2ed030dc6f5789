"""Labels flows by a journal, logs and rules. The evidence is not among what it is given."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa

from tagger.claims import Claims
from tagger.conditions import Surroundings, log_tests
from tagger.decide import Decider
from tagger.flows import Bools, FlowKeys
from tagger.logs import read_logs
from tagger.rulebook import Rulebook
from tagger.run import Journal
from tagger.target_index import TargetIndex
from tagger.targets import Candidates, Tolerances, make_targets
from tagger.writing import LABELS, Writer

CHUNK: Final = 1 << 17
"""Flows labelled at a time: bounds the memory of candidates when many sessions overlap."""


class Labeller:
    """Applies a rulebook to a journal's flows.

    Attributes
    ----------
    targets, decider, claims, index
        Who was told to talk to whom; the rules; what the logs say of flows; the join.
    """

    def __init__(self, journal: Journal, book: Rulebook, allowed: Tolerances) -> None:
        self.book, self.allowed = book, allowed
        activity_tests, flow_tests = log_tests(book.rules)
        logs = read_logs(
            journal.folder,
            journal.activities,
            journal.services,
            activity_tests=activity_tests,
            flow_tests=flow_tests,
        )
        self.targets = make_targets(journal.activities, journal.services)
        around = Surroundings(logs, journal.phases, journal.begin_ns, allowed)
        self.index = TargetIndex(self.targets, allowed)
        self.claims = Claims(logs, journal.activities, allowed)
        self.decider = Decider(book, self.targets, around)

    def candidates(self, flows: FlowKeys) -> Candidates:
        """The activities that each flow may be of."""
        asked = self.claims.as_asked(flows)
        fitting = self.claims.widen(asked, self.index.match(asked), self.targets)
        outlasting = self._outlasting(asked, fitting)
        return self.claims.narrow(asked, fitting.joined(outlasting), self.targets)

    def _outlasting(self, flows: FlowKeys, fitting: Candidates) -> Candidates:
        """Of flows that fit nobody whole, the activities that they began in.

        Unless they end in one with another label: then they are of neither.
        """
        alone = np.ones(len(flows), dtype=np.bool_)
        alone[fitting.flow] = False
        rows = np.flatnonzero(alone).astype(np.int64)
        kept = flows.take(rows)
        begun, ended = (
            self.claims.narrow(moment, self.index.match(moment), self.targets)
            for moment in (kept.at(kept.first_ns), kept.at(kept.last_ns))
        )
        before, after = (
            self.decider.decide(kept, self.decider.matches(kept, candidates)).label
            for candidates in (begun, ended)
        )
        over = np.ones(len(kept), dtype=np.bool_)
        over[ended.flow] = False
        begun = begun.take((over | ((before >= 0) & (before == after)))[begun.flow])
        return replace(begun, flow=rows[begun.flow])

    def label(self, flows: FlowKeys) -> pa.Table:
        """The labels of flows; the column ``oracle`` is left empty."""
        writer = Writer(self.book, self.targets)
        parts = []
        for begin in range(0, len(flows), CHUNK):
            rows = np.arange(begin, min(begin + CHUNK, len(flows)), dtype=np.int64)
            chunk = flows.take(rows)
            candidates = self.candidates(chunk)
            near = np.zeros(len(chunk), dtype=np.bool_)
            near[candidates.flow] = True
            decisions = self.decider.decide(chunk, self.decider.matches(chunk, candidates))
            parts.append(writer.table(chunk, decisions, near, self._between(chunk, near)))
        return pa.Table.from_batches(parts, schema=LABELS)

    def _between(self, flows: FlowKeys, near: Bools) -> Bools:
        """Flows that fit no activity whole, but begin in one and end in another."""
        between = np.zeros(len(flows), dtype=np.bool_)
        rows = np.flatnonzero(~near).astype(np.int64)
        alone = self.claims.as_asked(flows.take(rows))
        begun = self.index.match(alone.at(alone.first_ns))
        ended = self.index.match(alone.at(alone.last_ns))
        between[rows[np.intersect1d(begun.flow, ended.flow)]] = True
        return between
