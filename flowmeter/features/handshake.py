"""Handshakes of TLS and QUIC: versions and lengths from their clear headers, never their names."""

from __future__ import annotations

from collections.abc import Iterator

from flowmeter.features.columns import (
    Column,
    Columns,
    Compute,
    divisor,
    known,
    side_field,
    since_start_ms,
)
from flowmeter.features.feature import FULL, TIMES, TSTAT, Feature, each_side


def features() -> Iterator[Feature]:
    """Group handshake."""
    for name, unit, field, text, sets in (
        ("tls_client_version", "1", "tls_client_version",
         "legacy_version in the client's hello, 771 for TLS 1.2 and 1.3", TSTAT),
        ("tls_server_version", "1", "tls_server_version",
         "legacy_version in the server's hello, 771 for TLS 1.2 and 1.3", TSTAT),
        ("tls_client_hello_bytes", "bytes", "tls_client_hello",
         "length of the client's hello, a handshake message", FULL),
        ("tls_server_hello_bytes", "bytes", "tls_server_hello",
         "length of the server's hello, a handshake message", FULL),
    ):  # fmt: skip
        yield Feature(
            name, unit, "float32", "handshake", f"{text}; NaN if it was not seen",
            "RFC 8446, RFC 5246", _above_zero(field), sets,
        )  # fmt: skip
    yield Feature(
        "tls_first_data_ms", "ms", "float32", "handshake",
        "from the flow's first packet to the first segment that begins with a record of "
        "application data; NaN if there is none", f"RFC 8446, RFC 5246; {TIMES}", _first_data,
        TSTAT,
    )  # fmt: skip
    yield Feature(
        "quic_version", "1", "float64", "handshake",
        "version in the first long header that has one above 0, 1 for RFC 9000; NaN if none has",
        "RFC 8999", _above_zero("quic_version"), TSTAT,
    )  # fmt: skip
    yield from each_side(
        "quic_long_packets", "packets", "int32", "handshake",
        "packets that begin with a QUIC long header", "RFC 8999", side_field("quic_long"), FULL,
    )  # fmt: skip
    yield from each_side(
        "quic_initial_bytes", "bytes", "float32", "handshake",
        "UDP payload of the first packet with a QUIC long header, {path}; NaN if there is none",
        "RFC 9000", _quic_initial, FULL,
    )  # fmt: skip


def _above_zero(field: str) -> Compute:
    return lambda columns: divisor(columns.flow(field))


def _first_data(columns: Columns) -> Column:
    return since_start_ms(columns.flow("tls_data_ns"), columns)


def _quic_initial(columns: Columns) -> Column:
    return known(columns.side("quic_first"), columns.side("quic_long") > 0)
