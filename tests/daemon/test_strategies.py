"""What runs is what the configuration says, also after it changed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from daemon import strategies
from daemon.settings import AllocationSettings, StrategySettings
from daemon.trading.strategy import StrategyError
from schemas.events import DaemonStarted, OperatorCommand, StrategyStarted, StrategyStopped
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
        plan = strategies.plan(engine.core.strategies, settings)
        await engine.execute([started(settings), *plan.stops])
        await asyncio.wait_for(strategies.start_when_known(engine, plan.starts), 5)
        yield engine, heard


def started(settings):
    return DaemonStarted(
        ts_ns=1, daemon_version="", config_hash="", code_hash="", settings=strategies.settings(settings)
    )


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
        plan = strategies.plan(engine.core.strategies, {"a": changed})
        assert [stop.arguments for stop in plan.stops] == [{"strategy_id": "a"}]
        assert plan.starts == {"a": changed}


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
        assert strategies.plan(engine.core.strategies, {"a": named}) == ([], {})


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


def operator(command, **arguments):
    named = {key.replace("__", "."): value for key, value in arguments.items()}
    return OperatorCommand(ts_ns=1, who="eve", role="admin", command=command, arguments=named)


START = operator(
    "strategy.start",
    strategy_id="b",
    kind="ma_cross",
    instruments=["BTC-USDT"],
    param__quantity="0.01",
)


async def test_a_strategy_that_an_operator_started_goes_on_over_a_restart(tmp_path):
    async with configured(tmp_path, {"a": CROSS}) as (engine, _):
        await engine.execute([START])
    async with configured(tmp_path, {"a": CROSS}) as (engine, heard):
        assert kinds(heard) == []
        assert list(engine.core.strategies) == ["a", "b"]


async def test_parameters_that_an_operator_set_hold_until_the_configuration_changes(tmp_path):
    changed = replace(CROSS, parameters={**CROSS.parameters, "slow": 30})
    async with configured(tmp_path, {"a": CROSS}) as (engine, _):
        await engine.execute([operator("strategy.set", strategy_id="a", param__fast=7)])
    async with configured(tmp_path, {"a": CROSS}) as (engine, heard):
        assert kinds(heard) == []
        assert engine.core.strategies["a"].strategy.values["fast"] == 7
    async with configured(tmp_path, {"a": changed}) as (engine, heard):
        assert engine.core.strategies["a"].strategy.values["fast"] == 5


@pytest.mark.parametrize("then", [CROSS, replace(CROSS, parameters={**CROSS.parameters, "slow": 30})])
async def test_a_strategy_that_an_operator_stopped_stays_so_until_its_configuration_changes(tmp_path, then):
    async with configured(tmp_path, {"a": CROSS}) as (engine, _):
        await engine.execute([operator("strategy.stop", strategy_id="a")])
    for _ in range(2):
        async with configured(tmp_path, {"a": then}) as (engine, _):
            assert list(engine.core.strategies) == ([] if then is CROSS else ["a"])


async def test_a_stopped_strategy_can_be_started_again_by_hand(tmp_path):
    async with configured(tmp_path, {"b": CROSS}) as (engine, _):
        await engine.execute([operator("strategy.stop", strategy_id="b")])
        await engine.execute([START])
    async with configured(tmp_path, {"b": CROSS}) as (engine, heard):
        assert (kinds(heard), list(engine.core.strategies)) == ([], ["b"])


async def test_a_strategy_whose_start_was_interrupted_is_started_at_the_next_start(tmp_path):
    async with configured(tmp_path, {}) as (engine, _):
        await engine.execute([started({"a": CROSS})])
    async with configured(tmp_path, {"a": CROSS}) as (engine, _):
        assert list(engine.core.strategies) == ["a"]


async def test_a_strategy_between_its_old_and_new_configuration_is_started_at_the_next_start(tmp_path):
    changed = replace(CROSS, parameters={**CROSS.parameters, "slow": 30})
    async with configured(tmp_path, {"a": CROSS}) as (engine, _):
        plan = strategies.plan(engine.core.strategies, {"a": changed})
        await engine.execute([started({"a": changed}), *plan.stops])
        assert list(engine.core.strategies) == []
    async with configured(tmp_path, {"a": changed}) as (engine, _):
        assert engine.core.strategies["a"].strategy.values["slow"] == 30


async def test_what_is_configured_in_other_words_is_no_change(tmp_path):
    words = replace(CROSS, parameters={**CROSS.parameters, "short": False, "quantity": "0.01"})
    async with configured(tmp_path, {"a": CROSS}) as (engine, _):
        await engine.execute([operator("strategy.set", strategy_id="a", param__fast=7)])
        assert strategies.plan(engine.core.strategies, {"a": words}) == ([], {})


def test_the_allocation_is_told_in_millionths_and_seconds_and_not_at_all_without_a_method():
    assert strategies.allocation(AllocationSettings()) == {}
    told = strategies.allocation(AllocationSettings(method="kelly", kelly_cap_percent=12.5, at="06:30"))
    assert told == {
        "allocation.method": "kelly",
        "allocation.days": 30,
        "allocation.least_days": 10,
        "allocation.cap_ppm": 125_000,
        "allocation.floor_ppm": 50_000,
        "allocation.at_s": 23_400,
    }
