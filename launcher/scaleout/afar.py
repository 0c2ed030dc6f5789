"""What a lab has on other machines: noted before it is made, removed through the `gsta` there."""

from __future__ import annotations

import json
import logging
import subprocess
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from launcher.labstate import folder_of
from topologies.files import write_json

log = logging.getLogger(__name__)

REMOVE_S: Final = 60.0
_FILE: Final = "engines.json"


@dataclass(frozen=True, slots=True)
class Share:
    """A lab's part on one machine: its id there, and the command that removes it."""

    engine: str
    lab: str
    remove: tuple[str, ...]


def note(folder: Path, shares: Iterable[Share]) -> None:
    """Remember, in the lab's folder, what it has elsewhere."""
    write_json(folder / _FILE, [asdict(share) for share in shares])


def find() -> set[str]:
    """None: a lab with something elsewhere has its state file here until it is removed."""
    return set()


def remove(lab: str) -> Mapping[str, int]:
    """End the parts of a lab, as far as their machines answer; how many were ended.

    A part ends by itself when its launcher has; this is for one that could not. A machine that does
    not answer is told, not raised: its own next `gsta lab` command clears it.
    """
    try:
        noted = json.loads((folder_of(lab) / _FILE).read_text(encoding="utf-8"))
        shares = [Share(str(x["engine"]), str(x["lab"]), tuple(x["remove"])) for x in noted]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    with ThreadPoolExecutor() as pool:
        return {"parts on other machines": sum(pool.map(_ended, shares))}


def _ended(share: Share) -> bool:
    try:
        done = subprocess.run(
            share.remove,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=REMOVE_S,
        )
        why = "" if done.returncode == 0 else done.stderr.strip() or f"exit {done.returncode}"
    except (OSError, subprocess.TimeoutExpired) as error:
        why = str(error)
    if why:
        log.warning(
            "lab %s on engine %s could not be removed from here (%s): run 'gsta lab wipe' there",
            share.lab,
            share.engine,
            why,
        )
    return not why
