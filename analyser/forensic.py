"""Looking back: captures in, one verdict per flow out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from builder.novelty import UNKNOWN
from flowmeter import MeterConfig, meter
from sta_registry.manifest import StaManifest
from sta_registry.sta import Prediction, Sta
from topologies.errors import InputError, Problem

Floats = npt.NDArray[np.float64]

UNCERTAIN: Final = "uncertain"
DECIMALS: Final = 6  # of a probability

_KEPT: Final = (
    ("flow_id", pa.string()),
    ("first_ns", pa.int64()),
    ("last_ns", pa.int64()),
    ("src_ip", pa.string()),
    ("src_port", pa.uint16()),
    ("dst_ip", pa.string()),
    ("dst_port", pa.uint16()),
    ("protocol", pa.uint8()),
)
_VERDICT: Final = (
    ("packets", pa.int64()),
    ("ip_bytes", pa.int64()),
    ("class", pa.string()),
    ("probability", pa.float64()),
)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What an STA said about captures.

    Attributes
    ----------
    table
        One row per flow, by time; columns as `verdict_schema` says.
    packets
        Packets in the captures.
    rejects
        Packets that are in no flow, by reason.
    alerts
        Flows of a binary STA's positive class; 0 for a multi-class STA.
    """

    table: pa.Table
    packets: int
    rejects: dict[str, int]
    alerts: int

    @property
    def flows(self) -> int:
        """Number of flows."""
        return int(self.table.num_rows)


def verdict_schema(manifest: StaManifest, *, all_probabilities: bool = False) -> pa.Schema:
    """Columns of a table of verdicts.

    A flow's identity, end points (``src`` is the initiator), times (ns since 1970), packets and IP
    bytes of both directions; then the ``class`` and its ``probability`` in [0, 1], and on request
    a column ``probability_CLASS`` for each class.
    """
    columns = [*_KEPT, *_VERDICT]
    if all_probabilities:
        columns += [(f"probability_{label}", pa.float64()) for label in manifest.classes]
    return pa.schema(
        [pa.field(name, kind, nullable=False) for name, kind in columns],
        metadata={"sta": manifest.name, "model_sha256": manifest.model.sha256},
    )


def analyse(
    captures: Sequence[Path] | Path,
    sta: Sta,
    *,
    threshold: float = 0.0,
    all_probabilities: bool = False,
    config: MeterConfig | None = None,
) -> Verdicts:
    """Meter captures that belong together and classify their flows.

    Parameters
    ----------
    captures
        Files of one point in the network; their packets are merged by time.
    sta
        The analyser.
    threshold
        Flows whose most likely class is less likely than this are called ``uncertain``.
    all_probabilities
        Add the probability of every class.
    config
        When flows end; the default is that of training.

    Raises
    ------
    CaptureError, NotFoundError
        A file is missing or is no capture.
    InputError
        ``threshold`` is no probability, or the STA was built with another flow meter.
    """
    _check_threshold(threshold)
    metered = meter(captures, config=config)
    table = classify(metered.table, sta, threshold=threshold, all_probabilities=all_probabilities)
    return Verdicts(table, metered.packets, metered.rejects, count_alerts(table, sta))


def count_alerts(verdicts: pa.Table, sta: Sta) -> int:
    """Verdicts of a binary STA's positive class; 0 for a multi-class STA."""
    if sta.manifest.task != "binary":
        return 0
    positive = pa.scalar(sta.manifest.classes[1])
    return int(pc.sum(pc.equal(verdicts["class"], positive)).as_py() or 0)


def answers(
    prediction: Prediction, sta: Sta, *, threshold: float
) -> tuple[npt.NDArray[np.object_], Floats, Floats]:
    """Class of each row, its probability, and those of all classes, rounded.

    A flow that the STA finds unlike anything it was trained on is ``unknown``, one whose class is
    less likely than ``threshold`` is ``uncertain``; the probability stays that of the class.
    """
    _check_threshold(threshold)
    probabilities = prediction.probabilities.astype(np.float64).round(DECIMALS)
    best: Floats = prediction.confidence.astype(np.float64).round(DECIMALS)
    chosen = np.array(sta.manifest.classes, dtype=object)[prediction.indices]
    chosen[best < threshold] = UNCERTAIN
    chosen[prediction.unknown] = UNKNOWN
    return chosen, best, probabilities


def classify(
    flows: pa.Table, sta: Sta, *, threshold: float = 0.0, all_probabilities: bool = False
) -> pa.Table:
    """Verdicts on a flow table, one row per flow, by time; no flows give no rows."""
    labels, best, probabilities = answers(sta.predict(flows), sta, threshold=threshold)
    columns = {
        **{name: flows[name] for name, _ in _KEPT},
        "packets": _both_ways(flows, "packets"),
        "ip_bytes": _both_ways(flows, "ip_bytes"),
        "class": pa.array(labels, pa.string()),
        "probability": pa.array(best),
    }
    if all_probabilities:
        for index, label in enumerate(sta.manifest.classes):
            columns[f"probability_{label}"] = pa.array(probabilities[:, index])
    schema = verdict_schema(sta.manifest, all_probabilities=all_probabilities)
    table = pa.table([columns[name] for name in schema.names], schema=schema)
    return table.sort_by([("first_ns", "ascending"), ("flow_id", "ascending")])


def summarise(verdicts: pa.Table) -> pa.Table:
    """Flows, packets and IP bytes where known, and mean probability of each class; most first."""
    sizes = [name for name in ("packets", "ip_bytes") if name in verdicts.column_names]
    grouped = verdicts.group_by("class").aggregate(
        [("class", "count"), *((name, "sum") for name in sizes), ("probability", "mean")]
    )
    names = {
        "class": "class",
        "class_count": "flows",
        **{f"{name}_sum": name for name in sizes},
        "probability_mean": "mean_probability",
    }
    summary = grouped.select(list(names)).rename_columns(list(names.values()))
    return summary.sort_by([("flows", "descending"), ("class", "ascending")])


def _both_ways(flows: pa.Table, what: str) -> pa.ChunkedArray:
    return pc.add(flows[f"c2s_{what}"], flows[f"s2c_{what}"])


def _check_threshold(threshold: float) -> None:
    if not 0 <= threshold <= 1:
        raise InputError(
            Problem(
                "analyse",
                "threshold",
                "a probability from 0 to 1",
                f"{threshold:g}",
                "correct it or leave it out",
            )
        )
