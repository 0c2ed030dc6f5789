"""B: are the numbers of the flow meter numbers?"""

from __future__ import annotations

from typing import Final

from audit.data import AuditData
from audit.result import Finding, Threshold, at_most, check, nothing_to_measure

NEARLY: Final = 0.999  # share of rows with one value


@check(
    "B4",
    "infinite or missing values among the features",
    remedy=(
        "report it: the flow meter must write NaN, and only that, for what cannot be known; in a "
        "table made elsewhere replace them, and say of each class how many rows that takes"
    ),
    needs=("features", "flows"),
)
def broken_values(data: AuditData, allowed: Threshold) -> Finding:
    """NaN in a whole-flow feature is the meter's word for unknown; in a sequence it is none."""
    fields = (*data.features, *data.sequences)
    cells, broken, unknown = 0, {}, {}
    for field in fields:
        one = data.looks[field.name]
        cells += one.cells
        counted = one.infinite + one.nulls + (one.unknown if field in data.sequences else 0)
        if counted:
            broken[field.name] = counted
        if one.unknown:
            unknown[field.name] = one.unknown / one.cells
    most = sorted(unknown.items(), key=lambda item: -item[1])[:5]
    return at_most(
        sum(broken.values()) / cells,
        allowed.limit,
        *(f"{name}: {count} infinite or missing" for name, count in broken.items()),
        *(f"{name}: unknown (NaN) in {100 * share:.1f} % of flows" for name, share in most),
    )


@check(
    "B5",
    "share of features that are constant, nearly constant or copies of another",
    remedy="leave them out of the model, or ask whether the lab lacks what would make them vary",
    needs=("features", "flows"),
)
def idle_columns(data: AuditData, allowed: Threshold) -> Finding:
    """Compare every whole-flow feature with itself and with the others, to the bit."""
    if not data.features:
        return nothing_to_measure("no features of whole flows")
    constant, nearly, copies = [], [], []
    seen: dict[bytes, str] = {}
    for field in data.features:
        one = data.looks[field.name]
        if one.distinct == 1:
            constant.append(field.name)
            continue
        if one.most >= NEARLY * one.cells:
            nearly.append(field.name)
        first = seen.setdefault(one.digest, field.name)
        if first != field.name:
            copies.append(f"{field.name} is {first}")
    idle = len(constant) + len(nearly) + len(copies)
    said = {"constant": constant, "nearly constant": nearly, "copies": copies}
    return at_most(
        idle / len(data.features),
        allowed.limit,
        f"{idle} of {len(data.features)} features",
        *(f"{what}: {', '.join(names)}" for what, names in said.items() if names),
    )
