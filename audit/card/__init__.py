"""The dataset card: what is in a dataset and what its audit found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from audit.card.markdown import card
from audit.data import AuditData
from audit.result import CheckResult
from topologies.files import sha256_file, write_text

__all__ = ["write_card"]


def write_card(data: AuditData, checks: Sequence[CheckResult], *, released: bool) -> dict[str, str]:
    """Write the card into its dataset; the SHA-256 of each file.

    Every text is made before the first is written, and each file is written whole or not at all.
    """
    texts = {"card.md": card(data.summary, checks, released=released)}
    for name, text in texts.items():
        write_text(data.folder / name, text)
    return {name: sha256_file(Path(data.folder / name)) for name in texts}
