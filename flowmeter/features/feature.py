"""What a feature is, which sets there are, and the words that features of one kind share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from flowmeter.core.layout import C2S, S2C
from flowmeter.features.columns import Column, Columns, Compute

Dtype: TypeAlias = Literal["int32", "int64", "float32", "float64"]

# What each group holds, in the order of the flow table's columns.
GROUPS: Final = {
    "timing": "how long, and how far apart",
    "rates": "over the flow's duration",
    "first": "the first packets with payload",
    "counts": "packets by kind",
    "sizes": "bytes and packet lengths",
    "moments": "the shape of the distributions of sizes and gaps",
    "flags": "packets by TCP flag",
    "rtt": "round trips",
    "tcp": "what TCP did about loss, reordering and full buffers",
    "stack": "what an operating system's network stack chose",
    "bursts": "packets with payload from one side without an answer between them",
    "activity": "periods with packets, and the silences between them",
    "handshake": "TLS and QUIC, as far as their clear headers tell",
    "recent": "what else the hosts did in the last seconds",
    "netflow": "the fields of a NetFlow record, and what I-LADS derives from them",
}
FEATURE_SETS: Final = {
    "basic": "what any flow shows in its own traffic; no TTL, no TCP window",
    "tstat": "what Tstat's TCP and UDP logs carry that headers tell",
    "full": "every feature, with those of a host's network stack, by which a lab betrays itself",
    "netflow": "the twelve NetFlow fields that I-LADS learns from, and the four it derives",
}
BASIC: Final = ("basic", "full")
BASIC_TSTAT: Final = ("basic", "tstat", "full")
TSTAT: Final = ("tstat", "full")
FULL: Final = ("full",)

DIRECTIONS: Final = (("c2s", "initiator to responder", C2S), ("s2c", "responder to initiator", S2C))
IP_LENGTH: Final = "IPv4 total length (RFC 791); IPv6 payload length + 40 (RFC 8200)"
PAYLOAD: Final = "IP length less headers (TCP, RFC 9293); UDP length - 8 (RFC 768)"
TCP_FLAGS: Final = "TCP flags (RFC 9293)"
TIMES: Final = "packet time stamps"


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature: what it is called, what it means, and how it comes from a flow's counters.

    ``source`` names the header fields it is made of, or the document that defines it; ``compute``
    makes the column [n] of a batch, in any numeric type that `dtype` can take. A feature in no set
    is one of the window features, which `MeterConfig.recent_s` turns on.

    Examples
    --------
    >>> from flowmeter import feature_table
    >>> feature_table("basic")[0].unit
    's'
    """

    name: str
    unit: str
    dtype: Dtype
    group: str
    definition: str
    source: str
    compute: Compute
    sets: tuple[str, ...]


def each_side(  # noqa: PLR0917 - in the order of Feature's fields
    name: str, unit: str, dtype: Dtype, group: str, definition: str, source: str,
    both: Compute, sets: tuple[str, ...],
) -> Iterator[Feature]:  # fmt: skip
    """The feature of the initiator's packets and of the responder's.

    ``both`` computes both columns at once [2, n]. The path goes into the definition where that
    says ``{path}``, else behind it.
    """
    if "{path}" not in definition:
        definition += ", {path}"
    for prefix, path, side in DIRECTIONS:
        text = definition.format(path=path)
        yield Feature(f"{prefix}_{name}", unit, dtype, group, text, source, _of(both, side), sets)


def _of(both: Compute, side: int) -> Compute:
    def compute(columns: Columns) -> Column:
        column: Column = columns.once(both)[side]
        return column

    return compute
