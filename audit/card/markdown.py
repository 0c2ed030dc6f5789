"""The card as a page of Markdown: the facts of the HTML page, in text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from audit.card.facts import Facts
from audit.card.page import Contents
from audit.card.tree import leaves
from audit.card.wording import accuracy_rows, lived_with, notes, number, proposals, verdict
from audit.result import CheckResult
from tagger import DatasetSummary

CLOSE = 10


def card(contents: Contents) -> str:
    """The card's text."""
    summary, facts = contents.summary, contents.facts
    words = notes(summary, facts)
    return "\n".join(
        [
            f"# Dataset {_plain(summary.name)}",
            "",
            f"{summary.flows} flows of {len(summary.runs)} runs. "
            + ("Released by its audit." if contents.released else "**Not released by its audit.**"),
            "",
            *_counts(summary, words["unlabelled"]),
            *_accuracy(summary, words["accuracy"]),
            *_checks(contents.checks),
            *_origin(contents, words["splitting"]),
            *(_features(facts, words["sample"]) if facts.learnable else ()),
        ]
    )


def _counts(summary: DatasetSummary, note: str) -> Iterator[str]:
    yield "## Flows"
    yield ""
    splits = dict(summary.classes) | ({"in no split": summary.left_out} if summary.left_out else {})
    yield from _table(
        ["label", "category", "malicious", *splits],
        (
            [name, label.category, "yes" if label.malicious else "no"]
            + [str(counts.get(name, 0)) for counts in splits.values()]
            for name, label in summary.vocabulary.items()
        ),
    )
    yield note
    yield ""


def _accuracy(summary: DatasetSummary, note: str) -> Iterator[str]:
    yield "## Label accuracy"
    yield ""
    yield _plain(note)
    yield ""
    if rows := accuracy_rows(summary.quality):
        yield from _table(
            ["label", "checked", "right", "share", "interval"], (list(r.values()) for r in rows)
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
                number(result.value),
                number(result.threshold),
                verdict(result).replace("FAIL", "**FAIL**"),
            ]
            for result in checks
        ),
    )
    if rows := lived_with(checks):
        yield "### Accepted and allowed"
        yield ""
        yield from _table(["what", "checks", "because"], (list(row.values()) for row in rows))
    for result in checks:
        if not result.evidence and result.verdict != "fail":
            continue
        yield f"### {result.id}: {result.title}"
        yield ""
        yield from (f"- {_plain(text)}" for text in result.evidence)
        if result.accepted:
            yield f"- Accepted, because: {_plain(result.accepted)}"
        elif result.verdict == "fail":
            yield f"- Remedy: {result.remedy}"
        yield from (f"- {_plain(text)}" for text in proposals(result))
        yield ""


def _origin(contents: Contents, note: str) -> Iterator[str]:
    summary = contents.summary
    lasted = {one.run.run_id: one for one in contents.timelines}
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
    yield note
    yield ""
    for name, one in lasted.items():
        rate = one.begun.sum(axis=0) * one.begun.shape[1] / one.seconds
        yield (
            f"- {_plain(name)}: {one.seconds:.0f} s, {one.begun.sum() / one.seconds:.2f} new flows "
            f"per second, {rate.max():.1f} at most"
        )
    yield ""
    for name, topology in contents.topologies.items():
        yield (
            f"- Topology {_plain(name)}: {len(topology.networks)} networks, "
            f"{len(topology.routers)} routers, {sum(h.count for h in topology.hosts.values())} "
            f"hosts, {len(topology.services)} services"
        )
    yield ""
    yield f"Labelled by the rules `{summary.rules.name}` (SHA-256 `{summary.rules.sha256}`)."
    yield ""


# -- features ----------------------------------------------------------------------------------


def _features(facts: Facts, note: str) -> Iterator[str]:
    yield "## Features"
    yield ""
    yield f"{note} Medians of the features that tell most classes apart:"
    yield ""
    yield from _medians(facts)
    yield "### Shortcuts"
    yield ""
    yield (
        "Balanced accuracy of one split of one feature for a class against the rest; 0.5 is chance."
    )
    yield ""
    yield from _table(
        ["class", "best", "split at", "accuracy", "second", "accuracy"],
        (
            [
                name,
                found[0].feature,
                number(found[0].threshold),
                f"{found[0].accuracy:.3f}",
                *([found[1].feature, f"{found[1].accuracy:.3f}"] if found[1:] else ["-", "-"]),
            ]
            for place, name in enumerate(facts.classes)
            for found in [facts.shortcuts(place)]
        ),
    )
    yield from _table(
        ["usual suspect", "class", "split at", "accuracy"],
        (
            [one.feature, one.label, number(one.threshold), f"{one.accuracy:.3f}"]
            for one in facts.suspects
        ),
    )
    yield "### A tree of depth 3"
    yield ""
    for path, leaf in leaves(facts.tree):
        most = int(np.argmax(leaf.counts))
        share = 100 * leaf.counts[most] / max(sum(leaf.counts), 1)
        yield (
            f"- {_plain(' and '.join(path)) or 'always'}: {facts.classes[most]} "
            f"({share:.0f} % of {sum(leaf.counts)})"
        )
    yield ""
    yield "### Correlation"
    yield ""
    yield from _closest(facts)
    yield ""


def _medians(facts: Facts) -> Iterator[str]:
    yield from _table(
        ["feature", "unit", *facts.classes],
        (
            [facts.names[place], facts.unit(place), *_of_classes(facts, place)]
            for place in facts.telling()
        ),
    )


def _of_classes(facts: Facts, place: int) -> Iterator[str]:
    for code in range(len(facts.classes)):
        own = facts.values[facts.codes == code, place]
        known = own[~np.isnan(own)]
        yield number(float(np.median(known))) if len(known) else "-"


def _closest(facts: Facts) -> Iterator[str]:
    """The pairs of features that go most together."""
    names, values = facts.correlation()
    rows, columns = np.triu_indices(len(names), 1)
    order = np.argsort(-np.abs(values[rows, columns]), kind="stable")[:CLOSE]
    yield "Rank correlations, the strongest first:"
    yield ""
    for i in order:
        yield f"- {names[rows[i]]}, {names[columns[i]]}: {values[rows[i], columns[i]]:.3f}"


# -- text --------------------------------------------------------------------------------------


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{' --- |' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(_plain(cell) for cell in row)} |"
    yield ""


def _plain(text: str) -> str:
    """Text that cannot break out of its cell or line."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
