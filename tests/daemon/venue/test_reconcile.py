"""Each difference between a venue's books and ours is an event: applied where it can be explained."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.trading.core import Core
from daemon.trading.orders import Order
from daemon.venue.live import VenueFill, VenueOrder, VenueStatus
from daemon.venue.news import news
from daemon.venue.paper.books import PaperBooks
from daemon.venue.reconcile import Reconciler, expected_balances
from schemas.events import (
    AssetClass,
    CancelRequested,
    Liquidity,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderSubmitted,
    ReconciliationFound,
    ReconciliationKind,
    ReplaceRequested,
    TradingState,
)
from tests.daemon.venue.tape import BUY, JOURNAL, SELL, Tape, deposit, fills, instrument, order, quote, trade

ONE = 10**18


class Books:
    """A venue's books that a test writes."""

    def __init__(self):
        self.orders: dict[str, VenueOrder] = {}
        self.fills: list[VenueFill] = []
        self.money = None
        self.during = lambda: None

    async def find(self, client_order_id):
        return self.orders.get(client_order_id)

    async def open_orders(self):
        self.during()
        return [order for order in self.orders.values() if not order.is_over]

    async def fills_since(self, since_ns):
        return self.fills

    async def balances(self):
        return self.money


class Rig:
    """A core with one working order, and the venue that has it too."""

    def __init__(self):
        self.core = Core(JOURNAL, venue="elsewhere")
        coin = {"asset_class": AssetClass.CRYPTO, "base_currency": "BTC", "quantity_scale": 4}
        self.core.run([instrument(**coin), deposit("1000")])
        self.core.run([trade(100)])
        (_, submitted), _ = self.core.run([order(BUY, 10, 99)])
        self.made = self.core.orders[submitted.order_id]
        self.core.run(
            [OrderAccepted(ts_ns=1, received_ns=1, order_id=self.made.order_id, venue_order_id="V1")]
        )
        self.books = Books()
        self.there = self.books.orders[self.made.client_order_id] = VenueOrder(
            client_order_id=self.made.client_order_id,
            venue_order_id="V1",
            instrument_id=1,
            status=VenueStatus.WORKING,
            quantity=10,
            filled_quantity=0,
            price=99,
            stop_price=None,
            ts_ns=3,
        )
        self.told = []
        self.busy = set()
        self.reconciler = Reconciler(
            self.books, self.core, self.take, is_busy=lambda order_id: order_id in self.busy
        )

    def take(self, events):
        self.told += events
        self.core.run(events)

    def change(self, **changes):
        self.there = self.books.orders[self.made.client_order_id] = replace(self.there, **changes)

    def fill(self, quantity=4, **changes):
        self.books.fills.append(
            VenueFill(
                **{
                    "client_order_id": self.made.client_order_id,
                    "venue_trade_id": f"T{len(self.books.fills)}",
                    "instrument_id": 1,
                    "side": BUY,
                    "price": 99,
                    "quantity": quantity,
                    "fee": 0,
                    "fee_scale": 0,
                    "fee_currency": "USD",
                    "liquidity": Liquidity.MAKER,
                    "ts_ns": 4,
                    **changes,
                }
            )
        )

    async def twice(self):
        return [await self.reconciler.look(), await self.reconciler.look()]


@pytest.fixture
def rig():
    return Rig()


def found(events):
    return [(event.kind.name, event.explained) for event in events if isinstance(event, ReconciliationFound)]


async def test_books_that_agree_tell_nothing(rig):
    rig.books.money = {"USD": 1000 * ONE}
    assert await rig.twice() == [0, 0]
    assert rig.told == []


async def test_a_missed_fill_is_told_and_applied_once(rig):
    rig.fill()
    rig.change(filled_quantity=4)
    assert await rig.twice() == [1, 0]
    assert found(rig.told) == [("ORDER", True)]
    assert fills(rig.told) == [(99, 4, Liquidity.MAKER)]
    assert rig.made.filled_quantity == 4


async def test_an_order_that_is_over_at_the_venue_ends_here_after_its_fills(rig):
    rig.fill()
    rig.change(filled_quantity=4, status=VenueStatus.CANCELED, reason="by the venue")
    await rig.twice()
    assert [type(event) for event in rig.told] == [ReconciliationFound, OrderFilled, OrderCanceled]
    assert (rig.made.status.name, rig.made.filled_quantity) == ("CANCELED", 4)
    assert rig.core.trading_state is TradingState.ACTIVE


async def test_a_fill_of_an_order_that_is_over_here_is_applied(rig):
    rig.take([OrderCanceled(ts_ns=2, received_ns=2, order_id=rig.made.order_id, reason="x")])
    rig.change(status=VenueStatus.CANCELED, filled_quantity=4)
    rig.fill()
    await rig.twice()
    assert found(rig.told) == [("FILL", True)]
    assert rig.core.positions[1].quantity == 4


async def test_what_cannot_be_explained_is_told_when_seen_again_and_halts_the_instrument(rig):
    del rig.books.orders[rig.made.client_order_id]
    assert await rig.twice() == [0, 1]
    assert found(rig.told) == [("ORDER", False)]
    assert rig.core.instrument_states == {1: TradingState.HALTED}
    assert await rig.twice() == [0, 0], "it was told before"


async def test_a_difference_that_goes_away_is_not_told(rig):
    kept = rig.books.orders.pop(rig.made.client_order_id)
    assert await rig.reconciler.look() == 0
    rig.books.orders[rig.made.client_order_id] = kept
    assert await rig.twice() == [0, 0]
    assert rig.told == []


@pytest.mark.parametrize("client_order_id", ["somebody-7", "x", f"{JOURNAL[:8]}-999"])
async def test_an_order_of_nobody_here_is_not_explained(rig, client_order_id):
    rig.books.orders["x"] = replace(rig.there, client_order_id=client_order_id)
    await rig.twice()
    assert found(rig.told) == [("ORDER", False)]


async def test_a_fill_of_nobody_here_is_not_explained(rig):
    rig.fill(client_order_id="somebody-7")
    await rig.twice()
    assert found(rig.told) == [("FILL", False)]


async def test_terms_that_nobody_asked_for_are_not_explained(rig):
    rig.change(price=98)
    await rig.twice()
    assert found(rig.told) == [("ORDER", False)]
    assert rig.made.price == 99


async def test_an_order_that_moved_during_the_look_or_is_under_way_is_not_compared(rig):
    rig.change(price=98)
    request = CancelRequested(ts_ns=9, order_id=rig.made.order_id, source="operator:t")
    rig.books.during = lambda: rig.core.run([request])
    await rig.reconciler.look()
    rig.books.during = lambda: None
    rig.busy.add(rig.made.order_id)
    await rig.twice()
    assert rig.told == []


async def test_a_balance_that_differs_is_not_explained_and_halts(rig):
    rig.books.money = {"USD": 999 * ONE}
    await rig.twice()
    assert [(e.kind, e.expected, e.found) for e in rig.told if isinstance(e, ReconciliationFound)] == [
        (ReconciliationKind.BALANCE, "1,000 USD".replace(",", ""), "999 USD")
    ]
    assert rig.core.trading_state is TradingState.HALTED


async def test_coins_and_money_of_fills_are_what_the_account_must_hold(rig):
    rig.fill(10)
    rig.change(filled_quantity=10, status=VenueStatus.FILLED)
    await rig.reconciler.look()
    assert expected_balances(rig.core) == {"USD": 1000 * ONE - 99 * 10 * 10**12, "BTC": ONE // 1000}


async def test_what_no_journal_can_hold_is_left_out(rig):
    rig.fill(price=2**70)
    rig.change(filled_quantity=4)
    assert await rig.twice() == [0, 0]


async def test_the_paper_venue_and_the_core_agree_and_a_lost_order_is_found():
    tape = Tape().start(instrument(), deposit())
    tape.take(quote(99, 101, 5, 5))
    tape.take(order(BUY, 5, 98), order(SELL, 9), order(BUY, 8, 99))
    told = []
    reconciler = Reconciler(PaperBooks(tape.venue, tape.core), tape.core, told.extend)
    assert await reconciler.look() == 0
    working = next(iter(tape.venue.matching.working.values()))
    tape.venue.matching.remove(working, tape.venue.market_of(working))
    assert [await reconciler.look(), await reconciler.look()] == [0, 1]
    assert found(told) == [("ORDER", False)]


def test_an_order_that_its_own_replace_filled_is_filled_here_too():
    request = order(BUY, 10, 99)
    ours = Order(1, request, request.quantity, request.price, None)
    ours.apply(OrderSubmitted(ts_ns=1, order_id=1, client_order_id="c-1", venue="v"))
    ours.apply(OrderAccepted(ts_ns=1, received_ns=1, order_id=1, venue_order_id="V1"))
    ours.apply(
        ReplaceRequested(ts_ns=1, order_id=1, quantity=4, price=None, stop_price=None, source="operator:t")
    )
    found = VenueOrder(
        client_order_id="c-1",
        venue_order_id="V1",
        instrument_id=request.instrument_id,
        status=VenueStatus.FILLED,
        quantity=4,
        filled_quantity=4,
        price=request.price,
        stop_price=None,
        ts_ns=2,
        reason="",
    )
    fill = VenueFill(
        client_order_id="c-1",
        venue_trade_id="t1",
        instrument_id=request.instrument_id,
        side=BUY,
        price=request.price,
        quantity=4,
        fee=0,
        fee_scale=0,
        fee_currency="USD",
        liquidity=Liquidity.MAKER,
        ts_ns=2,
    )
    for event in news(ours, found, [fill], received_ns=3):
        ours.apply(event)
    assert (ours.status.name, ours.quantity, ours.filled_quantity) == ("FILLED", 4, 4)
