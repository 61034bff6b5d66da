"""Settings from a TOML file, the environment and flags: read once, checked once, each with its source.

Flags win over the environment, the environment over the file, the file over the defaults. A key of
a section is `TAPED_SECTION__KEY` in the environment (`TAPED_API__PORT`), a key outside the sections
`TAPED_KEY` (`TAPED_DATA`). Strategies stand in the file alone. No setting holds a secret.

Relative paths in a file start at the file's folder, all others at the working directory.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import ipaddress
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from daemon.settings import Rule, Settings, StrategySettings
from schemas.errors import TapedError

ENV_PREFIX = "TAPED_"
NOT_SETTINGS = frozenset({"TAPED_CONFIG", "TAPED_MARKET_DATA", "TAPED_TOKEN_FILE", "TAPED_URL"})
"""Names of the environment that other parts read and that are no settings of the daemon."""

MAX_FILE_BYTES = 1_000_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_CURRENCY = re.compile(r"[A-Z0-9]{2,16}")
_BOOLEANS = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}
_SCALARS = frozenset({int, float, bool, str})
_KINDS: Mapping[Any, str] = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path",
    Path | None: "a path or nothing",
    tuple[str, ...]: "a list of text",
    tuple[Path, ...]: "a list of paths",
    Mapping[str, str]: "a table of currencies and decimal text",
}


class ConfigError(TapedError):
    """A setting, or the file of settings, is not as it must be.

    Attributes:
        key: dotted key of the setting, empty when the whole file is meant.
        source: the file, variable or flag it stands in.
    """

    def __init__(self, source: str, key: str, problem: str, *, hint: str = "") -> None:
        place = f"{source}: {key}" if key else source
        super().__init__(f"{place}: {problem}", hint=hint)
        self.key = key
        self.source = source


class Declared(NamedTuple):
    """One setting as `daemon/settings.py` declares it."""

    type: Any
    default: Any
    rule: Rule


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
        ConfigError: an unknown key, a wrong type, a value out of range, a file that cannot be read.
    """
    values: dict[str, Any] = {key: declared.default for key, declared in DECLARED.items()}
    sources = dict.fromkeys(values, "default")
    strategies: dict[str, StrategySettings] = {}
    if file is not None:
        document = _read(file)
        strategies = _strategies(document.pop("strategies", {}), source=str(file))
        sources.update({f"strategies.{name}": f"file {file}" for name in strategies})
        for key, raw in _flatten(document, source=str(file)):
            values[key] = _check(key, raw, source=str(file), folder=file.parent)
            sources[key] = f"file {file}"
    for variable, key, text in _variables(env or {}):
        values[key] = _check(key, _from_text(key, text, source=variable), source=variable)
        sources[key] = f"environment {variable}"
    for key, raw in (flags or {}).items():
        if raw is not None:
            _known(key, source="flag")
            values[key] = _check(key, raw, source="flag")
            sources[key] = "flag"
    _check_together(values, sources)
    return Configuration(_assemble(values, strategies), sources, tuple(_warnings(values)))


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
    return values


def config_hash(settings: Settings) -> str:
    """Return the SHA-256 of all values, in hex: equal for equal settings, wherever they came from."""
    text = json.dumps(flat(settings), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def code_hash() -> str:
    """Return the SHA-256 over the source of `schemas` and `daemon`, in hex: all that decides."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for package in ("daemon", "schemas"):
        for path in sorted((root / package).rglob("*")):
            if path.suffix in {".py", ".sql"}:
                content = path.read_bytes()
                digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
                digest.update(content)
    return digest.hexdigest()


def _declare() -> Iterator[tuple[str, Declared]]:
    for key, hint, field in _fields(Settings):
        if "rule" in field.metadata:
            yield key, Declared(hint, field.default, field.metadata["rule"])
        elif dataclasses.is_dataclass(hint):
            for inner, inner_hint, inner_field in _fields(hint):
                default = {} if inner_field.default is dataclasses.MISSING else inner_field.default
                yield f"{key}.{inner}", Declared(inner_hint, default, inner_field.metadata["rule"])


def _fields(record: Any) -> Iterator[tuple[str, Any, dataclasses.Field[Any]]]:
    hints = get_type_hints(record)
    for field in dataclasses.fields(record):
        yield field.name, hints[field.name], field


DECLARED: Mapping[str, Declared] = dict(_declare())
"""Every setting by its dotted key, except those of strategies."""


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
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(file), "", f"is not TOML: {error}") from error


def _flatten(document: Mapping[str, Any], *, source: str) -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if name in _SECTIONS:
            if not isinstance(value, dict):
                raise ConfigError(
                    source, name, f"is {_show(value)}, expected a table", hint=f"write [{name}]"
                )
            for inner, inner_value in value.items():
                _known(f"{name}.{inner}", source=source)
                yield f"{name}.{inner}", inner_value
        else:
            _known(name, source=source)
            yield name, value


_SECTIONS = frozenset(key.split(".")[0] for key in DECLARED if "." in key)


def _variables(env: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for variable in sorted(env):
        if variable.startswith(ENV_PREFIX) and variable not in NOT_SETTINGS:
            key = variable.removeprefix(ENV_PREFIX).lower().replace("__", ".", 1)
            if key not in DECLARED:
                names = [ENV_PREFIX + known.upper().replace(".", "__") for known in DECLARED]
                raise ConfigError("environment", variable, "no such setting", hint=_closest(variable, names))
            yield variable, key, env[variable]


def _known(key: str, *, source: str) -> None:
    if key not in DECLARED:
        names = [*DECLARED, *_SECTIONS, "strategies"]
        raise ConfigError(source, key, "no such setting", hint=_closest(key, names))


def _closest(name: str, names: list[str]) -> str:
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {found[0]}?" if found else "`taped check-config` lists all settings"


def _from_text(key: str, text: str, *, source: str) -> Any:
    """Return what the text of a variable stands for; text that stands for nothing is left for the check."""
    kind = DECLARED[key].type
    if kind is bool:
        return _BOOLEANS.get(text.lower(), text)
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            return text
    if kind in (tuple[str, ...], tuple[Path, ...]):
        return [item.strip() for item in text.split(",") if item.strip()]
    if kind == Mapping[str, str]:
        pairs = [item.partition("=") for item in text.split(",") if item.strip()]
        if not all(sign for _, sign, _ in pairs):
            raise ConfigError(source, key, f"is {_show(text)}, expected NAME=VALUE,NAME=VALUE")
        return {name.strip(): value.strip() for name, _, value in pairs}
    return text


def _check(key: str, raw: Any, *, source: str, folder: Path | None = None) -> Any:
    declared = DECLARED[key]
    kind, _, rule = declared
    if kind == Mapping[str, str]:
        return _cash(key, raw, source=source)
    if kind in (Path, Path | None):
        return None if kind != Path and raw == "" else _path(key, raw, source=source, folder=folder)
    if kind in (tuple[str, ...], tuple[Path, ...]):
        if not isinstance(raw, (list, tuple)):
            raise _refused(key, raw, source=source)
        if kind == tuple[str, ...]:
            return tuple(_scalar(key, item, str, source=source) for item in raw)
        return tuple(_path(key, item, source=source, folder=folder) for item in raw)
    value = _scalar(key, raw, kind, source=source)
    low, high = rule.minimum, rule.maximum
    outside = (low is not None and value < low) or (high is not None and value > high)
    if outside or (rule.choices and value not in rule.choices):
        raise _refused(key, value, source=source)
    return value


def _refused(key: str, raw: Any, *, source: str) -> ConfigError:
    return ConfigError(source, key, f"is {_show(raw)}, expected {allowed(DECLARED[key])}")


def allowed(declared: Declared) -> str:
    """Return what a setting's value may be, in words."""
    rule = declared.rule
    if rule.choices:
        return " or ".join(rule.choices)
    kind = _KINDS[declared.type]
    low, high = (
        None if limit is None else f"{limit:,}".removesuffix(".0").replace(",", "_")
        for limit in (rule.minimum, rule.maximum)
    )
    if low and high:
        return f"{kind} from {low} to {high}"
    return f"{kind} from {low} up" if low else kind


def _scalar(key: str, raw: Any, kind: Any, *, source: str) -> Any:
    wrong = type(raw) is not kind and not (kind is float and type(raw) is int)
    if wrong or (kind is float and not isfinite(raw)) or (kind is str and not _is_printable(raw)):
        raise _refused(key, raw, source=source)
    return float(raw) if kind is float else raw


def _is_printable(text: str) -> bool:
    return text.isprintable() and bool(text.strip())


def _path(key: str, raw: Any, *, source: str, folder: Path | None) -> Path:
    if not isinstance(raw, (str, Path)) or not str(raw) or "\0" in str(raw):
        raise _refused(key, raw, source=source)
    path = Path(raw).expanduser()
    return path if folder is None else folder / path


def _cash(key: str, raw: Any, *, source: str) -> Mapping[str, str]:
    if not isinstance(raw, Mapping):
        raise ConfigError(
            source, key, f"is {_show(raw)}, expected a table", hint='write cash = { USDT = "100000" }'
        )
    for currency, amount in raw.items():
        place = f"{key}.{currency}"
        if not _CURRENCY.fullmatch(currency):
            raise ConfigError(source, place, "a currency is 2 to 16 capital letters and digits")
        if not isinstance(amount, str):
            raise ConfigError(source, place, f"is {_show(amount)}, expected decimal text such as '100000.50'")
        if not _is_amount(amount):
            raise ConfigError(source, place, f"is {_show(amount)}, expected a decimal from 0 up to 1e18")
    return dict(raw)


def _is_amount(text: str) -> bool:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return False
    return amount.is_finite() and 0 <= amount <= 10**18 and "e" not in text.lower()


def _strategies(table: Any, *, source: str) -> dict[str, StrategySettings]:
    if not isinstance(table, dict):
        raise ConfigError(source, "strategies", f"is {_show(table)}, expected tables [strategies.NAME]")
    return {name: _strategy(name, entry, source=source) for name, entry in table.items()}


def _strategy(name: str, entry: Any, *, source: str) -> StrategySettings:
    place = f"strategies.{name}"
    if not _NAME.fullmatch(name):
        raise ConfigError(source, place, "a name is up to 64 letters, digits, dots, dashes and underscores")
    if not isinstance(entry, dict):
        raise ConfigError(source, place, f"is {_show(entry)}, expected a table")
    allowed = [field.name for field in dataclasses.fields(StrategySettings)]
    for key in entry:
        if key not in allowed:
            raise ConfigError(source, f"{place}.{key}", "no such setting", hint=_closest(key, allowed))
    kind = entry.get("kind")
    if not (isinstance(kind, str) and _NAME.fullmatch(kind)):
        raise ConfigError(source, f"{place}.kind", f"is {_show(kind)}, expected the name of a strategy")
    instruments = entry.get("instruments", [])
    if not (isinstance(instruments, list) and all(isinstance(symbol, str) for symbol in instruments)):
        raise ConfigError(source, f"{place}.instruments", f"is {_show(instruments)}, expected a list of text")
    parameters = entry.get("parameters", {})
    if not isinstance(parameters, dict):
        raise ConfigError(source, f"{place}.parameters", f"is {_show(parameters)}, expected a table")
    for key, value in parameters.items():
        if type(value) not in _SCALARS or (isinstance(value, float) and not isfinite(value)):
            problem = f"is {_show(value)}, expected a number, text, true or false"
            raise ConfigError(source, f"{place}.parameters.{key}", problem)
    return StrategySettings(kind, tuple(instruments), parameters)


def _check_together(values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    if values["feed.kind"] == "file" and not values["feed.paths"]:
        raise ConfigError(sources["feed.kind"], "feed.kind", "is 'file', and feed.paths names no recording")


def _warnings(values: Mapping[str, Any]) -> Iterator[str]:
    host = values["api.host"]
    if not is_loopback(host):
        yield f"api.host is {host}: whoever reaches it can read everything; tokens guard changes only"


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server on that address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _assemble(values: Mapping[str, Any], strategies: Mapping[str, StrategySettings]) -> Settings:
    tables: dict[str, dict[str, Any]] = {}
    top: dict[str, Any] = {"strategies": strategies}
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


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004
