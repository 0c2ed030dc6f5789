"""Sentences, numbers and tables that the page and the text of a card share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from audit.card.facts import Facts
from audit.result import CheckResult
from tagger import DatasetSummary, LabelQuality

VERDICTS: Final = {
    "pass": "pass", "fail": "FAIL", "info": "info", "not_applicable": "not applicable"
}  # fmt: skip


def number(value: float | None) -> str:
    """A measured number; a dash where there is none."""
    if value is None:
        return "-"
    if value == float("-inf"):
        return "unknown"
    return f"{value:.4g}" if abs(value) < 10_000 or abs(value) > 1e12 else f"{value:,.0f}"


def verdict(check: CheckResult) -> str:
    """A verdict in words."""
    return VERDICTS[check.verdict] + (" (accepted)" if check.accepted else "")


def proposals(check: CheckResult) -> list[str]:
    """What a failed check proposes to change in topology and spec, or why it proposes nothing."""
    said = [
        f"{'Yours to decide' if one.decide else 'Proposal'}: in {one.document} {one.name}, {one}, "
        f"because {one.because}"
        for one in check.changes
    ]
    return said + ([f"No change is proposed: {check.no_change}"] if check.no_change else [])


def lived_with(checks: Sequence[CheckResult]) -> list[dict[str, str]]:
    """Failures that were accepted and features that were allowed, each with the reason."""
    rows = [
        {"what": one.title, "checks": one.id, "reason": one.accepted}
        for one in checks
        if one.accepted
    ]
    allowed: dict[tuple[str, str], list[str]] = {}
    for one in checks:
        for name, why in one.allowed.items():
            allowed.setdefault((name, why), []).append(one.id)
    return rows + [
        {"what": f"{name} may tell", "checks": ", ".join(ids), "reason": why}
        for (name, why), ids in allowed.items()
    ]


def accuracy_rows(quality: LabelQuality) -> list[dict[str, str]]:
    """The label accuracy of each class and of all; nothing where it was not measured."""
    if not quality.overall.checked:
        return []
    return [
        {
            "label": name,
            "checked": str(one.checked),
            "agreed": str(one.agreed),
            "share": f"{100 * one.agreed / one.checked:.2f} %",
            "interval": f"{100 * one.interval[0]:.2f} to {100 * one.interval[1]:.2f} %",
        }
        for name, one in [*quality.classes.items(), ("all", quality.overall)]
        if one.checked
    ]


def notes(summary: DatasetSummary, facts: Facts) -> dict[str, str]:
    """Sentences about the parts of a card."""
    return {
        "unlabelled": (
            f"{summary.unlabelled} flows are unlabelled and {summary.ambiguous} ambiguous: in the "
            "dataset, in no class, never trained on. "
            f"{summary.duplicate_observations} observations of flows already seen on another "
            "network were left out."
        ),
        "accuracy": _accuracy(summary.quality),
        "splitting": _splitting(summary),
        "sample": (
            f"Measured on {len(facts.codes):,} of {facts.flows:,} labelled flows of the "
            f"{facts.split} split."
        ),
    }


def _accuracy(quality: LabelQuality) -> str:
    if not quality.overall.checked:
        return f"Not measured: {quality.note}."
    return (
        f"Each label beside what the kernel saw ({quality.note}), with 95 % Wilson intervals. "
        f"{quality.unseen} flows have no evidence."
    )


IN_NO_SPLIT: Final = "they nearly repeat a training flow, or their activity is on both sides"


def _splitting(summary: DatasetSummary) -> str:
    how = summary.splitting
    asked = ", ".join(f"{split} {share:g}" for split, share in how.shares.items())
    shares = f" Shares asked for: {asked}." if asked else ""
    seed = f" Seed {how.seed}." if how.seed is not None else ""
    left = f" {how.left_out} flows are in no split: {IN_NO_SPLIT}." if how.left_out else ""
    return (
        f"Split by {how.by}, {len(how.groups)} groups, each in one split as a whole."
        f"{shares}{seed}{left}"
    )
