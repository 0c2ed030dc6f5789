"""Dataset folders: written beside their place, and moved there whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from topologies.files import sha256_file


@contextmanager
def replacing_folder(out: Path) -> Iterator[Path]:
    """Yield a new folder beside ``out``; it takes the place of ``out`` when the block succeeds."""
    out.parent.mkdir(parents=True, exist_ok=True)
    umbrella = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        folder = umbrella / "new"
        folder.mkdir()
        yield folder
        if out.exists():
            out.rename(umbrella / "old")
        folder.rename(out)
    finally:
        shutil.rmtree(umbrella)


def copy_files(source: Path, target: Path, names: Iterable[str], *, link: bool = False) -> None:
    """Copy files by their path below a folder.

    ``link`` makes them second names of the same bytes: right only where ``source`` goes away.
    """
    for name in names:
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if link:
            os.link(source / name, place)
        else:
            shutil.copyfile(source / name, place)


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by its path there."""
    return {
        path.relative_to(folder).as_posix(): sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
