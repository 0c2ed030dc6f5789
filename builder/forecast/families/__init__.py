"""The library of forecasters, found by looking at the files of this package.

They keep the contract of `builder.families.base`, with the rows of `builder.forecast.windows`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

from builder.families.base import Family

__all__ = ["BASELINES", "forecasters"]

BASELINES = ("naive", "seasonal_naive")
_NOT_FAMILIES = {"copying", "graphs", "networks"}


@cache
def forecasters() -> MappingProxyType[str, Family]:
    """Every forecaster by name, in alphabetical order. Loads no heavy library."""
    names = sorted(module.name for module in iter_modules(__path__))
    return MappingProxyType(
        {
            name: import_module(f"{__name__}.{name}").FAMILY
            for name in names
            if name not in _NOT_FAMILIES
        }
    )
