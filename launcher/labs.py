"""Labs on this machine, and how to be rid of what dead ones left, wherever they left it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

from launcher import engine, killing, remains
from launcher.labstate import (
    Lab,
    LabState,
    claimed,
    dead_labs,
    forget,
    known_here,
    read_state,
    state_files,
)
from launcher.rundir import release_reserve
from launcher.scaleout import afar
from topologies.files import write_json

__all__ = ["Lab", "LabState", "WipeReport", "dead_labs", "live_labs", "wipe"]

_KILLED: Final = "the launcher was killed before the run was complete"


class _Cleaner(Protocol):
    """A place where labs leave things: a module that finds and removes them."""

    def find(self) -> set[str]:
        """Ids of the labs that have something there, whoever's they are; fast."""

    def remove(self, lab: str) -> Mapping[str, int]:
        """Remove everything of one lab; how many of each kind there were."""


_CLEANERS: Final[tuple[_Cleaner, ...]] = (afar, engine, remains)


@dataclass(frozen=True, slots=True)
class WipeReport:
    """What a wipe found: labs removed and left alone, things removed by kind, runs marked."""

    labs: tuple[str, ...] = ()
    alive: tuple[str, ...] = ()
    removed: Mapping[str, int] = field(default_factory=dict)
    run_dirs: tuple[Path, ...] = ()

    def summary(self) -> str:
        """One line for people."""
        things = [f"{count} {kind}" for kind, count in self.removed.items() if count]
        parts = [
            f"removed {len(self.labs)} dead lab(s)" if self.labs else "no dead lab was left",
            *([f"with {', '.join(things)}"] if things else []),
            *([f"{len(self.run_dirs)} run(s) marked incomplete"] if self.run_dirs else []),
            *(
                [f"{len(self.alive)} running lab(s) let be: --force ends them"]
                if self.alive
                else []
            ),
        ]
        return ", ".join(parts)


def live_labs() -> tuple[LabState, ...]:
    """Labs whose launcher lives; ``pid`` is the launcher's as this process sees it."""
    alive = []
    for file in state_files():
        with claimed(file) as dead:
            state = read_state(file)
        if not dead:
            alive.append(replace(state, pid=min(_holders(file), default=state.pid)))
    return tuple(alive)


def wipe(*, force: bool = False, only: str | None = None) -> WipeReport:
    """Remove everything that dead labs left, and with ``force`` living labs too.

    A living lab's launcher is killed first, if it is another process. Takes a few milliseconds when
    there is nothing to do. With ``only`` there is but the lab of that id.
    """
    # Before the state files: a lab made meanwhile has its file before anything else of it.
    left = {lab for cleaner in _CLEANERS for lab in cleaner.find() if known_here(lab)}
    left &= left if only is None else {only}
    done: list[str] = []
    alive: list[str] = []
    marked: list[Path] = []
    removed: Counter[str] = Counter()
    for file in state_files():
        if only not in (None, file.stem):
            continue
        if force:
            _kill_launcher(file)
        with claimed(file) as free:
            if not free:
                alive += [file.stem] if file.exists() else []
                continue
            _remove(file.stem, removed)
            state = read_state(file)
            if state.temporary:
                shutil.rmtree(state.run_dir, ignore_errors=True)
            elif state.run_dir and _mark_incomplete(Path(state.run_dir)):
                marked.append(Path(state.run_dir))
            forget(file)
            done.append(file.stem)
    unknown = sorted(left - set(done) - set(alive))
    # Nothing is removed if the lab's own launcher, or another wipe, has been faster.
    done += [lab for lab in unknown if _remove(lab, removed)]
    return WipeReport(tuple(done), tuple(alive), dict(removed), tuple(marked))


def _remove(lab: str, removed: Counter[str]) -> int:
    """Remove what a lab has anywhere, counting it by kind; how many things there were."""
    before = removed.total()
    for cleaner in _CLEANERS:
        removed.update(cleaner.remove(lab))
    return removed.total() - before


def _kill_launcher(file: Path) -> None:
    """Kill whoever has the state file open, which is what a living launcher does, and wait."""
    killing.kill(_holders(file) - {os.getpid()})


def _holders(file: Path) -> set[int]:
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                if any(handle.samefile(file) for handle in (process / "fd").iterdir()):
                    found.add(int(process.name))
    return found


def _mark_incomplete(run_dir: Path) -> bool:
    """Make the manifest of a run that never completed say so; whether that was needed."""
    manifest = run_dir / "manifest.json"
    try:
        record = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    if not isinstance(record, dict) or record.get("status") == "complete":
        return False
    reason = record.get("reason") or _KILLED
    release_reserve(run_dir)
    write_json(manifest, record | {"status": "incomplete", "reason": reason})
    return True
