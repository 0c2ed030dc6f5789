"""Tables of flows with a known health: clean ones, and twins of them with one defect each.

A clean table has ten classes of eight commands each. A command is a pattern of small and large
values over sixteen features, so a full model tells the classes apart and no single feature does;
hosts, stacks and runs are the same for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from audit import AuditData
from audit.table import TableColumns

if TYPE_CHECKING:
    from benchmarks.planted_runs import Runs

CLASSES: Final = (
    "web", "dns", "mail", "ssh", "video", "transfer", "mining", "scan", "flood", "chat"
)  # fmt: skip
MALICIOUS: Final = frozenset(("mining", "scan", "flood"))
COMMANDS: Final = 8
HOSTS: Final = 10
GROUPS: Final = ("sizes", "counts", "first", "timing", "rates", "flags")
SHAPES: Final = (
    *((f"{group}_{number}", group) for number in range(3) for group in GROUPS[:5]),
    ("flags_0", "flags"),
)
STACK: Final = {"c2s_ttl": (63, 64, 127, 254), "c2s_initial_window_bytes": (29200, 64240, 65535)}
FLOWS: Final = 1_800
RUNS: Final = (("run-a", "train"), ("run-b", "train"), ("run-c", "test"))


@dataclass
class Flows:
    """A table that can still be spoilt."""

    columns: dict[str, np.ndarray]
    roles: dict[str, tuple[str, str]]
    label: np.ndarray
    split: np.ndarray
    context: dict[str, np.ndarray]
    vocabulary: frozenset[str] | None = None
    runs: Runs | None = None

    @property
    def features(self) -> list[str]:
        """Names of the columns that a model sees."""
        return [name for name, (role, _) in self.roles.items() if role == "feature"]

    def add(self, name: str, values: np.ndarray, group: str = "sizes") -> None:
        """Give the table one more feature."""
        self.columns[name] = values
        self.roles[name] = ("feature", group)

    def of(self, name: str) -> np.ndarray:
        """Rows of a class."""
        return np.flatnonzero(self.label == name)

    def take(self, rows: np.ndarray) -> None:
        """Keep these rows, in this order; one may be there twice."""
        self.columns = {name: values[rows] for name, values in self.columns.items()}
        self.context = {name: values[rows] for name, values in self.context.items()}
        self.label, self.split = self.label[rows], self.split[rows]

    def data(self) -> AuditData:
        """The table as the checks see it."""
        table = pa.table({name: pa.array(values) for name, values in self.columns.items()})
        fields = tuple(
            pa.field(name, table.schema.field(name).type, metadata={"role": role, "group": group})
            for name, (role, group) in self.roles.items()
        )
        context = {
            name: pa.chunked_array([pa.array(values.astype(str))])
            for name, values in self.context.items()
        }
        return AuditData(
            name="planted",
            fields=fields,
            label=self.label.astype(object),
            split=self.split.astype(object),
            columns=TableColumns(table),
            context=context,  # type: ignore[arg-type]
            vocabulary=self.vocabulary,
            benign=frozenset(CLASSES) - MALICIOUS,
            **(self.runs.parts() if self.runs else {}),
        )


def clean(seed: int, flows: int = FLOWS) -> Flows:
    """A healthy table, and what is kept of its runs."""
    from benchmarks.planted_runs import healthy  # which is about this

    rng = np.random.default_rng(seed)
    patterns = rng.choice([-1.0, 1.0], (len(CLASSES), COMMANDS, len(SHAPES)))
    classes = rng.choice(len(CLASSES), flows, p=_shares(rng))
    command = rng.integers(COMMANDS, size=flows)
    run = np.sort(rng.choice(len(RUNS), flows, p=(0.33, 0.33, 0.34)))
    shape = patterns[classes, command] + rng.normal(0, 0.25, (flows, len(SHAPES)))
    table = Flows({}, {}, np.array(CLASSES)[classes], np.array([s for _, s in RUNS])[run], {})
    host = rng.integers(HOSTS, size=flows)
    first = 1_700_000_000_000_000_000 + run * 10**13 + rng.integers(0, 3 * 10**12, flows)
    keys = {
        "src_ip": np.array([f"198.18.1.{number + 10}" for number in range(HOSTS)])[host],
        "dst_ip": np.array([f"198.18.9.{number + 1}" for number in range(len(CLASSES))])[classes],
        "src_port": rng.integers(32_768, 61_000, flows),
        "dst_port": 1_000 + 7 * classes,
        "first_ns": first,
        "last_ns": first + rng.integers(10**6, 10**10, flows),
    }
    for name, values in keys.items():
        table.columns[name] = values
        table.roles[name] = ("time", "time") if name.endswith("_ns") else ("key", "addresses")
    for (name, group), column in zip(SHAPES, shape.T, strict=True):
        values = np.exp(5 + 1.5 * column)
        table.add(name, np.ceil(values).astype(np.int64) if group == "counts" else values, group)
    for name, known in STACK.items():
        table.add(name, rng.choice(known, flows), "stack")
    table.context = {
        "run": np.array([name for name, _ in RUNS])[run],
        "host": table.columns["src_ip"],
        "command": np.array([f"{k}/{c}" for k, c in zip(classes, command, strict=True)]),
        "topology": np.array(["office", "campus", "office"])[run],
    }
    table.runs = healthy(table, RUNS)
    return table


def _shares(rng: np.random.Generator) -> np.ndarray:
    weights = rng.uniform(0.7, 1.3, len(CLASSES))
    return np.asarray(weights / weights.sum())


Spoil = Callable[[Flows, np.random.Generator], None]


@dataclass(frozen=True)
class Defect:
    """A way to spoil a table, and the check that has to find it."""

    check: str
    name: str
    spoil: Spoil


def defects() -> tuple[Defect, ...]:
    """Every defect there is a planting for."""
    from benchmarks.planted_defects import DEFECTS
    from benchmarks.planted_runs import RUN_DEFECTS

    return tuple(
        Defect(check, name, spoil)
        for check, ways in (*DEFECTS.items(), *RUN_DEFECTS.items())
        for name, spoil in ways.items()
    )


Ways = Mapping[str, Mapping[str, Spoil]]
