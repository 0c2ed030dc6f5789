"""The dataset card: what is in a dataset and what its audit found."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from audit.card.croissant import croissant
from audit.card.markdown import card
from audit.data import AuditData
from audit.result import CheckResult
from topologies.files import sha256_file, write_text

__all__ = ["write_card"]


def write_card(
    folder: Path, data: AuditData, checks: Sequence[CheckResult], *, released: bool
) -> dict[str, str]:
    """Write the card into the dataset's folder; the SHA-256 of each file.

    Every text is made before the first is written, and each file is written whole or not at all.
    """
    metadata = croissant(folder, data, checks, released=released)
    texts = {
        "card.md": card(data.summary, checks, released=released),
        "croissant.json": json.dumps(metadata, indent=2, ensure_ascii=False) + "\n",
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return {name: sha256_file(folder / name) for name in texts}
