"""The catalogue of activities and services: one small module each, found by itself."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from launcher.activities.kind import ActivityKind, Params, ServiceKind, Shared

__all__ = ["ActivityKind", "Params", "ServiceKind", "Shared", "catalogue", "services"]


@cache
def _modules() -> tuple[ModuleType, ...]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(import_module(f"{__name__}.{name}") for name in names if name != "kind")


def catalogue() -> dict[str, ActivityKind[Any]]:
    """Every activity kind by name: the ``KIND`` of each module that has one."""
    kinds = [module.KIND for module in _modules() if hasattr(module, "KIND")]
    return {kind.kind: kind for kind in kinds}


def services() -> dict[str, ServiceKind]:
    """Every service kind by name: the ``SERVICE`` of each module that has one."""
    kinds = [module.SERVICE for module in _modules() if hasattr(module, "SERVICE")]
    return {kind.kind: kind for kind in kinds}
