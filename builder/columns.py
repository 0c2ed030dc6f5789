"""Which columns of the flow table a model sees. The gate that keeps identifiers out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from builder.config import FeatureSelection
from builder.preprocess import Floats
from builder.result import FeatureField
from topologies.errors import InputError, Problem

# A second lock: these never get in, whatever role a flow table gives them.
IDENTIFIERS: Final = frozenset(
    {"flow_id", "run_id", "network", "src_ip", "dst_ip", "src_port", "dst_port", "protocol"}
    | {"first_ns", "last_ns", "segment", "origin_id", "end_reason"}
)
SEQUENCE_COLUMNS: Final = ("seq_size_bytes", "seq_direction", "seq_iat_us")
_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
_LONGEST_S: Final = 1e9  # no flow lasts 31 years; a larger time is a date


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns to read, in order."""

    features: tuple[FeatureField, ...]
    sequences: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Every column, features first."""
        return [*(field.name for field in self.features), *self.sequences]

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the sequence's channels."""
        return tuple(name.removeprefix("seq_") for name in self.sequences)


def _role(field: pa.Field) -> str:
    return _metadata(field, "role") or "none"


def _metadata(field: pa.Field, key: str) -> str:
    value: bytes = (field.metadata or {}).get(key.encode(), b"")
    return value.decode()


def choose_columns(schema: pa.Schema, selection: FeatureSelection, *, file: str) -> Columns:
    """Pick the columns of a flow table that the selection asks for.

    Raises
    ------
    InputError
        With every fault: a name or group that is not there, a column that is no feature, an
        identifier that the table calls a feature, nothing left to learn from.
    """
    features = {field.name: field for field in schema if _role(field) == "feature"}
    problems = [*_mislabelled(features, file), *_unknown(schema, features, selection, file)]
    sequences = tuple(name for name in SEQUENCE_COLUMNS if name in schema.names)
    if selection.set == "packets" and len(sequences) < len(SEQUENCE_COLUMNS):
        problems.append(_nothing(file, "packet sequences"))
    if problems:
        raise InputError(problems)
    chosen = _chosen(features, selection) if selection.set != "packets" else []
    if selection.set != "packets" and not chosen:
        raise InputError(_nothing(file, "features"))
    whole = len(sequences) == len(SEQUENCE_COLUMNS) and selection.set != "flow"
    return Columns(tuple(chosen), sequences if whole else ())


def _chosen(features: dict[str, pa.Field], selection: FeatureSelection) -> list[FeatureField]:
    every = not selection.groups and not selection.include
    return [
        FeatureField(name, str(field.type), _metadata(field, "unit"), _metadata(field, "group"))
        for name, field in features.items()
        if name not in selection.exclude
        and (
            (every and _metadata(field, "group") not in selection.leave_out)
            or _metadata(field, "group") in selection.groups
            or name in selection.include
        )
    ]


def _mislabelled(features: dict[str, pa.Field], file: str) -> list[Problem]:
    return [
        Problem(
            file=file,
            path=name,
            expected="a number that says nothing about who, where and when",
            got=f"role feature, type {field.type}",
            remedy="correct the role in the flow table",
        )
        for name, field in features.items()
        if name in IDENTIFIERS or not _is_number(field.type)
    ]


def _is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    )


def _unknown(
    schema: pa.Schema, features: dict[str, pa.Field], selection: FeatureSelection, file: str
) -> list[Problem]:
    groups = sorted({_metadata(field, "group") for field in features.values()})
    problems = [
        Problem(file, "groups", f"one of {', '.join(groups)}", group, "correct the group")
        for group in selection.groups
        if group not in groups
    ]
    for path, names in (("include", selection.include), ("exclude", selection.exclude)):
        for name in names:
            if name not in features:
                got = "no such column"
                if name in schema.names:
                    got = f"a column of role {_role(schema.field(name))}"
                problems.append(
                    Problem(file, f"{path}: {name}", "a column of role feature", got, "remove it")
                )
    return problems


def _nothing(file: str, what: str) -> Problem:
    return Problem(file, "features", f"{what} to learn from", "none", "select others")


def refuse_dates(columns: Columns, features: Floats, *, file: str) -> None:
    """Raise InputError for features [n, f] that hold points in time, not durations."""
    problems = []
    for position, field in enumerate(columns.features):
        seconds = _SECONDS.get(field.unit)
        values = features[:, position]
        known = values[np.isfinite(values)]
        if seconds is not None and known.size and float(known.min()) * seconds >= _LONGEST_S:
            problems.append(
                Problem(
                    file=file,
                    path=field.name,
                    expected="a duration",
                    got=f"points in time, from {float(known.min()):g} {field.unit}",
                    remedy="give the column role time in the flow table",
                )
            )
    if problems:
        raise InputError(problems)
