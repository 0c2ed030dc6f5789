"""Draw the library: ``python -m topologies.pictures docs/images``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from topologies.drawing import draw
from topologies.files import write_text
from topologies.loader import library, load_topology


def pictures() -> Mapping[str, str]:
    """File name and SVG text of each topology that ships with the package."""
    return {f"topology-{name}.svg": draw(load_topology(name).model) for name in library()}


def main() -> None:
    """Write every picture into the folder of the command line."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m topologies.pictures FOLDER")
    for name, text in pictures().items():
        write_text(Path(sys.argv[1]) / name, text)


if __name__ == "__main__":
    main()
