"""The core between operators and a venue that says what it likes: random legal and illegal steps.

The venue here keeps a ledger of every fill it told that the core must count. After each step the core's
books must be those of the ledger, whatever was said in between.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from daemon.trading.core import Core
from daemon.trading.dump import dump, load
from daemon.trading.gate import hold_back
from daemon.trading.money import MONEY_ONE
from daemon.trading.order_states import TRANSITIONS
from daemon.trading.orders import KILL, OrderStatus
from schemas.events import (
    CancelRejected,
    CancelRequested,
    Event,
    Liquidity,
    NotificationQueued,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReleased,
    OrderReplaced,
    OrderSubmitted,
    OrderTriggered,
    OrderType,
    OrderUnknown,
    ReplaceRejected,
    ReplaceRequested,
    Severity,
    Side,
    TradingState,
)
from tests.daemon.trading import conftest as make

CASH = 10_000
PRICES = st.integers(90, 110)
QUANTITIES = st.integers(1, 12)
SIDES = st.sampled_from([Side.BUY, Side.SELL])
PICK = st.integers(0, 2**16)
NEVER_LEFT = {OrderStatus.REQUESTED, OrderStatus.HELD, OrderStatus.RELEASED, OrderStatus.DENIED}
TIMES = {"ts_ns": 5, "received_ns": 5}


class Machine(RuleBasedStateMachine):
    """Operator and venue at once; nothing is delayed, so what is sent is sent in the order of events."""

    @initialize()
    def open(self):
        self.core = Core(make.JOURNAL)
        self.merged: list[Event] = []
        self.sent: list[Event] = []
        self.ledger: dict[tuple[int, str], OrderFilled] = {}
        self.over: dict[int, OrderStatus] = {}
        self.released: dict[int, int] = {}
        self.take(make.instrument(1), make.instrument(2), make.deposit(str(CASH)))
        self.take(make.trade(100), make.trade(100, instrument_id=2))

    def take(self, *events: Event) -> list[Event]:
        halted = self.core.trading_state is TradingState.HALTED
        merged, effects = self.core.run(list(events))
        self.merged += merged
        leaving, reports = hold_back(effects, self.core, 5)
        assert not (halted and reports), "what is decided while trading is halted may leave"
        self.sent += [event for _, event in leaving]
        for event in merged:
            if isinstance(event, OrderReleased):
                self.released[event.order_id] = event.quantity
        if reports:
            self.take(*reports)
        return merged[len(events) :]

    def pick(self, number: int):
        """Any order, or None while there is none."""
        ids = list(self.core.orders)
        return self.core.orders[ids[number % len(ids)]] if ids else None

    # Operators

    @rule(side=SIDES, quantity=QUANTITIES, price=st.none() | PRICES, instrument_id=st.sampled_from([1, 1, 2]))
    def order(self, side, quantity, price, instrument_id):
        self.take(make.order(side, quantity, price=price, instrument_id=instrument_id))

    @rule(side=SIDES, quantity=QUANTITIES, price=PRICES)
    def bracket(self, side, quantity, price):
        entry = self.core.next_seq
        links = {"parent_id": entry, "oco_group": entry}
        stop = {"order_type": OrderType.STOP, "stop_price": price - side * 5}
        self.take(
            make.order(side, quantity, price=price),
            make.order(Side(-side), quantity, price=price + side * 5, **links),
            make.order(Side(-side), quantity, **stop, **links),
        )

    @rule(side=SIDES, quantity=QUANTITIES, parent=PICK, group=st.none() | PICK)
    def child_of_anything(self, side, quantity, parent, group):
        found = self.pick(parent)
        group_id = None if group is None else self.core.next_seq if group % 2 else group % 40
        parent_id = 999 if found is None else found.order_id
        self.take(make.order(side, quantity, price=100, parent_id=parent_id, oco_group=group_id))

    @rule(side=SIDES, quantities=st.lists(QUANTITIES, min_size=2, max_size=3))
    def one_cancels_the_others(self, side, quantities):
        group = self.core.next_seq
        for quantity in quantities:
            self.take(make.order(side, quantity, price=100 - side, oco_group=group))

    @rule(order=PICK)
    def cancel(self, order):
        found = self.pick(order)
        if found is not None:
            self.take(CancelRequested(ts_ns=5, order_id=found.order_id, source="operator:t"))

    @rule(order=PICK, quantity=st.none() | st.integers(0, 20), price=st.none() | PRICES)
    def replace(self, order, quantity, price):
        found = self.pick(order)
        if found is not None:
            terms = {"quantity": quantity, "price": price, "stop_price": None, "source": "operator:t"}
            self.take(ReplaceRequested(ts_ns=5, order_id=found.order_id, **terms))

    @rule(name=st.sampled_from(["trading.halt", "trading.reduce", "instrument.halt"]))
    def restrict(self, name):
        self.take(make.command(name, reason="t", instrument="I1"))

    @rule()
    def resume(self):
        for symbol in ("I1", "I2"):
            self.take(make.command("instrument.resume", reason="t", instrument=symbol))
        self.take(make.command("trading.resume", reason="t"))

    @rule(flatten=st.booleans())
    def kill(self, flatten):
        self.take(make.command("trading.kill", reason="t", flatten=flatten))
        assert self.core.trading_state is TradingState.HALTED
        for order in self.core.orders.values():
            assert order.status.is_terminal or order.canceling or order.request.source == KILL

    # The venue: what it may say, and what it may not

    @rule(
        order=PICK,
        make_report=st.sampled_from(
            [
                lambda i: OrderAccepted(**TIMES, order_id=i, venue_order_id=f"V{i}"),
                lambda i: OrderRejected(**TIMES, order_id=i, reason="no"),
                lambda i: OrderTriggered(**TIMES, order_id=i, price=100),
                lambda i: OrderCanceled(**TIMES, order_id=i, reason="so"),
                lambda i: OrderExpired(**TIMES, order_id=i, reason="late"),
                lambda i: OrderUnknown(ts_ns=5, order_id=i, reason="time-out"),
                lambda i: CancelRejected(**TIMES, order_id=i, reason="no"),
                lambda i: ReplaceRejected(**TIMES, order_id=i, reason="no"),
            ]
        ),
    )
    def report(self, order, make_report):
        found = self.pick(order)
        if found is None:
            return
        event = make_report(found.order_id)
        legal = type(event) in TRANSITIONS.get(found.status, {})
        before, status = self.core.state()["orders"][found.order_id], found.status
        self.take(event)
        after = self.core.state()["orders"][found.order_id]
        if not legal:
            assert before == after
            halted = self.core.instrument_states.get(found.request.instrument_id) is TradingState.HALTED
            assert halted or status.is_terminal

    @rule(order=PICK, answer=st.booleans(), quantity=st.integers(0, 20))
    def replaced(self, order, answer, quantity):
        """The venue confirms what was asked for, or tells terms nobody asked for."""
        found = self.pick(order)
        if found is None or found.status.is_terminal:
            return
        wish = found.replacing
        if answer and wish is not None and wish.quantity is not None:
            quantity = wish.quantity
        terms = {"quantity": quantity, "price": found.price, "stop_price": found.stop_price}
        self.take(OrderReplaced(**TIMES, order_id=found.order_id, **terms))

    @rule(order=PICK, quantity=QUANTITIES, price=PRICES, fits=st.sampled_from([True, True, True, False]))
    def fill(self, order, quantity, price, fits):
        found = self.pick(order)
        if found is None:
            return
        if fits and found.status.is_working:
            quantity = min(quantity, found.most_remaining)
        self.tell(
            OrderFilled(
                **TIMES,
                order_id=found.order_id,
                instrument_id=found.request.instrument_id,
                side=found.request.side,
                price=price,
                quantity=quantity,
                fee=3,
                fee_scale=2,
                fee_currency="USD",
                liquidity=Liquidity.TAKER,
                venue_trade_id=f"T{len(self.ledger)}",
            )
        )

    def tell(self, fill: OrderFilled):
        order = self.core.orders[fill.order_id]
        status, doubt = order.status, order.contradicts(fill)
        decisions = self.take(fill)
        if status in NEVER_LEFT:
            assert not order.filled_quantity
        else:
            self.ledger[fill.order_id, fill.venue_trade_id] = fill
        if doubt is not None or status in NEVER_LEFT:
            assert self.core.instrument_states[fill.instrument_id] is TradingState.HALTED
            assert any(
                isinstance(event, NotificationQueued) and event.severity is Severity.ERROR
                for event in decisions
            )

    @precondition(lambda self: self.ledger)
    @rule(number=PICK)
    def fill_told_again(self, number):
        fill = list(self.ledger.values())[number % len(self.ledger)]
        before = self.core.state()
        assert self.take(fill) == []
        assert {**self.core.state(), "next_seq": 0} == {**before, "next_seq": 0}

    # Restarts

    @rule()
    def restart_from_the_journal(self):
        again = Core(make.JOURNAL)
        again.replay(1, self.merged)
        assert again.state() == self.core.state()
        self.core = again

    @rule()
    def restart_from_a_dump(self):
        again = load(make.JOURNAL, list(dump(self.core).parts()))
        assert again.state() == self.core.state()
        self.core = again

    # What must hold at any time

    @invariant()
    def no_order_is_filled_beyond_its_quantity(self):
        for order in self.core.orders.values():
            assert 0 <= order.filled_quantity <= order.quantity
            told = sum(
                fill.quantity for (order_id, _), fill in self.ledger.items() if order_id == order.order_id
            )
            assert order.filled_quantity + order.excess_quantity == told

    @invariant()
    def an_order_that_is_over_stays_so(self):
        for order_id, order in self.core.orders.items():
            if order.status.is_terminal:
                assert self.over.setdefault(order_id, order.status) == order.status
            else:
                assert order_id not in self.over

    @invariant()
    def cash_and_positions_are_what_the_venue_told(self):
        held: dict[int, int] = {}
        cash = CASH * MONEY_ONE
        for fill in self.ledger.values():
            held[fill.instrument_id] = held.get(fill.instrument_id, 0) + fill.side * fill.quantity
            cash -= (fill.side * fill.quantity * fill.price + fill.fee) * MONEY_ONE // 100
        assert {i: position.quantity for i, position in self.core.positions.items()} == held
        assert self.core.account.cash == {"USD": cash}

    @invariant()
    def no_order_leaves_twice_and_none_that_must_not(self):
        submitted = [event.order_id for event in self.sent if isinstance(event, OrderSubmitted)]
        assert len(set(submitted)) == len(submitted)
        for order_id in submitted:
            assert self.core.orders[order_id].status not in NEVER_LEFT

    @invariant()
    def children_are_released_with_no_more_than_their_parents_filled(self):
        for order_id, quantity in self.released.items():
            order = self.core.orders[order_id]
            assert order.request.parent_id is not None
            assert 0 < quantity <= self.core.orders[order.request.parent_id].filled_quantity
        for order in self.core.orders.held.values():
            assert order.order_id not in self.released

    @invariant()
    def the_table_files_each_order_where_its_status_says(self):
        orders = self.core.orders
        assert {i for i, order in orders.items() if order.status.is_working} == set(orders.working)
        assert {i for i, order in orders.items() if order.status is OrderStatus.HELD} == set(orders.held)
        assert not orders.undecided


TestMachine = Machine.TestCase
