"""What a core knows as the documents people see, shaped as those of the read model; for looks into the past.

What only the read model keeps (when a state began, when a position last changed) is null here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from daemon.api import views
from daemon.trading.core import Core
from daemon.trading.orders import Order
from schemas.decimals import decimal_text
from schemas.events import InstrumentDefined

Document = dict[str, Any]

LAST_CLOSED = 10
"""Orders that are over are told up to so many, the last ones."""


def state_document(core: Core, *, closed: int = LAST_CLOSED) -> Document:
    """Return orders, positions, account, trading state and strategies of a core.

    Args:
        core: between two inputs.
        closed: how many of the orders that are over, newest first, behind the open ones.
    """
    contents = core.orders.contents()
    last_closed = contents.closed[-closed:] if closed else ()
    return {
        "trading": {"state": core.trading_state.name.lower(), "source": core.trading_source},
        "instrument_states": [
            {**_names(core.instruments.get(i), i), "state": state.name.lower()}
            for i, state in sorted(core.instrument_states.items())
        ],
        "account": views.account(_accounts(core), _positions(core)),
        "positions": [views.position(row) for row in _positions(core)],
        "prices": [views.price(_price(core, defined)) for defined in core.instruments.values()],
        "orders": list(_orders(core, (*contents.undecided, *contents.held, *contents.working))),
        "closed_orders": {"count": len(contents.closed), "last": list(_orders(core, reversed(last_closed)))},
        "strategies": [*_running(core), *_broken(core)],
    }


def _orders(core: Core, orders: Iterable[Order]) -> Iterator[Document]:
    for order in orders:
        defined = core.instruments.get(order.request.instrument_id)
        yield views.order(_order(order), defined, venue=core.venue)


def _order(order: Order) -> dict[str, Any]:
    request = order.request
    return {
        "order_id": order.order_id,
        "client_order_id": order.client_order_id,
        "client_id": request.client_id,
        "instrument_id": request.instrument_id,
        "venue": order.venue,
        "side": int(request.side),
        "order_type": int(request.order_type),
        "quantity": order.quantity,
        "price": order.price,
        "stop_price": order.stop_price,
        "trail_amount": request.trail_amount,
        "trail_ppm": request.trail_ppm,
        "trigger_price": order.trigger_price,
        "time_in_force": int(request.time_in_force),
        "expire_ns": request.expire_ns,
        "parent_id": request.parent_id,
        "oco_group": request.oco_group,
        "post_only": request.post_only,
        "reduce_only": request.reduce_only,
        "status": order.status.name,
        "filled_quantity": order.filled_quantity,
        "filled_value": order.filled_value,
        "rule": order.rule,
        "reason": order.reason,
        "source": request.source,
        "strategy_id": request.strategy_id,
        "tag": request.tag,
        "requested_ns": request.ts_ns,
        "updated_ns": order.updated_ns,
    }


def _accounts(core: Core) -> list[dict[str, Any]]:
    account = core.account
    return [
        {
            "currency": currency,
            "cash": cash,
            "deposits": account.deposits.get(currency, 0),
            "fees": account.fees.get(currency, 0),
        }
        for currency, cash in account.cash.items()
    ]


def _positions(core: Core) -> list[dict[str, Any]]:
    found = []
    for instrument_id, held in core.positions.items():
        defined = core.instruments[instrument_id]
        found.append(
            {
                **_price(core, defined),
                "venue": defined.venue,
                "quote_currency": defined.quote_currency,
                "multiplier": defined.multiplier,
                "quantity": held.quantity,
                "cost_basis": held.cost_basis,
                "realised": held.realised,
                "updated_ns": None,
            }
        )
    return found


def _price(core: Core, defined: InstrumentDefined) -> dict[str, Any]:
    book = core.books[defined.instrument_id]
    trade, bid, ask = book.trade, book.bid, book.ask
    quoted = [quote.ts_ns for quote in (bid, ask) if quote is not None]
    return {
        "instrument_id": defined.instrument_id,
        "symbol": defined.symbol,
        "price_scale": defined.price_scale,
        "quantity_scale": defined.quantity_scale,
        "last_price": None if trade is None else trade.price,
        "last_quantity": None if trade is None else trade.quantity,
        "trade_ns": None if trade is None else trade.ts_ns,
        "bid_price": None if bid is None else bid.bid_price,
        "bid_quantity": None if bid is None else bid.bid_quantity,
        "ask_price": None if ask is None else ask.ask_price,
        "ask_quantity": None if ask is None else ask.ask_quantity,
        "quote_ns": max(quoted, default=None),
    }


def _running(core: Core) -> Iterator[Document]:
    for strategy_id, runner in core.strategies.items():
        share = core.strategies.share_ppm.get(strategy_id)
        yield {
            "strategy_id": strategy_id,
            "kind": runner.kind,
            "parameters": runner.parameters,
            "instruments": [_name(core.instruments.get(i), i) for i in runner.instrument_ids],
            "running": True,
            "share": None if share is None else decimal_text(share, 6),
            "reason": "",
            "positions": [
                {
                    **_names(core.instruments[i], i),
                    "quantity": decimal_text(holding.quantity, core.instruments[i].quantity_scale),
                    "target": decimal_text(runner.target(i), core.instruments[i].quantity_scale),
                    "earned": views.money(holding.earned),
                }
                for i, holding in runner.holdings.items()
            ],
            "worth": {currency: views.money(worth) for currency, worth in runner.worth().items()},
            "started_seq": runner.since,
        }


def _broken(core: Core) -> Iterator[Document]:
    for strategy_id, reason in core.strategies.broken.items():
        yield {"strategy_id": strategy_id, "running": False, "reason": reason}


def _names(defined: InstrumentDefined | None, instrument_id: int) -> Document:
    return {
        "instrument_id": instrument_id,
        "symbol": defined.symbol if defined else None,
        "venue": defined.venue if defined else None,
    }


def _name(defined: InstrumentDefined | None, instrument_id: int) -> str:
    return f"{defined.symbol}@{defined.venue}" if defined else str(instrument_id)
