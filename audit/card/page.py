"""The card as a page: one file without scripts or anything from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from audit.card import charts, timeline
from audit.card.facts import Facts
from audit.card.responsible import responsible_use
from audit.card.svg import colour
from audit.card.wording import accuracy_rows, lived_with, notes, number, proposals, verdict
from audit.result import CheckResult
from tagger import DatasetSummary
from topologies import Topology
from topologies.drawing import draw

if TYPE_CHECKING:
    from jinja2 import Template

STYLES: Final = re.compile(r"(?m)(?:^|(?<=<style>))(?=text\{|\.\w+\{)")
"""Where a rule of a drawing's style sheet begins."""
SECTIONS: Final = (
    ("verdict", "Verdict"), ("classes", "Classes"), ("accuracy", "Label accuracy"),
    ("origin", "Where it is from"), ("time", "Activities"), ("features", "Features"),
    ("shortcuts", "Shortcuts"), ("tree", "Tree"), ("correlation", "Correlation"),
    ("audit", "Audit"), ("use", "Use and limits"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Contents:
    """Everything that a card tells."""

    summary: DatasetSummary
    checks: Sequence[CheckResult]
    released: bool
    facts: Facts
    timelines: Sequence[timeline.Timeline]
    topologies: Mapping[str, Topology]


def page(contents: Contents) -> str:
    """The HTML text."""
    summary, facts = contents.summary, contents.facts
    shown = {id_ for id_, _ in SECTIONS}
    if not contents.timelines:
        shown -= {"time"}
    if not facts.learnable:
        shown -= {"features", "shortcuts", "tree", "correlation"}
    return _template().render(
        summary=summary,
        checks=contents.checks,
        released=contents.released,
        lived_with=lived_with(contents.checks),
        failures=[check for check in contents.checks if check.verdict == "fail"],
        sections=[(id_, words) for id_, words in SECTIONS if id_ in shown],
        figures=_figures(summary),
        notes=notes(summary, facts),
        splits=[*summary.classes, *(["in no split"] if summary.left_out else [])],
        classes=_classes(summary),
        balance=_safe(_balance(summary)),
        accuracy=accuracy_rows(summary.quality),
        runs=_runs(summary),
        topologies={name: _drawing(one) for name, one in contents.topologies.items()},
        legend={name: colour(place) for place, name in enumerate(summary.label_counts)},
        timelines={
            f"{one.run.run_id} ({one.run.topology}, {one.run.split or 'several splits'})": _safe(
                timeline.draw(one)
            )
            for one in contents.timelines
        },
        responsible=_responsible(contents),
        **(_features(contents) if facts.learnable else {}),
    )


def _features(contents: Contents) -> dict[str, object]:
    """What needs classes to tell apart."""
    facts = contents.facts
    return {
        "distributions": [_safe(c) for c in charts.distributions(facts, facts.telling())],
        "shortcuts": {name: facts.shortcuts(place) for place, name in enumerate(facts.classes)},
        "suspects": facts.suspects,
        "tree": _safe(charts.tree(facts)),
        "correlation": _safe(charts.correlation(*facts.correlation())),
    }


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True
    )
    environment.filters |= {
        "number": number,
        "verdict": verdict,
        "proposals": proposals,
        "style": _style,
        "bar": lambda accuracy: round(max(accuracy - 0.5, 0) * 160),
    }
    return environment.get_template("page.html.j2")


def _safe(svg: str) -> str:
    """A picture of ours, whose texts are escaped already."""
    from markupsafe import Markup

    return Markup(svg)  # noqa: S704 - see above


def _style(check: CheckResult) -> str:
    return "warned" if check.verdict == "fail" and not check.blocks else check.verdict


def _drawing(topology: Topology) -> str:
    """A drawing whose style sheet reaches no other picture of the page."""
    return _safe(STYLES.sub(".topology ", draw(topology)))


def _balance(summary: DatasetSummary) -> str:
    counts = {str(split): count for split, count in summary.classes.items()}
    return charts.balance(counts, list(summary.label_counts))


# -- tables ------------------------------------------------------------------------------------


def _figures(summary: DatasetSummary) -> list[tuple[str, str]]:
    overall = summary.quality.overall
    topologies = {run.topology for run in summary.runs}
    right = f"≥ {100 * overall.interval[0]:.2f} %" if overall.checked else "not measured"
    return [
        (f"{summary.flows:,}", "flows"),
        (str(len(summary.runs)), "runs"),
        (str(len(topologies)), "topology" if len(topologies) == 1 else "topologies"),
        (str(len(summary.label_counts)), "classes"),
        (right, "labels right (95 %)"),
        (f"{summary.unlabelled + summary.ambiguous:,}", "without a single label"),
    ]


def _classes(summary: DatasetSummary) -> dict[str, dict[str, object]]:
    columns = [*summary.classes.values(), *([summary.left_out] if summary.left_out else [])]
    return {
        name: {
            "category": label.category,
            "malicious": "yes" if label.malicious else "no",
            "counts": [f"{counts.get(name, 0):,}" for counts in columns],
        }
        for name, label in summary.vocabulary.items()
        if any(counts.get(name) for counts in columns)
    }


def _runs(summary: DatasetSummary) -> list[dict[str, object]]:
    return [
        {
            "run_id": run.run_id,
            "split": run.split or "several",
            "topology": run.topology,
            "seed": run.seed,
            "backend": run.backend,
            "flows": f"{run.flows:,}",
            "packets": f"{sum(capture.packets for capture in run.captures):,}",
            "dropped": sum(c.dropped_by_kernel + c.dropped_by_interface for c in run.captures),
            "manifest": run.manifest_sha256,
        }
        for run in summary.runs
    ]


def _responsible(contents: Contents) -> list[tuple[str, str]]:
    """The RAI fields, in words."""
    fields = responsible_use(
        contents.summary, contents.checks, times=None, released=contents.released
    )
    told = []
    for name, value in fields.items():
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.removeprefix("rai:")).capitalize()
        told.append((words, _joined(value)))
    return told


def _joined(value: object) -> str:
    """Sentences after each other; words with commas."""
    if not isinstance(value, list):
        return str(value)
    return (" " if any(one.endswith(".") for one in value) else ", ").join(value)
