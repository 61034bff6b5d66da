"""What a strategy can ask and do: holding a target, its own books, its share of the equity."""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading.core import Core
from daemon.trading.holdings import Holding
from daemon.trading.money import MONEY_ONE
from daemon.trading.strategy import Parameter, Strategy, StrategyError, check_parameters
from schemas.events import (
    CancelRequested,
    OrderDenied,
    OrderHeld,
    OrderReleased,
    OrderRequested,
    OrderType,
    ReplaceRequested,
    Side,
)


class Puppet(Strategy):
    """Does what its `script` says at each trade."""

    kind = "puppet"
    remembers: ClassVar = ()
    script: ClassVar = []

    def on_trade(self, trade):
        for step in self.script:
            step(self.context)


@pytest.fixture
def stage(make):
    """A desk on which a puppet runs, with 1,000,000 USD and quotes of 1,000 at 99 to 101."""
    desk = make.Desk(Core(make.journal, kinds={"puppet": Puppet}))
    desk.take(make.instrument(1), make.instrument(2), make.deposit())
    desk.take(make.command("strategy.start", strategy_id="p", kind="puppet", instruments=["I1"]))
    quote = make.quote(99, 101, bid_quantity=1000, ask_quantity=1000)
    desk.take(quote)

    def act(*steps):
        Puppet.script = list(steps)
        merged = desk.take(make.trade(100, 1))
        Puppet.script = []
        return merged

    desk.act = act
    yield desk
    Puppet.script = []


def requests(merged):
    return [
        (event.side.name, event.quantity, event.tag) for event in merged if isinstance(event, OrderRequested)
    ]


def test_a_target_is_reached_with_one_market_order(stage):
    assert requests(stage.act(lambda context: context.hold(1, 5, tag="up"))) == [("BUY", 5, "up")]
    assert stage.core.strategies["p"].quantity(1) == 5
    assert requests(stage.act(lambda context: context.hold(1, 5))) == []
    assert requests(stage.act(lambda context: context.hold(1, -3))) == [("SELL", 8, "")]


def test_the_last_target_of_a_callback_is_the_one_that_counts(stage):
    merged = stage.act(lambda context: context.hold(1, 5), lambda context: context.hold(1, 7))
    assert requests(merged) == [("BUY", 7, "")]
    merged = stage.act(lambda context: context.hold(1, 2), lambda context: context.hold(1, 7))
    assert requests(merged) == []


def test_a_target_that_moves_while_an_order_works_is_reached_after_its_last_fill(stage, make):
    stage.take(make.quote(99, 101, bid_quantity=4, ask_quantity=4))
    assert requests(stage.act(lambda context: context.hold(1, 10))) == [("BUY", 10, "")]
    assert requests(stage.act(lambda context: context.hold(1, 2))) == []
    assert stage.core.strategies["p"].quantity(1) == 4
    merged = stage.take(make.quote(99, 101, bid_quantity=100, ask_quantity=100))
    assert requests(merged) == [("SELL", 8, "")]
    assert stage.core.strategies["p"].quantity(1) == 2


def test_a_target_is_not_asked_for_again_after_a_denial(stage, make):
    stage.take(make.command("trading.halt", reason="test"))
    assert len(requests(stage.act(lambda context: context.hold(1, 5)))) == 1
    stage.take(make.command("trading.resume", reason="test"))
    assert requests(stage.act()) == []
    assert requests(stage.act(lambda context: context.hold(1, 5))) == [("BUY", 5, "")]


def test_other_orders_of_the_strategy_do_not_hinder_a_target(stage):
    rest = {"order_type": OrderType.LIMIT, "price": 50}
    stage.act(lambda context: context.submit(1, Side.BUY, 1, **rest))
    assert requests(stage.act(lambda context: context.hold(1, 5))) == [("BUY", 5, "")]


def test_an_order_can_be_replaced_and_canceled(stage):
    stage.act(lambda context: context.submit(1, Side.BUY, 1, order_type=OrderType.LIMIT, price=50))
    (order,) = stage.core.strategies["p"].working(1)
    merged = stage.act(lambda context: context.replace(order.order_id, price=60))
    (asked,) = [event for event in merged if isinstance(event, ReplaceRequested)]
    assert (asked.order_id, asked.price, asked.quantity) == (order.order_id, 60, None)
    assert (asked.source, asked.strategy_id) == ("strategy:p", "p")
    merged = stage.act(lambda context: context.cancel(order.order_id))
    assert any(isinstance(event, CancelRequested) for event in merged)


def test_every_term_of_an_order_can_be_given(stage):
    merged = stage.act(
        lambda context: context.submit(
            1, Side.SELL, 2, order_type=OrderType.TRAILING_STOP, trail_ppm=5_000, reduce_only=True, tag="x"
        ),
        lambda context: context.submit(
            1, Side.BUY, 2, order_type=OrderType.STOP_LIMIT, price=120, stop_price=110
        ),
    )
    trailing, stop_limit = [event for event in merged if isinstance(event, OrderRequested)]
    assert (trailing.order_type, trailing.trail_ppm, trailing.reduce_only) == (
        OrderType.TRAILING_STOP,
        5_000,
        True,
    )
    assert (stop_limit.price, stop_limit.stop_price) == (120, 110)


@pytest.mark.parametrize(
    "step",
    [
        lambda context: context.hold(1, 2**63),
        lambda context: context.hold(2, 5),
        lambda context: context.replace(999, price=5),
        lambda context: context.submit(1, Side.BUY, 1, order_type=OrderType.STOP, stop_price=1.5),
        lambda context: context.submit(1, Side.BUY, 1, expire_ns=2**70),
    ],
)
def test_what_cannot_be_recorded_or_is_not_its_own_stops_the_strategy(stage, step):
    stage.act(step)
    assert "p" not in stage.core.strategies


def test_a_strategy_sizes_with_its_share_of_the_equity(stage):
    seen = []
    stage.core.strategies.share_ppm["p"] = 250_000
    stage.act(lambda context: seen.append((context.equity("USD"), context.free_cash("USD"))))
    assert seen == [(250_000 * MONEY_ONE, 1_000_000 * MONEY_ONE)]
    stage.core.strategies.share_ppm.clear()
    stage.act(
        lambda context: seen.append(context.equity("USD")), lambda context: seen.append(context.equity("EUR"))
    )
    assert seen[1:] == [1_000_000 * MONEY_ONE, 0]


def test_cash_that_a_purchase_waits_for_is_not_free(stage):
    seen = []
    stage.act(lambda context: context.submit(1, Side.BUY, 10, order_type=OrderType.LIMIT, price=50))
    stage.act(lambda context: seen.append(context.free_cash("USD")))
    assert seen == [1_000_000 * MONEY_ONE - 10 * 50 * MONEY_ONE // 100]


def test_round_trips_are_remembered_with_their_profit(stage, make):
    for target in (5, 0, -5, 0):
        stage.act(lambda context, target=target: context.hold(1, target))
        stage.take(make.quote(99, 101, bid_quantity=1000, ask_quantity=1000))
    # Bought at 1.01 and sold at 0.99, then sold at 0.99 and bought at 1.01.
    assert list(stage.core.strategies["p"].profits) == [-MONEY_ONE // 10] * 2
    assert stage.core.strategies["p"].worth() == {"USD": -MONEY_ONE // 5}


fills = st.lists(
    st.tuples(st.integers(-9, 9).filter(bool), st.integers(1, 50), st.integers(0, 3)), max_size=40
)


@given(fills=fills)
def test_a_holding_earns_what_its_cash_and_what_is_left_are_worth(fills):
    holding, profits, cash, quantity = Holding(), [], 0, 0
    for change, price, fee in fills:
        cash -= change * price + fee
        quantity += change
        profit = holding.apply(change, change * price, fee)
        profits += [] if profit is None else [profit]
        assert holding.quantity == quantity
        assert holding.worth(quantity * 7) == cash + quantity * 7
        assert (quantity != 0) or holding.flow == 0
    assert sum(profits) == holding.earned


@given(fills=fills)
def test_a_round_trip_ends_where_the_holding_is_flat_or_turns(fills):
    holding, quantity = Holding(), 0
    for change, price, fee in fills:
        before, quantity = quantity, quantity + change
        ended = before != 0 and (quantity == 0 or (before > 0) != (quantity > 0))
        assert (holding.apply(change, change * price, fee) is not None) is ended


class Fussy(Strategy):
    kind = "fussy"
    parameters = (
        Parameter("percent", str, "percent", "2", minimum=0, maximum=100, decimal=True),
        Parameter("size", str, "size", "1", decimal=True),
        Parameter("low", int, "low", 1),
        Parameter("high", int, "high", 2),
    )

    @classmethod
    def check(cls, values):
        if values["low"] >= values["high"]:
            raise StrategyError(f"fussy: low is {values['low']}, expected less than high")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"percent": "100.01"}, "expected 0 to 100"),
        ({"percent": -1}, "not a decimal|expected"),
        ({"size": "0"}, "above zero"),
        ({"low": 2}, "low is 2, expected less than high"),
    ],
)
def test_parameters_are_checked_one_by_one_and_together(given, says):
    with pytest.raises(StrategyError, match=says):
        check_parameters(Fussy, given)


def test_a_decimal_may_be_zero_where_its_least_is():
    values = check_parameters(Fussy, {"percent": 0, "size": 0.5})
    assert (values["percent"], values["size"]) == ("0", "0.5")
    assert Fraction(values["size"]) == Fraction(1, 2)


def of_kind(merged, kind):
    return [event for event in merged if isinstance(event, kind)]


def test_a_bracket_is_an_order_with_children_that_know_its_number(stage):
    merged = stage.act(lambda context: context.submit(1, Side.BUY, 5, take_profit=120, stop_loss=80, tag="b"))
    entry, profit, loss = of_kind(merged, OrderRequested)
    number = merged.index(entry) + stage.core.next_seq - len(merged)
    assert (profit.side, profit.order_type, profit.price, profit.quantity) == (
        Side.SELL,
        OrderType.LIMIT,
        120,
        5,
    )
    assert (loss.side, loss.order_type, loss.stop_price, loss.tag) == (Side.SELL, OrderType.STOP, 80, "b")
    assert {(child.parent_id, child.oco_group) for child in (profit, loss)} == {(number, number)}
    assert len(of_kind(merged, OrderHeld)) == 2
    assert len(of_kind(merged, OrderReleased)) == 2


def test_a_lone_child_is_in_no_group(stage):
    merged = stage.act(lambda context: context.submit(1, Side.SELL, 5, take_profit=80))
    (_, profit) = of_kind(merged, OrderRequested)
    assert (profit.side, profit.oco_group) == (Side.BUY, None)


def test_two_brackets_at_once_are_told_apart(stage):
    def order(context):
        context.submit(1, Side.BUY, 5, price=50, order_type=OrderType.LIMIT, take_profit=120)

    stage.act(order, order)
    parents = [held.request.parent_id for held in stage.core.orders.held.values()]
    assert parents == sorted(stage.core.orders.working)


def test_children_of_a_refused_order_are_not_asked_for(stage):
    merged = stage.act(lambda context: context.submit(1, Side.BUY, 10**9, take_profit=120, stop_loss=80))
    assert [type(event).__name__ for event in merged[1:]] == ["OrderRequested", "OrderDenied"]


def test_a_strategy_sees_and_cancels_its_held_orders(stage):
    def order(context):
        context.submit(1, Side.BUY, 5, price=50, order_type=OrderType.LIMIT, take_profit=120)

    stage.act(order)
    merged = stage.act(lambda context: context.cancel(context.working(1)[-1].order_id))
    (denied,) = of_kind(merged, OrderDenied)
    assert denied.rule == "CANCELED"
    assert len(stage.core.strategies["p"].working(1)) == 1
