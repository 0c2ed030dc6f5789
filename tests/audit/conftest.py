"""Small datasets written by hand, so that each test can plant exactly one defect."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from tagger import LABELS, Agreement, DatasetSummary, Label, LabelQuality, RunLineage
from tagger.activities import ACTIVITIES
from tagger.dataset import SPLITS
from tagger.summary import RulesLineage
from topologies import Topology
from topologies.files import sha256_file, write_json

IDENTITY = {name: (pa.string(), "identity", "identity") for name in ("flow_id", "network")}
KEY = {
    "src_ip": (pa.string(), "key", "addresses"),
    "dst_ip": (pa.string(), "key", "addresses"),
    "src_port": (pa.uint16(), "key", "ports"),
    "dst_port": (pa.uint16(), "key", "ports"),
    "protocol": (pa.uint8(), "key", "protocol"),
    "first_ns": (pa.int64(), "time", "time"),
    "last_ns": (pa.int64(), "time", "time"),
}
SHAPES = tuple(f"shape_{number}" for number in range(8))
FEATURES = {
    **{
        name: (pa.float32(), "feature", group)
        for name, group in zip(SHAPES, ("sizes", "first", "flags", "counts") * 2, strict=True)
    },
    "c2s_packets": (pa.int64(), "feature", "counts"),
    "s2c_packets": (pa.int64(), "feature", "counts"),
    "c2s_ip_bytes": (pa.int64(), "feature", "sizes"),
    "s2c_ip_bytes": (pa.int64(), "feature", "sizes"),
    "handshake_rtt_ms": (pa.float32(), "feature", "rtt"),
    "seq_iat_us": (pa.list_(pa.float32(), 4), "sequence", "sequence"),
}
PORTS = {"web": 443, "ssh": 22, "scan": 8080}
NAMES = {"web": "browsing", "ssh": "typing", "scan": "scanning"}
PER_CLASS = 400
VARIANTS = 6
"""Of each class; a variant is a pattern of small and large shapes, so that no single one tells."""
PATTERNS = np.random.default_rng(3).choice([-1.0, 1.0], (len(PORTS), VARIANTS, len(SHAPES)))


@dataclass
class HandmadeDataset:
    """A clean dataset of two runs and three classes, to be spoilt before `write`."""

    folder: Path
    columns: dict[str, tuple[pa.DataType, str, str]] = field(
        default_factory=lambda: {**IDENTITY, **KEY, **FEATURES}
    )
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    vocabulary: list[str] = field(default_factory=lambda: list(PORTS))
    quality: LabelQuality | None = None
    drops: int = 0
    captures: bool = True
    topology: dict[str, Any] | None = None
    """With it the dataset has the sessions that its flows name, too."""
    outcome: str = "ok"
    """Of all sessions."""
    size_of: dict[str, int] = field(default_factory=dict)
    """Of sessions the parameter they have instead of the number in their id."""

    def __post_init__(self) -> None:
        rng = np.random.default_rng(7)
        for split in ("train", "test"):
            self.rows[split] = [
                self._row(rng, split, number, label)
                for number, label in enumerate(sorted(PORTS) * PER_CLASS)
            ]

    def _row(self, rng: np.random.Generator, split: str, number: int, label: str) -> dict[str, Any]:
        variant = int(rng.integers(VARIANTS))
        shape = PATTERNS[sorted(PORTS).index(label), variant] + rng.normal(0, 0.2, len(SHAPES))
        first_ns = 1_700_000_000_000_000_000 + int(rng.integers(0, 10**12))
        return {
            "flow_id": f"{split}-{number}",
            "network": "servers",
            "src_ip": f"198.18.1.{rng.integers(1, 9)}",
            "dst_ip": "198.18.10.1",
            "src_port": int(rng.integers(30_000, 60_000)),
            "dst_port": PORTS[label],
            "protocol": 6,
            "first_ns": first_ns,
            "last_ns": first_ns + int(rng.integers(1, 10**9)),
            "c2s_packets": int(rng.integers(3, 50)),
            "s2c_packets": int(rng.integers(3, 50)),
            "c2s_ip_bytes": int(rng.integers(200, 10**5)),
            "s2c_ip_bytes": int(rng.integers(200, 10**5)),
            "handshake_rtt_ms": float("nan") if rng.random() < 0.6 else float(rng.random()),
            "seq_iat_us": rng.random(4).astype(np.float32).tolist(),
            "label": label,
            "activity_id": f"{label}-{variant}-{number % 2}",
            "reason": "because",
            **dict(zip(SHAPES, np.exp(3 + shape).tolist(), strict=True)),
        }

    @property
    def all_rows(self) -> list[dict[str, Any]]:
        return [row for rows in self.rows.values() for row in rows]

    def write(self) -> Path:
        """Write the dataset directory; its path."""
        schema = pa.schema(
            [
                pa.field(name, kind, metadata={"role": role, "group": group})
                for name, (kind, role, group) in self.columns.items()
            ]
        )
        for split, rows in self.rows.items():
            part = self.folder / "flows" / f"run_id=run-{split}" / "part-0.parquet"
            part.parent.mkdir(parents=True, exist_ok=True)
            picked = [{name: row[name] for name in schema.names} for row in rows]
            pq.write_table(pa.Table.from_pylist(picked, schema=schema), part)
        labels = [{name: row.get(name) for name in LABELS.names} for row in self.all_rows]
        pq.write_table(pa.Table.from_pylist(labels, schema=LABELS), self.folder / "labels.parquet")
        splits = [
            {"flow_id": r["flow_id"], "run_id": f"run-{s}", "split": r.get("split", s)}
            for s, rows in self.rows.items()
            for r in rows
        ]
        pq.write_table(pa.Table.from_pylist(splits, schema=SPLITS), self.folder / "splits.parquet")
        if self.topology is not None:
            self._write_origins(Topology.model_validate(self.topology))
        summary = self._summary()
        write_json(self.folder / "dataset.json", summary.model_dump(mode="json"))
        return self.folder

    def _write_origins(self, topology: Topology) -> None:
        path = self.folder / "topologies" / f"small-{'0' * 12}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(topology.model_dump(mode="json"), sort_keys=False))
        sessions = [
            {
                "run_id": f"run-{split}",
                "activity_id": activity_id,
                "name": NAMES[kind],
                "kind": kind,
                "variant": variant,
                "params": json.dumps({"size": self.size_of.get(activity_id, int(number))}),
                "user": "somebody",
                "host": "desk-1",
                "addresses": sorted({row["src_ip"] for row in rows}),
                "start_ns": min(row["first_ns"] for row in rows),
                "stop_ns": max(row["last_ns"] for row in rows),
                "outcome": self.outcome,
                "success": None,
            }
            for split, rows in self.rows.items()
            for activity_id in sorted({row["activity_id"] for row in rows})
            for kind, variant, number in (activity_id.split("-"),)
        ]
        table = pa.Table.from_pylist(sessions, schema=ACTIVITIES)
        pq.write_table(table, self.folder / "activities.parquet")

    def _summary(self) -> DatasetSummary:
        counts = {s: Counter(row["label"] for row in rows) for s, rows in self.rows.items()}
        total = Counter(row["label"] for row in self.all_rows)
        decided = sum(n for name, n in total.items() if name not in ("unlabelled", "ambiguous"))
        right = Agreement(checked=decided, agreed=decided)
        return DatasetSummary(
            name="handmade",
            versions={},
            rules=RulesLineage(name="traffic", sha256="0" * 64),
            vocabulary={
                name: Label(category=name, malicious=name == "scan") for name in self.vocabulary
            },
            flows=total.total(),
            classes={
                split: {name: one[name] for name in self.vocabulary if one[name]}
                for split, one in counts.items()
            },
            unlabelled=total["unlabelled"],
            ambiguous=total["ambiguous"],
            duplicate_observations=0,
            quality=self.quality or LabelQuality(note="conntrack", overall=right),
            runs=tuple(self._lineage(split) for split in self.rows),
            files={
                path.relative_to(self.folder).as_posix(): sha256_file(path)
                for path in sorted(self.folder.rglob("*"))
                if path.suffix in (".parquet", ".yaml")
            },
        )

    def _lineage(self, split: str) -> RunLineage:
        capture = {
            "network": "servers",
            "file": "captures/servers.pcap",
            "packets": 1000,
            "received": 1000,
            "dropped_by_kernel": self.drops,
            "dropped_by_interface": 0,
        }
        return RunLineage.model_validate(
            {
                "run_id": f"run-{split}",
                "split": split,
                "topology": "small",
                "topology_sha256": "0" * 64,
                "seed": 1,
                "backend": "netns",
                "evidence": "conntrack",
                "manifest_sha256": "0" * 64,
                "flow_table_sha256": "0" * 64,
                "captures": [capture] if self.captures else [],
                "flows": len(self.rows[split]),
                "unlabelled": 0,
                "ambiguous": 0,
                "duplicate_observations": 0,
            }
        )


@pytest.fixture
def new_dataset(tmp_path: Path) -> Callable[..., HandmadeDataset]:
    """Start a clean dataset."""

    def make(name: str = "dataset") -> HandmadeDataset:
        return HandmadeDataset(tmp_path / name)

    return make
