"""D: does a model learn the machine instead of the traffic?"""

from __future__ import annotations

from typing import Final

import numpy as np

from audit.data import AuditData, Ints
from audit.learn import auc, out_of_fold
from audit.result import Finding, Threshold, check

OWN: Final = 0.95  # share of a host's flows in one class, or of a class on such hosts
HOSTS: Final = 30  # the largest are told apart


@check(
    "D7",
    "AUC of naming the host from the features, while classes live on hosts of their own",
    remedy="let every host play the class named, or run it from hosts that also do other things",
    needs=("classes", "hosts"),
)
def host_fingerprint(data: AuditData, allowed: Threshold) -> Finding:
    """Harmless where classes share hosts, whatever the features tell of them."""
    sample = data.sample
    codes, names = data.codes("host")
    host = codes[sample.rows]
    apart = _living_apart(host, sample.classes, len(sample.labels))
    said: list[str] = []
    if not apart:
        return Finding("pass", None, ("classes share their hosts",))
    largest = np.argsort(-np.bincount(host[host >= 0]), kind="stable")[:HOSTS]
    rows = np.flatnonzero(np.isin(host, largest))
    _, known = np.unique(host[rows], return_inverse=True)
    width = int(known.max()) + 1
    if width < 2:
        return Finding("pass", None, ("all flows are of one host",))
    scores = out_of_fold(sample.values[rows], known, width=width)
    values = {}
    for code in apart:
        of_class = np.unique(known[sample.classes[rows] == code])
        named = [auc(known == one, scores[:, one]) for one in of_class]
        values[code] = float(np.mean(named)) if named else 0.5
        said.append(f"{sample.labels[code]}: its hosts are named with AUC {values[code]:.3f}")
    value = max(values.values())
    said.append(f"{width} of {len(names)} hosts were told apart")
    over = {sample.labels[code]: one for code, one in values.items() if one > allowed.limit}
    return Finding("fail" if over else "pass", value, tuple(said), over)


def _living_apart(host: Ints, classes: Ints, width: int) -> list[int]:
    """Classes of which nearly all flows come from hosts with nearly nothing else."""
    known = host >= 0
    table = np.zeros((int(host.max()) + 1, width), dtype=np.int64)
    np.add.at(table, (host[known], classes[known]), 1)
    flows = table.sum(axis=1, keepdims=True)
    own = table >= OWN * np.maximum(flows, 1)
    on_own = (table * own).sum(axis=0)
    return np.flatnonzero(on_own >= OWN * np.maximum(table.sum(axis=0), 1)).tolist()
