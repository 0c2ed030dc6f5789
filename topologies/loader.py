"""Finding and reading topologies: a file, or a name of the library that ships with the package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from topologies.document import Document, Source, read_source, validate
from topologies.errors import InputError, NotFoundError, Problem
from topologies.references import check_references
from topologies.schema import Topology

LIBRARY: Final = Path(__file__).parent / "library"


def library() -> tuple[str, ...]:
    """Names of the topologies that ship with the package."""
    return tuple(sorted(path.stem for path in LIBRARY.glob("*.yaml")))


def load_topology(reference: str | Path, *, folder: Path | None = None) -> Document[Topology]:
    """Read a topology by file path (relative to ``folder``) or library name.

    Raises
    ------
    NotFoundError
        There is no such file and no such name.
    InputError
        The document has faults; all of them are listed.
    """
    return topology_of(read_source(_find(reference, folder or Path())))


def topology_of(source: Source) -> Document[Topology]:
    """The topology that a parsed document is; raises `InputError` with every fault."""
    document = validate(source, Topology)
    problems = list(_reference_problems(document))
    if problems:
        raise InputError(problems)
    return document


def _find(reference: str | Path, folder: Path) -> Path:
    text = str(reference)
    if "/" not in text and not text.endswith((".yaml", ".yml")):
        if text in library():
            return LIBRARY / f"{text}.yaml"
        raise NotFoundError(
            Problem(
                text,
                "",
                "a topology file or a library name",
                f"'{text}'",
                f"the library has: {', '.join(library())}",
            )
        )
    return folder / text


def _reference_problems(document: Document[Topology]) -> Iterator[Problem]:
    for location, expected, got, remedy in check_references(document.model):
        yield document.source.problem(location, expected=expected, got=got, remedy=remedy)
