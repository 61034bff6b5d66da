"""Strategies as `[strategies.NAME]` tables of the settings: checks of their form. Starts nothing."""

from __future__ import annotations

import dataclasses
import re
from math import isfinite
from typing import Any

from daemon.config_values import SCALARS, ConfigError, closest, collecting, raise_all, show
from daemon.settings import StrategySettings
from daemon.trading.money import MAX_INTEGER

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def check_strategies(table: Any, *, source: str) -> dict[str, StrategySettings]:
    """Return the strategies of a file.

    Raises:
        ConfigError: all that is wrong with them.
    """
    if not isinstance(table, dict):
        raise ConfigError(source, "strategies", f"is {show(table)}, expected tables [strategies.NAME]")
    strategies: dict[str, StrategySettings] = {}
    mistakes: list[ConfigError] = []
    for name, entry in table.items():
        with collecting(mistakes):
            strategies[name] = _strategy(name, entry, source=source)
    raise_all(mistakes)
    return strategies


def _strategy(name: str, entry: Any, *, source: str) -> StrategySettings:
    place = f"strategies.{name}"
    if not _NAME.fullmatch(name):
        raise ConfigError(source, place, "a name is up to 64 letters, digits, dots, dashes and underscores")
    if not isinstance(entry, dict):
        raise ConfigError(source, place, f"is {show(entry)}, expected a table")
    known = [field.name for field in dataclasses.fields(StrategySettings)]
    mistakes = [
        ConfigError(source, f"{place}.{key}", "no such setting", hint=closest(key, known))
        for key in entry
        if key not in known
    ]
    kind, instruments = entry.get("kind"), entry.get("instruments", [])
    if not (isinstance(kind, str) and _NAME.fullmatch(kind)):
        mistakes.append(
            ConfigError(source, f"{place}.kind", f"is {show(kind)}, expected the name of a strategy")
        )
    if not (isinstance(instruments, list) and all(isinstance(symbol, str) for symbol in instruments)):
        problem = f"is {show(instruments)}, expected a list of text"
        mistakes.append(ConfigError(source, f"{place}.instruments", problem))
    parameters = entry.get("parameters", {})
    with collecting(mistakes):
        _check_parameters(f"{place}.parameters", parameters, source=source)
    raise_all(mistakes)
    return StrategySettings(str(kind), tuple(instruments), parameters)


def _check_parameters(place: str, parameters: Any, *, source: str) -> None:
    if not isinstance(parameters, dict):
        raise ConfigError(source, place, f"is {show(parameters)}, expected a table")
    mistakes: list[ConfigError] = []
    for key, value in parameters.items():
        if type(value) not in SCALARS or (isinstance(value, float) and not isfinite(value)):
            expected = "a number, text, true or false"
        elif isinstance(value, int) and not -MAX_INTEGER - 1 <= value <= MAX_INTEGER:
            expected = "an integer of 64 bits"  # Longer ones cannot be written to the journal.
        else:
            continue
        mistakes.append(ConfigError(source, f"{place}.{key}", f"is {show(value)}, expected {expected}"))
    raise_all(mistakes)
