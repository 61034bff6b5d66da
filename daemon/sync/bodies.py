"""Events as JSON for the column `body`: nothing of an event is lost, whatever PostgreSQL can hold."""

from __future__ import annotations

from typing import Any

import msgspec

from schemas.codec import CODEC, AnyEvent, UnknownEvent
from schemas.events import Event

_encode = msgspec.json.Encoder().encode
_UNTOLD = ("version", "ts_ns")
_ZERO = b"\\u0000"


def body_of(event: AnyEvent, *, whole: bool = False) -> str:
    """Return the fields of an event by name, or the array of one that this version does not know.

    Args:
        event: any event.
        whole: also version and time, for an event whose time its column cannot hold.
    """
    if isinstance(event, UnknownEvent):
        return json_text(event.fields, event)
    names = event.__struct_fields__
    return json_text({name: getattr(event, name) for name in names if whole or name not in _UNTOLD}, event)


def json_text(value: Any, event: AnyEvent) -> str:
    """Return JSON that `jsonb` takes; an event that JSON cannot hold is told in the journal's own bytes."""
    try:
        data = _encode(value)
        if _ZERO in data:
            data = _encode(_without_zero(value))
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        data = _encode({"msgpack": _raw(event).hex()})
    return data.decode()


def _raw(event: AnyEvent) -> bytes:
    return event.raw if isinstance(event, UnknownEvent) else CODEC.encode([event])[1:]


def _without_zero(value: Any) -> Any:
    """Return the same with the picture of the character zero in its place; `jsonb` cannot hold it."""
    if isinstance(value, str):
        return value.replace("\0", "\u2400")
    if isinstance(value, dict):
        return {_without_zero(key): _without_zero(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_zero(item) for item in value]
    return value


def type_id_of(record: type[Event]) -> int:
    """Return the number of a type of event."""
    tag = record.__struct_config__.tag
    assert isinstance(tag, int)
    return tag
