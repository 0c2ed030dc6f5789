"""What the code of a package is, as a digest: results kept from before hold for the same code."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def code_digest(*packages: str) -> str:
    """Hex SHA-256 of every file of these packages, but what Python and numba keep there."""
    digest = hashlib.sha256()
    for name in packages:
        found = find_spec(name)
        for folder in found.submodule_search_locations or () if found else ():
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    place = path.relative_to(folder)
                    digest.update(f"{name}/{place}\0{path.stat().st_size}\0".encode())
                    digest.update(path.read_bytes())
    return digest.hexdigest()
