"""Flow tables of one or two runs as series to train and to judge on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from builder.forecast.config import ForecastConfig
from builder.forecast.series import Series, columns_for, traffic_series
from builder.release import require_release
from topologies.errors import InputError, NotFoundError, Problem
from topologies.files import sha256_file


@dataclass(frozen=True, slots=True)
class Runs:
    """Series of the run that trains and, if there is one, of the run that judges."""

    train: Series
    test: Series | None
    source: str
    sha256: str


def read_runs(flows: Sequence[Path], test_flows: Sequence[Path], config: ForecastConfig) -> Runs:
    """Read flow tables (Parquet); the series are those of the training run.

    Raises
    ------
    NotFoundError, InputError
        A file is not there or is no flow table.
    """
    train = _series(flows, config)
    test = _series(test_flows, config, every=True).keep(train.names) if test_flows else None
    files = [*flows, *test_flows]
    digest = hashlib.sha256("\n".join(map(sha256_file, files)).encode()).hexdigest()
    return Runs(train, test, ", ".join(path.name for path in files), digest)


def read_dataset_runs(dataset: Path, config: ForecastConfig, *, accept_unreleased: bool) -> Runs:
    """Read the runs of a dataset; those of its test split judge.

    Raises
    ------
    GateError
        The audit did not release the dataset and ``accept_unreleased`` is false.
    NotFoundError, InputError
        A file is not there.
    """
    require_release(dataset, accept=accept_unreleased)
    splits = dataset / "splits.parquet"
    if not splits.is_file():
        raise NotFoundError(Problem(str(splits), "", "a dataset", "none", "tag the runs first"))
    rows = pq.read_table(splits, columns=["run_id", "split"]).group_by(["run_id", "split"])
    sides: dict[str, list[Path]] = {"train": [], "test": []}
    for row in rows.aggregate([]).to_pylist():
        parts = sorted((dataset / "flows" / f"run_id={row['run_id']}").glob("*.parquet"))
        if row["split"] in sides:
            sides[row["split"]] += [part for part in parts if part not in sides[row["split"]]]
    return read_runs(sorted(sides["train"]), sorted(sides["test"]), config)


def _series(files: Sequence[Path], config: ForecastConfig, *, every: bool = False) -> Series:
    columns = columns_for(config.of, config.per)
    tables = [_read(file, columns) for file in files]
    return traffic_series(
        pa.concat_tables(tables),
        of=config.of,
        per=config.per,
        window_s=config.window_s,
        most=1_000_000 if every else config.most_series,
        file=", ".join(map(str, files)),
    )


def _read(file: Path, columns: list[str]) -> pa.Table:
    remedy = "give a flow table of 'gsta meter'"
    if not file.is_file():
        raise NotFoundError(Problem(str(file), "", "a flow table", "no file", remedy))
    try:
        names = pq.read_schema(file).names
        missing = [name for name in columns if name not in names]
        if not missing:
            return pq.ParquetFile(file).read(columns=columns)
    except pa.ArrowInvalid as error:
        got = str(error).splitlines()[0]
        raise InputError(Problem(str(file), "", "a flow table (Parquet)", got, remedy)) from error
    raise InputError(
        Problem(str(file), ", ".join(missing), "columns of a flow table", "none", remedy)
    )
