"""Where results live: one folder, ``GSTA_HOME`` or ``.gsta`` in the working directory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Workspace:
    """Folder of runs, builds and the default model store."""

    home: Path

    @classmethod
    def default(cls) -> Workspace:
        """The workspace of this process."""
        return cls(Path(os.environ.get("GSTA_HOME") or ".gsta").absolute())

    @property
    def builds(self) -> Path:
        """Where builds are, each in its folder."""
        return self.home / "builds"

    @property
    def trainings(self) -> Path:
        """Where trainings without the lab keep their trials, each in a folder."""
        return self.home / "trainings"

    def new_build(self, name: str) -> Path:
        """A folder for the next build of this name: NAME-1, NAME-2, …"""
        return _next(self.builds, name)

    def new_run(self, name: str) -> Path:
        """A folder name for the next free-standing lab run of this name."""
        return _next(self.home / "runs", name)


def _next(parent: Path, name: str) -> Path:
    """Make and return the first folder NAME-n that does not exist yet."""
    number = 1
    while True:
        folder = parent / f"{name}-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder
