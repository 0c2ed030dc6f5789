"""C: which labels does the rest of the table speak against, and would it find a wrong one?"""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np
import numpy.typing as npt

from audit.data import AuditData
from audit.learn import Floats, Ints, out_of_fold
from audit.result import Finding, Threshold, at_most, check
from audit.sample import Sample
from tagger import Agreement

LISTED: Final = 50
CANARIES: Final = 0.03  # of the rows get a wrong label
FEWEST_CANARIES: Final = 20
LOOKED_AT: Final = 3  # flows for each canary, the most doubtful first


@check(
    "C7",
    "share of labels that confident learning doubts",
    remedy=(
        "look at the flows listed: mend the rule that labels them, or separate the activities "
        "that overlap in the spec"
    ),
    needs=("classes",),
)
def doubted_labels(data: AuditData, allowed: Threshold) -> Finding:
    """Ask models that have not seen a flow for its class, and cleanlab which labels that doubts."""
    sample = data.sample
    probabilities = out_of_fold(sample.values, sample.classes, width=len(sample.labels))
    doubted = _doubted(sample.classes, probabilities)
    says = probabilities.argmax(axis=1)
    by_class = Counter(sample.classes[doubted].tolist())
    sizes = np.bincount(sample.classes, minlength=len(sample.labels))
    names = _flow_names(data, sample.rows[doubted[:LISTED]])
    return at_most(
        len(doubted) / len(sample.classes),
        allowed.limit,
        f"{len(doubted)} of {len(sample.classes)} flows",
        *(
            f"{sample.labels[code]}: {count} of {sizes[code]}"
            for code, count in by_class.most_common()
        ),
        *(
            f"{name}: {sample.labels[sample.classes[row]]}, looks like {sample.labels[says[row]]}"
            for name, row in zip(names, doubted, strict=False)
        ),
    )


@check(
    "C9",
    "share of planted wrong labels that are found again, by the oracle or confident learning",
    remedy=(
        "classes look so much alike that a wrong label would not be noticed: record evidence "
        "(back end netns or docker as root) or make the classes differ in more than is measured"
    ),
    needs=("classes",),
)
def canaries(data: AuditData, allowed: Threshold) -> Finding:
    """Give some flows of the sample another class, and look for them as C1 and C7 do.

    Confident learning has found a canary that is among the first three flows for each canary on its
    list; to doubt everything finds nothing. The share is given chance: it fails if the upper end of
    its 95 % interval is too low.
    """
    sample = data.sample
    planted, wrong = _plant(sample)
    probabilities = out_of_fold(sample.values, wrong, width=len(sample.labels))
    suspected = np.isin(planted, _doubted(wrong, probabilities)[: LOOKED_AT * len(planted)])
    seen = _evidence(data, sample, planted, wrong)
    found = suspected | seen
    sizes = Counter(sample.classes[planted[~found]].tolist())
    _, high = Agreement(checked=len(planted), agreed=int(found.sum())).interval
    return Finding(
        "pass" if high >= allowed.limit else "fail",
        float(found.mean()),
        (
            (
                f"{int(found.sum())} of {len(planted)}: {int(seen.sum())} by the oracle, "
                f"{int(suspected.sum())} by confident learning"
            ),
            *(
                f"missed: {count} that are {sample.labels[code]}"
                for code, count in sizes.most_common()
            ),
        ),
    )


def _plant(sample: Sample) -> tuple[Ints, Ints]:
    """Rows of the sample that get a wrong class, and all classes with those."""
    rng = np.random.default_rng(0)
    rows = len(sample.classes)
    many = min(rows // 4, max(FEWEST_CANARIES, round(CANARIES * rows)))
    planted = np.sort(rng.permutation(rows)[:many])
    wrong = sample.classes.copy()
    steps = rng.integers(1, len(sample.labels), many)
    wrong[planted] = (wrong[planted] + steps) % len(sample.labels)
    return planted, wrong


def _evidence(data: AuditData, sample: Sample, planted: Ints, wrong: Ints) -> npt.NDArray[np.bool_]:
    """Which of the planted labels the oracle contradicts."""
    if "oracle" not in data.context:
        return np.zeros(len(planted), dtype=np.bool_)
    codes, names = data.codes("oracle")
    said = codes[sample.rows[planted]]
    label = np.array(sample.labels, dtype=object)[wrong[planted]]
    told = np.array([names[code] if code >= 0 else "" for code in said], dtype=object)
    return np.asarray((told != "") & (told != label), dtype=np.bool_)


def _doubted(classes: Ints, probabilities: Floats) -> Ints:
    """Rows whose class confident learning doubts, the most doubtful first."""
    from cleanlab.filter import find_label_issues

    present, codes = np.unique(classes, return_inverse=True)
    chances = probabilities[:, present] + 1e-9
    found = find_label_issues(
        labels=codes,
        pred_probs=chances / chances.sum(axis=1, keepdims=True),
        filter_by="predicted_neq_given",
        return_indices_ranked_by="self_confidence",
        n_jobs=1,
    )
    return np.asarray(found, dtype=np.int64)


def _flow_names(data: AuditData, rows: Ints) -> list[str]:
    if data.has("flow_id"):
        return [f"flow {name}" for name in data.column("flow_id").take(rows).to_pylist()]
    return [f"row {row + 1}" for row in rows]
