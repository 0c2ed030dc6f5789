"""The kernel's netem queue, asked for in its own binary form (linux/pkt_sched.h).

By hand, because pyroute2 knows neither its bursts of loss nor its distributions of jitter.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Final

from pyroute2.netlink.rtnl.tcmsg.common import time2tick

from launcher.impair.jitter import quantiles
from topologies.impairments import Quality

_DISTRIBUTION, _REORDER, _LOSS, _RATE, _SEED = 2, 3, 5, 6, 14  # TCA_NETEM_…
_KIND, _OPTIONS = 1, 2  # TCA_…
_NEW_QUEUE: Final = 36  # RTM_NEWQDISC
_SET: Final = 0x1 | 0x4 | 0x100 | 0x400  # NLM_F_REQUEST, _ACK, _REPLACE, _CREATE
_NESTED: Final = 0x8000
_GILBERT_ELLIOTT: Final = 2  # NETEM_LOSS_GE
_SCALE: Final = 8_192  # of a distribution's table
_IN_ORDER: Final = 2**32 - 1  # bytes/s; with any rate, jitter lets no packet overtake another


def netem_options(quality: Quality, *, frame_bytes: int, seed: int) -> bytes:
    """What ``tc qdisc replace … netem`` sends after the queue's name.

    The rate is not netem's business but tbf's. A kernel before 6.6 ignores the seed.
    """
    bursts = quality.loss_percent > 0 and quality.loss_burst_packets > 1
    head = struct.pack(
        "=6I",
        int(time2tick(quality.delay_ms * 1e3)),
        _waiting_packets(quality, frame_bytes),
        0 if bursts else _share(quality.loss_percent),
        1 if quality.reorder_percent else 0,  # gap: each packet may overtake
        _share(quality.duplicate_percent),
        int(time2tick(quality.jitter_ms * 1e3)),
    )
    parts = [head]
    if quality.reorder_percent:
        parts.append(_attribute(_REORDER, struct.pack("=2I", _share(quality.reorder_percent), 0)))
    if bursts:
        parts.append(_attribute(_LOSS | _NESTED, _attribute(_GILBERT_ELLIOTT, _bursts(quality))))
    if quality.jitter_ms:
        parts.append(_attribute(_RATE, struct.pack("=IiIi", _IN_ORDER, 0, 0, 0)))
        if quality.jitter_distribution != "uniform":
            parts.append(_attribute(_DISTRIBUTION, _table(quality)))
    parts.append(_attribute(_SEED, struct.pack("=Q", seed)))
    return b"".join(parts)


def set_netem(index: int, options: bytes, *, handle: int, parent: int) -> None:
    """Put netem on an interface of the thread's namespace, or change the one there; `OSError`."""
    body = struct.pack("=BxxxiIII", socket.AF_UNSPEC, index, handle, parent, 0)
    body += _attribute(_KIND, b"netem\0") + _attribute(_OPTIONS, options)
    head = struct.pack("=IHHII", 16 + len(body), _NEW_QUEUE, _SET, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.sendto(head + body, (0, 0))
        # The answer: a header of 16 bytes, and the error's number, negative, or 0.
        (number,) = struct.unpack_from("=i", kernel.recv(65_536), 16)
    if number:
        raise OSError(-number, os.strerror(-number))


def _bursts(quality: Quality) -> bytes:
    """Gilbert's model: chances to enter and to leave the state in which all is lost."""
    leave = 100 / quality.loss_burst_packets
    enter = leave * quality.loss_percent / (100 - quality.loss_percent)
    return struct.pack("=4I", _share(enter), _share(leave), 0, 0)


def _table(quality: Quality) -> bytes:
    values = quantiles(quality.jitter_distribution)
    return struct.pack(
        f"={len(values)}h", *(min(round(value * _SCALE), 32_767) for value in values)
    )


def _waiting_packets(quality: Quality, frame_bytes: int) -> int:
    """Room for all that is on its way during the delay, so that the delay itself drops nothing."""
    rate = (quality.rate_mbit or 1_000) * 1e6 / 8
    return max(1_000, int(2 * rate * quality.longest_ms / 1e3 / frame_bytes))


def _share(percent: float) -> int:
    return round(percent / 100 * (2**32 - 1))


def _attribute(kind: int, data: bytes) -> bytes:
    length = 4 + len(data)
    return struct.pack("=HH", length, kind) + data + bytes(-length % 4)
