"""How long an audit takes, against the number of flows and processor cores.

    python -m benchmarks.audit_speed --most 1000000

Each measurement is one process that audits a Parquet file of a healthy table, padded to as many
features as the flow meter has, with tools and impairments for the checks that ask for them. The
processor's time tells on a busy machine too; there `--cores 2` alone saves half of it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.planted import clean
from benchmarks.timing import publish, run

FEATURES = 75


def main() -> None:
    """Write tables, audit them, and publish."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--most", type=int, default=1_000_000)
    options.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    asked = options.parse_args()
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for flows in (10_000, 100_000, 1_000_000):
            if flows > asked.most:
                break
            command = _audit(Path(folder), flows)
            for cores in asked.cores:
                once = run(command, cores=cores)
                checks = len(json.loads(once.output))
                rows.append([f"{flows:,}", cores, checks, once.seconds, once.cpu_s, once.peak_mb])
                print(rows[-1], file=sys.stderr)
    columns = ["flows", "cores", "checks", "s", "processor s", "peak MB"]
    publish(f"Auditing: {FEATURES} features", "python -m benchmarks.audit_speed", columns, rows)


def _audit(folder: Path, flows: int) -> list[str]:
    """The command that audits a table of so many flows, which it writes."""
    table = clean(1, flows)
    rng = np.random.default_rng(2)
    for number in range(FEATURES - len(table.features)):
        table.add(f"padding_{number}_bytes", rng.lognormal(5, 1, flows).astype(np.float32))
    _, classes = np.unique(table.label, return_inverse=True)
    table.context["tool"] = np.char.mod("tool-%d", 3 * classes + rng.integers(3, size=flows))
    table.context["impairment"] = rng.choice(["perfect", "delay 20 ms", "loss 1 %"], flows)
    path, mapping = folder / f"{flows}.parquet", folder / "mapping.json"
    columns = {**table.columns, "label": table.label, "split": table.split, **table.context}
    pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), path)
    roles = {name: {"role": role, "group": group} for name, (role, group) in table.roles.items()}
    roles |= {name: {"role": name} for name in table.context}
    roles |= {"label": {"role": "label"}, "split": {"role": "split"}}
    mapping.write_text(json.dumps({"name": "speed", "columns": roles, "benign": ["web"]}))
    # Exit code 4 says that a check failed; here only the time counts.
    return ["sh", "-c", '"$@"; [ $? -le 4 ]', "audit", sys.executable, "-m", "gsta", "audit",
            "--flows", str(path), "--mapping", str(mapping), "--format", "json"]  # fmt: skip


if __name__ == "__main__":
    main()
