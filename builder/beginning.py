"""What a training can begin with, besides nothing."""

from __future__ import annotations

from builder.families import families
from builder.origin import Origin
from builder.transfer import Freeze, Transferred
from builder.warm_trees import KEPT, WarmTrees
from topologies.errors import InputError, Problem

Beginning = Transferred | WarmTrees


def beginning(origin: Origin, freeze: Freeze) -> Beginning:
    """A training that begins with an analyser; only networks have layers to ``freeze``.

    Raises
    ------
    InputError
        The analyser is neither a network nor an ensemble of trees.
    """
    if origin.family in KEPT:
        return WarmTrees(origin)
    if hasattr(families()[origin.family], "network"):
        return Transferred(origin, freeze)
    able = (name for name, family in families().items() if hasattr(family, "network"))
    expected = "one of " + ", ".join(sorted([*able, *KEPT]))
    remedy = "name such an analyser, or train from scratch"
    raise InputError(Problem(origin.name, "family", expected, origin.family, remedy))
