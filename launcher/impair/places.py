"""Where a network is impaired: the cables of its machines, as the mechanisms see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from launcher.impair.rates import ETHERNET_BYTES
from launcher.plan import Segment
from topologies.impairments import Stage


@dataclass(frozen=True, slots=True)
class Place:
    """The cable of one machine to one network.

    In the fabric it ends at ``port``, which is in the network's bridge. A cable that a user-space
    link carries is cut: there the bridge's part ends at ``near``, the machine's part at ``far``.
    """

    segment: Segment
    node: str
    namespace: Path
    interface: str  # in the node
    port: str
    near: str
    far: str

    @property
    def frame_bytes(self) -> int:
        """Largest frame on the cable."""
        return self.segment.mtu + ETHERNET_BYTES


class Mechanism(Protocol):
    """A way to impair cables. Whatever is in its places has been wired when `begin` is called."""

    name: str

    def begin(self, stages: Mapping[str, Stage]) -> None:
        """Impair every cable, as the stage of its network says."""

    def change(self, network: str, stage: Stage) -> None:
        """Impair the cables of a network differently from now on."""

    def restart(self) -> None:
        """Begin chance anew, so that what was sent before makes no difference."""

    def overrun(self) -> int:
        """Frames lost though nobody asked for it, since the last restart."""

    def check(self) -> None:
        """Raise `topologies.errors.LabError` if what carries the cables has ended."""

    def close(self) -> None:
        """End what runs; may be called twice, and before `begin`."""
