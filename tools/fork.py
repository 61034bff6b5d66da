"""`taped replay fork DATA --at SEQ|TIME`: what would have come of other limits, parameters or fees."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from daemon.config import code_hash
from daemon.journal.reader import JournalReader
from daemon.trading.money import MONEY_SCALE
from daemon.trading.risk.limits import KINDS, LimitError, kind_of
from daemon.user_strategies import load_kinds
from replay.fork import Changes, Course, ForkResult, fork
from replay.page.forked import fork_page
from schemas.decimals import decimal_text
from schemas.events import Scalar
from tools.event_text import time_text
from tools.output import UsageError, print_json, print_table, progress, write_page
from tools.parameters import parse_pairs
from tools.parity_report import summary
from tools.points import HELP, Point, past_point, point
from tools.wording import grouped

_RISK, _VENUE = "risk.", "venue."
_SHOWN_POINTS = 10


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "fork",
        help="go on from a past moment with other limits or parameters, and compare",
        description="Goes on behind an event with other limits, parameters or fees, over the recorded market,"
        " and compares what came of it with what is recorded. Writes nothing; a daemon may be running.",
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="data folder, with the journal in it")
    parser.add_argument("--at", type=past_point, required=True, metavar="SEQ|TIME", help=HELP)
    parser.add_argument(
        "--to",
        dest="last",
        type=point,
        default=Point(),
        metavar="SEQ|TIME",
        help="the same; what it names is included",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a limit of risk (risk.max_order_value=1000; empty: none), or an option of the paper venue"
        " (venue.taker_fee_ppm=500); repeat",
    )
    parser.add_argument("--strategy", metavar="ID", help="the strategy that --param means")
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="[ID.]NAME=VALUE",
        help="parameter of a running strategy; repeat",
    )
    parser.add_argument(
        "--stop", action="append", default=[], metavar="ID", help="strategy that ends; repeat"
    )
    parser.add_argument(
        "--strategies-folder", type=Path, metavar="DIR", help="folder of strategies of your own"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write both curves as a page too")
    parser.add_argument("--json", action="store_true", help="print JSON, with both curves")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Fork and compare."""
    journal = JournalReader(arguments.data / "journal")
    at, to = arguments.at.behind_in(journal), arguments.last.end_in(journal)
    changes = changes_of(arguments.set, arguments.param, arguments.strategy, arguments.stop)
    kinds = load_kinds(arguments.strategies_folder)
    with progress("Fork", total=max(0, to - at), unit="events", show=not arguments.json) as bar:
        done = at

        def tell(seq: int) -> None:
            nonlocal done
            bar(seq - done)
            done = seq

        result = fork(
            arguments.data,
            at,
            changes,
            code_hash=code_hash(kinds.sources),
            last_seq=to,
            kinds=kinds.classes,
            progress=tell,
        )
    if arguments.html is not None:
        told = [_parting(result), *_notes(result)]
        changed = [*arguments.set, *arguments.param, *(f"without {name}" for name in arguments.stop)]
        write_page(arguments.html, fork_page(result, name=arguments.data.name, changes=changed, told=told))
    if arguments.json:
        print_json(as_json(result))
    else:
        _print(result)
    return 0


def changes_of(
    settings: Sequence[str], parameters: Sequence[str], strategy: str | None, stops: Sequence[str]
) -> Changes:
    """Return what the flags change.

    Raises:
        UsageError: a name is of nothing that can be changed.
    """
    limits: dict[str, Scalar] = {}
    venue: dict[str, Any] = {}
    for name, value in parse_pairs(settings, flag="--set").items():
        if name.startswith(_VENUE):
            venue[name.removeprefix(_VENUE)] = value
        else:
            limits[name.removeprefix(_RISK)] = _limit(name.removeprefix(_RISK), value)
    changed: dict[str, dict[str, Scalar]] = {}
    for name, value in parse_pairs(parameters).items():
        strategy_id, _, parameter = name.rpartition(".")
        strategy_id = strategy_id or strategy or ""
        if not strategy_id:
            raise UsageError(
                f"--param {name}: of which strategy?", hint="write ID.NAME=VALUE, or --strategy ID"
            )
        changed.setdefault(strategy_id, {})[parameter] = value
    return Changes(limits, changed, stops, venue)


def _limit(name: str, value: Scalar) -> Scalar:
    """Return the value of a limit; no text, or `off`, takes the limit away, and amounts are texts."""
    if value in ("", "off"):
        return None
    try:
        kind = kind_of(name)
    except LimitError as error:
        near = [f"{_RISK}{known}" for known in KINDS if known.startswith(name)]
        hint = f"perhaps {' or '.join(near)}" if near else error.hint
        raise UsageError(f"--set {name}: {error.message}", hint=hint) from error
    return str(value) if kind.check(value) is None and kind.check(str(value)) is not None else value


def as_json(result: ForkResult) -> dict[str, Any]:
    """Return the result as `--json` prints it; money is decimal text."""
    return {
        "at": result.at,
        "last_seq": result.last_seq,
        "origin": result.origin,
        "currency": result.currency,
        "delay_us": result.delay_us,
        "same_decisions": result.same_decisions,
        "diverged": msgspec.to_builtins(result.diverged),
        "recorded": _course(result.recorded),
        "forked": _course(result.forked),
        "curve": [
            {
                "seq": point.seq,
                "ts_ns": point.ts_ns,
                "recorded": _money(point.recorded),
                "forked": _money(point.forked),
            }
            for point in result.points
        ],
    }


def _course(course: Course) -> dict[str, Any]:
    return {
        "orders": course.orders,
        "denied": course.denied,
        "fills": course.fills,
        "fees": _money(course.fees),
        "equity": _money(course.equity),
        "profit": _money(course.profit),
        "max_drawdown": _money(course.max_drawdown),
        "trading_state": course.trading_state,
        "positions": course.positions,
    }


def _print(result: ForkResult) -> None:
    print(f"behind seq {result.at:,}, from {result.origin}, up to seq {result.last_seq:,}")
    print(_parting(result))
    print(f"decisions before that, the same: {result.same_decisions:,}")
    for note in _notes(result):
        print(note)
    print()
    rows: list[list[object]] = []
    for name in ("orders", "denied", "fills"):
        one, other = getattr(result.recorded, name), getattr(result.forked, name)
        rows.append([name, f"{one:,}", f"{other:,}", f"{other - one:+,}"])
    for name in ("fees", "equity", "profit", "max_drawdown"):
        one, other = getattr(result.recorded, name), getattr(result.forked, name)
        label = f"{name.replace('_', ' ')} {result.currency}"
        rows.append([label, *(grouped(_money(value)) for value in (one, other, other - one))])
    print_table(["", "recorded", "forked", "difference"], rows)
    if result.forked.trading_state != result.recorded.trading_state:
        print(f"trading is {result.recorded.trading_state}, in the fork {result.forked.trading_state}")
    print()
    step = max(1, len(result.points) // _SHOWN_POINTS)
    shown = [*result.points[:-1:step], result.points[-1]]
    print_table(
        ["time", f"recorded {result.currency}", "forked", "difference"],
        [
            [
                time_text(point.ts_ns),
                *(grouped(_money(value)) for value in (point.recorded, point.forked)),
                grouped(_money(point.forked - point.recorded)),
            ]
            for point in shown
        ],
    )


def _parting(result: ForkResult) -> str:
    """Return where the courses part."""
    if result.diverged is not None:
        return f"the same up to {summary(result.diverged)}"
    return "nothing was decided otherwise" if result.recorded == result.forked else "other from the start"


def _notes(result: ForkResult) -> list[str]:
    notes: list[str] = []
    if result.delay_us:
        late = f"{result.delay_us / 1000:,.1f} ms"
        notes.append(f"orders arrive {late} later than the venue's own latency, as they did")
    if not (result.same_decisions or result.diverged or result.recorded.orders or result.forked.orders):
        notes.append(
            "note: nobody traded here, so a fork has nothing to change; a strategy can be run over the"
            " market with `taped replay backtest`"
        )
    return notes


def _money(value: int) -> str:
    return decimal_text(value, MONEY_SCALE, decimals=2)
