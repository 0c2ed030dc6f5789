"""The golden captures as the package has them: written with rows by the reference meter.

    python -m tests.flowmeter.golden_rows

writes them anew; what changes then is to be judged by a person, against the facts each capture
states. A row is stored without the columns that are 0 or unknown.
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any, Final

from flowmeter.selftest import FOLDER, golden_case, is_default, ordered
from tests.flowmeter import (
    golden_flows,
    golden_formats,
    golden_links,
    golden_payload,
    golden_tcp,
    golden_tstat,
    golden_tunnels,
)
from tests.flowmeter.golden_formats import pcap
from tests.flowmeter.golden_kit import GOLDEN, Golden
from tests.flowmeter.reference import Reference, Settings
from tests.flowmeter.reference_tstat import TstatReference

MODULES: Final = (
    golden_formats, golden_links, golden_tunnels, golden_flows, golden_tstat, golden_tcp,
    golden_payload,
)  # fmt: skip


def stored(name: str) -> list[dict[str, Any]]:
    return list(golden_case(name).rows)


def files_of(golden: Golden) -> dict[str, bytes]:
    """The capture's files by name."""
    whole = [("capture.pcap", pcap(golden.frames, link=golden.link))]
    return dict(golden.files or whole)


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
        golden = build()
        rows, _ = computed(golden)
        told = {
            "config": golden.config,
            "files": {file: b64encode(data).decode() for file, data in files_of(golden).items()},
            "rejects": golden.rejects,
            "rows": rows,
        }
        text = json.dumps(told, indent=1, sort_keys=True)
        (FOLDER / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
