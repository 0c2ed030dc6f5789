"""Golden captures: packets in packets, keyed by the tunnel or by what it carries."""

from __future__ import annotations

from typing import Any

from scapy.contrib.geneve import GENEVE
from scapy.contrib.gtp import GTP_U_Header
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet

from tests.flowmeter.golden_kit import CLIENT6, MAC, SERVER6, Golden, fact, golden
from tests.flowmeter.golden_links import ONE, framed

OUTER = {"src": "192.0.2.1", "dst": "192.0.2.2", "id": 1}


def tunnel(name_of_facts: dict[str, Any], *layers: Packet, inner: bool) -> Golden:
    config = {"tunnels": "inner" if inner else "outer"}
    # On the outside both packets go the same way.
    return framed(
        Ether(**MAC),
        *layers,
        config=config,
        facts=ONE if inner else [fact((2, 0), **name_of_facts)],
    )


GRE_FACTS = {"protocol": 47, "src_port": 0, "dst_port": 0, "c2s_ip_bytes": 48 + 78 + 2 * 24}


@golden
def gre_outer() -> Golden:
    return tunnel(GRE_FACTS, IP(**OUTER), GRE(), inner=False)


@golden
def gre_inner() -> Golden:
    return tunnel(GRE_FACTS, IP(**OUTER), GRE(), inner=True)


@golden
def gre_with_key_and_checksum_inner() -> Golden:
    head = GRE(key_present=1, key=7, chksum_present=1, seqnum_present=1, sequence_number=1)
    return tunnel(GRE_FACTS, IP(**OUTER), head, inner=True)


@golden
def gre_of_ethernet_inner() -> Golden:
    return tunnel(GRE_FACTS, IP(**OUTER), GRE(proto=0x6558), Ether(**MAC), inner=True)


IPIP_FACTS = {"protocol": 4, "src_port": 0, "dst_port": 0, "c2s_ip_bytes": 48 + 78 + 2 * 20}


@golden
def ip_in_ip_outer() -> Golden:
    return tunnel(IPIP_FACTS, IP(**OUTER), inner=False)


@golden
def ip_in_ip_inner() -> Golden:
    return tunnel(IPIP_FACTS, IP(**OUTER), inner=True)


@golden
def ipv4_in_ipv6_inner() -> Golden:
    return tunnel({}, IPv6(src=CLIENT6, dst=SERVER6), inner=True)


def over_udp(port: int, head: int) -> dict[str, Any]:
    """Payload counts from behind the outer UDP header."""
    return {"protocol": 17, "dst_port": port, "c2s_ip_bytes": 48 + 78 + 2 * (28 + head),
            "c2s_payload_bytes": 48 + 78 + 2 * head}  # fmt: skip


def vxlan(*, inner: bool) -> Golden:
    layers = (IP(**OUTER), UDP(sport=6000, dport=4789), VXLAN(vni=7), Ether(**MAC))
    return tunnel(over_udp(4789, 22), *layers, inner=inner)


@golden
def vxlan_outer() -> Golden:
    return vxlan(inner=False)


@golden
def vxlan_inner() -> Golden:
    return vxlan(inner=True)


def geneve(*, inner: bool) -> Golden:
    layers = (IP(**OUTER), UDP(sport=6000, dport=6081), GENEVE(vni=7, proto=0x6558), Ether(**MAC))
    return tunnel(over_udp(6081, 22), *layers, inner=inner)


@golden
def geneve_outer() -> Golden:
    return geneve(inner=False)


@golden
def geneve_inner() -> Golden:
    return geneve(inner=True)


def gtp(*, inner: bool) -> Golden:
    head = GTP_U_Header(teid=9, gtp_type=255)
    return tunnel(over_udp(2152, 8), IP(**OUTER), UDP(sport=2152, dport=2152), head, inner=inner)


@golden
def gtp_u_outer() -> Golden:
    return gtp(inner=False)


@golden
def gtp_u_inner() -> Golden:
    return gtp(inner=True)
