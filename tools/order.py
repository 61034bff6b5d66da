"""`taped order`: submits, replaces, cancels and lists orders on a running daemon."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime
from typing import Any

from tools import client
from tools.output import UsageError, print_json, print_table

_COLUMNS = (
    "order",
    "time (UTC)",
    "instrument",
    "side",
    "type",
    "quantity",
    "filled",
    "price",
    "average",
    "status",
)
_PATH = "/api/v1/orders"
_DECIMAL = re.compile(r"[0-9]{1,19}(\.[0-9]{1,18})?", re.ASCII)
_TERMS = {
    "market": ((), ()),
    "limit": (("price",), ("price",)),
    "stop": (("stop_price",), ("stop_price",)),
    "stop_limit": (("price", "stop_price"), ("price", "stop_price")),
    "trailing_stop": ((), ("stop_price", "trail_amount", "trail_percent")),
}
"""By type of order, the prices it needs and those it may have."""
_REPLACEABLE = ("quantity", "price", "stop_price")
_PRICES = ("price", "stop_price", "trail_amount", "trail_percent")
_HINTS = {
    "CASH": "order less; an account without any cash gets some by the setting account.cash, such as"
    " TAPED_ACCOUNT__CASH=USDT=100000, when the daemon starts; `taped status` shows what there is",
    "HALTED": "trading is halted, `taped status` says why",
}
"""What to do about a denial, by the rule that denied."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its acts."""
    parser = commands.add_parser(
        "order",
        help="submit, replace, cancel and list orders on a running daemon",
        description="Submits, replaces, cancels and lists orders on a running daemon. Changes need its token:"
        " --data names its data folder, which holds one.",
    )
    acts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_submit(acts.add_parser("submit", help="place an order; returns when it is durable"))
    _add_replace(acts)
    cancel = acts.add_parser(
        "cancel",
        help="ask for an order's end",
        description="Asks for an order's end and returns when the wish is durable; whether the order was"
        " canceled or filled before is the venue's answer, which `taped order list` shows.",
    )
    cancel.add_argument("order_id", type=_order_id, metavar="ID", help="number of the order")
    client.add_arguments(cancel)
    cancel.set_defaults(run=_cancel)
    listing = acts.add_parser(
        "list",
        help="the latest orders, newest first",
        description="Lists the latest orders, newest first; times are UTC.",
    )
    listing.add_argument("--open", action="store_true", help="only orders that are not over")
    listing.add_argument("--instrument", help="symbol or instrument id")
    listing.add_argument("--venue", help="where the symbol is traded, if at several")
    listing.add_argument("--limit", type=_limit, default=50, help="rows, at most 1000 (default: 50)")
    client.add_arguments(listing)
    listing.set_defaults(run=_list)


def _add_submit(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Places an order. With --client-id the command can be repeated: the same id gives the same order."
        " Exit code 1 when a rule denied it."
    )
    parser.add_argument("--instrument", required=True, help="symbol or instrument id")
    parser.add_argument("--venue", help="where the symbol is traded, if at several")
    parser.add_argument("--side", required=True, choices=("buy", "sell"))
    parser.add_argument("--type", default="limit", choices=tuple(_TERMS), help="(default: limit)")
    parser.add_argument("--quantity", required=True, help="decimal above zero, such as 0.1")
    parser.add_argument("--price", help="of a limit or stop_limit order")
    parser.add_argument("--stop-price", help="of a stop or stop_limit order; where a trail begins")
    parser.add_argument("--trail-amount", help="of a trailing_stop, in units of the price")
    parser.add_argument("--trail-percent", help="of a trailing_stop, instead of --trail-amount")
    parser.add_argument(
        "--time-in-force",
        default="gtc",
        choices=("gtc", "day", "ioc", "fok", "gtd"),
        help="(default: gtc)",
    )
    parser.add_argument(
        "--expires", type=_time, metavar="TIME", help="end of a gtd order, as 2026-01-31T21:00:00Z"
    )
    parser.add_argument("--take-profit", metavar="PRICE", help="also a limit order that closes with profit")
    parser.add_argument("--stop-loss", metavar="PRICE", help="also a stop order that closes at a loss")
    parser.add_argument("--post-only", action="store_true", help="never take liquidity")
    parser.add_argument("--reduce-only", action="store_true", help="never open or turn a position")
    parser.add_argument("--client-id", help="your own id of the order: letters, digits and ._:-")
    parser.add_argument("--tag", default="", help="text for reports")
    client.add_arguments(parser)
    parser.set_defaults(run=_submit)


def run(arguments: argparse.Namespace) -> int:
    """Run the act that was asked for."""
    return int(arguments.run(arguments))


def _submit(arguments: argparse.Namespace) -> int:
    _check(arguments)
    asked = {
        "instrument": arguments.instrument,
        "venue": arguments.venue,
        "side": arguments.side,
        "type": arguments.type,
        "quantity": arguments.quantity,
        **{name: getattr(arguments, name) for name in _PRICES},
        "time_in_force": arguments.time_in_force,
        "expire_ns": arguments.expires,
        "post_only": arguments.post_only,
        "reduce_only": arguments.reduce_only,
        "client_id": arguments.client_id,
        "tag": arguments.tag,
        "take_profit": arguments.take_profit and {"price": arguments.take_profit},
        "stop_loss": arguments.stop_loss and {"stop_price": arguments.stop_loss},
    }
    daemon = client.from_arguments(arguments, token_needed=True)
    order = daemon.post(_PATH, {name: value for name, value in asked.items() if value is not None}).document
    if arguments.json:
        print_json(order)
    else:
        _print_submitted(order)
    return 1 if order["status"] == "denied" else 0


def _check(arguments: argparse.Namespace) -> None:
    """Raise UsageError for an order that no daemon would take, before one is asked."""
    for name in ("quantity", *_PRICES, "take_profit", "stop_loss"):
        _check_decimal(name, getattr(arguments, name))
    kind = arguments.type
    needed, allowed = _TERMS[kind]
    for name in _PRICES:
        flag, given = f"--{name.replace('_', '-')}", getattr(arguments, name) is not None
        if given and name not in allowed:
            raise UsageError(f"a {kind} order has no {flag}", hint="give another --type")
        if not given and name in needed:
            raise UsageError(f"a {kind} order needs a {flag}", hint="or give --type market")
    if kind == "trailing_stop" and (arguments.trail_amount is None) == (arguments.trail_percent is None):
        raise UsageError("a trailing_stop order needs --trail-amount or --trail-percent")
    if (arguments.time_in_force == "gtd") != (arguments.expires is not None):
        raise UsageError("--time-in-force gtd and --expires go together")


def _check_decimal(name: str, text: str | None) -> None:
    if text is not None and not (_DECIMAL.fullmatch(text) and text.strip("0.")):
        flag = f"--{name.replace('_', '-')}"
        raise UsageError(f"{flag} {text!r}: expected a decimal above zero, such as 0.1")


def _print_submitted(order: dict[str, Any]) -> None:
    if order["status"] == "denied":
        print(f"order {order['order_id']} was denied by {order['rule']}: {order['reason']}")
        if order["rule"] in _HINTS:
            print(f"hint: {_HINTS[order['rule']]}")
        return
    print(f"order {order['order_id']} {order['status']}: {_terms(order)} ({order['client_order_id']})")
    for child in order["children"]:
        print(f"order {child['order_id']} {child['status']}: {_terms(child)}, once that has filled")
    if order["status"] == "submitted":
        print("the venue's answer follows in `taped order list`")


def _terms(order: dict[str, Any]) -> str:
    words = [order["side"], order["quantity"], order["symbol"]]
    words += [f"at {order['price']}"] if order["price"] else []
    words += [f"stop {order['stop_price']}"] if order["stop_price"] else []
    words += [f"trail {order['trail_amount']}"] if order["trail_amount"] else []
    words += [f"trail {order['trail_percent']} %"] if order["trail_percent"] else []
    return " ".join(words)


def _add_replace(acts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = acts.add_parser(
        "replace",
        help="ask for other terms of an order",
        description="Asks for other terms of an order; they hold when the venue says so. Exit code 1 when a"
        " rule denied them: the order then goes on as before.",
    )
    parser.add_argument("order_id", type=_order_id, metavar="ID", help="number of the order")
    for name in _REPLACEABLE:
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="DECIMAL")
    client.add_arguments(parser)
    parser.set_defaults(run=_replace)


def _replace(arguments: argparse.Namespace) -> int:
    asked = {name: getattr(arguments, name) for name in _REPLACEABLE if getattr(arguments, name) is not None}
    for name, text in asked.items():
        _check_decimal(name, text)
    if not asked:
        raise UsageError("nothing to change", hint="give --quantity, --price or --stop-price")
    daemon = client.from_arguments(arguments, token_needed=True)
    answer = daemon.patch(f"{_PATH}/{arguments.order_id}", asked).document
    if arguments.json:
        print_json(answer)
    elif answer["status"] == "denied":
        print(f"denied by {answer['rule']}: {answer['reason']}; order {arguments.order_id} goes on as before")
    else:
        print(f"order {arguments.order_id}: the change is on its way to the venue")
    return 1 if answer["status"] == "denied" else 0


def _cancel(arguments: argparse.Namespace) -> int:
    answer = (
        client.from_arguments(arguments, token_needed=True).delete(f"{_PATH}/{arguments.order_id}").document
    )
    if arguments.json:
        print_json(answer)
    else:
        print(f"order {answer['order_id']}: the cancel is on its way to the venue")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    parameters = {
        "open": "true" if arguments.open else "false",
        "instrument": arguments.instrument,
        "venue": arguments.venue,
        "limit": arguments.limit,
    }
    document = client.from_arguments(arguments).get(_PATH, parameters).document
    if arguments.json:
        print_json(document)
    elif document["orders"]:
        _print_list(document["orders"])
    else:
        print("no open order" if arguments.open else "no order")
    return 0


def _print_list(orders: list[dict[str, Any]]) -> None:
    """Print orders as a table, with the reasons behind where there are any."""
    columns, rows = list(_COLUMNS), [_row(order) for order in orders]
    reasons = [_reason(order) for order in orders]
    if any(reasons):
        columns.append("reason")
        rows = [[*row, reason] for row, reason in zip(rows, reasons, strict=True)]
    print_table(columns, rows)


def _reason(order: dict[str, Any]) -> str:
    return ": ".join(part for part in (order["rule"], order["reason"]) if part)


def _row(order: dict[str, Any]) -> list[object]:
    created = datetime.fromtimestamp(order["created_ns"] / 1e9, tz=UTC)
    return [
        str(order["order_id"]),
        f"{created:%Y-%m-%d %H:%M:%S}",
        order["symbol"],
        order["side"],
        order["type"],
        order["quantity"],
        order["filled_quantity"],
        order["price"] or order["stop_price"] or order["trail_amount"] or _percent(order),
        order["average_price"],
        order["status"],
    ]


def _percent(order: dict[str, Any]) -> str | None:
    return f"{order['trail_percent']} %" if order["trail_percent"] else None


def _order_id(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no order id, which is a number")
    return int(text)


def _time(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time with a zone, such as 2026-01-31T21:00:00Z")
    return int(moment.timestamp()) * 10**9 + moment.microsecond * 1000


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 1000):  # noqa: PLR2004  # as the API
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000")
    return int(text)
