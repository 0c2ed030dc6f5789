"""Parts of the meter in one process, each printing seconds or a count: what other benchmarks call.

python benchmarks/phases.py walk|meter|start CAPTURE
"""

from __future__ import annotations

import sys
import time
from itertools import repeat
from pathlib import Path


def main() -> None:
    """Run the phase named on the command line."""
    phase, path = sys.argv[1], Path(sys.argv[2])
    print(PHASES[phase](path))


def start(path: Path) -> float:
    """From the start of the program to the first batch of dissected packets in the engine.

    What later steps need compiled at the first use is compiled then, too, but not in this time.
    """
    began = time.perf_counter()
    packets, engine = _opened(path)
    engine.feed(next(packets))
    took = time.perf_counter() - began
    from flowmeter.features import feature_table
    from flowmeter.features.compiled import kernel

    kernel(feature_table())
    return took


def metered(path: Path) -> float:
    """Dissecting and metering all packets, compilation and output left out."""
    packets, engine = _opened(path)
    engine.feed(next(packets))
    began = time.perf_counter()
    for batch in packets:
        for _ in engine.feed(batch):  # flows that nobody takes stay in the table
            pass
    for _ in engine.finish():
        pass
    return time.perf_counter() - began


def walk(path: Path) -> float:
    """Only reading record headers, by the meter's own compiled walker."""
    import numpy as np

    from flowmeter.core.packet import PACKET
    from flowmeter.input import pcap
    from flowmeter.input.blocks import Blocks

    packets = np.zeros(4096, PACKET)
    with Blocks(path) as blocks:
        steps = pcap.walk(blocks, repeat(packets))
        next(steps)
        began = time.perf_counter()
        for _ in steps:
            pass
        return time.perf_counter() - began


def count(path: Path) -> int:
    """Records in a capture."""
    from flowmeter.input.capture import CaptureReader

    return sum(len(batch) for batch in CaptureReader(path).batches())


def rows(path: Path) -> int:
    """Rows in a Parquet file."""
    import pyarrow.parquet as pq

    return int(pq.ParquetFile(path).metadata.num_rows)


def _opened(path: Path):  # type: ignore[no-untyped-def]
    from flowmeter.config import MeterConfig
    from flowmeter.engine import Engine
    from flowmeter.sources import opened

    config = MeterConfig()
    with opened(path, config) as source:
        return source.batches(), Engine(config)


PHASES = {"start": start, "meter": metered, "walk": walk, "count": count, "rows": rows}

if __name__ == "__main__":
    main()
