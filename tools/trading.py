"""`taped trading`: shows and sets what trading is allowed on a running daemon, kill switch included."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from tools import client
from tools.output import print_json, print_table

_PATH = "/api/v1/trading"
_INSTRUMENTS = "/api/v1/instruments"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its acts."""
    parser = commands.add_parser(
        "trading",
        help="halt, reduce, resume and kill trading on a running daemon",
        description="Shows and sets what trading is allowed. A halt lets no order leave, a reduction only"
        " those that make a position smaller; both last until they are resumed, restarts included.",
    )
    acts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    show = acts.add_parser(
        "show", help="what is allowed, why and since when", description="Shows the states."
    )
    client.add_arguments(show)
    show.set_defaults(run=_show)
    for act, text in (
        ("halt", "Lets no order leave any more; orders at the venue stay."),
        ("reduce", "Lets only orders leave that make a position smaller."),
        ("resume", "Allows everything again."),
    ):
        _add_act(acts, act, text)
    kill = _add_act(
        acts, "kill", "Halts, cancels every order, and with --flatten closes every position at the market."
    )
    kill.add_argument("--flatten", action="store_true", help="close every position, too")


def _add_act(
    acts: argparse._SubParsersAction[argparse.ArgumentParser], act: str, text: str
) -> argparse.ArgumentParser:
    parser = acts.add_parser(act, help=text[0].lower() + text[1:].rstrip("."), description=text)
    parser.add_argument("reason", help="why, for the journal and for whoever looks next")
    if act in ("halt", "resume"):
        parser.add_argument("--instrument", help="only this one: a symbol, or SYMBOL@VENUE")
    client.add_arguments(parser)
    parser.set_defaults(run=_set, act=act)
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Run the act that was asked for."""
    return int(arguments.run(arguments))


def _show(arguments: argparse.Namespace) -> int:
    document = client.from_arguments(arguments).get(_PATH).document
    if arguments.json:
        print_json(document)
        return 0
    rows = [("all", document), *((f"{row['symbol']}@{row['venue']}", row) for row in document["instruments"])]
    print_table(
        ("of", "state", "since (UTC)", "by", "reason"),
        [
            (name, row["state"], _time(row), row["source"] or None, row["reason"] or None)
            for name, row in rows
        ],
    )
    return 0


def _time(row: dict[str, Any]) -> str | None:
    if row["since_ns"] is None:
        return None
    return f"{datetime.fromtimestamp(row['since_ns'] / 1e9, tz=UTC):%Y-%m-%d %H:%M:%S}"


def _set(arguments: argparse.Namespace) -> int:
    instrument = getattr(arguments, "instrument", None)
    path = f"{_PATH}/{arguments.act}" if instrument is None else _path_of(instrument, arguments.act)
    body: dict[str, Any] = {"reason": arguments.reason}
    if arguments.act == "kill":
        body["flatten"] = arguments.flatten
    document = client.from_arguments(arguments, token_needed=True).post(path, body).document
    if arguments.json:
        print_json(document)
        return 0
    of = "trading" if instrument is None else f"{document['symbol']}@{document['venue']}"
    print(f"{of} is {document['state']} from seq {document['seq']} on: {document['reason']}")
    if arguments.act == "kill":
        print(f"{document['cancels']} cancels are on their way to the venue; `taped order list --open`")
        if arguments.flatten:
            print("positions are closed once the orders on them have ended; `taped status` shows them")
    return 0


def _path_of(instrument: str, act: str) -> str:
    return f"{_INSTRUMENTS}/{client.quoted(instrument)}/{act}"
