"""Trees of files to move: folders, names, sizes and contents as people and programs have them."""

from __future__ import annotations

import random
from pathlib import Path

from common import heavy, noise, word
from common_site import prose

KINDS = ("pdf", "iso", "txt", "jpg", "tgz", "csv", "md", "bin", "log")
TEXT = ("txt", "csv", "md", "log")


def plant(
    rng: random.Random,
    folder: Path,
    *,
    files: int,
    median_bytes: float,
    budget_bytes: int,
    sigma: float = 1.3,
) -> list[Path]:
    """Write about ``files`` files below ``folder``, some in folders of folders; their paths."""
    places = [folder]
    for _ in range(rng.randint(2, max(3, files // 5))):
        places.append(rng.choice(places) / word(rng))
    made, left = [], budget_bytes
    for _ in range(files):
        size = heavy(rng, median_bytes, sigma, 10, max(left // 2, 11))
        path = rng.choice(places) / f"{word(rng)}-{rng.randint(0, 99)}.{rng.choice(KINDS)}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(rng, path, size)
        made.append(path)
        left -= size
    return made


def write(rng: random.Random, path: Path, size: int) -> None:
    """Write a file: language for texts, noise for everything else."""
    if path.suffix[1:] in TEXT:
        path.write_text(prose(rng, size))
        return
    with path.open("wb") as stream:
        for block in noise(size, 65_536):
            stream.write(block)


def edit(rng: random.Random, path: Path) -> None:
    """Change a file as an edit does: something replaced, inserted or added at its end."""
    content = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(content) + 1)
        piece = rng.randbytes(heavy(rng, 300, 1.2, 1, 20_000))
        content[at : at + rng.choice((0, len(piece)))] = piece
    path.write_bytes(content)
