"""Pictures of how well the winner answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from audit.card.svg import colour, dot, line, picture, rect, short, text, track
from builder.evaluation.records import (
    Ablation,
    Bin,
    Curve,
    FamilyScore,
    History,
    Importance,
    LearningPoint,
)
from builder.report.axes import Axes, padded
from builder.result import Evaluation

CURVES: Final = 12  # shown in colour, those with the lowest average precision
BARS: Final = 20


def confusion(judged: Evaluation) -> str:
    """A heat map of truth (down) and answer (across), each row by its share."""
    labels, count = judged.labels, len(judged.labels)
    cell = 44 if count <= 16 else 26
    left, top = 130, 110
    shapes = []
    for i, label in enumerate(labels):
        middle = cell * i + cell / 2
        shapes.append(text(left - 6, top + middle + 4, short(label, left - 10), anchor="end"))
        shapes.append(text(left + middle + 4, top - 6, short(label, 100), turn=-60))
        total = max(sum(judged.confusion[i]), 1)
        for j, flows in enumerate(judged.confusion[i]):
            fill = "var(--plus)" if i == j else "var(--minus)"
            tip = f"{label} answered {labels[j]}: {flows:,} of {total:,}"
            box = rect(left + cell * j, top + cell * i, cell - 1, cell - 1, fill, tip=tip)
            share = flows / total if flows else 0
            strength = 0.12 + 0.88 * share if flows else 0.03
            shapes.append(box.replace("<rect", f'<rect fill-opacity="{strength:.2f}"', 1))
            if flows and cell > 30:
                place = (left + cell * j + cell / 2 - 0.5, top + cell * i + cell / 2 + 4)
                shapes.append(text(*place, f"{flows}", anchor="middle", style="small"))
    size = cell * count
    return picture(left + size + 70, top + size + 10, "Confusion matrix", shapes)


def precision_recall(curves: Sequence[Curve]) -> str:
    """A curve for each class; the worst stand in the legend."""
    axes = Axes(x=(0, 1), y=(0, 1), width=560, height=340, right=220)
    shapes = axes.frame("recall", "precision")
    ranked = sorted(curves, key=lambda curve: curve.average_precision)
    for place, curve in reversed(list(enumerate(ranked))):
        points = [axes.at(x, y) for x, y in zip(curve.recall, curve.precision, strict=True)]
        stroke = colour(place) if place < CURVES else "var(--rule)"
        tip = f"{curve.label}: average precision {curve.average_precision:.3f}"
        shapes.append(track(points, stroke, tip=tip))
        if place < CURVES:
            y = 30 + 18 * place
            words = f"{curve.average_precision:.3f} {short(curve.label, 140)}"
            shapes += [rect(350, y - 9, 10, 10, stroke), text(366, y, words)]
    return picture(axes.width, axes.height, "Precision against recall", shapes)


def reliability(bins: Sequence[Bin], words: str) -> str:
    """Accuracy against what was said; the larger the dot, the more flows."""
    axes = Axes(x=(0, 1), y=(0, 1), width=320, height=290)
    shapes = axes.frame("probability that was said", "share that was right")
    shapes.append(line(*axes.at(0, 0), *axes.at(1, 1), "edge"))
    total = sum(one.flows for one in bins)
    for one in bins:
        tip = f"said {one.confidence:.2f}, right {one.accuracy:.2f}: {one.flows:,} flows"
        radius = 2.5 + 11 * (one.flows / total) ** 0.5
        shapes.append(dot(*axes.at(one.confidence, one.accuracy), radius, "var(--c0)", tip=tip))
    shapes.append(text(axes.width - axes.right, 14, words, anchor="end", style="strong"))
    return picture(axes.width, axes.height, f"Reliability, {words}", shapes)


def pareto(families: Sequence[FamilyScore]) -> str:
    """Validation score against time per flow; the front is joined up."""
    times = [family.speed.latency_us_per_flow for family in families]
    axes = Axes(
        x=(min(times) / 1.6, max(times) * 1.6),
        y=padded([family.validation_score for family in families]),
        width=640,
        height=320,
        log_x=True,
        right=130,
    )
    shapes = axes.frame("µs for one flow, logarithmic", "validation score")
    front = sorted(
        (one.speed.latency_us_per_flow, one.validation_score) for one in families if one.pareto
    )
    shapes.append(track([axes.at(*pair) for pair in front], "var(--dim)", width=1.2))
    for place, one in enumerate(families):
        x, y = axes.at(one.speed.latency_us_per_flow, one.validation_score)
        tip = f"{one.family}: {one.validation_score:.4f}, {one.speed.latency_us_per_flow:g} µs"
        shapes.append(dot(x, y, 7 if one.winner else 5, colour(place), tip=tip))
        shapes.append(text(x + 10, y + 4, one.family, style="strong" if one.winner else ""))
    return picture(axes.width, axes.height, "Quality against latency", shapes)


def importance(parts: Sequence[Importance]) -> str:
    """The features that count most."""
    return _bars([(one.feature, one.share, f"{one.share:.1%}") for one in parts[:BARS]], "share")


def ablation(parts: Sequence[Ablation]) -> str:
    """What the score loses without a group of features."""
    rows = [(f"{one.group} ({one.features})", -one.change, f"{one.change:+.4f}") for one in parts]
    return _bars(rows, "score lost")


def _bars(rows: Sequence[tuple[str, float, str]], title: str) -> str:
    left, width, row = 210, 640, 19
    largest = max(max((abs(value) for _, value, _ in rows), default=0), 1e-9)
    scale = (width - left - 70) / largest
    shapes = []
    for place, (label, value, words) in enumerate(rows):
        y = 8 + row * place
        fill = "var(--plus)" if value > 0 else "var(--minus)"
        shapes += [
            text(left - 8, y + 11, short(label, left - 12), anchor="end"),
            rect(left, y, abs(value) * scale, row - 6, fill),
            text(left + abs(value) * scale + 6, y + 11, words, style="small"),
        ]
    return picture(width, 16 + row * len(rows), title, shapes)


def learning(points: Sequence[LearningPoint]) -> str:
    """Score against the flows that were trained on."""
    flows = [float(point.flows) for point in points]
    axes = Axes(
        x=(min(flows) / 1.3, max(flows) * 1.3),
        y=padded([point.score for point in points]),
        width=420,
        log_x=True,
    )
    shapes = axes.frame("flows trained on, logarithmic", "validation score")
    track_ = [axes.at(point.flows, point.score) for point in points]
    shapes.append(track(track_, "var(--c0)"))
    shapes += [
        dot(*pixel, 3.5, "var(--c0)", tip=f"{point.flows:,} flows: {point.score:.4f}")
        for pixel, point in zip(track_, points, strict=True)
    ]
    return picture(axes.width, axes.height, "Learning curve", shapes)


def histories(found: Sequence[History]) -> str:
    """Loss by epoch: whole lines on what was trained on, thin ones on what was held back."""
    losses = [value for one in found for value in (*one.loss, *one.held_back)]
    axes = Axes(
        x=(0, max(2, *(len(one.loss) for one in found))),
        y=padded(losses),
        width=520,
        right=150,
    )
    shapes = axes.frame("epoch", "loss")
    for place, one in enumerate(found):
        for values, width, words in ((one.loss, 2.0, "trained"), (one.held_back, 1.0, "held back")):
            points = [axes.at(epoch + 1, value) for epoch, value in enumerate(values)]
            if len(points) > 1:
                tip = f"{one.family}, trial {one.trial}, {words}"
                shapes.append(track(points, colour(place), width=width, tip=tip))
        y = 30 + 18 * place
        shapes += [rect(380, y - 9, 10, 10, colour(place)), text(396, y, short(one.family, 110))]
    return picture(axes.width, axes.height, "Loss by epoch", shapes)
