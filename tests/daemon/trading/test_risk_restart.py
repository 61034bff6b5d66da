"""Limits, counters, losses and pauses after a restart are those of a core that never stopped."""

from __future__ import annotations

import random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading.core import Core
from daemon.trading.dump import dump, load
from schemas.codec import CODEC
from schemas.events import (
    CancelRequested,
    ClockTicked,
    DaemonStarted,
    OrderType,
    ReplaceRequested,
    Side,
    is_decision,
)

SECOND = 10**9
LIMITS = {
    "max_position_quantity__*": "40",
    "max_exposure": "5000",
    "max_orders_per_minute": 8,
    "max_orders_per_day": 60,
    "max_daily_loss": "60",
    "max_drawdown_ppm": 4_000,
    "on_drawdown": "deny",
    "synchronized_clock": True,
    "max_data_age_ms": 400_000,
    "cooldown_s": 30,
    "stop_guard_losses": 2,
    "stop_guard_window_s": 120,
    "stop_guard_pause_s": 20,
    "low_profit": "-5",
    "low_profit_closes": 1,
    "drawdown_guard_ppm": 1_000,
}
CHANGES = [
    {"max_orders_per_minute": 2},
    {"max_orders_per_minute": None},
    {"max_daily_loss": None},
    {"max_daily_loss": "20", "on_daily_loss": "halt"},
    {"stop_guard_losses": None, "low_profit": None},
    {"stop_guard_per_instrument": True, "stop_guard_window_s": 40},
    {"day_zone": "Asia/Tokyo"},
    {"margin": True, "maintenance_margin_ppm__*": 900_000},
    {"margin": None},
]
seeds = st.integers(0, 10**6)
STARTS = [{"max_exposure": "8000"}, {"max_exposure": "9000", "max_order_value": "3000"}, LIMITS]


def inputs(make, rng: random.Random, count: int):
    """Yield inputs of a busy day, each with the seconds after which it comes; their times are to be set."""
    price = {1: 10_000, 2: 10_000}
    for _ in range(count):
        after, number = rng.choice((0, 0, 1, 3, 20, 61)), rng.choice((1, 1, 2))
        side, order_id = rng.choice((Side.BUY, Side.SELL)), rng.randint(5, 200)
        price[number] += rng.randint(-60, 60)
        near = price[number] + rng.randint(-80, 80)
        wanted = rng.random()
        if wanted < 0.35:
            yield after, make.quote(price[number], price[number] + 10, instrument_id=number)
        elif wanted < 0.5:
            yield after, make.trade(price[number], 50, instrument_id=number)
        elif wanted < 0.72:
            limit = rng.choice((None, None, near))
            fields = {"strategy_id": rng.choice((None, "a")), "instrument_id": number, "price": limit}
            yield after, make.order(side, rng.randint(1, 12), **fields)
        elif wanted < 0.8:
            terms = {"order_type": OrderType.STOP, "stop_price": near, "instrument_id": number}
            yield after, make.order(side, rng.randint(1, 12), **terms)
        elif wanted < 0.9:
            yield after, ClockTicked(ts_ns=1, synchronized=rng.random() < 0.9)
        elif wanted < 0.93:
            terms = {"quantity": None, "price": near, "stop_price": None}
            yield after, ReplaceRequested(ts_ns=1, order_id=order_id, source="operator:test", **terms)
        elif wanted < 0.95:
            yield after, CancelRequested(ts_ns=1, order_id=order_id, source="operator:test")
        elif wanted < 0.97:
            yield after, make.command("risk.set", **rng.choice(CHANGES))
        else:
            yield (
                rng.choice((after, 40_000)),
                rng.choice(
                    [
                        make.command("risk.reset"),
                        make.command("trading.resume", reason="test"),
                        make.deposit("50"),
                        make.command("account.withdraw", currency="USD", amount="100"),
                        started(**rng.choice(STARTS)),
                    ]
                ),
            )


def started(**limits) -> DaemonStarted:
    settings = {"risk." + name.replace("__", "."): value for name, value in limits.items()}
    return DaemonStarted(ts_ns=1, daemon_version="", config_hash="", code_hash="", settings=settings)


def live(make, seed: int, count: int = 150):
    """Return a desk after a busy day; equal seeds make equal days."""
    desk = make.Desk(maker_fee_ppm=-100, taker_fee_ppm=700)
    desk.take(make.instrument(1), make.instrument(2), make.deposit("20000"), started(**LIMITS), make.tick())
    now = 10 * SECOND
    for after, event in inputs(make, random.Random(seed), count):
        now += after * SECOND
        times = {name: now for name in ("ts_ns", "received_ns") if hasattr(event, name)}
        desk.take(msgspec.structs.replace(event, **times))
    return desk


def boundaries(merged):
    return [0, *(place for place in range(1, len(merged)) if not is_decision(merged[place])), len(merged)]


def replayed(make, events) -> Core:
    core = Core(make.journal)
    core.replay(1, CODEC.decode(CODEC.encode(events)))
    return core


@given(data=st.data())
def test_decisions_of_limits_follow_from_the_inputs(make, data):
    desk = live(make, data.draw(seeds))
    again = Core(make.journal)
    merged, _ = again.run(desk.inputs)
    assert CODEC.encode(merged) == CODEC.encode(desk.merged)
    assert again.state() == desk.core.state()


@given(data=st.data())
def test_after_a_replay_to_any_input_all_goes_on_as_without_a_stop(make, data):
    desk = live(make, data.draw(seeds))
    cut = data.draw(st.sampled_from(boundaries(desk.merged)))
    again = replayed(make, desk.merged[:cut])
    rest, _ = again.run([event for event in desk.merged[cut:] if not is_decision(event)])
    assert rest == desk.merged[cut:]
    assert again.state() == desk.core.state()


@given(data=st.data())
def test_after_a_dump_at_any_input_all_goes_on_as_without_a_stop(make, data):
    desk = live(make, data.draw(seeds))
    cut = data.draw(st.sampled_from(boundaries(desk.merged)))
    before = replayed(make, desk.merged[:cut])
    again = load(make.journal, list(dump(before).parts()))
    assert again.state() == before.state()
    rest, _ = again.run([event for event in desk.merged[cut:] if not is_decision(event)])
    assert rest == desk.merged[cut:]
    assert again.state() == desk.core.state()


@given(data=st.data())
def test_sums_of_working_orders_are_those_of_a_walk_over_all(make, data):
    core = live(make, data.draw(seeds)).core
    for number in (1, 2):
        for side in (Side.BUY, Side.SELL):
            orders = [
                order
                for order in core.orders.working.values()
                if order.request.instrument_id == number and order.request.side == side
            ]
            total = core.risk.working.total(number, side)
            priced = [o for o in orders if o.price or o.stop_price]
            assert total.quantity == sum(order.most_remaining for order in orders)
            assert total.value == sum(o.most_remaining * (o.price or o.stop_price) for o in priced)
            assert total.unpriced == sum(o.most_remaining for o in orders if o not in priced)


@given(data=st.data())
def test_what_a_journal_lost_at_its_end_is_decided_again(make, data):
    desk = live(make, data.draw(seeds))
    cut = data.draw(st.integers(5, len(desk.merged)))
    again = replayed(make, desk.merged[:cut])
    again.run([make.tick(desk.merged[cut - 1].ts_ns)])
    assert not again.risk.protections.due
    for code in again.risk.watch.broken - again.risk.watch.acted:
        assert again.risk._state_for(code) is None


def test_days_of_these_tests_reach_every_protection_and_state(make):
    seen = set()
    for seed in range(12):
        for event in live(make, seed).merged:
            seen.add(getattr(event, "rule", None) or f"{type(event).__name__} {getattr(event, 'source', '')}")
    assert {"STOP_GUARD", "LOW_PROFIT", "DRAWDOWN_GUARD", "COOLDOWN", "MAX_EXPOSURE", "CLOCK"} <= seen
    assert {"ORDERS_PER_MINUTE", "TradingStateChanged risk:DAILY_LOSS"} <= seen
