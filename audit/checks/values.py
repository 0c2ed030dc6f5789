"""B: are the numbers of the flow meter numbers?"""

from __future__ import annotations

import numpy as np

from audit.data import AuditData
from audit.result import Finding, at_most, check, nothing_to_measure


@check(
    "B4",
    "infinite or missing values among the features",
    remedy="report it: the flow meter must write NaN, and only that, for what cannot be known",
)
def broken_values(data: AuditData, limit: float) -> Finding:
    """NaN in a whole-flow feature is the meter's word for unknown; in a sequence it is none."""
    fields = (*data.features, *data.sequences)
    if not fields or not len(data.label):
        return nothing_to_measure("no features or no flows")
    cells, broken, unknown = 0, {}, {}
    for field in fields:
        nulls = data.column(field.name).null_count
        values = data.values(field.name)
        cells += values.size
        missing = int(np.isnan(values).sum()) - nulls
        counted = int(np.isinf(values).sum()) + nulls + (missing if field in data.sequences else 0)
        if counted:
            broken[field.name] = counted
        if missing:
            unknown[field.name] = missing / values.size
    most = sorted(unknown.items(), key=lambda item: -item[1])[:5]
    return at_most(
        sum(broken.values()) / cells,
        limit,
        *(f"{name}: {count} infinite or missing" for name, count in broken.items()),
        *(f"{name}: unknown (NaN) in {100 * share:.1f} % of flows" for name, share in most),
    )
