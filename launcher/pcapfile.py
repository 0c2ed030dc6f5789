"""What the launcher needs to know of a capture file: how many packets are in it."""

from __future__ import annotations

import struct
from pathlib import Path

from topologies.errors import LabError


def count_packets(file: Path) -> int:
    """Packets in a classic pcap file of this machine's byte order; a half-written last is not one.

    Raises
    ------
    LabError
        It is no such file.
    """
    with file.open("rb") as stream:
        head = stream.read(24)
        if len(head) < 24 or struct.unpack_from("=I", head)[0] not in (0xA1B2C3D4, 0xA1B23C4D):
            raise LabError(f"{file} is not a capture that tcpdump wrote here")
        size, count, offset = file.stat().st_size, 0, 24
        while len(record := stream.read(16)) == 16:
            offset += 16 + int(struct.unpack_from("=I", record, 8)[0])
            if offset > size:
                break
            stream.seek(offset)
            count += 1
    return count
