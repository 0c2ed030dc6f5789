"""A table of flows that somebody else made, as the checks see it."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from audit.data import AuditData, Context, Objects
from audit.mapping import Mapping, Role, check_columns, guessed_group, load_mapping
from audit.table import TableColumns, read_table
from tagger import UNLABELLED
from topologies.document import Document
from topologies.errors import InputError, Problem

OF_ROWS: Final[tuple[Context, ...]] = (
    "run", "host", "topology", "tool", "command", "impairment"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ForeignTable:
    """Files of flows, and what is known of their columns.

    ``flows`` are for training where ``test_flows`` are given, else everything. ``mapping`` is a
    file or the name of one that ships; ``label_column`` and ``split_column`` go before it.
    """

    flows: tuple[Path, ...]
    test_flows: tuple[Path, ...] = ()
    label_column: str | None = None
    split_column: str | None = None
    mapping: str | Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """All files, in the order of the rows."""
        return (*self.flows, *self.test_flows)


@dataclass(frozen=True, slots=True)
class Foreign:
    """A foreign table and, in words, what was done to it on the way."""

    data: AuditData
    notes: tuple[str, ...]


def load_foreign(source: ForeignTable) -> Foreign:
    """Read a table of somebody else's flows.

    Raises
    ------
    NotFoundError, InputError
        A file is not there or no table; files differ in their columns; there is no column of
        labels; the mapping has faults or names columns that are not there.
    """
    document = load_mapping(source.mapping)
    mapping = document.model
    tables = [read_table(path, mapping) for path in source.files]
    table = _together(source.files, tables)
    check_columns(document, table.column_names, str(source.files[0]))
    roles = {name: mapping.column(name).role for name in table.column_names}
    label = _role_column(source, document, table, "label", source.label_column)
    split = _role_column(source, document, table, "split", source.split_column)
    if label is None:
        raise InputError(_no_label(source, table))
    roles = {name: "ignore" if role in ("label", "split") else role for name, role in roles.items()}
    roles[label] = "label"
    if split:
        roles[split] = "split"
    labels, notes = _labels(table[label], mapping)
    return Foreign(
        AuditData(
            name=", ".join(path.name for path in source.files),
            fields=_fields(table, roles, mapping),
            label=labels,
            split=_split(source, tables, table[split] if split else None),
            columns=TableColumns(table),
            context=_context(source, tables, table, roles, mapping),
            vocabulary=frozenset(mapping.vocabulary) or None,
            benign=frozenset(mapping.benign) or None,
            means={
                one.means: name
                for name in table.column_names
                if (one := mapping.column(name)).means
            },
        ),
        (*_said(mapping, table, roles), *notes),
    )


def _together(files: Sequence[Path], tables: Sequence[pa.Table]) -> pa.Table:
    names = tables[0].column_names
    problems = []
    for path, table in zip(files, tables, strict=True):
        odd = sorted(set(names) ^ set(table.column_names))
        if odd:
            problems.append(
                Problem(
                    str(path),
                    ", ".join(odd[:8]),
                    f"the columns of {files[0]}",
                    "others",
                    "audit files of one layout together",
                )
            )
    if problems:
        raise InputError(problems)
    return pa.concat_tables([t.select(names) for t in tables], promote_options="permissive")


def _role_column(
    source: ForeignTable,
    document: Document[Mapping],
    table: pa.Table,
    role: Role,
    asked: str | None,
) -> str | None:
    """The column with the labels or the splits; one that is asked for has to be there."""
    if asked is None:
        return next((n for n in table.column_names if document.model.column(n).role == role), None)
    name = asked.strip()
    if name in table.column_names:
        return name
    close = difflib.get_close_matches(name, table.column_names, n=1)
    raise InputError(
        Problem(
            str(source.files[0]),
            f"{role} column",
            f"one of {', '.join(table.column_names)}",
            f"'{asked}'",
            f"did you mean '{close[0]}'?" if close else "correct the name",
        )
    )


def _no_label(source: ForeignTable, table: pa.Table) -> Problem:
    return Problem(
        str(source.files[0]),
        "label column",
        f"a column with the labels among {', '.join(table.column_names)}",
        "none named",
        "name it with --label-column, or give it role label in the mapping",
    )


def _fields(table: pa.Table, roles: dict[str, Role], mapping: Mapping) -> tuple[pa.Field, ...]:
    """The columns but those with labels and splits, with role and group in their metadata."""
    fields = []
    for name in table.column_names:
        role = roles[name]
        if role in ("label", "split", "ignore"):
            continue
        kept = role if role in ("feature", "identity", "key", "time") else "identity"
        group = mapping.column(name).group
        if not group and role == "feature":
            group = guessed_group(name)
            group = "others" if group == "ports" else group  # D1 judges names itself
        fields.append(
            pa.field(name, table.schema.field(name).type, metadata={"role": kept, "group": group})
        )
    return tuple(fields)


def _labels(column: pa.ChunkedArray, mapping: Mapping) -> tuple[Objects, list[str]]:
    """Labels as written, but for what the mapping says, and what it changed in words."""
    if pa.types.is_floating(column.type) and pc.all(pc.equal(column, pc.round(column))).as_py():
        column = column.cast(pa.int64())
    text = column.cast(pa.string())
    label = np.asarray(text.to_numpy(zero_copy_only=False), dtype=object)
    notes = []
    empty = int(text.null_count)
    label[np.asarray([one is None for one in label], dtype=np.bool_)] = (
        mapping.label_if_empty or UNLABELLED
    )
    if empty:
        said = (
            f"'{mapping.label_if_empty}', as the mapping says" if mapping.label_if_empty else "none"
        )
        notes.append(f"an empty label stands for {said}: {empty} flows")
    counts = Counter(label.tolist())
    for name, new in mapping.rename_labels.items():
        label[label == name] = new
        notes.append(f"label '{name}' became '{new}' in {counts[name]} flows, as the mapping says")
    for name in mapping.unlabelled:
        label[label == name] = UNLABELLED
        notes.append(f"label '{name}' counts as none in {counts[name]} flows, as the mapping says")
    return label, notes


def _split(
    source: ForeignTable, tables: Sequence[pa.Table], column: pa.ChunkedArray | None
) -> Objects:
    """``train``, ``test`` or, where none is known, an empty text for each row."""
    rows = sum(map(len, tables))
    if column is not None:
        split = np.array([_side(str(one)) for one in column.to_pylist()], dtype=object)
        if not {"train", "test"} <= set(split.tolist()):
            raise InputError(
                Problem(
                    str(source.files[0]),
                    "split column",
                    "texts that begin with train and others that begin with test",
                    ", ".join(sorted({str(one) for one in column.unique().to_pylist()})[:5]),
                    "name another column, or give the test rows with --test-flows",
                )
            )
        return split
    split = np.full(rows, "", dtype=object)
    if source.test_flows:
        border = sum(len(table) for table in tables[: len(source.flows)])
        split[:border], split[border:] = "train", "test"
    return split


def _side(text: str) -> str:
    said = text.strip().casefold()
    if said.startswith("train"):
        return "train"
    return "test" if said.startswith("test") else f"other: {said}"


def _context(
    source: ForeignTable,
    tables: Sequence[pa.Table],
    table: pa.Table,
    roles: dict[str, Role],
    mapping: Mapping,
) -> dict[Context, pa.ChunkedArray]:
    """What the columns say of where a row is from; files are runs, where no column says more."""
    context: dict[Context, pa.ChunkedArray] = {}
    for what in OF_ROWS:
        for name, role in roles.items():
            if role == what:
                context[what] = table[name].cast(pa.string())
    if "host" not in context:
        for name in table.column_names:
            if mapping.column(name).means == "src_ip":
                context["host"] = table[name].cast(pa.string())
    if "run" not in context and len(tables) > 1:
        context["run"] = pa.chunked_array(
            pa.repeat(path.name, len(one)) for path, one in zip(source.files, tables, strict=True)
        )
    return context


def _said(mapping: Mapping, table: pa.Table, roles: dict[str, Role]) -> list[str]:
    counts = Counter(roles.values())
    left = [name for name, role in roles.items() if role == "ignore"]
    return [
        f"{len(table)} flows; " + ", ".join(f"{n} {role}" for role, n in sorted(counts.items())),
        *([f"ignored: {', '.join(left)}"] if left else []),
        *([f"mapping {mapping.name}: {mapping.about}"] if mapping.about else []),
    ]
