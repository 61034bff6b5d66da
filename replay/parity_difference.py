"""Where a recorded decision and one that was made again differ: place, field, both values; by bytes."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from schemas.codec import CODEC, AnyEvent, UnknownEvent


class DifferenceKind(StrEnum):
    """What is wrong at a place."""

    ALTERED = "altered"
    MISSING = "missing"
    EXTRA = "extra"


class Cause(NamedTuple):
    """The input that a decision answers; event None where none has come yet."""

    seq: int
    event: AnyEvent | None


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One difference.

    Attributes:
        kind: altered; missing: the journal lacks a decision that this code makes; extra: it has one that
            this code does not make.
        seq: number of the recorded event at that place.
        recorded_type: its type.
        recorded: its fields; None where the journal ends.
        made_type: type of what was made; None for nothing.
        made: its fields.
        field: the first that differs; empty where the types do.
        recorded_value: as recorded.
        made_value: as made.
        cause_seq: number of the input that is answered; 0 where there is none.
        cause_type: its type.
        decided_by: the strategy, the rule or the source of the decision, in words; empty where it has none.
    """

    kind: DifferenceKind
    seq: int
    recorded_type: str | None
    recorded: dict[str, Any] | None
    made_type: str | None
    made: dict[str, Any] | None
    field: str = ""
    recorded_value: Any = None
    made_value: Any = None
    cause_seq: int = 0
    cause_type: str = ""
    decided_by: str = ""


def first_difference(recorded: Sequence[AnyEvent], made: Sequence[AnyEvent]) -> int | None:
    """Return the first place where the encoded events differ, or None; both are equally long."""
    if CODEC.encode(recorded) == CODEC.encode(made):
        return None
    pairs = zip(recorded, made, strict=True)
    return next(at for at, (one, other) in enumerate(pairs) if CODEC.encode([one]) != CODEC.encode([other]))


def difference(
    seq: int, recorded: AnyEvent | None, made: AnyEvent | None, cause: Cause, *, is_decision: bool
) -> Difference:
    """Tell of a difference.

    Args:
        seq: the place.
        recorded: what stands there; None where the journal ends.
        made: what was made; None for nothing.
        cause: the input before it.
        is_decision: what stands there is a decision.
    """
    if made is None:
        kind = DifferenceKind.EXTRA
    elif not is_decision:
        kind = DifferenceKind.MISSING
    else:
        kind = DifferenceKind.ALTERED
    was, now = _fields(recorded), _fields(made)
    field = ""
    if was is not None and now is not None and type(recorded) is type(made):
        field = next((name for name in now if was.get(name) != now[name]), "")
    return Difference(
        kind=kind,
        seq=seq,
        recorded_type=_name(recorded),
        recorded=was,
        made_type=_name(made),
        made=now,
        field=field,
        recorded_value=None if was is None else was.get(field),
        made_value=None if now is None else now.get(field),
        cause_seq=cause.seq,
        cause_type=_name(cause.event) or "",
        decided_by=_decider(made if made is not None else recorded),
    )


def _name(event: AnyEvent | None) -> str | None:
    return None if event is None else type(event).__name__


def _fields(event: AnyEvent | None) -> dict[str, Any] | None:
    if event is None:
        return None
    if isinstance(event, UnknownEvent):
        return {"fields": event.fields}
    return {name: msgspec.to_builtins(value) for name, value in msgspec.structs.asdict(event).items()}


def _decider(event: AnyEvent | None) -> str:
    strategy_id = getattr(event, "strategy_id", None)
    rule = getattr(event, "rule", None)
    if rule:
        return f"rule {rule}"
    if strategy_id:
        return f"strategy {strategy_id}"
    return str(getattr(event, "source", ""))
