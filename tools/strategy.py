"""`taped strategy`: lists, starts, changes and stops strategies on a running daemon."""

from __future__ import annotations

import argparse
from typing import Any

from tools import client
from tools.output import UsageError, print_json, print_table
from tools.parameters import parse_pairs

_PATH = "/api/v1/strategies"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its acts."""
    parser = commands.add_parser(
        "strategy",
        help="list, start, change and stop strategies on a running daemon",
        description="Lists, starts, changes and stops strategies; each is an event, and lasts over restarts.",
    )
    acts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, run_act, text in (
        ("list", _list, "Lists the strategies that run or ran, and why one stopped."),
        ("kinds", _kinds, "Lists what can be started, with its parameters."),
    ):
        shown = acts.add_parser(name, help=text[0].lower() + text[1:].rstrip("."), description=text)
        client.add_arguments(shown)
        shown.set_defaults(run=run_act)
    _add_start(acts)
    change = acts.add_parser(
        "set",
        help="give a running strategy other parameters",
        description="Gives a running strategy other parameters; those not named stay.",
    )
    change.add_argument("strategy_id", metavar="NAME")
    _add_parameters(change)
    client.add_arguments(change)
    change.set_defaults(run=_set)
    stop = acts.add_parser(
        "stop", help="stop a strategy", description="Stops a strategy and cancels its orders."
    )
    stop.add_argument("strategy_id", metavar="NAME")
    client.add_arguments(stop)
    stop.set_defaults(run=_stop)


def _add_start(acts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = acts.add_parser(
        "start",
        help="start a strategy",
        description="Starts a strategy, warmed up with the market that the daemon remembers.",
    )
    parser.add_argument("strategy_id", metavar="NAME", help="what it shall be called")
    parser.add_argument("--kind", required=True, help="as `taped strategy kinds` lists them")
    parser.add_argument(
        "--instrument", action="append", required=True, help="symbol or SYMBOL@VENUE; may be repeated"
    )
    _add_parameters(parser)
    client.add_arguments(parser)
    parser.set_defaults(run=_start)


def _add_parameters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="a parameter; may be repeated"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the act that was asked for."""
    return int(arguments.run(arguments))


def _list(arguments: argparse.Namespace) -> int:
    document = client.from_arguments(arguments).get(_PATH).document
    if arguments.json:
        print_json(document)
    elif document["strategies"]:
        print_table(
            ("strategy", "kind", "state", "share", "instruments", "parameters", "reason"),
            [_row(strategy) for strategy in document["strategies"]],
        )
    else:
        print("no strategy has run; `taped strategy kinds` lists what there is")
    return 0


def _row(strategy: dict[str, Any]) -> tuple[Any, ...]:
    return (
        strategy["strategy_id"],
        strategy["kind"],
        "running" if strategy["running"] else "stopped",
        strategy["share"] or "",
        ", ".join(strategy["instruments"]),
        _text(strategy["parameters"]),
        strategy["reason"],
    )


def _text(parameters: dict[str, Any]) -> str:
    return " ".join(f"{name}={_word(value)}" for name, value in parameters.items())


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _kinds(arguments: argparse.Namespace) -> int:
    document = client.from_arguments(arguments).get(f"{_PATH}/kinds").document
    if arguments.json:
        print_json(document)
        return 0
    for kind in document["kinds"]:
        print(f"{kind['kind']}: {kind['doc']}")
        print_table(
            ("  parameter", "is", "default", "meaning"),
            [(f"  {each['name']}", _range(each), _default(each), each["doc"]) for each in kind["parameters"]],
        )
        print()
    return 0


def _range(parameter: dict[str, Any]) -> str:
    if parameter["choices"]:
        return " or ".join(parameter["choices"])
    low, high = parameter["minimum"], parameter["maximum"]
    if low is None and high is None:
        return str(parameter["type"])
    return f"{parameter['type']} {'' if low is None else low}..{'' if high is None else high}"


def _default(parameter: dict[str, Any]) -> str:
    return "must be given" if parameter["default"] is None else _word(parameter["default"])


def _start(arguments: argparse.Namespace) -> int:
    body = {
        "strategy_id": arguments.strategy_id,
        "kind": arguments.kind,
        "instruments": arguments.instrument,
        "parameters": parse_pairs(arguments.param),
    }
    document = client.from_arguments(arguments, token_needed=True).post(_PATH, body).document
    return _tell(arguments, document)


def _set(arguments: argparse.Namespace) -> int:
    given = parse_pairs(arguments.param)
    if not given:
        raise UsageError("nothing to change", hint="give --param NAME=VALUE")
    path = f"{_PATH}/{client.quoted(arguments.strategy_id)}"
    document = client.from_arguments(arguments, token_needed=True).patch(path, {"parameters": given}).document
    return _tell(arguments, document)


def _tell(arguments: argparse.Namespace, strategy: dict[str, Any]) -> int:
    if arguments.json:
        print_json(strategy)
    else:
        names = ", ".join(strategy["instruments"])
        print(
            f"strategy {strategy['strategy_id']} runs: {strategy['kind']} on {names},"
            f" {_text(strategy['parameters'])}"
        )
    return 0


def _stop(arguments: argparse.Namespace) -> int:
    path = f"{_PATH}/{client.quoted(arguments.strategy_id)}"
    document = client.from_arguments(arguments, token_needed=True).delete(path).document
    if arguments.json:
        print_json(document)
    else:
        print(f"strategy {arguments.strategy_id} is stopped; its orders are being canceled")
    return 0
