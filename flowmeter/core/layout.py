"""Memory layouts that the compiled loops share: a flow, its two sides, sent segments.

They are numpy record types, so that a loop says ``side.packets += 1`` and a change of layout is a
change of type, which renews compiled code by itself.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

FIRST_PAYLOADS: Final = 12
SIZE_BINS: Final = 8
LINE_BYTES: Final = 64  # what a processor fetches at once
C2S, S2C = 0, 1  # direction of a packet, and index of the side that sent it

Bytes: TypeAlias = npt.NDArray[np.uint8]
Records: TypeAlias = npt.NDArray[np.void]
Integers: TypeAlias = npt.NDArray[np.int64]
Slots: TypeAlias = npt.NDArray[np.int32]
# There are no types for a record inside a compiled loop, which is read and written by attribute,
# for an array of those, and for the int64 that compiled code makes of all integers.
Record: TypeAlias = Any
Indexed: TypeAlias = Any
Int: TypeAlias = Any

# PACKET.fragment
WHOLE, FIRST_FRAGMENT, LATER_FRAGMENT = 0, 1, 2
# PACKET.options: which TCP options the header carries
OPT_MSS, OPT_WSCALE, OPT_SACK_OK, OPT_TIMESTAMPS, OPT_SACK, OPT_FASTOPEN = 1, 2, 4, 8, 16, 32
# PACKET.hello: what the first bytes of the payload are, as far as their clear header tells
NO_HELLO, TLS_CLIENT_HELLO, TLS_SERVER_HELLO, TLS_OTHER_HANDSHAKE, TLS_DATA, QUIC_LONG = range(6)
# What becomes of a packet; PACKET.opens is one of the first three.
SAME, FRESH, CONTINUED, OUTSIDE = 0, 1, 2, 3
# FLOW.end_reason: RFC 5102 flowEndReason, and two finer kinds of its "end of flow"
IDLE, ACTIVE, CLOSED, FORCED, REUSED, RESET = 1, 2, 3, 4, 6, 7


def _lines(*fields: tuple[str, str] | tuple[str, str, tuple[int, ...]]) -> np.dtype[np.void]:
    """A record type that fills whole cache lines, so that fields beside each other share one."""
    fitting = np.dtype(list(fields), align=True)
    room = -(-fitting.itemsize // LINE_BYTES) * LINE_BYTES
    names: Any = fitting.fields
    return np.dtype(
        {
            "names": list(names),
            "formats": [names[name][0] for name in names],
            "offsets": [names[name][1] for name in names],
            "itemsize": room,
        },
        align=True,
    )


FLOW: Final = _lines(
    # What every packet reads or writes.
    ("low_hi", "u8"),  # the key: both end points, the lower one first
    ("low_lo", "u8"),
    ("high_hi", "u8"),
    ("high_lo", "u8"),
    ("tag", "u8"),  # version, protocol and both ports
    ("hash", "u8"),
    ("client_low", "u1"),  # the initiator is the lower end point
    ("used", "u1"),
    ("closed", "u1"),
    ("handshake_broken", "u1"),
    ("end_reason", "u1"),
    ("tos", "u1"),  # of its first packet
    ("burst_side", "i1"),  # whose burst is going on; -1: none yet
    ("quic", "u1"),  # a long header was seen
    ("packets", "i4"),
    ("burst_packets", "i4"),  # of the burst that goes on
    ("first_ns", "i8"),
    ("last_ns", "i8"),
    # Gaps between packets: first, extremes, and sums of powers of (gap - first gap).
    ("iat_first", "i8"),
    ("iat_min", "i8"),
    ("iat_max", "i8"),
    ("iat_d2", "f8"),
    ("iat_d3", "f8"),
    ("iat_d4", "f8"),
    ("burst_ns", "i8"),  # its last packet
    ("burst_bytes", "i4"),
    ("segment", "u4"),  # 0; 1 and more: what the active timeout cut off
    ("ack_ns", "i8"),
    # Rarely looked at.
    ("syn_ns", "i8"),
    ("synack_ns", "i8"),
    ("wheel_next", "i4"),
    ("wheel_before", "i4"),
    ("wheel_place", "i4"),
    ("part", "i4"),  # of Tstat's table
    ("tick", "i8"),  # when it ended, in ticks of the capture's clock
    ("ordinal", "u4"),  # tells apart flows of one key that began in the same nanosecond
    ("origin_ordinal", "u4"),
    ("origin_ns", "i8"),  # first_ns and ordinal of segment 0
    # Activity: periods without a silence of IDLE_GAP_NS, and those silences.
    ("active_ns", "i8"),  # when the period that goes on began
    ("active_min", "i8"),
    ("active_max", "i8"),
    ("active_sum", "i8"),
    ("active_d2", "f8"),  # sum of squares
    ("idle_min", "i8"),
    ("idle_max", "i8"),
    ("idle_sum", "i8"),
    ("idle_d2", "f8"),
    ("idles", "i4"),
    # Handshakes of TLS and QUIC, as their clear headers tell; 0: not seen.
    ("tls_client_version", "u2"),
    ("tls_server_version", "u2"),
    ("tls_client_hello", "i4"),
    ("tls_server_hello", "i4"),
    ("tls_data_ns", "i8"),  # first application data; -1: none
    ("quic_version", "u4"),
)

SIDE: Final = _lines(
    # What packets of the other side look at, too. Sequence numbers are unwrapped: 64 bits, counted
    # from 2^32 + the first one seen.
    ("seq_top", "i8"),  # end of the highest segment sent; -1: none sent
    ("acked", "i8"),  # highest acknowledgement from the other side; -1: none
    ("head", "i4"),  # segments in order of sequence: lowest, highest
    ("tail", "i4"),
    ("segments", "i4"),
    ("payload_packets", "i4"),
    ("fin", "i4"),
    ("isn", "u4"),
    ("fin_end", "u4"),  # the number that acknowledges the FIN
    ("isn_known", "u1"),
    ("fin_acked", "u1"),
    ("data_acked", "u1"),
    ("window_scale", "i1"),
    ("last_ack", "u4"),  # acknowledgement number and window field of the last pure ACK
    ("last_window", "u2"),
    ("mss", "u2"),
    ("options", "u1"),
    ("ttl_min", "u1"),
    ("ttl_max", "u1"),
    # What every packet of its own writes.
    ("packets", "i4"),
    ("ip_bytes", "i8"),
    ("payload_bytes", "i8"),
    # IP lengths: first, extremes, sums of powers of (length - first length), a histogram.
    ("size_first", "i4"),
    ("size_min", "i4"),
    ("size_max", "i4"),
    ("pure_acks", "i4"),
    ("size_d2", "f8"),
    ("size_d3", "f8"),
    ("size_d4", "f8"),
    ("last_payload_ns", "i8"),
    ("last_ns", "i8"),
    ("iat_first", "i8"),
    ("iat_min", "i8"),
    ("iat_max", "i8"),
    ("iat_d2", "f8"),
    ("iat_d3", "f8"),
    ("iat_d4", "f8"),
    ("payload_min", "i4"),  # among packets with payload
    ("payload_max", "i4"),
    ("size_bins", "u4", (SIZE_BINS,)),
    ("syn", "i4"),
    ("rst", "i4"),
    ("psh", "i4"),
    ("ack", "i4"),
    ("urg", "i4"),
    ("ece", "i4"),
    ("cwr", "i4"),
    ("sack_packets", "i4"),
    ("window_now", "i4"),  # scaled, bytes; -1: none yet
    ("window_min", "i4"),  # smallest above 0; 0: none
    ("window_max", "i4"),
    ("cwin_min", "i4"),  # 0: none
    ("cwin_max", "i4"),
    ("cwin_first", "i4"),
    ("burst_packets_max", "i4"),
    ("burst_bytes_max", "i4"),
    ("bursts", "i4"),
    ("retransmitted", "i4"),  # packets
    ("out_of_order", "i4"),
    ("duplicate_acks", "i4"),
    ("first_ack_ns", "i8"),  # ACK without SYN
    ("first_payload_ns", "i8"),
    # Round trips from this side's segments to their acknowledgements.
    ("rtt_count", "i4"),
    ("zero_windows", "i4"),
    ("rtt_first", "i8"),
    ("rtt_min", "i8"),
    ("rtt_max", "i8"),
    ("rtt_sum", "i8"),
    ("rtt_d2", "f8"),  # sum of squares of (sample - first sample)
    # Rarely looked at.
    ("seq_base", "i8"),  # begin of the first segment seen
    ("retransmitted_bytes", "i8"),
    ("first_ns", "i8"),
    ("window", "i4"),  # field of the first SYN; -1: none
    ("quic_long", "i4"),  # packets that begin with a QUIC long header
    ("quic_first", "i4"),  # payload of the first of them
    ("rto", "u2"),
    ("fast", "u2"),
    ("reordered", "u2"),
    ("network_duplicates", "u2"),
    ("unknown_anomalies", "u2"),
    ("window_probes", "u2"),
    ("unneeded_rto", "u2"),
    ("unneeded_fast", "u2"),
    ("syn_again", "u2"),
)

SEGMENT: Final = np.dtype(
    [
        ("begin", "i8"),
        ("end", "i8"),
        ("time_ns", "i8"),  # of its last transmission
        ("next", "i4"),
        ("before", "i4"),
        ("acked", "u2"),  # how many acknowledgements cover it
        ("ip_id", "u2"),
        ("sent_again", "u1"),  # how often, 255 at most
        ("kind", "u1"),  # how its last transmission was classified
    ],
    align=True,
)

# The last seconds before a flow began, if asked for: what else its hosts did.
RECENT: Final = np.dtype(
    [
        ("pair_flows", "i4"),  # flows from the same initiator to the same responder
        ("pair_ports", "i4"),  # distinct responder ports among them
        ("source_flows", "i4"),  # flows from the same initiator
        ("source_hosts", "i4"),  # distinct responders among them
        ("target_flows", "i4"),  # flows to the same responder
        ("service_flows", "i4"),  # flows to the same responder, protocol and port
    ],
    align=True,
)


class Rows(NamedTuple):
    """Finished flows, in the core's own layout; all arrays have one entry per flow."""

    flows: Indexed  # FLOW [n], an array of records or `flowmeter.core.emptying.Fields`
    sides: Indexed  # SIDE [n, 2]
    words: npt.NDArray[np.uint32]  # [n, N] first packets: size << 9 | to initiator << 8 | TCP flags
    gaps: npt.NDArray[np.float32]  # [n, N] µs since the packet before
    payloads: npt.NDArray[np.int32]  # [n, FIRST_PAYLOADS], negative from the responder, 0 none
    recent: Records  # RECENT [n], or empty
    slots: Slots  # [n] where they were
