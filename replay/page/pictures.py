"""The drawings of a run: account, drawdown, exposure, prices with fills, periods, round trips. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from replay.measure import PERIODS, growth_of
from replay.page.axes import moment
from replay.page.charts import Bar, Dots, Line, bar_chart, line_chart, thinned
from replay.page.tables import months_table
from replay.recorder import Recording
from replay.report import equity_points, trips_of

MAX_PRICES = 6
"""So many instruments have a chart of their prices."""
MAX_DOTS = 400
"""So many fills are drawn on one of them: the last ones."""
_BINS = 24
_MONTHS_FROM_NS = 40 * 86_400 * 1_000_000_000
_MAX_BARS = 60
_FORMS = {"day": "%-d %b", "second": "%H:%M:%S"}


class Drawn:
    """Values of the lines, for the script: times in ms, names in order."""

    def __init__(self) -> None:
        self._lines: dict[str, dict[str, Any]] = {}

    def chart(self, title: str, times: list[int], values: list[float], **options: Any) -> str:
        """Return a chart of a line, and keep its values."""
        name = f"line{len(self._lines)}"
        line = thinned(Line(times, values))
        self._lines[name] = {
            "times": [at // 1_000_000 for at in line.times],
            "values": [float(f"{value:.10g}") for value in line.values],
            "unit": options.get("unit", ""),
            "beside": [float(f"{value:.10g}") for value in options.get("beside", ())],
        }
        return line_chart(title, line, name=name, **options)

    def json(self) -> str:
        """Return them as JSON that may stand in a page."""
        return msgspec.json.encode(self._lines).decode().replace("<", "\\u003c")


def pictures(recording: Recording, drawn: Drawn) -> list[str]:
    """Return all charts of a run that recorded anything, the widest first."""
    points = equity_points(recording)
    growth = growth_of(points)
    times = [point.ts_ns for point in points]
    currency = recording.currency
    charts = [
        _wide(drawn.chart(f"Equity, {currency}", times, [point.equity for point in points], filled=False)),
        drawn.chart("Drawdown", times, _falls(growth), unit=" %", filled=True, with_zero=True),
        drawn.chart(
            "Exposure, share of equity",
            times,
            [100 * point.gross / point.equity if point.equity > 0 else 0.0 for point in points],
            unit=" %",
            filled=True,
            stepped=True,
            with_zero=True,
        ),
    ]
    charts += [_wide(chart) for chart in _prices(recording, drawn)]
    charts.append(_periods(growth))
    profits = [trip.profit for trip in trips_of(recording.trips)]
    if profits:
        charts.append(bar_chart(f"Round trips by profit after fees, {currency}", _histogram(profits)))
    return charts


def _wide(chart: str) -> str:
    return chart.replace('class="chart"', 'class="chart wide"', 1)


def _falls(growth: Sequence[tuple[int, float]]) -> list[float]:
    falls: list[float] = []
    peak = 0.0
    for _, value in growth:
        peak = max(peak, value)
        falls.append(100 * (value / peak - 1.0) if peak > 0 else 0.0)
    return falls


def _prices(recording: Recording, drawn: Drawn) -> list[str]:
    """Return a chart of each instrument that was filled, its fills on it."""
    charts: list[str] = []
    filled = sorted({fill.instrument for fill in recording.fills})
    for place in filled[:MAX_PRICES]:
        instrument = recording.instruments[place]
        scale = 10**instrument.price_scale
        marks = [
            (point.ts_ns, point.marks[place] or 0)
            for point in recording.curve
            if len(point.marks) > place and point.marks[place] is not None
        ]
        fills = [fill for fill in recording.fills if fill.instrument == place]
        if not marks:
            continue
        dots = [
            Dots(
                kind,
                [fill.ts_ns for fill in fills[-MAX_DOTS:] if fill.side == side],
                [fill.price / scale for fill in fills[-MAX_DOTS:] if fill.side == side],
            )
            for kind, side in (("buy", 1), ("sell", -1))
        ]
        charts.append(
            drawn.chart(
                f"{instrument.symbol}@{instrument.venue}, {instrument.quote_currency}",
                [ts_ns for ts_ns, _ in marks],
                [mark / scale for _, mark in marks],
                dots=dots,
                legend=_legend(len(fills), recording.fills_step),
            )
        )
    return charts


def _legend(fills: int, step: int) -> str:
    shown = min(fills, MAX_DOTS)
    some = f"; the last {shown:,} fills shown" if fills > shown else ""
    if step > 1:
        some += f"; one of {step:,} fills kept"
    bought, sold = (
        '<b class="up" aria-hidden="true">●</b> bought',
        '<b class="down" aria-hidden="true">■</b> sold',
    )
    return f"<span>{bought} {sold}{some}</span>"


def _periods(growth: Sequence[tuple[int, float]]) -> str:
    """Return the months of a long run as a table; days to seconds of a short one as bars."""
    length_ns = growth[-1][0] - growth[0][0]
    if length_ns >= _MONTHS_FROM_NS:
        return f'<div class="wide">{months_table(growth)}</div>'
    name, unit_ns = next((period for period in PERIODS if length_ns >= 3 * period[1]), PERIODS[-1])
    units = max(1, -(-length_ns // unit_ns // _MAX_BARS))
    form = _FORMS.get(name, "%H:%M")
    bars = [
        Bar(moment(start_ns).strftime(form), 100 * change, "up" if change > 0 else "down")
        for start_ns, change in _changes(growth, units * unit_ns)
    ]
    return bar_chart(f"Growth by {name if units == 1 else f'{units:,} {name}s'}", bars, unit=" %")


def _changes(growth: Sequence[tuple[int, float]], period_ns: int) -> list[tuple[int, float]]:
    """Return when each period began in which anything was recorded, and its growth."""
    closes: dict[int, float] = {}
    for ts_ns, value in growth:
        # A point at the very end of a period is the state before the next one.
        closes[(ts_ns - 1) // period_ns] = value
    found: list[tuple[int, float]] = []
    before = growth[0][1]
    for number, close in closes.items():
        found.append((number * period_ns, close / before - 1.0 if before > 0 else 0.0))
        before = close
    return found


def _histogram(profits: Sequence[float]) -> list[Bar]:
    """Return how many round trips came to how much; the first and last bar hold what lies beyond."""
    ordered = sorted(profits)
    low, high = ordered[len(ordered) // 100], ordered[-1 - len(ordered) // 100]
    width = (high - low) / _BINS or 1.0
    counts = [0] * _BINS
    for profit in ordered:
        counts[min(_BINS - 1, max(0, int((profit - low) / width)))] += 1
    return [
        Bar(
            f"{low + (at + 0.5) * width:,.4g}", float(count), "up" if low + (at + 0.5) * width > 0 else "down"
        )
        for at, count in enumerate(counts)
    ]
