"""Time per packet from 10^5 to 10^7 packets: it must not grow, nor with flows that have ended.

    python -m benchmarks.linear big.pcap --most 10000000

Each size is the beginning of the capture, read once more from its start if it is too short.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from itertools import islice
from pathlib import Path

from benchmarks.timing import median, publish, run


def head(capture: Path, packets: int, out: Path) -> int:
    """Write the first packets of a capture by `benchmarks.traffic`; how many."""
    command = [sys.executable, "-m", "benchmarks.traffic", "--head", str(capture)]
    run([*command, "--packets", str(packets), str(out)])
    return packets


def main() -> None:
    """Measure sizes a decade apart, with two steps in each."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("capture", type=Path)
    options.add_argument("--most", type=int, default=10**7)
    options.add_argument("--runs", type=int, default=3)
    asked = options.parse_args()
    sizes = [size * 10**power for power in range(5, 8) for size in (1, 3)]
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder:
        part, out = Path(folder) / "part.pcap", Path(folder) / "x.parquet"
        for size in islice((size for size in sizes if size <= asked.most), None):
            written = head(asked.capture, size, part)
            command = [sys.executable, "-m", "gsta", "meter", str(part), "--out", str(out)]
            once = median([run(command) for _ in range(asked.runs)])
            counting = run([sys.executable, "-m", "benchmarks.phases", "rows", str(out)])
            flows = int(counting.output)
            rows.append([written, flows, once.seconds, 1e6 * once.cpu_s / written, once.peak_mb])
    columns = ["packets", "flows", "s", "CPU µs per packet", "peak MB"]
    publish("Cost and number of packets", "python -m benchmarks.linear", columns, rows)


if __name__ == "__main__":
    main()
