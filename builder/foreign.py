"""Labelled flow tables that somebody else made (CSV, Parquet) as data to learn from.

Text columns become category numbers here, so that all features are one array of floats; what a
model sees of a category is learnt inside each fold (:mod:`builder.preprocess`).
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from builder.config import BuildConfig
from builder.data import (
    BENIGN,
    MALICIOUS,
    MIN_TRAIN_ROWS,
    NEVER_TRAINED_ON,
    Data,
    Part,
    class_numbers,
    require_rows,
)
from builder.families.base import Inputs
from builder.preprocess import Floats
from builder.result import FeatureField, TableFormat
from builder.splits import AS_FILES_SAY, Split, split_rows
from builder.units import named_groups
from topologies.errors import InputError, Problem
from topologies.files import sha256_file

if TYPE_CHECKING:
    from audit.data import AuditData
    from audit.mapping import Mapping

MOST_CATEGORIES: Final = 1000  # text with more values says who or when, not what

# A second lock, as IDENTIFIERS is for our own tables: who, where and when is never learnt.
_IDENTIFIER: Final = re.compile(
    r"(^|_)(ip|addr|address|mac|port|sport|dport|srcport|dstport|srcip|dstip|saddr|daddr"
    r"|timestamp|date|datetime|stime|ltime|flow_id|uid|run_id|id)(_|$)"
)
_MEASURE: Final = re.compile(
    r"(^|_)(ct|num|count|rate|ratio|bytes|packets|pkts|len|size|mean)(_|$)"
)

Strings = npt.NDArray[np.object_]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FlowTables:
    """Files of labelled flows, and how they are split.

    Attributes
    ----------
    flows, test_flows
        Those to learn from and those to judge on; without ``test_flows`` the former are split.
    label_column
        The column with the labels; may be left out if the mapping names it.
    mapping
        What the columns are: a file, or the name of one that ships.
    benign
        Labels that are not malicious; none given: those of the mapping.
    split
        How rows are told apart into training and test, and into folds.
    """

    flows: tuple[Path, ...]
    test_flows: tuple[Path, ...] = ()
    label_column: str | None = None
    mapping: str | Path | None = None
    benign: tuple[str, ...] = ()
    split: Split = AS_FILES_SAY

    @property
    def name(self) -> str:
        """All files, in words."""
        return ", ".join(path.name for path in (*self.flows, *self.test_flows))

    def read(self, config: BuildConfig) -> Data:
        """Read the flows that can be learnt from.

        Raises
        ------
        NotFoundError, InputError
            A file is not there or is no such table; a column or label that is asked for is not
            in it; nothing says which rows to judge on; there is nothing to learn from.
        """
        from audit.foreign import ForeignTable, load_foreign
        from audit.mapping import load_mapping

        mapping = load_mapping(self.mapping).model
        source = ForeignTable(
            self.flows, self.test_flows, self.label_column, self.split.column, self.mapping
        )
        foreign = load_foreign(source)
        return _data(self, foreign.data, mapping, foreign.notes, config)


def _data(
    source: FlowTables,
    table: AuditData,
    mapping: Mapping,
    notes: tuple[str, ...],
    config: BuildConfig,
) -> Data:
    file = str(source.flows[0])
    sides = split_rows(table, source.split, seed=config.seed, file=file)
    train = sides.side == "train"
    names, left = _feature_names(table, source.split.columns, config, file=file)
    fields, features = _features(table, names, train)
    targets = _targets(table, source, config, mapping, file=file)
    usable, skipped = _usable(table.label, targets, sides.side, config)
    labels, classes = class_numbers(targets, usable, config, file=file)
    groups, activities = named_groups(sides.groups)

    def part(side: str) -> Part:
        rows = np.flatnonzero(usable & (sides.side == side))
        files = source.test_flows if side == "test" and source.test_flows else source.flows
        return Part(
            inputs=Inputs(features[rows]),
            classes=classes[rows],
            groups=groups[rows],
            flow_ids=rows.astype(str).astype(object),
            runs=tuple(path.name for path in files),
        )

    parts = part("train"), part("test")
    require_rows(*parts, labels, file=file, least_test=0)
    return Data(
        *parts,
        unseen=None,
        labels=labels,
        features=fields,
        channels=(),
        skipped=skipped,
        path=source.name,
        sha256=_digest((*source.flows, *source.test_flows)),
        notes=(*notes, *left, *sides.notes),
        activities=activities,
        table=_format(mapping),
    )


def _format(mapping: Mapping) -> TableFormat:
    return TableFormat(
        header=mapping.header,
        delimiter=mapping.delimiter,
        encoding=mapping.encoding,
        missing=mapping.missing,
        suffixes=dict(mapping.suffixes),
    )


def _feature_names(
    table: AuditData, used: tuple[str, ...], config: BuildConfig, *, file: str
) -> tuple[list[str], tuple[str, ...]]:
    """The columns that a model may see, and in words which were left out."""
    selection = config.features
    known = {field.name: field for field in table.features if field.name not in used}
    problems = [
        Problem(
            file, f"features: {name}", f"one of {', '.join(known)}", "no such column", "mend it"
        )
        for name in (*selection.include, *selection.exclude)
        if name not in known
    ]
    if problems:
        raise InputError(problems)
    chosen: list[str] = []
    left: list[str] = []
    for name, field in known.items():
        group = (field.metadata or {}).get(b"group", b"").decode()
        wanted = name in selection.include or group in selection.groups
        if not selection.include and not selection.groups:
            wanted = group not in selection.leave_out
        if name in selection.exclude or not wanted:
            continue
        (left if is_identifier(name) or _too_many(table, name) else chosen).append(name)
    if not chosen:
        raise InputError(
            Problem(file, "features", "columns to learn from", "none", "select others")
        )
    said = (f"left out, for they say who, where or when: {', '.join(left)}",) if left else ()
    return chosen, said


def is_identifier(name: str) -> bool:
    """Whether a column's name speaks of an address, a port, a date or a number of the flow.

    Examples
    --------
    >>> is_identifier("Source IP"), is_identifier("dst_port"), is_identifier("src_bytes")
    (True, True, False)
    >>> is_identifier("same_src_port_rate")
    False
    """
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])|[\W_]+", "_", name.strip()).casefold()
    return bool(_IDENTIFIER.search(plain)) and not _MEASURE.search(plain)


def _too_many(table: AuditData, name: str) -> bool:
    column = table.column(name)
    text = pa.types.is_string(column.type)
    return bool(text and pc.count_distinct(column).as_py() > MOST_CATEGORIES)


def _features(
    table: AuditData, names: Sequence[str], train: Bools
) -> tuple[tuple[FeatureField, ...], Floats]:
    """Their fields and values: float32 [n, f], a category as its number, unknown as NaN."""
    groups = {f.name: (f.metadata or {}).get(b"group", b"").decode() for f in table.features}
    fields, columns = [], np.empty((len(table.label), len(names)), dtype=np.float32)
    for position, name in enumerate(names):
        column = table.column(name)
        categories: tuple[str, ...] = ()
        if pa.types.is_string(column.type):
            seen = column.filter(pa.array(train)).unique().drop_null()
            categories = tuple(sorted(seen.to_pylist()))
            column = category_numbers(column, categories)
        with np.errstate(over="ignore"):
            columns[:, position] = column.cast(pa.float64()).to_numpy()
        dtype = "string" if categories else "double"
        fields.append(FeatureField(name, dtype, "", groups[name], categories))
    return tuple(fields), columns


def category_numbers(column: pa.ChunkedArray, categories: Sequence[str]) -> pa.ChunkedArray:
    """The place of each text in ``categories``; null where it is in none."""
    return pc.index_in(column.cast(pa.string()), pa.array(categories, pa.string()))


def _targets(
    table: AuditData, source: FlowTables, config: BuildConfig, mapping: Mapping, *, file: str
) -> Strings:
    if config.target == "category":
        problem = Problem(
            file, "target", "label or malicious", "category", "a foreign table has no categories"
        )
        raise InputError(problem)
    if config.target == "label":
        return table.label
    benign = source.benign or mapping.benign
    unknown = [name for name in benign if name not in set(table.label)]
    if not benign or unknown:
        found = sorted(set(map(str, table.label)))
        raise InputError(
            Problem(
                file,
                "benign",
                f"labels that are not malicious, among {', '.join(found[:50])}",
                ", ".join(unknown) or "none",
                "name them with --benign",
            )
        )
    return np.where(np.isin(table.label, benign), BENIGN, MALICIOUS).astype(object)


def _usable(
    label: Strings, target: Strings, side: Strings, config: BuildConfig
) -> tuple[Bools, dict[str, int]]:
    """Rows to learn from or to judge on, and why the others are neither."""
    reason = np.full(len(label), "", dtype=object)
    reason[~np.isin(side, ["train", "test"])] = "in no split"
    for name in NEVER_TRAINED_ON:
        reason[label == name] = name
    if config.task == "multiclass":
        for name, why in _rare(target[(reason == "") & (side == "train")], target):
            reason[(reason == "") & (target == name)] = why
    counts = Counter(reason.tolist())
    del counts[""]
    return reason == "", dict(sorted(counts.items()))


def _rare(train: Strings, every: Strings) -> Iterator[tuple[str, str]]:
    counts = Counter(train.tolist())
    for name in sorted(set(every.tolist())):
        if not counts[name]:
            yield name, "of a class without training flows"
        elif counts[name] < MIN_TRAIN_ROWS:
            yield name, f"of a class with fewer than {MIN_TRAIN_ROWS} training flows"


def _digest(files: Sequence[Path]) -> str:
    """One digest of all files, in their order."""
    return hashlib.sha256("\n".join(map(sha256_file, files)).encode()).hexdigest()
