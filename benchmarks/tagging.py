"""Time to label flows by a journal, against their number, on one core.

    python -m benchmarks.tagging --most 1000000

Ten flows for each activity: sessions of 200 clients with 50 servers, many at a time, made up; every
tenth flow is of nobody. A run is a process: it reads journal and flow table, joins, applies the
rules of all activities, and has the labels table in memory. Time is the processor's.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.timing import median, publish, run

BEGIN_NS: Final = 1_700_000_000_000_000_000
CLIENTS, SERVERS, AT_ONCE = 200, 50, 2_000
KINDS: Final = ("web", "ssh", "transfer", "mail", "video", "mining")
TOPOLOGY: Final = """
name: made-up
networks: {lan: {subnet: 198.18.0.0/16}}
hosts: {one: {networks: [lan]}}
"""


def main() -> None:
    """Measure sizes a decade apart."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--most", type=int, default=10**6)
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--one", type=Path, help="label this made-up run, and stop")
    asked = options.parse_args()
    if asked.one:
        _label(asked.one)
        return
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for flows in (10**4, 10**5, 10**6):
            if flows > asked.most:
                break
            place = Path(folder) / str(flows)
            write_run(place, flows=flows, activities=flows // 10, seed=1)
            command = [sys.executable, "-m", "benchmarks.tagging", "--one", str(place)]
            once = median([run(command) for _ in range(asked.runs)])
            labelled, join_s = json.loads(once.output)
            rows.append([flows, flows // 10, labelled, once.cpu_s, join_s, once.peak_mb])
    columns = ["flows", "activities", "labelled", "CPU s", "of it join and rules, s", "peak MB"]
    publish("Labelling", "python -m benchmarks.tagging", columns, rows)


def _label(place: Path) -> None:
    """What a process of the benchmark does."""
    import time

    import tagger
    from tagger.flows import read_flow_keys
    from tagger.labeller import Labeller
    from tagger.run import read_run

    book = tagger.load_rules("activities").model
    found = read_run(place / "run")
    flows = read_flow_keys(place / "flows.parquet", run_id="run")
    began = time.process_time()
    labels = Labeller(found.journal, book, tagger.Tolerances()).label(flows)
    seconds = time.process_time() - began
    labelled = len(labels) - labels["activity_id"].null_count
    print(json.dumps([labelled, seconds]))


def write_run(place: Path, *, flows: int, activities: int, seed: int) -> None:
    """Make up a run directory with a journal, and its flow table."""
    rng = np.random.default_rng(seed)
    folder = place / "run"
    folder.mkdir(parents=True)
    (folder / "topology.yaml").write_text(TOPOLOGY)
    (folder / "manifest.json").write_text(json.dumps(_manifest()))
    start = BEGIN_NS + np.sort(rng.integers(0, activities * 10**9 // 20, activities))
    stop = start + rng.integers(10**9, 2 * AT_ONCE * 10**9 // 20, activities)
    client, server = rng.integers(0, CLIENTS, activities), rng.integers(0, SERVERS, activities)
    kind = rng.integers(0, len(KINDS), activities)
    with (folder / "journal.jsonl").open("w") as journal:
        for number, row in enumerate(np.stack([kind, client, server, start, stop], axis=1)):
            line = json.dumps(_activity(number, row.tolist()), separators=(",", ":"))
            journal.write(line + "\n")
    of = rng.integers(0, activities, flows)
    first = start[of] + (rng.random(flows) * (stop - start)[of] * 0.9).astype(np.int64)
    last = first + (rng.random(flows) * (stop[of] - first)).astype(np.int64)
    port = np.where(rng.random(flows) < 0.1, 9, 1_000 + kind[of])
    pq.write_table(
        pa.table(
            {
                "flow_id": [f"f{number}" for number in range(flows)],
                "run_id": pa.repeat("run", flows),
                "network": pa.repeat("lan", flows),
                "src_ip": pa.array(_addresses(1, CLIENTS)).take(pa.array(client[of])),
                "dst_ip": pa.array(_addresses(2, SERVERS)).take(pa.array(server[of])),
                "src_port": pa.array(rng.integers(32_768, 61_000, flows), pa.uint16()),
                "dst_port": pa.array(port, pa.uint16()),
                "protocol": pa.array(np.full(flows, 6), pa.uint8()),
                "first_ns": first,
                "last_ns": last,
            }
        ),
        place / "flows.parquet",
    )


def _addresses(third: int, count: int) -> list[str]:
    return [f"198.18.{third}.{number + 1}" for number in range(count)]


def _activity(number: int, row: list[int]) -> dict[str, object]:
    """A line of the journal, of its kind, client, server, start and stop."""
    kind, (client, server, start_ns, stop_ns) = KINDS[row[0]], row[1:]
    peer = {
        "service": f"{kind}-{server}", "kind": kind, "host": f"server-{server}",
        "address": _addresses(2, SERVERS)[server], "port": 1_000 + KINDS.index(kind),
        "protocol": "tcp",
    }  # fmt: skip
    return {
        "record": "activity", "id": f"a{number:06d}", "name": kind, "kind": kind,
        "variant": "plain", "params": {}, "user": f"client-{client}/{kind}/0",
        "host": f"client-{client}", "addresses": [_addresses(1, CLIENTS)[client]],
        "container": "", "owner": number, "peers": [peer], "start_ns": start_ns,
        "stop_ns": stop_ns, "outcome": "ok", "exit_code": 0, "effect": None,
    }  # fmt: skip


def _manifest() -> dict[str, object]:
    return {
        "run_id": "run", "name": "made-up", "status": "complete", "reason": "", "seed": 1,
        "backend": "netns", "topology_sha256": "", "images": {}, "notes": [], "versions": {},
        "machine": {}, "evidence": "none: made up", "start_ns": BEGIN_NS, "stop_ns": BEGIN_NS,
        "counts": {}, "captures": [], "sha256": {},
    }  # fmt: skip


if __name__ == "__main__":
    main()
