"""F: is there more than one flow of each class?"""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np

from audit.data import AuditData
from audit.result import Finding, at_most, check, nothing_to_measure

SIZES: Final = ("c2s_packets", "s2c_packets", "c2s_ip_bytes", "s2c_ip_bytes")


@check(
    "F6",
    "largest share of a class that has one and the same number of packets and bytes",
    remedy="look at the class named: a server that stopped answering, or one command for all users",
)
def collapsed_classes(data: AuditData, limit: float) -> Finding:
    """Count packets and IP bytes of both directions together."""
    if not data.has(*SIZES) or not data.labelled.any():
        return nothing_to_measure("no packet and byte counts, or no labelled flows")
    columns = {name: data.values(name) for name in SIZES}
    pair = np.stack(
        [
            columns["c2s_packets"] + columns["s2c_packets"],
            columns["c2s_ip_bytes"] + columns["s2c_ip_bytes"],
        ]
    )[:, data.labelled]
    distinct, code = np.unique(pair, axis=1, return_inverse=True)
    label = data.label[data.labelled]
    sizes = Counter(label.tolist())
    most: dict[str, tuple[int, int]] = {}
    for (name, number), count in Counter(zip(label, code.tolist(), strict=True)).items():
        most[name] = max(most.get(name, (0, 0)), (count, number))
    shares = {name: count / sizes[name] for name, (count, _) in most.items()}
    evidence = [
        f"{name}: {100 * shares[name]:.1f} % have {distinct[0, number]:.0f} packets and "
        f"{distinct[1, number]:.0f} bytes"
        for name, (_, number) in sorted(most.items(), key=lambda item: -shares[item[0]])
    ]
    return at_most(max(shares.values()), limit, *evidence)
