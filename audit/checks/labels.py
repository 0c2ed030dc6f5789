"""C: are the labels right, complete and of one vocabulary?"""

from __future__ import annotations

import math
import re
from collections import Counter

import numpy as np

from audit.data import AuditData
from audit.result import Finding, at_most, check, nothing_to_measure
from tagger import AMBIGUOUS, UNLABELLED
from tagger.agreement import Z_95


@check(
    "C1",
    "label accuracy against the kernel's evidence, lower end of the 95 % interval",
    remedy=(
        "look into the disagreements in dataset.json and mend the rules; "
        "if there are none, make longer runs: few flows prove little"
    ),
)
def label_accuracy(data: AuditData, limit: float) -> Finding:
    """Judge the Wilson interval over all classes; each class is in the evidence."""
    quality = data.summary.quality
    if not quality.overall.checked:
        return nothing_to_measure(f"label accuracy cannot be measured: {quality.note}")
    low, high = quality.overall.interval
    if low < limit and quality.overall.share == 1:
        needed = math.ceil(Z_95**2 * limit / (1 - limit)) if limit < 1 else math.inf
        proof = f"; all are right, but it takes {needed} flows to prove {limit:g}"
    else:
        proof = ""
    evidence = [
        (
            f"{quality.overall.agreed} of {quality.overall.checked} right, "
            f"95 % interval {low:.4f} to {high:.4f} ({quality.note}){proof}"
        )
    ]
    for name, one in quality.classes.items():
        low_one, high_one = one.interval
        evidence.append(
            f"{name}: {one.agreed} of {one.checked} right, {low_one:.4f} to {high_one:.4f}"
        )
    evidence += [
        f"flow {d.flow_id}: {d.label} by the rules ({d.activity}), "
        f"{d.oracle} by the kernel ({d.owner})"
        for d in quality.disagreements[:10]
    ]
    return Finding("pass" if low >= limit else "fail", low, tuple(evidence))


@check(
    "C2",
    "share of flows without a single label (unlabelled and ambiguous)",
    remedy=(
        "see the reasons in labels.parquet: add rules for unlabelled flows; for ambiguous ones "
        "give overlapping activities services or hosts of their own"
    ),
)
def undecided_flows(data: AuditData, limit: float) -> Finding:
    """Count what no rule, or more than one, explains."""
    if not len(data.label):
        return nothing_to_measure("no flows")
    undecided = np.isin(data.label, [UNLABELLED, AMBIGUOUS])
    reasons = Counter(data.labels["reason"].filter(undecided).to_pylist())
    return at_most(
        float(undecided.mean()),
        limit,
        f"{data.summary.unlabelled} unlabelled and {data.summary.ambiguous} ambiguous "
        f"of {len(data.label)} flows",
        *(f"{count} times: {reason}" for reason, count in reasons.most_common(5)),
    )


@check(
    "C6",
    "labels outside the vocabulary, or two spellings of one label",
    remedy="write each label in one way, as the rule file lists it",
)
def closed_vocabulary(data: AuditData, limit: float) -> Finding:
    """Compare the labels used with the rule file's, letter by letter."""
    used = Counter(data.label.tolist())
    known = {*data.summary.vocabulary, UNLABELLED, AMBIGUOUS}
    strangers = sorted(set(used) - known)
    spellings: dict[str, list[str]] = {}
    for name in sorted(known | set(used)):
        spellings.setdefault(re.sub(r"[\W_]+", "", name.casefold()), []).append(name)
    twice = [names for names in spellings.values() if len(names) > 1]
    return at_most(
        len(strangers) + len(twice),
        limit,
        *(f"'{name}' is not in the vocabulary ({used[name]} flows)" for name in strangers),
        *(f"one label in several spellings: {', '.join(map(repr, names))}" for names in twice),
    )
