"""Builders of events for the core's tests, and a run of core and paper venue as the engine drives them."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from daemon.trading.core import Core
from daemon.trading.gate import hold_back
from daemon.venue.paper import PaperVenue
from schemas.events import (
    AssetClass,
    ClockTicked,
    Event,
    InstrumentDefined,
    OperatorCommand,
    OrderRequested,
    OrderType,
    Quote,
    Side,
    Trade,
)

JOURNAL = "0123456789abcdef0123456789abcdef"


def instrument(instrument_id: int = 1, **fields) -> InstrumentDefined:
    terms = {
        "ts_ns": 0,
        "instrument_id": instrument_id,
        "symbol": f"I{instrument_id}",
        "venue": "V",
        "asset_class": AssetClass.EQUITY,
        "base_currency": f"I{instrument_id}",
        "quote_currency": "USD",
        "price_scale": 2,
        "quantity_scale": 0,
    }
    return InstrumentDefined(**{**terms, **fields})


def trade(price: int, quantity: int = 10, *, instrument_id: int = 1, ts_ns: int = 1, **fields) -> Trade:
    return Trade(
        ts_ns=ts_ns, received_ns=ts_ns, instrument_id=instrument_id, price=price, quantity=quantity, **fields
    )


def quote(
    bid, ask, *, bid_quantity=None, ask_quantity=None, instrument_id: int = 1, ts_ns: int = 1, **fields
) -> Quote:
    return Quote(
        ts_ns=ts_ns,
        received_ns=ts_ns,
        instrument_id=instrument_id,
        bid_price=bid,
        bid_quantity=bid_quantity,
        ask_price=ask,
        ask_quantity=ask_quantity,
        **fields,
    )


def order(side: Side = Side.BUY, quantity: int = 10, *, instrument_id: int = 1, **fields) -> OrderRequested:
    kind = OrderType.LIMIT if fields.get("price") is not None else OrderType.MARKET
    return OrderRequested(
        **{
            "ts_ns": 1,
            "instrument_id": instrument_id,
            "side": side,
            "order_type": kind,
            "quantity": quantity,
            "source": "operator:test",
            **fields,
        }
    )


def command(name: str, **arguments) -> OperatorCommand:
    named = {key.replace("__", "."): value for key, value in arguments.items()}
    return OperatorCommand(ts_ns=1, who="test", role="admin", command=name, arguments=named)


def deposit(amount: str = "1000000", currency: str = "USD") -> OperatorCommand:
    return command("account.deposit", currency=currency, amount=amount)


def tick(ts_ns: int = 1) -> ClockTicked:
    return ClockTicked(ts_ns=ts_ns, synchronized=True)


class Desk:
    """Core and paper venue; keeps every input and the merged stream as the journal would."""

    def __init__(self, core: Core | None = None, **fees) -> None:
        self.core = Core(JOURNAL) if core is None else core
        self.venue = PaperVenue(**fees)
        self.inputs: list[Event] = []
        self.merged: list[Event] = []

    def take(self, *events: Event) -> list[Event]:
        """Take inputs together; return all that came of them, reports included."""
        start = len(self.merged)
        waiting: Sequence[Event] = events
        while waiting:
            first_seq = self.core.next_seq
            self.inputs += waiting
            merged, effects = self.core.run(list(waiting))
            self.merged += merged
            reports = self.venue.on_market(merged, first_seq)
            leaving, held_back = hold_back(effects, self.core, waiting[-1].ts_ns)
            reports += held_back + self.venue.send(leaving, self.core, waiting[-1].ts_ns)
            waiting = reports
        return self.merged[start:]


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    return SimpleNamespace(
        instrument=instrument,
        trade=trade,
        quote=quote,
        order=order,
        command=command,
        deposit=deposit,
        tick=tick,
        Desk=Desk,
        journal=JOURNAL,
    )


@pytest.fixture
def desk() -> Desk:
    """A desk with two instruments and a million USD."""
    fresh = Desk()
    fresh.take(instrument(1), instrument(2), deposit())
    return fresh
