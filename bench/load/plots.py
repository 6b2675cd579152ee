"""Bars, as SVG."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

LABEL_WIDTH, BAR_WIDTH, VALUE_WIDTH = 150, 520, 90
BAR_HEIGHT, GAP, GROUP_GAP, TOP = 18, 4, 16, 34
GROUP_TITLE = 20


@dataclass(frozen=True, slots=True)
class Bar:
    """One value."""

    label: str
    value: float
    colour: str


@dataclass(frozen=True, slots=True)
class Group:
    """Bars that are compared with each other."""

    title: str
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Groups of bars over one axis."""

    unit: str
    groups: Sequence[Group]


def svg(chart: Chart) -> str:
    """Return the picture, a label and a value at every bar, over an axis with 0 on it."""
    values = [bar.value for group in chart.groups for bar in group.bars]
    ticks = ticks_for(values)
    height = TOP + sum(_height(group) for group in chart.groups)
    width = LABEL_WIDTH + BAR_WIDTH + VALUE_WIDTH
    scale = Scale(ticks[0], ticks[-1])
    parts = "".join([*_axis(chart, ticks, scale, height), *_bars(chart, scale)])
    name = escape(f"bars, {chart.unit}", quote=True)
    return f'<svg viewBox="0 0 {width} {height}" width="{width}" role="img" aria-label="{name}">{parts}</svg>'


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to places on the picture."""

    low: float
    high: float

    def x(self, value: float) -> float:
        """Return how far right a value is."""
        return LABEL_WIDTH + BAR_WIDTH * (value - self.low) / (self.high - self.low)


def ticks_for(values: Sequence[float]) -> list[float]:
    """Return four to ten round numbers, evenly apart, that reach over all values and over 0."""
    low, high = min(0.0, *values), max(0.0, *values)
    span = (high - low) or 1.0
    rough = span / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _height(group: Group) -> int:
    return GROUP_TITLE + len(group.bars) * (BAR_HEIGHT + GAP) + GROUP_GAP


def _axis(chart: Chart, ticks: Sequence[float], scale: Scale, height: int) -> Iterator[str]:
    for tick in ticks:
        yield _line(scale.x(tick), height, "#d8dce2" if tick else "#7a828e")
        yield _text(scale.x(tick), TOP - 10, f"{tick:,g}", "middle", "tick")
    yield _text(LABEL_WIDTH - 8, TOP - 10, chart.unit, "end", "tick")


def _bars(chart: Chart, scale: Scale) -> Iterator[str]:
    y = TOP
    for group in chart.groups:
        yield _text(0, y + 13, group.title, "start", "group")
        y += GROUP_TITLE
        for bar in group.bars:
            begin, end = sorted((scale.x(0), scale.x(bar.value)))
            width = max(end - begin, 1.0)
            place = f'x="{begin:.1f}" y="{y}" width="{width:.1f}" height="{BAR_HEIGHT}"'
            yield _text(LABEL_WIDTH - 8, y + 13, bar.label, "end", "label")
            yield f'<rect {place} fill="{bar.colour}"/>'
            yield _text(end + 6, y + 13, figure(bar.value), "start", "label")
            y += BAR_HEIGHT + GAP
        y += GROUP_GAP


def figure(value: float) -> str:
    """Return a value with three digits that count."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2  # noqa: PLR2004 - three digits
    return f"{value:,.{digits}f}"


def _line(x: float, height: int, colour: str) -> str:
    return f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 4}" y2="{height}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str, kind: str) -> str:
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}" class="{kind}">{escape(text)}</text>'
