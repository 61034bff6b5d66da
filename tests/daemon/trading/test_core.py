from __future__ import annotations

import pytest

from daemon.trading.core import Core, InstrumentError
from daemon.trading.orders import OrderStatus
from daemon.trading.strategy import Parameter, Strategy, StrategyError, check_parameters
from schemas.codec import UnknownEvent
from schemas.events import (
    SUSPICIOUS,
    CancelRequested,
    Liquidity,
    NotificationQueued,
    OrderCanceled,
    OrderDenied,
    OrderFilled,
    OrderRequested,
    OrderSubmitted,
    ReconciliationFound,
    ReconciliationKind,
    ReplaceRequested,
    Severity,
    Side,
    StrategyStarted,
    StrategyStopped,
    TradingState,
    TradingStateChanged,
)

USD = 10**18


def types(events):
    return [type(event).__name__ for event in events]


def a_fill(order_id: int, quantity: int, trade_id: str = "x", **fields) -> OrderFilled:
    return OrderFilled(
        **{
            "ts_ns": 9,
            "received_ns": 9,
            "order_id": order_id,
            "instrument_id": 1,
            "side": Side.BUY,
            "price": 100,
            "quantity": quantity,
            "fee": 0,
            "fee_scale": 8,
            "fee_currency": "USD",
            "liquidity": Liquidity.TAKER,
            "venue_trade_id": trade_id,
            **fields,
        }
    )


def test_decisions_stand_right_behind_the_input_that_caused_them(make):
    core = Core(make.journal)
    merged, effects = core.run(
        [make.instrument(), make.deposit(), make.trade(100), make.order(), make.tick()]
    )
    assert types(merged) == [
        "InstrumentDefined",
        "OperatorCommand",
        "Trade",
        "OrderRequested",
        "OrderSubmitted",
        "ClockTicked",
    ]
    assert merged[4] == OrderSubmitted(ts_ns=1, order_id=4, client_order_id="01234567-4", venue="paper")
    assert effects == [(5, merged[4])]
    assert core.next_seq == 7


def test_inputs_without_decisions_come_back_as_they_are(make):
    core = Core(make.journal, next_seq=10)
    inputs = [make.instrument(), make.trade(100), make.quote(99, 101)]
    merged, effects = core.run(inputs)
    assert merged is inputs
    assert (effects, core.next_seq) == ([], 13)


def test_ticks_of_an_instrument_nobody_defined_are_ignored(make):
    core = Core(make.journal)
    core.run([make.trade(100, instrument_id=7), make.quote(1, 2, instrument_id=7)])
    assert core.books == {}


def test_a_tick_that_the_vendor_doubts_moves_no_price(desk, make):
    desk.take(make.quote(99, 101), make.trade(100), make.order(quantity=10))
    equity = desk.core.equity()
    desk.take(make.quote(1, 2, conditions=SUSPICIOUS), make.trade(5000, conditions=SUSPICIOUS | 0x2000))
    book = desk.core.books[1]
    assert (book.last_price, book.bid_price, book.ask_price) == (100, 99, 101)
    assert desk.core.equity() == equity
    assert desk.take(make.order(quantity=10))[-1].price == 101
    desk.take(make.trade(102, conditions=0x2000))
    assert book.last_price == 102


def test_an_order_is_not_valued_at_a_tick_that_the_vendor_doubts(desk, make):
    desk.take(make.trade(10_000), make.trade(1, conditions=SUSPICIOUS))
    assert desk.take(make.order(quantity=100_000))[1].rule == "CASH"


def test_an_order_runs_from_request_to_fill(desk, make):
    desk.take(make.quote(99, 101))
    merged = desk.take(make.order(quantity=10))
    assert types(merged) == ["OrderRequested", "OrderSubmitted", "OrderAccepted", "OrderFilled"]
    position = desk.core.positions[1]
    assert (position.quantity, position.cost_basis) == (10, 10 * USD * 101 // 100)
    assert desk.core.account.cash["USD"] == 1_000_000 * USD - position.cost_basis
    assert desk.core.equity()["USD"] == 1_000_000 * USD - 10 * USD * 2 // 100


def test_a_cancel_is_a_request_until_the_venue_confirms(desk, make):
    desk.take(make.trade(100), make.order(price=50))
    order = next(iter(desk.core.orders.values()))
    cancel = CancelRequested(ts_ns=3, order_id=order.order_id, source="operator:test")
    merged, effects = desk.core.run([cancel])
    assert merged == [cancel]
    assert effects == [(desk.core.next_seq - 1, cancel)]
    assert order.status == OrderStatus.PENDING_CANCEL
    desk.core.run(desk.venue.send(effects, desk.core, 4))
    assert order.status == OrderStatus.CANCELED


def test_a_cancel_of_an_order_that_is_over_changes_nothing_and_says_why(desk, make):
    desk.take(make.quote(99, 101), make.order())
    order_id = next(iter(desk.core.orders))
    before = desk.core.state()["orders"]
    merged, effects = desk.core.run([CancelRequested(ts_ns=3, order_id=order_id, source="operator:test")])
    assert effects == []
    assert isinstance(merged[1], NotificationQueued)
    assert "FILLED" in merged[1].body
    assert desk.core.state()["orders"] == before


def test_a_replace_is_answered_as_not_supported(desk):
    replace = ReplaceRequested(
        ts_ns=1, order_id=1, quantity=1, price=None, stop_price=None, source="operator:test"
    )
    merged, _ = desk.core.run([replace])
    assert "not supported" in merged[1].body


@pytest.mark.parametrize(
    "report",
    [
        a_fill(999, 1),
        OrderCanceled(ts_ns=1, received_ns=1, order_id=999, reason=""),
        a_fill(4, 11),
        a_fill(4, 1, side=Side.SELL),
        a_fill(4, 1, instrument_id=2),
        a_fill(4, 1, fee_scale=30),
    ],
)
def test_a_report_that_contradicts_our_books_halts_trading_and_changes_nothing_else(desk, make, report):
    desk.take(make.order(price=50))
    assert list(desk.core.orders) == [4]
    before = desk.core.state()
    merged, _ = desk.core.run([report])
    assert types(merged[1:]) == ["NotificationQueued", "TradingStateChanged"]
    assert merged[1].severity == Severity.ERROR
    assert desk.core.trading_state == TradingState.HALTED
    after = desk.core.state()
    for name in ("orders", "positions", "cash", "fees", "working"):
        assert after[name] == before[name]


def test_a_second_contradiction_does_not_halt_twice(desk):
    desk.take(a_fill(999, 1))
    assert types(desk.take(a_fill(999, 1))) == ["OrderFilled", "NotificationQueued"]


def test_a_fill_told_twice_counts_once(desk, make):
    desk.take(make.order(price=50))
    desk.take(a_fill(4, 3, "t1"))
    assert types(desk.take(a_fill(4, 3, "t1"))) == ["OrderFilled"]
    assert desk.core.positions[1].quantity == 3


def test_an_unexplained_difference_with_the_venue_halts_trading(desk):
    difference = ReconciliationFound(
        ts_ns=1,
        kind=ReconciliationKind.BALANCE,
        instrument_id=None,
        order_id=None,
        expected="5",
        found="4",
        explained=False,
        detail="",
    )
    desk.take(difference)
    assert desk.core.trading_state == TradingState.HALTED


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("account.deposit", {"currency": "USD", "amount": "-5"}, "above zero"),
        ("account.deposit", {"currency": "USD", "amount": 5}, "must be a text"),
        ("account.deposit", {"amount": "5"}, "currency"),
        ("strategy.start", {"strategy_id": "s", "kind": "no", "instruments": ["I1"]}, "no strategy kind"),
        ("strategy.start", {"strategy_id": "s", "kind": "ma_cross", "instruments": ["I1"]}, "quantity"),
        (
            "strategy.start",
            {"strategy_id": "s", "kind": "ma_cross", "instruments": ["NO"], "param__quantity": "1"},
            "no instrument",
        ),
        ("strategy.start", {"strategy_id": "s", "kind": "ma_cross", "instruments": "I1"}, "list"),
        ("strategy.start", {"strategy_id": "s", "kind": "ma_cross", "instruments": ["I1", 5]}, "texts"),
        ("strategy.stop", {"strategy_id": "nobody"}, "does not run"),
        ("trading.halt", {}, "reason"),
        ("make.coffee", {}, "no command"),
    ],
)
def test_a_malformed_command_changes_nothing_and_says_why(desk, make, name, arguments, says):
    before = desk.core.state()
    merged = desk.take(make.command(name, **arguments))
    assert types(merged) == ["OperatorCommand", "NotificationQueued"]
    assert says in merged[1].body
    assert {**desk.core.state(), "next_seq": 0} == {**before, "next_seq": 0}


def test_an_operator_halts_and_resumes_trading(desk, make):
    desk.take(make.trade(100))
    assert desk.take(make.command("trading.halt", reason="lunch"))[1] == TradingStateChanged(
        ts_ns=1, state=TradingState.HALTED, reason="lunch", source="operator:test"
    )
    assert desk.take(make.order())[1].rule == "HALTED"
    desk.take(make.command("trading.resume", reason="back"))
    assert isinstance(desk.take(make.order())[1], OrderSubmitted)


def test_imports_are_no_concern_of_the_core(desk, make):
    assert len(desk.take(make.command("import.start", file="f", sha256="0", format="lean"))) == 1


def test_an_instrument_in_use_keeps_its_scales_and_trading_halts(desk, make):
    desk.take(make.quote(99, 101), make.order())
    desk.take(make.instrument(1, price_scale=4))
    assert desk.core.instruments[1].price_scale == 2
    assert desk.core.trading_state == TradingState.HALTED


def test_an_instrument_that_is_not_in_use_may_change_its_scales(desk, make):
    desk.take(make.trade(100), make.instrument(1, price_scale=4))
    assert desk.core.instruments[1].price_scale == 4
    assert desk.core.books[1].last_price is None
    assert desk.core.trading_state == TradingState.ACTIVE


def test_a_symbol_on_two_venues_needs_its_venue(desk, make):
    desk.take(make.instrument(3, symbol="I1", venue="W"))
    with pytest.raises(InstrumentError, match="V, W"):
        desk.core.find_instrument("I1")
    assert desk.core.find_instrument("I1", "W").instrument_id == 3
    assert desk.core.find_instrument("nothing") is None
    start = make.command(
        "strategy.start", strategy_id="s", kind="ma_cross", instruments=["I1@W"], param__quantity="1"
    )
    assert desk.take(start)[1].instrument_ids == [3]


class Nervous(Strategy):
    """Orders at each trade, and raises at the price it was told to."""

    kind = "nervous"
    parameters = (
        Parameter("bad_price", int, "raises there", 13),
        Parameter("orders", int, "orders a trade", 1, minimum=1),
    )

    def on_trade(self, trade):
        for _ in range(self.values["orders"]):
            self.context.submit(trade.instrument_id, Side.BUY, 1, tag="nervous")
        if trade.price == self.values["bad_price"]:
            raise ValueError("13 is bad luck")

    def on_denied(self, order):
        self.denied = order.order_id
        if order.rule == "HALTED":
            self.context.submit(order.request.instrument_id, Side.BUY, 1)


class Canceler(Strategy):
    kind = "canceler"

    def on_timer(self, tick):
        for instrument_id in self.instruments:
            for order in self.context.working(instrument_id):
                self.context.cancel(order.order_id)

    def on_trade(self, trade):
        self.context.submit(trade.instrument_id, Side.BUY, 1, order_type=2, price=1)


class BadStart(Strategy):
    kind = "bad_start"

    def on_start(self):
        self.context.submit(1, Side.BUY, 1)


@pytest.fixture
def odd(make):
    """A desk that knows odd strategies."""
    kinds = {kind.kind: kind for kind in (Nervous, Canceler, BadStart)}
    desk = make.Desk(Core(make.journal, kinds=kinds))
    desk.take(make.instrument(1), make.instrument(2), make.deposit(), make.trade(100))
    return desk


def start(make, kind, **parameters):
    return make.command(
        "strategy.start",
        strategy_id="s",
        kind=kind,
        instruments=["I1"],
        **{f"param__{name}": value for name, value in parameters.items()},
    )


def test_a_started_strategy_trades_under_its_name(odd, make):
    assert isinstance(odd.take(start(make, "nervous"))[1], StrategyStarted)
    merged = odd.take(make.trade(100))
    request = merged[1]
    assert isinstance(request, OrderRequested)
    assert (request.strategy_id, request.source, request.tag) == ("s", "strategy:s", "nervous")


def test_a_strategy_is_not_told_of_a_tick_that_the_vendor_doubts(odd, make):
    odd.take(start(make, "nervous"))
    assert types(odd.take(make.trade(100, conditions=SUSPICIOUS))) == ["Trade"]
    assert "OrderRequested" in types(odd.take(make.trade(100, conditions=0x2000)))


def test_a_strategy_that_raises_is_stopped_and_its_orders_of_that_moment_are_dropped(odd, make):
    odd.take(start(make, "nervous"))
    merged = odd.take(make.trade(13))
    assert merged[1:] == [StrategyStopped(ts_ns=1, strategy_id="s", reason="ValueError: 13 is bad luck")]
    assert "s" not in odd.core.strategies
    assert len(odd.take(make.trade(100))) == 1


def test_a_stopped_strategy_has_its_working_orders_canceled(odd, make):
    odd.take(start(make, "canceler"))
    odd.take(make.trade(100), make.trade(100))
    merged = odd.take(make.command("strategy.stop", strategy_id="s"))
    assert types(merged)[1:4] == ["StrategyStopped", "CancelRequested", "CancelRequested"]
    assert {order.status for order in odd.core.orders.values()} == {OrderStatus.CANCELED}


def test_a_strategy_can_cancel_its_orders_on_a_timer(odd, make):
    odd.take(start(make, "canceler"))
    odd.take(make.trade(100))
    assert types(odd.take(make.tick())) == ["ClockTicked", "CancelRequested", "OrderCanceled"]


def test_a_strategy_that_answers_a_denial_with_an_order_is_stopped(odd, make):
    odd.take(start(make, "nervous"), make.command("trading.halt", reason="test"))
    merged = odd.take(make.trade(100))
    assert types(merged) == ["Trade", "OrderRequested", "OrderDenied", "StrategyStopped"]
    assert "on_denied" in merged[3].reason


def test_a_strategy_that_floods_is_stopped(odd, make):
    odd.take(start(make, "nervous", orders=1001))
    merged = odd.take(make.trade(100))
    assert types(merged) == ["Trade", "StrategyStopped"]
    assert "more than 1000 orders" in merged[1].reason


def test_a_strategy_that_raises_at_its_start_is_stopped_at_once(odd, make):
    assert types(odd.take(start(make, "bad_start")))[1:] == ["StrategyStarted", "StrategyStopped"]


def test_a_second_strategy_goes_on_when_the_first_one_raises(odd, make):
    odd.take(start(make, "nervous"))
    second = make.command(
        "strategy.start", strategy_id="t", kind="nervous", instruments=["I1"], param__bad_price=14
    )
    odd.take(second)
    merged = odd.take(make.trade(13))
    assert "StrategyStopped" in types(merged)
    assert [event.strategy_id for event in merged if isinstance(event, OrderRequested)] == ["t"]


def test_the_same_strategy_is_not_started_twice(odd, make):
    odd.take(start(make, "nervous"))
    assert "runs already" in odd.take(start(make, "nervous"))[1].body


@pytest.mark.parametrize("quantity", [1.5, True, 2**63, "1"])
def test_an_order_the_journal_cannot_hold_stops_its_strategy(make, quantity):
    class Wild(Strategy):
        kind = "wild"

        def on_trade(self, trade):
            self.context.submit(trade.instrument_id, Side.BUY, quantity)

    desk = make.Desk(Core(make.journal, kinds={"wild": Wild}))
    desk.take(make.instrument(1), start(make, "wild"))
    assert types(desk.take(make.trade(100))) == ["Trade", "StrategyStopped"]


def test_parameters_are_checked_by_type_range_and_name():
    assert check_parameters(Nervous, {"orders": 5}) == {"bad_price": 13, "orders": 5}
    for wrong in ({"orders": 0}, {"orders": "5"}, {"orders": True}, {"order": 1}):
        with pytest.raises(StrategyError):
            check_parameters(Nervous, wrong)


def test_unknown_events_in_a_journal_are_passed_over(make):
    core = Core(make.journal)
    core.replay(1, [UnknownEvent([999, 1, 5]), make.instrument()])
    assert (core.next_seq, list(core.instruments)) == (3, [1])


def test_a_replay_with_a_gap_is_refused(make):
    with pytest.raises(ValueError, match="expected 1"):
        Core(make.journal).replay(2, [make.instrument()])


def test_a_request_whose_decision_was_lost_is_denied_after_the_restart(make):
    core = Core(make.journal)
    core.replay(1, [make.instrument(), make.deposit(), make.trade(100), make.order()])
    merged, effects = core.run([make.trade(101)])
    assert merged[1] == OrderDenied(
        ts_ns=1, order_id=4, rule="INTERRUPTED", reason="the daemon ended before it was decided"
    )
    assert effects == []
    assert len(core.run([make.trade(101)])[0]) == 1


def test_a_strategy_that_cannot_be_made_any_more_is_stopped_after_the_restart(make):
    core = Core(make.journal)
    gone = StrategyStarted(ts_ns=1, strategy_id="s", kind="gone", parameters={}, instrument_ids=[1])
    core.replay(1, [make.instrument(), gone])
    merged, _ = core.run([make.trade(100)])
    assert types(merged) == ["Trade", "StrategyStopped"]
    assert "no strategy kind" in merged[1].reason
