"""Makes the running strategies those of the configuration; starts and stops them by commands only.

The journal remembers what ran. At a start, a strategy that the configuration no longer names, or
names with another kind, other parameters or other instruments, is stopped before the first tick,
and what the configuration names is started as soon as its instruments are known.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping

from daemon.engine import Engine
from daemon.settings import StrategySettings
from daemon.trading.runner import Runner
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import StrategyError, check_parameters
from schemas.events import Event, InstrumentDefined, OperatorCommand, Scalar

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1


def check(configured: Mapping[str, StrategySettings]) -> None:
    """Check kinds and parameters before anything is opened.

    Raises:
        StrategyError: a strategy cannot run as configured; names its table and key.
    """
    for name, strategy in configured.items():
        kind = STRATEGIES.get(strategy.kind)
        if kind is None:
            raise StrategyError(
                f"strategies.{name}: there is no strategy kind {strategy.kind!r}",
                hint=f"there is {', '.join(STRATEGIES)}",
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


def stops(running: Mapping[str, Runner], configured: Mapping[str, StrategySettings]) -> list[Event]:
    """Return the commands that stop what runs and is not configured so."""
    outdated = [
        name
        for name, runner in running.items()
        if name not in configured or not _is_as_configured(runner, configured[name])
    ]
    for name in outdated:
        log.info("strategy %s: stopped, because the configuration changed", name)
    return [command("strategy.stop", {"strategy_id": name}) for name in outdated]


def _is_as_configured(runner: Runner, strategy: StrategySettings) -> bool:
    kind = STRATEGIES[strategy.kind]
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


async def start_when_known(engine: Engine, configured: Mapping[str, StrategySettings]) -> None:
    """Start each configured strategy that does not run, once all its instruments are known."""
    waiting = {name: strategy for name, strategy in configured.items() if name not in engine.core.strategies}
    while waiting:
        known = _names(engine.core.instruments.values())
        for name in [name for name, strategy in waiting.items() if known.issuperset(strategy.instruments)]:
            if engine.shedder.paused:
                break  # The disk is full: nothing is commanded until there is space.
            await engine.execute([_start(name, waiting.pop(name))])
        await asyncio.sleep(LOOK_SECONDS)


def _start(name: str, strategy: StrategySettings) -> OperatorCommand:
    arguments: dict[str, Scalar | list[Scalar]] = {
        "strategy_id": name,
        "kind": strategy.kind,
        "instruments": list(strategy.instruments),
    }
    arguments.update({f"param.{key}": value for key, value in strategy.parameters.items()})
    return command("strategy.start", arguments)
