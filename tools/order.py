"""`taped order`: submits, cancels and lists orders on a running daemon."""

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
_HINTS = {
    "CASH": "order less; an account without any cash gets some by the setting account.cash, such as"
    " TAPED_ACCOUNT__CASH=USDT=100000, when the daemon starts; `taped status` shows what there is",
    "HALTED": "trading is halted, `taped status` says why",
}
"""What to do about a denial, by the rule that denied."""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its three acts."""
    parser = commands.add_parser(
        "order",
        help="submit, cancel and list orders on a running daemon",
        description="Submits, cancels and lists orders on a running daemon. Submit and cancel need its token:"
        " --data names its data folder, which holds one.",
    )
    acts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_submit(acts.add_parser("submit", help="place an order; returns when it is durable"))
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
    parser.add_argument("--type", default="limit", choices=("market", "limit"), help="(default: limit)")
    parser.add_argument("--quantity", required=True, help="decimal above zero, such as 0.1")
    parser.add_argument("--price", help="of a limit order, decimal; a market order has none")
    parser.add_argument(
        "--time-in-force", default="gtc", choices=("gtc", "ioc", "fok"), help="(default: gtc)"
    )
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
        "price": arguments.price,
        "time_in_force": arguments.time_in_force,
        "post_only": arguments.post_only,
        "reduce_only": arguments.reduce_only,
        "client_id": arguments.client_id,
        "tag": arguments.tag,
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
    for name in ("quantity", "price"):
        text = getattr(arguments, name)
        if text is not None and not (_DECIMAL.fullmatch(text) and text.strip("0.")):
            raise UsageError(f"--{name} {text!r}: expected a decimal above zero, such as 0.1")
    if arguments.type == "limit" and arguments.price is None:
        raise UsageError("a limit order needs a --price", hint="or give --type market")
    if arguments.type == "market" and arguments.price is not None:
        raise UsageError("a market order has no --price", hint="or give --type limit")


def _print_submitted(order: dict[str, Any]) -> None:
    if order["status"] == "denied":
        print(f"order {order['order_id']} was denied by {order['rule']}: {order['reason']}")
        if order["rule"] in _HINTS:
            print(f"hint: {_HINTS[order['rule']]}")
        return
    terms = f"{order['side']} {order['quantity']} {order['symbol']}"
    price = f" at {order['price']}" if order["price"] else ""
    print(f"order {order['order_id']} {order['status']}: {terms}{price} ({order['client_order_id']})")
    if order["status"] == "submitted":
        print("the venue's answer follows in `taped order list`")


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
        order["price"],
        order["average_price"],
        order["status"],
    ]


def _order_id(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no order id, which is a number")
    return int(text)


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 1000):  # noqa: PLR2004  # as the API
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000")
    return int(text)
