"""The trials as parallel coordinates: an axis for each hyperparameter, a line for each trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from audit.card.svg import line, picture, said, short, text, track
from builder.result import Param, Trial

HEIGHT: Final = 240
TOP: Final = 44
FOOT: Final = 22
STEP: Final = 116
LEFT: Final = 70
LOG_FROM: Final = 30.0  # the largest over the smallest value, from which an axis is logarithmic


def parallel(trials: Sequence[Trial]) -> str:
    """Trials of one family that have a score; the better one is, the stronger its line."""
    scored = sorted(
        (trial for trial in trials if trial.score is not None), key=lambda one: one.score or 0.0
    )
    names = list(dict.fromkeys(name for trial in scored for name in trial.params))
    columns = [[trial.params.get(name) for trial in scored] for name in names]
    columns += [[trial.seconds for trial in scored], [trial.score for trial in scored]]
    names += ["seconds", "score"]
    axes = [_places(column) for column in columns]
    shapes = []
    for number, (name, (_, marks)) in enumerate(zip(names, axes, strict=True)):
        x = LEFT + STEP * number
        shapes += [
            line(x, TOP, x, HEIGHT - FOOT, "edge"),
            text(x, TOP - 22, short(name, STEP - 6), anchor="middle", style="strong"),
        ]
        for up, words in marks:
            y = HEIGHT - FOOT - up * (HEIGHT - FOOT - TOP)
            shapes.append(text(x + 5, y - 3, short(words, STEP - 12), style="small"))
    for row, trial in enumerate(scored):
        points = [
            (LEFT + STEP * number, HEIGHT - FOOT - places[row] * (HEIGHT - FOOT - TOP))
            for number, (places, _) in enumerate(axes)
        ]
        strength = 12 + 88 * row / max(len(scored) - 1, 1)
        best = row == len(scored) - 1
        stroke = (
            "var(--minus)"
            if best
            else f"color-mix(in srgb, var(--c0) {strength:.0f}%, transparent)"
        )
        tip = f"trial {trial.number}: {trial.score:.4f}"
        shapes.append(track(points, stroke, width=2.4 if best else 1.2, tip=tip))
    return picture(LEFT + STEP * len(names), HEIGHT, "Trials as parallel coordinates", shapes)


def _places(column: Sequence[Param]) -> tuple[list[float], list[tuple[float, str]]]:
    """How far up each value stands, 0 to 1, and the marks of the axis."""
    numbers = [float(v) for v in column if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(column) or len(set(numbers)) == 1:
        return _named(column)
    low, high = min(numbers), max(numbers)
    if low > 0 and high / low >= LOG_FROM:
        ups = [_log_share(number, low, high) for number in numbers]
        middle = (low * high) ** 0.5
    else:
        ups = [(number - low) / (high - low) for number in numbers]
        middle = (low + high) / 2
    return ups, [(0.0, said(low)), (0.5, said(middle)), (1.0, said(high))]


def _log_share(number: float, low: float, high: float) -> float:
    from math import log

    return log(number / low) / log(high / low)


def _named(column: Sequence[Param]) -> tuple[list[float], list[tuple[float, str]]]:
    kinds = sorted({str(value) for value in column})
    place = {name: (rank + 0.5) / len(kinds) for rank, name in enumerate(kinds)}
    return [place[str(value)] for value in column], [(up, name) for name, up in place.items()]
