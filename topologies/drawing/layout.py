"""Where the boxes of a picture go: columns to both sides of the middle of the topology.

The middle is what is nearest to everything; whatever hangs on it goes left or right as a whole,
one column per step away from it. In a column, boxes stand as near to their neighbours as they can
without touching.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from topologies.drawing.scene import SMALL_PX, Scene, text_width

Graph = Mapping[str, Collection[str]]
MARGIN: Final = 24
COLUMN_GAP: Final = 84
LABEL_ROOM: Final = 72  # beside the longest name of a cable
ROW_GAP: Final = 14
ISLAND_GAP: Final = 40
ROUNDS: Final = 24


@dataclass(frozen=True, slots=True)
class Layout:
    """Top left corner of each box, its column (0 the middle), and the size of it all."""

    places: Mapping[str, tuple[float, float]]
    columns: Mapping[str, int]
    width: float
    height: float


def lay_out(scene: Scene) -> Layout:
    """Give every box a place; the same scene always gives the same places."""
    graph: dict[str, set[str]] = {key: set() for key in scene.boxes}
    for cable in scene.cables:
        one, other = cable.ends
        graph[one].add(other)
        graph[other].add(one)
    columns: dict[str, int] = {}
    centres: dict[str, float] = {}
    top = 0.0
    for island in _islands(graph):
        own = {key: graph[key] for key in island}
        placed = _columns(own, scene)
        rows = _rows(own, placed, scene)
        highest = min(rows[key] - scene.boxes[key].height / 2 for key in island)
        centres |= {key: y - highest + top for key, y in rows.items()}
        top = ISLAND_GAP + max(centres[key] + scene.boxes[key].height / 2 for key in island)
        columns |= placed
    return _in_pixels(scene, columns, centres)


def _in_pixels(scene: Scene, columns: Mapping[str, int], centres: Mapping[str, float]) -> Layout:
    widths: dict[int, float] = defaultdict(float)
    for key, column in columns.items():
        widths[column] = max(widths[column], scene.boxes[key].width)
    gaps = dict.fromkeys(range(min(widths), max(widths) + 1), float(COLUMN_GAP))
    for cable in scene.cables:
        column = min(columns[end] for end in cable.ends)
        if cable.label:
            gaps[column] = max(gaps[column], text_width(cable.label, SMALL_PX) + LABEL_ROOM)
    left, x = {}, float(MARGIN)
    for column, gap in gaps.items():
        left[column] = x
        x += widths[column] + gap
    places = {}
    for key, column in columns.items():
        box = scene.boxes[key]
        across = left[column] + (widths[column] - box.width) / 2
        places[key] = (across, centres[key] - box.height / 2 + MARGIN)
    lowest = max(places[key][1] + box.height for key, box in scene.boxes.items())
    return Layout(places, columns, x - gap + MARGIN, lowest + MARGIN)


def _islands(graph: Graph) -> Iterable[list[str]]:
    left = dict.fromkeys(graph)
    while left:
        island = list(_distances(graph, [next(iter(left))]))
        left = {key: None for key in left if key not in island}
        yield island


def _distances(graph: Graph, start: Iterable[str]) -> dict[str, int]:
    """Steps from the nearest of ``start``, nearest first."""
    found = dict.fromkeys(start, 0)
    queue = deque(found)
    while queue:
        here = queue.popleft()
        for key in sorted(graph[here]):
            if key in graph and key not in found:
                found[key] = found[here] + 1
                queue.append(key)
    return found


def _columns(graph: Graph, scene: Scene) -> dict[str, int]:
    farthest = {key: max(_distances(graph, [key]).values()) for key in graph}
    middle = [key for key in graph if farthest[key] == min(farthest.values())]
    steps = _distances(graph, middle)
    outer: dict[str, Collection[str]] = {k: n for k, n in graph.items() if k not in middle}
    sides = {1: 0.0, -1: 0.0}
    columns = dict.fromkeys(middle, 0)
    branches = [[k for k in island if k in outer] for island in _islands(outer)]
    for branch in sorted(branches, key=lambda b: -_height(b, steps, scene)):
        side = 1 if sides[1] <= sides[-1] else -1
        sides[side] += _height(branch, steps, scene)
        columns |= {key: side * steps[key] for key in branch}
    return columns


def _height(branch: Collection[str], steps: Mapping[str, int], scene: Scene) -> float:
    """Pixels of its fullest column."""
    heights: dict[int, float] = defaultdict(float)
    for key in branch:
        heights[steps[key]] += scene.boxes[key].height + ROW_GAP
    return max(heights.values())


def _rows(graph: Graph, columns: Mapping[str, int], scene: Scene) -> dict[str, float]:
    """Middle of each box, from top to bottom."""
    members: dict[int, list[str]] = defaultdict(list)
    for key in sorted(columns):
        members[columns[key]].append(key)
    rows: dict[str, float] = {}
    for keys in members.values():
        heights = [scene.boxes[key].height for key in keys]
        rows |= dict(zip(keys, _spread([0.0] * len(keys), heights), strict=True))
    for number in range(ROUNDS):
        order = sorted(members, key=abs, reverse=bool(number % 2))
        for column in order:
            wished = {k: _mean([rows[n] for n in graph[k]], rows[k]) for k in members[column]}
            keys = sorted(wished, key=lambda k: (round(wished[k], 3), k))
            heights = [scene.boxes[key].height for key in keys]
            placed = _spread([wished[key] for key in keys], heights)
            rows |= dict(zip(keys, placed, strict=True))
    return rows


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _spread(wished: Sequence[float], heights: Sequence[float]) -> list[float]:
    """As near to what each wishes as can be, in this order and without touching.

    Without the boxes' own heights it is a rising sequence that is wanted: adjacent ones that would
    fall are pooled at their mean.
    """
    offsets = [0.0]
    for above, below in pairwise(heights):
        offsets.append(offsets[-1] + (above + below) / 2 + ROW_GAP)
    pools: list[tuple[float, int]] = []
    for wish, offset in zip(wished, offsets, strict=False):
        mean, count = wish - offset, 1
        while pools and pools[-1][0] > mean:
            other, others = pools.pop()
            mean = (mean * count + other * others) / (count + others)
            count += others
        pools.append((mean, count))
    flat = [mean for mean, count in pools for _ in range(count)]
    return [mean + offset for mean, offset in zip(flat, offsets, strict=False)]
