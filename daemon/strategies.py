"""Makes the running strategies those of the configuration, where that says something new; by commands only.

The journal remembers what ran, and how each strategy was configured when the daemon started last. At a
start, a strategy whose configuration is new or has changed is stopped before the first tick, if it runs
otherwise, and started as soon as its instruments are known; one that the configuration names no more is
stopped. Where the configuration says what it said before, an operator's word stays: parameters that were
set at run time hold, and what was stopped, or stopped itself, stays so.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from daemon.engine import Engine
from daemon.settings import AllocationSettings, StrategySettings
from daemon.trading.allocator import (
    AT_SETTING,
    CAP_SETTING,
    DAYS_SETTING,
    FLOOR_SETTING,
    LEAST_DAYS_SETTING,
    METHOD_SETTING,
)
from daemon.trading.money import PPM
from daemon.trading.runner import Runner
from daemon.trading.runners import CONFIGURED_SETTING, COUNT_SETTING, Runners
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import Strategy, StrategyError, check_parameters
from schemas.events import Event, InstrumentDefined, OperatorCommand, Scalar

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1

Kinds = Mapping[str, type[Strategy]]
Configured = Mapping[str, StrategySettings]


class Plan(NamedTuple):
    """What must be commanded at a start: stops at once, starts when the instruments are known."""

    stops: list[Event]
    starts: dict[str, StrategySettings]


def check(configured: Configured, kinds: Kinds = STRATEGIES) -> None:
    """Check kinds and parameters before anything is opened.

    Raises:
        StrategyError: a strategy cannot run as configured; names its table and key.
    """
    for name, strategy in configured.items():
        kind = kinds.get(strategy.kind)
        if kind is None:
            raise StrategyError(
                f"strategies.{name}: there is no strategy kind {strategy.kind!r}",
                hint=f"there is {', '.join(kinds)}",
            )
        try:
            check_parameters(kind, strategy.parameters)
        except StrategyError as error:
            raise StrategyError(f"strategies.{name}: {error.message}", hint=error.hint) from error


def command(name: str, arguments: Mapping[str, Scalar | list[Scalar]]) -> OperatorCommand:
    """Return a command given by the configuration."""
    return OperatorCommand(
        ts_ns=time.time_ns(), who="config", role="admin", command=name, arguments=dict(arguments)
    )


def settings(configured: Configured, kinds: Kinds = STRATEGIES) -> dict[str, Scalar]:
    """Return how the strategies are configured, for `DaemonStarted`: equal texts for equal meanings."""
    texts: dict[str, Scalar] = {COUNT_SETTING: len(configured)}
    for name, strategy in configured.items():
        texts[CONFIGURED_SETTING + name] = _text(strategy, kinds)
    return texts


def allocation(configured: AllocationSettings) -> dict[str, Scalar]:
    """Return how the equity is shared out, for `DaemonStarted`; nothing when it is not."""
    if configured.method == "none":
        return {}
    hours, minutes = configured.at.split(":")
    return {
        METHOD_SETTING: configured.method,
        DAYS_SETTING: configured.days,
        LEAST_DAYS_SETTING: configured.least_days,
        CAP_SETTING: round(configured.kelly_cap_percent * PPM / 100),
        FLOOR_SETTING: round(configured.floor_percent * PPM / 100),
        AT_SETTING: int(hours) * 3_600 + int(minutes) * 60,
    }


def _text(strategy: StrategySettings, kinds: Kinds) -> str:
    plain = {
        "kind": strategy.kind,
        "instruments": list(strategy.instruments),
        "parameters": check_parameters(kinds[strategy.kind], strategy.parameters),
    }
    return json.dumps(plain, sort_keys=True, separators=(",", ":"))


def plan(running: Runners, configured: Configured, kinds: Kinds = STRATEGIES) -> Plan:
    """Return what must be commanded; ask before the core takes this start's `DaemonStarted`."""
    before = running.configured
    changed = {
        name
        for name, strategy in configured.items()
        if before is None or before.get(name) != _text(strategy, kinds)
    }
    # Journals from before strategies could be started at run time hold configured ones alone.
    dropped = (set(running) if before is None else before.keys()) - configured.keys()
    outdated = [
        name
        for name, runner in running.items()
        if name in dropped or (name in changed and not _is_as_configured(runner, configured[name], kinds))
    ]
    for name in outdated:
        log.info("strategy %s: stopped, because the configuration changed", name)
    starts: dict[str, StrategySettings] = {}
    for name, strategy in configured.items():
        if name in running.stopped and name not in changed:
            log.warning("strategy %s stays stopped: %s", name, running.stopped[name])
        elif name in outdated or name not in running:
            starts[name] = strategy
    return Plan([command("strategy.stop", {"strategy_id": name}) for name in outdated], starts)


def _is_as_configured(runner: Runner, strategy: StrategySettings, kinds: Kinds) -> bool:
    kind = kinds[strategy.kind]
    instruments = list(runner.strategy.instruments.values())
    return (
        runner.kind == strategy.kind
        and runner.strategy.values == check_parameters(kind, strategy.parameters)
        and len(instruments) == len(strategy.instruments)
        and all(
            named in _names([instrument])
            for named, instrument in zip(strategy.instruments, instruments, strict=True)
        )
    )


def _names(instruments: Iterable[InstrumentDefined]) -> set[str]:
    """Return every name the configuration may give these instruments."""
    return {
        name
        for instrument in instruments
        for name in (instrument.symbol, f"{instrument.symbol}@{instrument.venue}")
    }


async def start_when_known(engine: Engine, starts: Configured) -> None:
    """Start each of these strategies once all its instruments are known, unless an operator did."""
    waiting = dict(starts)
    while waiting:
        known = _names(engine.core.instruments.values())
        for name in [name for name, strategy in waiting.items() if known.issuperset(strategy.instruments)]:
            if engine.shedder.paused:
                break  # The disk is full: nothing is commanded until there is space.
            strategy = waiting.pop(name)
            if name not in engine.core.strategies:
                await engine.execute([_start(name, strategy)])
        await asyncio.sleep(LOOK_SECONDS)


def _start(name: str, strategy: StrategySettings) -> OperatorCommand:
    arguments: dict[str, Scalar | list[Scalar]] = {
        "strategy_id": name,
        "kind": strategy.kind,
        "instruments": list(strategy.instruments),
    }
    arguments.update({f"param.{key}": value for key, value in strategy.parameters.items()})
    return command("strategy.start", arguments)
