"""`taped replay at DATA SEQ|TIME`: orders, positions, account, limits and strategies as they were then."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from daemon.api.core_views import LAST_CLOSED
from daemon.config import code_hash
from daemon.journal.reader import JournalReader
from daemon.user_strategies import load_kinds
from replay.at import document, look, moment_of
from tools.event_text import time_text
from tools.output import UsageError, print_json, print_table
from tools.points import HELP, past_point
from tools.wording import counted

_ORDER = (
    "order_id",
    "symbol",
    "side",
    "type",
    "quantity",
    "filled_quantity",
    "price",
    "stop_price",
    "status",
)
_POSITION = ("symbol", "quantity", "average_price", "market_price", "unrealised", "realised")
_MONEY = ("currency", "cash", "deposits", "fees", "realised", "unrealised", "equity")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "at",
        help="show orders, positions, account and strategies as they were at a past moment",
        description="Shows what was known behind an event, or at a time. A daemon may be running. A look that"
        " has to replay far leaves states beside the snapshots, so that the next one is fast.",
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="data folder, with the journal in it")
    parser.add_argument("moment", type=past_point, metavar="SEQ|TIME", help=HELP)
    parser.add_argument(
        "--closed",
        type=int,
        default=LAST_CLOSED,
        metavar="N",
        help="how many of the orders that were over (%(default)s)",
    )
    parser.add_argument(
        "--strategies-folder", type=Path, metavar="DIR", help="folder of strategies of your own"
    )
    parser.add_argument("--no-keep", action="store_true", help="leave no states: write nothing at all")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what was known."""
    if arguments.closed < 0:
        raise UsageError(f"--closed {arguments.closed}, expected 0 or more")
    journal = JournalReader(arguments.data / "journal")
    seq = arguments.moment.behind_in(journal)
    kinds = load_kinds(arguments.strategies_folder)
    found = look(
        arguments.data,
        seq,
        code_hash=code_hash(kinds.sources),
        kinds=kinds.classes,
        keep=not arguments.no_keep,
    )
    body = document(found, moment_of(journal, seq), closed=arguments.closed)
    if arguments.json:
        print_json(body)
    else:
        _print(body)
    return 0


def _print(body: dict[str, Any]) -> None:
    event = f" ({body['event']})" if body["event"] else ""
    print(f"behind seq {body['seq']:,}{event} of {time_text(body['ts_ns']) or 'before the first event'}")
    print(f"from {body['origin']}, {counted(body['replayed'], 'event')} replayed")
    source = f", by {body['trading']['source']}" if body["trading"]["source"] else ""
    print(f"trading is {body['trading']['state']}{source}")
    for row in body["instrument_states"]:
        print(f"  {row['symbol']} is {row['state']}")
    _table("account", _MONEY, body["account"]["balances"])
    _table("positions", _POSITION, body["positions"])
    _table("open orders", _ORDER, body["orders"])
    closed = body["closed_orders"]
    _table(f"the last of {counted(closed['count'], 'order')} that were over", _ORDER, closed["last"])
    strategies = [
        {
            **row,
            "instruments": " ".join(row.get("instruments", ())),
            "parameters": " ".join(
                f"{name}={_as_typed(value)}" for name, value in row.get("parameters", {}).items()
            ),
            "state": "runs" if row["running"] else f"stopped: {row['reason']}",
        }
        for row in body["strategies"]
    ]
    _table("strategies", ("strategy_id", "kind", "instruments", "parameters", "state"), strategies)
    limits = body["risk"]["limits"]
    _table("limits", ("name", "value", "set_by"), limits)


def _as_typed(value: object) -> str:
    """Return a value as `--param` takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _table(title: str, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    print(f"\n{title}")
    print_table(columns, [[row.get(name) for name in columns] for row in rows])
