"""Flow tables that somebody else made: one verdict per row, by an STA made of such a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from analyser.forensic import Verdicts, answers, count_alerts
from sta_registry.sta import Sta
from topologies.errors import InputError, Problem


def analyse_tables(
    files: Sequence[Path], sta: Sta, *, threshold: float = 0.0, all_probabilities: bool = False
) -> Verdicts:
    """Classify the rows of files that are written as those the STA learnt from.

    The table has the ``file`` and ``row`` (from 1) of each flow, then its ``class`` and
    ``probability``, in the order of the files.

    Raises
    ------
    NotFoundError, InputError
        A file is missing, is no such table, or lacks a column that the STA reads; the STA learnt
        from captures.
    """
    tables = []
    for file in files:
        flows = read_flows(file, sta)
        labels, best, probabilities = answers(
            sta.predict(flows, source=str(file)), sta, threshold=threshold
        )
        columns = {
            "file": pa.repeat(pa.scalar(str(file)), len(flows)),
            "row": pa.array(np.arange(1, len(flows) + 1)),
            "class": pa.array(labels, pa.string()),
            "probability": pa.array(best),
        }
        if all_probabilities:
            for index, label in enumerate(sta.manifest.classes):
                columns[f"probability_{label}"] = pa.array(probabilities[:, index])
        tables.append(pa.table(columns))
    table = pa.concat_tables(tables)
    return Verdicts(table, packets=0, rejects={}, alerts=count_alerts(table, sta))


def read_flows(file: Path, sta: Sta) -> pa.Table:
    """The features of a foreign table, as the STA's manifest says that it is written."""
    from audit.mapping import Mapping
    from audit.table import read_table

    form = sta.manifest.table
    if form is None:
        raise InputError(
            Problem(str(file), "", "a capture", "a flow table", "this STA learnt from captures")
        )
    mapping = Mapping(
        name=sta.manifest.name,
        header=form.header,
        delimiter=form.delimiter,
        encoding=form.encoding,
        missing=form.missing,
        suffixes=form.suffixes,
    )
    table = read_table(file, mapping)
    columns = {}
    for feature in sta.manifest.features:
        if feature.name in table.column_names:
            column = table[feature.name]
            text = pa.types.is_string(column.type)
            if text == bool(feature.categories) or not text:
                column = column.cast(pa.type_for_alias(feature.dtype))
            columns[feature.name] = column
    return pa.table(columns)
