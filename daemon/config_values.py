"""What one setting may be: declarations by dotted key, checks of values, and the errors that tell.

Reads no file and no environment; `daemon/config.py` does.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from daemon.backup_target import EXAMPLES, TargetTextError, parse_target
from daemon.settings import (
    CASH,
    FEES,
    LEAST_CASH,
    LIMIT,
    MARGINS,
    QUANTITIES,
    VALUE,
    Rule,
    Settings,
)
from daemon.trading.calendar import CalendarError, always
from daemon.trading.commands import MAX_TEXT
from daemon.trading.money import money
from daemon.trading.risk.limits import KINDS, PREFIX, Kind, LimitError, check_limit, is_off
from daemon.venue.fees import FeesError, parse_fees
from schemas.decimals import DecimalError
from schemas.errors import TapedError

_RECIPIENT = re.compile(r"age1[0-9a-z]{50,100}")
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
SCALARS = frozenset({int, float, bool, str})
_KINDS: Mapping[Any, str] = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path",
    Path | None: "a path or nothing",
    tuple[str, ...]: "a list of text",
    tuple[Path, ...]: "a list of paths",
    Mapping[str, str]: "a table",
    Mapping[str, int]: "a table",
}
_TABLE_KINDS = (Mapping[str, str], Mapping[str, int])


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

    @property
    def mistakes(self) -> Sequence[ConfigError]:
        """Return each mistake by itself; one that stands alone is its own."""
        return (self,)


class ConfigMistakesError(ConfigError):
    """Several settings are not as they must be; `mistakes` has them one by one."""

    def __init__(self, mistakes: Sequence[ConfigError]) -> None:
        told = "; ".join(f"({number}) {mistake}" for number, mistake in enumerate(mistakes, 1))
        super().__init__(f"{len(mistakes)} mistakes in the settings", "", told)
        self._mistakes = tuple(mistakes)

    @property
    def mistakes(self) -> Sequence[ConfigError]:
        """Return them in the order in which they were met."""
        return self._mistakes


@contextmanager
def collecting(mistakes: list[ConfigError]) -> Iterator[None]:
    """Put what the block raises to the mistakes, and go on behind it."""
    try:
        yield
    except ConfigError as error:
        mistakes += error.mistakes


def raise_all(mistakes: Sequence[ConfigError]) -> None:
    """Raise the mistakes as one error; nothing happens when there are none."""
    if len(mistakes) > 1:
        raise ConfigMistakesError(mistakes)
    if mistakes:
        raise mistakes[0]


class Declared(NamedTuple):
    """One setting as `daemon/settings.py` declares it."""

    type: Any
    default: Any
    rule: Rule


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
"""Every setting by its dotted key, except those of strategies and calendars."""


SECTIONS = frozenset(key.split(".")[0] for key in DECLARED if "." in key)


def check_known(key: str, *, source: str) -> None:
    """Refuse a key that no setting has.

    Raises:
        ConfigError: it is none; the hint names the nearest.
    """
    if key not in DECLARED:
        names = [*DECLARED, *SECTIONS, "strategies", "calendars"]
        raise ConfigError(source, key, "no such setting", hint=closest(key, names))


def closest(name: str, names: list[str]) -> str:
    """Return a hint to the name that was probably meant."""
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {found[0]}?" if found else "`taped check-config` lists all settings"


def from_text(key: str, text: str, *, source: str) -> Any:
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
    if kind in _TABLE_KINDS:
        pairs = [item.partition("=") for item in text.split(",") if item.strip()]
        if not all(sign for _, sign, _ in pairs):
            raise ConfigError(source, key, f"is {show(text)}, expected NAME=VALUE,NAME=VALUE")
        whole = kind == Mapping[str, int]
        return {name.strip(): _number(value) if whole else value.strip() for name, _, value in pairs}
    return text


def _number(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text


def check(key: str, raw: Any, *, source: str, folder: Path | None = None) -> Any:
    """Return a setting's value in its own type; relative paths start at the folder.

    Raises:
        ConfigError: all that is wrong with it.
    """
    declared = DECLARED[key]
    kind, _, rule = declared
    if kind in _TABLE_KINDS:
        return _table(key, raw, source=source)
    if kind in (Path, Path | None):
        return None if kind != Path and raw == "" else _path(key, raw, source=source, folder=folder)
    if kind in (tuple[str, ...], tuple[Path, ...]):
        if not isinstance(raw, (list, tuple)):
            raise _refused(key, raw, source=source)
        if kind == tuple[str, ...]:
            return tuple(_scalar(key, item, str, source=source) for item in raw)
        return tuple(_path(key, item, source=source, folder=folder) for item in raw)
    if raw == "" and declared.default == "":
        return ""  # What may be left out may be given as nothing.
    value = _scalar(key, raw, kind, source=source)
    low, high = rule.minimum, rule.maximum
    outside = (low is not None and value < low) or (high is not None and value > high)
    wrong = rule.form and not _FORMS[rule.form].fits(value)
    if outside or wrong or (rule.choices and value not in rule.choices):
        raise _refused(key, value, source=source)
    return value


def _refused(key: str, raw: Any, *, source: str) -> ConfigError:
    declared = DECLARED[key]
    choices = [str(choice) for choice in declared.rule.choices]
    near = difflib.get_close_matches(raw if isinstance(raw, str) else "", choices, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else ""
    return ConfigError(source, key, f"is {show(raw)}, expected {allowed(declared)}", hint=hint)


def allowed(declared: Declared) -> str:
    """Return what a setting's value may be, in words."""
    rule = declared.rule
    if rule.choices:
        return " or ".join(rule.choices)
    if rule.form:
        return _FORMS[rule.form].told
    kind = rule.table or _KINDS[declared.type]
    low, high = (
        None if limit is None else f"{limit:,}".removesuffix(".0").replace(",", "_")
        for limit in (rule.minimum, rule.maximum)
    )
    if low and high:
        return f"{kind} from {low} to {high}"
    return f"{kind} from {low} up" if low else kind


class _Form(NamedTuple):
    """A form of text: whether a value has it, and how it is told."""

    fits: Callable[[Any], bool]
    told: str


def _is_amount(text: str) -> bool:
    try:
        return len(text) <= MAX_TEXT and money(text) > 0
    except DecimalError:
        return False


def _is_zone(text: str) -> bool:
    try:
        always(text)
    except CalendarError:
        return False
    return True


def _fits(kind: Kind) -> Callable[[Any], bool]:
    return lambda value: kind.check(value) is not None


def _or_off(kind: Kind) -> Callable[[Any], bool]:
    return lambda value: is_off(value) or kind.check(value) is not None


def _is_target(text: str) -> bool:
    try:
        return bool(parse_target(text))
    except TargetTextError:
        return False


_FORMS: Mapping[str, _Form] = {
    "target": _Form(_is_target, f"a place for backups, such as {EXAMPLES}"),
    "recipient": _Form(lambda text: bool(_RECIPIENT.fullmatch(text)), "a public key of age, age1..."),
    "amount": _Form(_is_amount, "decimal text above zero such as '100000.50'"),
    "currency": _Form(lambda text: bool(_CURRENCY.fullmatch(text)), "2 to 16 capital letters and digits"),
    "zone": _Form(_is_zone, "an IANA zone such as America/New_York"),
    **{LIMIT + name: _Form(_or_off(kind), kind.told) for name, kind in KINDS.items()},
    **{VALUE + name: _Form(_fits(kind), kind.told) for name, kind in KINDS.items()},
}


def _scalar(key: str, raw: Any, kind: Any, *, source: str) -> Any:
    wrong = type(raw) is not kind and not (kind is float and type(raw) is int)
    if wrong or (kind is float and not _is_finite(raw)) or (kind is str and not _is_printable(raw)):
        raise _refused(key, raw, source=source)
    return float(raw) if kind is float else raw


def _is_finite(number: float) -> bool:
    try:
        return isfinite(number)
    except OverflowError:  # An integer beyond all floats.
        return False


def _is_printable(text: str) -> bool:
    return text.isprintable() and bool(text.strip())


def _path(key: str, raw: Any, *, source: str, folder: Path | None) -> Path:
    if not isinstance(raw, (str, Path)) or not str(raw) or "\0" in str(raw):
        raise _refused(key, raw, source=source)
    path = Path(raw).expanduser()
    return path if folder is None else folder / path


def _table(key: str, raw: Any, *, source: str) -> Mapping[str, Any]:
    check_entry, example = _TABLES[DECLARED[key].rule.table]
    if not isinstance(raw, Mapping):
        hint = f"write {key.rpartition('.')[2]} = {example}"
        raise ConfigError(source, key, f"is {show(raw)}, expected a table", hint=hint)
    mistakes: list[ConfigError] = []
    for name, value in raw.items():
        with collecting(mistakes):
            check_entry(f"{key}.{name}", name, value, source=source)
    raise_all(mistakes)
    return dict(raw)


def _check_fees(place: str, name: str, fees: Any, *, source: str) -> None:
    if not (_is_printable(name) and len(name) <= MAX_TEXT):
        raise ConfigError(source, place, f"an instrument is named by 1 to {MAX_TEXT} characters")
    if not isinstance(fees, str):
        raise ConfigError(source, place, f"is {show(fees)}, expected text such as '100/250'")
    try:
        parse_fees(fees)
    except FeesError as error:
        raise ConfigError(source, place, error.message, hint=error.hint) from error


def _check_amount(place: str, currency: str, amount: Any, *, source: str) -> None:
    if not _CURRENCY.fullmatch(currency):
        raise ConfigError(source, place, "a currency is 2 to 16 capital letters and digits")
    if not isinstance(amount, str) or len(amount) > MAX_TEXT:
        raise ConfigError(source, place, f"is {show(amount)}, expected decimal text such as '100000.50'")
    try:
        above_zero = money(amount) > 0  # As the deposit reads it that the daemon makes of the setting.
    except DecimalError as error:
        raise ConfigError(source, place, f"is {show(amount)}, expected a decimal: {error}") from error
    if not above_zero:
        raise ConfigError(source, place, f"is {show(amount)}, expected a decimal above zero")


def _check_limit(place: str, name: str, value: Any, *, source: str) -> None:
    whole = place.removeprefix(PREFIX).partition(".")[0]
    try:
        check_limit(f"{whole}.{name}", value if type(value) in SCALARS else repr(value))
    except LimitError as error:
        expected = error.message.partition("expected ")[2]
        problem = f"is {show(value)}, expected {expected}" if expected else error.message
        raise ConfigError(source, place, problem, hint=error.hint) from error


_TABLES: Mapping[str, tuple[Callable[..., None], str]] = {
    CASH: (_check_amount, '{ USDT = "100000" }'),
    FEES: (_check_fees, '{ BTC-USDT = "100/250" }'),
    QUANTITIES: (_check_limit, '{ BTC-USDT = "0.5", "*" = "1000" }'),
    LEAST_CASH: (_check_limit, '{ USDT = "1000" }'),
    MARGINS: (_check_limit, '{ crypto = 1_000_000, "GC-201312@COMEX" = 100_000 }'),
}


def show(value: Any) -> str:
    """Return a value as an error quotes it."""
    try:
        text = repr(value)
    except ValueError:  # An integer too long to be turned into decimal text.
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004
