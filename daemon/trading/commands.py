"""Operator commands as typed records; refuses what it does not understand, and changes nothing itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from daemon.trading.money import money
from daemon.trading.risk.limits import LimitError, check_limit, is_off, kind_of
from schemas.decimals import DecimalError
from schemas.errors import TapedError
from schemas.events import OperatorCommand, Scalar, TradingState

MAX_TEXT = 200
MAX_INSTRUMENTS = 1_000
_PARAMETER = "param."
_NOT_OURS = frozenset({"alarm.acknowledge", "import.start", "import.end"})
_STATES = {
    "trading.halt": TradingState.HALTED,
    "trading.resume": TradingState.ACTIVE,
    "trading.reduce": TradingState.REDUCING,
}
_INSTRUMENT_STATES = {
    "instrument.halt": TradingState.HALTED,
    "instrument.resume": TradingState.ACTIVE,
}


class CommandError(TapedError):
    """The core cannot carry out this command; it changes nothing."""


@dataclass(frozen=True, slots=True)
class Deposit:
    """Money paid in; `amount` is money at 18 decimals, above zero."""

    currency: str
    amount: int


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Money to be paid out, as in `Deposit`."""

    currency: str
    amount: int


@dataclass(frozen=True, slots=True)
class SetLimits:
    """Limits of risk by name, each checked; None switches one off."""

    limits: dict[str, Scalar]


@dataclass(frozen=True, slots=True)
class ResetRisk:
    """Begin anew with peak and day of equity, forget losses, lift pauses."""


@dataclass(frozen=True, slots=True)
class StartStrategy:
    """Run a strategy; `instruments` are symbols, or `SYMBOL@VENUE` where a symbol stands twice."""

    strategy_id: str
    kind: str
    instruments: tuple[str, ...]
    parameters: dict[str, Scalar]


@dataclass(frozen=True, slots=True)
class StopStrategy:
    """Stop a strategy and cancel its orders."""

    strategy_id: str


@dataclass(frozen=True, slots=True)
class SetParameters:
    """Give a running strategy other parameters; those that are not named stay."""

    strategy_id: str
    parameters: dict[str, Scalar]


@dataclass(frozen=True, slots=True)
class SetTradingState:
    """Allow, restrict or halt trading."""

    state: TradingState
    reason: str


@dataclass(frozen=True, slots=True)
class SetInstrumentState:
    """Allow or halt trading of one instrument, given as in `StartStrategy`."""

    instrument: str
    state: TradingState
    reason: str


@dataclass(frozen=True, slots=True)
class Kill:
    """Halt trading, cancel every order, and close every position when `flatten` is set."""

    reason: str
    flatten: bool


Command = (
    Deposit
    | Withdraw
    | SetLimits
    | ResetRisk
    | StartStrategy
    | StopStrategy
    | SetParameters
    | SetTradingState
    | SetInstrumentState
    | Kill
)


def parse(event: OperatorCommand) -> Command | None:
    """Return what the operator wants; None for commands that concern other parts.

    Raises:
        CommandError: unknown command, or an argument is missing or malformed.
    """
    name = event.command
    if name in _NOT_OURS:
        return None
    parser = _PARSERS.get(name)
    if parser is None:
        raise CommandError(f"{name[:MAX_TEXT]!r} is no command")
    return parser(event)


def _text(event: OperatorCommand, name: str) -> str:
    value = event.arguments.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        raise CommandError(f"{event.command}: {name} must be a text of 1 to {MAX_TEXT} characters")
    return value


def _deposit(event: OperatorCommand) -> Deposit:
    return Deposit(_text(event, "currency"), _amount(event))


def _withdraw(event: OperatorCommand) -> Withdraw:
    return Withdraw(_text(event, "currency"), _amount(event))


def _amount(event: OperatorCommand) -> int:
    try:
        amount = money(_text(event, "amount"))
    except DecimalError as error:
        raise CommandError(f"{event.command}: amount: {error.message}") from error
    if amount <= 0:
        raise CommandError(f"{event.command}: amount must be above zero")
    return amount


def _limits(event: OperatorCommand) -> SetLimits:
    limits: dict[str, Scalar] = {}
    for name, value in event.arguments.items():
        if isinstance(value, list):
            raise CommandError(f"{event.command}: {name[:MAX_TEXT]} must be a single value")
        try:
            if is_off(value):
                kind_of(name)
                limits[name] = None
            else:
                check_limit(name, value)
                limits[name] = value
        except LimitError as error:
            raise CommandError(f"{event.command}: {error.message}", hint=error.hint) from error
    if not limits:
        raise CommandError(f"{event.command}: no limit is named")
    return SetLimits(limits)


def _stop(event: OperatorCommand) -> StopStrategy:
    return StopStrategy(_text(event, "strategy_id"))


def _trading_state(event: OperatorCommand) -> SetTradingState:
    return SetTradingState(_STATES[event.command], _text(event, "reason"))


def _instrument_state(event: OperatorCommand) -> SetInstrumentState:
    state = _INSTRUMENT_STATES[event.command]
    return SetInstrumentState(_text(event, "instrument"), state, _text(event, "reason"))


def _kill(event: OperatorCommand) -> Kill:
    flatten = event.arguments.get("flatten", False)
    if not isinstance(flatten, bool):
        raise CommandError(f"{event.command}: flatten must be true or false")
    return Kill(_text(event, "reason"), flatten)


def _start(event: OperatorCommand) -> StartStrategy:
    symbols = event.arguments.get("instruments")
    if not isinstance(symbols, list) or not 0 < len(symbols) <= MAX_INSTRUMENTS:
        raise CommandError(f"{event.command}: instruments must be a list of 1 to {MAX_INSTRUMENTS} symbols")
    names = tuple(symbol for symbol in symbols if isinstance(symbol, str))
    if len(names) != len(symbols) or len(set(names)) != len(names):
        raise CommandError(f"{event.command}: instruments must be texts, each once")
    return StartStrategy(_text(event, "strategy_id"), _text(event, "kind"), names, _parameters(event))


def _set(event: OperatorCommand) -> SetParameters:
    parameters = _parameters(event)
    if not parameters:
        raise CommandError(f"{event.command}: no parameter is named", hint="name them param.NAME")
    return SetParameters(_text(event, "strategy_id"), parameters)


def _parameters(event: OperatorCommand) -> dict[str, Scalar]:
    parameters: dict[str, Scalar] = {}
    for name, value in event.arguments.items():
        if not name.startswith(_PARAMETER):
            continue
        if isinstance(value, list):
            raise CommandError(f"{event.command}: {name} must be a single value")
        parameters[name.removeprefix(_PARAMETER)] = value
    return parameters


_PARSERS: dict[str, Callable[[OperatorCommand], Command]] = {
    "account.deposit": _deposit,
    "account.withdraw": _withdraw,
    "risk.set": _limits,
    "risk.reset": lambda _: ResetRisk(),
    "strategy.start": _start,
    "strategy.stop": _stop,
    "strategy.set": _set,
    **dict.fromkeys(_STATES, _trading_state),
    **dict.fromkeys(_INSTRUMENT_STATES, _instrument_state),
    "trading.kill": _kill,
}

COMMANDS = frozenset(_PARSERS)
"""Names of the commands that the core carries out."""
