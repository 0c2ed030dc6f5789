"""F: what is an alarm worth where attacks are rare?"""

from __future__ import annotations

from typing import Final

import numpy as np

from audit.data import AuditData
from audit.result import Finding, Threshold, check

RARE: Final = (1_000, 10_000)  # benign flows for each malicious one


@check(
    "F7",
    "precision of malicious against benign where one flow in a thousand is malicious",
    remedy="none is needed: keep the base rate in mind, and make longer runs of benign traffic",
    needs=("classes", "malicious"),
)
def rare_attacks(data: AuditData, allowed: Threshold) -> Finding:  # noqa: ARG001 - it informs
    """Work the precision out from the full model's hits and false alarms on the judged rows.

    Where it raised no false alarm, three in as many benign flows are assumed (rule of three).
    """
    sample = data.sample
    bad = data.malicious(np.array(sample.labels, dtype=object))
    whole = data.malicious(data.label[data.labelled])
    if bad is None or whole is None:
        raise AssertionError("the check says that it needs this")
    share = float(whole.mean())
    if bad.all() or not bad.any():
        return Finding("info", None, (f"base rate {share:.4f}; one kind only can be learnt",))
    chances = data.full_model.probabilities(sample.values[sample.test])
    alarm = chances[:, bad].sum(axis=1) > 0.5
    truth = bad[sample.classes[sample.test]]
    hits, false = float(alarm[truth].mean()), float(alarm[~truth].mean())
    bound = max(false, 3 / max(int((~truth).sum()), 1)) if false == 0 else false
    precision = {rare: hits / (hits + rare * bound) if hits else 0.0 for rare in RARE}
    return Finding(
        "info",
        precision[RARE[0]],
        (
            f"base rate in the table: {share:.4f} malicious",
            f"hits {hits:.4f}, false alarms {false:.5f} of {int((~truth).sum())} benign flows",
            *(
                f"precision at 1 : {rare:,}: {'at least ' if not false else ''}{value:.3f}"
                for rare, value in precision.items()
            ),
        ),
    )
