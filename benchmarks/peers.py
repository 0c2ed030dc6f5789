"""How far the meter agrees with Tstat's logs, column by column, and where it does not.

GSTA_DATA=… python -m benchmarks.peers
"""

from __future__ import annotations

import json

from benchmarks.timing import publish
from tests.flowmeter.test_peers import BARS, KNOWN, bare, beside_tstat


def main() -> None:
    """Print and keep the table."""
    result = beside_tstat()
    reasons = {
        name: entry["reason"] for entry in json.loads(KNOWN.read_text())
        for name in entry["captures"]
    }  # fmt: skip
    rows: list[list[object]] = []
    for column, compared in sorted(result.compared.items()):
        captures = [name for name, columns in result.different.items() if column in columns]
        explained = sum(name in reasons for name in captures)
        bar = f"{100 * BARS[bare(column)]:.1f} %" if bare(column) in BARS else ""
        share = f"{100 * result.equal[column] / compared:.2f} %"
        rows.append([column, compared, share, bar, len(captures), explained])
    columns = ["column", "compared", "equal", "bar", "captures that differ", "of known reason"]
    publish("Agreement with Tstat", "python -m benchmarks.peers", columns, rows)
    for entry in json.loads(KNOWN.read_text()):
        print(f"- {entry['reason']}: {', '.join(entry['captures'])}")


if __name__ == "__main__":
    main()
