"""A laid-out picture as SVG text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from xml.sax.saxutils import escape

from topologies.drawing.layout import Layout
from topologies.drawing.scene import (
    BADGE_HEIGHT,
    HEAD_HEIGHT,
    LINE_HEIGHT,
    PADDING,
    SMALL_HEIGHT,
    SMALL_PX,
    TEXT_PX,
    TITLE_PX,
    BadgeKind,
    Box,
    Cable,
    Scene,
    text_width,
)

HEADER: Final = 64
LEAST_WIDTH: Final = 560
LABEL_AT: Final = 0.34  # of the way
_COLOURS: Final[dict[BadgeKind, str]] = {
    "nat": "#c76a10",
    "firewall": "#b8322a",
    "system": "#6a48b5",
    "mtu": "#2d7a58",
    "impaired": "#6b7480",
    "capture": "#12738f",
}
_STYLE: Final = f"""
text{{font-family:Helvetica,Arial,'Liberation Sans',sans-serif;fill:#1f2a36}}
.h{{font-size:18px;font-weight:bold}}
.a{{font-size:{TEXT_PX}px;fill:#55606d}}
.t{{font-size:{TITLE_PX}px;font-weight:bold}}
.r{{font-size:{TITLE_PX}px;font-weight:bold;fill:#fff}}
.d{{font-size:{SMALL_PX}px;fill:#55606d}}
.g{{font-size:{TEXT_PX}px}}
.b{{font-size:{SMALL_PX}px;fill:#fff}}
.l{{font-size:{SMALL_PX}px;fill:#55606d}}
.c{{fill:none;stroke:#8a97a6;stroke-width:1.6}}
""".strip()


def render(scene: Scene, layout: Layout) -> str:
    """The SVG document."""
    width = max(layout.width, LEAST_WIDTH, 48 + text_width(scene.description, TEXT_PX))
    height = layout.height + HEADER
    shift = (width - layout.width) / 2
    size = f'width="{_n(width)}" height="{_n(height)}"'
    view = f'viewBox="0 0 {_n(width)} {_n(height)}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size} {view}>',
        f"<title>Topology {escape(scene.title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect {size} fill="#fff"/>',
        _text(24, 30, "h", scene.title),
        _text(24, 50, "a", scene.description),
        f'<g transform="translate({_n(shift)} {HEADER})">',
        *(_cable(scene, layout, cable) for cable in scene.cables),
    ]
    for key, box in scene.boxes.items():
        lines += _box(box, *layout.places[key])
    # Last, so that no box covers them.
    lines += [_label(scene, layout, cable) for cable in scene.cables if cable.label]
    return "\n".join([*lines, "</g>", "</svg>", ""])


def _box(box: Box, x: float, y: float) -> Iterator[str]:
    place = f'x="{_n(x)}" y="{_n(y)}" width="{_n(box.width)}" height="{_n(box.height)}"'
    if box.kind == "router":
        yield f'<rect {place} rx="12" fill="#34485c"/>'
    else:
        fill = "#fff" if box.entries else "#e6f0fa"
        yield f'<rect {place} rx="5" fill="{fill}" stroke="#7ba3d0" stroke-width="1.4"/>'
    if box.entries:
        yield (
            f'<path d="M{_n(x)} {_n(y + box.head_height)}v{_n(5 - box.head_height)}q0 -5 5 -5'
            f"h{_n(box.width - 10)}q5 0 5 5v{_n(box.head_height - 5)}z"
            '" fill="#e6f0fa" stroke="#7ba3d0" stroke-width="1.4"/>'
        )
    yield _text(x + PADDING, y + 16, "r" if box.kind == "router" else "t", box.title)
    below = y + HEAD_HEIGHT
    for line in box.details:
        yield _text(x + PADDING, below + 8, "d", line)
        below += SMALL_HEIGHT
    across = x + PADDING
    for badge in box.badges:
        yield (
            f'<rect x="{_n(across)}" y="{_n(below)}" width="{_n(badge.width)}" '
            f'height="{BADGE_HEIGHT - 2}" rx="7" fill="{_COLOURS[badge.kind]}"/>'
        )
        yield _text(across + 5, below + 10.5, "b", badge.text)
        across += badge.width + 4
    below = y + box.head_height + 3
    for entry in box.entries:
        yield _text(x + PADDING, below + 11, "g", entry.text)
        below += LINE_HEIGHT
        for line in entry.services:
            yield _text(x + PADDING + 8, below + 8, "d", line)
            below += SMALL_HEIGHT


def _ends(scene: Scene, layout: Layout, cable: Cable) -> tuple[float, float, float, float, float]:
    """Both ends of a cable, and how far it bulges."""
    one, other = sorted(cable.ends, key=lambda key: (layout.columns[key], layout.places[key]))
    (x1, y1), (x2, y2) = layout.places[one], layout.places[other]
    box1, box2 = scene.boxes[one], scene.boxes[other]
    same = layout.columns[one] == layout.columns[other]
    start, end = x1 + box1.width, x2 + box2.width if same else x2
    bulge = 44.0 if same else (end - start) / 2
    return start, y1 + box1.height / 2, end, y2 + box2.height / 2, bulge


def _curve(scene: Scene, layout: Layout, cable: Cable) -> tuple[tuple[float, float], ...]:
    """The four points of its Bezier curve."""
    x1, y1, x2, y2, bulge = _ends(scene, layout, cable)
    same = layout.columns[cable.ends[0]] == layout.columns[cable.ends[1]]
    return (x1, y1), (x1 + bulge, y1), (x2 + bulge if same else x2 - bulge, y2), (x2, y2)


def _cable(scene: Scene, layout: Layout, cable: Cable) -> str:
    start, *others = (f"{_n(x)} {_n(y)}" for x, y in _curve(scene, layout, cable))
    return f'<path class="c" d="M{start}C{" ".join(others)}"/>'


def _label(scene: Scene, layout: Layout, cable: Cable) -> str:
    """Its name, nearer to its beginning than to its middle, where cables cross."""
    t = LABEL_AT
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
    points = _curve(scene, layout, cable)
    x = sum(weight * point[0] for weight, point in zip(weights, points, strict=True))
    y = sum(weight * point[1] for weight, point in zip(weights, points, strict=True))
    width = text_width(cable.label, SMALL_PX)
    left, top = x - width / 2, y - SMALL_PX / 2 - 1
    behind = f'x="{_n(left - 2)}" y="{_n(top)}" width="{_n(width + 4)}" height="{SMALL_PX + 3}"'
    return f'<rect {behind} fill="#fff"/>' + _text(left, y + 3.5, "l", cable.label)


def _text(x: float, y: float, style: str, text: str) -> str:
    return f'<text x="{_n(x)}" y="{_n(y)}" class="{style}">{escape(text)}</text>'


def _n(value: float) -> str:
    """A number with one decimal at most."""
    return f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")
