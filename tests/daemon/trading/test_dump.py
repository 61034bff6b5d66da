"""A core that was dumped and loaded is the one that went on: in all it knows and all it decides."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading import order_table
from daemon.trading.core import Core
from daemon.trading.dump import ORDERS_PER_PART, DumpError, dump, load
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import Strategy
from schemas.codec import CODEC
from schemas.events import OrderType, Side, is_decision
from tests.daemon.trading.test_restart import KINDS, Busy, boundaries, live, streams


def again(core: Core, kinds=KINDS) -> Core:
    return load(core.journal_id, list(dump(core).parts()), kinds=kinds)


def replayed(make, events, kinds=KINDS) -> Core:
    core = Core(make.journal, kinds=kinds)
    core.replay(1, events)
    return core


def hidden(core: Core):
    """What `state` leaves out and later decisions depend on."""
    table = core.orders
    return (
        core.strategies.broken,
        list(table.undecided),
        list(table.held),
        table.links.children,
        table.links.groups,
        list(table._closed),
        {client_id: order.order_id for client_id, order in table._by_client_id.items()},
        [
            (name, runner.since, runner.started, runner.instruments)
            for name, runner in core.strategies.items()
        ],
        {i: [name for _, name in book.trade_hooks] for i, book in core.books.items()},
    )


@given(data=st.data())
def test_a_loaded_core_and_the_rest_of_the_journal_equal_the_whole_journal(make, data):
    merged = live(make, data.draw(streams(make))).merged
    cut = data.draw(st.integers(0, len(merged)))
    whole, loaded = replayed(make, merged), again(replayed(make, merged[:cut]))
    assert hidden(loaded) == hidden(replayed(make, merged[:cut]))
    loaded.replay(cut + 1, merged[cut:])
    assert loaded.state() == whole.state()
    assert hidden(loaded) == hidden(whole)


@given(data=st.data())
def test_a_loaded_core_decides_byte_for_byte_as_the_one_that_went_on(make, data):
    desk = live(make, data.draw(streams(make)))
    cut = data.draw(st.sampled_from(boundaries(desk.merged)))
    loaded = again(replayed(make, desk.merged[:cut]))
    rest, _ = loaded.run([event for event in desk.merged[cut:] if not is_decision(event)])
    assert CODEC.encode(rest) == CODEC.encode(desk.merged[cut:])
    assert loaded.state() == desk.core.state()
    assert hidden(loaded) == hidden(desk.core)


@given(data=st.data())
def test_the_dump_of_a_live_core_is_that_of_its_replay(make, data):
    desk = live(make, data.draw(streams(make)))
    stored = replayed(make, CODEC.decode(CODEC.encode(desk.merged)))
    parts = list(dump(desk.core).parts())
    assert parts == list(dump(stored).parts())
    assert parts == list(dump(again(desk.core)).parts())


@given(data=st.data())
def test_a_dump_that_is_read_out_late_tells_of_the_moment_it_was_taken(make, data):
    desk = live(make, data.draw(streams(make)))
    cut = data.draw(st.integers(0, len(desk.merged)))
    core = replayed(make, desk.merged[:cut])
    at_once, late = list(dump(core).parts()), dump(core)
    core.replay(cut + 1, desk.merged[cut:])
    assert list(late.parts()) == at_once


@given(data=st.data(), most=st.integers(1, 5))
def test_orders_that_the_table_has_forgotten_stay_forgotten(make, data, most):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order_table, "MAX_CLOSED_ORDERS", most)
        desk = live(make, data.draw(streams(make)))
        cut = data.draw(st.sampled_from(boundaries(desk.merged)))
        loaded = again(replayed(make, desk.merged[:cut]))
        rest, _ = loaded.run([event for event in desk.merged[cut:] if not is_decision(event)])
    assert rest == desk.merged[cut:]
    assert hidden(loaded) == hidden(desk.core)


@given(
    prices=st.lists(st.integers(-(2**62), 2**62), max_size=60),
    cut=st.integers(0, 60),
    source=st.sampled_from(["trade", "quote"]),
)
def test_averages_are_exact_to_the_last_bit_wherever_their_ring_stands(make, prices, cut, source):
    desk = make.Desk()
    desk.take(make.instrument(1), make.deposit("1000000000000"))
    parameters = {"param__fast": 3, "param__slow": 7, "param__quantity": "5", "param__source": source}
    desk.take(
        make.command("strategy.start", strategy_id="x", kind="ma_cross", instruments=["I1"], **parameters)
    )
    events = [make.trade(price) if source == "trade" else make.quote(price, price) for price in prices]
    desk.take(*events[:cut])
    loaded = again(desk.core, STRATEGIES)
    assert loaded.run(events[cut:]) == desk.core.run(events[cut:])
    assert loaded.state() == desk.core.state()


def test_sums_longer_than_64_bits_survive(make):
    desk = make.Desk()
    desk.take(make.instrument(1, price_scale=9, quantity_scale=9), make.deposit("100000000000"))
    desk.take(make.quote(10**14, 10**14, ask_quantity=10**15))
    desk.take(make.order(Side.BUY, 10**15))
    assert desk.core.orders[max(desk.core.orders)].filled_value == 10**29
    assert again(desk.core).state() == desk.core.state()


def test_a_strategy_keeps_the_instrument_it_was_started_on(make):
    """Its lot may change under a running strategy, to one that the strategy could not be started with."""
    desk = make.Desk()
    desk.take(make.instrument(1, lot_size=1), make.deposit())
    parameters = {"param__fast": 1, "param__slow": 3, "param__quantity": "7"}
    desk.take(
        make.command("strategy.start", strategy_id="x", kind="ma_cross", instruments=["I1"], **parameters)
    )
    desk.take(make.instrument(1, lot_size=5))
    loaded = again(desk.core)
    assert loaded.strategies["x"].strategy.instruments[1].lot_size == 1
    assert loaded.books[1].instrument.lot_size == 5


def test_orders_of_a_strategy_are_those_of_the_table(make):
    desk = make.Desk(Core(make.journal, kinds=KINDS))
    desk.take(make.instrument(1), make.deposit())
    desk.take(make.command("strategy.start", strategy_id="y", kind="busy", instruments=["I1"]))
    desk.take(make.trade(100))
    loaded = again(desk.core)
    (order,) = loaded.strategies["y"].working(1)
    assert order is loaded.orders.working[order.order_id] is loaded.orders[order.order_id]


class Silent(Strategy):
    kind = "silent"


class Failing(Busy):
    kind = "failing"

    def dump(self):
        raise RuntimeError("no")


class Foreign(Busy):
    kind = "foreign"

    def dump(self):
        return object()


class Deserter(Busy):
    kind = "deserter"

    def load(self, plain):
        raise RuntimeError("not mine")


class Eager(Busy):
    kind = "eager"

    def load(self, plain):
        self.context.submit(1, Side.BUY, 1)


WRONG = {kind.kind: kind for kind in (Silent, Failing, Foreign, Deserter, Eager)}


def with_strategy(make, kind: str) -> Core:
    desk = make.Desk(Core(make.journal, kinds=WRONG))
    desk.take(make.instrument(1))
    desk.take(make.command("strategy.start", strategy_id="z", kind=kind, instruments=["I1"]))
    assert "z" in desk.core.strategies
    return desk.core


@pytest.mark.parametrize(
    ("kind", "why"),
    [("silent", "silent gives no dump"), ("failing", "RuntimeError: no"), ("foreign", "TypeError")],
)
def test_a_strategy_without_a_dump_is_named(make, kind, why):
    core = with_strategy(make, kind)
    with pytest.raises(DumpError, match=f"z cannot be dumped: {why}"):
        dump(core)
    assert "z" in core.strategies


@pytest.mark.parametrize(("kind", "why"), [("deserter", "not mine"), ("eager", "orders cannot be given")])
def test_a_strategy_that_does_not_take_its_dump_fails_the_load(make, kind, why):
    with pytest.raises(DumpError, match=why):
        again(with_strategy(make, kind), WRONG)


def test_an_unknown_kind_fails_the_load(make):
    desk = live(make, [])
    with pytest.raises(DumpError, match="no strategy kind 'busy'"):
        again(desk.core, STRATEGIES)


def test_missing_and_foreign_parts_fail_the_load(make):
    desk = make.Desk()
    desk.take(make.instrument(1), make.deposit(), make.trade(100))
    for _ in range(ORDERS_PER_PART + 1):
        desk.take(make.order(order_type=OrderType.LIMIT, price=None))
    parts = list(dump(desk.core).parts())
    assert len(parts) == 5
    for count in range(len(parts)):
        with pytest.raises(DumpError):
            load(make.journal, parts[:count])
    with pytest.raises(DumpError):
        load(make.journal, [b"\x00", *parts[1:]])
    assert load(make.journal, parts).state() == desk.core.state()


def stored_by(core: Core, change) -> list[bytes]:
    """Return the parts as code with other records would have written them; `change` takes a field away."""
    parts = list(dump(core).parts())
    layouts = msgspec.msgpack.decode(parts[0])
    record, field = change
    place = layouts[record].index(field)
    del layouts[record][place]
    head = msgspec.msgpack.decode(parts[1])
    assert record == "Head"
    del head[place]
    return [msgspec.msgpack.encode(layouts), msgspec.msgpack.encode(head), *parts[2:]]


def test_a_dump_from_before_a_field_existed_is_loaded_with_the_fields_default(make):
    desk = live(make, [])
    desk.take(make.trade(5))
    older = stored_by(desk.core, ("Head", "calendars"))
    assert load(make.journal, older, kinds=KINDS).state() == desk.core.state()


def test_a_dump_that_lacks_what_has_no_default_or_has_more_than_is_known_is_refused_by_name(make):
    core = live(make, []).core
    with pytest.raises(DumpError, match="Head lacks its field 'cash'"):
        load(make.journal, stored_by(core, ("Head", "cash")), kinds=KINDS)
    parts = list(dump(core).parts())
    layouts = msgspec.msgpack.decode(parts[0])
    layouts["Order"].append("margin")
    layouts["Head"].append("leverage")
    head = msgspec.msgpack.encode([*msgspec.msgpack.decode(parts[1]), 3])
    with pytest.raises(DumpError, match="'leverage' that this taped does not know"):
        load(make.journal, [msgspec.msgpack.encode(layouts), head, *parts[2:]], kinds=KINDS)


def test_a_dump_of_positions_from_before_their_lots_were_kept_is_refused(make):
    desk = make.Desk()
    desk.take(make.instrument(), make.deposit(), make.quote(99, 100), make.order())
    parts = list(dump(desk.core).parts())
    layouts, head = msgspec.msgpack.decode(parts[0]), msgspec.msgpack.decode(parts[1])
    position = head[layouts["Head"].index("positions")][1]
    del layouts["Position"][3:], position[3:]
    with pytest.raises(DumpError, match="from before lots were kept"):
        load(make.journal, [msgspec.msgpack.encode(layouts), msgspec.msgpack.encode(head), *parts[2:]])


def test_a_strategy_that_raised_and_a_request_without_verdict_are_settled_after_a_load(make):
    desk = make.Desk(Core(make.journal, kinds=KINDS))
    desk.take(make.instrument(1), make.deposit())
    desk.take(make.command("strategy.start", strategy_id="y", kind="busy", instruments=["I1"]))
    core = replayed(make, [*desk.merged, make.trade(17), make.order()])
    assert core.strategies.broken
    assert core.orders.undecided
    loaded = again(core)
    assert hidden(loaded) == hidden(core)
    decided, _ = loaded.run([make.tick()])
    assert len(decided) == 4
    assert decided == core.run([make.tick()])[0]
