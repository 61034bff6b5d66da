"""`taped status`: asks a running daemon how it is. Exit code 1 when it is not well."""

from __future__ import annotations

import argparse
from typing import Any

from tools import client
from tools.output import print_json, print_table

MONEY = ("cash", "equity", "unrealised", "realised", "fees")
NO_CASH = "no cash; give it some by the setting account.cash, such as TAPED_ACCOUNT__CASH=USDT=100000"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "status",
        help="ask a running daemon how it is",
        description="Asks a running daemon how it is. Exit code 0: well; 1: degraded, failed or not there.",
    )
    client.add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the daemon's state, account and positions."""
    daemon = client.from_arguments(arguments)
    status = daemon.get("/api/v1/status").document
    account = daemon.get("/api/v1/account").document
    positions = daemon.get("/api/v1/positions").document["positions"]
    if arguments.json:
        print_json({**status, "account": account, "positions": positions})
    else:
        _print(daemon.url, status, account, positions)
    return 0 if status["health"] == "ok" else 1


def _print(
    url: str, status: dict[str, Any], account: dict[str, Any], positions: list[dict[str, Any]]
) -> None:
    trading = status["trading"]
    reason = f" ({trading['reason']})" if trading["reason"] else ""
    print(f"taped {status['version']} at {url} is {status['health']}")
    for found in status["reasons"]:
        print(f"  {found}")
    print(f"journal   {status['journal_id']}, durable up to {status['durable_seq']:,}")
    print(f"shown     up to {status['applied_seq']:,}, {status['lag']:,} events behind")
    print(f"trading   {trading['state']}{reason}")
    print(f"orders    {status['orders_working']} working, {status['instruments']} instruments")
    if not account["balances"]:
        print(f"account   {NO_CASH}")
    else:
        print()
        print_table(
            ("currency", *MONEY),
            [[row["currency"], *(cents(row[name]) for name in MONEY)] for row in account["balances"]],
        )
    if positions:
        print()
        _print_positions(positions)


def _print_positions(positions: list[dict[str, Any]]) -> None:
    print_table(
        ("instrument", "quantity", "average", "market", "unrealised", "realised"),
        [
            [
                *(row[name] for name in ("symbol", "quantity", "average_price", "market_price")),
                *(cents(row[name]) for name in ("unrealised", "realised")),
            ]
            for row in positions
        ],
    )


def cents(text: str) -> str:
    """Return decimal text of money for people: cut, not rounded, after two decimals, thousands grouped."""
    whole, _, fraction = text.removeprefix("-").partition(".")
    shown = f"{int(whole):,}.{fraction[:2]:0<2}"
    return f"-{shown}" if text.startswith("-") and shown != "0.00" else shown
