"""What the clear first bytes of a payload tell: TLS records and QUIC long headers.

Only the fixed header fields at the beginning of a segment or datagram are looked at, as far as they
were captured; names and certificates are not.
"""

from __future__ import annotations

from flowmeter.core.jit import helper
from flowmeter.core.layout import (
    QUIC_LONG,
    TLS_CLIENT_HELLO,
    TLS_DATA,
    TLS_OTHER_HANDSHAKE,
    TLS_SERVER_HELLO,
    Bytes,
    Record,
)
from flowmeter.core.reading import u8, u16, u32

HANDSHAKE, APPLICATION_DATA = 0x16, 0x17
LONGEST_CONNECTION_ID = 20


@helper
def tls(data: Bytes, packet: Record, at: int, end: int) -> None:
    """Note a TLS record that begins at ``at``, where at least five bytes can be read."""
    kind = u8(data, at)
    if kind not in (HANDSHAKE, APPLICATION_DATA) or u8(data, at + 1) != 3 or u8(data, at + 2) > 4:
        return
    if kind == APPLICATION_DATA:
        packet.hello = TLS_DATA
    elif end - at >= 11:
        message = u8(data, at + 5)
        version = u16(data, at + 9)
        # Once keys are in use the type is noise: a hello also has a version of SSL 3 or TLS.
        if message in (1, 2) and 0x0300 <= version <= 0x0304:
            packet.hello = TLS_CLIENT_HELLO if message == 1 else TLS_SERVER_HELLO
            packet.hello_version = version
            packet.hello_bytes = u8(data, at + 6) * 65536 + u16(data, at + 7)
        else:
            packet.hello = TLS_OTHER_HANDSHAKE


@helper
def quic(data: Bytes, packet: Record, at: int, end: int) -> None:
    """Note a QUIC long header at ``at``, where at least seven bytes can be read."""
    version = u32(data, at + 1)
    known = version
    if version == 0:
        # Version negotiation: two connection ids, each after its length, then versions to choose.
        first = u8(data, at + 5)
        second_at = at + 6 + first
        if first > LONGEST_CONNECTION_ID or second_at >= end:
            return
        second = u8(data, second_at)
        listed_at = second_at + 1 + second
        left = packet.payload_bytes - (listed_at - at)
        if second > LONGEST_CONNECTION_ID or left % 4 or listed_at + 4 > end:
            return
        known = u32(data, listed_at)
    elif u8(data, at) < 0xC0:
        return
    # QUIC 1 and 2, drafts, Google's Q0.. and T0.., Meta's, and those reserved for greasing.
    if (
        known in (1, 0x6B3343CF, 0x709A50C4)
        or known >> 8 == 0xFF0000
        or known >> 16 in (0x5130, 0x5430)
        or known >> 4 == 0xFACEB00
        or known & 0x0F0F0F0F == 0x0A0A0A0A
    ):
        packet.hello = QUIC_LONG
        packet.hello_version = version
        packet.hello_bytes = packet.payload_bytes
