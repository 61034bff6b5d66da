"""What runs is what the configuration says, also after it changed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from daemon import strategies
from daemon.settings import StrategySettings
from daemon.trading.strategy import StrategyError
from schemas.events import StrategyStarted, StrategyStopped
from tests.daemon.test_engine import MARKET, running

CROSS = StrategySettings("ma_cross", ("BTC-USDT",), {"fast": 5, "slow": 20, "quantity": "0.01"})


@asynccontextmanager
async def configured(folder, settings):
    """An engine whose strategies are brought in line with the settings, as at a start."""
    async with running(folder) as engine:
        heard = []
        engine.subscribe(lambda batch: heard.extend(batch.events))
        if not engine.core.instruments:
            await engine.execute(MARKET)
        outdated = strategies.stops(engine.core.strategies, settings)
        if outdated:
            await engine.execute(outdated)
        await asyncio.wait_for(strategies.start_when_known(engine, settings), 5)
        yield engine, heard


def kinds(heard):
    return [type(event) for event in heard if isinstance(event, (StrategyStarted, StrategyStopped))]


async def test_an_unchanged_strategy_goes_on_over_a_restart(tmp_path):
    async with configured(tmp_path, {"a": CROSS}) as (engine, heard):
        assert kinds(heard) == [StrategyStarted]
    async with configured(tmp_path, {"a": CROSS}) as (engine, heard):
        assert kinds(heard) == []
        assert list(engine.core.strategies) == ["a"]


async def test_a_strategy_that_is_not_configured_any_more_is_stopped(tmp_path):
    async with configured(tmp_path, {"a": CROSS, "b": CROSS}):
        pass
    async with configured(tmp_path, {"b": CROSS}) as (engine, heard):
        assert kinds(heard) == [StrategyStopped]
        assert list(engine.core.strategies) == ["b"]


@pytest.mark.parametrize(
    "changed",
    [
        replace(CROSS, parameters={**CROSS.parameters, "quantity": "0.02"}),
        replace(CROSS, instruments=("BTC-USDT@TEST2",)),
    ],
)
async def test_a_strategy_that_is_configured_otherwise_is_stopped(tmp_path, changed):
    async with configured(tmp_path, {"a": CROSS}) as (engine, _):
        stops = strategies.stops(engine.core.strategies, {"a": changed})
        assert [stop.arguments for stop in stops] == [{"strategy_id": "a"}]


async def test_changed_parameters_are_those_that_run_after_the_restart(tmp_path):
    changed = replace(CROSS, parameters={**CROSS.parameters, "quantity": "0.02"})
    async with configured(tmp_path, {"a": CROSS}):
        pass
    async with configured(tmp_path, {"a": changed}) as (engine, heard):
        assert kinds(heard) == [StrategyStopped, StrategyStarted]
        assert engine.core.strategies["a"].strategy.values["quantity"] == "0.02"


async def test_a_strategy_waits_for_its_instruments(tmp_path):
    unknown = replace(CROSS, instruments=("DOGE-USDT",))
    with pytest.raises(TimeoutError):
        async with running(tmp_path) as engine:
            await asyncio.wait_for(strategies.start_when_known(engine, {"a": unknown}), 0.3)


async def test_an_instrument_may_be_named_with_its_venue(tmp_path):
    named = replace(CROSS, instruments=("BTC-USDT@TEST",))
    async with configured(tmp_path, {"a": named}) as (engine, _):
        assert strategies.stops(engine.core.strategies, {"a": named}) == []


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        (replace(CROSS, kind="nothing"), "strategies.a: there is no strategy kind 'nothing'"),
        (
            replace(CROSS, parameters={"fast": 10**30, "slow": 20, "quantity": "1"}),
            "strategies.a: ma_cross: fast",
        ),
        (replace(CROSS, parameters={"quick": 1}), "strategies.a: ma_cross has no parameter 'quick'"),
    ],
)
def test_a_strategy_that_cannot_run_is_told_before_anything_is_opened(changed, says):
    with pytest.raises(StrategyError, match=says):
        strategies.check({"a": changed})
