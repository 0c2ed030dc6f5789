"""A run over time: which activities went on, and how many flows they began."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq

from audit.card.facts import Floats, Ints
from audit.card.svg import area, colour, line, picture, said, short, text, ticks
from audit.data import AuditData, encoded
from tagger.summary import LABELS_FILE, RunLineage

WIDTH: Final = 1040
LEFT: Final = 120
RIGHT: Final = 60
LANE: Final = 20
RATE: Final = 130
BINS: Final = 160


@dataclass(frozen=True, slots=True)
class Timeline:
    """Of one run: per class and bin, activities that go on and flows that begin.

    ``going`` and ``begun`` are [classes, bins]; a class's row follows the vocabulary.
    """

    run: RunLineage
    classes: tuple[str, ...]
    seconds: float
    going: Ints
    begun: Ints


def timelines(folder: Path, data: AuditData) -> list[Timeline]:
    """One for each run that has flows."""
    if not data.has("first_ns", "last_ns"):
        return []
    owner = pq.read_table(folder / LABELS_FILE, columns=["activity_id"])["activity_id"]
    owners, _ = encoded(owner.combine_chunks())
    first, last = data.values("first_ns"), data.values("last_ns")
    classes = tuple(data.summary.label_counts)
    numbers, names = data.label_codes
    place = {name: number for number, name in enumerate(classes)}
    codes = np.array([place.get(name, -1) for name in names], dtype=np.int64)[numbers]
    found, begin = [], 0
    for run in data.summary.runs:
        rows = slice(begin, begin + run.flows)
        begin += run.flows
        known = codes[rows] >= 0
        if known.any():
            times = first[rows][known], last[rows][known]
            found.append(_timeline(run, classes, codes[rows][known], owners[rows][known], times))
    return found


def _timeline(
    run: RunLineage,
    classes: tuple[str, ...],
    codes: Ints,
    owner: Ints,
    times: tuple[Floats, Floats],
) -> Timeline:
    first, last = times
    origin = first.min()
    seconds = max((last.max() - origin) / 1e9, 1e-3)
    scale = BINS / seconds / 1e9
    starts = np.minimum(((first - origin) * scale).astype(np.int64), BINS - 1)
    stops = np.minimum(((last - origin) * scale).astype(np.int64), BINS - 1)
    begun = np.zeros((len(classes), BINS), dtype=np.int64)
    np.add.at(begun, (codes, starts), 1)
    return Timeline(run, classes, seconds, _going(codes, owner, starts, stops, len(classes)), begun)


def _going(codes: Ints, owner: Ints, starts: Ints, stops: Ints, classes: int) -> Ints:
    """Activities of each class that go on in each bin; a flow of nobody (-1) is one by itself."""
    alone = np.where(owner < 0, owner.max(initial=-1) + 1 + np.arange(len(owner)), owner)
    _, first, span = np.unique(alone * classes + codes, return_index=True, return_inverse=True)
    low, high = starts[first].copy(), stops[first].copy()
    np.minimum.at(low, span, starts)
    np.maximum.at(high, span, stops)
    steps = np.zeros((classes, BINS + 1), dtype=np.int64)
    np.add.at(steps, (codes[first], low), 1)
    np.add.at(steps, (codes[first], high + 1), -1)
    return np.asarray(steps.cumsum(axis=1)[:, :BINS], dtype=np.int64)


def draw(one: Timeline) -> str:
    """Lanes of activities by class, over the rate of new flows, in one time axis."""
    lanes = [place for place in range(len(one.classes)) if one.begun[place].any()]
    step = (WIDTH - LEFT - RIGHT) / BINS
    base = 22 + LANE * len(lanes)
    top = base + 30
    shapes = [text(LEFT, 14, "activities at once; the most on the right", style="small")]
    for tick in ticks(0, one.seconds, 8):
        x = LEFT + tick / one.seconds * (WIDTH - LEFT - RIGHT)
        shapes += [line(x, 22, x, base), line(x, top, x, top + RATE)]
        shapes.append(text(x, top + RATE + 15, f"{tick:g}", anchor="middle"))
    shapes.append(text(WIDTH - RIGHT + 6, top + RATE + 15, "s", style="small"))
    for number, place in enumerate(lanes):
        y = 20 + LANE * (number + 1)
        words = short(one.classes[place], LEFT - 14)
        tall = np.sqrt(one.going[place] / max(one.going[place].max(), 1)) * (LANE - 4)
        points = [(LEFT + n * step, y - size) for n, size in _steps(tall)]
        shapes += [
            text(LEFT - 8, y - 5, words, anchor="end"),
            area([(LEFT, y), *points, (WIDTH - RIGHT, y)], colour(place)),
            line(LEFT, y, WIDTH - RIGHT, y),
            text(WIDTH - RIGHT + 6, y - 5, f"{one.going[place].max():,}"),
        ]
    shapes += _rates(one, lanes, top, step)
    height = top + RATE + 24
    return picture(WIDTH, height, f"Activities and flow rate of {one.run.run_id}", shapes)


def _rates(one: Timeline, lanes: Sequence[int], top: float, step: float) -> list[str]:
    """New flows per second, the classes on top of each other."""
    rates = one.begun / (one.seconds / BINS)
    highest = max(float(rates.sum(axis=0).max()), 1e-9)
    scale, bottom = RATE / highest, top + RATE
    shapes = [text(LEFT, top - 6, "new flows per second", style="small")]
    for tick in ticks(0, highest, 4):
        y = bottom - tick * scale
        shapes.append(line(LEFT, y, WIDTH - RIGHT, y))
        shapes.append(text(LEFT - 8, y + 4, said(tick), anchor="end", style="small"))
    below = np.zeros(BINS)
    for place in lanes:
        above = below + rates[place]
        upper = [(LEFT + n * step, bottom - v * scale) for n, v in _steps(above)]
        lower = [(LEFT + n * step, bottom - v * scale) for n, v in _steps(below)]
        shapes.append(area([*upper, *reversed(lower)], colour(place)))
        below = above
    return shapes


def _steps(values: Floats) -> list[tuple[int, float]]:
    """Both ends of each bin."""
    return [(n + end, float(value)) for n, value in enumerate(values) for end in (0, 1)]
