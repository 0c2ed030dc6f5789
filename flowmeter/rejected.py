"""Packets that are in no flow: the reasons there are, and how often each was one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowmeter.core.layout import Integers


def reject_table() -> dict[str, str]:
    """Every reason why a packet is in no flow, and what it means."""
    from flowmeter.core.rejects import REJECTS
    from flowmeter.input.capture import TAILS

    return dict((*REJECTS[1:], *TAILS))


def reject_counts(codes: Integers, tails: Mapping[str, str]) -> dict[str, int]:
    """Rejected packets by reason, none at 0.

    ``codes`` counts by reject code; a file in ``tails`` broke off within a packet, which counts.
    """
    from flowmeter.core.rejects import REJECTS
    from flowmeter.input.capture import TAILS

    counts = {name: int(count) for (name, _), count in zip(REJECTS[1:], codes[1:], strict=True)}
    for name, _ in TAILS:
        counts[name] = sum(tail == name for tail in tails.values())
    return {name: count for name, count in counts.items() if count}
