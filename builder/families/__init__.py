"""The library of model families, found by looking at the files of this package."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Final

from builder.families.base import Family, Inputs, Model, Target

__all__ = ["BASELINES", "Family", "Inputs", "Model", "Target", "families"]

# Searched by nobody: always run, to be compared with.
BASELINES: Final = ("majority", "one_rule")
_NOT_FAMILIES = {"base", "trees"}


@cache
def families() -> MappingProxyType[str, Family]:
    """Every family by name, in alphabetical order. Loads no heavy library."""
    names = sorted(module.name for module in iter_modules(__path__))
    found = {
        name: import_module(f"{__name__}.{name}").FAMILY
        for name in names
        if name not in _NOT_FAMILIES
    }
    return MappingProxyType(found)
