"""A fork as one HTML page: both equity curves, their distance, and what each course came to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from daemon.trading.money import MONEY_SCALE
from replay.fork import ForkResult
from replay.page.axes import moment_text
from replay.page.pictures import Drawn
from replay.page.shell import whole

_UNIT = 10**MONEY_SCALE
_COUNTS, _AMOUNTS = ("orders", "denied", "fills"), ("fees", "equity", "profit", "max_drawdown")


def fork_page(result: ForkResult, *, name: str, changes: Sequence[str], told: Sequence[str]) -> str:
    """Return the page.

    Args:
        result: of the fork.
        name: of the data.
        changes: what was changed, as it was asked for.
        told: where the courses part, in sentences.
    """
    title = f"Fork of {name} behind seq {result.at:,}"
    points, drawn = result.points, Drawn()
    times = [point.ts_ns for point in points]
    legend = '<span><b class="first">recorded</b> | <b class="second">forked</b></span>'
    charts = [
        drawn.chart(
            f"Equity, {result.currency}",
            times,
            [point.recorded / _UNIT for point in points],
            beside=[point.forked / _UNIT for point in points],
            legend=legend,
        ),
        drawn.chart(
            f"Forked less recorded, {result.currency}",
            times,
            [(point.forked - point.recorded) / _UNIT for point in points],
            filled=True,
            with_zero=True,
        ),
    ]
    wide = (chart.replace('class="chart"', 'class="chart wide"', 1) for chart in charts)
    body = [
        f"<h1>{escape(title)}</h1>",
        _about(result, changes),
        *(f'<p class="note">{escape(line)}</p>' for line in told),
        f'<div class="charts">{"".join(wide)}</div>',
        "<h2>Both courses</h2>",
        _table(result),
        '<p class="faint">Made by taped. Behind the first other decision it is a backtest.</p>',
    ]
    return whole(title, "\n".join(body), drawn.json())


def _about(result: ForkResult, changes: Sequence[str]) -> str:
    first, last = result.points[0], result.points[-1]
    changed = escape(", ".join(changes)) or "nothing changed"
    return (
        f'<p class="faint">{moment_text(first.ts_ns)} to {moment_text(last.ts_ns)} UTC'
        f" · seq {result.at + 1:,} to {result.last_seq:,} · {changed}</p>"
    )


def _table(result: ForkResult) -> str:
    one, other = result.recorded, result.forked
    rows = [_row(name, getattr(one, name), getattr(other, name), "{:,}") for name in _COUNTS]
    for name in _AMOUNTS:
        values = [getattr(course, name) / _UNIT for course in (one, other)]
        rows.append(_row(f"{name.replace('_', ' ')}, {result.currency}", values[0], values[1], "{:,.2f}"))
    rows.append(_words("trading", one.trading_state, other.trading_state))
    rows += [
        _words(f"position, {name}", one.positions.get(name, "0"), other.positions.get(name, "0"))
        for name in sorted({*one.positions, *other.positions})
    ]
    head = "".join(
        f'<th class="number" scope="col">{name}</th>' for name in ("recorded", "forked", "difference")
    )
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr><th scope="col">what</th>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _row(name: str, one: float, other: float, form: str) -> str:
    return _words(name, form.format(one), form.format(other), form.replace(":", ":+").format(other - one))


def _words(name: str, *cells: str) -> str:
    texts = "".join(f'<td class="number">{escape(text)}</td>' for text in cells)
    return f'<tr><th scope="row">{escape(name)}</th>{texts}{"<td></td>" * (3 - len(cells))}</tr>'
