"""Puts decisions into words and columns: the labels table."""

from __future__ import annotations

from string import Formatter
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tagger.decide import MANY, Decisions
from tagger.effects import Effects, technique_of
from tagger.flows import KERNELS_OWN, Bools, FlowKeys, Int64s
from tagger.rulebook import AMBIGUOUS, UNLABELLED, Rulebook
from tagger.targets import CHILDREN, Targets

NOBODY: Final = "no activity had these endpoints at this time"
NO_RULE: Final = "an activity fits, but no rule speaks of it"
NETWORK: Final = "neighbours, memberships or errors: the network's own traffic, of no one activity"
SPANS: Final = "it begins in one activity and ends in another, and so is of neither"

LABELS: Final = pa.schema(
    [
        pa.field("flow_id", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("category", pa.string()),
        pa.field("malicious", pa.bool_()),
        pa.field("effect", pa.string()),
        pa.field("activity_id", pa.string()),
        pa.field("origin", pa.string()),
        pa.field("rule", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("oracle", pa.string()),
        pa.field("technique", pa.string()),
        pa.field("child", pa.string()),
        pa.field("by_features", pa.bool_()),
    ]
)
"""Columns of the labels table. Where a flow has no single label, only the reason is filled in.

``technique`` is of ATT&CK; ``child`` says what of an activity's background a flow is; labels with
``by_features`` depend on what a flow is like, by a rule that asks so.
"""


class Writer:
    """Puts decisions into words and columns."""

    def __init__(self, book: Rulebook, targets: Targets) -> None:
        self._book, self._targets = book, targets
        self._names = pa.array([*book.labels, AMBIGUOUS, UNLABELLED], type=pa.string())
        labels = [book.labels[name] for name in book.labels]
        self._categories = pa.array([label.category for label in labels] + [None, None])
        self._malicious = pa.array([label.malicious for label in labels] + [None, None])
        self._rules = pa.array([rule.id for rule in book.rules], type=pa.string())
        self._by_features = pa.array([rule.when.features is not None for rule in book.rules])
        self._ids = pa.array([a.id for a in targets.activities], type=pa.string())
        self._origins = pa.array([a.origin for a in targets.activities], type=pa.string())
        self._effects = Effects(targets)
        self._techniques = pa.array(list(map(technique_of, targets.activities)), type=pa.string())
        self._children = pa.array(CHILDREN, type=pa.string())
        self._texts = _texts(targets)
        self._network = -1 if book.network is None else list(book.labels).index(book.network)

    def table(
        self, flows: FlowKeys, decisions: Decisions, near: Bools, between: Bools
    ) -> pa.RecordBatch:
        """The labels of some flows.

        ``near`` says which ones fit any activity at all, ``between`` which ones begin in one
        activity and end in another.
        """
        own = (decisions.label < 0) & np.isin(flows.protocol, KERNELS_OWN)
        label = np.where(own & (self._network >= 0), self._network, decisions.label)
        place = pa.array(np.where(label < 0, label + len(self._names), label))
        nobody = decisions.target < 0
        owner = np.append(self._targets.activity, 0)[decisions.target]
        activity = pa.array(owner, mask=nobody)
        child = np.append(self._targets.child, 0)[decisions.target]
        rule = pa.array(decisions.rule, mask=nobody)
        return pa.RecordBatch.from_arrays(
            [
                flows.flow_id,
                self._names.take(place),
                self._categories.take(place),
                self._malicious.take(place),
                self._effects.of(flows, decisions),
                self._ids.take(activity),
                self._origins.take(activity),
                self._rules.take(rule),
                self._reason(decisions, near, between=between, own=own),
                pa.nulls(len(flows), pa.string()),
                self._techniques.take(activity),
                self._children.take(pa.array(child, mask=nobody)),
                self._by_features.take(rule),
            ],
            schema=LABELS,
        )

    def _reason(self, decisions: Decisions, near: Bools, *, between: Bools, own: Bools) -> pa.Array:
        single = decisions.label >= 0
        parts, rows = [], []
        for rule in np.unique(decisions.rule[single]).tolist():
            chosen = np.flatnonzero(single & (decisions.rule == rule))
            parts.append(self._phrases(rule, decisions.target[chosen]))
            rows.append(chosen)
        others = np.flatnonzero(~single)
        texts = np.full(len(near), NOBODY, dtype=object)
        texts[near] = NO_RULE
        texts[between] = SPANS
        for flow, rules in _rules_by_flow(decisions):
            names = ", ".join(self._book.rules[rule].id for rule in rules)
            texts[flow] = f"these rules fit equally well and disagree: {names}"
        texts[own] = NETWORK
        parts.append(pa.array(texts[others], type=pa.string()))
        order = np.argsort(np.concatenate([*rows, others]))
        return pa.concat_arrays(parts).take(pa.array(order))

    def _phrases(self, rule: int, targets: Int64s) -> pa.Array:
        """A rule's reason for each of some targets."""
        row, activity = pa.array(targets), pa.array(self._targets.activity[targets])
        parts = []
        for literal, field, *_ in Formatter().parse(self._book.rules[rule].reason):
            if literal:
                parts.append(pa.repeat(literal, len(targets)))
            if field is not None:
                parts.append(self._texts[field].take(row if field == "service" else activity))
        return pc.binary_join_element_wise(*parts, "")


def _texts(targets: Targets) -> dict[str, pa.Array]:
    """What reasons may name: the service of each target, and all else of each activity."""
    activities = targets.activities
    found = {
        "activity": [a.id for a in activities],
        "kind": [a.kind for a in activities],
        "variant": [a.variant for a in activities],
        "name": [a.name for a in activities],
        "user": [a.user for a in activities],
        "host": [a.host for a in activities],
        "service": [peer.service for peer in targets.peers],
    }
    return {name: pa.array(texts, type=pa.string()) for name, texts in found.items()}


def _rules_by_flow(decisions: Decisions) -> list[tuple[int, list[int]]]:
    """The winning rules of each flow that has no single label."""
    winners = decisions.winners
    open_flows = winners.take(decisions.label[winners.flow] == MANY)
    if not len(open_flows):
        return []
    pairs = np.unique(np.stack([open_flows.flow, open_flows.rule]), axis=1)
    flows, begins = np.unique(pairs[0], return_index=True)
    groups = np.split(pairs[1], begins[1:])
    return [(int(flow), group.tolist()) for flow, group in zip(flows, groups, strict=True)]
