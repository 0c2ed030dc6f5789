"""Machine code made of features' definitions gives what numpy makes of them, bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flowmeter.core.jit import RUNS
from flowmeter.core.layout import Rows
from flowmeter.features import FEATURE_SETS, Columns, feature_table
from flowmeter.features.columns import Column
from flowmeter.features.compiled import kernel
from flowmeter.features.recording import record
from tests.flowmeter.handmade import blank_rows, random_rows

BY_NUMPY = {"c2s_size_entropy_bits", "s2c_size_entropy_bits"}  # tables and logarithms


def some(rows: Rows, count: int) -> Rows:
    return Rows._make(part[:count] for part in rows)


@pytest.mark.skipif(not RUNS, reason="this machine runs no code from files")
@pytest.mark.parametrize("name", FEATURE_SETS)
def test_it_gives_what_numpy_gives(name: str) -> None:
    features = feature_table(name, recent=True)
    compiled = kernel(features)
    assert compiled
    every = random_rows(1000, seed=7)
    # Whole vectors of a processor, what is left of one, and no flow at all.
    for rows in (
        every,
        some(every, 13),
        some(every, 1),
        some(every, 0),
        blank_rows(9, recent=True),
    ):
        made = compiled(Columns(rows))
        for feature in features:
            if feature.name not in made:
                continue
            by_numpy = feature.compute(Columns(rows)).astype(feature.dtype)
            values = np.from_dlpack(made[feature.name])
            assert values.dtype == by_numpy.dtype
            assert np.array_equal(values, by_numpy, equal_nan=by_numpy.dtype.kind == "f"), feature


def test_nearly_every_feature_can_be_written_down() -> None:
    features = feature_table("full", recent=True)
    written = record(features).outputs
    assert {feature.name for feature in features} - written.keys() == BY_NUMPY


def test_what_cannot_be_written_down_is_left_to_numpy() -> None:
    feature = feature_table("basic")[0]

    def logarithm(columns: Columns) -> Column:
        return np.log2(columns.flow("packets"))

    def extreme(columns: Columns) -> Column:
        return np.maximum(columns.flow("iat_d2"), 0.0)

    def total(columns: Columns) -> Column:
        every: Column = columns.side("packets").sum(axis=0)
        return every

    others = [replace(feature, compute=made) for made in (logarithm, extreme, total)]
    assert not record(others).outputs
    assert list(record([*others, feature]).outputs) == [feature.name]


def test_types_are_those_of_numpy() -> None:
    feature = replace(feature_table("basic")[0], dtype="float64")

    def mixed(columns: Columns) -> Column:
        column: Column = np.where(columns.side("ttl_min")[1] > 3, columns.flow("packets") * 2, 7.5)
        return column**2 - columns.flow("first_ns")

    recording = record([replace(feature, compute=mixed)])
    kinds = [step.dtype.str[1:] for step in recording.steps if step.name != "constant"]
    assert kinds == ["u1", "u1", "b1", "i4", "i4", "f8", "f8", "f8", "i8", "f8", "f8"]
