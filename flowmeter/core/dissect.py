"""From a frame to what a flow needs of it, or to the one reason why it is in no flow.

Lengths come from the headers, never from how much was captured, so a small snaplen changes nothing
as long as the fixed headers are there. Payload ends where the frame ended on the wire, whatever an
IP length beyond that claims. Every read is checked against the captured end first.
"""

from __future__ import annotations

from flowmeter.core.ip import ip
from flowmeter.core.jit import compiled
from flowmeter.core.layout import Bytes, Records
from flowmeter.core.link import IPV4, IPV6, link
from flowmeter.core.reading import u16
from flowmeter.core.rejects import NO_TIME, REJECTS
from flowmeter.core.tunnels import unwrap

__all__ = ["REJECTS", "dissect"]


def dissect(data: Bytes, packets: Records, count: int, *, inner: bool = False) -> None:
    """Fill the dissector's half of the first ``count`` packets of a block.

    Of a fragment, ``tag`` is the number that it shares with the rest of its datagram, until
    `flowmeter.core.keys.identify` gives later ones their ports.

    Parameters
    ----------
    inner
        The packets that tunnels carry, instead of those that carry them.
    """
    _outer(data, packets, count)
    if inner:  # a pass of its own, so that only who wants it pays for its compilation
        unwrap(data, packets, count)


@compiled
def _outer(data: Bytes, packets: Records, count: int) -> None:
    for index in range(count):
        packet = packets[index]
        if packet.time_ns < 0:
            packet.reject = NO_TIME
            continue
        kind, at = 0, packet.at + 14
        if packet.link == 1 and packet.captured >= 14:
            kind = u16(data, at - 2)
        if kind not in (IPV4, IPV6):  # more than plain Ethernet
            kind, at = link(data, packet.link, packet.at + 0, packet.at + packet.captured)
        if kind < 0:
            packet.reject = -kind
        else:
            ip(data, packet, kind, at)
