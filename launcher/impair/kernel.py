"""Impairments by the kernel's own queues: tbf limits the rate, netem does the rest.

Towards a machine they are on the fabric's end of its cable, from it on its own end. A packet is
delayed first and then meets the rate limit.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socket import if_nametoindex
from typing import Final, Literal

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.rtnl import TC_H_ROOT

from launcher import syscalls
from launcher.impair.netem import netem_options, set_netem
from launcher.impair.places import Place
from launcher.impair.rates import tbf_bytes
from launcher.namespaces import entered
from topologies.impairments import Direction, Quality, Stage

Queue = Literal["tbf", "netem"]

_ROOT: Final = 0x1_0000  # handle 1:
_INNER: Final = 0x10_0000  # handle 10:
_FIRST_CLASS: Final = 0x1_0001  # class 1:1
_LOOPBACK: Final = 1


class KernelQueues:
    """Queues on the ends of cables; a `launcher.impair.places.Mechanism`."""

    def __init__(self, name: str, places: Sequence[Place], *, fabric: Path, seed: int) -> None:
        self.name = name
        self._places, self._fabric, self._seed = places, fabric, seed
        self._now: dict[tuple[str, Direction], Quality] = {}

    def begin(self, stages: Mapping[str, Stage]) -> None:
        """Impair every cable, as the stage of its network says."""
        for network, stage in stages.items():
            self.change(network, stage)

    def change(self, network: str, stage: Stage) -> None:
        """Impair the cables of a network differently from now on."""
        places = [place for place in self._places if place.segment.name == network]
        if self._changes(network, "down", stage.down):
            with entered(self._fabric), IPRoute(groups=0) as ip:
                for place in places:
                    self._shape(ip, place, "down", stage.down)
        if self._changes(network, "up", stage.up):
            for place in places:
                with entered(place.namespace), IPRoute(groups=0) as ip:
                    self._shape(ip, place, "up", stage.up)
        self._now |= {(network, "down"): stage.down, (network, "up"): stage.up}

    def restart(self) -> None:
        """Nothing: what netem drew so far stays drawn."""

    def overrun(self) -> int:
        """None: the kernel loses what it is asked to."""
        return 0

    def check(self) -> None:
        """Nothing that could end."""

    def close(self) -> None:
        """Nothing runs."""

    def _changes(self, network: str, direction: Direction, quality: Quality) -> bool:
        return self._now.get((network, direction), Quality()) != quality

    def _shape(self, ip: IPRoute, place: Place, direction: Direction, quality: Quality) -> None:
        index = if_nametoindex(place.port if direction == "down" else place.interface)
        before = self._now.get((place.segment.name, direction), Quality())
        if queues_of(before) and queues_of(before) != queues_of(quality):
            ip.tc("del", index=index, parent=TC_H_ROOT)
        shape(ip, index, quality, frame_bytes=place.frame_bytes, seed=self._seed + index)


def queues_of(quality: Quality) -> tuple[Queue, ...]:
    """Which of the kernel's queues one direction of a link takes."""
    needed: list[Queue] = []
    if quality.rate_mbit is not None:
        needed.append("tbf")
    if not quality.only_rate:
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


def shape(ip: IPRoute, index: int, quality: Quality, *, frame_bytes: int, seed: int) -> None:
    """Impair what leaves by interface ``index``; queues of the same kinds may be there already."""
    parent = None
    if quality.rate_mbit is not None:
        rate, burst, limit = tbf_bytes(quality, frame_bytes)
        ip.tc("replace", "tbf", index=index, handle=_ROOT, rate=rate, burst=burst, limit=limit)
        parent = _FIRST_CLASS
    if not quality.only_rate:
        options = netem_options(quality, frame_bytes=frame_bytes, seed=seed)
        if parent is None:
            set_netem(index, options, handle=_ROOT, parent=TC_H_ROOT)
        else:
            set_netem(index, options, handle=_INNER, parent=parent)


def _try_queue(queue: Queue) -> bool:
    tried = Quality(rate_mbit=1) if queue == "tbf" else Quality(delay_ms=1)
    syscalls.unshare(syscalls.CLONE_NEWNET)
    with IPRoute(groups=0) as ip:
        try:
            shape(ip, _LOOPBACK, tried, frame_bytes=1_518, seed=0)
        except (NetlinkError, OSError) as error:
            if errno.ENOENT not in (getattr(error, "code", None), getattr(error, "errno", None)):
                raise
            return False
    return True
