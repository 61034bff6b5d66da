"""`taped check-config`: shows every setting, its value and where the value came from. Starts nothing."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from daemon.config import Configuration, config_hash, flat, load
from daemon.config_values import DECLARED, ConfigError, ConfigMistakesError, allowed, raise_all
from daemon.settings import CalendarSettings, StrategySettings
from daemon.strategies import check
from daemon.trading.strategies import STRATEGIES
from daemon.trading.strategy import StrategyError
from daemon.user_strategies import UserStrategyError, load_kinds
from tools.output import print_error, print_json, print_table


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser of `taped`."""
    parser = commands.add_parser(
        "check-config",
        help="show every setting and where its value came from",
        description="Read and check settings as the daemon would, and show where each value came from.",
    )
    parser.add_argument("file", type=Path, nargs="?", help="TOML file; without one, defaults and environment")
    parser.add_argument(
        "--describe", action="store_true", help="show what each setting is for, and its limits"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but mistakes and warnings")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the settings; wrong ones are told all at once, each with file, key and what is allowed."""
    try:
        configuration = load(arguments.file, os.environ)
        _check_strategies(configuration)
    except ConfigMistakesError as error:
        _print_mistakes(error, as_json=arguments.json)
        return 1
    if arguments.json:
        print_json(_document(configuration))
        return 0
    _show(configuration, describe=arguments.describe, quiet=arguments.quiet)
    for warning in configuration.warnings:
        print(f"taped: warning: {warning}", file=sys.stderr)
    return 0


def _show(configuration: Configuration, *, describe: bool, quiet: bool) -> None:
    if quiet:
        return
    if describe:
        described = [
            (key, allowed(declared), _text(_as_json(declared.default)), declared.rule.doc)
            for key, declared in DECLARED.items()
        ]
        print_table(
            ["setting", "allowed", "default", "what it is for"],
            [*described, *_strategy_rows(), *_calendar_rows()],
        )
    else:
        values = flat(configuration.settings)
        rows = [(key, _text(value), configuration.sources[key]) for key, value in values.items()]
        print_table(["setting", "value", "from"], rows)


def _check_strategies(configuration: Configuration) -> None:
    """Refuse strategies that the daemon would not start.

    Raises:
        ConfigError: the first strategy of one's own that cannot be loaded; or all kinds that do not
            exist, and for each other strategy its first wrong parameter.
    """
    mistakes: list[ConfigError] = []
    folder = configuration.settings.strategies_folder
    try:
        kinds = load_kinds(folder).classes
    except UserStrategyError as error:
        source = configuration.sources["strategies_folder"].removeprefix("file ")
        raise ConfigError(source, "strategies_folder", error.message, hint=error.hint) from error
    for name, strategy in configuration.settings.strategies.items():
        key = f"strategies.{name}"
        source = configuration.sources[key].removeprefix("file ")
        try:
            check({name: strategy}, kinds)
        except StrategyError as error:
            problem = error.message.removeprefix(f"{key}: ")
            mistakes.append(ConfigError(source, key, problem, hint=error.hint))
    raise_all(mistakes)


def _strategy_rows() -> Iterator[tuple[str, str, str, str]]:
    """Yield what a table of a strategy may hold; it stands in the file alone, once for each name."""
    kinds = {
        "kind": (f"{', '.join(STRATEGIES)} or your own", "must be given"),
        "parameters": ("a table", "the kind's own"),
    }
    for field in dataclasses.fields(StrategySettings):
        shape, default = kinds.get(field.name, ("a list of text", "none"))
        yield f"strategies.NAME.{field.name}", shape, default, field.metadata["rule"].doc


def _calendar_rows() -> Iterator[tuple[str, str, str, str]]:
    """Yield what a table of a calendar may hold; it stands in the file alone, once for each market."""
    for field in dataclasses.fields(CalendarSettings):
        shape = "text" if field.default == "" else "a list of text"
        yield f"calendars.NAME.{field.name}", shape, "none", field.metadata["rule"].doc


def _print_mistakes(error: ConfigMistakesError, *, as_json: bool) -> None:
    """Print all mistakes: a line each for people, one object for programs."""
    if not as_json:
        for mistake in error.mistakes:
            print_error(mistake)
        return
    mistakes = [
        {"source": mistake.source, "key": mistake.key, "message": mistake.message, "hint": mistake.hint}
        for mistake in error.mistakes
    ]
    body = {"error": {"message": error.message, "hint": error.hint, "mistakes": mistakes}}
    print(msgspec.json.encode(body).decode(), file=sys.stderr)


def _as_json(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value


def _document(configuration: Configuration) -> dict[str, Any]:
    values = flat(configuration.settings)
    return {
        "settings": {
            key: {"value": value, "source": configuration.sources[key]} for key, value in values.items()
        },
        "warnings": configuration.warnings,
        "config_hash": config_hash(configuration.settings),
    }


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return " ".join(f"{key}={_text(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
