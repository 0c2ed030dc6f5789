"""Every feature of a flow, one row each; columns, schema and documentation come from here.

Two conventions hold throughout. What cannot be known is NaN: the spacing of a single packet, a
handshake that was not seen, the sizes of a silent side. Spreads are of the whole flow (divisor n).
"""

from __future__ import annotations

from typing import Final

from flowmeter.features import (
    activity,
    counts,
    handshake,
    moments,
    netflow,
    recent,
    rtt,
    tcp,
    timing,
)
from flowmeter.features.columns import Column, Columns
from flowmeter.features.feature import FEATURE_SETS, GROUPS, Feature
from topologies.errors import NotFoundError, Problem

__all__ = [
    "FEATURES",
    "FEATURE_SETS",
    "GROUPS",
    "Column",
    "Columns",
    "Feature",
    "feature_table",
]

_MODULES: Final = (counts, timing, moments, rtt, tcp, activity, handshake, recent, netflow)
_ORDER: Final = tuple(GROUPS)
FEATURES: Final[tuple[Feature, ...]] = tuple(
    sorted(
        (feature for module in _MODULES for feature in module.features()),
        key=lambda feature: _ORDER.index(feature.group),
    )
)


def feature_table(features: str = "full", *, recent: bool = False) -> tuple[Feature, ...]:
    """The features of a set, in the order of the flow table's columns.

    Parameters
    ----------
    features
        One of `FEATURE_SETS`.
    recent
        With the window features, as `MeterConfig.recent_s` turns them on.

    Raises
    ------
    NotFoundError
        No set is called that.

    Examples
    --------
    >>> feature_table("basic")[0].name
    'duration_s'
    """
    if features not in FEATURE_SETS:
        raise NotFoundError(
            Problem(
                "features",
                path="",
                expected=f"one of the feature sets {', '.join(FEATURE_SETS)}",
                got=repr(features),
                remedy="name one of them",
            )
        )
    return tuple(
        feature
        for feature in FEATURES
        if features in feature.sets or (recent and feature.group == "recent")
    )
