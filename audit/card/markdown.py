"""The dataset card: what is in it and what the audit found, as a page of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from audit.result import CheckResult
from tagger import DatasetSummary

VERDICTS = {"pass": "pass", "fail": "**FAIL**", "info": "info", "not_applicable": "not applicable"}


def card(summary: DatasetSummary, checks: Sequence[CheckResult], *, released: bool) -> str:
    """The card's text."""
    return "\n".join(
        [
            f"# Dataset {_plain(summary.name)}",
            "",
            f"{summary.flows} flows of {len(summary.runs)} runs. "
            + ("Released by its audit." if released else "**Not released by its audit.**"),
            "",
            *_counts(summary),
            *_accuracy(summary),
            *_checks(checks),
            *_origin(summary),
        ]
    )


def _counts(summary: DatasetSummary) -> Iterator[str]:
    yield "## Flows"
    yield ""
    splits = list(summary.classes)
    yield from _table(
        ["label", "category", "malicious", *splits],
        (
            [name, label.category, "yes" if label.malicious else "no"]
            + [str(summary.classes[split].get(name, 0)) for split in splits]
            for name, label in summary.vocabulary.items()
        ),
    )
    yield (
        f"{summary.unlabelled} flows are unlabelled and {summary.ambiguous} ambiguous: in the "
        "dataset, in no class, never trained on. "
        f"{summary.duplicate_observations} observations of flows already seen on another network "
        "were left out."
    )
    yield ""


def _accuracy(summary: DatasetSummary) -> Iterator[str]:
    quality = summary.quality
    yield "## Label accuracy"
    yield ""
    if not quality.overall.checked:
        yield f"Not measured: {_plain(quality.note)}."
        yield ""
        return
    yield (
        f"Each label beside what the kernel saw ({_plain(quality.note)}), with 95 % Wilson "
        f"intervals. {quality.unseen} flows have no evidence."
    )
    yield ""
    rows = [*quality.classes.items(), ("all", quality.overall)]
    yield from _table(
        ["label", "checked", "right", "share", "interval"],
        (
            [
                name,
                str(one.checked),
                str(one.agreed),
                f"{100 * one.agreed / one.checked:.2f} %",
                f"{100 * one.interval[0]:.2f} to {100 * one.interval[1]:.2f} %",
            ]
            for name, one in rows
        ),
    )


def _checks(checks: Sequence[CheckResult]) -> Iterator[str]:
    yield "## Audit"
    yield ""
    yield "B blocks the release, W warns, I informs."
    yield ""
    yield from _table(
        ["check", "severity", "what", "value", "threshold", "verdict"],
        (
            [
                result.id,
                result.severity,
                result.title,
                "-" if result.value is None else f"{result.value:.4g}",
                f"{result.threshold:g}",
                VERDICTS[result.verdict] + (" (accepted)" if result.accepted else ""),
            ]
            for result in checks
        ),
    )
    for result in checks:
        if not result.evidence:
            continue
        yield f"### {result.id}: {result.title}"
        yield ""
        yield from (f"- {_plain(text)}" for text in result.evidence)
        if result.accepted:
            yield f"- Accepted, because: {_plain(result.accepted)}"
        elif result.verdict == "fail":
            yield f"- Remedy: {result.remedy}"
        yield ""


def _origin(summary: DatasetSummary) -> Iterator[str]:
    yield "## Where it is from"
    yield ""
    yield from _table(
        ["run", "split", "topology", "seed", "back end", "flows", "SHA-256 of the manifest"],
        (
            [
                run.run_id,
                run.split or "several",
                run.topology,
                str(run.seed),
                run.backend,
                str(run.flows),
                f"`{run.manifest_sha256}`",
            ]
            for run in summary.runs
        ),
    )
    yield f"Labelled by the rules `{summary.rules.name}` (SHA-256 `{summary.rules.sha256}`)."
    yield ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(_plain(cell) for cell in row)} |"
    yield ""


def _plain(text: str) -> str:
    """Text that cannot break out of its cell or line."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
