"""From the columns of a flow table to the arrays a model reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from builder.result import FeatureField
from sta_registry.manifest import PacketSequence, StaManifest
from topologies.errors import InputError, Problem

Floats = npt.NDArray[np.float32]

_REMEDY = "meter the capture with the flow meter version that the STA was built with"

_REMEDY_TABLE = "give a table with the columns of the one that the STA learnt from"


def check_columns(schema: pa.Schema, manifest: StaManifest, *, source: str) -> None:
    """Check that a flow table has what the model reads: names, types and, where noted, units.

    Raises
    ------
    InputError
        Lists every column of ``source`` that is missing or is not what the model learnt from.
    """
    remedy = _REMEDY if manifest.table is None else _REMEDY_TABLE
    problems = [
        Problem(source, name, expected, got, remedy)
        for name, expected, got in (
            *_feature_faults(schema, manifest.features),
            *_sequence_faults(schema, manifest.sequence),
        )
    ]
    if problems:
        raise InputError(problems)


def feature_matrix(table: pa.Table, features: Sequence[FeatureField]) -> Floats:
    """The feature columns as float32 [n, f], in the order of ``features``.

    Null becomes NaN, and text the number of its category, NaN for one that training never saw.
    """
    matrix = np.empty((table.num_rows, len(features)), dtype=np.float32)
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite, as in training
        for position, feature in enumerate(features):
            column = table.column(feature.name)
            if feature.categories:
                column = pc.index_in(column, pa.array(feature.categories, pa.string()))
            matrix[:, position] = column.to_numpy()
    return matrix


def sequence_tensor(table: pa.Table, sequence: PacketSequence) -> Floats:
    """The packet sequences as float32 [n, length, channels]."""
    tensor = np.empty((table.num_rows, sequence.length, len(sequence.channels)), dtype=np.float32)
    for position, name in enumerate(sequence.columns):
        flat = pc.list_flatten(table.column(name)).to_numpy()
        tensor[:, :, position] = flat.reshape(table.num_rows, sequence.length)
    return tensor


Fault = tuple[str, str, str]  # column, expected, got


def _feature_faults(schema: pa.Schema, features: Sequence[FeatureField]) -> Iterator[Fault]:
    for feature in features:
        place = schema.get_field_index(feature.name)
        if place < 0:
            yield feature.name, f"a column of type {feature.dtype}", "none"
            continue
        field = schema.field(place)
        if str(field.type) != feature.dtype:
            yield feature.name, f"type {feature.dtype}", str(field.type)
        unit = (field.metadata or {}).get(b"unit", feature.unit.encode()).decode()
        if unit != feature.unit:
            yield feature.name, f"unit '{feature.unit}'", f"'{unit}'"


def _sequence_faults(schema: pa.Schema, sequence: PacketSequence | None) -> Iterator[Fault]:
    if sequence is None:
        return
    for name in sequence.columns:
        place = schema.get_field_index(name)
        expected = f"a column of lists of {sequence.length} numbers"
        if place < 0:
            yield name, expected, "none"
        elif getattr(schema.field(place).type, "list_size", None) != sequence.length:
            yield name, expected, str(schema.field(place).type)
