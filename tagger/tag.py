"""Labels for the flows of one run: journal and rules first, the oracle's measurement after."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from launcher.records import ActivityRecord
from tagger.agreement import Coverage, LabelQuality
from tagger.claims import Claims
from tagger.decide import MANY, Decider, Decisions
from tagger.flows import Bools, FlowKeys, Int64s, read_flow_keys, read_packets
from tagger.logs import read_logs
from tagger.observations import counted_once
from tagger.oracle import Oracle, judge
from tagger.rulebook import AMBIGUOUS, UNLABELLED, Rulebook, load_rules
from tagger.run import read_run
from tagger.targets import TargetIndex, Targets, Tolerances, make_targets

CHUNK: Final = 1 << 17
"""Flows labelled at a time: bounds the memory of candidates when many sessions overlap."""

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
    ]
)
"""Columns of the labels table. Where a flow has no single label, only the reason is filled in."""


@dataclass(frozen=True, slots=True)
class TagReport:
    """The labels of one run and what there is to say about them.

    ``kept`` marks the rows of the flow table that were kept, in order; ``labels`` has one row for
    each of those. The others are further observations of the same flows on other networks.
    """

    run_id: str
    rules: str
    labels: pa.Table
    kept: Bools
    counts: dict[str, int]
    unlabelled: int
    ambiguous: int
    duplicate_observations: int
    quality: LabelQuality

    @property
    def flows(self) -> int:
        """Flows that were labelled, unlabelled or ambiguous: all that count."""
        return len(self.kept) - self.duplicate_observations

    def summary(self) -> str:
        """The counts in one line, and the label quality in another."""
        return f"run {self.run_id}: " + summary_of(
            self.counts, self.unlabelled, self.ambiguous, self.duplicate_observations, self.quality
        )


def tag_run(
    run_dir: Path,
    flows: Path,
    *,
    rules: str | Path | None = None,
    tolerances: Tolerances | None = None,
) -> TagReport:
    """Label the flows of a run by rules over its journal.

    Parameters
    ----------
    run_dir
        A complete run directory.
    flows
        The flow table made from its captures.
    rules
        A rule file or the name of one that ships; None is `traffic`.
    tolerances
        What the join in time allows for.

    Raises
    ------
    NotFoundError, InputError
        A file is missing, damaged or of another run; the run is incomplete; the rules have faults.
    """
    allowed = tolerances or Tolerances()
    book = load_rules(rules).model
    run = read_run(run_dir)
    observed = read_flow_keys(flows, run_id=run.manifest.run_id)
    kept = counted_once(observed, run.subnets)
    counted = observed.take(np.flatnonzero(kept).astype(np.int64))
    targets = make_targets(run.activities)
    claims = Claims(read_logs(run_dir, run.activities, run.services), run.activities, allowed)
    labels = label_flows(counted, targets, book, allowed, claims)

    # Every label stands. From here on the evidence is read, to measure them.
    oracle = Oracle(run, targets, book, allowed)
    owners = oracle.owners(counted)
    column = LABELS.get_field_index("oracle")
    labels = labels.set_column(column, LABELS.field(column), oracle.labels(counted, owners))
    counts = _counts(labels["label"])
    return TagReport(
        run_id=run.manifest.run_id,
        rules=book.name,
        labels=labels,
        kept=kept,
        counts={name: counts[name] for name in book.labels if counts[name]},
        unlabelled=counts[UNLABELLED],
        ambiguous=counts[AMBIGUOUS],
        duplicate_observations=int((~kept).sum()),
        quality=judge(labels, owners, oracle, _coverage(oracle, flows, counted, kept, owners)),
    )


def _coverage(
    oracle: Oracle, table: Path, counted: FlowKeys, kept: Bools, owners: Int64s
) -> Coverage | None:
    packets = read_packets(table)
    return oracle.coverage(counted, None if packets is None else packets[kept], owners)


def _counts(labels: pa.ChunkedArray) -> Counter[str]:
    counted = pc.value_counts(labels)
    return Counter(
        dict(zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True))
    )


def summary_of(
    counts: dict[str, int],
    unlabelled: int,
    ambiguous: int,
    duplicates: int,
    quality: LabelQuality,
) -> str:
    """Counts and label quality as two lines of text."""
    total = sum(counts.values()) + unlabelled + ambiguous
    classes = ", ".join(f"{count} {name}" for name, count in counts.items()) or "none labelled"
    first = f"{total} flows: {classes}; {unlabelled} unlabelled, {ambiguous} ambiguous" + (
        f" ({duplicates} seen on a second network, counted once)" if duplicates else ""
    )
    checked = quality.overall
    if not checked.checked:
        return f"{first}\nlabel accuracy: not measured, {quality.note}"
    low, high = checked.interval
    return (
        f"{first}\nlabel accuracy: {checked.agreed} of {checked.checked} labels as the kernel's "
        f"evidence says ({100 * checked.agreed / checked.checked:.2f} %, "
        f"95 % interval {100 * low:.2f}-{100 * high:.2f} %)" + _coverage_in_words(quality.coverage)
    )


def _coverage_in_words(coverage: Coverage | None) -> str:
    if coverage is None or coverage.share is None:
        return ""
    # Rounded down: what is not whole shall not look so.
    share = math.floor(1e4 * coverage.share) / 100
    windows = f", {coverage.by_window} by time alone" if coverage.by_window else ""
    unseen = "".join(f", {count} {name} unseen" for name, count in coverage.unseen.items())
    return (
        f"\nevidence: {coverage.known} of {coverage.flows} flows that programs made have an owner "
        f"({share:.2f} %{windows}{unseen}); {coverage.equal} of {coverage.compared} were captured "
        "with as many packets as the kernel counted"
    )


def label_flows(
    flows: FlowKeys, targets: Targets, book: Rulebook, allowed: Tolerances, claims: Claims
) -> pa.Table:
    """The labels of flows by journal and rules; the column ``oracle`` is left empty."""
    index, decider = TargetIndex(targets, allowed), Decider(book, targets)
    writer = _Writer(book, targets)
    parts = []
    for begin in range(0, len(flows), CHUNK):
        rows = np.arange(begin, min(begin + CHUNK, len(flows)), dtype=np.int64)
        chunk = flows.take(rows)
        candidates = claims.narrow(chunk, index.match(chunk), targets)
        near = np.zeros(len(chunk), dtype=np.bool_)
        near[candidates.flow] = True
        decisions = decider.decide(chunk, decider.matches(chunk, candidates))
        parts.append(writer.table(chunk, decisions, near))
    return pa.Table.from_batches(parts, schema=LABELS)


class _Writer:
    """Puts decisions into words and columns."""

    def __init__(self, book: Rulebook, targets: Targets) -> None:
        self._book, self._targets = book, targets
        self._names = pa.array([*book.labels, AMBIGUOUS, UNLABELLED], type=pa.string())
        labels = [book.labels[name] for name in book.labels]
        self._categories = pa.array([label.category for label in labels] + [None, None])
        self._malicious = pa.array([label.malicious for label in labels] + [None, None])
        self._rules = pa.array([rule.id for rule in book.rules], type=pa.string())
        self._ids = pa.array([a.id for a in targets.activities], type=pa.string())
        self._origins = pa.array([a.origin for a in targets.activities], type=pa.string())
        self._effects = pa.array([effect_of(a) for a in targets.activities], type=pa.string())
        self._reasons: dict[int, str] = {}

    def table(self, flows: FlowKeys, decisions: Decisions, near: Bools) -> pa.RecordBatch:
        """The labels of some flows; ``near`` says which ones fit any activity at all."""
        place = pa.array(
            np.where(decisions.label < 0, decisions.label + len(self._names), decisions.label)
        )
        nobody = decisions.target < 0
        owner = np.append(self._targets.activity, 0)[decisions.target]
        activity = pa.array(owner, mask=nobody)
        return pa.RecordBatch.from_arrays(
            [
                flows.flow_id,
                self._names.take(place),
                self._categories.take(place),
                self._malicious.take(place),
                self._effects.take(activity),
                self._ids.take(activity),
                self._origins.take(activity),
                self._rules.take(pa.array(decisions.rule, mask=nobody)),
                self._reason(decisions, near),
                pa.nulls(len(flows), pa.string()),
            ],
            schema=LABELS,
        )

    def _reason(self, decisions: Decisions, near: Bools) -> pa.Array:
        texts = np.full(len(near), "no activity had these endpoints at this time", dtype=object)
        texts[near] = "an activity fits, but no rule speaks of it"
        size = len(self._targets) + 1
        single = np.flatnonzero(decisions.label >= 0)
        codes, inverse = np.unique(
            decisions.rule[single] * size + decisions.target[single], return_inverse=True
        )
        phrases = np.array([self._phrase(*divmod(int(c), size)) for c in codes], dtype=object)
        texts[single] = phrases[inverse]
        for flow, rules in _rules_by_flow(decisions):
            names = ", ".join(self._book.rules[rule].id for rule in rules)
            texts[flow] = f"these rules fit equally well and disagree: {names}"
        return pa.array(texts, type=pa.string())

    def _phrase(self, rule: int, target: int) -> str:
        code = rule * len(self._targets) + target
        if code not in self._reasons:
            activity, peer = self._targets.owner(target), self._targets.peers[target]
            self._reasons[code] = self._book.rules[rule].reason.format(
                activity=activity.id,
                kind=activity.kind,
                variant=activity.variant,
                name=activity.name,
                user=activity.user,
                host=activity.host,
                service=peer.service,
            )
        return self._reasons[code]


def effect_of(activity: ActivityRecord) -> str | None:
    """`effective` if an attack says it had success, `attempted` if not, None for the rest."""
    if activity.effect is None:
        return None
    return "effective" if activity.effect.get("success") is True else "attempted"


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
