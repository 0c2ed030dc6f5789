"""Golden captures: what lies below and above IP."""

from __future__ import annotations

import struct
from typing import Any

from scapy.contrib.mpls import MPLS
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)
from scapy.layers.ipsec import AH
from scapy.layers.l2 import (
    ARP,
    LLC,
    SNAP,
    CookedLinux,
    CookedLinuxV2,
    Dot1AD,
    Dot1Q,
    Dot3,
    Ether,
)
from scapy.layers.ppp import PPP, PPPoE
from scapy.layers.sctp import SCTP, SCTPChunkData
from scapy.packet import Packet, Raw

from tests.flowmeter.golden_kit import (
    CLIENT,
    CLIENT6,
    MAC,
    SERVER,
    SERVER6,
    Frame,
    Golden,
    at,
    datagram,
    datagram6,
    ether,
    fact,
    golden,
    ns,
)

# A question of 20 bytes and its answer of 50, a quarter of a second later.
PAIR = (datagram(20), datagram(50, back=True))
ONE = [fact((1, 1), c2s_payload_bytes=20, s2c_payload_bytes=50, c2s_ip_bytes=48, s2c_ip_bytes=78,
            duration_s=0.25, src_port=5000, dst_port=53, protocol=17)]  # fmt: skip


def framed(*layers: Packet, link: int = 1, config: dict[str, Any] | None = None,
           facts: list[dict[str, Any]] = ONE) -> Golden:  # fmt: skip
    """The pair of datagrams, below other headers."""
    frames = []
    for number, packet in enumerate(PAIR):
        below = layers[0].copy() if layers else None
        for layer in layers[1:]:
            below = below / layer.copy()
        data = bytes(packet) if below is None else bytes(below / packet)
        frames.append(Frame(ns(number / 4), data))
    return Golden(frames=frames, facts=facts, link=link, config=config or {})


def frames_of(*packets: Packet) -> list[Frame]:
    return [at(number / 4, packet) for number, packet in enumerate(packets)]


@golden
def ethernet() -> Golden:
    return framed(Ether(**MAC))


@golden
def ethernet_802_3_snap() -> Golden:
    return framed(Dot3(**MAC), LLC(dsap=0xAA, ssap=0xAA, ctrl=3), SNAP(code=0x0800))


@golden
def linux_cooked() -> Golden:
    return framed(CookedLinux(proto=0x0800), link=113)


@golden
def linux_cooked_2() -> Golden:
    return framed(CookedLinuxV2(proto=0x0800), link=276)


@golden
def raw_ip() -> Golden:
    return framed(link=101)


@golden
def loopback_bsd() -> Golden:
    return framed(Raw(struct.pack("<I", 2)), link=0)


@golden
def loopback_openbsd() -> Golden:
    return framed(Raw(struct.pack(">I", 2)), link=108)


@golden
def vlan() -> Golden:
    return framed(Ether(**MAC), Dot1Q(vlan=5))


@golden
def vlan_twice() -> Golden:
    return framed(Ether(**MAC), Dot1Q(vlan=5), Dot1Q(vlan=6))


@golden
def qinq() -> Golden:
    return framed(Ether(**MAC), Dot1AD(vlan=5), Dot1Q(vlan=6))


@golden
def mpls() -> Golden:
    return framed(Ether(**MAC), MPLS(label=16, s=0, ttl=9), MPLS(label=17, s=1, ttl=9))


@golden
def vlan_and_mpls() -> Golden:
    return framed(Ether(**MAC), Dot1Q(vlan=5, type=0x8847), MPLS(label=17, s=1, ttl=9))


@golden
def pppoe_session() -> Golden:
    return framed(Ether(**MAC), PPPoE(sessionid=1), PPP(proto=0x21))


@golden
def ipv6() -> Golden:
    return Golden(
        frames=frames_of(datagram6(9)),
        facts=[fact((1, 0), c2s_ip_bytes=57, c2s_payload_bytes=9, src_ip=CLIENT6, dst_port=53)],
    )


@golden
def ipv6_extension_headers() -> Golden:
    """Hop by hop, routing and destination options, 8 bytes each, and 24 of authentication."""
    head = IPv6(src=CLIENT6, dst=SERVER6, hlim=7)
    chain = IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting() / IPv6ExtHdrDestOpt()
    packet = (
        head
        / chain
        / AH(nh=17, payloadlen=4, icv=bytes(12))
        / UDP(sport=5000, dport=53)
        / Raw(bytes(5))
    )
    facts = [fact((1, 0), c2s_ip_bytes=40 + 24 + 24 + 13, c2s_payload_bytes=5, c2s_ttl_min=7)]
    return Golden(frames=frames_of(packet), facts=facts)


def echo(request: Packet, reply: Packet, protocol: int, size: int) -> Golden:
    facts = [fact((1, 1), protocol=protocol, src_port=0, dst_port=0, c2s_ip_bytes=size)]
    return Golden(frames=frames_of(request, reply), facts=facts)


@golden
def icmp() -> Golden:
    request = IP(src=CLIENT, dst=SERVER) / ICMP(type=8, id=1, seq=1) / Raw(bytes(56))
    reply = IP(src=SERVER, dst=CLIENT) / ICMP(type=0, id=1, seq=1) / Raw(bytes(56))
    return echo(request, reply, 1, 84)


@golden
def icmpv6() -> Golden:
    request = IPv6(src=CLIENT6, dst=SERVER6) / ICMPv6EchoRequest(data=bytes(56))
    reply = IPv6(src=SERVER6, dst=CLIENT6) / ICMPv6EchoReply(data=bytes(56))
    return echo(request, reply, 58, 104)


@golden
def sctp() -> Golden:
    """Ports tell associations apart; 12 bytes of header, 16 of chunk header, 8 of data."""
    packets = [
        IP(src=CLIENT, dst=SERVER) / SCTP(sport=9, dport=10) / SCTPChunkData(data=bytes(8)),
        IP(src=SERVER, dst=CLIENT) / SCTP(sport=10, dport=9) / SCTPChunkData(data=bytes(8)),
        IP(src=CLIENT, dst=SERVER) / SCTP(sport=11, dport=10) / SCTPChunkData(data=bytes(8)),
    ]
    facts = [fact((1, 1), protocol=132, src_port=9, dst_port=10, c2s_ip_bytes=56),
             fact((1, 0), protocol=132, src_port=11, dst_port=10)]  # fmt: skip
    return Golden(frames=frames_of(*packets), facts=facts)


@golden
def other_protocol() -> Golden:
    """ESP: no ports, a flow of the two addresses."""
    frames = frames_of(
        IP(src=CLIENT, dst=SERVER, proto=50) / Raw(bytes(40)),
        IP(src=SERVER, dst=CLIENT, proto=50) / Raw(bytes(60)),
    )
    facts = [fact((1, 1), protocol=50, src_port=0, dst_port=0, c2s_ip_bytes=60, s2c_ip_bytes=80)]
    return Golden(frames=frames, facts=facts)


@golden
def arp_is_no_flow() -> Golden:
    """Counted by its reject; the datagrams around it are one flow."""
    frames = [at(0, PAIR[0]), at(0.25, PAIR[1])]
    arp = Frame(ns(0.1), bytes(Ether(**MAC) / ARP(pdst=SERVER)))
    return Golden(frames=[frames[0], arp, frames[1]], facts=ONE, rejects={"arp": 1})


def pieces(identification: int, *, sizes: tuple[int, ...] = (1480, 528)) -> list[bytes]:
    """A datagram of 2000 bytes of payload in fragments."""
    whole = bytes(UDP(sport=5000, dport=53, len=2008, chksum=0) / Raw(bytes(2000)))
    packets, offset = [], 0
    for size in sizes:
        more = 1 if offset + size < len(whole) else 0
        head = IP(src=CLIENT, dst=SERVER, proto=17, id=identification, flags=more, frag=offset // 8)
        packets.append(ether(head / Raw(whole[offset : offset + size])))
        offset += size
    return packets


@golden
def fragments() -> Golden:
    """The second fragment belongs to the first one's flow; the payload counts whole, once."""
    frames = [at(number / 4, data) for number, data in enumerate(pieces(77))]
    facts = [fact((2, 0), src_port=5000, dst_port=53, c2s_ip_bytes=1500 + 548,
                  c2s_payload_bytes=2000, c2s_payload_packets=1)]  # fmt: skip
    return Golden(frames=frames, facts=facts)


@golden
def fragment_without_its_first() -> Golden:
    first, second = pieces(77)
    frames = [at(0, second), at(1, first)]
    facts = [fact((1, 0), c2s_payload_bytes=2000)]
    return Golden(frames=frames, facts=facts, rejects={"fragment_without_first": 1})


@golden
def fragment_of_another_datagram() -> Golden:
    """Their identifications differ."""
    frames = [at(0, pieces(77)[0]), at(1, pieces(78)[1])]
    return Golden(frames=frames, facts=[fact((1, 0))], rejects={"fragment_without_first": 1})


@golden
def fragment_too_late() -> Golden:
    """The ports of a first fragment are known for 30 s."""
    first, second = pieces(77)
    return Golden(
        frames=[at(0, first), at(32, second)], facts=[fact((1, 0))],
        rejects={"fragment_without_first": 1},
    )  # fmt: skip


@golden
def fragments_of_ipv6() -> Golden:
    whole = bytes(UDP(sport=5000, dport=53, len=2008, chksum=0) / Raw(bytes(2000)))
    frames = []
    for number, (begin, end, more) in enumerate(((0, 1448, 1), (1448, 2008, 0))):
        head = struct.pack(">BBHI", 17, 0, begin | more, 99)
        packet = IPv6(src=CLIENT6, dst=SERVER6, nh=44) / Raw(head + whole[begin:end])
        frames.append(at(number / 4, packet))
    facts = [fact((2, 0), c2s_payload_bytes=2000, c2s_ip_bytes=2008 + 96, dst_port=53)]
    return Golden(frames=frames, facts=facts)
