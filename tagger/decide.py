"""From candidates to decisions: the rules of highest priority must agree, or nothing is claimed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tagger.conditions import FlowConditions, Surroundings, fitting_targets
from tagger.flows import Bools, FlowKeys, Int64s
from tagger.rulebook import Rule, Rulebook
from tagger.targets import Candidates, Targets

NONE: Final = -1
MANY: Final = -2


@dataclass(frozen=True, slots=True)
class Matches:
    """Triples of a flow, a target and a rule that matched them."""

    flow: Int64s
    target: Int64s
    rule: Int64s

    def __len__(self) -> int:
        return len(self.flow)

    def take(self, rows: Int64s | Bools) -> Matches:
        """Some of the triples."""
        return Matches(self.flow[rows], self.target[rows], self.rule[rows])


@dataclass(frozen=True, slots=True)
class Decisions:
    """One entry per flow. ``label`` indexes the vocabulary, or is `NONE` or `MANY`.

    ``rule`` and ``target`` are those of the activity that began nearest to the flow; -1 where
    there is no single label. ``winners`` are the matches of the highest priority of each flow.
    """

    label: Int64s
    rule: Int64s
    target: Int64s
    winners: Matches


class Decider:
    """Applies a rulebook to candidates; ``around`` is what there is to ask beside them."""

    def __init__(self, book: Rulebook, targets: Targets, around: Surroundings) -> None:
        self._rules = book.rules
        self._start_ns = targets.start_ns
        self._fits = fitting_targets(book.rules, targets, around.logs)
        about = iter(around.logs.flow_events)
        self._flow_conditions = [
            FlowConditions(r.when, around, None if r.when.flow_log is None else next(about))
            for r in book.rules
        ]
        self._priority = np.array([rule.priority for rule in book.rules], dtype=np.int64)
        names = list(book.labels)
        self._label = np.array([names.index(rule.label) for rule in book.rules], dtype=np.int64)

    def matches(self, flows: FlowKeys, candidates: Candidates) -> Matches:
        """Every rule that matches every candidate."""
        found = []
        for number, rule in enumerate(self._rules):
            chosen = np.flatnonzero(self._holds(number, rule, flows, candidates))
            number_of_each = np.full(len(chosen), number, dtype=np.int64)
            found.append(
                Matches(candidates.flow[chosen], candidates.target[chosen], number_of_each)
            )
        return Matches(
            np.concatenate([m.flow for m in found]),
            np.concatenate([m.target for m in found]),
            np.concatenate([m.rule for m in found]),
        )

    def _holds(self, number: int, rule: Rule, flows: FlowKeys, candidates: Candidates) -> Bools:
        rows = self._fits[number][candidates.target]
        if rule.when.role != "any":
            rows = rows & (candidates.responder == (rule.when.role == "responder"))
        if rule.when.ports is not None:
            rows = rows & np.isin(_service_ports(flows, candidates), rule.when.ports)
        holding = self._flow_conditions[number].hold(flows)
        return rows if holding is None else rows & holding[candidates.flow]

    def decide(self, flows: FlowKeys, matches: Matches) -> Decisions:
        """One decision per flow.

        Of several matches with one label, the activity whose start is nearest to the flow's first
        packet is named; ties go to the earlier activity of the journal, then to the earlier rule.
        """
        lowest, highest = np.iinfo(np.int64).min, np.iinfo(np.int64).max
        best = np.full(len(flows), lowest, dtype=np.int64)
        np.maximum.at(best, matches.flow, self._priority[matches.rule])
        winners = matches.take(self._priority[matches.rule] == best[matches.flow])

        label = self._label[winners.rule]
        smallest = np.full(len(flows), highest, dtype=np.int64)
        largest = np.full(len(flows), NONE, dtype=np.int64)
        np.minimum.at(smallest, winners.flow, label)
        np.maximum.at(largest, winners.flow, label)
        decided = np.where((largest != NONE) & (smallest != largest), np.int64(MANY), largest)

        away = np.abs(self._start_ns[winners.target] - flows.first_ns[winners.flow])
        order = np.lexsort((winners.rule, winners.target, away, winners.flow))
        flow, first = np.unique(winners.flow[order], return_index=True)
        nearest = order[first]
        single = decided[flow] >= 0
        rule = np.full(len(flows), NONE, dtype=np.int64)
        target = np.full(len(flows), NONE, dtype=np.int64)
        rule[flow[single]] = winners.rule[nearest[single]]
        target[flow[single]] = winners.target[nearest[single]]
        return Decisions(decided, rule, target, winners)


def _service_ports(flows: FlowKeys, candidates: Candidates) -> Int64s:
    near, far = flows.src_port[candidates.flow], flows.dst_port[candidates.flow]
    return np.where(candidates.responder, near, far)
