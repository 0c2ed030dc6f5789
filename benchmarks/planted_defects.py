"""The defects that are planted, by the check that has to find them."""

from __future__ import annotations

from functools import partial
from typing import Final

import numpy as np

from benchmarks.planted import CLASSES, Flows, Spoil, Ways

Rng = np.random.Generator


def _class(rng: Rng) -> str:
    return str(rng.choice(CLASSES))


# -- values and labels ---------------------------------------------------------------------------


def broken(table: Flows, rng: Rng, *, value: float, share: float) -> None:
    """Write infinities into a feature."""
    name = str(rng.choice([n for n in table.features if table.columns[n].dtype == np.float64]))
    column = table.columns[name].copy()
    column[rng.random(len(column)) < share] = value
    column[0] = value
    table.columns[name] = column


def unlabelled(table: Flows, rng: Rng, *, name: str, share: float) -> None:
    """Lose labels."""
    table.label = np.where(rng.random(len(table.label)) < share, name, table.label)


def misspelt(table: Flows, rng: Rng, *, way: str) -> None:
    """Write some labels of a class in another way."""
    name = _class(rng)
    rows = table.of(name)[::3]
    table.label = table.label.astype(object)
    table.label[rows] = {
        "blank before": f" {name}", "blank behind": f"{name} ", "capital": name.capitalize(),
        "plural": f"{name}s", "hyphen": f"{name[0]}-{name[1:]}", "upper": name.upper(),
    }[way]  # fmt: skip


def outside_vocabulary(table: Flows, rng: Rng) -> None:
    """Use a label that the vocabulary lacks."""
    table.vocabulary = frozenset(CLASSES) - {_class(rng)}


def alike(table: Flows, rng: Rng, *, classes: int) -> None:
    """Let some classes send the same traffic."""
    rows = np.flatnonzero(np.isin(table.label, rng.permutation(CLASSES)[:classes]))
    source = rng.permutation(rows)
    for name in table.features:
        column = table.columns[name].copy()
        column[rows] = column[source]
        table.columns[name] = column


def deaf(table: Flows, rng: Rng, *, kept: int) -> None:
    """Keep only some features that say anything."""
    for name in rng.permutation(table.features)[kept:]:
        table.columns[name] = rng.permutation(table.columns[name])


def swapped(table: Flows, rng: Rng, *, share: float) -> None:
    """Give flows the label of another class."""
    rows = np.flatnonzero(rng.random(len(table.label)) < share)
    steps = rng.integers(1, len(CLASSES), len(rows))
    codes = np.searchsorted(sorted(CLASSES), table.label[rows])
    table.label = table.label.copy()
    table.label[rows] = np.array(sorted(CLASSES))[(codes + steps) % len(CLASSES)]


# -- shortcuts -----------------------------------------------------------------------------------


def leaked(table: Flows, rng: Rng, *, column: str, name: str = "") -> None:
    """Let an identifier be a feature, under its own name or another."""
    name = name or f"extra_{rng.integers(100)}"
    rows = len(table.label)
    if column == "row":
        table.add(name, np.arange(rows, dtype=np.float64))
    elif column.endswith("_code"):
        _, codes = np.unique(table.columns[column.removesuffix("_code")], return_inverse=True)
        table.add(name, rng.permutation(codes.max() + 1)[codes].astype(np.float64))
    elif column == "flow_text":
        table.add(name, np.array([f"f{number:x}" for number in rng.permutation(rows)]))
    elif name == column:
        table.roles[column] = ("feature", "sizes")
    else:
        values = table.columns[column]
        table.add(name, values.astype(np.float32) if column.endswith("_ns") else values)


def telling(table: Flows, rng: Rng, *, group: str, errors: float) -> None:
    """Let one feature stand high for one class only."""
    name = next(n for n in table.features if table.roles[n][1] == group)
    column = table.columns[name].astype(np.float64)
    wrong = rng.random(len(column)) < errors
    column[(table.label == _class(rng)) ^ wrong] += column.max() + 1
    table.columns[name] = column


def stack_of_its_own(table: Flows, rng: Rng, *, column: str, value: float, errors: float) -> None:
    """Run one class on another stack."""
    rows = table.of(_class(rng))
    values = table.columns[column].copy()
    values[rows[rng.random(len(rows)) >= errors]] = value
    table.columns[column] = values


def new_suspect(table: Flows, rng: Rng, *, name: str) -> None:
    """Add a usual suspect that one class sets in its own way."""
    values = rng.choice([1_420.0, 1_440.0], len(table.label))
    values[table.of(_class(rng))] = 536.0
    table.add(name, values)


def easy(table: Flows, rng: Rng, *, classes: int) -> None:
    """Leave a few classes, each with a size of its own."""
    kept = rng.permutation(CLASSES)[:classes]
    table.take(np.flatnonzero(np.isin(table.label, kept)))
    column = rng.normal(0, 0.1, len(table.label))
    for number, name in enumerate(kept):
        column[table.of(name)] += number
    table.add("easy_bytes", column)


def run_marked(table: Flows, rng: Rng, *, shift: float, group: str) -> None:
    """Let a feature drift from run to run."""
    name = next(n for n in table.features if table.roles[n][1] == group)
    _, run = np.unique(table.context["run"], return_inverse=True)
    noise = rng.normal(0, 1, len(run))
    table.columns[name] = 100 + shift * run + noise


def host_only(table: Flows, rng: Rng, *, classes: int, hosts: int) -> None:
    """Give classes hosts of their own."""
    for number, name in enumerate(rng.permutation(CLASSES)[:classes]):
        rows = table.of(name)
        own = [f"198.18.2.{number * 8 + k}" for k in range(hosts)]
        chosen = rng.integers(hosts, size=len(rows))
        host = table.columns["src_ip"].astype(object)
        host[rows] = np.array(own)[chosen]
        table.columns["src_ip"] = table.context["host"] = host.astype(str)
        if hosts > 1:
            # Each machine has its own stack, as images do.
            ttl = table.columns["c2s_ttl"].copy()
            ttl[rows] = 40 + 3 * chosen
            table.columns["c2s_ttl"] = ttl


# -- splits and diversity ------------------------------------------------------------------------


def twins(table: Flows, rng: Rng, *, share: float, jitter: float = 0.0) -> None:
    """Repeat training flows in the test split; the times of near ones differ."""
    test = np.flatnonzero(table.split == "test")
    test = test[rng.random(len(test)) < share]
    for one in test:
        like = np.flatnonzero((table.split == "train") & (table.label == table.label[one]))
        source = rng.choice(like)
        for name in table.features:
            factor = 1.0
            if jitter and table.roles[name][1] in ("timing", "rates"):
                factor = float(np.exp(rng.normal(0, jitter)))
            table.columns[name][one] = table.columns[name][source] * factor


def torn_run(table: Flows, rng: Rng, *, rows: int) -> None:
    """Move flows of a run to the other split."""
    moved = rng.choice(np.flatnonzero(table.split == "test"), rows, replace=False)
    table.split = table.split.copy()
    table.split[moved] = "train"


def split_by_row(table: Flows, rng: Rng) -> None:
    """Deal flows at random."""
    table.split = rng.permutation(table.split)


def metered_twice(table: Flows, rng: Rng, *, rows: int) -> None:
    """Have some flows in the table twice."""
    table.take(np.append(np.arange(len(table.label)), rng.choice(len(table.label), rows)))


def scaled(table: Flows, rng: Rng, *, features: int) -> None:
    """Standardise features over both splits."""
    names = [n for n in table.features if table.roles[n][1] != "stack"]
    for name in rng.permutation(names)[:features]:
        column = table.columns[name].astype(np.float64)
        table.columns[name] = (column - column.mean()) / column.std()


def filled(table: Flows, _: Rng) -> None:
    """Stretch every feature from 0 to 1 over both splits."""
    for name in table.features:
        column = table.columns[name].astype(np.float64)
        table.columns[name] = (column - column.min()) / np.ptp(column)


def repeated(table: Flows, rng: Rng, *, patterns: int, jitter: float) -> None:
    """Send the same few flows of a class over and over; only their times differ."""
    rows = table.of(_class(rng))
    source = rng.choice(rows[:patterns], len(rows))
    for name in table.features:
        column = table.columns[name].copy()
        column[rows] = column[source]
        if table.roles[name][1] in ("timing", "rates"):
            column[rows] = column[rows] * np.exp(rng.normal(0, jitter, len(rows)))
        table.columns[name] = column


def one_command(table: Flows, rng: Rng, *, share: float) -> None:
    """Let one command make most of a class."""
    rows = table.of(_class(rng))
    command = table.context["command"].astype(object)
    command[rows[rng.random(len(rows)) < share]] = "hydra -l root"
    table.context["command"] = command.astype(str)


def _ways(spoil: object, **variants: dict[str, object]) -> dict[str, Spoil]:
    return {name.replace("_", " "): partial(spoil, **kwargs) for name, kwargs in variants.items()}  # type: ignore[operator]


DEFECTS: Final[Ways] = {
    "B4": _ways(
        broken, infinite={"value": np.inf, "share": 0.001},
        minus_infinite={"value": -np.inf, "share": 0.01}, one_cell={"value": np.inf, "share": 0.0},
    ),
    "C2": _ways(
        unlabelled, a_fifth_unlabelled={"name": "unlabelled", "share": 0.2},
        an_eighth_ambiguous={"name": "ambiguous", "share": 0.125},
    ),
    "C6": {
        **_ways(misspelt, **{
            way.replace(" ", "_"): {"way": way}
            for way in ("blank before", "blank behind", "capital", "plural", "hyphen", "upper")
        }),
        "outside the vocabulary": outside_vocabulary,
    },
    "C7": _ways(swapped, **{f"swapped_{n}_%": {"share": n / 100} for n in (8, 12, 20)}),
    "C9": {
        **_ways(alike, **{f"{n}_classes_alike": {"classes": n} for n in (4, 6, 10)}),
        **_ways(deaf, **{f"{n}_features_that_say_anything": {"kept": n} for n in (1, 2)}),
    },
    "D1": _ways(
        leaked, port={"column": "src_port"},
        port_by_name={"column": "src_port", "name": "src_port"},
        start={"column": "first_ns"}, row={"column": "row"}, address_code={"column": "src_ip_code"},
        server_code={"column": "dst_ip_code"}, address_text={"column": "src_ip"},
        flow_text={"column": "flow_text"},
    ),
    "D2": _ways(
        telling, size={"group": "sizes", "errors": 0.0}, timing={"group": "timing", "errors": 0.02},
        count={"group": "counts", "errors": 0.01}, flag={"group": "flags", "errors": 0.03},
    ),
    "D3": {
        **_ways(
            stack_of_its_own,
            constant_ttl={"column": "c2s_ttl", "value": 30, "errors": 0.0},
            constant_ttl_mostly={"column": "c2s_ttl", "value": 255, "errors": 0.05},
            window={"column": "c2s_initial_window_bytes", "value": 1_024, "errors": 0.0},
        ),
        **_ways(new_suspect, mss={"name": "c2s_mss"}, smallest_packet={"name": "size_min_bytes"}),
    },
    "D4": _ways(easy, **{f"{n}_easy_classes": {"classes": n} for n in (2, 3, 4)}),
    "D6": _ways(
        run_marked, clock={"shift": 3.0, "group": "timing"}, load={"shift": 1.0, "group": "rates"},
        size={"shift": 6.0, "group": "sizes"},
    ),
    "D7": _ways(
        host_only, one_class_one_host={"classes": 1, "hosts": 1},
        three_classes={"classes": 3, "hosts": 1}, own_images={"classes": 2, "hosts": 3},
        all_classes={"classes": len(CLASSES), "hosts": 1},
    ),
    "E1": _ways(
        twins, one_in_a_hundred={"share": 0.02}, a_fifth={"share": 0.2},
        near={"share": 0.1, "jitter": 0.2}, near_few={"share": 0.04, "jitter": 0.5},
    ),
    "E2": {
        **_ways(torn_run, one_flow={"rows": 1}, many_flows={"rows": 200}),
        **_ways(metered_twice, one_twice={"rows": 1}, some_twice={"rows": 40}),
        "by row": split_by_row,
    },
    "E3": {
        **_ways(scaled, one_scaled={"features": 1}, all_scaled={"features": 16}),
        "all from 0 to 1": filled,
    },
    "F1": _ways(
        repeated, five_patterns={"patterns": 5, "jitter": 0.1},
        twenty_patterns={"patterns": 20, "jitter": 0.5}, one_pattern={"patterns": 1, "jitter": 0.1},
    ),
    "F2": _ways(
        one_command, all_of_it={"share": 1.0}, half={"share": 0.5}, a_third={"share": 0.4}
    ),
}  # fmt: skip
