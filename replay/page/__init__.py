"""A backtest's report as one HTML page that asks for nothing: drawings, style and script are in it. Pure."""

from __future__ import annotations

from html import escape
from typing import Any

import msgspec

from replay.figures import YEARLY, figure_text, name_text
from replay.measure import DAY_NS
from replay.page.axes import moment_text
from replay.page.pictures import Drawn, pictures
from replay.page.shell import whole
from replay.page.tables import figures_table, groups_tables, trips_table
from replay.recorder import Recording

TILES = (
    "total_return",
    "max_drawdown",
    "sharpe",
    "trips",
    "win_rate",
    "profit_factor",
    "net_profit",
    "fees",
)


def page(document: dict[str, Any], recording: Recording) -> str:
    """Return the page.

    Args:
        document: as `replay.document.document` makes it.
        recording: of the same run, for prices and fills.
    """
    drawn = Drawn()
    charts = pictures(recording, drawn) if recording.curve else ["<p>Nothing was recorded.</p>"]
    parts = [
        _head(document),
        _notes(document),
        _tiles(document["report"]),
        f'<div class="charts">{"".join(charts)}</div>',
        "<h2>Figures</h2>",
        figures_table(document["report"]),
        groups_tables(document["report"]),
        "<h2>Round trips</h2>",
        trips_table(document["report"]) or "<p>None.</p>",
        _origin(document),
    ]
    return whole(_title(document), "\n".join(part for part in parts if part), drawn.json())


def _title(document: dict[str, Any]) -> str:
    instruments = document["instruments"]
    shown = ", ".join(instruments[:3]) + (f" and {len(instruments) - 3} more" if len(instruments) > 3 else "")  # noqa: PLR2004
    return f"{document['spec']['strategy']} on {shown or 'nothing'}"


def _head(document: dict[str, Any]) -> str:
    curve = document["report"]["curve"]
    when = f"{moment_text(curve[0]['ts_ns'])} to {moment_text(curve[-1]['ts_ns'])} UTC · " if curve else ""
    parameters = document["spec"]["parameters"]
    chosen = ", ".join(f"{name} {value}" for name, value in sorted(parameters.items()))
    return (
        f"<h1>{escape(_title(document))}</h1>"
        f'<p class="faint">{when}{document["events"]:,} events · {document["orders"]:,} orders,'
        f" {document['denied']:,} denied · {document['fills']:,} fills"
        f"{' · ' + escape(chosen) if chosen else ''}</p>"
    )


def _notes(document: dict[str, Any]) -> str:
    notes: list[str] = []
    if document["partial"]:
        notes.append("Stopped before the end of the data: this is the result of a part.")
    for name, unheard in document["unheard"].items():
        notes.append(f"{name}: no {' or '.join(unheard['listens'])} events, to which the strategy listens.")
    for rule, denials in document["denials"].items():
        notes.append(f"{denials['count']:,} orders denied by {rule}; the first: {denials['example']}")
    for strategy_id, reason in document["stopped"].items():
        notes.append(f"{strategy_id} stopped: {reason}")
    unknown = document["report"]["unknown_currencies"]
    if unknown:
        notes.append(f"No price leads to {document['report']['currency']} from {', '.join(unknown)}.")
    if document["report"]["trips_dropped"]:
        notes.append(f"{document['report']['trips_dropped']:,} later round trips are in no figure.")
    return "".join(f'<p class="note">{escape(note)}</p>' for note in notes)


def _tiles(report: dict[str, Any]) -> str:
    curve = report["curve"]
    short = not curve or curve[-1]["ts_ns"] - curve[0]["ts_ns"] < DAY_NS
    shown = ["exposure" if short and name in YEARLY else name for name in TILES]
    tiles = "".join(
        f"<div><dt>{escape(name_text(name))}</dt><dd>"
        f"{escape(figure_text(name, report['metrics'][name], report['currency']))}</dd></div>"
        for name in shown
    )
    return f'<dl class="tiles">{tiles}</dl>'


def _origin(document: dict[str, Any]) -> str:
    """Return what the run was made of, so that it can be made again."""
    spec = msgspec.json.format(msgspec.json.encode(document["spec"]), indent=2).decode()
    data = msgspec.json.format(msgspec.json.encode(document["data"]), indent=2).decode()
    return (
        "<h2>Where it comes from</h2>"
        f"<p>result <code>{document['result_sha256']}</code><br>"
        f"decisions <code>{document['decisions_sha256']}</code></p>"
        f'<details><summary>Specification and data</summary><pre tabindex="0">{escape(spec)}</pre>'
        f'<pre tabindex="0">{escape(data)}</pre></details>'
        '<p class="faint">Made by taped. Equal data and choices give the same result hash.'
        " Past and paper profits are not profits.</p>"
    )
