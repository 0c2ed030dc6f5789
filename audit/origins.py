"""Where each flow of a dataset of ours is from, by its labels, splits, sessions and topologies.

A *command* is what the launcher was told to run: kind, variant and parameters. Sessions with equal
ones are one command. A *tool* is the program of a kind or, where it has only one, the variant.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from audit.data import Columns, Context
from tagger import DatasetSummary
from tagger.activities import read_activities
from tagger.summary import topology_file
from topologies import Topology
from topologies.document import read_source
from topologies.impairments import Quality, Stage
from topologies.loader import topology_of

NS: Final = 1e9
UNKNOWN: Final = "?"  # address in no network of the topology, as behind a tunnel


def origins(
    folder: Path,
    summary: DatasetSummary,
    columns: Columns,
    *,
    names: Iterable[str],
    labels: pa.Table,
    splits: pa.Table,
) -> dict[Context, pa.ChunkedArray]:
    """The contexts of each row, as far as the dataset knows them.

    ``names`` are the flow tables' columns; ``labels`` and ``splits`` have the same rows.
    """
    runs, there = splits["run_id"], set(names)
    context: dict[Context, pa.ChunkedArray] = {
        "run": runs,
        "oracle": labels["oracle"],
        "reason": labels["reason"],
        "topology": _by_run(runs, {run.run_id: run.topology for run in summary.runs}),
    }
    for what, column in (("host", "src_ip"), ("target", "dst_ip")):
        if column in there:
            context[what] = columns.column(column)  # type: ignore[index]
    if "activity_id" in labels.column_names and labels["activity_id"].null_count < len(labels):
        sessions = pc.binary_join_element_wise(runs, labels["activity_id"], "/")
        context |= _of_sessions(sessions, read_activities(folder))
    if {"src_ip", "dst_ip", "first_ns"} <= there:
        context |= _impairments(folder, summary, columns, runs)
    return context


def session_key(run_id: str, activity_id: str) -> str:
    """Names a session among those of all runs, as the context ``activity`` does."""
    return f"{run_id}/{activity_id}"


def _of_sessions(sessions: pa.ChunkedArray, table: pa.Table) -> dict[Context, pa.ChunkedArray]:
    """Command and tool of each row's session; without its record it is a command by itself."""
    rows = table.to_pylist()
    keys = pa.array([session_key(row["run_id"], row["activity_id"]) for row in rows], pa.string())
    place = pc.index_in(sessions, value_set=keys)
    command = pa.array([_command(row) for row in rows], pa.string()).take(place)
    found: dict[Context, pa.ChunkedArray] = {
        "activity": sessions,
        "command": pc.coalesce(command, sessions),
    }
    if rows:
        found["tool"] = pa.array([_tool(row) for row in rows], pa.string()).take(place)
    return found


def _command(row: Mapping[str, Any]) -> str:
    digest = sha256(str(row["params"]).encode()).hexdigest()[:8]
    return f"{row['kind']} {row['variant']} {digest}"


def _tool(row: Mapping[str, Any]) -> str:
    tool = json.loads(row["params"]).get("tool")
    return f"{row['kind']} {tool if isinstance(tool, str) else row['variant']}"


# -- impairments -------------------------------------------------------------------------------


def _impairments(
    folder: Path, summary: DatasetSummary, columns: Columns, runs: pa.ChunkedArray
) -> dict[Context, pa.ChunkedArray]:
    """What the networks at both ends of each flow did to packets, when it began."""
    played = topologies(folder, summary)
    if not any(
        network.impairments.active for one in played.values() for network in one.networks.values()
    ):
        return {}
    ends = [
        columns.column(name).combine_chunks().dictionary_encode() for name in ("src_ip", "dst_ip")
    ]
    first_s = columns.column("first_ns").to_numpy() / NS
    run_of = np.asarray(runs.to_numpy(), dtype=object)
    said = np.full(len(run_of), None, dtype=object)
    for run_id, topology in played.items():
        rows = np.flatnonzero(run_of == run_id)
        since = first_s[rows] - first_s[rows].min(initial=np.inf)
        settings = [_settings(topology, end.dictionary.to_pylist()) for end in ends]
        codes = [end.indices.to_numpy()[rows] for end in ends]
        said[rows] = [
            " -> ".join(_at(choice[code], at) for choice, code in zip(settings, pair, strict=True))
            for at, *pair in zip(since, *codes, strict=True)
        ]
    return {"impairment": pa.chunked_array([pa.array(said, pa.string())])}


Stages = tuple[tuple[float, str], ...]


def _settings(topology: Topology, addresses: list[str]) -> list[Stages]:
    """Of each address, what the links of its network do from when on."""
    from ipaddress import ip_address

    by_network = {
        name: tuple((stage.at_s, _words(stage)) for stage in network.impairments.stages())
        for name, network in topology.networks.items()
    }
    found = []
    for text in addresses:
        address = ip_address(text)
        homes = (
            by_network[name]
            for name, network in topology.networks.items()
            if any(address in subnet for subnet in network.subnets)
        )
        found.append(next(homes, ((0.0, UNKNOWN),)))
    return found


def _at(stages: Stages, time_s: float) -> str:
    return [words for at_s, words in stages if at_s <= time_s or at_s == 0][-1]


def _words(stage: Stage) -> str:
    down, up = (_quality(stage.down), _quality(stage.up))
    return down if down == up else f"{down} down, {up} up"


def _quality(quality: Quality) -> str:
    changed = {k: v for k, v in asdict(quality).items() if v != asdict(Quality())[k]}
    return ", ".join(f"{name} {value}" for name, value in changed.items()) or "perfect"


def topologies(folder: Path, summary: DatasetSummary) -> dict[str, Topology]:
    """The resolved topology of each run; runs made elsewhere have none."""
    files = {run.run_id: topology_file(folder, run) for run in summary.runs}
    read = {
        path: topology_of(read_source(path)).model for path in set(files.values()) if path.is_file()
    }
    return {run_id: read[path] for run_id, path in files.items() if path in read}


def _by_run(runs: pa.ChunkedArray, value: dict[str, str]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array([value.get(run) for run in runs.to_pylist()], pa.string())])
