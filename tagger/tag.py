"""Labels for the flows of one run: journal and rules first, the oracle's measurement after."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tagger.agreement import Coverage, LabelQuality
from tagger.effects import PAYLOAD
from tagger.flows import Bools, FlowKeys, Int64s, read_flow_keys, read_packets
from tagger.labeller import Labeller
from tagger.observations import counted_once
from tagger.oracle import Oracle, judge
from tagger.rulebook import AMBIGUOUS, UNLABELLED, Rulebook, load_rules
from tagger.run import read_run
from tagger.targets import Tolerances
from tagger.writing import LABELS, NETWORK, SPANS


@dataclass(frozen=True, slots=True)
class TagReport:
    """The labels of one run and what there is to say about them.

    ``kept`` marks the rows of the flow table that were kept, in order; ``labels`` has one row for
    each of those. The others are further observations of the same flows on other networks, and
    the network's own.
    ``torn`` names labelled flows that the evidence gives to activities of different labels.
    ``spanning`` counts unlabelled flows that begin in one activity and end in another,
    ``by_features`` labels that some rule gave for what the flow is like, and ``network`` what was
    left out: flows of the network itself (neighbour discovery, errors of no one activity).
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
    spanning: int = 0
    by_features: int = 0
    network: int = 0
    torn: tuple[str, ...] = ()

    @property
    def flows(self) -> int:
        """Flows that were labelled, unlabelled or ambiguous: all that count."""
        return int(self.kept.sum())

    def summary(self) -> str:
        """The counts in one line, the label quality in another, and what was left out."""
        said = summary_of(
            self.counts, self.unlabelled, self.ambiguous, self.duplicate_observations, self.quality
        )
        return f"run {self.run_id}: {said}" + remarks_of([self])


def remarks_of(reports: Sequence[TagReport]) -> str:
    """What was dropped, left out or labelled by features in some runs, a line for each."""
    spanning, network, by_features = (
        sum(getattr(report, name) for report in reports)
        for name in ("spanning", "network", "by_features")
    )
    remarks = ""
    if spanning:
        remarks += f"\ndropped: {spanning} flows span two activities"
    if network:
        remarks += f"\nleft out: {network} flows of the network itself (neighbours, errors)"
    if by_features:
        remarks += f"\nby flow features: {by_features} labels"
    return remarks


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
    observed = read_flow_keys(
        flows, run_id=run.manifest.run_id, features=book.features, if_there=PAYLOAD
    )
    kept = counted_once(observed, run.subnets)
    counted = observed.take(np.flatnonzero(kept).astype(np.int64))
    labeller = Labeller(run.journal, book, allowed)
    labels = labeller.label(counted)

    # Every label stands. From here on the evidence is read, to measure them.
    oracle = Oracle(run, labeller)
    owners = oracle.owners(counted)
    column = LABELS.get_field_index("oracle")
    labels = labels.set_column(column, LABELS.field(column), oracle.labels(counted, owners))
    quality = judge(labels, owners, oracle, _coverage(oracle, flows, counted, kept, owners))
    # What no activity did is no traffic of the experiment; a rulebook may name it, and keep it.
    whole = np.flatnonzero(kept)
    network = _is_network(labels)
    kept[whole[network]] = False
    return replace(
        report_of(run.manifest.run_id, book, labels.filter(pa.array(~network)), kept, quality),
        duplicate_observations=len(kept) - len(whole),
        network=int(network.sum()),
        torn=_torn(oracle, counted, labels),
    )


def _torn(oracle: Oracle, flows: FlowKeys, labels: pa.Table) -> tuple[str, ...]:
    """Labelled flows whose last packet the kernel gives to another label than their first."""
    begin, end = (
        oracle.labels(flows, oracle.seen(flows.at(time_ns)))
        for time_ns in (flows.first_ns, flows.last_ns)
    )
    decided = pc.invert(pc.is_in(labels["label"], value_set=pa.array([AMBIGUOUS, UNLABELLED])))
    torn = pc.and_(decided, pc.fill_null(pc.not_equal(begin, end), False))
    return tuple(labels["flow_id"].filter(torn).to_pylist())


def _is_network(labels: pa.Table) -> Bools:
    """Flows of the network itself that have no label."""
    label = labels["label"].to_numpy(zero_copy_only=False)
    reason = labels["reason"].to_numpy(zero_copy_only=False)
    return np.asarray((reason == NETWORK) & np.isin(label, (UNLABELLED, AMBIGUOUS)), dtype=np.bool_)


def report_of(
    run_id: str, book: Rulebook, labels: pa.Table, kept: Bools, quality: LabelQuality
) -> TagReport:
    """What there is to say about some labels."""
    counts = _counts(labels["label"])
    return TagReport(
        run_id=run_id,
        rules=book.name,
        labels=labels,
        kept=kept,
        counts={name: counts[name] for name in book.labels if counts[name]},
        unlabelled=counts[UNLABELLED],
        ambiguous=counts[AMBIGUOUS],
        duplicate_observations=0,
        quality=quality,
        spanning=pc.sum(pc.equal(labels["reason"], SPANS)).as_py() or 0,
        by_features=pc.sum(labels["by_features"]).as_py() or 0,
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
