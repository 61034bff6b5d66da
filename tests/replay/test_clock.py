"""Ticks of the clock in backtests, held against a paper session that was told the same market and ticks."""

from __future__ import annotations

import random
from collections import deque
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.trading.core import Core
from daemon.trading.core_state import CoreState
from daemon.trading.gate import hold_back
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import Strategy
from daemon.venue.paper import PaperVenue, VenueOptions
from replay.backtest import run_backtest
from schemas.events import (
    AssetClass,
    ClockTicked,
    DaemonStarted,
    Event,
    InstrumentDefined,
    OperatorCommand,
    OrderType,
    Quote,
    Side,
    TimeInForce,
    Trade,
)

SECOND = 10**9
START = 1_700_000_000 * SECOND


class Minder(Strategy):
    """Changes sides every third second, whatever the market does."""

    kind = "minder"

    def on_timer(self, tick: ClockTicked) -> None:
        if tick.ts_ns // SECOND % 3 == 0:
            self.context.hold(1, 5 if tick.ts_ns // SECOND % 2 else 0)


class Waiter(Strategy):
    """Keeps one limit order that is never reached, for a second and a half at a time."""

    kind = "waiter"

    def on_trade(self, trade: Trade) -> None:
        if not self.context.working(1):
            self.context.submit(
                1,
                Side.BUY,
                1,
                order_type=OrderType.LIMIT,
                price=1,
                time_in_force=TimeInForce.GTD,
                expire_ns=trade.ts_ns + 3 * SECOND // 2,
            )


KINDS: dict[str, Any] = {**STRATEGIES, "minder": Minder, "waiter": Waiter}
RUNS = [
    ("donchian_breakout", {"bars": "2s", "length": 2, "exit_length": 1, "quantity": "5", "short": True}),
    ("rsi_reversion", {"bars": "3s", "length": 2, "quantity": "5", "short": True}),
    ("ma_cross", {"fast": 2, "slow": 4, "quantity": "5"}),
    ("market_maker", {"spread": "5", "step": "0.1", "most": 3, "quantity": "5", "short": True}),
    ("minder", {}),
    ("waiter", {}),
]


class Batch(NamedTuple):
    events: list


def instrument() -> InstrumentDefined:
    return InstrumentDefined(
        ts_ns=START, instrument_id=1, symbol="I1", venue="V", asset_class=AssetClass.EQUITY,
        base_currency="I", quote_currency="USD", price_scale=2, quantity_scale=0,
    )  # fmt: skip


def trade(ts_ns: int, price: int) -> Trade:
    return Trade(ts_ns=ts_ns, received_ns=ts_ns, instrument_id=1, price=price, quantity=50)


def quote(ts_ns: int, middle: int) -> Quote:
    return Quote(
        ts_ns=ts_ns, received_ns=ts_ns, instrument_id=1,
        bid_price=middle - 2, bid_quantity=3, ask_price=middle + 2, ask_quantity=3,
    )  # fmt: skip


def market(count: int = 300, seed: int = 1, *, quotes: bool = False) -> list[Event]:
    """Return trades, and quotes if asked for, with silences of up to some seconds between them."""
    chance, ts_ns, price = random.Random(seed), START, 10_000
    events: list[Event] = []
    for _ in range(count):
        ts_ns += int(chance.expovariate(1) ** 2 * SECOND)
        price += chance.randint(-5, 5)
        events.append(quote(ts_ns, price) if quotes and chance.random() < 0.4 else trade(ts_ns, price))
    return events


def ticked(events: list[Event]) -> list[Event]:
    """Return the same with a tick of the clock on each whole second, as a live daemon records them."""
    merged: list[Event] = []
    second = events[0].ts_ns // SECOND * SECOND + SECOND
    for event in events:
        while second <= event.ts_ns:
            merged.append(ClockTicked(ts_ns=second, synchronized=True))
            second += SECOND
        merged.append(event)
    return merged


def command(name: str, **arguments) -> OperatorCommand:
    named = {key.replace("__", "."): value for key, value in arguments.items()}
    return OperatorCommand(ts_ns=START, who="test", role="admin", command=name, arguments=named)


def paper_session(kind: str, parameters: dict, events: list[Event]) -> list[Event]:
    """Return what core and paper venue record that are told events one by one, as the engine tells them."""
    core, venue = Core("live", kinds=KINDS), PaperVenue(VenueOptions())
    start = {f"param.{name}": value for name, value in parameters.items()}
    first = [
        DaemonStarted(ts_ns=START, daemon_version="", config_hash="", code_hash="", settings={}),
        instrument(),
        command("account.deposit", currency="USD", amount="100000"),
        OperatorCommand(
            ts_ns=START, who="test", role="admin", command="strategy.start",
            arguments={"strategy_id": "s", "kind": kind, "instruments": ["I1"], **start},
        ),
    ]  # fmt: skip
    recorded: list[Event] = []
    effects: deque[Any] = deque()

    def tell(inputs: list[Event]) -> None:
        seq = core.next_seq
        merged, caused = core.run(inputs)
        recorded.extend(merged)
        effects.extend(caused)
        # The core knows what the venue filled before anything else arrives there.
        if reports := venue.on_market(merged, seq):
            tell(reports)

    for event in [*first, *events]:
        tell([event])
        while effects:
            leaving, reports = hold_back([effects.popleft()], core, event.ts_ns)
            if reports := reports + venue.send(leaving, core, event.ts_ns):
                tell(reports)
    return recorded


def outcome(core: Core) -> list[tuple]:
    """Return what became of each order, without the numbers of events."""
    return [
        (
            order.request.ts_ns,
            int(order.request.side),
            order.status.name,
            order.filled_value,
            order.updated_ns,
        )
        for order in map(core.orders.__getitem__, core.orders)
    ]


def backtest(kind: str, parameters: dict, *batches: list[Event]):
    core = Core("backtest", kinds=KINDS)
    result = run_backtest(
        [Batch([instrument()]), *map(Batch, batches)],
        strategy=kind,
        parameters=parameters,
        venue=VenueOptions(),
        core=core,
    )
    return result, core


def of_session(recorded: list[Event]) -> Core:
    core = Core("live", kinds=KINDS)
    core.replay(1, recorded)
    return core


@pytest.mark.parametrize(("kind", "parameters"), RUNS)
def test_a_backtest_trades_as_the_paper_session_whose_market_it_is_told(kind, parameters):
    events = market(quotes=kind == "market_maker")
    recorded = paper_session(kind, parameters, ticked(events))
    result, core = backtest(kind, parameters, events)
    assert result.orders > 5
    assert outcome(core) == outcome(of_session(recorded))


@pytest.mark.parametrize(("kind", "parameters"), RUNS)
def test_a_backtest_of_a_recorded_session_takes_the_ticks_there_were(kind, parameters):
    # The clock of this session runs late, and was stopped for a while.
    late = [
        ClockTicked(ts_ns=event.ts_ns + 700_000_000, synchronized=True)
        if isinstance(event, ClockTicked)
        else event
        for event in ticked(market())
        if not (isinstance(event, ClockTicked) and 20 < event.ts_ns // SECOND - START // SECOND < 60)
    ]
    recorded = paper_session(kind, parameters, late)
    _, core = backtest(kind, parameters, recorded)
    assert outcome(core) == outcome(of_session(recorded))


@pytest.mark.parametrize(("kind", "parameters"), RUNS)
def test_ticks_that_nobody_acts_on_make_no_difference(kind, parameters, monkeypatch):
    lazy, _ = backtest(kind, parameters, market())
    told: list[int] = []

    def always(self: CoreState, from_ns: int, unopened_ns: int) -> int:
        told.append(unopened_ns)
        return from_ns

    monkeypatch.setattr(CoreState, "clock_due_ns", always)
    eager, _ = backtest(kind, parameters, market())
    assert told
    assert eager.decisions_sha256 == lazy.decisions_sha256


@pytest.mark.parametrize(("kind", "parameters"), RUNS)
@given(cuts=st.lists(st.integers(0, 80), max_size=8), jumps=st.lists(st.integers(-9, 9), max_size=80))
def test_ticks_do_not_depend_on_how_the_stream_is_cut_even_where_times_go_back(kind, parameters, cuts, jumps):
    events = market(80)
    for place, jump in enumerate(jumps):
        ts_ns = events[place].ts_ns + jump * SECOND // 2
        events[place] = trade(ts_ns, events[place].price)
    places = [0, *sorted(cuts), len(events)]
    whole, _ = backtest(kind, parameters, events)
    pieces, _ = backtest(kind, parameters, *(events[a:b] for a, b in pairwise(places)))
    assert pieces.decisions_sha256 == whole.decisions_sha256


def test_a_bar_ends_with_the_clock_and_not_with_the_next_trade():
    prices = [100, 101, 102, 90]
    events: list[Event] = [trade(START + n * SECOND, price) for n, price in enumerate(prices)]
    late = trade(START + 50 * SECOND, 100)
    terms = {"bars": "2s", "length": 1, "exit_length": 1, "quantity": "5", "short": True}
    _, core = backtest("donchian_breakout", terms, [*events, late])
    requested = [(row[0] - START) // SECOND for row in outcome(core)]
    assert requested[-1] == 5


def test_an_order_expires_on_the_second_behind_its_end():
    _, core = backtest("waiter", {}, [trade(START, 100), trade(START + 9 * SECOND, 100)])
    _, _, status, _, updated_ns = outcome(core)[0]
    assert (status, updated_ns - START) == ("EXPIRED", 2 * SECOND)
