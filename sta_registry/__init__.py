"""The STA, what a customer gets, and the registry that keeps its versions."""

from sta_registry.acceptance import Check, judge
from sta_registry.card import render_card
from sta_registry.manifest import StaManifest, read_manifest
from sta_registry.registry import Registered, Registry
from sta_registry.sta import Prediction, Sta, load_sta, write_sta
from sta_registry.store import Store
from sta_registry.versions import Version

__all__ = [
    "Check",
    "Prediction",
    "Registered",
    "Registry",
    "Sta",
    "StaManifest",
    "Store",
    "Version",
    "judge",
    "load_sta",
    "read_manifest",
    "render_card",
    "write_sta",
]
