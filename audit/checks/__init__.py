"""The checks, one function each; every module here is searched, so a new check needs no list."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache

from audit.result import Check


@cache
def all_checks() -> Mapping[str, Check]:
    """Every check by id, in order."""
    found: dict[str, Check] = {}
    for module in pkgutil.iter_modules(__path__):
        for value in vars(importlib.import_module(f"{__name__}.{module.name}")).values():
            if isinstance(value, Check):
                if value.id in found:
                    raise AssertionError(f"two checks are called {value.id}")
                found[value.id] = value
    return {id_: found[id_] for id_ in sorted(found)}
