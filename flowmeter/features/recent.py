"""What else the hosts of a flow did in the seconds before it began: how scans show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flowmeter.features.columns import Column, Columns, Compute
from flowmeter.features.feature import Feature

SOURCE: Final = "time stamps and keys of flows that began before; Lee and Stolfo 2000 (KDD Cup 99)"


def features() -> Iterator[Feature]:
    """Group recent, in no set: `MeterConfig.recent_s` turns it on."""
    for field, unit, text in (
        ("pair_flows", "flows", "flows from the same initiator to the same responder"),
        ("pair_ports", "ports",
         "responder's ports, distinct, of flows from the same initiator to the same responder"),
        ("source_flows", "flows", "flows from the same initiator"),
        ("source_hosts", "hosts", "responders, distinct, of flows from the same initiator"),
        ("target_flows", "flows", "flows to the same responder"),
        ("service_flows", "flows", "flows to the same responder, protocol and port"),
    ):  # fmt: skip
        yield Feature(
            f"recent_{field}", unit, "int32", "recent",
            f"{text}, among those that began in the last recent_s seconds, before this one",
            SOURCE, _field(field), (),
        )  # fmt: skip


def _field(field: str) -> Compute:
    def compute(columns: Columns) -> Column:
        return columns.recent(field)

    return compute
