"""What every packet adds to its flow and to the side that sent it, whatever its protocol."""

from __future__ import annotations

import numpy as np

from flowmeter.core.jit import helper
from flowmeter.core.layout import (
    QUIC_LONG,
    TLS_CLIENT_HELLO,
    TLS_DATA,
    TLS_SERVER_HELLO,
    Int,
    Record,
)

IDLE_GAP_NS = 5_000_000_000
BURST_GAP_NS = 1_000_000_000


@helper
def add_packet(flow: Record, side: Record, packet: Record, direction: Int, now_ns: Int) -> None:
    """Take a packet that ``side`` sent."""
    _add_to_flow(flow, side, packet, direction, now_ns)
    _add_to_side(side, packet, now_ns)
    if packet.hello:
        _note_hello(flow, side, packet, now_ns)


@helper
def _add_to_flow(flow: Record, side: Record, packet: Record, direction: Int, now_ns: Int) -> None:
    """Gaps, activity and bursts of the flow; comes before `_add_to_side`."""
    if flow.packets > 0:
        gap_ns = now_ns - flow.last_ns
        if flow.packets == 1:
            flow.iat_first = flow.iat_min = flow.iat_max = gap_ns
        flow.iat_min = min(flow.iat_min, gap_ns)
        flow.iat_max = max(flow.iat_max, gap_ns)
        distance = float(gap_ns - flow.iat_first)
        square = distance * distance
        flow.iat_d2 += square
        flow.iat_d3 += square * distance
        flow.iat_d4 += square * square
        if gap_ns > IDLE_GAP_NS:
            _pause(flow, gap_ns, now_ns)
    flow.packets += 1
    flow.last_ns = now_ns
    if packet.payload_bytes > 0:
        if flow.burst_side != direction or now_ns - flow.burst_ns > BURST_GAP_NS:
            flow.burst_side = direction
            flow.burst_packets = flow.burst_bytes = 0
            side.bursts += 1
        flow.burst_ns = now_ns
        flow.burst_packets += 1
        flow.burst_bytes += packet.payload_bytes
        side.burst_packets_max = max(side.burst_packets_max, flow.burst_packets)
        side.burst_bytes_max = max(side.burst_bytes_max, flow.burst_bytes)


@helper
def _pause(flow: Record, gap_ns: Int, now_ns: Int) -> None:
    """A period of activity ended when the silence began."""
    active_ns = flow.last_ns - flow.active_ns
    if flow.idles == 0:
        flow.active_min = flow.active_max = active_ns
        flow.idle_min = flow.idle_max = gap_ns
    flow.idles += 1
    flow.active_min = min(flow.active_min, active_ns)
    flow.active_max = max(flow.active_max, active_ns)
    flow.active_sum += active_ns
    flow.active_d2 += float(active_ns) * float(active_ns)
    flow.idle_min = min(flow.idle_min, gap_ns)
    flow.idle_max = max(flow.idle_max, gap_ns)
    flow.idle_sum += gap_ns
    flow.idle_d2 += float(gap_ns) * float(gap_ns)
    flow.active_ns = now_ns


@helper
def _add_to_side(side: Record, packet: Record, now_ns: Int) -> None:
    """Sizes, gaps, payload and time to live."""
    size = np.int64(packet.ip_bytes)
    if side.packets == 0:
        side.first_ns = now_ns
        side.size_first = side.size_min = side.size_max = size
    else:
        gap_ns = now_ns - side.last_ns
        if side.packets == 1:
            side.iat_first = side.iat_min = side.iat_max = gap_ns
        side.iat_min = min(side.iat_min, gap_ns)
        side.iat_max = max(side.iat_max, gap_ns)
        distance = float(gap_ns - side.iat_first)
        square = distance * distance
        side.iat_d2 += square
        side.iat_d3 += square * distance
        side.iat_d4 += square * square
        side.size_min = min(side.size_min, size)
        side.size_max = max(side.size_max, size)
        distance = float(size - side.size_first)
        square = distance * distance
        side.size_d2 += square
        side.size_d3 += square * distance
        side.size_d4 += square * square
    side.packets += 1
    side.last_ns = now_ns
    side.ip_bytes += size
    side.size_bins[_size_bin(size)] += 1
    payload = np.int64(packet.payload_bytes)
    if payload > 0:
        if side.payload_packets == 0:
            side.first_payload_ns = now_ns
            side.payload_min = payload
        side.last_payload_ns = now_ns
        side.payload_packets += 1
        side.payload_bytes += payload
        side.payload_min = min(side.payload_min, payload)
        side.payload_max = max(side.payload_max, payload)
    side.ttl_min = min(side.ttl_min, packet.ttl)
    side.ttl_max = max(side.ttl_max, packet.ttl)


@helper
def _size_bin(size: Int) -> Int:
    """Which of the eight bins up to 63, 127, 255, 511, 1023, 1279, 1500 bytes and more."""
    if size <= 255:
        return int(size > 63) + int(size > 127)
    if size <= 1023:
        return 3 + int(size > 511)
    return 5 + int(size > 1279) + int(size > 1500)


@helper
def _note_hello(flow: Record, side: Record, packet: Record, now_ns: Int) -> None:
    """What the clear headers of TLS and QUIC tell; the first of each kind counts."""
    if packet.hello == TLS_CLIENT_HELLO:
        if flow.tls_client_hello == 0:
            flow.tls_client_hello = packet.hello_bytes
            flow.tls_client_version = packet.hello_version
    elif packet.hello == TLS_SERVER_HELLO:
        if flow.tls_server_hello == 0:
            flow.tls_server_hello = packet.hello_bytes
            flow.tls_server_version = packet.hello_version
    elif packet.hello == TLS_DATA:
        if flow.tls_data_ns < 0:
            flow.tls_data_ns = now_ns
    elif packet.hello == QUIC_LONG:
        if side.quic_long == 0:
            side.quic_first = packet.hello_bytes
        side.quic_long += 1
        if flow.quic_version == 0:
            flow.quic_version = packet.hello_version
