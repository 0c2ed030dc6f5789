"""What features compute, written down: numpy's operations on columns that are not there yet.

A feature's ``compute`` is called once with `RecordedColumns`. What it does to them becomes steps of
a `Recording`, each for one flow, with the types that numpy itself would choose; machine code is
made of those (`flowmeter.features.lowering`). So a definition stays what it is, a line of numpy,
and numpy goes on computing what cannot be written down.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from flowmeter.core.layout import FIRST_PAYLOADS, FLOW, RECENT, SIDE
from flowmeter.features.feature import Feature

Dtype = np.dtype[Any]
Made = TypeVar("Made")
BOOL: Final[Dtype] = np.dtype(bool)
RECORDS: Final = {"flow": FLOW, "side": SIDE, "recent": RECENT}
PAYLOAD: Final[Dtype] = np.dtype(np.int32)
BITS: Final = ("bitwise_and", "bitwise_or")
COMPARISONS: Final = ("greater", "greater_equal", "less", "less_equal", "equal", "not_equal")
EXTREMES: Final = ("minimum", "maximum")
ARITHMETIC: Final = ("add", "subtract", "multiply", "divide", "sqrt")
RECORDED: Final = (*BITS, *COMPARISONS, *EXTREMES, *ARITHMETIC)


class UnrecordedError(AttributeError):
    """What can be done with numpy's columns and is not written down."""


class Step(NamedTuple):
    """One operation on numbers.

    Attributes
    ----------
    name
        A ufunc's, or ``load``, ``constant``, ``cast``, ``where``.
    dtype
        Of the result.
    arguments
        Steps before, by number. Of ``load``: the record, the field, and of several columns the
        place; of ``constant``: its value.
    """

    name: str
    dtype: Dtype
    arguments: tuple[Any, ...]


class Recording:
    """Steps in the order in which they are to be done, each once.

    Attributes
    ----------
    outputs
        By a feature's name, the step that gives its value.
    """

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.outputs: dict[str, int] = {}
        self._known: dict[Step, int] = {}

    @property
    def inputs(self) -> list[tuple[str, str]]:
        """Records and fields that are loaded."""
        loads = (step.arguments[:2] for step in self.steps if step.name == "load")
        return list(dict.fromkeys(loads))

    def add(self, name: str, dtype: Dtype, *arguments: Any) -> int:
        """The number of the step that does this."""
        step = Step(name, dtype, arguments)
        if step not in self._known:
            self._known[step] = len(self.steps)
            self.steps.append(step)
        return self._known[step]

    def cast(self, number: int, dtype: Dtype) -> int:
        """The number of a step that gives another's result as a type."""
        if self.steps[number].dtype == dtype:
            return number
        return self.add("cast", dtype, number)


def record(features: Sequence[Feature]) -> Recording:
    """Write down how features are computed; those for which that fails are no outputs."""
    recording = Recording()
    columns: Any = RecordedColumns(recording)
    for feature in features:
        try:
            value: Any = feature.compute(columns)
        except UnrecordedError:
            continue
        (recording.outputs[feature.name],) = value.astype(feature.dtype).numbers
    return recording


class RecordedColumns:
    """Stands for `flowmeter.features.columns.Columns`."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._made: dict[object, Any] = {}

    def __len__(self) -> int:
        raise UnrecordedError("how many flows there are")

    @property
    def rows(self) -> Any:
        """Not by field: not written down."""
        raise UnrecordedError("rows")

    def flow(self, field: str) -> Recorded:
        """A field of FLOW."""
        return self._loaded("flow", field, 1)

    def side(self, field: str) -> Recorded:
        """A field of SIDE, of both sides."""
        return self._loaded("side", field, 2)

    def recent(self, field: str) -> Recorded:
        """A field of RECENT."""
        return self._loaded("recent", field, 1)

    def payloads(self) -> Recorded:
        """Payloads of the first packets with any."""
        return self._loaded("payload", "", FIRST_PAYLOADS)

    def once(self, make: Callable[[RecordedColumns], Made]) -> Made:
        """``make(self)``, made at the first call and remembered."""
        if make not in self._made:
            self._made[make] = make(self)
        made: Made = self._made[make]
        return made

    def _loaded(self, record: str, field: str, columns: int) -> Recorded:
        kind = PAYLOAD if record == "payload" else RECORDS[record][field]
        if kind.shape:
            raise UnrecordedError(field)
        add = self._recording.add
        places = range(columns)
        return Recorded(
            self._recording, tuple(add("load", kind, record, field, place) for place in places)
        )


class Recorded(NDArrayOperatorsMixin):
    """A column that is not there yet, or several: that of each side, of each first payload."""

    def __init__(self, recording: Recording, numbers: tuple[int, ...]) -> None:
        self.recording, self.numbers = recording, numbers

    @property
    def dtype(self) -> Dtype:
        """Of its numbers."""
        return self.recording.steps[self.numbers[0]].dtype

    def __getattr__(self, name: str) -> Any:
        raise UnrecordedError(name)

    def __getitem__(self, place: int) -> Recorded:
        return Recorded(self.recording, (self.numbers[place],))

    def __pow__(self, exponent: object) -> Recorded:
        if exponent != 2:
            raise UnrecordedError(f"** {exponent}")
        square: Recorded = self * self  # as numpy does it
        return square

    def astype(self, dtype: Any, *, copy: bool = True) -> Recorded:  # noqa: ARG002 - as numpy's
        """The same numbers as another type."""
        cast, to = self.recording.cast, np.dtype(dtype)
        return Recorded(self.recording, tuple(cast(number, to) for number in self.numbers))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__" or options or ufunc.__name__ not in RECORDED:
            raise UnrecordedError(ufunc.__name__)
        *kinds, result = _resolved(ufunc, inputs)
        if ufunc.__name__ in EXTREMES and result.kind == "f":
            raise UnrecordedError("which of two is NaN")
        columns = [self._as(value, kind) for value, kind in zip(inputs, kinds, strict=True)]
        return self._each(ufunc.__name__, result, columns)

    def __array_function__(
        self, function: Any, _: object, arguments: tuple[Any, ...], options: dict[str, Any]
    ) -> Any:
        if function is not np.where or options or len(arguments) != 3:
            raise UnrecordedError(function.__name__)
        condition, *values = arguments
        kind = np.result_type(*(_kind(value) for value in values))
        columns = [self._as(condition, BOOL), *(self._as(value, kind) for value in values)]
        return self._each("where", kind, columns)

    def _as(self, value: Any, dtype: Dtype) -> Recorded:
        if isinstance(value, Recorded):
            return value.astype(dtype)
        constant = self.recording.add(
            "constant", dtype, dtype.type(value).item().hex() if dtype.kind == "f" else int(value)
        )
        return Recorded(self.recording, (constant,))

    def _each(self, name: str, dtype: Dtype, columns: Sequence[Recorded]) -> Recorded:
        """A step for each side, or one if none of the columns has sides."""
        sides = max(len(column.numbers) for column in columns)
        return Recorded(
            self.recording,
            tuple(
                self.recording.add(
                    name, dtype, *(column.numbers[side % len(column.numbers)] for column in columns)
                )
                for side in range(sides)
            ),
        )


def _kind(value: Any) -> Any:
    if isinstance(value, Recorded):
        return value.dtype
    return value.dtype if isinstance(value, np.generic) else value


def _resolved(ufunc: np.ufunc, inputs: Sequence[Any]) -> tuple[Dtype, ...]:
    """Types of what numpy's loop takes and gives."""
    kinds: list[Any] = []
    for value in inputs:
        kind = _kind(value)
        kinds.append(kind if isinstance(kind, np.dtype) else type(kind))
    return tuple(ufunc.resolve_dtypes((*kinds, None)))
