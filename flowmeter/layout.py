"""Memory layouts that the compiled loops share: a packet, a flow, one side of a flow.

They are numpy record types, so that a loop says ``side.packets += 1`` and a change of layout is a
change of type, which renews compiled code by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

SEQUENCE_LENGTH: Final = 32
FIRST_PAYLOADS: Final = 12
C2S, S2C = 0, 1  # direction of a packet, and index of the side that sent it

Bytes: TypeAlias = npt.NDArray[np.uint8]
Records: TypeAlias = npt.NDArray[np.void]
Integers: TypeAlias = npt.NDArray[np.int64]
Slots: TypeAlias = npt.NDArray[np.int32]
# A record inside a compiled loop, read and written by attribute: numpy has no type for that.
Record: TypeAlias = Any

PACKET: Final = np.dtype(
    [
        # Filled by the file walkers.
        ("time_ns", "i8"),  # since 1970; -1: the file holds none that can be
        ("at", "i8"),  # where the frame begins in the block that was read
        ("captured", "i8"),
        ("wire", "i8"),
        ("link", "i4"),  # link type; -1: the file does not say
        # Filled by the dissector.
        ("reject", "i4"),  # 0: belongs to a flow
        ("src_hi", "u8"),
        ("src_lo", "u8"),
        ("dst_hi", "u8"),
        ("dst_lo", "u8"),
        ("src_port", "u2"),
        ("dst_port", "u2"),
        ("version", "u1"),
        ("protocol", "u1"),
        ("fragmented", "u1"),  # the first fragment of a larger datagram
        ("ttl", "u1"),
        ("flags", "u1"),
        ("ip_bytes", "i4"),
        ("payload_bytes", "i4"),
        ("seq", "u4"),
        ("ack", "u4"),
        ("window", "u2"),
        # Filled from those: the key of its flow, as in FLOW.
        ("from_low", "u1"),  # the sender is the lower end point
        ("low_hi", "u8"),
        ("low_lo", "u8"),
        ("high_hi", "u8"),
        ("high_lo", "u8"),
        ("tag", "u8"),
        ("hash", "u8"),
    ],
    align=True,
)

FLOW: Final = np.dtype(
    [
        # The key: both end points, the lower one first.
        ("low_hi", "u8"),
        ("low_lo", "u8"),
        ("high_hi", "u8"),
        ("high_lo", "u8"),
        ("tag", "u8"),  # version, protocol and both ports
        ("hash", "u8"),
        ("client_low", "u1"),  # the initiator is the lower end point
        ("used", "u1"),
        ("closed", "u1"),
        ("handshake_broken", "u1"),
        ("ordinal", "u4"),  # tells apart flows of one key that began in the same nanosecond
        ("first_ns", "i8"),
        ("last_ns", "i8"),
        ("packets", "i8"),
        ("iat_min", "i8"),
        ("iat_max", "i8"),
        ("iat_mean", "f8"),
        ("iat_m2", "f8"),
        ("syn_ns", "i8"),
        ("synack_ns", "i8"),
        ("ack_ns", "i8"),
    ],
    align=True,
)

SIDE: Final = np.dtype(
    [
        ("packets", "i8"),
        ("ip_bytes", "i8"),
        ("payload_bytes", "i8"),
        ("payload_packets", "i8"),
        ("pure_acks", "i8"),
        ("fin", "i8"),
        ("syn", "i8"),
        ("rst", "i8"),
        ("psh", "i8"),
        ("ack", "i8"),
        ("urg", "i8"),
        ("ece", "i8"),
        ("cwr", "i8"),
        ("size_min", "i8"),
        ("size_max", "i8"),
        ("size_mean", "f8"),
        ("size_m2", "f8"),
        ("last_ns", "i8"),
        ("iat_min", "i8"),
        ("iat_max", "i8"),
        ("iat_mean", "f8"),
        ("iat_m2", "f8"),
        ("first_payload_ns", "i8"),
        ("isn", "u4"),
        ("fin_end", "u4"),  # the number that acknowledges the FIN
        ("isn_known", "u1"),
        ("fin_acked", "u1"),
        ("ttl_min", "u1"),
        ("ttl_max", "u1"),
        ("window", "i4"),
    ],
    align=True,
)

CURSOR: Final = np.dtype(
    [("free", "i8"), ("finished", "i8"), ("clock_ns", "i8"), ("earlier_ns", "i8")], align=True
)

LIMITS: Final = np.dtype(
    [("tcp_idle_ns", "i8"), ("udp_idle_ns", "i8"), ("active_ns", "i8"), ("linger_ns", "i8")],
    align=True,
)


class Store(NamedTuple):
    """The open flows: a hash table of slots, the records in those slots, and stacks of slots."""

    table: Slots  # slot of the flow at this hash position, -1: empty
    flows: Records  # FLOW [slots]
    sides: Records  # SIDE [slots, 2]
    sizes: npt.NDArray[np.int32]  # [slots, SEQUENCE_LENGTH]
    directions: npt.NDArray[np.int8]
    gaps: npt.NDArray[np.float32]
    payloads: npt.NDArray[np.int32]  # [slots, FIRST_PAYLOADS], negative from the responder
    free: Slots  # stack of slots to use
    finished: Slots  # stack of slots whose flow has ended
    cursor: Records  # CURSOR [1]
    limits: Records  # LIMITS [1]
    blank_flow: Records  # FLOW [1]
    blank_side: Records  # SIDE [1]


@dataclass(frozen=True, slots=True)
class Rows:
    """Finished flows, in the core's own layout; all arrays have one entry per flow."""

    flows: Records  # FLOW [n]
    sides: Records  # SIDE [n, 2]
    sizes: npt.NDArray[np.int32]  # [n, SEQUENCE_LENGTH]
    directions: npt.NDArray[np.int8]
    gaps: npt.NDArray[np.float32]
    payloads: npt.NDArray[np.int32]  # [n, FIRST_PAYLOADS], negative from the responder, 0 none


def new_store(slots: int, limits: Records) -> Store:
    """Room for ``slots`` (a power of two) open flows."""
    blank_flow = np.zeros(1, FLOW)
    for field in ("syn_ns", "synack_ns", "ack_ns"):
        blank_flow[field] = -1
    blank_side = np.zeros(1, SIDE)
    for field in ("window", "first_payload_ns"):
        blank_side[field] = -1
    for blank, fields in ((blank_flow, ["iat_min"]), (blank_side, ["iat_min", "size_min"])):
        for field in fields:
            blank[field] = np.iinfo(np.int64).max
    blank_side["ttl_min"] = 255
    cursor = np.zeros(1, CURSOR)
    cursor["free"] = slots
    return Store(
        table=np.full(2 * slots, -1, np.int32),
        flows=np.zeros(slots, FLOW),
        sides=np.zeros((slots, 2), SIDE),
        sizes=np.zeros((slots, SEQUENCE_LENGTH), np.int32),
        directions=np.zeros((slots, SEQUENCE_LENGTH), np.int8),
        gaps=np.zeros((slots, SEQUENCE_LENGTH), np.float32),
        payloads=np.zeros((slots, FIRST_PAYLOADS), np.int32),
        free=np.arange(slots - 1, -1, -1, dtype=np.int32),
        finished=np.zeros(slots, np.int32),
        cursor=cursor,
        limits=limits,
        blank_flow=blank_flow,
        blank_side=blank_side,
    )


def grown(store: Store) -> Store:
    """The same flows with twice the room; the hash table is empty and must be rebuilt."""
    slots = len(store.flows)
    larger = new_store(2 * slots, store.limits)
    for name in ("flows", "sides", "sizes", "directions", "gaps", "payloads"):
        getattr(larger, name)[:slots] = getattr(store, name)
    free = int(store.cursor["free"][0])
    larger.free[:slots] = np.arange(2 * slots - 1, slots - 1, -1)
    larger.free[slots : slots + free] = store.free[:free]
    larger.cursor[:] = store.cursor
    larger.cursor["free"] = slots + free
    finished = int(store.cursor["finished"][0])
    larger.finished[:finished] = store.finished[:finished]
    return larger
