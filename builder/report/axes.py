"""A frame with two axes for the pictures of a report."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, log10

from audit.card.svg import line, said, text, ticks

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Axes:
    """Where values lie in a picture of ``width`` by ``height`` pixels; y grows upwards.

    Examples
    --------
    >>> Axes(x=(0, 1), y=(0, 1), width=260, height=150).at(0.5, 1.0)
    (147.0, 22)
    """

    x: Point
    y: Point
    width: int = 340
    height: int = 260
    log_x: bool = False
    left: int = 48
    top: int = 22
    right: int = 14
    bottom: int = 40

    def at(self, x: float, y: float) -> Point:
        """The pixel of a pair of values."""
        low, high = (log10(v) for v in self.x) if self.log_x else self.x
        value = log10(x) if self.log_x else x
        across = (value - low) / (high - low)
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return (
            self.left + across * (self.width - self.left - self.right),
            self.height - self.bottom - up * (self.height - self.top - self.bottom),
        )

    def frame(self, x_words: str, y_words: str) -> list[str]:
        """Both axes with their ticks and words."""
        foot, end = self.height - self.bottom, self.width - self.right
        shapes = [text(6, 14, y_words, style="small")]
        for tick in self._x_ticks():
            across, _ = self.at(tick, self.y[0])
            shapes += [
                line(across, self.top, across, foot),
                text(across, foot + 14, said(tick), anchor="middle", style="small"),
            ]
        for tick in ticks(*self.y, 5):
            _, up = self.at(self.x[0], tick)
            shapes += [
                line(self.left, up, end, up),
                text(self.left - 5, up + 4, said(tick), anchor="end", style="small"),
            ]
        return [*shapes, text(end, self.height - 8, x_words, anchor="end", style="small")]

    def _x_ticks(self) -> list[float]:
        if not self.log_x:
            return ticks(*self.x, 5)
        low, high = floor(log10(self.x[0])), floor(log10(self.x[1]))
        return [10.0**n for n in range(low, high + 1) if self.x[0] <= 10.0**n <= self.x[1]]


def padded(values: list[float], *, share: float = 0.08, least: float = 0.01) -> Point:
    """Ends of an axis with some air around the values."""
    low, high = min(values), max(values)
    air = max((high - low) * share, least)
    return low - air, high + air
