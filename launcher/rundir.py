"""The run directory: the one thing the launcher leaves behind, and how it says it is whole."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

import yaml
from pydantic import ValidationError

from launcher.records import (
    ActivityRecord,
    EvidenceRecord,
    ImpairmentRecord,
    Manifest,
    PhaseRecord,
    Record,
    ServiceRecord,
)
from topologies import Topology
from topologies.errors import InputError, NotFoundError, Problem
from topologies.files import sha256_file, write_json, write_text
from topologies.records import damaged_record

MANIFEST = "manifest.json"
TOPOLOGY = "topology.yaml"
JOURNAL = "journal.jsonl"
EVIDENCE = "evidence.jsonl"
ENDS = "ends.jsonl"
WINDOWS = "windows.jsonl"
CAPTURES = "captures"
LOGS = "logs"
RESERVE = ".reserve"  # so that the disk is never too full for the last manifest
RESERVE_BYTES = 1 << 18

JournalRecord = ActivityRecord | ServiceRecord | PhaseRecord | ImpairmentRecord
_JOURNAL_TYPES: Mapping[str, type[JournalRecord]] = {
    "activity": ActivityRecord,
    "service": ServiceRecord,
    "phase": PhaseRecord,
    "impairment": ImpairmentRecord,
}


class LineWriter:
    """Appends records to a JSON Lines file, each flushed at once, from any thread."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()
        self.count = 0

    def write(self, record: Record) -> None:
        """Append one record."""
        with self._lock:
            self._stream.write(record.model_dump_json() + "\n")
            self._stream.flush()
            self.count += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):  # a full disk: `write` has said so
            self._stream.close()


def create(run_dir: Path, manifest: Manifest, topology: Topology) -> None:
    """Make a run directory that says it is incomplete; refuses one that exists."""
    if run_dir.exists() and any(run_dir.iterdir()):
        raise InputError(
            Problem(
                str(run_dir), "", "a new folder", "one with files in it", "choose another --out"
            )
        )
    for folder in (CAPTURES, LOGS):
        (run_dir / folder).mkdir(parents=True, exist_ok=True)
    (run_dir / RESERVE).write_bytes(os.urandom(RESERVE_BYTES))
    write_manifest(run_dir, manifest)
    resolved = yaml.safe_dump(topology.model_dump(mode="json"), sort_keys=False)
    write_text(run_dir / TOPOLOGY, resolved)


def release_reserve(run_dir: Path) -> None:
    """Give back the room that was kept for the last manifest, now that it is to be written."""
    (run_dir / RESERVE).unlink(missing_ok=True)


def write_manifest(run_dir: Path, manifest: Manifest) -> None:
    """Replace the manifest."""
    write_json(run_dir / MANIFEST, manifest.model_dump(mode="json"))


def digests(run_dir: Path) -> dict[str, str]:
    """SHA-256 of every file of the run but the manifest, by path in it."""
    files = sorted(p for p in run_dir.rglob("*") if p.is_file() and p.name != MANIFEST)
    return {str(path.relative_to(run_dir)): sha256_file(path) for path in files}


def read_manifest(run_dir: Path) -> Manifest:
    """Read a run's manifest.

    Raises
    ------
    NotFoundError
        The folder is no run directory.
    InputError
        The manifest is damaged.
    """
    path = run_dir / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise NotFoundError(
            Problem(str(run_dir), "", "a run directory", f"no {MANIFEST} in it", "check the path")
        ) from error
    except ValidationError as error:
        raise damaged_record(
            path,
            error,
            expected="a run manifest of this format",
            remedy="the run is damaged: run it again",
        ) from error


def read_journal(run_dir: Path) -> Iterator[JournalRecord]:
    """Yield a run's journal; a damaged line is an `InputError` that names it."""
    path = run_dir / JOURNAL
    with _opened(path) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                kind = next(k for k in _JOURNAL_TYPES if f'"record":"{k}"' in line)
                yield _JOURNAL_TYPES[kind].model_validate_json(line)
            except (StopIteration, ValueError) as error:
                raise _damaged(path, number, "a journal record") from error


def read_evidence(run_dir: Path) -> Iterator[EvidenceRecord]:
    """Yield what the kernel saw; for measuring labels, never for making them."""
    path = run_dir / EVIDENCE
    with _opened(path) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                yield EvidenceRecord.model_validate_json(line)
            except ValueError as error:
                raise _damaged(path, number, "an evidence record") from error


def _opened(path: Path) -> TextIO:
    try:
        return path.open(encoding="utf-8")
    except OSError as error:
        raise NotFoundError(
            Problem(str(path), "", "a file of the run", "none", "is this a run directory?")
        ) from error


def _damaged(path: Path, line: int, expected: str) -> InputError:
    return InputError(
        Problem(str(path), "", expected, "another text", "the run is damaged: run it again", line)
    )
