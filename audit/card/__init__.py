"""The dataset card: what is in a dataset and what its audit found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from audit.card.croissant import croissant
from audit.card.markdown import card
from audit.card.page import Contents, page
from audit.card.timeline import timelines
from audit.data import AuditData
from audit.result import CheckResult
from tagger import DatasetSummary
from tagger.summary import topology_file
from topologies import Topology, load_topology
from topologies.files import sha256_file, write_text

__all__ = ["card_texts", "write_card"]


def write_card(
    folder: Path, data: AuditData, checks: Sequence[CheckResult], *, released: bool
) -> dict[str, str]:
    """Write the card into the dataset's folder; the SHA-256 of each file.

    Every text is made before the first is written, and each file is written whole or not at all.
    """
    texts, metadata = card_texts(folder, data, checks, released=released)
    texts |= {"croissant.json": json.dumps(metadata, indent=2, ensure_ascii=False) + "\n"}
    for name, text in texts.items():
        write_text(folder / name, text)
    return {name: sha256_file(folder / name) for name in texts}


def card_texts(
    folder: Path | None, data: AuditData, checks: Sequence[CheckResult], *, released: bool
) -> tuple[dict[str, str], dict[str, object]]:
    """The card's pages by their names, and its metadata; nothing is written.

    Without a ``folder`` they lack what is only told there: topologies, times, further tables.
    """
    contents = Contents(
        summary=data.summary,
        checks=checks,
        released=released,
        facts=data.card_facts,
        timelines=timelines(folder, data) if folder else [],
        topologies=_topologies(folder, data.summary) if folder else {},
    )
    texts = {"card.md": card(contents), "card.html": page(contents)}
    return texts, croissant(folder, data, checks, released=released)


def _topologies(folder: Path, summary: DatasetSummary) -> dict[str, Topology]:
    """Each resolved topology once, by a name that tells two of one name apart."""
    files = {topology_file(folder, run): run.topology for run in summary.runs}
    found: dict[str, Topology] = {}
    for path, name in files.items():
        if path.is_file():
            found[name if name not in found else path.stem] = load_topology(path).model
    return found
