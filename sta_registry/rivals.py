"""The parts of a model card that compare and qualify: every family, cost, unknown flows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from builder.calibration import Calibration
from builder.evaluation.records import FamilyScore, Interval, OpenSet
from sta_registry.manifest import Quality, StaManifest


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    cells = ([str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def between(intervals: Mapping[str, Interval], name: str) -> str:
    """The 95 % interval of a figure in brackets; nothing where there is none."""
    found = intervals.get(name)
    return "" if found is None else f" ({found.low:.4f} to {found.high:.4f})"


def rivals(quality: Quality) -> Iterator[str]:
    """Every family on the test run, and what the winner costs."""
    if not quality.families:
        return
    header = (
        *("Family", "Trials", "In full", "Validation", "Macro-F1 on the test run", "95 % interval"),
        *("µs, one flow", "µs, in bulk", "MB"),
    )
    yield (
        "## Every family\n\n"
        "How many sets of hyperparameters got a score, and how many of them with all the training "
        "there is. The best of each family by validation, trained again on all training flows and "
        "shown on the test run; the winner (**bold**) was chosen by validation alone, among those "
        "that keep the limits on cost. Intervals resample activities. Times are of one core of the "
        "machine that built it: one flow at a time, and per flow of a large batch.\n\n"
        + table(header, [_row(family) for family in quality.families])
    )


def _row(family: FamilyScore) -> tuple[str, ...]:
    speed, interval = family.speed, family.interval
    name = f"**`{family.family}`**" if family.winner else f"`{family.family}`"
    return (
        name,
        f"{family.tried}",
        f"{family.in_full}",
        f"{family.validation_score:.4f}",
        f"{family.f1_macro:.4f}",
        f"{interval.low:.4f} to {interval.high:.4f}",
        f"{speed.latency_us_per_flow:.1f}",
        f"{speed.bulk_us_per_flow:.2f}",
        f"{speed.size_mb:.2f}",
    )


def carried(quality: Quality) -> Iterator[str]:
    """What a random split would feign, and each topology without having trained on it."""
    if not quality.carried:
        return
    header = ("Trained on", "Flows", "Macro-F1", "95 % interval", "The winner", "Difference")
    rows = [
        (
            "rows dealt at random" if one.topology is None else f"all but `{one.topology}`",
            f"{one.flows:,}",
            f"{one.score:.4f}",
            f"{one.interval.low:.4f} to {one.interval.high:.4f}",
            f"{one.usual:.4f}",
            f"{one.score - one.usual:+.4f}",
        )
        for one in quality.carried
    ]
    yield (
        "## How far it carries\n\n"
        "The winner's kind of model, trained on other flows. *Rows dealt at random*: train and "
        "test runs mixed; the difference is the optimism gap, what a random split would have "
        "feigned. *All but a topology*: judged on the test run of that topology, on the classes "
        "that the others have, too; the winner is judged on the same flows.\n\n"
        + table(header, rows)
    )


def unknown(manifest: StaManifest) -> Iterator[str]:
    """When the answer is ``unknown``, and how that did."""
    found = manifest.quality.open_set
    if manifest.novelty is None or found is None:
        return
    text = (
        "## Unknown flows\n\n"
        f"A flow unlike anything trained on is answered `unknown`. Of known flows "
        f"{found.coverage:.1%} should keep their answer; {found.test_coverage:.1%} of the test "
        "run's did. The figures above are without this rule."
    )
    yield text + (f"\n\n{_left_out(found)}" if found.left_out else "")


def _left_out(found: OpenSet) -> str:
    rows = [
        (f"`{one.label}`", f"{one.flows:,}", f"{one.unknown:.1%}", f"{one.by_doubt:.1%}")
        for one in found.left_out
    ]
    return (
        "Each class kept from training in turn, and the share of its flows that were then answered "
        "`unknown`; the last column is what the probabilities alone would have found:\n\n"
        + table(("Class", "Flows", "Unknown", "By probability alone"), rows)
    )


def limits(manifest: StaManifest) -> Iterator[str]:
    """What to mind about probabilities and unknown kinds of traffic."""
    if manifest.novelty is None:
        yield (
            "A kind of traffic that it was never shown still gets one of its classes; a low "
            "probability hints at that and proves nothing."
        )
    else:
        yield (
            "A kind of traffic that it was never shown is answered `unknown` only where it looks "
            "unlike every class: see the table of unknown flows."
        )
    yield _calibration(manifest.calibration, manifest.quality.ece)


def _calibration(calibration: Calibration, ece: float | None) -> str:
    how = {
        "none": "Probabilities are the model's own: calibrating them did not help",
        "temperature": "Probabilities are calibrated by a temperature",
        "isotonic": "Probabilities are calibrated class by class (isotonic regression)",
    }[calibration.method]
    if ece is None:
        return f"{how}."
    return f"{how}; on the test run they are {100 * ece:.1f} points off on average (ECE)."
