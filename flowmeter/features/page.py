"""The reference page of the flow table's columns, from the tables that make them.

``python -m flowmeter.features.page`` writes it anew; a test tells when that is due.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from flowmeter.config import MeterConfig
from flowmeter.features import FEATURE_SETS, FEATURES, GROUPS, feature_table
from flowmeter.table import FIXED, SEQUENCES

PAGE: Final = Path("docs/reference/flow-features.md")
_FEATURE_HEAD: Final = ("name", "unit", "type", "sets", "definition", "source")
_INTRODUCTION: Final = """\
# Columns of the flow table

Made from `flowmeter/features/` and `flowmeter/table.py` by `python -m flowmeter.features.page`. The
same words are in each column's metadata: role, unit, group, definition, source.

Columns that begin with `c2s_` tell of the packets that the initiator sent, `s2c_` of the
responder's. What cannot be known is NaN: the spacing of a single packet, a handshake that was not
seen, the sizes of a silent side. Counts are 0 then. Spreads are of the whole flow (divisor n).
Lengths are those that headers tell, not what a capture kept of a packet.

Only columns of the roles feature and sequence are for models. The others say which flow it is:
addresses, ports and moments, by which a model would know the lab again instead of the traffic.
"""


def page() -> str:
    """The page as Markdown.

    Examples
    --------
    >>> page().splitlines()[0]
    '# Columns of the flow table'
    """
    return "\n".join((_INTRODUCTION, *_sets(), *_fixed(), *_groups(), *_sequences()))


def _sets() -> Iterator[str]:
    yield "## Feature sets\n"
    rows = [
        (f"`{name}`", str(len(feature_table(name))), text) for name, text in FEATURE_SETS.items()
    ]
    yield _table(("set", "features", "what it is"), rows)
    recent = sum(feature.group == "recent" for feature in FEATURES)
    yield (
        f"A window (`recent_s` above 0) adds the {recent} features of the group recent to any set. "
        "Every set but `netflow` comes with the sequences. The twelve fields of `netflow` are its "
        "own `tcp_flags`, `packets`, `ip_bytes`, `flows` and `tos`, with `duration_s`, `first_ns`, "
        "`protocol`, both addresses and both ports.\n"
    )


def _fixed() -> Iterator[str]:
    yield "## In every table\n"
    rows = [
        (f"`{column.name}`", column.role, column.unit, str(column.kind), column.definition,
         column.source)
        for column in FIXED
    ]  # fmt: skip
    yield _table(("name", "role", "unit", "type", "definition", "source"), rows)


def _groups() -> Iterator[str]:
    yield "## Features\n"
    for group, text in GROUPS.items():
        features = [feature for feature in FEATURES if feature.group == group]
        rows = [
            (f"`{feature.name}`", feature.unit, feature.dtype,
             ", ".join(feature.sets) or "with `recent_s`", feature.definition, feature.source)
            for feature in features
        ]  # fmt: skip
        yield f"### {group}\n\n{text[0].upper()}{text[1:]}: {len(rows)} features.\n"
        yield _table(_FEATURE_HEAD, rows)


def _sequences() -> Iterator[str]:
    yield (
        "## Sequences\n\nLists with one number for each of a flow's first packets, both directions "
        f"in one order: {MeterConfig().sequence} of them, or as many as `sequence` says (1 to 255)."
        "\n"
    )
    rows = [
        (f"`{column.name}`", column.unit, str(column.kind), column.definition, column.source)
        for column in SEQUENCES
    ]
    yield _table(("name", "unit", "type", "definition", "source"), rows)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [tuple(head)]
    lines += [("---",) * len(lines[0]), *map(tuple, rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
