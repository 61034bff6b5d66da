"""Settings from a TOML file, the environment and flags: read once, checked once, each with its source.

Flags win over the environment, the environment over the file, the file over the defaults. A key of
a section is `TAPED_SECTION__KEY` in the environment (`TAPED_API__PORT`), a key outside the sections
`TAPED_KEY` (`TAPED_DATA`). Strategies and calendars stand in the file alone. No setting holds a secret.

Relative paths in a file start at the file's folder, all others at the working directory.
"""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from daemon.config_calendars import check_calendars
from daemon.config_strategies import check_strategies
from daemon.config_values import (
    DECLARED,
    SECTIONS,
    ConfigError,
    check,
    check_known,
    closest,
    collecting,
    from_text,
    raise_all,
    show,
)
from daemon.hardware.errors import WiringError
from daemon.hardware.wiring import wiring_of
from daemon.settings import CalendarSettings, RiskSettings, Settings, StrategySettings
from daemon.trading.bars import BarError
from daemon.trading.history import kept_spec
from daemon.trading.money import MONEY_SCALE
from daemon.trading.risk.limits import PREFIX, Limits, is_off
from schemas.events import Scalar

ENV_PREFIX = "TAPED_"
NOT_SETTINGS = frozenset(
    {
        "TAPED_CONFIG",
        "TAPED_MARKET_DATA",
        "TAPED_SYNC_DSN",
        "TAPED_TEST_DSN",
        "TAPED_TOKEN_FILE",
        "TAPED_URL",
    }
)
"""Names of the environment that other parts read and that are no settings of the daemon."""

MAX_FILE_BYTES = 1_000_000
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)


class Configuration(NamedTuple):
    """Checked settings, where each came from (by dotted key), and what the reader should know."""

    settings: Settings
    sources: Mapping[str, str]
    warnings: tuple[str, ...]


def load(
    file: Path | None, env: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
) -> Configuration:
    """Return the settings of a daemon.

    Args:
        file: a TOML file, or None for none.
        env: the environment; names without the prefix are left alone.
        flags: dotted key to value; a None was not given and is left out.

    Raises:
        ConfigError: an unknown key, a wrong type, a value out of range, a file that cannot be read; all
            of them at once.
    """
    values: dict[str, Any] = {key: declared.default for key, declared in DECLARED.items()}
    sources = dict.fromkeys(values, "default")
    strategies: dict[str, StrategySettings] = {}
    calendars: dict[str, CalendarSettings] = {}
    mistakes: list[ConfigError] = []
    if file is not None:
        with collecting(mistakes):
            document = _read(file)
            with collecting(mistakes):
                strategies = check_strategies(document.pop("strategies", {}), source=str(file))
            with collecting(mistakes):
                calendars = check_calendars(document.pop("calendars", {}), source=str(file))
            sources.update({f"strategies.{name}": f"file {file}" for name in strategies})
            sources.update({f"calendars.{name}": f"file {file}" for name in calendars})
            for key, raw in _flatten(document, mistakes, source=str(file)):
                with collecting(mistakes):
                    values[key] = check(key, raw, source=str(file), folder=file.parent)
                sources[key] = f"file {file}"
    for variable, key, text in _variables(env or {}, mistakes):
        with collecting(mistakes):
            values[key] = check(key, from_text(key, text, source=variable), source=variable)
        sources[key] = f"environment {variable}"
    for key, raw in (flags or {}).items():
        if raw is not None:
            with collecting(mistakes):
                check_known(key, source="flag")
                values[key] = check(key, raw, source="flag")
            sources[key] = "flag"
    if not {"feed.kind", "feed.paths"} & {mistake.key for mistake in mistakes}:
        with collecting(mistakes):
            _check_together(values, sources)
    raise_all(mistakes)
    settings = _assemble(values, strategies, calendars)
    try:
        wiring_of(settings.hardware)
    except WiringError as error:
        key = f"hardware.{error.key}"
        raise ConfigError(sources[key], key, error.problem, hint=error.hint) from error
    return Configuration(settings, sources, tuple(_warnings(values)))


def flat(settings: Settings) -> dict[str, Any]:
    """Return every value by its dotted key, as JSON holds it (paths as text)."""
    values: dict[str, Any] = {}
    for key in DECLARED:
        value: Any = settings
        for part in key.split("."):
            value = getattr(value, part)
        values[key] = _plain(value)
    for name, strategy in settings.strategies.items():
        values[f"strategies.{name}"] = _plain(dataclasses.asdict(strategy))
    for name, calendar in settings.calendars.items():
        values[f"calendars.{name}"] = _plain(dataclasses.asdict(calendar))
    return values


def risk_limits(risk: RiskSettings) -> dict[str, Scalar]:
    """Return the limits that are set, and are not what the core takes by itself, as a start records them."""
    found: dict[str, Scalar] = {}
    defaults = Limits()
    for name in (field.name for field in dataclasses.fields(risk)):
        value = getattr(risk, name)
        if isinstance(value, Mapping):
            found.update({f"{PREFIX}{name}.{key}": entry for key, entry in value.items()})
        elif not is_off(value) and value != getattr(defaults, name):
            found[PREFIX + name] = value
    return found


def config_hash(settings: Settings) -> str:
    """Return the SHA-256 of all values, in hex: equal for equal settings, wherever they came from."""
    text = json.dumps(flat(settings), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def code_hash(more: Iterable[tuple[str, bytes]] = ()) -> str:
    """Return the SHA-256 over the source of `schemas` and `daemon`, in hex: all that decides.

    Args:
        more: name and content of code that decides too and did not come with taped.
    """
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for package in ("daemon", "schemas"):
        for path in sorted((root / package).rglob("*")):
            if path.suffix in {".py", ".sql"}:
                content = path.read_bytes()
                digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
                digest.update(content)
    for name, content in more:
        digest.update(f"user {name} {len(content)}\n".encode("utf-8", "surrogateescape"))
        digest.update(content)
    return digest.hexdigest()


def _read(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(str(file), "", f"cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(str(file), "", f"is longer than {MAX_FILE_BYTES} bytes")
    try:
        return tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:  # Also numbers of thousands of digits, absurd depth.
        raise ConfigError(str(file), "", f"is not TOML: {error}") from error


def _flatten(
    document: Mapping[str, Any], mistakes: list[ConfigError], *, source: str
) -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and values of all settings there are; the others are mistakes."""
    for name, value in document.items():
        if name not in SECTIONS:
            found = {name: value}
        elif isinstance(value, dict):
            found = {f"{name}.{inner}": inner_value for inner, inner_value in value.items()}
        else:
            problem = f"is {show(value)}, expected a table"
            mistakes.append(ConfigError(source, name, problem, hint=f"write [{name}]"))
            continue
        for key, raw in found.items():
            if key in DECLARED:
                yield key, raw
                continue
            with collecting(mistakes):
                check_known(key, source=source)


def _variables(env: Mapping[str, str], mistakes: list[ConfigError]) -> Iterator[tuple[str, str, str]]:
    for variable in sorted(env):
        if variable.startswith(ENV_PREFIX) and variable not in NOT_SETTINGS:
            key = variable.removeprefix(ENV_PREFIX).lower().replace("__", ".", 1)
            if key in DECLARED:
                yield variable, key, env[variable]
            else:
                names = [ENV_PREFIX + known.upper().replace(".", "__") for known in DECLARED]
                hint = closest(variable, names)
                mistakes.append(ConfigError("environment", variable, "no such setting", hint=hint))


def _check_together(values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    if not _CLOCK.fullmatch(values["allocation.at"]):
        problem = f"is {show(values['allocation.at'])}, expected a time of day such as 00:00"
        raise ConfigError(sources["allocation.at"], "allocation.at", problem)
    if values["allocation.least_days"] > values["allocation.days"]:
        problem = f"is {values['allocation.least_days']}, more than allocation.days keeps"
        raise ConfigError(sources["allocation.least_days"], "allocation.least_days", problem)
    for text in values["history.bars"]:
        try:
            kept_spec(text, MONEY_SCALE)
        except BarError as error:
            raise ConfigError(
                sources["history.bars"], "history.bars", error.message, hint=error.hint
            ) from error
    if values["feed.kind"] == "file" and not values["feed.paths"]:
        raise ConfigError(sources["feed.kind"], "feed.kind", "is 'file', and feed.paths names no recording")


def _warnings(values: Mapping[str, Any]) -> Iterator[str]:
    host = values["api.host"]
    if not is_loopback(host):
        yield (
            f"api.host is {host}: the network reaches it; reading needs a token there too, only the page,"
            " /health and /metrics do not, and nothing is encrypted"
        )


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server on that address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _assemble(
    values: Mapping[str, Any],
    strategies: Mapping[str, StrategySettings],
    calendars: Mapping[str, CalendarSettings],
) -> Settings:
    tables: dict[str, dict[str, Any]] = {}
    top: dict[str, Any] = {"strategies": strategies, "calendars": calendars}
    for key, value in values.items():
        section, dot, name = key.partition(".")
        if dot:
            tables.setdefault(section, {})[name] = value
        else:
            top[key] = value
    hints = get_type_hints(Settings)
    return Settings(**top, **{section: hints[section](**table) for section, table in tables.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
