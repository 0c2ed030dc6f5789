"""The stored rows of the golden captures: reading them, and writing them by the reference meter.

    python -m tests.flowmeter.golden_rows

writes them anew; what changes then is to be judged by a person, against the facts each capture
states. A row is stored without the columns that are 0 or unknown.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

from tests.flowmeter import (
    golden_flows,
    golden_formats,
    golden_links,
    golden_payload,
    golden_tcp,
    golden_tstat,
    golden_tunnels,
)
from tests.flowmeter.golden_kit import GOLDEN, Golden
from tests.flowmeter.reference import Reference, Settings, ordered
from tests.flowmeter.reference_tstat import TstatReference

FOLDER: Final = Path(__file__).parent / "golden"
MODULES: Final = (
    golden_formats, golden_links, golden_tunnels, golden_flows, golden_tstat, golden_tcp,
    golden_payload,
)  # fmt: skip


def stored(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text())
    return rows


def is_default(value: Any) -> bool:
    if isinstance(value, list):
        return not any(value)
    return value == 0 or (isinstance(value, float) and math.isnan(value))


def computed(golden: Golden) -> tuple[list[dict[str, Any]], int]:
    """Rows and number of rejected packets by the reference meter."""
    choices = dict(golden.config)
    kind = TstatReference if choices.pop("semantics", "gsta") == "tstat" else Reference
    inner = choices.pop("tunnels", "outer") == "inner"
    meter = kind(Settings(link=golden.link, inner=inner, **choices))
    for frame in golden.frames:
        meter.take(frame.time_ns, frame.data, frame.wire)
    rows = [
        {name: value for name, value in row.items() if not is_default(value)}
        for row in ordered(meter.finish())
    ]
    return rows, meter.rejected


def main() -> None:
    for name, build in GOLDEN.items():
        rows, _ = computed(build())
        text = json.dumps(rows, indent=1, sort_keys=True)
        (FOLDER / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
