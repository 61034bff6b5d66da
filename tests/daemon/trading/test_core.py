from __future__ import annotations

import pytest

from daemon.trading.core import Core, InstrumentError
from daemon.trading.orders import OrderStatus
from daemon.trading.strategy import Parameter, Strategy, StrategyError, check_parameters
from schemas.codec import UnknownEvent
from schemas.events import (
    SUSPICIOUS,
    CancelRejected,
    CancelRequested,
    CashWithdrawn,
    InstrumentStateChanged,
    Liquidity,
    NotificationQueued,
    OrderCanceled,
    OrderDenied,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderRequested,
    OrderSubmitted,
    OrderTriggered,
    OrderUnknown,
    ReconciliationFound,
    ReconciliationKind,
    ReplaceDenied,
    ReplaceRejected,
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


def replace(order_id: int, **terms) -> ReplaceRequested:
    return ReplaceRequested(
        **{
            "ts_ns": 1,
            "order_id": order_id,
            "quantity": None,
            "price": None,
            "stop_price": None,
            "source": "operator:test",
            **terms,
        }
    )


def test_a_replace_is_a_request_until_the_venue_confirms(desk, make):
    desk.take(make.order(price=50))
    (order,) = desk.core.orders.values()
    wish = replace(order.order_id, price=60, quantity=5)
    merged, effects = desk.core.run([wish])
    assert merged == [wish]
    assert effects == [(desk.core.next_seq - 1, wish)]
    assert (order.status, order.price, order.quantity) == (OrderStatus.PENDING_REPLACE, 50, 10)
    terms = {"quantity": 5, "price": 60, "stop_price": None}
    desk.core.run([OrderReplaced(ts_ns=2, received_ns=2, order_id=order.order_id, **terms)])
    assert (order.status, order.price, order.quantity) == (OrderStatus.ACCEPTED, 60, 5)


def test_a_replace_passes_the_rules_on_its_new_terms_and_counts_the_old_ones_no_more(desk, make):
    desk.take(make.order(price=100, quantity=600_000))
    (order,) = desk.core.orders.values()
    merged, effects = desk.core.run([replace(order.order_id, quantity=1_000_001)])
    assert merged[1] == ReplaceDenied(ts_ns=1, order_id=order.order_id, rule="CASH", reason=merged[1].reason)
    assert effects == []
    assert (order.status, order.quantity) == (OrderStatus.ACCEPTED, 600_000)
    assert len(desk.core.run([replace(order.order_id, quantity=1_000_000)])[1]) == 1


def test_while_a_replace_is_under_way_the_most_of_both_quantities_is_reserved(desk, make):
    desk.take(make.order(price=100, quantity=10))
    (order,) = desk.core.orders.values()
    desk.core.run([replace(order.order_id, quantity=1_000_000)])
    assert desk.take(make.order(price=100, quantity=1))[1].rule == "CASH"


@pytest.mark.parametrize("status", ["PENDING_REPLACE", "PENDING_CANCEL", "UNKNOWN", "FILLED"])
def test_a_replace_that_comes_at_the_wrong_time_changes_nothing_and_says_why(desk, make, status):
    desk.take(make.order(price=50))
    (order,) = desk.core.orders.values()
    first = {
        "PENDING_REPLACE": replace(order.order_id, price=60),
        "PENDING_CANCEL": CancelRequested(ts_ns=1, order_id=order.order_id, source="operator:test"),
        "UNKNOWN": OrderUnknown(ts_ns=1, order_id=order.order_id, reason="time-out"),
        "FILLED": a_fill(order.order_id, 10),
    }
    desk.core.run([first[status]])
    merged, effects = desk.core.run([replace(order.order_id, price=70)])
    assert types(merged) == ["ReplaceRequested", "NotificationQueued"]
    assert status in merged[1].body
    assert effects == []
    assert order.status == OrderStatus[status]


@pytest.mark.parametrize(
    "report",
    [
        a_fill(999, 1),
        OrderCanceled(ts_ns=1, received_ns=1, order_id=999, reason=""),
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


@pytest.mark.parametrize(
    "report",
    [
        a_fill(4, 1, side=Side.SELL),
        a_fill(4, 1, instrument_id=2),
        a_fill(4, 1, fee_scale=30),
        a_fill(4, 0),
        OrderRejected(ts_ns=1, received_ns=1, order_id=4, reason=""),
        OrderReplaced(ts_ns=1, received_ns=1, order_id=4, quantity=0, price=1, stop_price=None),
    ],
)
def test_a_report_that_contradicts_an_order_halts_its_instrument_and_changes_nothing_else(desk, make, report):
    desk.take(make.order(price=50))
    before = desk.core.state()
    merged, _ = desk.core.run([report])
    assert types(merged[1:]) == ["NotificationQueued", "InstrumentStateChanged"]
    assert (merged[1].severity, merged[2].instrument_id) == (Severity.ERROR, 1)
    assert desk.core.trading_state == TradingState.ACTIVE
    after = desk.core.state()
    assert after["instrument_states"] == {1: "HALTED"}
    for name in ("orders", "positions", "cash", "fees", "working"):
        assert after[name] == before[name]
    assert desk.take(make.order(price=50))[1].rule == "HALTED"
    assert isinstance(desk.take(make.order(Side.SELL, price=50, instrument_id=2))[1], OrderSubmitted)


def test_what_the_venue_fills_beyond_the_quantity_is_ours_and_halts_the_instrument(desk, make):
    desk.take(make.order(price=100))
    merged = desk.take(a_fill(4, 12))
    assert types(merged) == ["OrderFilled", "NotificationQueued", "InstrumentStateChanged"]
    order = desk.core.orders[4]
    assert (order.status, order.filled_quantity, order.excess_quantity) == (OrderStatus.FILLED, 10, 2)
    assert order.filled_value == 10 * 100
    assert desk.core.positions[1].quantity == 12
    assert desk.core.account.cash["USD"] == (1_000_000 - 12) * USD


def test_a_fill_of_an_order_that_is_over_is_ours_and_leaves_the_order_over(desk, make):
    desk.take(make.order(price=100))
    desk.take(OrderCanceled(ts_ns=1, received_ns=1, order_id=4, reason="asked for"))
    before = desk.core.orders[4]
    assert "InstrumentStateChanged" in types(desk.take(a_fill(4, 3, "late")))
    order = desk.core.orders[4]
    assert (order.status, order.filled_quantity) == (OrderStatus.CANCELED, 3)
    assert desk.core.positions[1].quantity == 3
    assert types(desk.take(a_fill(4, 3, "late"))) == ["OrderFilled"]
    # A dump that was taken before may still be writing the old one.
    assert before.filled_quantity == 0


def test_late_news_of_an_order_that_is_over_is_no_contradiction(desk, make):
    desk.take(make.order(price=100), a_fill(4, 10))
    late = {"ts_ns": 9, "received_ns": 9, "order_id": 4}
    before = desk.core.state()["orders"]
    merged = desk.take(
        CancelRejected(**late, reason="it is filled"),
        ReplaceRejected(**late, reason="it is filled"),
        OrderTriggered(**late, price=5),
        OrderUnknown(ts_ns=9, order_id=4, reason="no answer"),
    )
    assert len(merged) == 4
    assert desk.core.state()["orders"] == before


def test_an_operator_halts_and_resumes_one_instrument(desk, make):
    halted = desk.take(make.command("instrument.halt", instrument="I1", reason="odd prices"))[1]
    assert halted == InstrumentStateChanged(
        ts_ns=1, instrument_id=1, state=TradingState.HALTED, reason="odd prices", source="operator:test"
    )
    assert desk.take(make.order(price=50))[1].reason == "trading of I1 is halted"
    assert isinstance(desk.take(make.order(price=50, instrument_id=2))[1], OrderSubmitted)
    desk.take(make.command("trading.resume", reason="all is well"))
    assert desk.take(make.order(price=50))[1].rule == "HALTED"
    desk.take(make.command("instrument.resume", instrument="I1@V", reason="back"))
    assert isinstance(desk.take(make.order(price=50))[1], OrderSubmitted)


def test_an_unexplained_difference_of_an_instrument_halts_it_alone(desk):
    difference = ReconciliationFound(
        ts_ns=1,
        kind=ReconciliationKind.FILL,
        instrument_id=2,
        order_id=None,
        expected="5",
        found="4",
        explained=False,
        detail="",
    )
    desk.take(difference)
    assert desk.core.trading_state == TradingState.ACTIVE
    assert desk.core.instrument_states == {2: TradingState.HALTED}


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
        ("trading.kill", {"flatten": True}, "reason"),
        ("trading.kill", {"reason": "x", "flatten": "yes"}, "true or false"),
        ("instrument.halt", {"instrument": "NO", "reason": "x"}, "no instrument"),
        ("instrument.halt", {"instrument": "I1"}, "reason"),
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
    assert merged[1] == StrategyStopped(ts_ns=1, strategy_id="s", reason="ValueError: 13 is bad luck")
    assert types(merged[2:]) == ["NotificationQueued"]
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
    assert types(merged) == [
        "Trade",
        "OrderRequested",
        "OrderDenied",
        "StrategyStopped",
        "NotificationQueued",
    ]
    assert "on_denied" in merged[3].reason


def test_a_strategy_that_floods_is_stopped(odd, make):
    odd.take(start(make, "nervous", orders=1001))
    merged = odd.take(make.trade(100))
    assert types(merged) == ["Trade", "StrategyStopped", "NotificationQueued"]
    assert "more than 1000 orders" in merged[1].reason


def test_a_strategy_that_raises_at_its_start_is_stopped_at_once(odd, make):
    assert types(odd.take(start(make, "bad_start")))[1:3] == ["StrategyStarted", "StrategyStopped"]


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
    assert types(desk.take(make.trade(100))) == ["Trade", "StrategyStopped", "NotificationQueued"]


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
    assert types(merged) == ["Trade", "StrategyStopped", "NotificationQueued"]
    assert "no strategy kind" in merged[1].reason


def test_a_withdrawal_of_free_cash_is_decided_and_then_paid(desk, make):
    merged = desk.take(make.command("account.withdraw", currency="USD", amount="999999.5"))
    assert merged[1] == CashWithdrawn(ts_ns=1, currency="USD", amount="999999.5", source="operator:test")
    assert desk.core.account.cash == {"USD": USD // 2}
    assert desk.core.account.withdrawals == {"USD": 999_999 * USD + USD // 2}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"currency": "USD", "amount": "999990.01"}, "999990 USD are free"),
        ({"currency": "EUR", "amount": "1"}, "0 EUR are free"),
        ({"currency": "USD", "amount": "0"}, "above zero"),
        ({"currency": "USD"}, "amount must be a text"),
    ],
)
def test_no_more_is_paid_out_than_working_purchases_leave(desk, make, arguments, told):
    desk.take(make.order(price=100))
    answer = desk.take(make.command("account.withdraw", **arguments))[1]
    assert isinstance(answer, NotificationQueued)
    assert told in answer.body
    assert desk.core.account.withdrawals == {}


def test_a_recorded_withdrawal_that_the_account_cannot_pay_halts_trading(desk):
    merged = desk.take(CashWithdrawn(ts_ns=1, currency="USD", amount="1000001", source="operator:test"))
    assert types(merged[1:]) == ["NotificationQueued", "TradingStateChanged"]
    assert desk.core.account.cash == {"USD": 1_000_000 * USD}
