"""C: are the labels right, complete and of one vocabulary?"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Final

import numpy as np

from audit.data import AuditData
from audit.result import Finding, Threshold, at_most, check, nothing_to_measure
from tagger import AMBIGUOUS, UNLABELLED
from tagger.agreement import Z_95

OVER_TLS: Final = frozenset(
    ("http", "ftp", "imap", "pop3", "smtp", "ldap", "mqtt", "amqp", "irc", "sip", "coap", "ws")
)
"""Protocols whose name with an s is no plural."""


@check(
    "C1",
    "label accuracy against the kernel's evidence, lower end of the 95 % interval",
    remedy=(
        "look into the disagreements in dataset.json and mend the rules; "
        "if there are none, make longer runs: few flows prove little"
    ),
    needs=("lineage",),
)
def label_accuracy(data: AuditData, allowed: Threshold) -> Finding:
    """Judge the Wilson interval over all classes; each class is in the evidence."""
    limit = allowed.limit
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
    needs=("flows",),
)
def undecided_flows(data: AuditData, allowed: Threshold) -> Finding:
    """Count what no rule, or more than one, explains, and rows whose label says that it is none."""
    undecided = ~data.labelled
    counts = Counter(data.label[undecided].tolist())
    reasons: Counter[str] = Counter()
    if "reason" in data.context:
        reasons.update(data.context["reason"].filter(undecided).to_pylist())
    return at_most(
        float(undecided.mean()),
        allowed.limit,
        f"{counts[UNLABELLED]} unlabelled and {counts[AMBIGUOUS]} ambiguous "
        f"of {len(data.label)} flows",
        *(f"{count} times: {reason}" for reason, count in reasons.most_common(5)),
    )


@check(
    "C5",
    "share of flows that look exactly like flows of another label",
    remedy=(
        "see whether the classes named differ in what is measured at all: give them another "
        "service, more packets or longer sessions, or make one class of them"
    ),
    needs=("labelled", "features"),
)
def conflicting_twins(data: AuditData, allowed: Threshold) -> Finding:
    """Group rows whose features and packets are all equal; a model must be wrong on some."""
    numbers, names = data.label_codes
    codes = numbers[data.labelled]
    _, look = np.unique(data.hashed.exact[data.labelled], return_inverse=True)
    pairs = np.unique(np.stack([look, codes]), axis=1)
    labels_of = np.bincount(pairs[0])
    torn = labels_of[look] > 1
    among: dict[int, list[str]] = {}
    for one, code in pairs[:, labels_of[pairs[0]] > 1].T:
        among.setdefault(int(one), []).append(names[code])
    rows = np.bincount(look)
    together: Counter[str] = Counter()
    for one, said in among.items():
        together[", ".join(said)] += int(rows[one])
    return at_most(
        float(torn.mean()),
        allowed.limit,
        f"{int(torn.sum())} of {len(codes)} flows",
        *(f"{count} flows look alike in {said}" for said, count in together.most_common(5)),
    )


@check(
    "C6",
    "labels outside the vocabulary, or two spellings of one label",
    remedy="write each label in one way, as the rule file or the mapping lists it",
)
def closed_vocabulary(data: AuditData, allowed: Threshold) -> Finding:
    """Compare labels letter by letter with the vocabulary, and with each other for case, blanks,
    punctuation and plural.
    """
    used = Counter(data.label.tolist())
    own = {UNLABELLED, AMBIGUOUS}
    known = set(used) | own if data.vocabulary is None else data.vocabulary | own
    strangers = sorted(set(used) - known)
    twice = _spellings({*known, *used})
    blank = [] if data.vocabulary else [name for name in used if name != name.strip()]
    return at_most(
        len(strangers) + len(twice) + len(blank),
        allowed.limit,
        *(f"'{name}' is not in the vocabulary ({used[name]} flows)" for name in strangers),
        *(
            "one label in several spellings: "
            + ", ".join(f"'{name}' ({used[name]} flows)" for name in names)
            for names in twice
        ),
        *(f"'{name}' has blanks around it ({used[name]} flows)" for name in sorted(blank)),
    )


def _spellings(names: set[str]) -> list[list[str]]:
    """Labels that are the same word."""
    plain = {name: re.sub(r"[\W_]+", "", name.casefold()) for name in names}
    words = set(plain.values())
    alike: dict[str, list[str]] = {}
    for name in sorted(names):
        word = plain[name]
        one = word.removesuffix("s")
        plural = one in words and word != one and one not in OVER_TLS
        alike.setdefault(one if plural else word, []).append(name)
    return [same for same in alike.values() if len(same) > 1]
