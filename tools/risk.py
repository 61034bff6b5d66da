"""`taped risk`: shows and sets the limits of risk on a running daemon."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from tools import client
from tools.output import UsageError, print_json, print_table
from tools.parameters import parse_pairs

_PATH = "/api/v1/risk"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its acts."""
    parser = commands.add_parser(
        "risk",
        help="show and set the limits of risk on a running daemon",
        description="Shows and sets the limits that every order is judged by. What is set here holds over"
        " restarts, until the configuration changes the same limit.",
    )
    acts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, act, text in (
        ("show", _show, "Shows the limits in force, what they are judged by, and pauses."),
        ("known", _known, "Lists every limit there is, and what it may be."),
    ):
        shown = acts.add_parser(name, help=text[0].lower() + text[1:].rstrip("."), description=text)
        client.add_arguments(shown)
        shown.set_defaults(run=act)
    change = acts.add_parser(
        "set",
        help="change limits",
        description="Changes limits; NAME= takes one away. Needs an admin's token.",
    )
    change.add_argument("limits", nargs="+", metavar="NAME=VALUE", help="such as max_order_value=5000")
    client.add_arguments(change)
    change.set_defaults(run=_set)
    reset = acts.add_parser(
        "reset",
        help="begin anew after a loss",
        description="Begins anew: equity now is the peak and the day's, no loss is remembered, no pause"
        " holds. Trading stays as it is; `taped trading resume` is another step.",
    )
    client.add_arguments(reset)
    reset.set_defaults(run=_reset)


def run(arguments: argparse.Namespace) -> int:
    """Run the act that was asked for."""
    return int(arguments.run(arguments))


def _show(arguments: argparse.Namespace) -> int:
    return _print(arguments, client.from_arguments(arguments).get(_PATH).document)


def _known(arguments: argparse.Namespace) -> int:
    known = client.from_arguments(arguments).get(_PATH).document["known"]
    if arguments.json:
        print_json(known)
    else:
        print_table(("limit", "may be"), list(known.items()))
    return 0


def _set(arguments: argparse.Namespace) -> int:
    texts = _texts(arguments.limits)
    daemon = client.from_arguments(arguments, token_needed=True)
    known = daemon.get(_PATH).document["known"]
    limits = {name: _value(name, text, known) for name, text in texts.items()}
    return _print(arguments, daemon.patch(_PATH, {"limits": limits}).document)


def _texts(pairs: list[str]) -> dict[str, str]:
    texts = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not name or not sign:
            raise UsageError(f"{pair}: expected NAME=VALUE, such as max_order_value=5000")
        texts[name] = text
    return texts


def _value(name: str, text: str, known: dict[str, str]) -> Any:
    """Return what the limit takes: an amount stays text, so that no digit is lost."""
    if text == "":
        return None
    whole, dot, _ = name.partition(".")
    if "decimal" in known.get(f"{whole}.NAME" if dot else name, ""):
        return text
    return parse_pairs([f"{name}={text}"])[name]


def _reset(arguments: argparse.Namespace) -> int:
    return _print(
        arguments, client.from_arguments(arguments, token_needed=True).post(f"{_PATH}/reset", {}).document
    )


def _print(arguments: argparse.Namespace, document: dict[str, Any]) -> int:
    if arguments.json:
        print_json(document)
        return 0
    if document["limits"]:
        rows = [(row["name"], row["value"], row["set_by"]) for row in document["limits"]]
        print_table(("limit", "is", "set by"), rows)
    else:
        print("no limit is set; `taped risk known` lists what there is")
    if document["equity"]:
        _print_equity(document["currency"], document["equity"])
    for pause in document["pauses"]:
        of = pause["symbol"] or pause["strategy_id"] or "everything"
        until = datetime.fromtimestamp(pause["until_ns"] / 1e9, tz=UTC)
        print(f"paused: {of} until {until:%Y-%m-%d %H:%M:%S} UTC by {pause['rule']}: {pause['reason']}")
    return 0


def _print_equity(currency: str, equity: dict[str, Any]) -> None:
    print(
        f"equity {equity['equity']} {currency}, peak {equity['peak']},"
        f" drawdown {equity['drawdown_percent']} %, the day began with {equity['day_began_with']}"
    )
    if equity["broken"]:
        print(f"broken: {', '.join(equity['broken'])}")
