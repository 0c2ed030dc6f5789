"""The report of a build as a page: one file without scripts or anything from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from builder.evaluation.records import Findings, Judgement
from builder.metrics import absent, rare_precision
from builder.report import charts
from builder.report.parallel import parallel
from builder.result import BuildResult, Trial

if TYPE_CHECKING:
    from jinja2 import Template

RARE: Final = (1_000, 10_000)
ERRORS: Final = 40  # activities that are listed
NONE: Final = "-"

Section = tuple[str, str]


def render_report(result: BuildResult, *, name: str) -> str:
    """The HTML text of the report of a build; ``name`` is the analyser's.

    Raises
    ------
    ValueError
        The result has no findings: it was not made by :func:`builder.build`.
    """
    found = result.findings
    if found is None:
        raise ValueError("a result without findings has nothing to report")
    return template("report.html.j2").render(
        name=name,
        result=result,
        found=found,
        sections=list(_sections(found)),
        figures=list(_figures(result, found)),
        classes=[*_classes(found.test)],
        unseen=None if found.unseen is None else [*_classes(found.unseen)],
        absent="" if found.unseen is None else absent(found.unseen.evaluation),
        winner=result.winner,
        trials=trial_pictures(result.trials),
        errors=found.errors[:ERRORS],
        rare=RARE,
        **{key: safe(svg) for key, svg in _pictures(found).items()},
    )


def _sections(found: Findings) -> Iterator[Section]:
    yield from (("classes", "Classes"), ("confusion", "Confusion"), ("families", "Families"))
    if found.carried:
        yield ("carries", "How far it carries")
    yield from (("trials", "Trials"), ("curves", "Precision and recall"))
    yield ("calibration", "Calibration")
    if found.open_set is not None:
        yield ("unknown", "Unknown flows")
    if found.learning or found.histories:
        yield ("learning", "Learning")
    if found.importance:
        yield ("importance", "Importance")
    if found.ablation:
        yield ("ablation", "Ablation")
    yield from (("errors", "Errors"), ("made", "Made with"))


def _figures(result: BuildResult, found: Findings) -> Iterator[Section]:
    test, speed = found.test, found.speed
    interval = test.intervals["f1_macro"]
    yield (
        f"{test.evaluation.f1_macro:.4f}",
        f"macro-F1, test ({interval.low:.3f}-{interval.high:.3f})",
    )
    if found.unseen is not None:
        yield f"{found.unseen.evaluation.f1_macro:.4f}", "macro-F1, unseen topology"
    yield f"{result.validation_score:.4f}", f"{result.metric}, validation"
    yield f"{test.ece:.3f}", "calibration error, test"
    yield f"{speed.latency_us_per_flow:.0f} µs", "for one flow"
    yield f"{1e6 / max(speed.bulk_us_per_flow, 1e-9):,.0f}", "flows/s in bulk, one core"
    yield f"{speed.size_mb:.2f} MB", "model"


def _classes(judged: Judgement) -> Iterator[dict[str, str]]:
    for index, score in enumerate(judged.evaluation.classes):
        rare = [rare_precision(judged.evaluation, index, one_in=one_in) for one_in in RARE]
        row = {"label": score.label, "support": f"{score.support:,}"}
        for metric in ("precision", "recall", "f1"):
            interval = judged.intervals.get(f"{metric}:{score.label}")
            row[metric] = f"{getattr(score, metric):.4f}"
            row[f"{metric}_between"] = (
                "" if interval is None else f"{interval.low:.3f}-{interval.high:.3f}"
            )
        row |= {
            f"rare_{one_in}": NONE if value is None else f"{value:.3f}"
            for one_in, value in zip(RARE, rare, strict=True)
        }
        yield row


def trial_pictures(trials: Sequence[Trial]) -> list[dict[str, object]]:
    """Of each family its picture and how many trials had no score."""
    families: dict[str, list[Trial]] = {}
    for trial in trials:
        families.setdefault(trial.family, []).append(trial)
    return [
        {
            "family": family,
            "count": len(members),
            "failed": [one for one in members if one.status == "failed"],
            "skipped": sum(one.status == "skipped" for one in members),
            "best": max((one.score for one in members if one.score is not None), default=None),
            "picture": safe(parallel(members))
            if sum(one.score is not None for one in members) > 1
            else None,
        }
        for family, members in families.items()
    ]


def _pictures(found: Findings) -> dict[str, str]:
    pictures = {
        "confusion": charts.confusion(found.test.evaluation),
        "curves": charts.precision_recall(found.test.curves),
        "reliability": charts.reliability(found.validation.bins, "out of fold")
        + charts.reliability(found.test.bins, "test run"),
        "pareto": charts.pareto(found.families),
    }
    if found.learning:
        pictures["learning"] = charts.learning(found.learning)
    if found.histories:
        pictures["histories"] = charts.histories(found.histories)
    if found.importance:
        pictures["importance"] = charts.importance(found.importance)
    if found.ablation:
        pictures["ablation"] = charts.ablation(found.ablation)
    return pictures


@cache
def template(name: str) -> Template:
    """A page of this package; it may include what the card has."""
    from jinja2 import Environment, FileSystemLoader

    import audit.card

    folders = [Path(__file__).parent, Path(audit.card.__file__).parent]
    environment = Environment(loader=FileSystemLoader(folders), autoescape=True, trim_blocks=True)
    return environment.get_template(name)


def safe(svg: str) -> str:
    """A picture of ours, whose texts are escaped already."""
    from markupsafe import Markup

    return Markup(svg)  # noqa: S704 - see above
