"""Impaired networks: which mechanism does it here, and the links of a lab while it lives.

The kernel's queues where the kernel has them; else a user-space link. What neither can do is an
error, never ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from launcher.impair.kernel import KernelQueues, Queue, kernel_has, queues_of
from launcher.impair.places import Mechanism, Place
from launcher.impair.wire import UserSpaceLinks
from launcher.records import VerifiedLink
from topologies.impairments import DIRECTIONS, Stage

__all__ = ["Links", "Place", "kernel_has", "needed_queues"]

USER_SPACE: Final = "user-space link"


def needed_queues(stages: Sequence[Stage]) -> frozenset[Queue]:
    """Which of the kernel's queues the links of a network take at any time of the run."""
    return frozenset(
        queue
        for stage in stages
        for direction in DIRECTIONS
        for queue in queues_of(stage.of(direction))
    )


def choose(
    stages: Mapping[str, Sequence[Stage]], has: Callable[[Queue], bool] = kernel_has
) -> dict[str, str]:
    """Name of the mechanism for each network that is impaired: tbf, netem or user-space link."""
    needed = {name: queues for name, s in stages.items() if (queues := needed_queues(s))}
    there = {queue: has(queue) for queue in sorted(frozenset().union(*needed.values()))}
    return {
        name: USER_SPACE
        if not all(there[queue] for queue in queues)
        else "netem"
        if "netem" in queues
        else "tbf"
        for name, queues in needed.items()
    }


class Links:
    """The cables of a lab's machines, and what impairs them.

    ``verified`` is what was measured of them, where they are on other machines.

    Made before the cables are, since a user-space link takes a second to start and wants its cables
    cut; `begin` is for when all is wired.
    """

    verified: tuple[VerifiedLink, ...] = ()

    def __init__(
        self, places: Sequence[Place] = (), *, fabric: Path = Path(), seed: int = 0
    ) -> None:
        segments = {place.segment.name: place.segment for place in places}
        self.fabric = fabric
        self.stages = {name: s.impairments.stages() for name, s in segments.items()}
        self.mechanism = choose(self.stages)
        self.places = tuple(p for p in places if p.segment.name in self.mechanism)
        self._mechanisms: dict[str, Mechanism] = {}
        for name in sorted(set(self.mechanism.values())):
            kind = UserSpaceLinks if name == USER_SPACE else partial(KernelQueues, name)
            mine = [p for p in self.places if self.mechanism[p.segment.name] == name]
            self._mechanisms[name] = kind(mine, fabric=fabric, seed=seed)

    def cut(self, network: str) -> bool:
        """Whether the cables of a network are to be cut, for a user-space link to carry them."""
        return self.mechanism.get(network) == USER_SPACE

    def begin(self) -> None:
        """Impair every network as it is at the start of the run."""
        for name, mechanism in self._mechanisms.items():
            mechanism.begin({n: self.stages[n][0] for n, m in self.mechanism.items() if m == name})

    def change(self, network: str, stage: Stage) -> None:
        """Impair a network differently from now on."""
        self._mechanisms[self.mechanism[network]].change(network, stage)

    def restart(self) -> None:
        """Begin chance anew: what was sent so far makes no difference to what comes."""
        for mechanism in self._mechanisms.values():
            mechanism.restart()

    def overrun(self) -> int:
        """Frames that a mechanism lost since `restart` though nobody asked for it."""
        return sum(mechanism.overrun() for mechanism in self._mechanisms.values())

    def check(self) -> None:
        """Raise `LabError` if something that carries links has ended."""
        for mechanism in self._mechanisms.values():
            mechanism.check()

    def close(self) -> None:
        """End what runs; may be called twice."""
        for mechanism in self._mechanisms.values():
            mechanism.close()
