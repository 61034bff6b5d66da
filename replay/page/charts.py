"""Charts as HTML: a stretched SVG for lines and bars, and labels that do not stretch with it. Pure.

A drawing is 1,000 by 1,000 whatever the width of the page; lines keep their width, and dots are lines of no
length with round or square ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from replay.page.axes import Range, Tick, time_ticks, value_range, value_ticks

SIZE = 1_000
MAX_DRAWN = 1_500
"""A longer line is thinned: of each stretch its first, lowest, highest and last point remain."""

_LATE = 0.93
_END = ' class="end"'
"""Of labels so far to the right that their middle must not stand below their mark."""


class Line(NamedTuple):
    """Values over time, in order."""

    times: list[int]
    values: list[float]


class Dots(NamedTuple):
    """Marks on a chart: a class of the style sheet, and where."""

    kind: str
    times: list[int]
    values: list[float]


class Bar(NamedTuple):
    """A bar of a histogram or of a row: label, height, and the class of its colour."""

    label: str
    height: float
    kind: str


def line_chart(  # noqa: PLR0913  # what a chart may have
    title: str,
    line: Line,
    *,
    name: str,
    unit: str = "",
    filled: bool = False,
    with_zero: bool = False,
    stepped: bool = False,
    beside: Sequence[float] = (),
    dots: Sequence[Dots] = (),
    legend: str = "",
) -> str:
    """Return a chart of a line, its dots above it.

    Args:
        title: shown above.
        line: to draw; at least one point.
        name: by which the script finds its values.
        unit: behind the numbers.
        filled: fill what is between the line and zero, or the lower end.
        with_zero: the axis reaches to zero.
        stepped: each value holds until the next point.
        beside: values of a second line at the same times, which are at most `MAX_DRAWN` then.
        dots: marks at places of their own.
        legend: HTML behind the title.
    """
    times, values = thinned(line)
    across = Range(times[0], max(times[-1], times[0] + 1))
    marked = (value for marks in dots for value in marks.values)
    up = value_range([*values, *beside, *marked], with_zero=with_zero)
    points = [(_x(across, at), _y(up, value)) for at, value in zip(times, values, strict=True)]
    path = _stepped(points) if stepped else _straight(points)
    shapes = [f'<path class="line" d="{path}"/>']
    if beside:
        other = [(_x(across, at), _y(up, value)) for at, value in zip(times, beside, strict=True)]
        shapes.append(f'<path class="line beside" d="{_straight(other)}"/>')
    if filled:
        ground = _y(up, min(max(0.0, up.low), up.high))
        shapes.insert(0, f'<path class="area" d="{path}L{points[-1][0]} {ground}L{points[0][0]} {ground}Z"/>')
    for marks in dots:
        places = zip(marks.times, marks.values, strict=True)
        drawn = "".join(f"M{_x(across, at)} {_y(up, value)}h0" for at, value in places)
        shapes.append(f'<path class="dots {marks.kind}" d="{drawn}"/>')
    described = (
        f"{title}: from {values[0]:,.6g}{unit} to {values[-1]:,.6g}{unit},"
        f" lowest {min(values):,.6g}{unit}, highest {max(values):,.6g}{unit}"
    )
    ticks = time_ticks(times[0], times[-1])
    return _figure(
        title,
        described,
        shapes,
        value_ticks(up, unit=unit),
        ticks,
        legend=legend,
        attributes=f' data-line="{name}"',
    )


def bar_chart(title: str, bars: Sequence[Bar], *, unit: str = "", labels: int = 6) -> str:
    """Return a chart of bars that stand on zero, side by side.

    Args:
        title: shown above.
        bars: from left to right; at least one.
        unit: behind the numbers.
        labels: how many bars at most have their label below.
    """
    up = value_range([bar.height for bar in bars], with_zero=True)
    width = SIZE / len(bars)
    ground = _y(up, 0.0)
    shapes: list[str] = []
    for number, bar in enumerate(bars):
        top = _y(up, bar.height)
        low, high = min(top, ground), max(top, ground)
        shapes.append(
            f'<rect class="{bar.kind}" x="{number * width + width * 0.1:.1f}" y="{low}"'
            f' width="{width * 0.8:.1f}" height="{max(high - low, 1):.1f}">'
            f"<title>{escape(bar.label)}: {bar.height:,.6g}{escape(unit)}</title></rect>"
        )
    every = -(-len(bars) // labels)
    below = [
        Tick((number + 0.5) / len(bars), bar.label)
        for number, bar in enumerate(bars)
        if number % every == every // 2
    ]
    heights = [bar.height for bar in bars]
    described = (
        f"{title}: {len(bars)} bars, lowest {min(heights):,.6g}{unit}, highest {max(heights):,.6g}{unit}"
    )
    return _figure(title, described, shapes, value_ticks(up, most=4, unit=unit), below)


def thinned(line: Line, most: int = MAX_DRAWN) -> Line:
    """Return the line with at most so many points, its extremes among them."""
    count = len(line.times)
    if count <= most:
        return line
    stretch = -(-count * 4 // most)
    kept: list[int] = []
    for start in range(0, count, stretch):
        places = range(start, min(start + stretch, count))
        low = min(places, key=line.values.__getitem__)
        high = max(places, key=line.values.__getitem__)
        kept += sorted({places[0], low, high, places[-1]})
    return Line([line.times[at] for at in kept], [line.values[at] for at in kept])


def _figure(
    title: str,
    described: str,
    shapes: Sequence[str],
    values: Sequence[Tick],
    across: Sequence[Tick],
    *,
    legend: str = "",
    attributes: str = "",
) -> str:
    grid = "".join(f"M0 {SIZE - tick.at * SIZE:.1f}h{SIZE}" for tick in values)
    left = "".join(
        f'<span style="bottom:{100 * tick.at:.2f}%">{escape(tick.label)}</span>' for tick in values
    )
    below = "".join(
        f'<span{_END if at > _LATE else ""} style="left:{100 * at:.2f}%">{escape(label)}</span>'
        for at, label in across
    )
    return (
        f'<figure class="chart"><figcaption>{escape(title)}{legend}</figcaption>'
        f'<div class="plot"{attributes}><div class="values" aria-hidden="true">{left}</div>'
        f'<svg viewBox="0 0 {SIZE} {SIZE}" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(described)}"><path class="grid" d="{grid}"/>{"".join(shapes)}</svg>'
        f'<div class="across" aria-hidden="true">{below}</div></div></figure>'
    )


def _straight(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x} {y}" for x, y in points)


def _stepped(points: Sequence[tuple[float, float]]) -> str:
    (x, y), *rest = points
    return f"M{x} {y}" + "".join(f"H{x}V{y}" for x, y in rest)


def _x(across: Range, at: float) -> float:
    return round(across.place(at) * SIZE, 1)


def _y(up: Range, value: float) -> float:
    return round(SIZE - up.place(value) * SIZE, 1)
