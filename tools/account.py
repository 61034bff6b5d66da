"""`taped account`: shows the account of a running daemon, books deposits and withdrawals."""

from __future__ import annotations

import argparse

from tools import client
from tools.output import print_json, print_table
from tools.status import MONEY, NO_CASH, cents

_PATH = "/api/v1/account"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its acts."""
    parser = commands.add_parser(
        "account",
        help="show the account of a running daemon, book deposits and withdrawals",
        description="Shows the account, and books what was paid in or out; that needs an admin's token.",
    )
    acts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    show = acts.add_parser("show", help="cash and equity by currency", description="Shows the account.")
    client.add_arguments(show)
    show.set_defaults(run=_show)
    for act, word in (("deposit", "in"), ("withdraw", "out")):
        paid = acts.add_parser(
            act, help=f"book money paid {word}", description=f"Books money that was paid {word}."
        )
        paid.add_argument("currency", help="such as USDT")
        paid.add_argument("amount", help="decimal above zero, such as 1000.50")
        client.add_arguments(paid)
        paid.set_defaults(run=_pay, act=act)


def run(arguments: argparse.Namespace) -> int:
    """Run the act that was asked for."""
    return int(arguments.run(arguments))


def _show(arguments: argparse.Namespace) -> int:
    document = client.from_arguments(arguments).get(_PATH).document
    if arguments.json:
        print_json(document)
    elif document["balances"]:
        print_table(
            ("currency", *MONEY),
            [[row["currency"], *(cents(row[name]) for name in MONEY)] for row in document["balances"]],
        )
    else:
        print(NO_CASH)
    return 0


def _pay(arguments: argparse.Namespace) -> int:
    body = {"currency": arguments.currency, "amount": arguments.amount}
    daemon = client.from_arguments(arguments, token_needed=True)
    document = daemon.post(f"{_PATH}/{arguments.act}", body).document
    if arguments.json:
        print_json(document)
    else:
        word = {"deposit": "deposit", "withdraw": "withdrawal"}[arguments.act]
        print(f"{word} of {arguments.amount} {arguments.currency} is booked")
    return 0
