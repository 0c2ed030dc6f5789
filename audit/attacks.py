"""Which activities of a dataset are attacks: those of kinds that have a technique of ATT&CK."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from launcher.activities import catalogue


def attacks(activities: pa.Table) -> pa.Table:
    """The attacks of an activities table."""
    kinds = [kind.kind for kind in catalogue().values() if kind.attack_technique]
    return activities.filter(
        pc.is_in(activities["kind"], value_set=pa.array(kinds, type=pa.string()))
    )
