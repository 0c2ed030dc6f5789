"""The few shapes that the card's pictures are made of.

Colours are custom properties of the page, so that light and dark need no second picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, floor, log10
from xml.sax.saxutils import escape

CHARACTER_PX = 6.1  # of the small text, on average; wide ones are rare


def picture(width: float, height: float, title: str, shapes: Iterable[str]) -> str:
    """A whole picture that shrinks with the page and is told to screen readers."""
    return (
        f'<svg viewBox="0 0 {num(width)} {num(height)}" width="{num(width)}" '
        f'height="{num(height)}" role="img"><title>{escape(title)}</title>{"".join(shapes)}</svg>'
    )


def rect(x: float, y: float, width: float, height: float, fill: str, *, tip: str = "") -> str:
    """A filled rectangle; ``tip`` shows under the pointer."""
    said = f"<title>{escape(tip)}</title>" if tip else ""
    return (
        f'<rect x="{num(x)}" y="{num(y)}" width="{num(max(width, 0))}" '
        f'height="{num(max(height, 0))}" fill="{fill}">{said}</rect>'
    )


def text(
    x: float, y: float, words: str, *, anchor: str = "start", style: str = "", turn: float = 0
) -> str:
    """A line of text; ``anchor`` start, middle or end; ``style`` a class of the page."""
    turned = f' transform="rotate({num(turn)} {num(x)} {num(y)})"' if turn else ""
    kind = f' class="{style}"' if style else ""
    return (
        f'<text x="{num(x)}" y="{num(y)}" text-anchor="{anchor}"{kind}{turned}>'
        f"{escape(words)}</text>"
    )


def line(x1: float, y1: float, x2: float, y2: float, style: str = "grid") -> str:
    """A straight line."""
    return f'<path class="{style}" d="M{num(x1)} {num(y1)}L{num(x2)} {num(y2)}"/>'


def area(points: Sequence[tuple[float, float]], fill: str) -> str:
    """A filled polygon."""
    path = "L".join(f"{num(x)} {num(y)}" for x, y in points)
    return f'<path d="M{path}Z" fill="{fill}"/>'


def track(
    points: Sequence[tuple[float, float]], stroke: str, *, width: float = 1.6, tip: str = ""
) -> str:
    """A line through points."""
    path = "L".join(f"{num(x)} {num(y)}" for x, y in points)
    said = f"<title>{escape(tip)}</title>" if tip else ""
    return (
        f'<path d="M{path}" fill="none" stroke="{stroke}" stroke-width="{num(width)}" '
        f'stroke-linejoin="round">{said}</path>'
    )


def dot(x: float, y: float, radius: float, fill: str, *, tip: str = "") -> str:
    """A filled circle."""
    said = f"<title>{escape(tip)}</title>" if tip else ""
    return f'<circle cx="{num(x)}" cy="{num(y)}" r="{num(radius)}" fill="{fill}">{said}</circle>'


def colour(place: int) -> str:
    """Colour of a class: twelve, then as many darker and as many paler ones."""
    own = f"var(--c{place % 12})"
    mixed = {1: "var(--ink) 45%", 2: "var(--paper) 45%"}.get(place // 12 % 3)
    return f"color-mix(in srgb, {own}, {mixed})" if mixed else own


def num(value: float) -> str:
    """A coordinate with one decimal at most."""
    return f"{round(value, 1) + 0.0:.1f}".removesuffix(".0")


def short(words: str, pixels: float) -> str:
    """Words cut to the room that there is."""
    room = max(int(pixels / CHARACTER_PX), 2)
    return words if len(words) <= room else words[: room - 1] + "…"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from ``low`` to ``high``, about ``count`` of them."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    size = 10 ** floor(log10(raw))
    step = next(size * n for n in (1, 2, 5, 10) if size * n >= raw)
    return [step * n for n in range(ceil(low / step), floor(high / step) + 1)]


def said(value: float) -> str:
    """A number for an axis: 1500000 is 1.5M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
