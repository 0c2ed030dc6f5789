"""Stages that are not done twice: what one wrote is kept by a digest of all it was made from.

``stages.json`` in a build's folder says which files each stage wrote and of which digest (its
inputs, its options, the code of its packages). A later build that asks for the same takes the
files over, by hard links: no copy, and either build can be deleted.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from builder.journal import trials_known
from gsta.reporting import Reporter
from topologies.code import code_digest
from topologies.files import write_json

STAGES: Final = "stages.json"
JOURNAL: Final = Path("search") / "trials.jsonl"


def digest(*parts: object, code: tuple[str, ...] = ()) -> str:
    """Of values that JSON can hold and the code of packages."""
    text = json.dumps([*parts, code_digest(*code)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Record:
    """A stage that was done."""

    key: str
    outputs: tuple[str, ...]  # files and folders, below the build's folder
    files: dict[str, int]  # every file there that is of this stage, and its bytes

    def whole(self, folder: Path) -> bool:
        """Whether every file is still there."""
        return all(
            (folder / name).is_file() and (folder / name).stat().st_size == size
            for name, size in self.files.items()
        )


class Stages:
    """The stages of the build in ``folder``, and those of others below ``builds``."""

    def __init__(self, folder: Path, reporter: Reporter, builds: Path | None) -> None:
        self._folder, self._reporter = folder, reporter
        self._done: dict[str, _Record] = {}
        self._others = {} if builds is None else _others(builds, STAGES, folder)
        self._said = False

    def recall(self, name: str, key: str) -> tuple[Path, ...]:
        """Take over the outputs of a stage that was done before; none if it was not."""
        for other, title in self._others.items():
            for record in _read(other / STAGES).values():
                if record.key == key and record.whole(other):
                    _link(other, self._folder, record.files)
                    hint = "" if self._said else " (--fresh does every stage)"
                    self._said = True
                    self._reporter.say(f"{name:<10} unchanged, taken from {title}{hint}")
                    return self._write(name, record)
        return ()

    def record(self, name: str, key: str, *outputs: Path) -> None:
        """A stage was done: what is there now, and no earlier stage wrote, is its work."""
        earlier = {file for record in self._done.values() for file in record.files}
        files = {
            path.relative_to(self._folder).as_posix(): path.stat().st_size
            for path in _files(outputs)
        }
        roots = tuple(path.relative_to(self._folder).as_posix() for path in outputs)
        own = {name: size for name, size in files.items() if name not in earlier}
        self._write(name, _Record(key, roots, own))

    def _write(self, name: str, record: _Record) -> tuple[Path, ...]:
        self._done[name] = record
        write_json(
            self._folder / STAGES,
            {
                stage: {"key": one.key, "outputs": one.outputs, "files": one.files}
                for stage, one in self._done.items()
            },
        )
        return tuple(self._folder / output for output in record.outputs)


def trial_journal(folder: Path, key: str, reporter: Reporter, builds: Path | None) -> Path:
    """Where the search of a build records its trials; those known from before are there."""
    path = folder / JOURNAL
    others = {} if builds is None else _others(builds, JOURNAL.as_posix(), folder)
    known = {other: trials_known(other / JOURNAL, key) for other in others}
    other = max(known, key=lambda other: known[other], default=None)
    if other is not None and known[other]:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(other / JOURNAL, path)
        reporter.say(f"search     {known[other]} trials taken from {others[other]}")
    return path


def training_journal(trainings: Path, key: str, reporter: Reporter, *, fresh: bool) -> Path:
    """Where a training records its trials: where one of the same key did, as one that was killed.

    With ``fresh`` those known from before are forgotten.
    """
    path = trainings / key[:16] / JOURNAL.name
    path.parent.mkdir(parents=True, exist_ok=True)
    if fresh:
        path.unlink(missing_ok=True)
    if known := trials_known(path, key):
        reporter.say(f"search     {known} trials taken from before (--fresh runs every one)")
    return path


def _others(builds: Path, file: str, folder: Path) -> dict[Path, str]:
    """Builds, and attempts below them, that have such a file: name by folder, the latest first."""
    found = [*builds.glob(f"*/{file}"), *builds.glob(f"*/*/{file}")]
    steps = len(Path(file).parts)
    latest_first = sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
    folders = [path.parents[steps - 1] for path in latest_first]
    return {one: one.relative_to(builds).as_posix() for one in folders if one != folder}


def _read(path: Path) -> dict[str, _Record]:
    """What a build says of its stages; nothing when it cannot be read."""
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: _Record(one["key"], tuple(one["outputs"]), one["files"])
            for name, one in values.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _files(outputs: Iterable[Path]) -> Iterator[Path]:
    for output in outputs:
        if output.is_file():
            yield output
        else:
            yield from (path for path in sorted(output.rglob("*")) if path.is_file())


def _link(source: Path, target: Path, names: Iterable[str]) -> None:
    """Give files a second name; copy them where the file system cannot."""
    for name in names:
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        try:
            os.link(source / name, place)
        except OSError:
            shutil.copyfile(source / name, place)
