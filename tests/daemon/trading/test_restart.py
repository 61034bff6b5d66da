"""A core that stopped and one that never did are the same; decisions follow from inputs alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daemon.trading.core import Core
from daemon.trading.orders import OrderStatus
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import Strategy
from schemas.codec import CODEC
from schemas.events import (
    Bar,
    BarSide,
    CancelRejected,
    CancelRequested,
    DaemonStarted,
    Liquidity,
    OrderAccepted,
    OrderCanceled,
    OrderFilled,
    OrderReplaced,
    OrderRequested,
    OrderSubmitted,
    OrderTriggered,
    OrderType,
    OrderUnknown,
    ReplaceRejected,
    ReplaceRequested,
    SessionCalendarDefined,
    Side,
    TimeInForce,
    is_decision,
)


class Busy(Strategy):
    """Uses every callback, cancels, and now and then raises."""

    kind = "busy"

    def __init__(self, context, instruments, parameters):
        super().__init__(context, instruments, parameters)
        self.seen: list[str] = []

    def on_trade(self, trade):
        self.seen.append(f"trade {trade.price}")
        if trade.price % 5 == 0:
            self.context.submit(trade.instrument_id, Side.SELL, 1, order_type=2, price=trade.price + 3)
        if trade.price % 17 == 0:
            raise RuntimeError("17 divides it")

    def on_quote(self, quote):
        self.seen.append(f"quote {quote.bid_price} {quote.ask_price}")
        if quote.bid_price is not None and quote.bid_price % 3 == 0:
            self.context.submit(quote.instrument_id, Side.BUY, 3)

    def on_bar(self, bar):
        self.seen.append(f"bar {bar.close}")

    def on_timer(self, tick):
        for instrument_id in self.instruments:
            for order in self.context.working(instrument_id)[:1]:
                self.context.cancel(order.order_id)

    def on_fill(self, fill, order):
        self.seen.append(f"fill {order.order_id} {order.filled_quantity}")

    def on_order(self, order):
        self.seen.append(f"order {order.order_id} {order.status.name}")

    def on_denied(self, order):
        self.seen.append(f"denied {order.order_id} {order.rule}")

    def state(self):
        return {"seen": list(self.seen)}

    def dump(self):
        return self.seen

    def load(self, plain):
        self.seen = plain


KINDS = {**STRATEGIES, "busy": Busy}

prices = st.integers(90, 110)
ids = st.sampled_from([1, 1, 1, 2, 9])
order_ids = st.integers(1, 60)


def trades(make):
    return st.builds(make.trade, prices, st.integers(0, 20), instrument_id=ids)


def quotes(make):
    side = st.none() | prices
    depth = st.none() | st.integers(0, 20)
    return st.builds(make.quote, side, side, bid_quantity=depth, ask_quantity=depth, instrument_id=ids)


def orders(make):
    return st.one_of(plain_orders(make), stops(make), linked_orders(make))


def plain_orders(make):
    return st.builds(
        make.order,
        st.sampled_from([Side.BUY, Side.SELL]),
        st.integers(0, 30),
        instrument_id=ids,
        price=st.none() | prices,
        time_in_force=st.sampled_from([TimeInForce.GTC, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK]),
        post_only=st.booleans(),
        reduce_only=st.booleans(),
        client_id=st.none() | st.sampled_from(["a", "b", "c"]),
    )


def stops(make):
    return st.builds(
        make.order,
        st.sampled_from([Side.BUY, Side.SELL]),
        st.integers(1, 30),
        order_type=st.sampled_from([OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP]),
        price=st.none() | prices,
        stop_price=st.none() | prices,
        trail_amount=st.none() | st.integers(0, 5),
        time_in_force=st.sampled_from([TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD]),
        expire_ns=st.none() | st.just(9),
    )


def linked_orders(make):
    """Orders of instrument 1 that may fit a parent or a group, where they happen to name one."""
    return st.builds(
        make.order,
        st.sampled_from([Side.BUY, Side.SELL]),
        st.integers(1, 10),
        price=st.none() | prices,
        parent_id=st.none() | order_ids,
        oco_group=st.none() | order_ids,
    )


def brackets(make):
    """Entry, take profit and stop loss, as a function of the number that the entry will have."""

    def bracket(side: Side, quantity: int, price: int):
        def numbered(entry: int):
            links = {"parent_id": entry, "oco_group": entry}
            stop = {"order_type": OrderType.STOP, "stop_price": price - side * 3}
            return (
                make.order(side, quantity, price=price),
                make.order(Side(-side), quantity, price=price + side * 3, **links),
                make.order(Side(-side), quantity, **stop, **links),
            )

        return numbered

    return st.builds(bracket, st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 9), prices)


def commands(make):
    def start(kind: str, strategy_id: str):
        parameters = {"fast": 2, "slow": 4, "quantity": "5"} if kind == "ma_cross" else {}
        return make.command(
            "strategy.start",
            strategy_id=strategy_id,
            kind=kind,
            instruments=["I1", "I2"],
            **{f"param__{name}": value for name, value in parameters.items()},
        )

    return st.one_of(
        st.builds(start, st.sampled_from(["ma_cross", "busy", "no"]), st.sampled_from("xy")),
        st.builds(lambda name: make.command("strategy.stop", strategy_id=name), st.sampled_from("xy")),
        st.sampled_from(["trading.reduce", *["trading.resume"] * 6, "trading.halt"]).map(
            lambda name: make.command(name, reason="test")
        ),
        st.sampled_from(["5", "0.1", "-1", "x"]).map(make.deposit),
        st.sampled_from(["5", "90", "-1"]).map(
            lambda amount: make.command("account.withdraw", currency="USD", amount=amount)
        ),
        st.sampled_from(["instrument.halt", *["instrument.resume"] * 3]).map(
            lambda name: make.command(name, instrument="I1", reason="test")
        ),
        st.booleans().map(lambda flatten: make.command("trading.kill", reason="test", flatten=flatten)),
    )


def rogue_reports(make):
    times = {"ts_ns": 5, "received_ns": 5}
    return st.one_of(
        st.builds(
            OrderFilled,
            **{name: st.just(5) for name in times},
            order_id=order_ids,
            instrument_id=ids,
            side=st.sampled_from([Side.BUY, Side.SELL]),
            price=prices,
            quantity=st.integers(0, 30),
            fee=st.integers(-5, 5),
            fee_scale=st.sampled_from([0, 2, 18, 19]),
            fee_currency=st.sampled_from(["USD", "BNB"]),
            liquidity=st.just(Liquidity.MAKER),
            venue_trade_id=st.sampled_from("abc"),
        ),
        order_ids.map(lambda i: OrderCanceled(**times, order_id=i, reason="rogue")),
        order_ids.map(lambda i: OrderAccepted(**times, order_id=i, venue_order_id="rogue")),
        order_ids.map(lambda i: OrderUnknown(ts_ns=5, order_id=i, reason="rogue")),
        order_ids.map(lambda i: OrderTriggered(**times, order_id=i, price=5)),
        order_ids.map(lambda i: CancelRejected(**times, order_id=i, reason="rogue")),
        order_ids.map(lambda i: ReplaceRejected(**times, order_id=i, reason="rogue")),
        st.builds(
            lambda i, quantity, price: OrderReplaced(
                **times, order_id=i, quantity=quantity, price=price, stop_price=None
            ),
            order_ids,
            st.integers(0, 20),
            st.none() | prices,
        ),
    )


def others(make):
    return st.one_of(
        order_ids.map(lambda i: CancelRequested(ts_ns=5, order_id=i, source="operator:test")),
        st.builds(
            lambda i, quantity, price: ReplaceRequested(
                ts_ns=5,
                order_id=i,
                quantity=quantity,
                price=price,
                stop_price=None,
                source="operator:test",
            ),
            order_ids,
            st.none() | st.integers(0, 20),
            st.none() | prices,
        ),
        st.just(make.tick()),
        st.builds(make.instrument, st.sampled_from([1, 2, 3]), price_scale=st.sampled_from([2, 2, 2, 3])),
        st.sampled_from([0, 1, 1]).map(
            lambda hours: SessionCalendarDefined(
                ts_ns=5,
                venue="V",
                instrument_id=None,
                zone="UTC",
                # Open on Thursdays, as 1970 began.
                opens=[3 * 86_400] * hours,
                closes=[4 * 86_400] * hours,
                holidays=[],
                early_days=[],
                early_closes=[],
            )
        ),
        prices.map(
            lambda price: Bar(
                ts_ns=5,
                received_ns=5,
                instrument_id=1,
                interval_ns=10**9,
                side=BarSide.TRADE,
                open=price,
                high=price,
                low=price,
                close=price,
            )
        ),
        st.just(
            DaemonStarted(
                ts_ns=5,
                daemon_version="",
                config_hash="",
                code_hash="",
                settings={"venue.taker_fee_ppm": 500},
            )
        ),
    )


def streams(make):
    """Inputs as they come in together: a few at a time."""
    kinds = {trades: 30, quotes: 30, orders: 15, brackets: 4, others: 8, commands: 6, rogue_reports: 3}
    weighted = [kind for kind, weight in kinds.items() for _ in range(weight)]
    made = {kind: kind(make) for kind in kinds}
    event = st.sampled_from(weighted).flatmap(made.__getitem__)
    return st.lists(st.lists(event, min_size=1, max_size=8), min_size=4, max_size=25)


def live(make, groups):
    """Return a desk after a day with these inputs, two instruments, cash and both strategies."""
    desk = make.Desk(Core(make.journal, kinds=KINDS), maker_fee_ppm=-100, taker_fee_ppm=700)
    desk.take(make.instrument(1), make.instrument(2), make.deposit("100"))
    for strategy_id, kind, extra in (
        ("x", "ma_cross", {"param__fast": 1, "param__slow": 3, "param__quantity": "7", "param__short": True}),
        ("y", "busy", {}),
    ):
        desk.take(
            make.command(
                "strategy.start", strategy_id=strategy_id, kind=kind, instruments=["I1", "I2"], **extra
            )
        )
    for group in groups:
        give(desk, group)
    return desk


def give(desk, group):
    """Let a desk take inputs together; what must know its own number is taken alone."""
    desk.take(*(event for event in group if not callable(event)))
    for numbered in filter(callable, group):
        desk.take(*numbered(desk.core.next_seq))


def boundaries(merged):
    """Return the places where a recorded stream may end: before each input, and at the end."""
    return [0, *(place for place in range(1, len(merged)) if not is_decision(merged[place])), len(merged)]


@given(data=st.data())
def test_decisions_follow_from_the_inputs_byte_for_byte(make, data):
    desk = live(make, data.draw(streams(make)))
    again = Core(make.journal, kinds=KINDS)
    merged, _ = again.run(desk.inputs)
    assert CODEC.encode(merged) == CODEC.encode(desk.merged)
    assert again.state() == desk.core.state()


@given(data=st.data())
def test_a_replayed_core_equals_one_that_never_stopped(make, data):
    desk = live(make, data.draw(streams(make)))
    again = Core(make.journal, kinds=KINDS)
    again.replay(1, CODEC.decode(CODEC.encode(desk.merged)))
    assert again.state() == desk.core.state()


@given(data=st.data())
def test_after_a_replay_up_to_any_input_the_decisions_go_on_unchanged(make, data):
    desk = live(make, data.draw(streams(make)))
    cut = data.draw(st.sampled_from(boundaries(desk.merged)))
    again = Core(make.journal, kinds=KINDS)
    again.replay(1, desk.merged[:cut])
    rest, _ = again.run([event for event in desk.merged[cut:] if not is_decision(event)])
    assert rest == desk.merged[cut:]
    assert again.state() == desk.core.state()


@given(data=st.data())
def test_a_replay_in_pieces_equals_a_replay_in_one(make, data):
    desk = live(make, data.draw(streams(make)))
    again = Core(make.journal, kinds=KINDS)
    step = data.draw(st.integers(1, 50))
    for start in range(0, len(desk.merged), step):
        again.replay(start + 1, desk.merged[start : start + step])
    assert again.state() == desk.core.state()


@given(data=st.data())
def test_a_journal_that_ends_between_a_request_and_its_decision_still_gives_a_core(make, data):
    desk = live(make, data.draw(streams(make)))
    cut = data.draw(st.integers(0, len(desk.merged)))
    again = Core(make.journal, kinds=KINDS)
    again.replay(1, desk.merged[:cut])
    again.run([make.trade(100), make.tick()])
    assert not again.orders.undecided
    assert not again.strategies.broken


@given(data=st.data())
def test_money_orders_and_positions_agree_whatever_comes_in(make, data):
    desk = live(make, data.draw(streams(make)))
    core = desk.core
    for currency, cash in core.account.cash.items():
        held = [core.positions[i] for i in core.positions if core.instruments[i].quote_currency == currency]
        gained = sum(position.realised - position.cost_basis for position in held)
        paid_in = core.account.deposits.get(currency, 0) - core.account.withdrawals.get(currency, 0)
        assert cash == paid_in + gained - core.account.fees.get(currency, 0)
    for instrument_id, position in core.positions.items():
        filled = sum(
            order.request.side * (order.filled_quantity + order.excess_quantity)
            for order in core.orders.values()
            if order.request.instrument_id == instrument_id
        )
        assert position.quantity == filled
    orders = core.orders
    working = [order_id for order_id, order in orders.items() if order.status.is_working]
    held = [order_id for order_id, order in orders.items() if order.status is OrderStatus.HELD]
    assert (sorted(orders.working), sorted(orders.held)) == (working, held)
    assert not orders.undecided


@given(data=st.data())
def test_no_order_leaves_twice_and_no_child_before_its_parent_filled(make, data):
    desk = live(make, data.draw(streams(make)))
    filled: set[int] = set()
    submitted: set[int] = set()
    requests: dict[int, OrderRequested] = {}
    for seq, event in enumerate(desk.merged, start=1):
        if isinstance(event, OrderRequested):
            requests[seq] = event
        elif isinstance(event, OrderFilled):
            filled.add(event.order_id)
        elif isinstance(event, OrderSubmitted):
            assert event.order_id not in submitted
            submitted.add(event.order_id)
            parent_id = requests[event.order_id].parent_id
            assert parent_id is None or parent_id in filled
