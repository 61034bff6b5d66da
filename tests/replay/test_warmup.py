"""Backtests that begin warm, held against a paper session whose strategy was started in the midst of it."""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest

from daemon.journal.writer import JournalWriter
from daemon.trading.core import Core
from daemon.trading.gate import hold_back
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import check_parameters
from daemon.venue.paper import PaperVenue, VenueOptions
from replay.backtest import run_backtest
from replay.recorder import Recorder
from replay.run import run_spec
from replay.spec import BacktestSpec, SpecError
from replay.warmup import kept_history
from schemas.events import (
    AssetClass,
    ClockTicked,
    DaemonStarted,
    Event,
    InstrumentDefined,
    OperatorCommand,
    Trade,
)
from tools.cli import main
from tools.event_text import time_text

SECOND = 10**9
START = 1_700_000_000 * SECOND
BEGIN = 200
"""The trade at which the backtest begins."""
RUNS = [
    ("ma_cross", {"fast": 5, "slow": 60, "quantity": "5", "short": True}),
    ("donchian_breakout", {"bars": "5s", "length": 12, "exit_length": 3, "quantity": "5", "short": True}),
    ("rsi_reversion", {"bars": "7s", "length": 9, "quantity": "5", "oversold": 45, "overbought": 55}),
]


class Batch(NamedTuple):
    events: list


def instrument() -> InstrumentDefined:
    return InstrumentDefined(
        ts_ns=START, instrument_id=1, symbol="I1", venue="V", asset_class=AssetClass.EQUITY,
        base_currency="I", quote_currency="USD", price_scale=2, quantity_scale=0,
    )  # fmt: skip


def market(count: int = 500) -> list[Event]:
    chance, ts_ns, price = random.Random(5), START, 10_000
    events: list[Event] = []
    for _ in range(count):
        ts_ns += int(chance.expovariate(1) * SECOND)
        price += chance.randint(-5, 5)
        events.append(Trade(ts_ns=ts_ns, received_ns=ts_ns, instrument_id=1, price=price, quantity=50))
    return events


def session(kind: str, parameters: dict) -> Core:
    """Return the core of a paper session that began to trade at the trade `BEGIN`."""
    core, venue = Core("live"), PaperVenue(VenueOptions())
    settings = kept_history(check_parameters(STRATEGIES[kind], parameters))
    start = {f"param.{name}": value for name, value in parameters.items()}
    start |= {"strategy_id": "s", "kind": kind, "instruments": ["I1"]}
    deposit = {"currency": "USD", "amount": "100000"}
    events: list[Event] = [
        DaemonStarted(ts_ns=START, daemon_version="", config_hash="", code_hash="", settings=settings),
        instrument(),
    ]
    second = START + SECOND
    for place, event in enumerate(market()):
        if place == BEGIN:
            events.append(command("account.deposit", deposit))
            events.append(command("strategy.start", start))
        while second <= event.ts_ns:
            events.append(ClockTicked(ts_ns=second, synchronized=True))
            second += SECOND
        events.append(event)
    for event in events:
        waiting: list[Event] = [event]
        while waiting:
            seq = core.next_seq
            merged, effects = core.run(waiting)
            leaving, waiting = hold_back(effects, core, event.ts_ns)
            waiting = venue.on_market(merged, seq) + waiting + venue.send(leaving, core, event.ts_ns)
    return core


def command(name: str, arguments: dict) -> OperatorCommand:
    return OperatorCommand(ts_ns=START, who="test", role="admin", command=name, arguments=arguments)


def outcome(core: Core) -> list[tuple]:
    orders = map(core.orders.__getitem__, core.orders)
    return [(one.request.ts_ns, int(one.request.side), one.filled_value, one.updated_ns) for one in orders]


def backtest(kind: str, parameters: dict, *, warm: bool, recorder: Recorder | None = None):
    core, events = Core("backtest"), market()
    result = run_backtest(
        [Batch([instrument(), *events[BEGIN:]])],
        strategy=kind,
        parameters=parameters,
        venue=VenueOptions(),
        core=core,
        warm=[Batch([instrument(), *events[:BEGIN]])] if warm else [],
        recorder=recorder,
    )
    return result, core


@pytest.mark.parametrize(("kind", "parameters"), RUNS)
def test_a_warm_backtest_trades_as_a_strategy_that_a_daemon_starts_then(kind, parameters):
    _, core = backtest(kind, parameters, warm=True)
    live = outcome(session(kind, parameters))
    assert len(live) > 3
    assert outcome(core) == live


@pytest.mark.parametrize(("kind", "parameters"), RUNS)
def test_a_cold_one_begins_to_trade_later(kind, parameters):
    (_, warm), (_, cold) = (backtest(kind, parameters, warm=warm) for warm in (True, False))
    assert outcome(warm)[0][0] < outcome(cold)[0][0]


def test_nothing_of_the_warm_up_is_in_the_result():
    recorder = Recorder()
    result, _ = backtest(*RUNS[0], warm=True, recorder=recorder)
    assert result.events == 1 + 500 - BEGIN
    assert recorder.finish().curve[0].ts_ns >= market()[BEGIN].ts_ns - SECOND


def test_the_data_before_the_beginning_are_found_by_time(tmp_path, capsys):
    with JournalWriter.open(tmp_path / "tape" / "journal") as writer:
        writer.append([instrument(), *market()])
    kind, parameters = RUNS[0]
    begin_ns = market()[BEGIN].ts_ns
    spec = BacktestSpec(
        data=(str(tmp_path / "tape"),), strategy=kind, parameters=parameters, from_ns=begin_ns,
        warmup_ns=10**6 * SECOND, venue=VenueOptions(),
    )  # fmt: skip
    expected, _ = backtest(kind, parameters, warm=True)
    assert run_spec(spec).orders == expected.orders
    words = [f"--param={name}={str(value).lower()}" for name, value in parameters.items()]
    flags = ["--from", time_text(begin_ns), "--warmup", "1h", "--json"]
    assert main(["replay", "backtest", str(tmp_path / "tape"), "--strategy", kind, *words, *flags]) == 0
    assert f'"orders": {expected.orders},' in capsys.readouterr().out


def test_a_warm_up_without_a_beginning_is_refused():
    with pytest.raises(SpecError, match="warmup needs a beginning"):
        BacktestSpec(data=("x",), strategy="ma_cross", warmup_ns=1)


def test_a_beginning_with_nothing_before_it_is_cold():
    assert backtest(*RUNS[0], warm=False)[0].decisions_sha256 == (
        run_backtest(
            [Batch([instrument(), *market()[BEGIN:]])],
            strategy=RUNS[0][0],
            parameters=RUNS[0][1],
            venue=VenueOptions(),
            warm=iter(()),
        ).decisions_sha256
    )
