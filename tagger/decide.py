"""From candidates to decisions: the rules of highest priority must agree, or nothing is claimed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tagger.flows import Bools, FlowKeys, Int64s
from tagger.rulebook import Rule, Rulebook, When
from tagger.targets import PROTOCOLS, Candidates, Targets

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
    """Applies a rulebook to candidates."""

    def __init__(self, book: Rulebook, targets: Targets) -> None:
        self._rules = book.rules
        self._start_ns = targets.start_ns
        self._fits = _fitting_targets(book.rules, targets)
        self._priority = np.array([rule.priority for rule in book.rules], dtype=np.int64)
        names = list(book.labels)
        self._label = np.array([names.index(rule.label) for rule in book.rules], dtype=np.int64)

    def matches(self, flows: FlowKeys, candidates: Candidates) -> Matches:
        """Every rule that matches every candidate."""
        found = []
        for number, (rule, fits) in enumerate(zip(self._rules, self._fits, strict=True)):
            rows = fits[candidates.target]
            if rule.when.role != "any":
                rows = rows & (candidates.responder == (rule.when.role == "responder"))
            if rule.when.protocol is not None:
                rows = rows & (flows.protocol[candidates.flow] == PROTOCOLS[rule.when.protocol])
            if rule.when.ports is not None:
                rows = rows & np.isin(_service_ports(flows, candidates), rule.when.ports)
            chosen = np.flatnonzero(rows)
            number_of_each = np.full(len(chosen), number, dtype=np.int64)
            found.append(
                Matches(candidates.flow[chosen], candidates.target[chosen], number_of_each)
            )
        return Matches(
            np.concatenate([m.flow for m in found]),
            np.concatenate([m.target for m in found]),
            np.concatenate([m.rule for m in found]),
        )

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


def _fitting_targets(rules: Sequence[Rule], targets: Targets) -> list[Bools]:
    """For each rule, which targets fulfil its conditions on the activity and the peer."""
    numbers: dict[tuple[str, ...], int] = {}
    alike = [
        numbers.setdefault(
            (
                a.kind,
                a.variant,
                a.inside.kind if a.inside else "",
                a.origin,
                a.name,
                a.host,
                a.outcome,
                peer.service,
                peer.kind,
            ),
            len(numbers),
        )
        for a, peer in zip(map(targets.owner, range(len(targets))), targets.peers, strict=True)
    ]
    rows = np.array(alike, dtype=np.int64)
    return [
        np.array([_fulfils(rule.when, profile) for profile in numbers], dtype=np.bool_)[rows]
        for rule in rules
    ]


def _fulfils(when: When, profile: tuple[str, ...]) -> bool:
    conditions = (
        when.kind,
        when.variant,
        when.inside,
        when.origin,
        when.name,
        when.host,
        when.outcome,
        when.service,
        when.service_kind,
    )
    return all(
        values is None or value in values for value, values in zip(profile, conditions, strict=True)
    )
