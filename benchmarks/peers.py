"""How far the meter agrees with Tstat's logs, column by column, and why where it does not.

GSTA_DATA=… python -m benchmarks.peers
"""

from __future__ import annotations

from collections import Counter

from benchmarks.timing import publish
from tests.flowmeter.test_peers import BARS, Agreement, beside_tstat
from tests.flowmeter.tstat_rules import REASONS


def main() -> None:
    """Print and keep both tables."""
    result = beside_tstat()
    command = "python -m benchmarks.peers"
    columns = ["column", "compared", "equal", "bar", "unequal", "reasons"]
    publish("Agreement with Tstat", command, columns, agreement(result))
    columns = ["reason", "values", "flows", "captures", "columns"]
    publish("Why the rest differs from Tstat", command, columns, reasons(result))
    for name, reason in REASONS.items():
        print(f"- {name}: {reason.text}")


def agreement(result: Agreement) -> list[list[object]]:
    """One row per column; nothing is left out."""
    rows: list[list[object]] = []
    for column, compared in sorted(result.compared.items()):
        bar = f"{100 * BARS[column]:.1f} %" if column in BARS else ""
        unequal = [item for item in result.unequal if item.column == column]
        why = Counter(item.reason or "unknown" for item in unequal)
        told = ", ".join(f"{name} {count}" for name, count in why.most_common())
        share = f"{100 * result.equal(column):.2f} %"
        rows.append([column, compared, share, bar, len(unequal), told])
    return rows


def reasons(result: Agreement) -> list[list[object]]:
    """One row per reason, the most frequent first."""
    count = Counter(item.reason or "unknown" for item in result.unequal)
    rows: list[list[object]] = []
    for name, values in count.most_common():
        of_it = [item for item in result.unequal if (item.reason or "unknown") == name]
        flows = len({(item.capture, item.flow) for item in of_it})
        captures = len({item.capture for item in of_it})
        where = Counter(item.column for item in of_it)
        told = ", ".join(f"{column} {times}" for column, times in where.most_common())
        rows.append([name, values, flows, captures, told])
    return rows


if __name__ == "__main__":
    main()
