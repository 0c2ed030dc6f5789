"""Writes dataset directories: flows by run, labels, splits, and where all of it is from."""

from __future__ import annotations

import platform
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from launcher.rundir import MANIFEST, TOPOLOGY, read_manifest
from tagger.activities import activities_table
from tagger.agreement import combined
from tagger.facts import facts_file
from tagger.flows import Bools
from tagger.folders import digests, replacing_folder
from tagger.gather import gather_facts
from tagger.oracle import LISTED
from tagger.rulebook import Rulebook, load_rules
from tagger.run import read_run
from tagger.sources import TaggedRun, check_out, check_sources
from tagger.summary import (
    ACTIVITIES_FILE,
    LABELS_FILE,
    SPLITS_FILE,
    SUMMARY,
    DatasetSummary,
    RulesLineage,
    RunLineage,
    Split,
    SplitGroup,
    Splitting,
    flows_file,
    topology_file,
)
from tagger.tag import TagReport, remarks_of, summary_of, tag_run
from tagger.targets import Tolerances
from tagger.twins import repeats_training
from tagger.writing import LABELS
from topologies.code import code_digest
from topologies.document import Document
from topologies.errors import InputError, Problem
from topologies.files import sha256_file, write_json

BATCH_ROWS: Final = 1 << 16

SPLITS: Final = pa.schema(
    [
        pa.field("flow_id", pa.string(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
    ]
)
"""``split`` is empty where a flow is in none: it, or its activity, is on both sides."""

Progress = Callable[[str, float, float], None]


@dataclass(frozen=True, slots=True)
class DatasetReport:
    """A dataset that was written."""

    folder: Path
    contents: DatasetSummary
    runs: tuple[TagReport, ...]

    def summary(self) -> str:
        """Counts and label quality in words."""
        made = self.contents
        return (
            f"dataset {made.name}: "
            + summary_of(
                made.label_counts,
                made.unlabelled,
                made.ambiguous,
                made.duplicate_observations,
                made.quality,
            )
            + remarks_of(self.runs)
            + _repeated(made.splitting.left_out)
        )


def write_dataset(
    out: Path,
    name: str,
    runs: Sequence[TaggedRun],
    rules: str | Path | None = None,
    *,
    progress: Progress | None = None,
    tolerances: Tolerances | None = None,
) -> DatasetReport:
    """Label runs and write them as one dataset directory, whole or not at all.

    Every flow of a run goes to the run's split: a split by row would put halves of one session
    on both sides. But flows to judge on that nearly repeat a training flow go to none, and are
    counted. A dataset that stands at ``out`` is replaced.

    Raises
    ------
    InputError
        A run is incomplete, damaged or given twice; the feature schemas differ; ``out`` holds
        something that is no dataset; the rules have faults.
    """
    document = load_rules(rules)
    check_out(out)
    check_sources(runs)
    tell = progress or _silent
    with replacing_folder(out) as folder:
        reports = []
        for done, run in enumerate(runs):
            tell(f"labelling {run.run_dir.name}", done, len(runs))
            reports.append(tag_run(run.run_dir, run.flows, rules=rules, tolerances=tolerances))
            tell(f"writing {run.run_dir.name}", done + 0.5, len(runs))
            _write_flows(run.flows, reports[-1].kept, flows_file(folder, reports[-1].run_id))
            tell(f"looking at the packets of {run.run_dir.name}", done + 0.7, len(runs))
            facts = gather_facts(run.run_dir, run.flows, torn=reports[-1].torn)
            write_json(facts_file(folder, facts.run_id), facts.model_dump(mode="json"))
        repeated = repeats_training(
            [flows_file(folder, report.run_id) for report in reports],
            [report.labels["label"].to_numpy() for report in reports],
            [run.split for run in runs],
        )
        _write_labels(folder, runs, reports, repeated)
        lineage = tuple(_lineage(run, report) for run, report in zip(runs, reports, strict=True))
        _write_origins(folder, runs, lineage)
        summary = _summary(folder, name, document, lineage, reports, repeated=repeated)
        write_json(folder / SUMMARY, summary.model_dump(mode="json"))
    tell("dataset written", len(runs), len(runs))
    return DatasetReport(out, summary, tuple(reports))


def _repeated(count: int) -> str:
    return f"\nin no split: {count} flows nearly repeat a training flow" if count else ""


def _silent(what: str, done: float, total: float) -> None:
    """Progress for those who do not ask."""


# -- files -------------------------------------------------------------------------------------


def _write_flows(source: Path, kept: Bools, target: Path) -> None:
    """Copy the kept rows of a flow table, without the run's id, which the folder's name says."""
    target.parent.mkdir(parents=True)
    with pq.ParquetFile(source) as file:
        schema = file.schema_arrow
        schema = schema.remove(schema.get_field_index("run_id"))
        with pq.ParquetWriter(target, schema, compression="zstd") as writer:
            begin = 0
            for batch in file.iter_batches(BATCH_ROWS, columns=schema.names):
                mask = pa.array(kept[begin : begin + batch.num_rows])
                begin += batch.num_rows
                writer.write_table(pa.Table.from_batches([batch.filter(mask)], schema=schema))


def _write_labels(
    folder: Path,
    runs: Sequence[TaggedRun],
    reports: Sequence[TagReport],
    repeated: Sequence[Bools],
) -> None:
    labels = pa.concat_tables([report.labels for report in reports])
    if len(labels["flow_id"].unique()) != len(labels):
        raise InputError(
            Problem(
                ", ".join(str(run.flows) for run in runs),
                "flow_id",
                "each flow id once",
                "some more often",
                "meter the runs again, each into its own table",
            )
        )
    pq.write_table(labels.cast(LABELS), folder / LABELS_FILE, compression="zstd")
    splits = pa.concat_tables(
        pa.table(
            [
                report.labels["flow_id"],
                pa.repeat(report.run_id, report.flows),
                pa.array(np.where(twin, "", run.split)),
            ],
            schema=SPLITS,
        )
        for run, report, twin in zip(runs, reports, repeated, strict=True)
    )
    pq.write_table(splits, folder / SPLITS_FILE, compression="zstd")


def _write_origins(folder: Path, runs: Sequence[TaggedRun], lineage: Sequence[RunLineage]) -> None:
    """The sessions of the journals, and the topologies."""
    tables = []
    for run, line in zip(runs, lineage, strict=True):
        tables.append(activities_table(line.run_id, read_run(run.run_dir).activities))
        topology = topology_file(folder, line)
        topology.parent.mkdir(exist_ok=True)
        shutil.copyfile(run.run_dir / TOPOLOGY, topology)
    pq.write_table(pa.concat_tables(tables), folder / ACTIVITIES_FILE, compression="zstd")


# -- summary -----------------------------------------------------------------------------------


def _summary(
    folder: Path,
    name: str,
    rules: Document[Rulebook],
    runs: Sequence[RunLineage],
    reports: Sequence[TagReport],
    *,
    repeated: Sequence[Bools],
) -> DatasetSummary:
    splits: dict[Split, Counter[str]] = {}
    away: Counter[str] = Counter()
    for run, report, twin in zip(runs, reports, repeated, strict=True):
        label = report.labels["label"].to_numpy()
        away.update(label[twin].tolist())
        if run.split is not None:
            splits.setdefault(run.split, Counter()).update(label[~twin].tolist())
    book = rules.model
    return DatasetSummary(
        name=name,
        versions={
            "python": platform.python_version(),
            "numpy": np.__version__,
            "pyarrow": cast("str", pa.__version__),
            "source": code_digest("topologies", "launcher", "flowmeter", "tagger"),
        },
        rules=RulesLineage(name=book.name, sha256=sha256_file(Path(rules.source.file))),
        vocabulary=book.labels,
        flows=sum(report.flows for report in reports),
        splitting=Splitting(
            groups=tuple(
                SplitGroup(name=run.run_id, split=run.split, flows=run.flows)
                for run in runs
                if run.split is not None
            ),
            left_out=sum(int(twin.sum()) for twin in repeated),
        ),
        left_out={label: away[label] for label in book.labels if away[label]},
        classes={
            split: {label: counts[label] for label in book.labels if counts[label]}
            for split, counts in splits.items()
        },
        unlabelled=sum(report.unlabelled for report in reports),
        ambiguous=sum(report.ambiguous for report in reports),
        duplicate_observations=sum(report.duplicate_observations for report in reports),
        quality=combined((report.quality for report in reports), listed=LISTED),
        runs=tuple(runs),
        files=digests(folder),
    )


def _lineage(run: TaggedRun, report: TagReport) -> RunLineage:
    manifest = read_manifest(run.run_dir)
    return RunLineage(
        run_id=report.run_id,
        split=run.split,
        topology=manifest.name,
        topology_sha256=manifest.topology_sha256,
        seed=manifest.seed,
        backend=manifest.backend,
        evidence=manifest.evidence,
        manifest_sha256=sha256_file(run.run_dir / MANIFEST),
        flow_table_sha256=sha256_file(run.flows),
        captures=manifest.captures,
        flows=report.flows,
        unlabelled=report.unlabelled,
        ambiguous=report.ambiguous,
        duplicate_observations=report.duplicate_observations,
    )
