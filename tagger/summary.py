"""`dataset.json`: what a dataset is made of, and whether its files are still those."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from launcher.records import CaptureRecord
from tagger.agreement import LabelQuality
from tagger.facts import FACTS
from tagger.rulebook import Label
from topologies.errors import NotFoundError, Problem
from topologies.files import sha256_file
from topologies.records import damaged_record

SUMMARY: Final = "dataset.json"
FLOWS: Final = "flows"
LABELS_FILE: Final = "labels.parquet"
SPLITS_FILE: Final = "splits.parquet"

ACTIVITIES_FILE: Final = "activities.parquet"
TOPOLOGIES: Final = "topologies"

Split = Literal["train", "validation", "test", "unseen"]
Grouping = Literal["run", "host", "time", "topology"]
SPLIT_ORDER: Final[tuple[Split, ...]] = ("train", "validation", "test", "unseen")
"""``unseen`` is judged beside ``test``: runs of topologies that training has nothing of."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RunLineage(_Frozen):
    """A run in a dataset: where it is from and what became of its flows."""

    run_id: str
    split: Split | None = Field(description="null: its flows are in several, or in none")
    topology: str
    topology_sha256: str
    seed: int
    backend: str
    evidence: str
    manifest_sha256: str
    flow_table_sha256: str
    captures: tuple[CaptureRecord, ...]
    flows: int
    unlabelled: int
    ambiguous: int
    duplicate_observations: int


class RulesLineage(_Frozen):
    """The rules that labelled a dataset."""

    name: str
    sha256: str = Field(description="of the rule file")


class SplitGroup(_Frozen):
    """What went to one split as a whole."""

    name: str = Field(description="a run, topology or host (with its topology), or a run's window")
    split: Split
    flows: int


class Splitting(_Frozen):
    """How the flows were parted: by groups that belong together, never row by row."""

    by: Grouping = "run"
    shares: dict[Split, float] = Field({}, description="that were asked for; empty: groups named")
    seed: int | None = Field(None, description="of the draw; null: nothing was drawn")
    groups: tuple[SplitGroup, ...] = ()
    left_out: int = Field(
        0,
        description="flows in no split: they nearly repeat a training flow, or their activity is "
        "on both sides",
    )


class DatasetSummary(_Frozen):
    """The contents of `dataset.json`."""

    format: Literal["gsta-dataset"] = "gsta-dataset"
    format_version: Literal[1] = 1
    name: str
    versions: dict[str, str]
    rules: RulesLineage
    vocabulary: dict[str, Label] = Field(description="the closed set of labels")
    flows: int
    splitting: Splitting = Splitting()
    classes: dict[Split, dict[str, int]] = Field(description="labelled flows by split and label")
    left_out: dict[str, int] = Field({}, description="labelled flows that are in no split")
    unlabelled: int
    ambiguous: int
    duplicate_observations: int
    quality: LabelQuality
    runs: tuple[RunLineage, ...]
    files: dict[str, str] = Field(description="SHA-256 by path in the dataset")

    @property
    def label_counts(self) -> dict[str, int]:
        """Labelled flows by label, in and out of splits, in the order of the vocabulary."""
        everything = [*self.classes.values(), self.left_out]
        totals = {
            label: sum(counts.get(label, 0) for counts in everything) for label in self.vocabulary
        }
        return {label: total for label, total in totals.items() if total}


def flows_file(dataset_dir: Path, run_id: str) -> Path:
    """The flow table of one run of a dataset."""
    return dataset_dir / FLOWS / f"run_id={quote(run_id, safe='')}" / "part-0.parquet"


def topology_file(dataset_dir: Path, run: RunLineage) -> Path:
    """The resolved topology of a run; datasets that were not made from runs may lack it."""
    return dataset_dir / TOPOLOGIES / f"{run.topology}-{run.topology_sha256[:12]}.yaml"


def load_summary(dataset_dir: Path) -> DatasetSummary:
    """Read a dataset's summary.

    Raises
    ------
    NotFoundError
        The folder is no dataset.
    InputError
        Its summary is damaged or of another format.
    """
    path = dataset_dir / SUMMARY
    try:
        return DatasetSummary.model_validate_json(path.read_bytes())
    except OSError as error:
        raise NotFoundError(
            Problem(str(dataset_dir), "", "a dataset", f"no {SUMMARY} in it", "check the path")
        ) from error
    except ValidationError as error:
        raise damaged_record(
            path,
            error,
            expected="a dataset summary of this format",
            remedy="write the dataset again",
        ) from error


def labelled_flow(dataset_dir: Path, flow_id: str) -> dict[str, object]:
    """One flow of a dataset with everything that is known of it; raises `NotFoundError`."""
    chosen = [("flow_id", "=", flow_id)]
    flows = pq.read_table(dataset_dir / FLOWS, filters=chosen).to_pylist()
    labels = pq.read_table(dataset_dir / LABELS_FILE, filters=chosen).to_pylist()
    if not flows or not labels:
        raise NotFoundError(
            Problem(
                str(dataset_dir), "flow_id", "a flow of it", f"'{flow_id}'", "see labels.parquet"
            )
        )
    return {**flows[0], **labels[0]}


def verify(dataset_dir: Path) -> tuple[Problem, ...]:
    """Every file of a dataset that is missing, changed or not its own; empty when it is whole."""
    files = load_summary(dataset_dir).files
    problems = []
    for name, digest in files.items():
        path = dataset_dir / name
        if not path.is_file():
            problems.append(_fault(path, "a file of the dataset", "none"))
        elif sha256_file(path) != digest:
            problems.append(_fault(path, f"SHA-256 {digest[:12]}…", "another one"))
    strangers = (
        _fault(path, "files of the dataset only", "one it does not list")
        for folder in (FLOWS, TOPOLOGIES, FACTS)
        for path in sorted((dataset_dir / folder).rglob("*"))
        if path.is_file() and path.relative_to(dataset_dir).as_posix() not in files
    )
    return (*problems, *strangers)


def _fault(path: Path, expected: str, got: str) -> Problem:
    return Problem(str(path), "", expected, got, "write the dataset again from its runs")
