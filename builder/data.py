"""A dataset directory as arrays: features, packet sequences, classes and activities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from builder.columns import Columns, choose_columns, refuse_dates
from builder.config import BuildConfig
from builder.families.base import Inputs, Ints, Use
from builder.preprocess import Floats
from builder.release import require_release
from builder.result import FeatureField, TableFormat
from builder.units import Strings, coarser_units, named_groups
from topologies.errors import InputError, NotFoundError, Problem
from topologies.files import sha256_file

MIN_TRAIN_ROWS: Final = 5  # of each class
NEVER_TRAINED_ON: Final = ("unlabelled", "ambiguous")
NEGATIVE: Final = "other"
SOURCE: Final = "src_ip"
BENIGN: Final = "benign"
MALICIOUS: Final = "malicious"
UNSEEN: Final = "unseen"
NEW_CLASS: Final = "a class that only an unseen topology has"


@dataclass(frozen=True, slots=True)
class Part:
    """The usable flows of one split; every array has one entry per flow."""

    inputs: Inputs  # features are raw: missing values are NaN
    classes: Ints
    groups: Ints  # one number per activity; a flow of no activity is a group of its own
    flow_ids: Strings
    runs: tuple[str, ...]
    # What activities belong to: numbers of the run and of the host that started it.
    units: dict[str, Ints] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.classes)


@dataclass(frozen=True, slots=True)
class Data:
    """A dataset, ready to learn from."""

    train: Part
    test: Part
    unseen: Part | None  # flows of topologies that training has nothing of
    labels: tuple[str, ...]
    features: tuple[FeatureField, ...]
    channels: tuple[str, ...]
    skipped: dict[str, int]
    path: str
    sha256: str
    notes: tuple[str, ...] = ()  # what a reader of the scores has to know
    activities: tuple[str, ...] = ()  # names of the groups; empty for a flow of no activity
    table: TableFormat | None = None  # how a foreign table is written; None: our own flow table

    @property
    def categorical(self) -> tuple[int, ...]:
        """Positions of the features that are category numbers."""
        return tuple(place for place, field in enumerate(self.features) if field.categories)

    @property
    def offers(self) -> frozenset[Use]:
        """The kinds of input that are there."""
        table: set[Use] = {"features"} if self.features else set()
        return frozenset(table | ({"sequences"} if self.channels else set()))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Flows of all runs, before the splits are told apart."""

    features: Floats
    sequences: Floats | None
    flow_ids: Strings
    sources: Strings  # address of who began the flow; never seen by a model


def read_dataset(path: Path, config: BuildConfig, *, accept_unreleased: bool = False) -> Data:
    """Read the flows that can be learnt from.

    Raises
    ------
    NotFoundError
        A file of the dataset is not there.
    GateError
        The audit did not release the dataset and ``accept_unreleased`` is false.
    InputError
        A feature cannot be used, or the classes are not there to learn from.
    """
    parts = _tables(path)
    require_release(path, accept=accept_unreleased)
    columns = choose_columns(pq.read_schema(parts[0]), config.features, file=str(parts[0]))
    rows = _concatenate(_read_part(part, columns) for part in parts)
    refuse_dates(columns, rows.features, file=str(path / "flows"))
    labels = _labels(path, rows.flow_ids, config.target)
    splits = _lookup(path / "splits.parquet", rows.flow_ids, ("split", "run_id"))
    reason = _reasons(labels["label"], splits["split"])
    away = splits["split"] == UNSEEN
    values, known = labels[config.target], (reason == "") & ~away
    names, classes = class_numbers(values, known, config, file=str(path))
    reason[(reason == "") & (classes < 0)] = NEW_CLASS
    usable, skipped = reason == "", _counts(reason)
    groups, activities = named_groups(
        f"{run}/{activity}" if activity is not None else None
        for run, activity in zip(splits["run_id"], labels["activity_id"], strict=True)
    )

    def part_of(split: str) -> Part:
        chosen = np.flatnonzero(usable & (splits["split"] == split))
        inputs = Inputs(rows.features if columns.features else None, rows.sequences).take(chosen)
        runs = splits["run_id"][chosen]
        own = groups[chosen]
        return Part(
            inputs,
            classes[chosen],
            own,
            rows.flow_ids[chosen],
            tuple(sorted(set(runs))),
            coarser_units(runs, rows.sources[chosen], own) if len(chosen) else {},
        )

    train, test, unseen = part_of("train"), part_of("test"), part_of(UNSEEN)
    require_rows(train, test, names, file=str(path))
    return Data(
        train=train,
        test=test,
        unseen=unseen if len(unseen) else None,
        labels=names,
        features=columns.features,
        channels=columns.channels,
        skipped=skipped,
        path=str(path),
        sha256=sha256_file(path / "dataset.json"),
        activities=activities,
    )


def _tables(path: Path) -> list[Path]:
    for name in ("dataset.json", "labels.parquet", "splits.parquet"):
        if not (path / name).is_file():
            raise NotFoundError(
                Problem(str(path), name, "a file of a dataset", "none", "tag the runs first")
            )
    parts = sorted((path / "flows").glob("run_id=*/*.parquet"))
    if not parts:
        raise NotFoundError(
            Problem(str(path), "flows", "flow tables", "none", "meter and tag the runs first")
        )
    return parts


def _labels(path: Path, flow_ids: Strings, target: str) -> dict[str, Strings]:
    columns = sorted({"label", target, "activity_id"})
    labels = _lookup(path / "labels.parquet", flow_ids, columns)
    if target == "malicious":
        labels["malicious"] = np.where(labels["malicious"] == "true", MALICIOUS, BENIGN)
    return labels


def _read_part(part: Path, columns: Columns) -> _Rows:
    file = pq.ParquetFile(part)
    absent = [n for n in ("flow_id", *columns.names) if n not in file.schema_arrow.names]
    if absent:
        raise InputError(
            Problem(str(part), name, "the columns of every run", "none", "meter the runs again")
            for name in absent
        )
    known = [n for n in (SOURCE,) if n in file.schema_arrow.names]
    table = file.read(columns=["flow_id", *known, *columns.names])
    features = np.empty((table.num_rows, len(columns.features)), dtype=np.float32)
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite, so missing
        for position, field in enumerate(columns.features):
            features[:, position] = table[field.name].to_numpy()
    sequences = None
    if columns.sequences:
        sequences = np.stack([_steps(table[name]) for name in columns.sequences], axis=-1)
    sources = table[SOURCE] if known else pa.chunked_array([[""] * table.num_rows])
    return _Rows(features, sequences, table["flow_id"].to_numpy(), sources.to_numpy())


def _steps(column: pa.ChunkedArray) -> Floats:
    """A fixed-size list column as float32 [n, length]."""
    lists = column.combine_chunks()
    flat = lists.flatten().to_numpy(zero_copy_only=False)
    steps: Floats = flat.astype(np.float32).reshape(len(lists), column.type.list_size)
    return steps


def _concatenate(parts: Iterator[_Rows]) -> _Rows:
    every = list(parts)
    sequences = [part.sequences for part in every if part.sequences is not None]
    return _Rows(
        np.concatenate([part.features for part in every]),
        np.concatenate(sequences) if sequences else None,
        np.concatenate([part.flow_ids for part in every]),
        np.concatenate([part.sources for part in every]),
    )


def _lookup(file: Path, flow_ids: Strings, names: Sequence[str]) -> dict[str, Strings]:
    """Columns of a table, one value per flow id; None where the table has no such flow."""
    table = pq.ParquetFile(file).read(columns=["flow_id", *names])
    if pc.count_distinct(table["flow_id"]).as_py() != table.num_rows:
        raise InputError(
            Problem(str(file), "flow_id", "each flow once", "repeats", "tag the runs again")
        )
    known = table["flow_id"].cast(pa.string()).combine_chunks()
    row = pc.index_in(pa.array(flow_ids, pa.string()), value_set=known)
    return {name: table[name].cast(pa.string()).take(row).to_numpy() for name in names}


def _reasons(label: Strings, split: Strings) -> Strings:
    """Why each flow may not be learnt from or judged on; empty for those that may."""
    reason = np.full(len(label), "", dtype=object)
    reason[~np.isin(split, ["train", "test", UNSEEN])] = "in no split"
    for name in NEVER_TRAINED_ON:
        reason[label == name] = name
    reason[[value is None for value in label]] = "no label"
    return reason


def _counts(reason: Strings) -> dict[str, int]:
    counts = Counter(reason.tolist())
    del counts[""]
    return dict(sorted(counts.items()))


def class_numbers(
    values: Strings, usable: npt.NDArray[np.bool_], config: BuildConfig, *, file: str
) -> tuple[tuple[str, ...], Ints]:
    """Names of the classes of usable flows, and the number of each flow's class; -1 is another."""
    found = sorted(set(values[usable]))
    if config.task == "binary":
        unknown = [name for name in config.positive if name not in found]
        if unknown:
            raise InputError(
                Problem(file, "positive", f"among {', '.join(found)}", name, "correct the name")
                for name in unknown
            )
        hit = np.isin(values, config.positive)
        return (NEGATIVE, "+".join(config.positive)), hit.astype(np.int64)
    number = {name: position for position, name in enumerate(found)}
    return tuple(found), np.array([number.get(value, -1) for value in values], dtype=np.int64)


def require_rows(
    train: Part, test: Part, labels: tuple[str, ...], *, file: str, least_test: int = 1
) -> None:
    """Raise InputError where a class has too few flows, or there is nothing to judge on."""
    problems = []
    if not len(test):
        problems.append(Problem(file, "test", "flows to judge on", "none", "split otherwise"))
    if len(labels) < 2:
        problems.append(
            Problem(file, "labels", "two classes or more", f"{len(labels)}", "label more kinds")
        )
    for part, name, least in ((train, "train", MIN_TRAIN_ROWS), (test, "test", least_test)):
        counts = np.bincount(part.classes, minlength=len(labels))
        problems += [
            Problem(
                file=file,
                path=f"{name}: {labels[k]}",
                expected=f"{least} flows or more",
                got=str(counts[k]),
                remedy="run the experiment for longer, or leave the class out",
            )
            for k in np.flatnonzero(counts < least)
        ]
    if problems:
        raise InputError(problems)
