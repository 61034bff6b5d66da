"""One order as a row of the table `orders`, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import apsw
import msgspec

from daemon.readmodel.database import storable
from daemon.trading.orders import Order, OrderStatus
from schemas.events import (
    Event,
    OrderAccepted,
    OrderRequested,
    OrderSubmitted,
    OrderType,
    ReplaceRequested,
    Side,
    TimeInForce,
)

COLUMNS = 41
_REQUEST = (
    "instrument_id", "side", "order_type", "trail_amount", "trail_ppm", "time_in_force", "expire_ns",
    "post_only", "reduce_only", "source", "strategy_id", "client_id", "parent_id", "oco_group", "tag",
)  # fmt: skip
_to_json = msgspec.json.Encoder().encode
_replacing = msgspec.json.Decoder(ReplaceRequested).decode
_TERMS = ("quantity", "price", "stop_price")


@dataclass(slots=True)
class OrderRow:
    """An order and what only its row has.

    `client_id` is that of the request, or None where a former order has it.
    """

    order: Order
    client_id: str | None
    updated_seq: int
    submitted_ns: int | None = None
    accepted_ns: int | None = None
    closed_ns: int | None = None

    def follow(self, seq: int, event: Event) -> None:
        """Note when an event that counted came."""
        self.updated_seq = seq
        if isinstance(event, OrderSubmitted):
            self.submitted_ns = event.ts_ns
        elif isinstance(event, OrderAccepted) and self.accepted_ns is None:
            self.accepted_ns = event.ts_ns
        if self.order.status.is_terminal and self.closed_ns is None:
            self.closed_ns = event.ts_ns


def order_values(row: OrderRow) -> tuple[Any, ...]:
    """Return the row in the order of the table's columns."""
    order = row.order
    request = order.request
    return (
        order.order_id, row.client_id, order.client_order_id or None, order.venue_order_id or None,
        order.venue or None, request.instrument_id, request.strategy_id, request.source, request.tag,
        request.side, request.order_type, order.quantity, order.price, order.stop_price,
        request.quantity, request.price, request.stop_price, request.trail_amount, request.trail_ppm,
        request.time_in_force, request.expire_ns, request.post_only, request.reduce_only, request.parent_id,
        request.oco_group, order.status.name, int(not order.status.is_terminal), order.filled_quantity,
        str(order.filled_value), storable(order.excess_quantity), order.trigger_price,
        None if order.replacing is None else _to_json(order.replacing).decode(), order.canceling or None,
        order.rule or None, order.reason or None, request.ts_ns, row.submitted_ns, row.accepted_ns,
        row.closed_ns, order.updated_ns, row.updated_seq,
    )  # fmt: skip


def load_order(connection: apsw.Connection, order_id: int) -> OrderRow | None:
    """Read an order back; None when there is no such order."""
    found = connection.execute("SELECT * FROM orders WHERE order_id = ?", (order_id,))
    try:
        names = [column[0] for column in found.get_description()]
    except apsw.ExecutionCompleteError:
        return None
    row: dict[str, Any] = dict(zip(names, found.get, strict=True))
    told = {name: row[name] for name in _REQUEST}
    told.update((name, row[f"requested_{name}"]) for name in _TERMS)
    told["side"], told["order_type"] = Side(row["side"]), OrderType(row["order_type"])
    told["time_in_force"] = TimeInForce(row["time_in_force"])
    told["post_only"], told["reduce_only"] = bool(row["post_only"]), bool(row["reduce_only"])
    trade_ids = connection.execute("SELECT venue_trade_id FROM fills WHERE order_id = ?", (order_id,))
    order = Order(
        order_id,
        OrderRequested(ts_ns=row["requested_ns"], **told),
        row["quantity"],
        row["price"],
        row["stop_price"],
        status=OrderStatus[row["status"]],
        client_order_id=row["client_order_id"] or "",
        venue=row["venue"] or "",
        venue_order_id=row["venue_order_id"] or "",
        filled_quantity=row["filled_quantity"],
        filled_value=int(row["filled_value"]),
        excess_quantity=int(row["excess_quantity"]),
        trigger_price=row["trigger_price"],
        replacing=None if row["replacing"] is None else _replacing(row["replacing"]),
        canceling=row["canceling"] or "",
        trade_ids={trade_id for (trade_id,) in trade_ids},
        rule=row["rule"] or "",
        reason=row["reason"] or "",
        updated_ns=row["updated_ns"],
    )
    return OrderRow(
        order, row["client_id"], row["updated_seq"], row["submitted_ns"], row["accepted_ns"], row["closed_ns"]
    )
