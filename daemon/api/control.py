"""Commands over HTTP: trading state, strategies, limits, money. Each becomes one journaled OperatorCommand.

What the core would refuse by its form is refused here and leaves no trace; what it refuses for the
state it is in stands in the journal with the reason, and is answered as a conflict.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from daemon.api import views
from daemon.api.access import Identity, Role
from daemon.api.bodies import Body, Decimal, Name, Text
from daemon.api.ports import Engine
from daemon.api.problems import Problem, unavailable
from daemon.engine import EngineStoppedError
from daemon.journal.errors import JournalPoisonedError
from daemon.journal.reader import Batch
from daemon.trading.answers import REFUSED
from daemon.trading.commands import CommandError, parse
from daemon.trading.risk.limits import LimitError, kind_of, limits_of
from daemon.trading.strategy import StrategyError, check_parameters
from schemas.codec import CODEC, CodecError
from schemas.errors import TapedError
from schemas.events import (
    CancelRequested,
    Event,
    InstrumentStateChanged,
    NotificationQueued,
    OperatorCommand,
    OrderSubmitted,
    Scalar,
    TradingStateChanged,
)

Arguments = Mapping[str, Scalar | list[Scalar]]
Document = dict[str, Any]
Changed = TypeVar("Changed", TradingStateChanged, InstrumentStateChanged)

MAX_PARAMETERS = 100

Reason = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]+\Z", max_length=128)]
StrategyId = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]+\Z", max_length=64)]
Currency = Annotated[str, msgspec.Meta(pattern=r"^[A-Z0-9]{1,16}\Z")]
Values = Annotated[dict[Name, Scalar], msgspec.Meta(max_length=MAX_PARAMETERS)]


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all bodies of commands have in common: nothing may be given that is not known."""


class Why(_Record, frozen=True, kw_only=True):
    """Body of a halt, a restriction or a resumption."""

    reason: Reason


class Kill(_Record, frozen=True, kw_only=True):
    """Body of the kill switch: `flatten` closes every position, too."""

    reason: Reason
    flatten: bool = False


class Start(_Record, frozen=True, kw_only=True):
    """Body that starts a strategy; `instruments` are symbols, or `SYMBOL@VENUE`."""

    strategy_id: StrategyId
    kind: Name
    instruments: Annotated[list[Text], msgspec.Meta(min_length=1, max_length=1000)]
    parameters: Values = {}


class Change(_Record, frozen=True, kw_only=True):
    """Body that gives a running strategy other parameters."""

    parameters: Values


class Limits(_Record, frozen=True, kw_only=True):
    """Body that changes risk limits; null takes one away."""

    limits: Annotated[Values, msgspec.Meta(min_length=1)]


class Money(_Record, frozen=True, kw_only=True):
    """Body that pays money in or out."""

    currency: Currency
    amount: Decimal


_REASON = {"reason": "a text of 1 to 128 characters on one line"}
_VALUES = f"an object of at most {MAX_PARAMETERS} names with numbers, texts, true, false or null"
WHY = Body(Why, "this command", _REASON)
KILL = Body(Kill, "the kill switch", {**_REASON, "flatten": "true or false"})
START = Body(
    Start,
    "a strategy",
    {
        "strategy_id": "a name of 1 to 64 characters on one line",
        "kind": "a kind of GET /api/v1/strategies/kinds",
        "instruments": "a list of 1 to 1000 symbols",
        "parameters": _VALUES,
    },
)
CHANGE = Body(Change, "a change", {"parameters": _VALUES})
LIMITS = Body(Limits, "a change of limits", {"limits": _VALUES})
MONEY = Body(
    Money,
    "a payment",
    {"currency": "1 to 16 capital letters and digits", "amount": "a decimal above zero, such as 1000.50"},
    decimals=frozenset({"amount"}),
)


class Control:
    """Gives commands to the core on behalf of a person."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def set_trading(self, act: str, body: bytes, identity: Identity) -> Document:
        """Halt, reduce, resume or kill; return the trading state that is durable now.

        Raises:
            Problem: the body is malformed, or the core refused.
        """
        if act == "kill":
            kill = KILL.parse(body)
            arguments: Arguments = {"reason": kill.reason, "flatten": kill.flatten}
        else:
            arguments = {"reason": WHY.parse(body).reason}
        batch = await self._give(f"trading.{act}", arguments, identity)
        seq, changed = _last(batch, TradingStateChanged)
        document = views.trading(_row(seq, changed))
        if act == "kill":
            kinds = [type(event) for event in batch.events]
            document["cancels"], document["orders"] = (
                kinds.count(CancelRequested),
                kinds.count(OrderSubmitted),
            )
        return document

    async def set_instrument(self, act: str, name: str, body: bytes, identity: Identity) -> Document:
        """Halt or resume one instrument, named by symbol or `SYMBOL@VENUE`; return its state.

        Raises:
            Problem: as `set_trading`.
        """
        arguments = {"instrument": name, "reason": WHY.parse(body).reason}
        batch = await self._give(f"instrument.{act}", arguments, identity)
        seq, changed = _last(batch, InstrumentStateChanged)
        defined = self._engine.core.instruments[changed.instrument_id]
        return views.instrument_state(_row(seq, changed), defined)

    async def start(self, body: bytes, identity: Identity) -> str:
        """Start a strategy; return its id.

        Raises:
            Problem: the body is malformed, there is no such kind or instrument, a parameter does not
                fit, or a strategy of that id runs.
        """
        asked = START.parse(body)
        self._check_kind(asked.kind, asked.parameters)
        arguments: dict[str, Scalar | list[Scalar]] = {
            "strategy_id": asked.strategy_id,
            "kind": asked.kind,
            "instruments": list(asked.instruments),
        }
        await self._give("strategy.start", {**arguments, **_prefixed(asked.parameters)}, identity)
        return asked.strategy_id

    async def change(self, strategy_id: str, body: bytes, identity: Identity) -> None:
        """Give a running strategy other parameters; those not named stay.

        Raises:
            Problem: 404 where it does not run, or as `start`.
        """
        asked = CHANGE.parse(body)
        runner = self._engine.core.strategies.get(strategy_id)
        if runner is None:
            raise _no_strategy(strategy_id)
        self._check_kind(runner.kind, {**runner.parameters, **asked.parameters})
        arguments = {"strategy_id": strategy_id, **_prefixed(asked.parameters)}
        await self._give("strategy.set", arguments, identity)

    async def stop(self, strategy_id: str, identity: Identity) -> None:
        """Stop a strategy and cancel its orders.

        Raises:
            Problem: 404 where it does not run.
        """
        if strategy_id not in self._engine.core.strategies:
            raise _no_strategy(strategy_id)
        await self._give("strategy.stop", {"strategy_id": strategy_id}, identity)

    async def set_limits(self, body: bytes, identity: Identity) -> None:
        """Change risk limits.

        Raises:
            Problem: 403 for anybody but an admin, 422 for an unknown limit or a value it cannot have.
        """
        _admins_only(identity)
        limits = LIMITS.parse(body).limits
        try:
            limits_of(limits)
            for name in limits:
                kind_of(name)
        except LimitError as error:
            raise Problem(422, _with_hint(error), code="limit") from None
        await self._give("risk.set", limits, identity)

    async def reset_risk(self, identity: Identity) -> None:
        """Begin anew: equity now is the peak and the day's, no loss is remembered, no pause holds.

        Raises:
            Problem: 403 for anybody but an admin.
        """
        _admins_only(identity)
        await self._give("risk.reset", {}, identity)

    async def pay(self, act: str, body: bytes, identity: Identity) -> None:
        """Book a deposit or a withdrawal.

        Raises:
            Problem: 403 for anybody but an admin, or as `set_trading`.
        """
        _admins_only(identity)
        asked = MONEY.parse(body)
        await self._give(f"account.{act}", {"currency": asked.currency, "amount": asked.amount}, identity)

    def _check_kind(self, kind: str, parameters: Mapping[str, Scalar]) -> None:
        try:
            check_parameters(self._engine.core.strategies.kind(kind), parameters)
        except StrategyError as error:
            raise Problem(422, _with_hint(error), code="strategy") from None

    async def _give(self, name: str, arguments: Arguments, identity: Identity) -> Batch:
        command = OperatorCommand(
            ts_ns=time.time_ns(),
            who=identity.name,
            role=identity.role.value,
            command=name,
            arguments=dict(arguments),
        )
        self._check(command)
        batch = await self._execute(command)
        for event in batch.events:
            if type(event) is NotificationQueued and event.subject == REFUSED:
                raise Problem(409, event.body, code="refused", extra={"seq": batch.first_seq})
        return batch

    def _check(self, command: OperatorCommand) -> None:
        """Refuse what no state of the core would accept, before it is journaled."""
        if self._engine.failed is not None:
            raise unavailable("the journal stopped, nothing can be made durable; see /health")
        try:
            CODEC.encode([command])
            parse(command)
        except (CommandError, CodecError) as error:
            raise Problem(422, _with_hint(error), code="command") from None

    async def _execute(self, command: OperatorCommand) -> Batch:
        try:
            return await self._engine.execute([command])
        except JournalPoisonedError:
            raise unavailable(
                "the journal failed while this was written: whether it was kept shows after the restart"
            ) from None
        except EngineStoppedError as error:
            raise unavailable(error.message) from None


def _last(batch: Batch, kind: type[Changed]) -> tuple[int, Changed]:
    """Return the last event of a kind, which a command that was not refused has caused, and its number."""
    for place, event in reversed(list(enumerate(batch.events))):
        if isinstance(event, kind):
            return batch.first_seq + place, event
    raise Problem(409, "nothing had to change", code="refused", extra={"seq": batch.first_seq})


def _row(seq: int, event: Event) -> dict[str, Any]:
    return {**msgspec.structs.asdict(event), "seq": seq}


def _prefixed(parameters: Mapping[str, Scalar]) -> dict[str, Scalar]:
    return {f"param.{name}": value for name, value in parameters.items()}


def _admins_only(identity: Identity) -> None:
    if identity.role is not Role.ADMIN:
        raise Problem(403, f"the role {identity.role} may not do this; admin may", code="role")


def _no_strategy(strategy_id: str) -> Problem:
    return Problem(
        404, f"no strategy {strategy_id[:64]} runs; see /api/v1/strategies", code="no-such-strategy"
    )


def _with_hint(error: TapedError) -> str:
    return f"{error.message}: {error.hint}" if error.hint else error.message
