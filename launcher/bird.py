"""Finding BIRD, the routing daemon."""

from __future__ import annotations

import os
import shutil
from typing import Final

from launcher.plan import LabPlan
from topologies.errors import MachineError

_SYSTEM: Final = "/usr/sbin"  # where it is, and where a user's PATH may not lead


def bird_path() -> str:
    """Where BIRD is; `MachineError` if it is not installed."""
    found = shutil.which("bird", path=f"{os.environ.get('PATH', '')}:{_SYSTEM}")
    if found is None:
        raise MachineError(
            "BIRD, which speaks BGP and OSPF, is not installed",
            remedy="apt-get install bird2 (and systemctl disable --now bird), or use the docker "
            "back end",
        )
    return found


def require(plan: LabPlan) -> None:
    """Raise `MachineError` if a router of the plan speaks what no program here does."""
    speaker = next((node.name for node in plan.nodes if node.routing is not None), None)
    if speaker is None:
        return
    try:
        bird_path()
    except MachineError as error:
        raise MachineError(
            f"router '{speaker}' has an asn: {error.what}", remedy=error.remedy
        ) from None
