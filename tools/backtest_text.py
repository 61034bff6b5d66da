"""A backtest's report as lines for people: short, the rest is in the JSON and the page."""

from __future__ import annotations

from typing import Any

from daemon.trading.strategy import Strategy
from replay.backtest import BacktestResult, Unheard
from replay.document import MONEY_FIELDS
from replay.figures import SHOWN, YEARLY, figure_text, interval_text, name_text
from replay.measure import DAY_NS
from tools.output import print_table
from tools.wording import counted, grouped

_GROUP_COLUMNS = ("trips", "net_profit", "win_rate", "profit_factor", "expectancy", "fees")
_MOST_GROUPS = 12


def print_report(body: dict[str, Any], result: BacktestResult, kind: type[Strategy]) -> None:
    """Print a document for people."""
    print(
        f"{counted(result.events, 'event')} in {result.seconds:.2f} s ({result.events_per_second:,.0f}/s),"
        f" {counted(result.orders, 'order')}, {result.denied:,} denied, {counted(result.fills, 'fill')}"
    )
    print(f"fees: {result.maker_fee_ppm:,} ppm resting, {result.taker_fee_ppm:,} ppm taking")
    for name, unheard in result.unheard.items():
        missed = " or ".join(unheard.listens)
        print(f"note: {name}: no {missed} events, which {kind.kind} listens to{_try(unheard, kind)}")
    _print_account(body)
    if body["report"]["curve"]:
        _print_figures(body["report"])
        _print_groups(body["report"])
    if result.denials:
        print()
        rows = [[rule, f"{denials.count:,}", denials.example] for rule, denials in result.denials.items()]
        print_table(["denied by", "orders", "the first"], rows)
    print()
    print(f"decisions {body['decisions_sha256']}")
    print(f"result    {body['result_sha256']}")
    _print_notes(result, body["report"])


def _print_account(body: dict[str, Any]) -> None:
    print()
    rows = [
        [currency, *(grouped(body[name].get(currency, "0")) for name in MONEY_FIELDS)]
        for currency in body["equity"]
    ]
    print_table(["currency", *MONEY_FIELDS], rows)
    if body["positions"]:
        print()
        names = ("quantity", "cost_basis", "realised", "unrealised")
        positions = [
            [symbol, *(grouped(position[name]) for name in names)]
            for symbol, position in body["positions"].items()
        ]
        print_table(["instrument", *names], positions)


def _print_figures(report: dict[str, Any]) -> None:
    """Print the figures in two columns, each with its interval where there is one."""
    print()
    metrics, intervals, curve = report["metrics"], report["intervals"], report["curve"]
    short = curve[-1]["ts_ns"] - curve[0]["ts_ns"] < DAY_NS
    rows = [
        (
            name_text(name),
            figure_text(name, metrics[name], report["currency"]),
            interval_text(name, intervals.get(name)),
        )
        for name in SHOWN
        if metrics[name] is not None and not (short and name in YEARLY)
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for name, value, interval in rows:
        print(f"{name.ljust(widths[0])}  {value.rjust(widths[1])}  {interval}".rstrip())
    returns = f"{report['returns']:,} returns by the {report['period']}"
    within = f"; in brackets {100 * report['confidence']:.0f} % of resampled runs" if intervals else ""
    print(f"from {returns}{within}")
    if short:
        print("a run below a day tells nothing of a year: volatility, Sharpe and Sortino are in the JSON")


def _print_groups(report: dict[str, Any]) -> None:
    for name, groups in report["groups"].items():
        if len(groups) < 2:  # noqa: PLR2004
            continue
        print()
        rows = [
            [
                group or "(none)",
                *(figure_text(column, figures[column], "") for column in _GROUP_COLUMNS),
            ]
            for group, figures in list(groups.items())[:_MOST_GROUPS]
        ]
        print_table([name, *map(name_text, _GROUP_COLUMNS)], rows)
        if len(groups) > _MOST_GROUPS:
            print(f"and {len(groups) - _MOST_GROUPS:,} more (--json lists them)")


def _print_notes(result: BacktestResult, report: dict[str, Any]) -> None:
    if report["unknown_currencies"]:
        names = ", ".join(report["unknown_currencies"])
        print(
            f"note: {names}: no price leads from it to {report['currency']}, so it is in no figure of merit"
        )
    if report["trips_dropped"]:
        print(f"note: {counted(report['trips_dropped'], 'round trip')} beyond the limit are in no figure")
    for strategy_id, reason in result.stopped.items():
        print(f"stopped: {strategy_id}: {reason}")
    for note in result.notifications:
        print(f"note: {note}")
    if result.partial:
        print("note: stopped before the end of the data: the result is that of a part")


def _try(unheard: Unheard, kind: type[Strategy]) -> str:
    """Return the parameter that makes a strategy listen to what did come, where it has one."""
    for parameter in kind.parameters:
        for saw in unheard.saw:
            if saw.lower() in parameter.choices:
                return f"; try --param {parameter.name}={saw.lower()}"
    return ""
