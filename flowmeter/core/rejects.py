"""Why a packet is in no flow: one code for each reason, counted to the packet."""

from __future__ import annotations

from typing import Final

FLOWS = 0
UNKNOWN_LINK, NO_TIME, TRUNCATED_LINK, LLC, ARP, OTHER_ETHERTYPE = 1, 2, 3, 4, 5, 6
TRUNCATED_IP, MALFORMED_IP, FRAGMENT_WITHOUT_FIRST = 7, 8, 9
TRUNCATED_TRANSPORT, MALFORMED_TRANSPORT, OUTSIDE_SEMANTICS = 10, 11, 12

# A code is the position of its name here.
REJECTS: Final = (
    ("", "the packet is in a flow"),
    ("unknown_link_type", "the link type is none of those read, or its interface is unknown"),
    ("no_time", "the record has no time stamp, or one that cannot be (10^6 µs or more)"),
    ("truncated_link", "captured less than the link-layer header with its tags and labels"),
    ("llc", "IEEE 802.2 frame that carries no IP (spanning tree, IS-IS, …)"),
    ("arp", "ARP or RARP"),
    (
        "other_ethertype",
        "neither IP nor ARP (LLDP, PPPoE discovery, PPP that carries no IP, …), or over eight tags",
    ),
    ("truncated_ip", "captured less than the IP header and its extension headers"),
    ("malformed_ip", "IP version or lengths contradict each other"),
    (
        "fragment_without_first",
        "a later IP fragment whose first one, which has the ports, was not in the 30 s before it",
    ),
    ("truncated_transport", "captured less than the fixed TCP, UDP or SCTP header"),
    ("malformed_transport", "TCP, UDP or SCTP lengths contradict each other or the IP length"),
    ("outside_semantics", "in none of the flows that the chosen semantics know ('tstat' only)"),
)
