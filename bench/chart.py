"""Charts as plain data in drawing coordinates; `templates/chart.svg.j2` draws them in the page's own colours.

A chart is 380 units wide, so that it is readable at the width of a phone, and two stand side by side on a laptop.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

WIDTH = 380.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 20.0, 12.0, 40.0


@dataclass(frozen=True)
class Axis:
    """A scale from ``low`` to ``high``, with values that get a tick and what stands there."""

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = False

    def at(self, value: float) -> float:
        """Where a value lies, 0 to 1; values outside are put on the border."""
        low, high, place = self.low, self.high, value
        if self.log:
            low, high, place = math.log(low), math.log(high), math.log(max(value, self.low))
        return min(max((place - low) / (high - low), 0.0), 1.0)


@dataclass(frozen=True)
class Mark:
    """Something drawn.

    Attributes:
        kind: ``line`` and ``area`` take all points, ``dot`` the first, ``rule`` is vertical at the first, ``bar`` goes
            from the first to the second, ``whisker`` joins two points, ``text`` stands at the first.
        points: in drawing coordinates.
        style: class of the stylesheet, such as ``c3`` for the colour of the fourth system.
        tip: shown when the pointer rests on it.
    """

    kind: str
    points: tuple[tuple[float, float], ...]
    style: str
    tip: str = ""
    text: str = ""

    @property
    def path(self) -> str:
        """The points as an SVG list."""
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in self.points)


@dataclass(frozen=True)
class Chart:
    """A drawing with its axes; ``alt`` says in words what it shows.

    Attributes:
        key: (style, name) of each series, written beneath.
    """

    title: str
    alt: str
    x: Axis
    y: Axis | None
    height: float = 250.0
    left: float = LEFT
    marks: list[Mark] = field(default_factory=list)
    key: list[tuple[str, str]] = field(default_factory=list)
    width: float = WIDTH
    bottom: float = BOTTOM
    right: float = RIGHT
    top: float = TOP

    def across(self, value: float) -> float:
        """Drawing coordinate of a value on the horizontal axis."""
        return self.left + self.x.at(value) * (self.width - self.left - self.right)

    def down(self, value: float) -> float:
        """Drawing coordinate of a value on the vertical axis."""
        assert self.y is not None
        return self.height - self.bottom - self.y.at(value) * (self.height - self.top - self.bottom)

    def add(self, kind: str, points: Iterable[tuple[float, float]], style: str, tip: str = "", text: str = "") -> None:
        """Draw at values of the axes."""
        self.marks.append(Mark(kind, tuple((self.across(x), self.down(y)) for x, y in points), style, tip, text))

    def note(self, x: float, y: float, text: str) -> None:
        """Write at drawing coordinates."""
        self.marks.append(Mark("text", ((x, y),), "", text=text))


def linear(label: str, low: float, high: float, percent: bool = False) -> Axis:
    """A linear axis with about five round ticks."""
    if not high > low:
        low, high = low - 0.5, low + 0.5
    step = _round_step((high - low) / 4)
    first = math.ceil(low / step - 1e-9)
    values = [step * number for number in range(first, math.floor(high / step + 1e-9) + 1)]
    return Axis(label, low, high, tuple((v, f"{v:.0%}" if percent else _short(v)) for v in values))


def logarithmic(label: str, values: Sequence[float], ticks: Sequence[float] | None = None) -> Axis:
    """A logarithmic axis around positive values; ticks at 1, 2 and 5 of each decade, fewer where they are many."""
    low, high = 0.8 * min(values), 1.25 * max(values)
    if ticks is None:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = [factor * 10.0**power for power in decades for factor in (1, 2, 5)]
        if sum(low <= tick <= high for tick in ticks) > 6:
            ticks = [10.0**power for power in decades]
    return Axis(label, low, high, tuple((t, _short(t)) for t in ticks if low <= t <= high), log=True)


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return float(power * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999))


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
