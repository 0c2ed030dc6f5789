"""The card's pictures of classes, features and the tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from audit.card.facts import Facts, Floats, quantiles
from audit.card.svg import area, colour, line, num, picture, rect, said, short, text, ticks
from audit.card.tree import Node

WIDTH: Final = 1040
LABELS: Final = 120
BINS: Final = 48
BOX: Final = 52
TICK_ROOM: Final = 30
SKEWED: Final = 30.0  # the 95th percentile over the median, from which an axis is logarithmic


def balance(classes: Mapping[str, Mapping[str, int]], labels: Sequence[str]) -> str:
    """Flows of each class, a bar for each split."""
    splits = list(classes)
    bar, gap = 13, 8
    row = bar * len(splits) + gap
    left, right = LABELS, 80
    largest = max((n for counts in classes.values() for n in counts.values()), default=1)
    scale = (WIDTH - left - right) / max(largest, 1)
    height = row * len(labels) + 52
    shapes = []
    for place, split in enumerate(splits):
        begin = left + 110 * place
        shapes += [rect(begin, 6, 12, 12, f"var(--s{place})"), text(begin + 18, 16, split)]
    for tick in ticks(0, largest):
        x = left + tick * scale
        shapes += [line(x, 28, x, height - 24), text(x, height - 10, said(tick), anchor="middle")]
    for place, label in enumerate(labels):
        top = 32 + place * row
        shapes.append(text(left - 8, top + row / 2 + 1, short(label, left - 12), anchor="end"))
        for number, split in enumerate(splits):
            count, y = classes[split].get(label, 0), top + number * bar
            shapes.append(
                rect(left, y, count * scale, bar - 2, f"var(--s{number})", tip=f"{split}: {count}")
            )
            shapes.append(text(left + count * scale + 5, y + 10, f"{count:,}", style="small"))
    shapes.append(text(WIDTH - right, height - 10, "flows", style="small"))
    return picture(WIDTH, height, "Flows of each class by split", shapes)


# -- distributions -----------------------------------------------------------------------------


def distributions(facts: Facts, places: Sequence[int]) -> list[str]:
    """A picture for each feature: one row for each class, with its density over a common axis."""
    return [_distribution(facts, place) for place in places]


def _distribution(facts: Facts, place: int) -> str:
    width, left, row = 340, 84, 19
    height = row * len(facts.classes) + 54
    values = facts.values[:, place]
    low, high, logarithmic = _axis(values)
    room = width - left - 14

    def across(value: float) -> float:
        inside = min(max(value, low), high)
        if logarithmic:
            share = np.log1p(inside - low) / np.log1p(high - low)
        else:
            share = (inside - low) / (high - low)
        return left + float(share) * room

    unit = facts.unit(place)
    name = facts.names[place]
    shapes = [text(4, 14, short(name, width - 4), style="strong")]
    bottom = 24 + row * len(facts.classes)
    free = 0.0
    for tick in _tick_values(low, high, logarithmic=logarithmic):
        x = across(tick)
        if x < free:
            continue
        free = x + TICK_ROOM
        shapes += [line(x, 22, x, bottom), text(x, bottom + 13, said(tick), anchor="middle",
                                                style="small")]  # fmt: skip
    words = "; ".join(w for w in (unit, "log scale" if logarithmic else "") if w)
    if words:
        shapes.append(text(width - 14, bottom + 26, words, anchor="end", style="small"))
    for number, label in enumerate(facts.classes):
        base = 24 + row * (number + 1)
        own = values[facts.codes == number]
        shapes.append(text(left - 6, base - 5, short(label, left - 8), anchor="end"))
        shapes += _density(own, across, base, row - 4, colour(facts.shades[number]))
        shapes.append(line(left, base, width - 14, base))
    return picture(width, height, f"Distribution of {name} by class", shapes)


def _density(own: Floats, across: object, base: float, height: float, fill: str) -> Iterator[str]:
    """Where a class's values lie, and its median."""
    place = across if callable(across) else float
    known = own[np.isfinite(own)]
    if not len(known):
        return
    x = np.array([place(value) for value in known.tolist()])
    edges = np.linspace(place(-np.inf), place(np.inf), BINS + 1)
    counts, _ = np.histogram(x, edges)
    tall = np.sqrt(counts / counts.max()) * height
    points = [(float(edges[0]), base)]
    for low, high, size in zip(edges[:-1], edges[1:], tall, strict=True):
        points += [(float(low), base - float(size)), (float(high), base - float(size))]
    yield area([*points, (float(edges[-1]), base)], fill)
    middle = place(float(np.median(known)))
    yield line(middle, base - height, middle, base, "median")


def _axis(values: Floats) -> tuple[float, float, bool]:
    """Both ends of an axis, and whether it is logarithmic."""
    low, middle, high = quantiles(values, (0.005, 0.5, 0.995))
    known = values[np.isfinite(values)]
    if not np.isfinite(low):
        return 0.0, 1.0, False
    low, high = (low, high) if high > low else (float(known.min()), float(known.max()))
    if not high > low:
        return low - 0.5, high + 0.5, False
    low = 0.0 if 0 < low < high / 5 else low
    return low, high, bool(low >= 0 and high - low > SKEWED * max(middle - low, 1e-9) and high > 10)


def _tick_values(low: float, high: float, *, logarithmic: bool) -> list[float]:
    if not logarithmic:
        return ticks(low, high, 4)
    decades = [10.0**n for n in range(12) if low < 10.0**n <= high]
    return [low, *decades[:: max(1, (len(decades) + 3) // 4)]]


# -- correlation -------------------------------------------------------------------------------


def correlation(names: Sequence[str], values: Floats) -> str:
    """A heat map: blue together, red against each other."""
    cell, left, top = 25, 190, 172
    size = cell * len(names)
    shapes = []
    for i, name in enumerate(names):
        shapes.append(text(left - 6, top + cell * i + 17, short(name, left - 8), anchor="end"))
        shapes.append(text(left + cell * i + 16, top - 6, short(name, 176), turn=-60))
        for j in range(len(names)):
            value = float(values[i, j])
            fill = "var(--plus)" if value > 0 else "var(--minus)"
            tip = f"{name} and {names[j]}: {value:.2f}"
            box = rect(left + cell * j, top + cell * i, cell - 1, cell - 1, fill, tip=tip)
            shapes.append(box.replace("<rect", f'<rect fill-opacity="{abs(value):.2f}"', 1))
    legend = top + size + 14
    for step in range(11):
        value = (step - 5) / 5
        fill = "var(--plus)" if value > 0 else "var(--minus)"
        box = rect(left + 24 * step, legend, 24, 12, fill)
        shapes.append(box.replace("<rect", f'<rect fill-opacity="{abs(value):.2f}"', 1))
    for value, words in ((0, "-1"), (132, "0"), (264, "1")):
        shapes.append(text(left + value, legend + 26, words, anchor="middle", style="small"))
    shapes.append(text(left + 280, legend + 10, "rank correlation", style="small"))
    width = left + max(size + 150, 400)
    return picture(width, legend + 34, "Rank correlation of features", shapes)


# -- tree --------------------------------------------------------------------------------------


def tree(facts: Facts) -> str:
    """The tree from the top: yes goes left. Each bar shows which classes come there."""
    node = facts.tree
    row, deep = 104, _depth(node)
    columns = 2**deep
    unit = WIDTH / columns
    edges: list[str] = []
    boxes: list[str] = []

    def place(one: Node, level: int, column: float, span: float) -> None:
        x, y = (column + span / 2) * unit, 8 + level * row
        room = min(span * unit - 8, 330)
        boxes.extend(_box(one, facts, (x, y), room))
        for child, shift, words in ((one.yes, 0.0, "yes"), (one.no, span / 2, "no")):
            if child is None:
                continue
            below = (column + shift + span / 4) * unit
            edges.append(line(x, y + BOX, below, y + row, "edge"))
            side = "end" if words == "yes" else "start"
            away = -6 if words == "yes" else 6
            edges.append(text((x + below) / 2 + away, y + BOX + (row - BOX) / 2, words,
                              anchor=side, style="small"))  # fmt: skip
            place(child, level + 1, column + shift, span / 2)

    place(node, 0, 0, columns)
    return picture(WIDTH, 20 + deep * row + BOX, "Decision tree of depth 3", [*edges, *boxes])


def _depth(node: Node) -> int:
    below = [_depth(child) for child in (node.yes, node.no) if child is not None]
    return 1 + max(below) if below else 0


def _box(node: Node, facts: Facts, middle: tuple[float, float], room: float) -> Iterator[str]:
    (x, y), height = middle, BOX
    total = max(sum(node.counts), 1)
    left = x - room / 2
    yield (
        f'<rect x="{num(left)}" y="{num(y)}" width="{num(room)}" height="{num(height)}" rx="5" '
        'class="box"/>'
    )
    most = int(np.argmax(node.counts))
    share = f"{100 * node.counts[most] / total:.0f} % of {total:,}"
    head = node.question if node.yes else facts.classes[most]
    yield text(x, y + 16, short(head, room - 8), anchor="middle", style="strong")
    words = f"{total:,} flows" if node.yes else share
    yield text(x, y + 31, short(words, room - 8), anchor="middle", style="small")
    across, scale = left + 6, (room - 12) / total
    for number, count in enumerate(node.counts):
        if count:
            tip = f"{facts.classes[number]}: {count}"
            yield rect(
                across, y + height - 13, count * scale, 8, colour(facts.shades[number]), tip=tip
            )
            across += count * scale
