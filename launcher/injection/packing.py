"""Captures as both ends of a replay get them: ports, times, transport headers and sizes."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Sequence
from typing import Final

from launcher.injection.capture import FIN, TCP, Conversation, Packet

MAX_SEGMENT_BYTES: Final = 1_440  # leaves room for TCP's options in an Ethernet frame
MAX_DATAGRAM_BYTES: Final = 1_472
_PSH: Final = 0x08


def pack(talks: Sequence[Conversation], *, time_scale: float = 1.0, payload: bool = False) -> str:
    """Pack conversations into text; without ``payload`` all contents are zeros.

    Times are divided by ``time_scale``. Segments that a network card would have cut (captures of
    the sender itself hold such) are cut; larger datagrams lose their end.
    """
    rows = [
        {
            "protocol": talk.protocol,
            "client_port": talk.client_port,
            "server_port": talk.server_port,
            "start_us": round(talk.start_s * 1e6 / time_scale),
            "ttl": [_ttl(talk, client=True), _ttl(talk, client=False)],
            "packets": [
                [
                    int(packet.from_client),
                    round(packet.at_s * 1e6 / time_scale),
                    packet.header.hex(),
                    packet.size,
                    base64.b64encode(packet.payload).decode() if payload else "",
                ]
                for whole in talk.packets
                for packet in _cut(whole, talk.protocol)
            ],
        }
        for talk in talks
    ]
    data = json.dumps(rows, separators=(",", ":")).encode()
    return base64.b64encode(zlib.compress(data, 9)).decode()


def _ttl(talk: Conversation, *, client: bool) -> int:
    return next((p.ttl for p in talk.packets if p.from_client == client), 64)


def _cut(packet: Packet, protocol: int) -> Iterator[Packet]:
    most = MAX_SEGMENT_BYTES if protocol == TCP else MAX_DATAGRAM_BYTES
    if packet.size <= most:
        yield packet
        return
    if protocol != TCP:
        yield _part(packet, packet.header, 0, most)
        return
    begin = int.from_bytes(packet.header[4:8], "big")
    for offset in range(0, packet.size, most):
        size = min(most, packet.size - offset)
        head = bytearray(packet.header)
        head[4:8] = ((begin + offset) & 0xFFFFFFFF).to_bytes(4, "big")
        if offset + size < packet.size:
            head[13] &= ~(FIN | _PSH)
        yield _part(packet, bytes(head), offset, size)


def _part(packet: Packet, header: bytes, offset: int, size: int) -> Packet:
    payload = packet.payload[offset : offset + size]
    return Packet(packet.from_client, packet.at_s, header, size, payload, packet.ttl)
