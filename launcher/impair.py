"""Rate, delay, jitter and loss of a network's links, by the kernel's own queues.

Each link is limited in both directions: tbf on the fabric's end and on the node's end. Delay,
jitter and loss are put on the fabric's end only, towards the node, so that crossing a network meets
them once. A queue that this kernel lacks is an error, never ignored.
"""

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Literal

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from launcher import syscalls
from launcher.plan import LabPlan, Segment
from topologies import Impairments
from topologies.errors import MachineError

Queue = Literal["tbf", "netem"]

_ROOT: Final = 0x1_0000  # handle 1:
_INNER: Final = 0x10_0000  # handle 10:
_FIRST_CLASS: Final = 0x1_0001  # class 1:1
_LOOPBACK: Final = 1
_QUEUE_S: Final = 0.05  # how much traffic waits at a limited link before it is dropped
_BURST_S: Final = 0.002
_ETHERNET_BYTES: Final = 18
_HIGHEST_RATE: Final = 2**32 - 1  # bytes/s of tbf's 32-bit field: 34 Gbit/s, beyond any veth

_ASKS: Final[dict[Queue, str]] = {"tbf": "a rate limit", "netem": "delay, jitter or loss"}
_KEYS: Final[dict[Queue, str]] = {
    "tbf": "rate_mbit",
    "netem": "delay_ms, jitter_ms and loss_percent",
}
_TRIED: Final[dict[Queue, dict[str, int]]] = {
    "tbf": {"rate": 125_000, "burst": 3_000, "limit": 30_000},
    "netem": {"delay": 1_000},
}


def needed_queues(impairments: Impairments) -> tuple[Queue, ...]:
    """Which of the kernel's queues a network's impairments need."""
    needed: list[Queue] = []
    if impairments.rate_mbit is not None:
        needed.append("tbf")
    if impairments.needs_netem:
        needed.append("netem")
    return tuple(needed)


def kernel_has(queue: Queue) -> bool:
    """Whether the kernel has a queue: try it in a network namespace that is thrown away.

    Raises
    ------
    PermissionError
        This user may not make a namespace.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(_try_queue, queue).result()


def require(plan: LabPlan) -> None:
    """Raise `MachineError` for the first network that asks for what the kernel lacks."""
    missing: dict[Queue, bool] = {}
    for segment in plan.segments:
        for queue in needed_queues(segment.impairments):
            if queue not in missing:
                missing[queue] = not kernel_has(queue)
            if missing[queue]:
                raise MachineError(
                    f"network '{segment.name}' asks for {_ASKS[queue]}, and this kernel has no "
                    f"{queue} queue",
                    remedy=f"load it with 'modprobe sch_{queue}' (in a container: on its host), "
                    f"or leave {_KEYS[queue]} out of the network",
                )


def shape_port(ip: IPRoute, index: int, segment: Segment) -> None:
    """Impair what leaves the fabric by interface ``index``, towards a node."""
    impairments = segment.impairments
    parent = None
    if impairments.rate_mbit is not None:
        _limit_rate(ip, index, segment, impairments.rate_mbit)
        parent = _FIRST_CLASS
    if impairments.needs_netem:
        _add_netem(ip, index, segment, parent)


def shape_node(ip: IPRoute, index: int, segment: Segment) -> None:
    """Limit what a node sends by its interface ``index``."""
    if segment.impairments.rate_mbit is not None:
        _limit_rate(ip, index, segment, segment.impairments.rate_mbit)


def _limit_rate(ip: IPRoute, index: int, segment: Segment, rate_mbit: float) -> None:
    rate = min(int(rate_mbit * 1e6 / 8), _HIGHEST_RATE)
    frame_bytes = segment.mtu + _ETHERNET_BYTES
    burst = max(2 * frame_bytes, int(rate * _BURST_S))
    limit = burst + max(10 * frame_bytes, int(rate * _QUEUE_S))
    ip.tc("add", "tbf", index=index, handle=_ROOT, rate=rate, burst=burst, limit=limit)


def _add_netem(ip: IPRoute, index: int, segment: Segment, parent: int | None) -> None:
    impairments = segment.impairments
    place = {"handle": _ROOT} if parent is None else {"handle": _INNER, "parent": parent}
    ip.tc(
        "add",
        "netem",
        index=index,
        delay=impairments.delay_ms * 1e3,
        jitter=impairments.jitter_ms * 1e3,
        loss=impairments.loss_percent,
        limit=_waiting_packets(segment),
        **place,
    )


def _waiting_packets(segment: Segment) -> int:
    """Room for all that is on its way during the delay, so that the delay itself drops nothing."""
    impairments = segment.impairments
    rate = (impairments.rate_mbit or 1_000) * 1e6 / 8
    delay_s = (impairments.delay_ms + impairments.jitter_ms) / 1e3
    return max(1_000, int(2 * rate * delay_s / segment.mtu))


def _try_queue(queue: Queue) -> bool:
    syscalls.unshare(syscalls.CLONE_NEWNET)
    with IPRoute(groups=0) as ip:
        try:
            ip.tc("add", queue, index=_LOOPBACK, handle=_ROOT, **_TRIED[queue])
        except NetlinkError as error:
            if error.code != errno.ENOENT:
                raise
            return False
    return True
