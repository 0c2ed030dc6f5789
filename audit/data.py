"""A labelled table of flows as the checks see it, whether we made it or somebody else did."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from audit.columns import Column, look_at
from audit.hashing import Hashed, hash_rows
from audit.sample import Sample, draw
from audit.scores import judged_f1, learnt
from flowmeter.selftest import differences
from tagger import AMBIGUOUS, UNLABELLED, CaptureFacts, DatasetSummary, RunFacts

if TYPE_CHECKING:
    from audit.card.facts import Facts
    from audit.learn import Model
    from audit.suspects import Suspect

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Objects = npt.NDArray[np.object_]

Context = Literal[
    "run", "host", "target", "topology", "tool", "command", "activity", "impairment", "oracle",
    "reason",
]  # fmt: skip


class Columns(Protocol):
    """Where the columns of a table are read from."""

    def column(self, name: str) -> pa.ChunkedArray:
        """One column of all rows."""


@dataclass(frozen=True)
class AuditData:
    """All rows, one after the other; every array has one entry per row.

    ``label`` is as it is written, also where it says that there is none; ``train`` and ``test``
    mark the rows that a model learns from and is judged on: those with a single label.
    ``context`` says of each row where it is from, as far as that is known. ``lineage`` is how a
    dataset of ours was made, ``facts`` is what was kept of its runs and ``activities`` what they
    did; a foreign table has none of these. ``selftest`` says what is wrong with the flow meter
    here. ``means`` finds a foreign column by our name for it.
    """

    name: str
    fields: tuple[pa.Field, ...]
    label: Objects
    split: Objects
    columns: Columns
    context: Mapping[Context, pa.ChunkedArray]
    lineage: DatasetSummary | None = None
    facts: tuple[RunFacts, ...] = ()
    activities: pa.Table | None = None
    selftest: Callable[[], Mapping[str, str]] = differences
    vocabulary: frozenset[str] | None = None
    benign: frozenset[str] | None = None
    means: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    _codes: dict[Context, tuple[Ints, tuple[str, ...]]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def summary(self) -> DatasetSummary:
        """How a dataset of ours was made; for checks that say they need it."""
        if self.lineage is None:
            raise AssertionError("a check that needs the lineage has to say so")
        return self.lineage

    def captures(self) -> Iterator[tuple[str, CaptureFacts]]:
        """Every capture point whose packets were looked at, by a name that tells its run."""
        for run in self.facts:
            for capture in run.captures:
                if not capture.note:
                    yield f"{run.run_id}, {capture.network}", capture

    @cached_property
    def labelled(self) -> Bools:
        """Rows with a single label, whatever their split."""
        return ~np.isin(self.label, [UNLABELLED, AMBIGUOUS])

    @cached_property
    def train(self) -> Bools:
        """Rows that a model learns from; all that are labelled, where no split is known."""
        if not self.split_known:
            return self.labelled
        known: Bools = self.split == "train"
        return np.asarray(self.labelled & known, dtype=np.bool_)

    @cached_property
    def test(self) -> Bools:
        """Rows that a model is judged on."""
        return np.asarray(self.labelled & (self.split == "test"), dtype=np.bool_)

    @cached_property
    def split_known(self) -> bool:
        """Whether the table says which rows are for training and which for judging."""
        return bool((self.split != "").any())

    @property
    def features(self) -> tuple[pa.Field, ...]:
        """Columns that may reach a model as numbers of the whole flow."""
        return tuple(f for f in self.fields if role(f) == b"feature")

    @property
    def sequences(self) -> tuple[pa.Field, ...]:
        """Columns that may reach a model as packet sequences."""
        return tuple(f for f in self.fields if role(f) == b"sequence")

    def find(self, name: str) -> str | None:
        """What this table calls a column of ours; None where it has none."""
        there = {one.name for one in self.fields}
        return name if name in there else self.means.get(name)

    def has(self, *names: str) -> bool:
        """Whether the table has these columns of ours."""
        return all(self.find(name) for name in names)

    def column(self, name: str) -> pa.ChunkedArray:
        """One column of all rows, by our name or its own."""
        return self.columns.column(self.find(name) or name)

    def values(self, name: str) -> Floats:
        """A column as float64, NaN where it is null; sequences get shape [rows, length].

        Text becomes numbers by frequency: 0 is the most frequent one.
        """
        column = self.column(name).combine_chunks()
        if is_text(column.type):
            return _numbered(column)
        if pa.types.is_fixed_size_list(column.type):
            flat = column.flatten().to_numpy(zero_copy_only=False)
            return np.asarray(flat, dtype=np.float64).reshape(len(column), -1)
        return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)

    def codes(self, what: Context) -> tuple[Ints, tuple[str, ...]]:
        """A context as numbers and their names; -1 where it is not known for a row."""
        if what not in self._codes:
            self._codes[what] = encoded(self.context[what].combine_chunks())
        return self._codes[what]

    @cached_property
    def label_codes(self) -> tuple[Ints, tuple[str, ...]]:
        """The label of each row as a number, and the labels, sorted."""
        codes, names = encoded(pa.array(self.label, pa.string()))
        order = sorted(range(len(names)), key=lambda code: names[code])
        place = np.empty(len(names), dtype=np.int64)
        place[order] = np.arange(len(names))
        return place[codes], tuple(names[code] for code in order)

    def labels_of(self, rows: Ints) -> tuple[tuple[str, ...], Ints]:
        """The labels that some rows have, sorted, and of each row the place of its own."""
        codes, names = self.label_codes
        there = np.bincount(codes[rows], minlength=len(names)) > 0
        return tuple(compress(names, there)), (np.cumsum(there) - 1)[codes[rows]]

    def malicious(self, label: Objects) -> Bools | None:
        """Which labels are of malicious traffic; None where that is not known."""
        if self.benign is None:
            return None
        return ~np.isin(label, sorted(self.benign))

    @cached_property
    def sample(self) -> Sample:
        """A bounded, stratified sample of the labelled rows, for checks that train models."""
        return draw(self)

    @cached_property
    def suspects(self) -> tuple[Suspect, ...]:
        """The usual suspects, for check D3 and the card."""
        from audit.suspects import usual_suspects  # which is about this

        return usual_suspects(self)

    @cached_property
    def card_facts(self) -> Facts:
        """What the card shows of the flows."""
        from audit.card.facts import gather  # which is about this

        return gather(self)

    @cached_property
    def hashed(self) -> Hashed:
        """Hashes of all rows, for checks that look for equal and nearly equal ones."""
        return hash_rows(self)

    @cached_property
    def looks(self) -> Mapping[str, Column]:
        """What the values of each column that may reach a model are like, by its name."""
        return {one.name: look_at(self, one) for one in (*self.features, *self.sequences)}

    @cached_property
    def full_model(self) -> Model:
        """The full model, trained on the sample's rows to learn from."""
        return learnt(self.sample)

    @cached_property
    def full_f1(self) -> float:
        """Macro-F1 of the full model on the sample's rows to judge on."""
        return judged_f1(self.sample, self.full_model)


def role(field: pa.Field) -> bytes:
    """The role that a column's metadata gives it."""
    return bytes((field.metadata or {}).get(b"role", b""))


def group(field: pa.Field) -> str:
    """The group of features that a column is in."""
    return bytes((field.metadata or {}).get(b"group", b"")).decode() or "others"


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def encoded(texts: pa.Array) -> tuple[Ints, tuple[str, ...]]:
    """Texts as numbers and what they stand for; -1 where there is none."""
    found = texts.dictionary_encode()
    numbers = found.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return np.asarray(numbers, dtype=np.int64), tuple(map(str, found.dictionary.to_pylist()))


def _numbered(column: pa.Array) -> Floats:
    encoded = column.dictionary_encode()
    indices = encoded.indices.to_numpy(zero_copy_only=False).astype(np.float64)
    known = ~np.isnan(indices)
    counts = np.bincount(indices[known].astype(np.int64), minlength=len(encoded.dictionary))
    rank = np.empty(len(counts), dtype=np.float64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    numbers = np.full(len(indices), np.nan)
    numbers[known] = rank[indices[known].astype(np.int64)]
    return numbers
