"""Golden captures: file formats. One conversation, in every format that is read."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Callable, Sequence

import zstandard
from scapy.utils import PcapWriter

from tests.flowmeter.conftest import SECOND_NS, START_NS, block, interface, section
from tests.flowmeter.golden_kit import Frame, Golden, at, datagram, down, fact, golden, opened, up

TALK = [
    *opened(),
    at(0.020, up("PA", 1001, 5001, 100)),
    at(0.030, down("PA", 5001, 1101, 1400)),
    at(0.031, up("A", 1101, 6401)),
]
# Six packets; RTT of the client's 100 bytes 10 ms, of the server's 1400 bytes 1 ms.
TALK_FACTS = [
    fact(
        (4, 2), c2s_payload_bytes=100, s2c_payload_bytes=1400, c2s_ip_bytes=260, s2c_ip_bytes=1480,
        handshake_server_ms=10, handshake_client_ms=5, c2s_rtt_samples=2, s2c_rtt_samples=2,
        duration_s=0.031, protocol=6, src_port=40000, dst_port=443,
    )
]  # fmt: skip


def pcap(
    frames: Sequence[Frame],
    *,
    order: str = "<",
    unit_ns: int = 1,
    link: int = 1,
    size: int = 262144,
) -> bytes:
    magic = 0xA1B23C4D if unit_ns == 1 else 0xA1B2C3D4
    data = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, size, link)
    for frame in frames:
        seconds, rest = divmod(frame.time_ns, SECOND_NS)
        head = (seconds, rest // unit_ns, len(frame.data), frame.wire_bytes)
        data += struct.pack(order + "IIII", *head) + frame.data
    return data


def enhanced(frame: Frame, ticks: int, number: int = 0, order: str = "<") -> bytes:
    head = (number, ticks >> 32, ticks & 0xFFFFFFFF, len(frame.data), frame.wire_bytes)
    return block(6, struct.pack(order + "IIIII", *head) + frame.data, order)


def pcapng(
    frames: Sequence[Frame], *, order: str = "<", options: bytes = b"",
    ticks: Callable[[int], int] = lambda time_ns: time_ns // 1000,
) -> bytes:  # fmt: skip
    blocks = [enhanced(frame, ticks(frame.time_ns), order=order) for frame in frames]
    return section(order) + interface(options=options, order=order) + b"".join(blocks)


def talk(data: bytes, name: str = "capture") -> Golden:
    return Golden(frames=TALK, facts=TALK_FACTS, files=[(name, data)])


@golden
def pcap_microseconds() -> Golden:
    return talk(pcap(TALK, unit_ns=1000))


@golden
def pcap_microseconds_big_endian() -> Golden:
    return talk(pcap(TALK, unit_ns=1000, order=">"))


@golden
def pcap_nanoseconds() -> Golden:
    return talk(pcap(TALK))


@golden
def pcap_nanoseconds_big_endian() -> Golden:
    return talk(pcap(TALK, order=">"))


@golden
def pcap_of_scapy() -> Golden:
    """Written by somebody else's writer."""
    stream = io.BytesIO()
    writer = PcapWriter(stream, linktype=1, nano=True)
    writer.write_header(None)
    for frame in TALK:
        seconds, rest = divmod(frame.time_ns, SECOND_NS)
        writer.write_packet(frame.data, sec=seconds, usec=rest)
    return talk(stream.getvalue())


@golden
def pcapng_microseconds() -> Golden:
    return talk(pcapng(TALK))


@golden
def pcapng_big_endian() -> Golden:
    return talk(pcapng(TALK, order=">"))


@golden
def pcapng_nanoseconds() -> Golden:
    return talk(pcapng(TALK, options=struct.pack("<HHB3x", 9, 1, 9), ticks=lambda time_ns: time_ns))


@golden
def pcapng_milliseconds() -> Golden:
    ticks = lambda time_ns: time_ns // 10**6  # noqa: E731 - the time stamps are whole milliseconds
    return talk(pcapng(TALK, options=struct.pack("<HHB3x", 9, 1, 3), ticks=ticks))


@golden
def pcapng_powers_of_two() -> Golden:
    """Ticks of 2^-10 s: 10, 15, 20, 30, 31 ms become the tick before."""
    stamps = [(frame.time_ns - START_NS) * 1024 // SECOND_NS for frame in TALK]
    # Cut to whole nanoseconds: tick 10 is 9.765625 ms, tick 31 half a nanosecond more than below.
    frames = [
        Frame(START_NS + ticks * SECOND_NS // 1024, frame.data)
        for ticks, frame in zip(stamps, TALK, strict=True)
    ]
    blocks = [
        enhanced(frame, START_NS // SECOND_NS * 1024 + ticks)
        for ticks, frame in zip(stamps, TALK, strict=True)
    ]
    options = struct.pack("<HHB3x", 9, 1, 0x80 | 10)
    data = section() + interface(options=options) + b"".join(blocks)
    facts = [fact((4, 2), handshake_server_ms=9.765625, duration_s=0.030273437)]
    return Golden(frames=frames, facts=facts, files=[("capture", data)])


@golden
def pcapng_two_interfaces() -> Golden:
    """Ethernet in microseconds and raw IP in nanoseconds, in turns."""
    heads = interface() + interface(101, struct.pack("<HHB3x", 9, 1, 9))
    blocks = [
        enhanced(Frame(frame.time_ns, frame.data[14:]), frame.time_ns, 1)
        if number % 2
        else enhanced(frame, frame.time_ns // 1000)
        for number, frame in enumerate(TALK)
    ]
    return talk(section() + heads + b"".join(blocks))


@golden
def pcapng_time_offset() -> Golden:
    """The interface says that its clock begins a thousand seconds after 1970."""
    options = struct.pack("<HHq", 14, 8, 1000)
    return talk(pcapng(TALK, options=options, ticks=lambda time_ns: time_ns // 1000 - 10**9))


@golden
def pcapng_two_sections() -> Golden:
    return talk(pcapng(TALK[:3]) + pcapng(TALK[3:], order=">"))


@golden
def gzip_pcap() -> Golden:
    return talk(gzip.compress(pcap(TALK), mtime=0), "capture.pcap.gz")


@golden
def gzip_pcapng_without_the_suffix() -> Golden:
    return talk(gzip.compress(pcapng(TALK), mtime=0), "capture")


@golden
def zstd_pcap() -> Golden:
    return talk(zstandard.ZstdCompressor().compress(pcap(TALK)), "capture.pcap.zst")


@golden
def zstd_two_frames() -> Golden:
    data, compressor = pcapng(TALK), zstandard.ZstdCompressor()
    return talk(compressor.compress(data[:200]) + compressor.compress(data[200:]), "capture.zst")


@golden
def two_files_one_after_the_other() -> Golden:
    files = [("b.pcap", pcap(TALK[3:])), ("a.pcap", pcap(TALK[:3]))]
    return Golden(frames=TALK, facts=TALK_FACTS, files=files)


@golden
def two_files_side_by_side() -> Golden:
    """Each has every other packet, in another format: they merge by time."""
    files = [("a.pcap", pcap(TALK[::2])), ("b.pcapng", pcapng(TALK[1::2]))]
    return Golden(frames=TALK, facts=TALK_FACTS, files=files)


@golden
def cut_by_the_snaplen() -> Golden:
    """68 bytes of each frame: the headers say how long the packets were."""
    frames = [Frame(frame.time_ns, frame.data[:68], len(frame.data)) for frame in TALK]
    return Golden(frames=frames, facts=TALK_FACTS, files=[("capture", pcap(frames, size=68))])


@golden
def padded_to_the_smallest_frame() -> Golden:
    """Ethernet pads a 40-byte packet to 60 bytes of frame; that is no payload."""
    frames = [Frame(frame.time_ns, frame.data + bytes(max(60 - len(frame.data), 0)))
              for frame in TALK]  # fmt: skip
    return Golden(frames=frames, facts=TALK_FACTS, files=[("capture", pcap(frames))])


@golden
def empty_capture() -> Golden:
    return Golden(frames=[], facts=[], files=[("capture", pcap([]))])


@golden
def cut_off_at_the_end() -> Golden:
    """The last record lacks its last byte: counted, not metered."""
    frames = [at(0, datagram(10)), at(1, datagram(10)), at(2, datagram(10))]
    facts = [fact((2, 0), duration_s=1)]
    return Golden(
        frames=frames[:2], facts=facts, files=[("capture", pcap(frames)[:-1])],
        rejects={"truncated_tail": 1},
    )  # fmt: skip
