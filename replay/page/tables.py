"""Tables of a page as HTML: figures, groups, months, round trips. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from replay.figures import figure_text, interval_text, length_text, name_text
from replay.measure import METRICS
from replay.page.axes import moment, moment_text

MAX_TRIPS = 100
_GROUP_COLUMNS = (
    "trips",
    "net_profit",
    "win_rate",
    "profit_factor",
    "expectancy",
    "payoff",
    "fees",
    "slippage",
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NS = 1_000_000_000
_FULL_COLOUR = 0.1
"""A return of that size has the full colour of a table of months."""


def table(
    caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[int] = ()
) -> str:
    """Return a table that scrolls in itself where it is too wide; cells are HTML.

    Args:
        caption: what it shows.
        columns: headings.
        rows: the first cell of each is its heading.
        numbers: which columns are aligned to the right.
    """
    css = [' class="number"' if place in numbers else "" for place in range(len(columns))]
    head = "".join(f'<th scope="col"{css[at]}>{escape(name)}</th>' for at, name in enumerate(columns))
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>'
        + "".join(f"<td{css[at]}>{cell}</td>" for at, cell in enumerate(row) if at)
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def figures_table(report: dict[str, Any]) -> str:
    """Return every figure with its interval and its meaning."""
    rows = [
        (
            escape(name_text(name)),
            escape(figure_text(name, value, report["currency"])),
            escape(interval_text(name, report["intervals"].get(name))),
            f'<span class="meaning">{escape(METRICS[name].meaning)}</span>',
        )
        for name, value in report["metrics"].items()
    ]
    share = f"{100 * report['confidence']:.0f} %"
    columns = ("figure", "value", f"{share} of resampled runs", "")
    returns = f"{report['returns']:,} returns by the {report['period']}"
    return table(f"All figures, from {returns}", columns, rows, numbers=(1, 2))


def groups_tables(report: dict[str, Any]) -> str:
    """Return the round trips by strategy, instrument and tag; what has one group only is left out."""
    found: list[str] = []
    for name, groups in report["groups"].items():
        if len(groups) < 2:  # noqa: PLR2004
            continue
        rows = [
            [
                escape(group or "(none)"),
                *(escape(figure_text(column, values[column], "")) for column in _GROUP_COLUMNS),
            ]
            for group, values in groups.items()
        ]
        columns = [name, *map(name_text, _GROUP_COLUMNS)]
        found.append(table(f"By {name}", columns, rows, numbers=range(1, len(columns))))
    return "".join(found)


def months_table(growth: Sequence[tuple[int, float]]) -> str:
    """Return the growth of each month, years below one another; colours go by size."""
    found = monthly(growth)
    years = sorted({year for year, _ in found})
    rows: list[list[str]] = []
    for year in years:
        whole = 1.0
        cells = [str(year)]
        for month in range(1, 13):
            value = found.get((year, month))
            whole *= 1.0 + (value or 0.0)
            cells.append("" if value is None else heat(value))
        rows.append([*cells, heat(whole - 1.0)])
    return table("Growth by month, %", ("year", *_MONTHS, "year"), rows, numbers=range(1, 14))


def monthly(growth: Sequence[tuple[int, float]]) -> dict[tuple[int, int], float]:
    """Return the growth of each month in which anything was recorded."""
    found: dict[tuple[int, int], float] = {}
    before = last = growth[0][1] if growth else 1.0
    current: tuple[int, int] | None = None
    for ts_ns, value in growth:
        # A point at the very beginning of a month is the state before it.
        at = moment(ts_ns - 1)
        if current is not None and (at.year, at.month) != current:
            before = last
        current = (at.year, at.month)
        found[current] = value / before - 1.0 if before > 0 else 0.0
        last = value
    return found


def heat(value: float) -> str:
    """Return a growth in per cent, on a ground as strong as it is large."""
    colour = "var(--up)" if value > 0 else "var(--down)"
    strength = round(min(1.0, abs(value) / _FULL_COLOUR) * 45)
    style = f"background:color-mix(in srgb,{colour} {strength}%,transparent)"
    return f'<span style="{style}">{100 * value:,.2f}</span>'


def trips_table(report: dict[str, Any]) -> str:
    """Return the last round trips, those still open first."""
    shown = [*report["open_trips"], *reversed(report["trips"])][:MAX_TRIPS]
    if not shown:
        return ""
    rows = [_trip_row(trip) for trip in shown]
    columns = ["opened (UTC)", "instrument", "side", "quantity", "entry", "exit", "lasted", "profit", "fees"]
    if any(trip["tag"] for trip in shown):
        columns.append("tag")
        rows = [[*row, escape(trip["tag"])] for row, trip in zip(rows, shown, strict=True)]
    told = len(report["trips"]) + len(report["open_trips"])
    caption = f"The last {len(shown)} round trips" if told > len(shown) else "Round trips"
    return table(caption, columns, rows, numbers=(3, 4, 5, 6, 7, 8))


def _trip_row(trip: dict[str, Any]) -> list[str]:
    closed_ns = trip["closed_ns"]
    lasted = "open" if closed_ns is None else length_text((closed_ns - trip["opened_ns"]) / _NS)
    profit = trip["profit"]
    sign = "down" if profit.startswith("-") else "up"
    return [
        moment_text(trip["opened_ns"]),
        escape(trip["instrument"]),
        trip["side"],
        trip["quantity"],
        trip["entry_price"],
        trip["exit_price"] or "-",
        lasted,
        f'<span class="{sign}">{profit}</span> {escape(trip["currency"])}',
        trip["fees"],
    ]
