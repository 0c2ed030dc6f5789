"""The memory layout of a packet on its way from a file walker to its flow: two cache lines."""

from __future__ import annotations

from typing import Any, Final

import numpy as np


def _overlaid(fields: tuple[tuple[str, str], ...], **places: str) -> np.dtype[np.void]:
    """A record type; further names stand for the places of fields that are used no more by then."""
    record = np.dtype(list(fields), align=True)
    named: Any = record.fields
    of = {**{name: name for name in named}, **places}
    return np.dtype(
        {
            "names": list(of),
            "formats": [named[name][0] for name in of.values()],
            "offsets": [named[name][1] for name in of.values()],
            "itemsize": record.itemsize,
        },
        align=True,
    )


PACKET: Final = _overlaid(
    (
        # Filled by the file walkers.
        ("time_ns", "i8"),  # since 1970; -1: the file holds none that can be
        # Filled by the dissector.
        ("src_hi", "u8"),
        ("src_lo", "u8"),
        ("dst_hi", "u8"),
        ("dst_lo", "u8"),
        ("tag", "u8"),  # of a fragment what tells its datagram, then as in FLOW
        ("hash", "u8"),  # filled with the key
        # Filled by the file walkers.
        ("at", "i4"),  # where the frame begins in the block that was read
        ("captured", "i4"),
        ("wire", "u4"),
        ("link", "i4"),  # link type; -1: the file does not say
        # Filled by the dissector.
        ("ip_bytes", "i4"),
        ("payload_bytes", "i4"),
        ("beyond", "i4"),  # payload that lengths claim beyond the frame; -1: the IPv4 length is 0
        ("seq", "u4"),
        ("ack", "u4"),
        ("hello_version", "u4"),  # TLS: the 16 bits of the record's body; QUIC: its 32 bits
        ("hello_bytes", "i4"),  # TLS: length of the handshake message; QUIC: UDP payload
        ("slot", "i4"),  # filled by the tracker: of the flow that took it; -1: none
        ("src_port", "u2"),  # 0 for protocols without ports
        ("dst_port", "u2"),
        ("mss", "u2"),  # 0: not announced
        ("window", "u2"),
        ("ip_id", "u2"),  # 0 for IPv6
        ("version", "u1"),
        ("protocol", "u1"),
        ("fragment", "u1"),
        ("ttl", "u1"),
        ("tos", "u1"),  # IPv4 TOS, IPv6 traffic class
        ("flags", "u1"),
        ("options", "u1"),
        ("window_scale", "i1"),  # -1: not offered
        ("hello", "u1"),
        ("reject", "u1"),  # 0: belongs to a flow
        ("from_low", "u1"),  # filled with the key: the sender is the lower end point
        # Filled by the tracker.
        ("opens", "u1"),  # 0: no; 1: a flow began with it; 2: the next segment of one did
        ("direction", "u1"),  # C2S or S2C in that flow
    ),
    # Filled with the key of its flow, as in FLOW, which takes the place of the addresses.
    low_hi="src_hi",
    low_lo="src_lo",
    high_hi="dst_hi",
    high_lo="dst_lo",
)
